//! The table: which workloads there are, and which figures of them are shown.

use crate::Workload;
use crate::workload::{Action, Metric, Shape};

#[cfg(test)]
mod tests;

/// How much is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// What the published figures are from.
    Full,
    /// A tenth of all counts: to see that all works, and for a first impression.
    Quick,
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Its name; unique.
    pub id: &'static str,
    /// What it shows.
    pub title: &'static str,
    /// The workload that is run for it.
    pub workload: &'static str,
    /// The figure of it that is shown.
    pub metric: Metric,
}

/// The rows, in the order in which they are shown.
pub const ROWS: [Row; 22] = [
    row("commit-256", "durable append 256 B, p50", Metric::MedianMicros),
    row("commit-4k", "durable append 4 KiB, p50", Metric::MedianMicros),
    row("commit-64k", "durable append 64 KiB, p50", Metric::MedianMicros),
    Row {
        id: "commit-64k-mean",
        title: "durable append 64 KiB, mean",
        workload: "commit-64k",
        metric: Metric::MeanMicros,
    },
    row("writers", "16 writers, append + sync each, 4 KiB", Metric::PerSecond),
    row("append-256", "append 256 B without sync (final sync apart)", Metric::NanosPerOperation),
    row("append-4k", "append 4 KiB, with final sync", Metric::MegabytesPerSecond),
    row("append-64k", "append 64 KiB, with final sync", Metric::MegabytesPerSecond),
    row("read-4k", "hot read, entry + value 4 KiB, p50", Metric::MedianNanos),
    row("read-64k", "hot read, entry + value 64 KiB, p50", Metric::MedianNanos),
    row("entry", "entry only, p50", Metric::MedianNanos),
    Row { id: "entry-mean", title: "entry only, mean", workload: "entry", metric: Metric::MeanNanos },
    row("replay-entries", "replay entries", Metric::MillionsPerSecond),
    row("replay-values", "replay entries + 64 B values", Metric::MillionsPerSecond),
    row("reopen-sections", "reopen 1,000 sections x 20, clean", Metric::Millis),
    row("reopen-unclean", "reopen 1,000 sections x 20, after an unclean stop", Metric::Millis),
    row("reopen-items", "reopen 4 sections x 50,000, clean", Metric::Millis),
    row("load", "load 1,000 sections x 20 x 256 B + sync all", Metric::Millis),
    row("prune", "prune 900 of 1,000 sections", Metric::Millis),
    Row {
        id: "memory",
        title: "peak memory, append 64 KiB x 4,096",
        workload: "append-64k",
        metric: Metric::PeakMemory,
    },
    row("size", "disk / logical bytes, 20,000 x 256 B", Metric::DiskRatio),
    Row { id: "load-memory", title: "peak memory, load 1,000 sections", workload: "load", metric: Metric::PeakMemory },
];

const fn row(id: &'static str, title: &'static str, metric: Metric) -> Row {
    Row { id, title, workload: id, metric }
}

/// The workloads behind the rows.
pub fn workloads(scale: Scale) -> Vec<Workload> {
    let part = |count: u64| match scale {
        Scale::Full => count,
        Scale::Quick => count / 10,
    };
    let one = |items: u64, value_bytes: u64| Shape { sections: 1, items, value_bytes };
    let many = Shape { sections: part(1_000), items: 20, value_bytes: 256 };
    let four = |items: u64, value_bytes: u64| Shape { sections: 4, items, value_bytes };
    let new =
        |id: &str, action: Action, shape: Shape, operations: u64| Workload { id: id.into(), action, shape, operations };
    vec![
        new("commit-256", Action::Commit, one(0, 256), part(3_000)),
        new("commit-4k", Action::Commit, one(0, 4 << 10), part(3_000)),
        new("commit-64k", Action::Commit, one(0, 64 << 10), part(1_500)),
        new("writers", Action::Writers(16), one(0, 4 << 10), 16 * part(500)),
        new("append-256", Action::Append, one(part(400_000), 256), 0),
        new("append-4k", Action::Append, one(part(65_536), 4 << 10), 0),
        new("append-64k", Action::Append, one(part(4_096), 64 << 10), 0),
        new("read-4k", Action::Read, one(part(20_000), 4 << 10), part(50_000)),
        new("read-64k", Action::Read, one(part(1_000), 64 << 10), part(20_000)),
        new("entry", Action::Entry, four(part(25_000), 64), part(640_000)),
        new("replay-entries", Action::ReplayEntries, four(part(100_000), 64), 0),
        new("replay-values", Action::ReplayValues, four(part(25_000), 64), 0),
        new("reopen-sections", Action::Reopen { clean: true }, many, 0),
        new("reopen-unclean", Action::Reopen { clean: false }, many, 0),
        new("reopen-items", Action::Reopen { clean: true }, four(part(50_000), 256), 0),
        new("load", Action::Load, many, 0),
        new("prune", Action::Prune(part(900)), many, 0),
        new("size", Action::Size, one(part(20_000), 256), 0),
    ]
}
