//! What an open has found and done.

use blob_runtime::segmented::Opening;

use crate::recover::{Case, Plan};

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
    /// What it amounts to.
    pub case: Case,
    /// Items it has now.
    pub items: u64,
    /// Bytes of frames it has now, without the seal that recovery has put behind them.
    pub bytes: u64,
    /// So many of these bytes were proven durable by what was found. The rest was made durable by the open; a read-only
    /// open shows it and promises nothing.
    pub proven_bytes: u64,
    /// Bytes behind the end that were dropped, zeros too.
    pub dropped_bytes: u64,
    /// How many of them were moved to quarantine first.
    pub quarantined_bytes: u64,
    /// Whether the blob's header did not verify, and was made anew.
    pub header_lost: bool,
    /// Why the section ends where it does, in words.
    pub reason: String,
}

impl SectionReport {
    pub(crate) fn new(section: u64, plan: &Plan, header_sound: bool, quarantined_bytes: u64) -> Self {
        Self {
            section,
            case: plan.case,
            items: plan.end.position,
            bytes: plan.end.offset,
            proven_bytes: plan.proven,
            dropped_bytes: plan.cut.end - plan.cut.start,
            quarantined_bytes,
            header_lost: !header_sound,
            reason: crate::recover::reason(plan),
        }
    }
}
