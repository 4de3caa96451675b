//! Rules about documentation: what it promises to name exists, and what exists is named.

use std::collections::BTreeSet;
use std::str::FromStr;

use proc_macro2::{TokenStream, TokenTree};

use super::source::ident_text;
use super::{File, Finding, has_ending};

#[cfg(test)]
mod tests;

const OPERATIONS: &str = "docs/operations.md";
pub(super) const TESTING: &str = "docs/testing.md";

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = files.iter().filter_map(check_crate_docs).collect();
    findings.extend(check_errors(files));
    findings.extend(check_test_names(files));
    findings
}

/// The folder's name of a file right in `crates/<name>/src`.
fn crate_of<'a>(file: &'a File, wanted: &str) -> Option<&'a str> {
    match file.path.split('/').collect::<Vec<_>>()[..] {
        ["crates", name, "src", found] if found == wanted => Some(name),
        _ => None,
    }
}

/// A library opens with docs, and they hold an example that `cargo test` runs.
fn check_crate_docs(file: &File) -> Option<Finding> {
    crate_of(file, "lib.rs")?;
    let docs: Vec<&str> = file.text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).collect();
    let message = if docs.is_empty() {
        "the library does not open with docs (//!)"
    } else if !has_runnable_example(&docs) {
        "the library's docs have no example that runs (a ``` block of Rust without no_run or ignore)"
    } else {
        return None;
    };
    Some(Finding::new(&file.path, 1, "crate-docs", message))
}

fn has_runnable_example(docs: &[&str]) -> bool {
    let mut open: Option<bool> = None;
    for line in docs {
        match (line.strip_prefix("```"), open) {
            (Some(_), Some(_)) => open = None,
            (Some(info), None) => {
                let words = info.split([',', ' ']).filter(|word| !word.is_empty());
                open = Some(words.into_iter().all(|word| word == "rust" || word.starts_with("edition")));
            }
            (None, Some(true)) if !line.is_empty() && !line.starts_with("# ") => return true,
            _ => {}
        }
    }
    false
}

/// Every variant of a crate's `Error` has a heading or a row in the section of `docs/operations.md` about that crate.
fn check_errors(files: &[File]) -> Vec<Finding> {
    let operations = files.iter().find(|file| file.path == OPERATIONS).map_or("", |file| &file.text);
    let mut findings = Vec::new();
    for file in files {
        let Some(name) = crate_of(file, "error.rs") else { continue };
        let section = section(operations, name);
        for (variant, line) in variants(&file.text) {
            if !section.contains(&format!("`{variant}`")) {
                let message = format!("{OPERATIONS} has no `{variant}` in its section `{name}`");
                findings.push(Finding::new(&file.path, line, "error-docs", message));
            }
        }
    }
    findings
}

/// The text under the heading `## ..` that names `what` in backticks, up to the next heading of that rank.
fn section<'a>(text: &'a str, what: &str) -> &'a str {
    let quoted = format!("`{what}`");
    let mut sections = text.split("\n## ").skip(1);
    sections.find(|section| section.lines().next().is_some_and(|heading| heading.contains(&quoted))).unwrap_or("")
}

/// The variants of `enum Error` with their lines.
fn variants(source: &str) -> Vec<(String, usize)> {
    // A file that is no Rust source is found by the rules about source files.
    let row: Vec<TokenTree> =
        TokenStream::from_str(source).map(|stream| stream.into_iter().collect()).unwrap_or_default();
    let body = row.windows(3).find_map(|window| match window {
        [word, name, TokenTree::Group(body)] if is_word(word, "enum") && is_word(name, "Error") => Some(body.stream()),
        _ => None,
    });
    let mut found = Vec::new();
    let mut at_start = true;
    for token in body.unwrap_or_default() {
        match &token {
            TokenTree::Ident(ident) if at_start => {
                found.push((ident.to_string(), ident.span().start().line));
                at_start = false;
            }
            TokenTree::Punct(punct) if punct.as_char() == ',' => at_start = true,
            _ => {}
        }
    }
    found
}

fn is_word(token: &TokenTree, word: &str) -> bool {
    ident_text(token).is_some_and(|text| text == word)
}

/// Every test in the table of `docs/testing.md` exists: `` `module::tests::name` `` in a row's last column.
fn check_test_names(files: &[File]) -> Vec<Finding> {
    let functions: BTreeSet<String> =
        files.iter().filter(|file| has_ending(file, "rs")).flat_map(|file| functions(&file.text)).collect();
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.path == TESTING) {
        for (at, line) in file.text.lines().enumerate() {
            for name in named_tests(line) {
                if !functions.contains(name) {
                    let message = format!("there is no test {name}");
                    findings.push(Finding::new(&file.path, at + 1, "test-docs", message));
                }
            }
        }
    }
    findings
}

/// The last part of each path in backticks in the last column of a table's row. A command, or a path that names a whole
/// module (`header::`), is no test.
fn named_tests(line: &str) -> Vec<&str> {
    let Some(row) = line.strip_prefix('|').and_then(|row| row.trim_end().strip_suffix('|')) else { return Vec::new() };
    let last = row.rsplit('|').next().unwrap_or_default();
    let is_path = |code: &&str| code.chars().all(|char| char.is_alphanumeric() || char == '_' || char == ':');
    let quoted = last.split('`').skip(1).step_by(2).filter(is_path);
    quoted.filter_map(|path| path.rsplit_once("::")).map(|(_, name)| name).filter(|name| !name.is_empty()).collect()
}

pub(super) fn functions(source: &str) -> Vec<String> {
    let mut words = source.split(|char: char| !char.is_alphanumeric() && char != '_').filter(|word| !word.is_empty());
    let mut found = Vec::new();
    while let Some(word) = words.next() {
        if word == "fn" {
            found.extend(words.next().map(str::to_owned));
        }
    }
    found
}
