//! How frames lie in their blob: as they are, with zeros written ahead of them.
//!
//! ```text
//!  commit n:    [frames n][zeros .................]   one write, one fdatasync: extends the file
//!  commit n+1:            [frames n+1]                blocks that exist: fdatasync changes no metadata
//! ```
//!
//! A commit that finds no written space behind it writes zeros in the same write (I8); the file system then has no
//! metadata to change at the following ones. None are written while appends run without syncs, nor at the first commits
//! of a section, which may stay small; a section's seal cuts off what is left.

use std::sync::Arc;

use blob_runtime::MAX_BLOB_BYTES;
use blob_runtime::append::{Layout, Linear, Pending, Plan};
use bytes::Bytes;

use crate::section::Progress;

#[cfg(test)]
mod tests;

/// The smallest window of zeros in bytes.
const MIN_WINDOW_BYTES: u64 = 64 << 10;
/// A window holds about so many commits of the recent size.
const COMMITS_AHEAD: u64 = 192;
/// A window that holds fewer commits than this costs more than it saves.
const MIN_COMMITS_AHEAD: u64 = 4;
/// Commits one after the other before zeros are written.
const MIN_STREAK: u32 = 2;
/// Commits without zeros after a write with zeros has failed: the disk is probably full.
const BACKOFF: u32 = 64;
/// Zeros end at a block of the file system.
const BLOCK_BYTES: u64 = 4096;

const ZEROS_BYTES: usize = 64 << 10;
static ZEROS: [u8; ZEROS_BYTES] = [0; ZEROS_BYTES];

/// Parts of zeros, `len` bytes together.
pub(crate) fn zeros(len: u64) -> Vec<Bytes> {
    let whole = usize::try_from(len / ZEROS_BYTES as u64).unwrap_or(usize::MAX);
    let rest = usize::try_from(len % ZEROS_BYTES as u64).unwrap_or(0);
    let mut parts = vec![Bytes::from_static(&ZEROS); whole];
    if rest > 0 {
        parts.push(Bytes::from_static(&ZEROS).slice(..rest));
    }
    parts
}

/// See the [module](self). Tells the section's progress what was planned, synced and cut.
#[derive(Debug)]
pub(crate) struct Ahead {
    progress: Arc<Progress>,
    /// The largest window in bytes; 0 for none.
    max_window_bytes: u64,
    /// Up to here the blob is written, with frames or zeros.
    end: u64,
    /// What the plan under way would make of `end`.
    planned_end: u64,
    /// Where the last sync ended.
    synced: u64,
    /// Mean bytes of the recent commits.
    recent_bytes: u64,
    /// Small commits one after the other.
    streak: u32,
    /// A plan with zeros has not come back yet, or has failed.
    zeros_open: bool,
    /// Commits to go before zeros are tried again.
    backoff: u32,
}

impl Ahead {
    /// A layout for a blob that is written, and was last synced, up to `end`.
    pub(crate) fn new(progress: Arc<Progress>, end: u64, max_window_bytes: u64) -> Self {
        Self {
            progress,
            max_window_bytes,
            end,
            planned_end: end,
            synced: end,
            recent_bytes: 0,
            streak: 0,
            zeros_open: false,
            backoff: 0,
        }
    }

    /// The file is about to be cut to `len`, and no zeros are to follow: the section is being sealed.
    pub(crate) fn trim(&mut self, len: u64) {
        self.end = self.end.min(len);
        self.planned_end = self.end;
        self.streak = 0;
    }

    /// Zeros to write behind a commit that ends at `end`, in bytes. None behind a seal: it ends the blob.
    fn window(&self, end: u64) -> u64 {
        if self.progress.sealed() {
            return 0;
        }
        let commit = end.saturating_sub(self.synced);
        let mean = self.recent_bytes.max(commit);
        let window = mean
            .saturating_mul(COMMITS_AHEAD)
            .clamp(MIN_WINDOW_BYTES.min(self.max_window_bytes), self.max_window_bytes);
        if self.streak < MIN_STREAK || self.backoff > 0 || window < mean.saturating_mul(MIN_COMMITS_AHEAD) {
            return 0;
        }
        let aligned = end.saturating_add(window).next_multiple_of(BLOCK_BYTES);
        if aligned > MAX_BLOB_BYTES { 0 } else { aligned - end }
    }
}

impl Layout for Ahead {
    fn plan(&mut self, pending: Pending) -> Plan {
        let end = pending.end();
        self.progress.note_planned(end);
        let (offset, mut data) = (pending.start, pending.parts);
        if self.zeros_open {
            self.backoff = BACKOFF;
        }
        let extends = !data.is_empty() && end > self.end;
        let zero_bytes = if pending.sync && extends { self.window(end) } else { 0 };
        data.extend(zeros(zero_bytes));
        self.zeros_open = zero_bytes > 0;
        self.planned_end = self.end.max(end + zero_bytes);
        Plan { offset, data, through: end }
    }

    fn written(&mut self, _through: u64) {
        self.end = self.planned_end;
        self.zeros_open = false;
    }

    fn synced(&mut self, through: u64) {
        self.progress.note_synced(through);
        let commit = through.saturating_sub(self.synced);
        self.synced = through;
        if commit == 0 {
            return;
        }
        let small = commit.saturating_mul(MIN_COMMITS_AHEAD) <= self.max_window_bytes;
        self.backoff = self.backoff.saturating_sub(1);
        self.streak = if small { self.streak.saturating_add(1) } else { 0 };
        let recent = self.recent_bytes;
        self.recent_bytes = if recent == 0 { commit } else { recent - recent / 8 + commit / 8 };
    }

    fn cut(&mut self, len: u64) {
        self.progress.note_cut(len);
        self.end = self.end.min(len);
        self.planned_end = self.end;
        self.synced = self.synced.min(len);
        self.zeros_open = false;
    }
}

impl Linear for Ahead {}
