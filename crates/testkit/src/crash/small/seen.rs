//! What was there before.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// A set of digests that several threads put into.
#[derive(Debug)]
pub(super) struct Seen(Vec<Mutex<HashSet<u64>>>);

/// Threads seldom meet in one part of so many.
const PARTS: u64 = 64;

impl Seen {
    pub(super) fn new() -> Self {
        Self((0..PARTS).map(|_| Mutex::default()).collect())
    }

    /// Whether it was not there before.
    pub(super) fn is_new(&self, disk: u64, oracle: u64) -> bool {
        // Two SipHash digests: any way of mixing them is as good as another, if the order counts.
        let both = disk ^ oracle.rotate_left(32);
        let part = usize::try_from(both % PARTS).ok().and_then(|part| self.0.get(part));
        part.is_some_and(|part| part.lock().unwrap_or_else(PoisonError::into_inner).insert(both))
    }
}
