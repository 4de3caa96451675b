//! The bound on open files.
//!
//! CLOCK (Corbató, "A Paging Experiment with the Multics System", 1968): a ring of open files, each with a bit that a
//! use sets; the hand clears set bits and takes the first file whose bit is clear. A use touches nothing but the bit,
//! so the path of a hot read takes no lock.
//!
//! What is bounded is descriptors, not entries of the ring: a file that was taken out while a read still uses it counts
//! until that read has ended.
//!
//! No deadlock: whoever waits here holds no slot, and whoever holds one is a job that runs on a thread and waits for
//! nobody here. So some job ends, and tells the waiting.

use std::collections::VecDeque;
use std::fs::{File, Metadata};
use std::io;
use std::ops::Deref;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Arc, PoisonError, Weak};

use super::inner::{Inner, LetGo};
use super::jobs::Io;
use super::root::Root;
use crate::sync::{Condvar, Mutex, lock};

#[cfg(test)]
mod tests;

/// The most files that are synced ahead side by side: with the one that makes room, 16.
const MAX_SYNCS_AHEAD: usize = 15;
/// For so many open files one is synced ahead: where there are few, each of them may be needed at once.
const FILES_PER_SYNC_AHEAD: usize = 32;

/// Open files, and how many there may be.
pub(super) struct Handles {
    slots: Arc<Slots>,
    /// Syncs that run ahead of a need for room.
    ahead: Arc<AtomicUsize>,
    /// The hand is at the front. An entry without an open file is left over, and dropped when the hand meets it.
    ring: Mutex<VecDeque<Weak<Inner>>>,
}

/// An open file of a blob.
#[derive(Debug)]
pub(super) struct OpenFile {
    // Dropped in this order: closed, then counted as closed.
    file: File,
    identity: Identity,
    file_bytes: u64,
    _slot: Slot,
}

/// Which file it is, whatever its name (`stat(2)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) device: u64,
    inode: u64,
}

/// The right to have one file open.
#[derive(Debug)]
pub(super) struct Slot(Arc<Slots>);

#[derive(Debug)]
struct Slots {
    bound: usize,
    state: Mutex<State>,
    changed: Condvar,
    waiting: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    open: usize,
    /// Counts what may have made a slot, or a file that can be closed. Whoever waits has seen it before it looked.
    epoch: u64,
    /// Those who have looked, found nothing, and sleep.
    asleep: usize,
}

impl OpenFile {
    /// # Errors
    /// `ELOOP`-like: it is no regular file; what `fstat` says.
    pub(super) fn new(file: File, slot: Slot) -> io::Result<Self> {
        let found: Metadata = file.metadata()?;
        if !found.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let identity = Identity { device: found.dev(), inode: found.ino() };
        Ok(Self { file, identity, file_bytes: found.len(), _slot: slot })
    }

    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    /// Bytes the file had when it was opened.
    pub(super) fn bytes_at_open(&self) -> u64 {
        self.file_bytes
    }
}

impl Deref for OpenFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.open -= 1;
        state.epoch += 1;
        drop(state);
        self.0.changed.notify_all();
    }
}

impl Handles {
    pub(super) fn new(bound: usize) -> Self {
        let slots = Slots { bound, state: Mutex::default(), changed: Condvar::new(), waiting: AtomicUsize::new(0) };
        Self { slots: Arc::new(slots), ahead: Arc::default(), ring: Mutex::default() }
    }

    /// Descriptors that are open.
    pub(super) fn open_count(&self) -> usize {
        lock(&self.slots.state).open
    }

    /// The most there may be.
    pub(super) fn bound(&self) -> usize {
        self.slots.bound
    }

    /// Puts a blob whose file was opened into the ring.
    pub(super) fn opened(&self, inner: &Arc<Inner>) {
        let mut ring = lock(&self.ring);
        // Left-over entries never outnumber the real ones for long.
        if ring.len() >= 2 * self.slots.bound {
            ring.retain(|entry| entry.upgrade().is_some_and(|inner| inner.is_open()));
        }
        ring.push_back(Arc::downgrade(inner));
    }

    /// A slot, when one is free.
    fn free_slot(&self) -> Option<Slot> {
        let mut state = lock(&self.slots.state);
        if state.open >= self.slots.bound {
            return None;
        }
        state.open += 1;
        Some(Slot(Arc::clone(&self.slots)))
    }

    /// A slot without waiting for anybody or anything: a free one, or that of an idle file without unsynced writes.
    pub(super) fn slot_at_once(&self, root: &Root) -> Option<Slot> {
        self.free_slot().or_else(|| {
            let closed = self.close(root, false)?;
            root.forget_if_unused(&closed);
            self.free_slot()
        })
    }

    /// A slot. Closes an idle file when none is free, and waits when all are in use.
    pub(super) fn slot(&self, root: &Root) -> Slot {
        if let Some(slot) = self.free_slot() {
            return slot;
        }
        let _waiting = Waiting::new(&self.slots);
        loop {
            let seen = lock(&self.slots.state).epoch;
            if let Some(slot) = self.free_slot() {
                return slot;
            }
            if let Some(closed) = self.close_one(root) {
                root.forget_if_unused(&closed);
                continue;
            }
            let mut state = lock(&self.slots.state);
            state.asleep += 1;
            while state.epoch == seen {
                state = self.slots.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.asleep -= 1;
        }
    }

    /// Closes an idle file; one with unsynced writes, synced before, only when there is no other.
    pub(super) fn close_one(&self, root: &Root) -> Option<Arc<Inner>> {
        self.close(root, false).or_else(|| {
            self.sync_ahead(root);
            self.close(root, true)
        })
    }

    /// Begins to sync the files whose turn comes after the next one: when one had to be synced to make room, so will
    /// they, and side by side that takes hardly longer than one. Nobody waits for it. It keeps nothing locked: a sync
    /// changes no byte.
    fn sync_ahead(&self, root: &Root) {
        let most = (self.slots.bound / FILES_PER_SYNC_AHEAD).min(MAX_SYNCS_AHEAD);
        let room = most.saturating_sub(self.ahead.load(Ordering::Relaxed));
        if root.io == Io::Inline || room == 0 {
            return;
        }
        let next: Vec<_> = lock(&self.ring).iter().skip(1).take(room).filter_map(Weak::upgrade).collect();
        for inner in next {
            let running = Running::new(&self.ahead);
            let (sys, slots) = (Arc::clone(&root.sys), Arc::clone(&self.slots));
            root.io.run_detached(move || {
                inner.sync_ahead(&sys);
                inner.partition.forget_if_unused(&inner);
                slots.job_ended();
                drop(running);
            });
        }
    }

    fn close(&self, root: &Root, unsynced_too: bool) -> Option<Arc<Inner>> {
        // Once round clears the bits, once more finds one that was not used meanwhile.
        let steps = 2 * lock(&self.ring).len();
        for _ in 0..steps {
            let entry = lock(&self.ring).pop_front()?;
            let Some(inner) = entry.upgrade() else { continue };
            if !inner.is_open() {
                continue;
            }
            if !inner.take_referenced() {
                match inner.let_go(&root.sys, unsynced_too) {
                    LetGo::Closed => return Some(inner),
                    LetGo::Busy | LetGo::Unsynced => {}
                }
            }
            lock(&self.ring).push_back(entry);
        }
        None
    }

    /// Tells those who wait that a job has ended: its file can be closed now.
    pub(super) fn job_ended(&self) {
        self.slots.job_ended();
    }
}

impl Slots {
    fn job_ended(&self) {
        // Either this load sees the waiting, or what the waiting look at next sees that the job has ended: both sides
        // have a fence between their store and their load.
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) > 0 {
            lock(&self.state).epoch += 1;
            self.changed.notify_all();
        }
    }
}

/// Counts a sync that runs ahead.
struct Running(Arc<AtomicUsize>);

impl Running {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

/// Counts one who waits.
struct Waiting<'a>(&'a Slots);

impl<'a> Waiting<'a> {
    fn new(slots: &'a Slots) -> Self {
        slots.waiting.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        Self(slots)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
