//! How far a search goes.

use super::actions::Op;
use super::disk::{Media, small};

/// How far a search goes, and what may happen in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// Operations from which each step of the search may choose; or, in a script, those that follow each other.
    ops: Vec<Op>,
    script: bool,
    pub(crate) max_ops: u8,
    pub(crate) crashes: u8,
    pub(crate) faults: u8,
    pub(crate) failing_syncs: bool,
    pub(crate) failing_writes: bool,
    pub(crate) rots: u8,
    pub(crate) guests: u8,
    pub(crate) media: Media,
    pub(crate) ahead: bool,
    pub(crate) items: u8,
    pub(crate) room: u8,
    pub(crate) max_outcomes: u32,
}

impl Bounds {
    /// Any of these operations, in any order, up to `max_ops` of them.
    pub fn free(ops: impl IntoIterator<Item = Op>, max_ops: u8) -> Self {
        Self {
            ops: ops.into_iter().collect(),
            script: false,
            max_ops,
            crashes: 1,
            faults: 0,
            failing_syncs: true,
            failing_writes: true,
            rots: 0,
            guests: 0,
            media: Media { stale: false, torn: false },
            ahead: false,
            items: 6,
            room: 12,
            max_outcomes: 1 << 16,
        }
    }

    /// These operations in this order; crashes and faults come in between.
    pub fn script(ops: impl IntoIterator<Item = Op>) -> Self {
        let ops: Vec<Op> = ops.into_iter().collect();
        let max_ops = small(ops.len());
        Self { script: true, ops, ..Self::free([], max_ops) }
    }

    /// Crashes: kills of the process, each perhaps with a power cut.
    #[must_use]
    pub fn crashes(self, crashes: u8) -> Self {
        Self { crashes, ..self }
    }

    /// Failing syncs and writes, together.
    #[must_use]
    pub fn faults(self, faults: u8) -> Self {
        Self { faults, ..self }
    }

    /// Only syncs fail.
    #[must_use]
    pub fn syncs_fail(self, faults: u8) -> Self {
        Self { faults, failing_writes: false, ..self }
    }

    /// Only writes fail.
    #[must_use]
    pub fn writes_fail(self, faults: u8) -> Self {
        Self { faults, failing_syncs: false, ..self }
    }

    /// Cells that rot.
    #[must_use]
    pub fn rots(self, rots: u8) -> Self {
        Self { rots, ..self }
    }

    /// Times another task gets into a rewind or a sync.
    #[must_use]
    pub fn guests(self, guests: u8) -> Self {
        Self { guests, ..self }
    }

    /// Blocks that were cut off may come back.
    #[must_use]
    pub fn stale(self) -> Self {
        Self { media: Media { stale: true, ..self.media }, ..self }
    }

    /// Cells may be torn.
    #[must_use]
    pub fn torn(self) -> Self {
        Self { media: Media { torn: true, ..self.media }, ..self }
    }

    /// A commit that finds no written space behind it writes two cells of zeros ahead.
    #[must_use]
    pub fn ahead(self) -> Self {
        Self { ahead: true, ..self }
    }

    /// Items that are ever appended.
    #[must_use]
    pub fn items(self, items: u8) -> Self {
        Self { items, ..self }
    }

    /// Ways a power cut may end that are looked at; if there are more, a spread of
    /// them, and the outcome says so.
    #[must_use]
    pub fn max_outcomes(self, max_outcomes: u32) -> Self {
        Self { max_outcomes: max_outcomes.max(2), ..self }
    }

    /// The operations that may come next, with so many left.
    pub(crate) fn ops(&self, left: u8) -> Vec<Op> {
        if !self.script {
            return if left == 0 { Vec::new() } else { self.ops.clone() };
        }
        let next = self.max_ops.saturating_sub(left);
        self.ops.get(usize::from(next)).copied().into_iter().collect()
    }

    pub(crate) fn is_script(&self) -> bool {
        self.script
    }
}
