//! What is measured, and in which order.

use workloads::Workload;
use workloads::catalog::{self, Scale};
use workloads::growth;

use super::programs::Engine;

#[cfg(test)]
mod tests;

/// A workload and the ways it is run; all engines take turns at it before the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) workload: Workload,
    /// On one processor: it is measured so, too.
    pub(super) pinned: bool,
    /// The same with fewer operations, to count system calls. `None` for a curve of growth.
    pub(super) counted: Option<Workload>,
}

/// What to leave out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice<'a> {
    /// Part of a workload's id; empty for all.
    pub(super) filter: &'a str,
    pub(super) table: bool,
    pub(super) growth: bool,
    pub(super) scale: Scale,
}

/// The turns, in order.
pub(super) fn turns(choice: Choice<'_>) -> Vec<Turn> {
    let small = catalog::workloads(Scale::Quick);
    let table = catalog::workloads(choice.scale).into_iter().filter(|_| choice.table).map(|workload| Turn {
        pinned: workload.action.hops_between_threads(),
        counted: small.iter().find(|small| small.id == workload.id).cloned(),
        workload,
    });
    let curves = growth::curves(choice.scale).into_iter().filter(|_| choice.growth);
    let points =
        curves.flat_map(|curve| curve.points).map(|(_, workload)| Turn { workload, pinned: false, counted: None });
    table.chain(points).filter(|turn| turn.workload.id.contains(choice.filter)).collect()
}

/// The order of so many in a round: steps of the same width around the circle, a width that meets them all, and in each
/// round another one. So one comes behind others each time.
pub(super) fn order(count: usize, round: u32) -> impl Iterator<Item = usize> {
    let widths: Vec<usize> = (1..=count).filter(|width| gcd(*width, count) == 1).collect();
    let round = round as usize;
    let width = widths.get(round % widths.len().max(1)).copied().unwrap_or(1);
    (0..count).map(move |step| (round + step * width) % count)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// How many runs the turns are, for a bar that shows how far it is.
pub(super) fn runs(turns: &[Turn], engines: usize, rounds: u32, traced: bool) -> u64 {
    let of = |turn: &Turn| {
        let ways = 1 + u64::from(turn.pinned);
        ways * u64::from(rounds) + u64::from(traced && turn.counted.is_some())
    };
    turns.iter().map(of).sum::<u64>() * engines as u64
}

/// The engines that were asked for, by their names; all when nothing was.
pub(super) fn chosen(engines: Vec<Engine>, wanted: &[String]) -> Vec<Engine> {
    let is_wanted = |engine: &Engine| wanted.is_empty() || wanted.contains(&engine.name);
    engines.into_iter().filter(is_wanted).collect()
}
