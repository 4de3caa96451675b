//! The tiers of the crash suite, run wide: what `cargo xtask test-crash` starts.

mod kill;
mod model;
mod sim;
mod table;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::crash::Checked;

pub use kill::kill;
pub use model::model;
pub use sim::{fuzz, sim, small};
pub use table::table;

/// How far a tier goes: so many runs, or so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// So many runs, from this seed on.
    Seeds {
        /// The first.
        first: u64,
        /// How many.
        count: u64,
    },
    /// As many runs as there is time for, from this seed on.
    Time {
        /// The first.
        first: u64,
        /// How long.
        time: Duration,
    },
}

/// What came of a tier.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Its name.
    pub tier: &'static str,
    /// Runs.
    pub runs: u64,
    /// Crashed states that were opened.
    pub states: u64,
    /// What was gone through, beside runs and states.
    pub reach: Vec<(String, u64)>,
    /// What was done to the disk, and how often.
    pub faults: Vec<(String, u64)>,
    /// How often each promise was put to the test.
    pub checked: Checked,
    /// Broken promises, each with how to see it again.
    pub violations: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// How far a tier has come; looked at from outside while it runs.
#[derive(Debug, Default)]
pub struct Progress {
    /// Runs so far.
    pub runs: AtomicU64,
    /// Violations so far.
    pub violations: AtomicU64,
    /// Asked to end early.
    pub stop: AtomicBool,
}

/// Violations after which a tier ends.
const ENOUGH: u64 = 10;

/// Hands out seeds until the extent is used up, or enough is broken.
#[derive(Debug)]
struct Seeds<'a> {
    next: AtomicU64,
    extent: Extent,
    began: Instant,
    progress: &'a Progress,
}

impl<'a> Seeds<'a> {
    fn new(extent: Extent, progress: &'a Progress) -> Self {
        let (Extent::Seeds { first, .. } | Extent::Time { first, .. }) = extent;
        Self { next: AtomicU64::new(first), extent, began: Instant::now(), progress }
    }

    fn next(&self) -> Option<u64> {
        let enough = self.progress.violations.load(Ordering::Relaxed) >= ENOUGH;
        if enough || self.progress.stop.load(Ordering::Relaxed) {
            return None;
        }
        let seed = self.next.fetch_add(1, Ordering::Relaxed);
        let left = match self.extent {
            Extent::Seeds { first, count } => seed - first < count,
            Extent::Time { time, .. } => self.began.elapsed() < time,
        };
        left.then_some(seed)
    }
}
