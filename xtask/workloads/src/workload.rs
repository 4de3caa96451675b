//! What there is to do: an action, and the size of what it is done to.

use serde::{Deserialize, Serialize};

use crate::Outcome;

#[cfg(test)]
mod tests;

/// Bytes of a record's own part: its number, big-endian. An engine adds to it what it needs to find the value.
pub const RECORD_BYTES: u64 = 8;

/// One thing to be measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// What it is called in results; unique among all of a session.
    pub id: String,
    /// What is done.
    pub action: Action,
    /// The store it is done to, or that comes out of it.
    pub shape: Shape,
    /// Measured commits or reads; what is not counted in these counts its items.
    pub operations: u64,
}

/// The size of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Sections, numbered from 0.
    pub sections: u64,
    /// Items in each section.
    pub items: u64,
    /// Bytes of each value.
    pub value_bytes: u64,
}

impl Shape {
    /// Items in all sections.
    pub fn total_items(&self) -> u64 {
        self.sections.saturating_mul(self.items)
    }

    /// Bytes of all records and values.
    pub fn logical_bytes(&self) -> u64 {
        self.total_items().saturating_mul(self.value_bytes.saturating_add(RECORD_BYTES))
    }
}

/// What is done. Where nothing else is said, the store is made by another process before, and synced and closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Into a new store: append one item and make it durable, each time. One section, one writer.
    Commit,
    /// The same by many at once, each waiting for its own commit before its next. One log, where the engine lets many
    /// append to one; where it does not, a section for each.
    Writers(u64),
    /// Into a new store: append all items, then make all durable. The first part is timed apart from the second.
    Append,
    /// Random lookups of an item, record and value, after each was read once.
    Read,
    /// Random lookups of records alone, after each was read once.
    Entry,
    /// All records in order, again and again for 200 ms, after once.
    ReplayEntries,
    /// All records with their values, likewise.
    ReplayValues,
    /// Open, and look up the last item of the last section.
    Reopen {
        /// Whether the store was closed; if not, its process ended without, with [`UNSYNCED`] items appended after the
        /// last sync.
        clean: bool,
    },
    /// Into a new store: append all items, section after section, then make all durable; timed as one.
    Load,
    /// Drop the sections below this number; durable when it returns.
    Prune(u64),
    /// [`Load`](Self::Load), then close: what is on the disk afterwards.
    Size,
}

/// Items appended and never synced before an unclean stop.
pub const UNSYNCED: u64 = 100;

impl Action {
    /// Whether another process makes the store before.
    pub fn needs_store(self) -> bool {
        match self {
            Self::Commit | Self::Writers(_) | Self::Append | Self::Load | Self::Size => false,
            Self::Read | Self::Entry | Self::ReplayEntries | Self::ReplayValues | Self::Reopen { .. } => true,
            Self::Prune(_) => true,
        }
    }

    /// How many syncs to the disk an engine must make during the measured part to be believed.
    /// With many writers one sync may serve all of them.
    pub fn syncs_owed(self, operations: u64) -> u64 {
        match self {
            Self::Commit => operations,
            Self::Writers(writers) => operations.div_ceil(writers.max(1)),
            Self::Append | Self::Load | Self::Size | Self::Prune(_) => 1,
            Self::Read | Self::Entry | Self::ReplayEntries | Self::ReplayValues | Self::Reopen { .. } => 0,
        }
    }

    /// Whether the time is much about hops between threads, so that it is measured on one core and on all.
    pub fn hops_between_threads(self) -> bool {
        matches!(self, Self::Read | Self::ReplayValues | Self::Reopen { .. })
    }
}

/// The figure that a row of the report shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Median time of an operation, in microseconds.
    MedianMicros,
    /// Mean time of an operation, in microseconds.
    MeanMicros,
    /// Median time of an operation, in nanoseconds.
    MedianNanos,
    /// Mean time of an operation, in nanoseconds.
    MeanNanos,
    /// Time without the final sync, by operation, in nanoseconds.
    NanosPerOperation,
    /// Operations in a second.
    PerSecond,
    /// Million operations in a second.
    MillionsPerSecond,
    /// Bytes of values in a second, the final sync included, in 10^6.
    MegabytesPerSecond,
    /// The whole time, the final sync included, in milliseconds.
    Millis,
    /// The most memory the process ever held, in MiB.
    PeakMemory,
    /// Bytes on the disk to bytes of records and values.
    DiskRatio,
}

impl Metric {
    /// The figure of one run. `None` when the run did not measure it.
    #[expect(clippy::cast_precision_loss, reason = "counts and times far below 2^52")]
    pub fn of(self, outcome: &Outcome) -> Option<f64> {
        let whole = outcome.elapsed_ns.saturating_add(outcome.final_sync_ns) as f64;
        let operations = outcome.operations as f64;
        let value = match self {
            Self::MedianMicros => outcome.latencies.as_ref()?.p50_ns as f64 / 1e3,
            Self::MeanMicros => outcome.latencies.as_ref()?.mean_ns / 1e3,
            Self::MedianNanos => outcome.latencies.as_ref()?.p50_ns as f64,
            Self::MeanNanos => outcome.latencies.as_ref()?.mean_ns,
            Self::NanosPerOperation => outcome.elapsed_ns as f64 / operations,
            Self::PerSecond => operations / whole * 1e9,
            Self::MillionsPerSecond => operations / whole * 1e3,
            Self::MegabytesPerSecond => outcome.value_bytes as f64 / whole * 1e3,
            Self::Millis => whole / 1e6,
            Self::PeakMemory => outcome.peak_memory_bytes as f64 / f64::from(1 << 20),
            Self::DiskRatio => outcome.disk.allocated_bytes as f64 / outcome.logical_bytes as f64,
        };
        value.is_finite().then_some(value)
    }

    /// What the figure is counted in.
    pub fn unit(self) -> &'static str {
        match self {
            Self::MedianMicros | Self::MeanMicros => "us",
            Self::MedianNanos | Self::MeanNanos => "ns",
            Self::NanosPerOperation => "ns/op",
            Self::PerSecond => "ops/s",
            Self::MillionsPerSecond => "M/s",
            Self::MegabytesPerSecond => "MB/s",
            Self::Millis => "ms",
            Self::PeakMemory => "MiB",
            Self::DiskRatio => "x",
        }
    }

    /// Whether more is better.
    pub fn more_is_better(self) -> bool {
        matches!(self, Self::PerSecond | Self::MillionsPerSecond | Self::MegabytesPerSecond)
    }
}
