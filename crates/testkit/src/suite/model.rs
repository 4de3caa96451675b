//! The tier of the protocol's model.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{Extent, Progress, Summary};
use crate::protocol::{Rules, check, suite};

/// Operations of the searches when there is no time to fill; two cores go through them in about a minute.
const OPS: u8 = 4;

/// More would take days.
const MAX_OPS: u8 = 8;

/// A search that nothing but its bounds ends.
const NO_LIMIT: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// The tier of the model, on `jobs` threads: the searches of the [suite]; one run is one search. With so much time they are
/// made again with one more operation, until the time is over: a search that it ends counts as one that found nothing.
pub fn model(extent: Extent, jobs: usize, progress: &Progress) -> Summary {
    let began = Instant::now();
    let mut summary = Summary { tier: "model", ..Summary::default() };
    let (mut states, mut different, mut cut) = (0, 0, 0);
    let breadths = match extent {
        Extent::Seeds { .. } => OPS..=OPS,
        Extent::Time { .. } => OPS..=MAX_OPS,
    };
    'all: for ops in breadths {
        for search in suite(ops) {
            let left = match extent {
                Extent::Seeds { .. } => NO_LIMIT,
                Extent::Time { time, .. } => time.saturating_sub(began.elapsed()),
            };
            if left.is_zero() || progress.stop.load(Ordering::Relaxed) {
                break 'all;
            }
            let outcome = check(search.bounds, Rules::all(), jobs, left);
            progress.runs.fetch_add(1, Ordering::Relaxed);
            summary.runs += 1;
            states += outcome.states as u64;
            different += outcome.unique_states as u64;
            cut += u64::from(!outcome.complete);
            if outcome.counterexample.is_some() || outcome.sampled {
                progress.violations.fetch_add(1, Ordering::Relaxed);
                let again = "cargo xtask test-crash --tier model --jobs 1";
                summary.violations.push(format!("{again}\n{ops} operations: {}\n{outcome}", search.name));
            }
        }
    }
    summary.states = states;
    summary.reach = [("states", states), ("different states", different), ("searches ended by time", cut)]
        .map(|(name, count)| (name.to_owned(), count))
        .into();
    summary.took = began.elapsed();
    summary
}
