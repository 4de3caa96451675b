//! What our store is to reach, row by row.

use workloads::catalog::{ROWS, Row};

use super::session::Session;
use super::statistics::{TIE, times_as_good};

#[cfg(test)]
mod tests;

/// Our store as it is by default: blocking calls go to a pool of threads.
pub(super) const POOL: &str = "oversized";
/// Our store with blocking calls on the calling thread.
pub(super) const INLINE: &str = "oversized-inline";
/// Our store as it is by default, with a thread for each of many writers.
pub(super) const THREADS: &str = "oversized-threads";
/// The reference.
pub(super) const REFERENCE: &str = "cw4";
/// Its newer version, which no row may be behind of by more than a tie.
pub(super) const NEWER: &str = "cw10";

/// What is asked of one figure.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Target {
    row: &'static str,
    engine: &'static str,
    bound: Bound,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Bound {
    /// In the row's unit.
    AtMost(f64),
    /// In the row's unit.
    AtLeast(f64),
    /// At least so many times as good as another engine in the same session.
    TimesAsGood(f64, &'static str),
}

use Bound::{AtLeast, AtMost, TimesAsGood};

const TARGETS: [Target; 33] = [
    target("commit-256", INLINE, TimesAsGood(1.0 / 1.1, "raw-ahead")),
    target("commit-256", POOL, TimesAsGood(1.0 / 1.5, "raw-ahead")),
    target("commit-256", INLINE, TimesAsGood(3.0, REFERENCE)),
    target("commit-256", POOL, TimesAsGood(2.0, REFERENCE)),
    target("commit-256", INLINE, TimesAsGood(1.0 / TIE, "raft-engine")),
    target("commit-4k", INLINE, TimesAsGood(1.0 / 1.1, "raw-ahead")),
    target("commit-4k", POOL, TimesAsGood(1.0 / 1.5, "raw-ahead")),
    target("commit-4k", INLINE, TimesAsGood(3.5, REFERENCE)),
    target("commit-4k", POOL, TimesAsGood(2.5, REFERENCE)),
    target("commit-64k", INLINE, TimesAsGood(1.0 / 1.1, "raw-ahead")),
    target("commit-64k", INLINE, TimesAsGood(2.5, REFERENCE)),
    target("commit-64k-mean", INLINE, TimesAsGood(1.0 / 0.85, "raw")),
    target("writers", POOL, TimesAsGood(1.7, "raft-engine")),
    target("append-256", POOL, AtMost(200.0)),
    target("append-4k", POOL, TimesAsGood(0.9, "raw")),
    target("append-64k", POOL, TimesAsGood(0.95, "raw")),
    target("read-4k", POOL, TimesAsGood(1.0 / 1.2, "raw")),
    target("read-4k", INLINE, TimesAsGood(1.0 / 1.2, "raw")),
    target("read-64k", POOL, TimesAsGood(1.0 / 1.2, "raw")),
    target("read-64k", INLINE, TimesAsGood(1.0 / 1.2, "raw")),
    target("entry", POOL, AtMost(100.0)),
    target("entry-mean", POOL, AtMost(60.0)),
    target("replay-entries", POOL, AtLeast(60.0)),
    target("replay-values", POOL, AtLeast(12.0)),
    target("reopen-sections", POOL, AtMost(2.0)),
    target("reopen-unclean", POOL, AtMost(40.0)),
    target("reopen-items", POOL, AtMost(1.0)),
    target("load", POOL, AtMost(120.0)),
    target("prune", POOL, AtMost(40.0)),
    target("memory", POOL, AtMost(16.0)),
    target("memory", INLINE, AtMost(16.0)),
    target("size", POOL, AtMost(1.3)),
    target("size", INLINE, AtMost(1.3)),
];

const fn target(row: &'static str, engine: &'static str, bound: Bound) -> Target {
    Target { row, engine, bound }
}

/// A target, and whether it is met.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verdict {
    pub(super) row: Row,
    pub(super) pinned: bool,
    pub(super) engine: String,
    pub(super) wanted: String,
    pub(super) measured: String,
    pub(super) met: bool,
}

/// Holds a session against all targets whose figures it has.
pub(super) fn judge(session: &Session) -> Vec<Verdict> {
    let of_table = TARGETS.iter().filter_map(|target| {
        let row = ROWS.iter().find(|row| row.id == target.row)?;
        Some((row, target))
    });
    let mut verdicts: Vec<Verdict> = of_table
        .flat_map(|(row, target)| [false, true].map(|pinned| verdict(session, row, target, pinned)))
        .flatten()
        .collect();
    for row in &ROWS {
        let target = Target { row: row.id, engine: POOL, bound: TimesAsGood(1.0 / TIE, NEWER) };
        verdicts.extend([false, true].into_iter().filter_map(|pinned| verdict(session, row, &target, pinned)));
    }
    verdicts
}

fn verdict(session: &Session, row: &Row, target: &Target, pinned: bool) -> Option<Verdict> {
    let ours = session.figure(target.engine, row, pinned)?.median;
    let unit = row.metric.unit();
    let (wanted, measured, met) = match target.bound {
        AtMost(limit) => (format!("at most {limit} {unit}"), format!("{ours:.3} {unit}"), ours <= limit),
        AtLeast(limit) => (format!("at least {limit} {unit}"), format!("{ours:.3} {unit}"), ours >= limit),
        TimesAsGood(factor, other) => {
            let theirs = session.figure(other, row, pinned)?.median;
            let ratio = times_as_good(ours, theirs, row.metric.more_is_better())?;
            (format!("{factor:.2} times as good as {other}"), format!("{ratio:.2}"), ratio >= factor)
        }
    };
    Some(Verdict { row: *row, pinned, engine: target.engine.to_owned(), wanted, measured, met })
}
