//! Puts several mutations into one source file, each behind a number that is looked at when the program runs.
//!
//! The innermost block around what a mutation changes becomes
//!
//! ```text
//! { if crate::__mutated(17) { the block as the mutation leaves it } else { the block as it is } }
//! ```
//!
//! so one build stands for all of them. A whole block and nothing smaller, for only a block can be put in the place of
//! itself without a look at types: what it binds, returns and drops stays within it.

use std::ops::Range;

use syn::parse::Parser;

mod blocks;
#[cfg(test)]
mod tests;

/// What asks for a number. Goes to the end of each crate's root.
pub(super) const ASK: &str = r#"
#[doc(hidden)]
#[inline]
#[allow(dead_code, missing_docs)]
pub(crate) fn __mutated(row: u32) -> bool {
    static ROWS: ::std::sync::OnceLock<::std::vec::Vec<u32>> = ::std::sync::OnceLock::new();
    let read = || {
        let rows = ::std::env::var("MUTATED").unwrap_or_default();
        rows.split(',').filter_map(|row| row.parse().ok()).collect()
    };
    ROWS.get_or_init(read).contains(&row)
}
"#;

/// A mutation of the file: the text it replaces occurs once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edit<'a> {
    pub(super) row: u32,
    pub(super) find: &'a str,
    pub(super) replace: &'a str,
}

/// A file with its switches.
#[derive(Debug, Default)]
pub(super) struct Switched {
    pub(super) text: String,
    /// Those that have no switch, and why.
    pub(super) refused: Vec<(u32, &'static str)>,
    /// Which block of the file as it was each row has.
    pub(super) places: Vec<(u32, Range<usize>)>,
    /// Where in `text` each row's copy of its block is.
    copies: Vec<(u32, Range<usize>)>,
    /// Where in `text` the blocks with their copies are, and whose; an inner one before the one around it.
    chains: Vec<(Vec<u32>, Range<usize>)>,
}

impl Switched {
    /// The rows that are to blame for what is wrong at a place of the text: the one whose copy it is, or else all that
    /// the innermost block there has switches for.
    pub(super) fn blame(&self, place: &Range<usize>) -> Vec<u32> {
        let covers = |range: &Range<usize>| range.start <= place.start && place.end <= range.end;
        match self.copies.iter().find(|(_, copy)| covers(copy)) {
            Some((row, _)) => vec![*row],
            None => {
                self.chains.iter().find(|(_, chain)| covers(chain)).map(|(rows, _)| rows.clone()).unwrap_or_default()
            }
        }
    }

    /// Whether a place lies in the copy of a row, and so says which one is to blame with no doubt.
    pub(super) fn is_copy(&self, place: &Range<usize>) -> bool {
        self.copies.iter().any(|(_, copy)| copy.start <= place.start && place.end <= copy.end)
    }
}

/// A block with those that change it.
struct Site {
    /// Between its braces, behind its inner attributes.
    content: Range<usize>,
    /// The row of each, and the content as it leaves it.
    changed: Vec<(u32, String)>,
}

/// Switches `edits` into `source`.
///
/// # Errors
/// When the source does not parse.
pub(super) fn switch(source: &str, edits: &[Edit<'_>]) -> syn::Result<Switched> {
    let blocks = blocks::contents(source)?;
    let mut switched = Switched::default();
    let mut sites: Vec<Site> = Vec::new();
    for edit in edits {
        match site_of(source, &blocks, edit) {
            Err(why) => switched.refused.push((edit.row, why)),
            Ok((content, text)) => {
                switched.places.push((edit.row, content.clone()));
                match sites.iter_mut().find(|site| site.content == content) {
                    Some(site) => site.changed.push((edit.row, text)),
                    None => sites.push(Site { content, changed: vec![(edit.row, text)] }),
                }
            }
        }
    }
    // A block before those in it.
    sites.sort_by_key(|site| site.content.start);
    emit(source, 0..source.len(), &sites, &mut switched);
    Ok(switched)
}

/// The content of the innermost block that an edit can be made in, and as that leaves it.
fn site_of(source: &str, blocks: &[Range<usize>], edit: &Edit<'_>) -> Result<(Range<usize>, String), &'static str> {
    let change = change(source, edit).ok_or("its `find` does not occur once")?;
    let is_around = |block: &&Range<usize>| block.start <= change.place.start && change.place.end <= block.end;
    let mut around: Vec<&Range<usize>> = blocks.iter().filter(is_around).collect();
    around.sort_by_key(|block| block.len());
    let mut why = "it is in no block that runs";
    for block in around {
        let content = behind_attributes(source, block);
        if content.start > change.place.start {
            return Err("it changes an attribute");
        }
        // One that changes where blocks begin and end needs the block around those; the braces of a file's text would
        // not be in pairs with it, and nobody could be blamed for what follows.
        let text = change.within(source, &content);
        match syn::parse_str::<syn::Block>(&format!("{{{text}\n}}")) {
            Ok(_) => return Ok((content, text)),
            Err(_) => why = "no block around it parses",
        }
    }
    Err(why)
}

/// What an edit changes.
struct Change<'a> {
    /// What goes, without what stays before and behind it.
    bytes: Range<usize>,
    /// The same without the space around it, which may lie beyond a brace.
    place: Range<usize>,
    /// What comes.
    text: &'a str,
}

/// Of the text that is found, only what is not the same afterwards: the context that makes it occur once may begin before
/// a block or end behind it.
fn change<'a>(source: &str, edit: &Edit<'a>) -> Option<Change<'a>> {
    let mut all = source.match_indices(edit.find);
    let (at, _) = all.next()?;
    if all.next().is_some() {
        return None;
    }
    let (find, text) = (edit.find, edit.replace);
    let before: usize =
        find.chars().zip(text.chars()).take_while(|(a, b)| a == b).map(|(same, _)| same.len_utf8()).sum();
    let (find, text) = (&find[before..], &text[before..]);
    let behind: usize =
        find.chars().rev().zip(text.chars().rev()).take_while(|(a, b)| a == b).map(|(same, _)| same.len_utf8()).sum();
    let (find, text) = (&find[..find.len() - behind], &text[..text.len() - behind]);
    let bytes = at + before..at + before + find.len();
    let start = match find.trim_start() {
        "" => bytes.start,
        trimmed => bytes.end - trimmed.len(),
    };
    Some(Change { place: start..start + find.trim().len(), bytes, text })
}

impl Change<'_> {
    /// A block's content with it made. Of the space around what goes no more goes than lies within the block.
    fn within(&self, source: &str, content: &Range<usize>) -> String {
        let (from, to) = (self.bytes.start.max(content.start), self.bytes.end.min(content.end));
        [&source[content.start..from], self.text, &source[to..content.end]].concat()
    }
}

/// Inner attributes are only allowed where a body begins: they stay there.
fn behind_attributes(source: &str, block: &Range<usize>) -> Range<usize> {
    let content = &source[block.clone()];
    let head = |input: syn::parse::ParseStream<'_>| {
        let attributes = input.call(syn::Attribute::parse_inner)?;
        input.parse::<proc_macro2::TokenStream>()?;
        Ok(attributes.last().map(|last| last.bracket_token.span.close().byte_range().end))
    };
    match head.parse_str(content) {
        Ok(Some(end)) => block.start + end..block.end,
        _ => block.clone(),
    }
}

/// Writes a part of the source; `sites` are those in it, each before those within.
fn emit(source: &str, part: Range<usize>, sites: &[Site], to: &mut Switched) {
    let mut at = part.start;
    let mut rest = sites;
    while let Some((site, behind)) = rest.split_first() {
        let (within, after) = behind.split_at(behind.partition_point(|other| other.content.start < site.content.end));
        to.text.push_str(&source[at..site.content.start]);
        emit_site(source, site, within, to);
        at = site.content.end;
        rest = after;
    }
    to.text.push_str(&source[at..part.end]);
}

/// Writes a block's content: the copies, which hold no switch, and then what it was, with the switches within.
fn emit_site(source: &str, site: &Site, within: &[Site], to: &mut Switched) {
    let begin = to.text.len();
    to.text.push(' ');
    for (row, text) in &site.changed {
        to.text.push_str(&format!("if crate::__mutated({row}) {{"));
        let start = to.text.len();
        to.text.push_str(text);
        to.copies.push((*row, start..to.text.len()));
        // On a line of its own: a block may end with a comment.
        to.text.push_str("\n} else ");
    }
    to.text.push('{');
    emit(source, site.content.clone(), within, to);
    to.text.push_str("\n} ");
    to.chains.push((site.changed.iter().map(|(row, _)| *row).collect(), begin..to.text.len()));
}
