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
struct Site<'a> {
    /// Between its braces, behind its inner attributes.
    content: Range<usize>,
    edits: Vec<Edit<'a>>,
}

/// Switches `edits` into `source`.
///
/// # Errors
/// When the source does not parse.
pub(super) fn switch(source: &str, edits: &[Edit<'_>]) -> syn::Result<Switched> {
    let blocks = blocks::contents(source)?;
    let mut switched = Switched::default();
    let mut sites: Vec<Site<'_>> = Vec::new();
    for edit in edits {
        match site_of(source, &blocks, edit) {
            Err(why) => switched.refused.push((edit.row, why)),
            Ok(content) => {
                switched.places.push((edit.row, content.clone()));
                match sites.iter_mut().find(|site| site.content == content) {
                    Some(site) => site.edits.push(*edit),
                    None => sites.push(Site { content, edits: vec![*edit] }),
                }
            }
        }
    }
    // A block before those in it.
    sites.sort_by_key(|site| site.content.start);
    emit(source, 0..source.len(), &sites, &mut switched);
    Ok(switched)
}

/// The innermost block that an edit can be made in.
fn site_of(source: &str, blocks: &[Range<usize>], edit: &Edit<'_>) -> Result<Range<usize>, &'static str> {
    let found = find(source, edit).ok_or("its `find` does not occur once")?;
    let around = blocks.iter().filter(|block| block.start <= found.start && found.end <= block.end);
    let innermost = around.min_by_key(|block| block.len()).ok_or("it is in no block that runs")?;
    let content = behind_attributes(source, innermost);
    if content.start > found.start {
        return Err("it changes an attribute");
    }
    // Unbalanced braces would put what follows into the wrong block, and nobody could be blamed for it.
    match syn::parse_str::<syn::Block>(&format!("{{{}\n}}", changed(source, &content, edit))) {
        Ok(_) => Ok(content),
        Err(_) => Err("its block does not parse"),
    }
}

/// Where its text is, without the space around it, which may lie beyond a brace.
fn find(source: &str, edit: &Edit<'_>) -> Option<Range<usize>> {
    let mut all = source.match_indices(edit.find);
    let (at, _) = all.next()?;
    let trimmed = edit.find.trim();
    let start = at + edit.find.find(trimmed)?;
    (all.next().is_none() && !trimmed.is_empty()).then(|| start..start + trimmed.len())
}

/// A block's content with an edit made. Of the space around what is found no more goes than lies within the block.
fn changed(source: &str, content: &Range<usize>, edit: &Edit<'_>) -> String {
    let at = source.find(edit.find).unwrap_or(content.start);
    let (from, to) = (at.max(content.start), (at + edit.find.len()).min(content.end));
    [&source[content.start..from], edit.replace, &source[to..content.end]].concat()
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
fn emit(source: &str, part: Range<usize>, sites: &[Site<'_>], to: &mut Switched) {
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
fn emit_site(source: &str, site: &Site<'_>, within: &[Site<'_>], to: &mut Switched) {
    let begin = to.text.len();
    to.text.push(' ');
    for edit in &site.edits {
        to.text.push_str(&format!("if crate::__mutated({}) {{", edit.row));
        let start = to.text.len();
        to.text.push_str(&changed(source, &site.content, edit));
        to.copies.push((edit.row, start..to.text.len()));
        // On a line of its own: a block may end with a comment.
        to.text.push_str("\n} else ");
    }
    to.text.push('{');
    emit(source, site.content.clone(), within, to);
    to.text.push_str("\n} ");
    to.chains.push((site.edits.iter().map(|edit| edit.row).collect(), begin..to.text.len()));
}
