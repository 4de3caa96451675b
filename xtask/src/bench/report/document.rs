//! A document of a few kinds of blocks, as Markdown and as HTML.

use std::fmt::Write as _;

#[cfg(test)]
mod tests;

/// A part of a document. Texts are plain: nothing in them is markup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Block {
    /// A heading, and its rank from 2 on: the page has its own title.
    Heading(usize, String),
    Text(String),
    List(Vec<String>),
    Table {
        head: Vec<String>,
        rows: Vec<Vec<String>>,
    },
    /// A plot by its file's name, and what it shows.
    Plot {
        name: String,
        title: String,
    },
}

/// The document as Markdown; plots are in the folder `plots`.
pub(super) fn markdown(blocks: &[Block], plots: &str) -> String {
    let mut text = String::new();
    for block in blocks {
        match block {
            Block::Heading(rank, heading) => line(&mut text, &format!("{} {heading}", "#".repeat(*rank))),
            Block::Text(paragraph) => line(&mut text, paragraph),
            Block::List(items) => line(&mut text, &format!("- {}", items.join("\n- "))),
            Block::Table { head, rows } => {
                let row = |cells: &[String]| {
                    let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
                    format!("| {} |", cells.join(" | "))
                };
                // The first column names the row; figures stand at the right.
                let rule = format!("|---|{}", "---:|".repeat(head.len().saturating_sub(1)));
                let rows = rows.iter().map(|cells| row(cells));
                line(&mut text, &[row(head), rule].into_iter().chain(rows).collect::<Vec<_>>().join("\n"));
            }
            Block::Plot { name, title } => line(&mut text, &format!("![{title}]({plots}{name})")),
        }
    }
    text
}

/// A block, and an empty line behind it.
fn line(text: &mut String, block: &str) {
    text.push_str(block);
    text.push_str("\n\n");
}

/// The document as a page that needs nothing but the plots.
pub(super) fn html(blocks: &[Block], plots: &str) -> String {
    let mut body = String::new();
    for block in blocks {
        let _: std::fmt::Result = match block {
            Block::Heading(rank, heading) => writeln!(body, "<h{rank}>{}</h{rank}>", escape(heading)),
            Block::Text(paragraph) => writeln!(body, "<p>{}</p>", escape(paragraph)),
            Block::List(items) => {
                let items: String = items.iter().map(|item| format!("<li>{}</li>", escape(item))).collect();
                writeln!(body, "<ul>{items}</ul>")
            }
            Block::Table { head, rows } => {
                let row = |tag: &str, cells: &[String]| {
                    let cells: String = cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escape(cell))).collect();
                    format!("<tr>{cells}</tr>")
                };
                let rows: Vec<String> = rows.iter().map(|cells| row("td", cells)).collect();
                writeln!(body, "<table>\n{}\n{}\n</table>", row("th", head), rows.join("\n"))
            }
            Block::Plot { name, title } => {
                writeln!(body, "<img src=\"{}\" alt=\"{}\">", escape(&format!("{plots}{name}")), escape(title))
            }
        };
    }
    format!("{HEAD}{body}</body>\n</html>\n")
}

const HEAD: &str = "<!doctype html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<title>Benchmarks</title>
<style>
body { font: 15px/1.5 sans-serif; margin: 2em auto; max-width: 100em; padding: 0 1em }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { border-bottom: 1px solid #ccc; padding: .2em .6em; text-align: right }
th:first-child, td:first-child { text-align: left }
img { max-width: 100% }
</style>
</head>
<body>
<h1>Benchmarks</h1>
";

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
