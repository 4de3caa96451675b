//! A mutation that is built by itself.

use std::fs;
use std::path::PathBuf;

use super::build::{Built, Options, Tree, tests};
use super::judge::{Fate, Place, Verdict, judge};
use crate::mutation::Mutation;
use crate::process::Failure;

/// Applies one, and those it needs, to a tree, tests it, and leaves the tree as it was.
///
/// # Errors
/// When it cannot be applied, or something cannot be started.
pub(super) fn test(mutation: &Mutation, all: &[Mutation], place: Place<'_>) -> Result<Verdict, Failure> {
    let beside = all.iter().filter(|other| mutation.also.contains(&other.name));
    let mut sound: Vec<(PathBuf, String)> = Vec::new();
    let outcome = std::iter::once(mutation)
        .chain(beside)
        .try_for_each(|part| apply(part, place.tree).map(|file| sound.push(file)))
        .and_then(|()| build(mutation, place));
    // The last change first: two may be in one file.
    for (path, text) in sound.into_iter().rev() {
        fs::write(&path, text).map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
    }
    outcome
}

/// Applies one; answers the file and its text as it was.
fn apply(mutation: &Mutation, tree: &Tree) -> Result<(PathBuf, String), Failure> {
    let path = tree.root.join(&mutation.file);
    let failed = |error: std::io::Error| Failure::new(format!("{}: {}: {error}", mutation.name, path.display()));
    let sound = fs::read_to_string(&path).map_err(failed)?;
    if sound.matches(&mutation.find).count() != 1 {
        return Err(Failure::new(format!("{}: its `find` does not occur once", mutation.name)));
    }
    fs::write(&path, sound.replace(&mutation.find, &mutation.replace)).map_err(failed)?;
    Ok((path, sound))
}

/// Built first: a mutation that does not compile has caught nothing.
fn build(mutation: &Mutation, place: Place<'_>) -> Result<Verdict, Failure> {
    match tests(place.tree, &Options::of(&mutation.test))? {
        Built::Well(binaries) => judge(mutation, &Place { binaries: &binaries, ..place }),
        Built::Badly(complaints) => {
            let first = complaints.first().and_then(|complaint| complaint.text.lines().next());
            Ok(Verdict::new(Fate::DoesNotCompile, first.unwrap_or_default()))
        }
    }
}
