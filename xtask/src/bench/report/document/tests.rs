use super::*;

fn blocks() -> Vec<Block> {
    let words = |of: &[&str]| of.iter().map(|word| (*word).to_owned()).collect();
    vec![
        Block::Heading(2, "A & B".into()),
        Block::Text("x < y".into()),
        Block::List(words(&["one", "two"])),
        Block::Table { head: words(&["what", "us"]), rows: vec![words(&["a|b", "1"]), words(&["c", "2"])] },
        Block::Plot { name: "a.svg".into(), title: "a \"plot\"".into() },
    ]
}

#[test]
fn as_markdown() {
    let wanted = "## A & B\n\nx < y\n\n- one\n- two\n\n\
                  | what | us |\n|---|---:|\n| a\\|b | 1 |\n| c | 2 |\n\n![a \"plot\"](plots/a.svg)\n\n";
    assert_eq!(markdown(&blocks(), "plots/"), wanted);
}

/// A sign that is markup in HTML must come out as itself.
#[test]
fn as_html() {
    let page = html(&blocks(), "plots/");
    let body = page.strip_prefix(HEAD).unwrap();
    let wanted = "<h2>A &amp; B</h2>\n<p>x &lt; y</p>\n<ul><li>one</li><li>two</li></ul>\n\
                  <table>\n<tr><th>what</th><th>us</th></tr>\n<tr><td>a|b</td><td>1</td></tr>\n\
                  <tr><td>c</td><td>2</td></tr>\n</table>\n\
                  <img src=\"plots/a.svg\" alt=\"a &quot;plot&quot;\">\n</body>\n</html>\n";
    assert_eq!(body, wanted);
}
