//! Builds the tests of a tree, and reads what cargo says about it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::process::{Failure, cargo};

#[cfg(test)]
mod tests;

/// A copy of the workspace, and where it is built.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) root: PathBuf,
    pub(super) target: PathBuf,
}

impl Tree {
    pub(super) fn cargo(&self) -> Command {
        let mut command = cargo();
        command.current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target);
        // What a mutation leaves unused is no reason not to build it.
        command.env("RUSTFLAGS", "--cap-lints=warn");
        command
    }
}

/// `cargo test` with its options, apart from what it is to run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Options(Vec<String>);

impl Options {
    /// Those of a mutation's `test`.
    pub(super) fn of(test: &str) -> Self {
        let mut options = Vec::new();
        let mut words = test.split_whitespace().skip(2).take_while(|word| *word != "--");
        while let Some(word) = words.next().map(str::to_owned) {
            if !word.starts_with('-') {
                continue;
            }
            let has_value = ["-p", "--package", "--test", "--example", "--bench", "--bin"].contains(&word.as_str());
            options.push(word);
            options.extend(has_value.then(|| words.next()).flatten().map(str::to_owned));
        }
        Self(options)
    }

    #[cfg(test)]
    fn words(&self) -> Vec<&str> {
        self.0.iter().map(String::as_str).collect()
    }
}

/// A program with tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binary {
    pub(super) path: PathBuf,
    /// The package's, where its tests expect to be run.
    pub(super) folder: PathBuf,
    /// Their names.
    pub(super) tests: Vec<String>,
}

/// An error of the compiler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) text: String,
    /// The places it shows, the one it is about before those that explain it.
    pub(super) places: Vec<Place>,
}

/// Bytes of a file, named from the tree's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: String,
    pub(super) bytes: Range<usize>,
}

/// What came of a build.
#[derive(Debug)]
pub(super) enum Built {
    Well(Vec<Binary>),
    Badly(Vec<Complaint>),
}

/// Checks the libraries of some packages: the errors that a build would find, in much less time.
///
/// # Errors
/// When cargo cannot be started.
pub(super) fn check(tree: &Tree, packages: &[&str]) -> Result<Vec<Complaint>, Failure> {
    let mut command = tree.cargo();
    command.args(["check", "--lib", "--keep-going"]);
    command.args(packages.iter().flat_map(|package| ["--package", package]));
    match build(command, tree)? {
        Built::Well(_) => Ok(Vec::new()),
        Built::Badly(complaints) => Ok(complaints),
    }
}

/// Builds the tests that a command would run.
///
/// # Errors
/// When cargo or one of the tests cannot be started.
pub(super) fn tests(tree: &Tree, options: &Options) -> Result<Built, Failure> {
    let mut command = tree.cargo();
    command.args(["test", "--no-run"]).args(&options.0);
    let mut built = build(command, tree)?;
    if let Built::Well(binaries) = &mut built {
        for binary in binaries {
            binary.tests = names(&binary.path)?;
        }
    }
    Ok(built)
}

fn build(mut command: Command, tree: &Tree) -> Result<Built, Failure> {
    let command = command.args(["--quiet", "--message-format=json"]).stdin(Stdio::null()).stderr(Stdio::piped());
    let output = command.output().map_err(|error| Failure::new(format!("cannot run cargo: {error}")))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if output.status.success() {
        return Ok(Built::Well(binaries(&said)));
    }
    match complaints(&said, &tree.root) {
        // The linker's, or of a manifest.
        none if none.is_empty() => Err(Failure::new(String::from_utf8_lossy(&output.stderr).into_owned())),
        some => Ok(Built::Badly(some)),
    }
}

fn messages(said: &str) -> impl Iterator<Item = Value> {
    said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok())
}

fn binaries(said: &str) -> Vec<Binary> {
    let tests = messages(said).filter(|message| {
        message["reason"] == "compiler-artifact"
            && message["profile"]["test"] == true
            && message["executable"] != Value::Null
    });
    let path = |value: &Value| PathBuf::from(value.as_str().unwrap_or_default());
    tests
        .map(|message| Binary {
            path: path(&message["executable"]),
            folder: path(&message["manifest_path"]).parent().unwrap_or(Path::new("")).to_owned(),
            tests: Vec::new(),
        })
        .collect()
}

/// The errors, each once: a library is built with and without its tests.
fn complaints(said: &str, root: &Path) -> Vec<Complaint> {
    let mut all: BTreeMap<String, Complaint> = BTreeMap::new();
    for message in messages(said) {
        let message = &message["message"];
        if message["level"] != "error" {
            continue;
        }
        let mut places = Vec::new();
        for own in [true, false] {
            let spans = message["spans"].as_array().into_iter().flatten();
            spans.filter(|span| span["is_primary"] == own).for_each(|span| places.extend(place(span, root)));
        }
        for child in message["children"].as_array().into_iter().flatten() {
            child["spans"].as_array().into_iter().flatten().for_each(|span| places.extend(place(span, root)));
        }
        let text = message["rendered"].as_str().unwrap_or_default().to_owned();
        // The sum at the end has none.
        if !places.is_empty() {
            all.entry(text.clone()).or_insert(Complaint { text, places });
        }
    }
    all.into_values().collect()
}

/// Where a span is in the tree: for what a macro has made, where the macro is called.
fn place(span: &Value, root: &Path) -> Option<Place> {
    if !span["expansion"].is_null() {
        return place(&span["expansion"]["span"], root);
    }
    let number = |value: &Value| value.as_u64().and_then(|number| usize::try_from(number).ok());
    let file = Path::new(span["file_name"].as_str()?);
    let file = file.strip_prefix(root).unwrap_or(file).to_str()?.to_owned();
    Some(Place { file, bytes: number(&span["byte_start"])?..number(&span["byte_end"])? })
}

fn names(binary: &Path) -> Result<Vec<String>, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(format!("{}: {error}", binary.display()));
    let list = Command::new(binary).args(["--list", "--format", "terse"]).output().map_err(|error| failed(&error))?;
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    Ok(list.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
}
