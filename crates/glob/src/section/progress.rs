//! Where a section stands: counters that readers look at without a lock.
//!
//! They are written under the log's lock only, so they belong together there; a reader may see one a moment before the
//! other.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Resume;
use crate::error::Error;
use crate::location::Cursor;

/// Marks kept, at most.
const MAX_MARKS: usize = 1024;
/// Cuts remembered, at most.
const MAX_CUTS: usize = 64;
/// Items between two marks, at first.
const FIRST_STRIDE: u64 = 64;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Progress {
    items: AtomicU64,
    end: AtomicU64,
    /// Whether anything was ever in it.
    touched: AtomicBool,
    durable_items: AtomicU64,
    /// Counts the cuts; a scan compares.
    cuts: AtomicU64,
    sealed: AtomicBool,
    held: AtomicBool,
    frozen: AtomicBool,
    is_shut: AtomicBool,
    /// How far apart the marks are, in items.
    stride: AtomicU64,
    /// Syncs of the blob that have returned.
    syncs: AtomicU64,
    rest: Mutex<Rest>,
}

#[derive(Debug, Default)]
struct Rest {
    /// Where some of the items are, ascending.
    marks: Vec<Cursor>,
    shut: Option<Error>,
    /// What the write under way covers.
    planned: Option<Cursor>,
    /// Where the cut under way goes.
    cutting: Option<Cursor>,
    /// The number of a cut, and the items it has left: of those that no later one has gone below. Both ascend.
    cuts: Vec<(u64, u64)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Progress {
    pub(crate) fn new(from: Resume) -> Self {
        Self {
            items: AtomicU64::new(from.end.position),
            end: AtomicU64::new(from.end.offset),
            touched: AtomicBool::new(from.end.offset > 0),
            // Which of the items are durable is known only when all are.
            durable_items: AtomicU64::new(if from.durable >= from.end.offset { from.end.position } else { 0 }),
            cuts: AtomicU64::new(0),
            sealed: AtomicBool::new(from.sealed),
            held: AtomicBool::new(false),
            frozen: AtomicBool::new(false),
            is_shut: AtomicBool::new(false),
            stride: AtomicU64::new(FIRST_STRIDE),
            syncs: AtomicU64::new(0),
            rest: Mutex::default(),
        }
    }

    #[inline]
    pub(super) fn items(&self) -> u64 {
        self.items.load(Ordering::Acquire)
    }

    pub(super) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    #[inline]
    pub(super) fn touched(&self) -> bool {
        self.touched.load(Ordering::Acquire)
    }

    pub(super) fn durable_items(&self) -> u64 {
        self.durable_items.load(Ordering::Acquire)
    }

    pub(super) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    pub(crate) fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Acquire)
    }

    pub(crate) fn sealed(&self) -> bool {
        self.sealed.load(Ordering::Acquire)
    }

    pub(super) fn held(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    pub(super) fn set_held(&self, held: bool) {
        self.held.store(held, Ordering::Release);
    }

    pub(super) fn frozen(&self) -> bool {
        self.frozen.load(Ordering::Acquire)
    }

    pub(super) fn set_frozen(&self, frozen: bool) {
        self.frozen.store(frozen, Ordering::Release);
    }

    pub(super) fn shut(&self, reason: Error) {
        // Whoever was first has the reason.
        lock(&self.rest).shut.get_or_insert(reason);
        self.is_shut.store(true, Ordering::Release);
    }

    pub(crate) fn shut_reason(&self) -> Option<Error> {
        if self.is_shut.load(Ordering::Acquire) { lock(&self.rest).shut.clone() } else { None }
    }

    /// Whether nothing can be appended now: it is shut, held or frozen.
    #[inline]
    pub(super) fn is_barred(&self) -> bool {
        self.is_shut.load(Ordering::Acquire) || self.held() || self.frozen()
    }

    /// Frames were appended.
    #[inline]
    pub(super) fn appended(&self, first: Cursor, to: Cursor, sealed: bool) {
        if !sealed && first.position.is_multiple_of(self.stride.load(Ordering::Relaxed)) {
            self.mark(first);
        }
        self.sealed.store(sealed, Ordering::Release);
        self.items.store(to.position, Ordering::Release);
        self.end.store(to.offset, Ordering::Release);
        self.touched.store(true, Ordering::Release);
    }

    /// A write up to `end` is about to be made.
    pub(crate) fn note_planned(&self, end: u64) {
        // A write that ends inside what was appended ends at no known item.
        lock(&self.rest).planned =
            (end == self.end()).then(|| Cursor { offset: end, position: self.items.load(Ordering::Relaxed) });
    }

    /// A sync has returned that covers everything up to `through`.
    pub(crate) fn note_synced(&self, through: u64) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        if let Some(planned) = lock(&self.rest).planned.filter(|planned| planned.offset == through) {
            self.durable_items.fetch_max(planned.position, Ordering::AcqRel);
        }
    }

    /// A cut to this place is about to be made.
    pub(super) fn set_cutting(&self, to: Cursor) {
        lock(&self.rest).cutting = Some(to);
    }

    /// A cut has been made.
    pub(crate) fn note_cut(&self, len: u64) {
        let mut rest = lock(&self.rest);
        rest.planned = None;
        rest.marks.retain(|mark| mark.offset < len);
        let Some(to) = rest.cutting.take().filter(|to| to.offset == len) else { return };
        self.items.store(to.position, Ordering::Release);
        self.end.store(to.offset, Ordering::Release);
        self.durable_items.fetch_min(to.position, Ordering::AcqRel);
        self.sealed.store(false, Ordering::Release);
        rest.cuts.retain(|(_, items)| *items < to.position);
        if rest.cuts.len() == MAX_CUTS
            && let Some(oldest) = rest.cuts.first().copied()
        {
            // The next one counts as having gone as low: that says too much was cut, never too little.
            rest.cuts.remove(0);
            if let Some(next) = rest.cuts.first_mut() {
                next.1 = oldest.1;
            }
        }
        let number = self.cuts.load(Ordering::Relaxed) + 1;
        rest.cuts.push((number, to.position));
        self.cuts.store(number, Ordering::Release);
    }

    /// How many items no cut has touched that came behind the cut of this number.
    pub(super) fn untouched_since(&self, cuts: u64) -> u64 {
        let rest = lock(&self.rest);
        rest.cuts.iter().find(|(number, _)| *number > cuts).map_or(u64::MAX, |(_, items)| *items)
    }

    /// Notes where an item's frame begins, so that a rewind need not look at all frames. Bounded: when there are too
    /// many marks, every other one goes.
    fn mark(&self, item: Cursor) {
        let mut rest = lock(&self.rest);
        if rest.marks.len() == MAX_MARKS {
            let stride = self.stride.load(Ordering::Relaxed).saturating_mul(2);
            self.stride.store(stride, Ordering::Relaxed);
            rest.marks.retain(|mark| mark.position.is_multiple_of(stride));
            if !item.position.is_multiple_of(stride) {
                return;
            }
        }
        rest.marks.push(item);
    }

    /// The last known boundary at or before an item.
    pub(super) fn before(&self, position: u64) -> Cursor {
        let rest = lock(&self.rest);
        let at = rest.marks.partition_point(|mark| mark.position <= position);
        at.checked_sub(1).and_then(|at| rest.marks.get(at)).copied().unwrap_or(Cursor::START)
    }
}
