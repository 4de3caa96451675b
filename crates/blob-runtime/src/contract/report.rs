//! What came out.

use std::collections::BTreeSet;
use std::fmt;

use super::harness::Ability;
use super::promise::Promise;

/// A promise that a backend does not keep.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "promise {promise} is broken, case \"{case}\": {doing}: expected {expected}, found {found}\nthe promise: {}",
    promise.text
)]
#[non_exhaustive]
pub struct Violation {
    /// The promise.
    pub promise: &'static Promise,
    /// The case that showed it.
    pub case: &'static str,
    /// What was being done or looked at.
    pub doing: String,
    /// What should have come.
    pub expected: String,
    /// What came. A future that should have ended long since is "still waiting".
    pub found: String,
}

/// How a case went. One that fails ends the run, so it is not among these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The promise was kept.
    Checked,
    /// The harness lacks this ability.
    Skipped(Ability),
}

/// One case of the suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Line {
    /// The promise it is about.
    pub promise: &'static Promise,
    /// What it does.
    pub case: &'static str,
    /// How it went.
    pub outcome: Outcome,
}

/// What was checked and what was skipped, case by case: nothing is left out. Its `Display` is a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    lines: Vec<Line>,
}

impl Report {
    pub(super) fn push(&mut self, line: Line) {
        self.lines.push(line);
    }

    /// Every case, in the order in which they ran.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The cases that were skipped, each with the ability the harness lacks.
    pub fn skipped(&self) -> impl Iterator<Item = (&Line, Ability)> {
        self.lines.iter().filter_map(|line| match line.outcome {
            Outcome::Skipped(ability) => Some((line, ability)),
            Outcome::Checked => None,
        })
    }

    /// Ids of the promises that at least one case checked, sorted.
    pub fn checked(&self) -> Vec<&'static str> {
        let checked = self.lines.iter().filter(|line| line.outcome == Outcome::Checked);
        checked.map(|line| line.promise.id).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Ids of the promises that no case could check, sorted.
    pub fn unchecked(&self) -> Vec<&'static str> {
        let all: BTreeSet<_> = self.lines.iter().map(|line| line.promise.id).collect();
        all.into_iter().filter(|id| !self.is_checked(id)).collect()
    }

    /// Whether at least one case checked the promise of this id.
    pub fn is_checked(&self, id: &str) -> bool {
        self.lines.iter().any(|line| line.promise.id == id && line.outcome == Outcome::Checked)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Line { promise, case, outcome } in &self.lines {
            match outcome {
                Outcome::Checked => writeln!(f, "checked  {:<18} {case}", promise.id)?,
                Outcome::Skipped(ability) => {
                    writeln!(f, "skipped  {:<18} {case}: the harness cannot {ability}", promise.id)?;
                }
            }
        }
        let skipped = self.skipped().count();
        write!(f, "{} cases checked, {skipped} skipped", self.lines.len() - skipped)
    }
}
