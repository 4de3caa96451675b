//! A tree with all mutations in it, each behind a switch, and its tests, built once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::build::{self, Binary, Built, Complaint, Options, Tree};
use super::switch::{ASK, Edit, Switched, switch};
use super::tree;
use crate::mutation::Mutation;
use crate::process::Failure;

#[cfg(test)]
mod tests;

/// Each build shows the errors of one crate at the most, and of one pass of the compiler.
const ROUNDS: usize = 40;

/// The tree and its tests.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) tree: Tree,
    pub(super) binaries: Programs,
    /// Rows that could not be switched, by their numbers, and why.
    pub(super) refused: BTreeMap<usize, String>,
}

/// The number that a row has as a switch.
pub(super) fn number(row: usize) -> u32 {
    u32::try_from(row).unwrap_or(u32::MAX)
}

/// The switches that a row needs.
pub(super) fn on(all: &[Mutation], row: usize) -> String {
    let rows = std::iter::once(row).chain(companions(all, row));
    rows.map(|row| row.to_string()).collect::<Vec<_>>().join(",")
}

fn companions(all: &[Mutation], row: usize) -> impl Iterator<Item = usize> {
    let is_beside = move |other: &&usize| all[row].also.contains(&all[**other].name);
    (0..all.len()).collect::<Vec<_>>().into_iter().filter(move |other| is_beside(&other))
}

/// Writes and builds a tree with switches for `rows`. Those that keep it from being built are left out, one after the
/// other, until it is.
///
/// # Errors
/// When it is not built for another reason.
pub(super) fn prepare(root: &Path, folder: &Path, all: &[Mutation], rows: &[usize]) -> Result<Ground, Failure> {
    let tree = Tree { root: folder.join("tree"), target: folder.join("target") };
    let mut refused = BTreeMap::new();
    for _ in 0..ROUNDS {
        let files = plan(root, all, rows, &mut refused)?;
        let roots: BTreeSet<PathBuf> = files.keys().filter_map(|file| crate_root(file)).collect();
        tree::copy(root, &tree.root, |file, sound| {
            let mut bytes = files.get(file).map_or(sound, |file| file.text.clone().into_bytes());
            if roots.contains(Path::new(file)) {
                bytes.extend_from_slice(ASK.as_bytes());
            }
            bytes
        })?;
        let left: Vec<usize> = rows.iter().copied().filter(|row| !refused.contains_key(row)).collect();
        println!("building {} mutations as switches, {} are to be built alone", left.len(), rows.len() - left.len());
        let complaints = match build(&tree, all, &left, &files)? {
            Ok(binaries) => return Ok(Ground { tree, binaries, refused }),
            Err(complaints) => complaints,
        };
        let before = refused.len();
        for complaint in &complaints {
            let first = complaint.text.lines().next().unwrap_or_default();
            for row in blame(&files, complaint) {
                refused.entry(row).or_insert_with(|| first.to_owned());
            }
        }
        if refused.len() == before {
            let first = complaints.first().map(|complaint| complaint.text.clone()).unwrap_or_default();
            return Err(Failure::new(format!("the switches do not compile, and no mutation is to blame: {first}")));
        }
    }
    Err(Failure::new(format!("the switches do not compile after {ROUNDS} rounds")))
}

/// Switches the rows, and those they need, into the files. All that cannot be switched goes to `refused`.
fn plan(
    root: &Path,
    all: &[Mutation],
    rows: &[usize],
    refused: &mut BTreeMap<usize, String>,
) -> Result<BTreeMap<String, Switched>, Failure> {
    loop {
        let before = refused.len();
        let wanted: BTreeSet<usize> = rows.iter().flat_map(|row| companions(all, *row).chain([*row])).collect();
        let mut edits: BTreeMap<&str, Vec<Edit<'_>>> = BTreeMap::new();
        for row in wanted {
            let Mutation { file, find, replace, .. } = &all[row];
            if crate_root(file).is_none() {
                refused.entry(row).or_insert_with(|| "it is in no library".to_owned());
            } else if !refused.contains_key(&row) {
                edits.entry(file).or_default().push(Edit { row: number(row), find, replace });
            }
        }
        let mut files = BTreeMap::new();
        let mut places: BTreeMap<usize, (&str, Range<usize>)> = BTreeMap::new();
        for (file, edits) in edits {
            let failed = |error: &dyn std::fmt::Display| Failure::new(format!("{file}: {error}"));
            let source = fs::read_to_string(root.join(file)).map_err(|error| failed(&error))?;
            let switched = switch(&source, &edits).map_err(|error| failed(&error))?;
            refused.extend(switched.refused.iter().map(|(row, why)| (*row as usize, (*why).to_owned())));
            places.extend(switched.places.iter().map(|(row, place)| (*row as usize, (file, place.clone()))));
            files.insert(file.to_owned(), switched);
        }
        for &row in rows {
            if companions(all, row).any(|other| !places.contains_key(&other) || meet(&places, row, other)) {
                refused.entry(row).or_insert_with(|| "one that it needs cannot be switched beside it".to_owned());
            }
        }
        if refused.len() == before {
            return Ok(files);
        }
    }
}

/// Whether two rows are in one block, or in one within the other's: a copy has no other mutation in it.
fn meet(places: &BTreeMap<usize, (&str, Range<usize>)>, one: usize, other: usize) -> bool {
    let (Some((file, a)), Some((beside, b))) = (places.get(&one), places.get(&other)) else { return false };
    file == beside && a.start < b.end && b.start < a.end
}

/// The root of the library that a file is part of.
fn crate_root(file: &str) -> Option<PathBuf> {
    let mut parts = file.split('/');
    let (Some("crates"), Some(package), Some("src"), Some(next)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let is_program = next == "main.rs" || next == "bin";
    (!is_program).then(|| ["crates", package, "src", "lib.rs"].iter().collect())
}

/// The programs that each `cargo test` would run.
type Programs = BTreeMap<Options, Vec<Binary>>;

/// Builds all tests that the rows name. Answers them, or what the compiler says against it.
fn build(
    tree: &Tree,
    all: &[Mutation],
    rows: &[usize],
    files: &BTreeMap<String, Switched>,
) -> Result<Result<Programs, Vec<Complaint>>, Failure> {
    let packages: BTreeSet<&str> = files.keys().filter_map(|file| file.split('/').nth(1)).collect();
    let complaints = match packages.is_empty() {
        true => Vec::new(),
        false => build::check(tree, &Vec::from_iter(packages))?,
    };
    if !complaints.is_empty() {
        return Ok(Err(complaints));
    }
    let mut binaries = BTreeMap::new();
    for options in rows.iter().map(|row| Options::of(&all[*row].test)).collect::<BTreeSet<_>>() {
        match build::tests(tree, &options)? {
            Built::Well(programs) => drop(binaries.insert(options, programs)),
            Built::Badly(complaints) => return Ok(Err(complaints)),
        }
    }
    Ok(Ok(binaries))
}

/// The rows to blame for an error: the first place within a copy says whose it is.
fn blame(files: &BTreeMap<String, Switched>, complaint: &Complaint) -> Vec<usize> {
    let known = || complaint.places.iter().filter_map(|place| Some((files.get(&place.file)?, &place.bytes)));
    let copy = known().find(|(file, bytes)| file.is_copy(bytes));
    let rows = copy.or_else(|| known().find(|(file, bytes)| !file.blame(bytes).is_empty()));
    rows.map(|(file, bytes)| file.blame(bytes)).unwrap_or_default().into_iter().map(|row| row as usize).collect()
}
