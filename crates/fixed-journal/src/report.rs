//! What an open has found and done.

use blob_runtime::segmented::Opening;
use paged_cache::Ended;

/// What an open has found and done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// What was found of the journal as a whole.
    pub opening: Opening,
    /// The sections of which anything was dropped or that were damaged, ascending.
    pub sections: Vec<SectionRecovery>,
}

/// What was dropped of a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectionRecovery {
    /// The section.
    pub section: u64,
    /// Items it has now.
    pub items: u64,
    /// Items of it that are proven durable by what was found; the rest was made durable by the open.
    pub proven_items: u64,
    /// Why it ends there.
    pub reason: Reason,
    /// Bytes of its blob behind the end that were dropped.
    pub dropped_bytes: u64,
    /// How many of them were moved to quarantine first.
    pub quarantined_bytes: u64,
}

/// Why a section ends where it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// A torn tail: pages that were never acknowledged, or that nothing proves to have been.
    TornTail(Ended),
    /// Its header was lost and made anew.
    Header,
    /// It was not as the close had left it.
    Damage,
    /// An unfinished rewind was carried on.
    Rewind,
}
