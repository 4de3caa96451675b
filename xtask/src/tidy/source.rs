//! Rules about one source file.

use std::str::FromStr;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use super::{File, Finding, file_name};

#[cfg(test)]
mod tests;

/// The longest source file in lines.
const MAX_LINES: usize = 500;
/// Words that mark unfinished work in a comment; put together here so that this file does not hold them.
const NOTES: [&str; 2] = [concat!("FIX", "ME"), concat!("TO", "DO")];

pub(super) fn check(file: &File) -> Vec<Finding> {
    let mut findings = Findings { path: &file.path, found: Vec::new() };
    check_text(&file.text, &mut findings);
    match TokenStream::from_str(&file.text) {
        Ok(stream) => {
            let test_file = is_test_file(&file.path);
            each_row(stream, &mut |row| check_row(row, test_file, &mut findings));
        }
        Err(error) => {
            findings.add(error.span().start().line, "leftover", format!("this is no Rust source: {error}"));
        }
    }
    findings.found
}

struct Findings<'a> {
    path: &'a str,
    found: Vec<Finding>,
}

impl Findings<'_> {
    fn add(&mut self, line: usize, rule: &'static str, message: impl Into<String>) {
        self.found.push(Finding::new(self.path, line, rule, message));
    }

    fn at(&mut self, token: &TokenTree, rule: &'static str, message: impl Into<String>) {
        self.add(token.span().start().line, rule, message);
    }
}

/// Test code lives in `x/tests.rs`, in modules of its own below `x/tests/`, or in a crate's `tests/`.
fn is_test_file(path: &str) -> bool {
    file_name(path) == "tests.rs" || path.split('/').any(|part| part == "tests")
}

fn check_text(text: &str, findings: &mut Findings<'_>) {
    let lines = text.lines().count();
    if lines > MAX_LINES {
        findings.add(0, "length", format!("{lines} lines; more than {MAX_LINES}: split it by concept"));
    }
    for (at, line) in text.lines().enumerate() {
        for note in NOTES.iter().filter(|note| has_word(line, note)) {
            findings.add(at + 1, "leftover", format!("{note}: finish it, or open an issue"));
        }
    }
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|char: char| !char.is_alphanumeric() && char != '_').any(|part| part == word)
}

/// Calls `look` with the row of tokens of the file and with that of each pair of brackets in it.
fn each_row(stream: TokenStream, look: &mut dyn FnMut(&[TokenTree])) {
    let row: Vec<TokenTree> = stream.into_iter().collect();
    look(&row);
    for token in row {
        if let TokenTree::Group(group) = token {
            each_row(group.stream(), look);
        }
    }
}

fn check_row(row: &[TokenTree], test_file: bool, findings: &mut Findings<'_>) {
    for at in 0..row.len() {
        let Some(rest) = row.get(at..) else { continue };
        match rest {
            [first, bang, TokenTree::Group(body), ..] if is_punct(bang, '!') => check_macro(first, body, findings),
            _ => {}
        }
        match rest {
            [hash, TokenTree::Group(body), after @ ..] if is_punct(hash, '#') => {
                check_attribute(hash, body, after, test_file, findings);
            }
            [hash, bang, TokenTree::Group(body), ..] if is_punct(hash, '#') && is_punct(bang, '!') => {
                check_attribute(hash, body, &[], test_file, findings);
            }
            _ => {}
        }
        match rest {
            [word, ..] if is_ident(word, "unsafe") => {
                findings.at(word, "unsafe", "no unsafe code in this workspace");
            }
            [word, TokenTree::Group(lints), ..]
                if !is_ident(word, "forbid") && direct_words(lints).iter().any(|lint| lint == "unsafe_code") =>
            {
                findings.at(word, "unsafe", "unsafe_code is only ever forbidden");
            }
            _ => {}
        }
    }
}

fn check_macro(name: &TokenTree, body: &Group, findings: &mut Findings<'_>) {
    let TokenTree::Ident(ident) = name else { return };
    let text = ident.to_string();
    match text.as_str() {
        "todo" | "unimplemented" => findings.at(name, "leftover", format!("{text}!: build it")),
        _ if text.contains("assert") => {
            each_row(body.stream(), &mut |row| {
                for at in 0..row.len() {
                    match row.get(at..) {
                        Some([dot, call, TokenTree::Group(arguments), ..])
                            if is_punct(dot, '.') && is_ident(call, "is_err") && arguments.stream().is_empty() =>
                        {
                            findings.at(call, "assertion", "is_err() names no error: match the one that must come");
                        }
                        Some([variant, TokenTree::Group(pattern), ..])
                            if is_ident(variant, "Err") && direct_words(pattern) == ["_"] =>
                        {
                            findings.at(variant, "assertion", "Err(_) names no error: match the one that must come");
                        }
                        _ => {}
                    }
                }
            });
        }
        _ => {}
    }
}

/// `after` is what follows an outer attribute; nothing for an inner one.
fn check_attribute(hash: &TokenTree, body: &Group, after: &[TokenTree], test_file: bool, findings: &mut Findings<'_>) {
    if body.delimiter() != Delimiter::Bracket {
        return;
    }
    let tokens: Vec<TokenTree> = body.stream().into_iter().collect();
    let path: Vec<String> =
        tokens.iter().take_while(|token| !matches!(token, TokenTree::Group(_))).filter_map(ident_text).collect();
    let words = all_words(body.stream());
    let has = |word: &str| words.iter().any(|other| other == word);
    let Some(first) = path.first() else { return };
    let conditional = first == "cfg_attr";

    if first == "ignore" || (conditional && has("ignore")) {
        findings.at(hash, "leftover", "an ignored test proves nothing: make it run, or remove it");
    }
    if (first == "should_panic" || (conditional && has("should_panic"))) && !has("expected") {
        findings.at(hash, "assertion", "should_panic names no message: add `expected`");
    }
    let switches_off = first == "allow" || first == "expect" || (conditional && (has("allow") || has("expect")));
    if switches_off && !has("reason") {
        findings.at(hash, "reason", "a lint switched off needs `reason = \"..\"`");
    }
    if test_file {
        return;
    }
    if path.last().is_some_and(|last| last == "test") {
        findings.at(hash, "inline-test", "a test belongs into tests.rs in the folder of this module's name");
    }
    if first == "cfg" && asks_for_test(body.stream()) && opens_module(after) {
        findings.at(hash, "inline-test", "the body of this module belongs into tests.rs in the folder of its parent");
    }
}

/// Whether a `cfg` names `test`, other than under `not`.
fn asks_for_test(stream: TokenStream) -> bool {
    let row: Vec<TokenTree> = stream.into_iter().collect();
    let mut rest = row.as_slice();
    while let Some((first, tail)) = rest.split_first() {
        rest = match (first, tail) {
            (word, [TokenTree::Group(_), tail @ ..]) if is_ident(word, "not") => tail,
            (TokenTree::Group(group), _) if asks_for_test(group.stream()) => return true,
            (word, _) if is_ident(word, "test") => return true,
            _ => tail,
        };
    }
    false
}

/// Whether the item behind an attribute is a module with its body in braces.
fn opens_module(mut after: &[TokenTree]) -> bool {
    loop {
        after = match after {
            [hash, TokenTree::Group(_), rest @ ..] if is_punct(hash, '#') => rest,
            [visible, TokenTree::Group(group), rest @ ..]
                if is_ident(visible, "pub") && group.delimiter() == Delimiter::Parenthesis =>
            {
                rest
            }
            [visible, rest @ ..] if is_ident(visible, "pub") => rest,
            [word, TokenTree::Ident(_), TokenTree::Group(_), ..] => return is_ident(word, "mod"),
            _ => return false,
        };
    }
}

fn is_ident(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if *ident == word)
}

fn is_punct(token: &TokenTree, char: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == char)
}

pub(super) fn ident_text(token: &TokenTree) -> Option<String> {
    match token {
        TokenTree::Ident(ident) => Some(ident.to_string()),
        _ => None,
    }
}

/// The words right inside a pair of brackets.
fn direct_words(group: &Group) -> Vec<String> {
    group.stream().into_iter().filter_map(|token| ident_text(&token)).collect()
}

/// All words, at any depth.
fn all_words(stream: TokenStream) -> Vec<String> {
    let mut words = Vec::new();
    each_row(stream, &mut |row| words.extend(row.iter().filter_map(ident_text)));
    words
}
