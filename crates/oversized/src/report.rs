//! What an open has found and done.

use blob_runtime::segmented::Opening;
use glob::recover::Case;

/// What an open has found and done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryReport {
    /// What was found of the store as a whole.
    pub opening: Opening,
    /// The sections of which anything was dropped, rewritten or found wrong, ascending.
    pub sections: Vec<SectionReport>,
}

/// What was found of a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectionReport {
    /// The section.
    pub section: u64,
    /// What its values amount to; `None` when their file is gone.
    pub values: Option<Case>,
    /// What its index amounts to.
    pub index: IndexCase,
    /// Entries it has now.
    pub entries: u64,
    /// Bytes of values' frames it has now, without the seal that recovery has put behind them.
    pub value_bytes: u64,
    /// So many of these bytes were proven durable by what was found. The rest was made durable by the open; a read-only
    /// open shows it and promises nothing.
    pub proven_bytes: u64,
    /// Bytes of values behind the end that were dropped, zeros too.
    pub dropped_bytes: u64,
    /// How many bytes, of values and index, were moved to quarantine first.
    pub quarantined_bytes: u64,
    /// Whether the header of the values' file did not verify, and was made anew.
    pub header_lost: bool,
    /// Why the section ends where it does, in words.
    pub reason: String,
}

/// What was found of a section's index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IndexCase {
    /// The section has none: it is small, and is read from its values.
    None,
    /// Its pages end where it was last written, and all that was found of them holds.
    Sound,
    /// It has more than the values; it was cut to them.
    Cut,
    /// It was lost or damaged, and is made anew of the values: nothing is lost by that.
    Rebuilt,
    /// It was there without any values.
    Orphan,
}
