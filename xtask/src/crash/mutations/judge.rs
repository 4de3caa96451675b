//! Runs the tests on one mutation and says what came of it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::build::{Binary, Tree};
use super::limit::{End, run};
use crate::mutation::Mutation;
use crate::process::Failure;

#[cfg(test)]
mod tests;

/// What came of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    Caught,
    /// It is said to survive, and does.
    Harmless,
    Survived,
    /// It is said to survive, and a test fails.
    CaughtAfterAll,
    /// Its tests pass, and another fails.
    CaughtElsewhere,
    /// A test of its list is not among those of its command.
    NoSuchTest,
    /// The workspace does not compile with it: that says nothing about the tests.
    DoesNotCompile,
}

impl Fate {
    pub(super) fn is_right(self) -> bool {
        matches!(self, Self::Caught | Self::Harmless)
    }
}

/// A fate, and what is to be known beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) fate: Fate,
    pub(super) note: String,
}

impl Verdict {
    pub(super) fn new(fate: Fate, note: impl Into<String>) -> Self {
        Self { fate, note: note.into() }
    }
}

/// Where one is tested.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub(super) tree: &'a Tree,
    /// The programs that its command runs.
    pub(super) binaries: &'a [Binary],
    /// The switches that are on.
    pub(super) on: String,
    /// What the tests say goes here.
    pub(super) log: &'a Path,
    /// A test that a mutation has sent into a loop has failed.
    pub(super) limit: Duration,
}

impl Place<'_> {
    /// Runs the whole of a command.
    pub(super) fn whole(&self, test: &str, seeds: Option<u64>) -> Result<End, Failure> {
        let mut command = self.tree.cargo();
        command.args(test.split_whitespace().skip(1));
        self.run(command, seeds)
    }

    fn run(&self, mut command: Command, seeds: Option<u64>) -> Result<End, Failure> {
        if let Some(seeds) = seeds.filter(|_| std::env::var_os("SEEDS").is_none()) {
            command.env("SEEDS", seeds.to_string());
        }
        run(command.env("MUTATED", &self.on), self.limit, self.log)
    }

    fn said(&self) -> String {
        fs::read(self.log).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }
}

/// Runs the tests that are said to find it and, where they do not, all that its command names.
///
/// # Errors
/// When something cannot be started.
pub(super) fn judge(mutation: &Mutation, place: &Place<'_>) -> Result<Verdict, Failure> {
    // What an earlier run has said would be taken for this one's.
    super::tree::write(place.log, b"")?;
    if mutation.survives.is_some() {
        return Ok(match place.whole(&mutation.test, mutation.seeds)? {
            End::Well => Verdict::new(Fate::Harmless, ""),
            end => Verdict::new(Fate::CaughtAfterAll, because(end, &results(&place.said(), "FAILED"))),
        });
    }
    let known = |name: &&String| place.binaries.iter().any(|binary| binary.tests.contains(name));
    let unknown: Vec<&str> = mutation.caught_by.iter().filter(|name| !known(name)).map(String::as_str).collect();
    if !unknown.is_empty() {
        return Ok(Verdict::new(Fate::NoSuchTest, unknown.join(", ")));
    }
    let mut ends = Vec::new();
    for binary in place.binaries {
        let named: Vec<&String> = mutation.caught_by.iter().filter(|name| binary.tests.contains(name)).collect();
        if !named.is_empty() {
            let mut command = Command::new(&binary.path);
            command.args(named).arg("--exact").current_dir(&binary.folder);
            ends.push(place.run(command, mutation.seeds)?);
        }
    }
    let passed: Vec<String> =
        results(&place.said(), "ok").into_iter().filter(|name| mutation.caught_by.contains(name)).collect();
    if let Some(end) = ends.into_iter().rev().find(|end| *end != End::Well) {
        let mut notes = vec![because(end, &[])];
        notes.extend(passed.iter().map(|name| format!("{name} passes")));
        notes.retain(|note| !note.is_empty());
        return Ok(Verdict::new(Fate::Caught, notes.join(", ")));
    }
    Ok(match place.whole(&mutation.test, mutation.seeds)? {
        End::Well => Verdict::new(Fate::Survived, ""),
        end => Verdict::new(Fate::CaughtElsewhere, because(end, &results(&place.said(), "FAILED"))),
    })
}

fn because(end: End, failed: &[String]) -> String {
    match end {
        End::Killed => "no end in time".to_owned(),
        _ => failed.join(", "),
    }
}

/// The tests with this result, by what the programs have said.
fn results(said: &str, result: &str) -> Vec<String> {
    let lines = said.lines().filter_map(|line| line.strip_prefix("test ")?.split_once(" ... "));
    lines.filter(|(_, end)| *end == result).map(|(name, _)| name.to_owned()).collect()
}
