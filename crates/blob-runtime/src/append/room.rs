//! Where in memory there is room for an append.
//!
//! | the buffer | what is under way | room |
//! |---|---|---|
//! | takes it | anything | in it |
//! | is full | nothing | in the next one, and the full one is written |
//! | is full | a write | none: that is over soon, and then the full one is written |
//! | is full | a sync | in the next one, [`BESIDE_SYNC`] of them altogether |
//!
//! A disk takes as long for a sync as memory for some megabytes: with two buffers an append would wait for most syncs that
//! nobody asked for, those of a long run and of a checkpoint.

use super::State;
use crate::error::Error;
use crate::storage::check_len;

/// Buffers that may wait in memory while a sync is under way, with those that it writes.
const BESIDE_SYNC: usize = 4;

/// See the [module](self).
#[derive(Debug)]
pub(super) enum Room {
    /// In the buffer.
    Here,
    /// In the next one.
    Next,
    /// In the next one, and the full one is to be written.
    AndWrite,
    /// There is none until something has ended.
    None,
    /// There is none: nothing is appended any more, or the last write has failed.
    Failed(Box<Error>),
}

impl<L> State<L> {
    /// The room for `len` bytes, in buffers of `buffer_bytes`.
    #[inline]
    pub(super) fn room(&self, len: usize, buffer_bytes: usize) -> Room {
        if let Some(error) = &self.poisoned {
            return Room::Failed(Box::new(error.clone()));
        }
        if self.cutting || self.held {
            return Room::None;
        }
        if let Err(error) = check_len(self.tail.len().saturating_add(len as u64)) {
            return Room::Failed(Box::new(error));
        }
        let filled = self.tail.filling_bytes();
        let pending = self.tail.pending_bytes();
        let fits = |buffers: usize| pending.saturating_add(len) <= buffer_bytes.saturating_mul(buffers);
        match &self.failed {
            // As much as two buffers hold is waiting for a write that fails: memory is bounded.
            Some(error) if pending > 0 && !fits(2) => return Room::Failed(Box::new(error.clone())),
            _ => {}
        }
        if filled == 0 || filled.saturating_add(len) <= buffer_bytes {
            return Room::Here;
        }
        match (&self.job, &self.failed) {
            (Some(_), _) if self.syncing && fits(BESIDE_SYNC) => Room::Next,
            (Some(_), _) => Room::None,
            (None, Some(error)) => Room::Failed(Box::new(error.clone())),
            (None, None) => Room::AndWrite,
        }
    }
}
