//! Everything that one call of the benchmark measured: what is written as JSON, and what the report is made of.

use serde::{Deserialize, Serialize};
use workloads::catalog::Row;
use workloads::program::Introduction;
use workloads::{Outcome, Workload};

use super::calls::Calls;
use super::machine::Machine;
use super::statistics::Summary;
use super::suites::Estimate;

#[cfg(test)]
pub(super) mod tests;

/// All measurements.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Session {
    /// The command that made them.
    pub(super) command: String,
    /// Whether only a tenth was done.
    pub(super) quick: bool,
    /// How often each was measured.
    pub(super) rounds: u32,
    pub(super) machine: Machine,
    /// In the order in which they ran.
    pub(super) engines: Vec<Introduction>,
    pub(super) cells: Vec<Cell>,
    /// What the criterion suites said.
    pub(super) suites: Vec<Estimate>,
}

/// One engine, one workload, and whether it was pinned to one processor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Cell {
    pub(super) engine: String,
    pub(super) workload: Workload,
    pub(super) pinned: bool,
    /// One for each round that ended well.
    pub(super) outcomes: Vec<Outcome>,
    /// Why the engine cannot do it, if so.
    pub(super) unsupported: Option<String>,
    /// Why rounds failed.
    pub(super) failures: Vec<String>,
    /// The system calls of one more run, under a tracer and not timed.
    pub(super) calls: Option<Calls>,
}

/// What is thought of an engine's durability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Belief {
    /// It made as many syncs as it owed, or owed none.
    Believed,
    /// It made fewer: its figure is not one of durable work.
    NotBelieved,
    /// Nobody looked, or it may have synced in a way that was not seen.
    Unknown,
}

impl Cell {
    pub(super) fn new(engine: &str, workload: &Workload, pinned: bool) -> Self {
        Self {
            engine: engine.to_owned(),
            workload: workload.clone(),
            pinned,
            outcomes: Vec::new(),
            unsupported: None,
            failures: Vec::new(),
            calls: None,
        }
    }

    /// A figure of all rounds.
    pub(super) fn summary(&self, figure: impl Fn(&Outcome) -> Option<f64>) -> Option<Summary> {
        let values: Vec<f64> = self.outcomes.iter().filter_map(figure).collect();
        Summary::of(&values)
    }

    pub(super) fn belief(&self) -> Belief {
        let Some(calls) = self.calls else {
            return match self.workload.action.syncs_owed(1) {
                0 => Belief::Believed,
                _ => Belief::Unknown,
            };
        };
        if calls.syncs >= self.workload.action.syncs_owed(calls.operations) {
            Belief::Believed
        } else if calls.uncounted {
            Belief::Unknown
        } else {
            Belief::NotBelieved
        }
    }
}

impl Session {
    /// The cell of an engine, a workload and a way to run, if it was measured.
    pub(super) fn cell(&self, engine: &str, workload: &str, pinned: bool) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.engine == engine && cell.workload.id == workload && cell.pinned == pinned)
    }

    /// An engine's figure of a row.
    pub(super) fn figure(&self, engine: &str, row: &Row, pinned: bool) -> Option<Summary> {
        self.cell(engine, row.workload, pinned)?.summary(|outcome| row.metric.of(outcome))
    }
}
