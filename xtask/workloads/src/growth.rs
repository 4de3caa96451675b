//! How cost grows: the same work on stores of 1, 10 and 100 times the size.

use crate::Workload;
use crate::catalog::Scale;
use crate::workload::{Action, Shape};

#[cfg(test)]
mod tests;

/// The sizes of a curve, as multiples of the smallest.
pub const STEPS: [u64; 3] = [1, 10, 100];

/// One curve for each engine: what the work costs by what there is of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Curve {
    /// Its name; unique.
    pub id: &'static str,
    /// What is done.
    pub title: &'static str,
    /// What there is more and more of.
    pub axis: &'static str,
    /// Each size with the work.
    pub points: Vec<(u64, Workload)>,
}

/// All curves.
pub fn curves(scale: Scale) -> Vec<Curve> {
    let part = |count: u64| match scale {
        Scale::Full => count,
        Scale::Quick => count / 5,
    };
    let sections = |size: u64| Shape { sections: size, items: 20, value_bytes: 256 };
    let items = |size: u64| Shape { sections: 4, items: size, value_bytes: 64 };
    let values = |size: u64| Shape { sections: 1, items: part(500), value_bytes: size };
    vec![
        curve("sections-load", "load + sync all", "sections", part(20), |n| (Action::Load, sections(n), 0)),
        curve("sections-reopen", "reopen, clean", "sections", part(20), |n| {
            (Action::Reopen { clean: true }, sections(n), 0)
        }),
        curve("sections-unclean", "reopen after an unclean stop", "sections", part(20), |n| {
            (Action::Reopen { clean: false }, sections(n), 0)
        }),
        curve("sections-prune", "prune all but one", "sections", part(20), |n| (Action::Prune(n - 1), sections(n), 0)),
        curve("items-load", "load + sync all", "items per section", part(500), |n| (Action::Load, items(n), 0)),
        curve("items-reopen", "reopen, clean", "items per section", part(500), |n| {
            (Action::Reopen { clean: true }, items(n), 0)
        }),
        curve("items-unclean", "reopen after an unclean stop", "items per section", part(500), |n| {
            (Action::Reopen { clean: false }, items(n), 0)
        }),
        curve("items-entry", "entry only", "items per section", part(500), |n| (Action::Entry, items(n), 64_000)),
        curve("value-load", "load + sync", "bytes per value", 640, |n| (Action::Load, values(n), 0)),
        curve("value-commit", "durable append", "bytes per value", 640, |n| (Action::Commit, values(n), part(500))),
        curve("value-read", "hot read, entry + value", "bytes per value", 640, |n| {
            (Action::Read, values(n), part(5_000))
        }),
        curve("writers-commit", "append + sync each, 4 KiB", "writers", 1, |n| {
            (Action::Writers(n), Shape { sections: 1, items: 0, value_bytes: 4 << 10 }, n * part(200))
        }),
    ]
}

fn curve(
    id: &'static str,
    title: &'static str,
    axis: &'static str,
    smallest: u64,
    work: impl Fn(u64) -> (Action, Shape, u64),
) -> Curve {
    let point = |step: u64| {
        let size = smallest * step;
        let (action, shape, operations) = work(size);
        (size, Workload { id: format!("{id}-{step}x"), action, shape, operations })
    };
    Curve { id, title, axis, points: STEPS.into_iter().map(point).collect() }
}
