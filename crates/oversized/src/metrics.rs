//! Counts of what a store has done, for dashboards; off unless asked for.

use std::sync::atomic::{AtomicU64, Ordering};

use paged_cache::CacheStats;

/// What a store has done since it was opened: a snapshot. Each count is exact; taken while others work, they need not fit
/// each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Sections that exist.
    pub sections: usize,
    /// Sections that are open, in memory.
    pub open_sections: usize,
    /// Entries appended.
    pub appends: u64,
    /// Bytes of the frames of these entries.
    pub appended_bytes: u64,
    /// Calls of `sync`, and sections of `sync_all`, that found something not durable.
    pub syncs: u64,
    /// Syncs of a file of values: by leaders of such calls, before a checkpoint, for a seal. What lies below
    /// [`syncs`](Self::syncs) was answered to followers by the sync of another.
    pub value_syncs: u64,
    /// Times an index was brought up to its values.
    pub checkpoints: u64,
    /// Sections sealed, those by the close not.
    pub seals: u64,
    /// Prunes that removed something.
    pub prunes: u64,
    /// Rewinds, of one section or over several.
    pub rewinds: u64,
    /// The cache of index pages, with what other stores that share it have done.
    pub cache: CacheStats,
    /// Sections of which anything was dropped, rewritten or found wrong, by the open or since.
    pub recovered_sections: usize,
    /// Bytes that were dropped from them.
    pub dropped_bytes: u64,
    /// Bytes that were moved to quarantine.
    pub quarantined_bytes: u64,
}

/// What is counted where it happens.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) appends: AtomicU64,
    pub(crate) appended_bytes: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) value_syncs: AtomicU64,
    pub(crate) checkpoints: AtomicU64,
    pub(crate) seals: AtomicU64,
    pub(crate) prunes: AtomicU64,
    pub(crate) rewinds: AtomicU64,
}

/// Adds to a count.
pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

/// A count.
pub(crate) fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
