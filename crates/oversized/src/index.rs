//! The records of one section: the newest in memory, the others in pages, and where a part of the pages is lost, in the
//! frames of the values.
//!
//! ```text
//!  position   0 ─────────────── pages ──────── start ──────────── len
//!             in the index      (lost, or not  in memory, not in
//!                               yet written:   any page yet
//!                               in the frames)
//! ```
//!
//! A record is in memory from its append until a checkpoint has made its page durable, behind its value (I1). So the index
//! never knows of a value that is not durable, and an index that fails loses nothing.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use fixed_journal::section::Section as Pages;

pub(crate) struct Index {
    record_bytes: usize,
    pages: ArcSwapOption<Pages>,
    /// The first record in memory.
    start: AtomicU64,
    tail: Mutex<Tail>,
    /// Bytes of records in memory, as every append looks at them: a copy of what the tail has, made under its lock.
    tail_bytes: AtomicUsize,
}

#[derive(Debug, Default)]
struct Tail {
    start: u64,
    bytes: Vec<u8>,
}

/// Where a record is.
pub(crate) enum Place<T> {
    /// In memory.
    Found(T),
    /// In a page.
    Pages(Arc<Pages>),
    /// Only in its value's frame.
    Frames,
}

impl Index {
    /// An index whose records from `start` on are in memory: these, one behind the other.
    pub(crate) fn new(record_bytes: usize, pages: Option<Pages>, start: u64, bytes: Vec<u8>) -> Self {
        Self {
            record_bytes,
            pages: ArcSwapOption::from(pages.map(Arc::new)),
            start: AtomicU64::new(start),
            tail_bytes: AtomicUsize::new(bytes.len()),
            tail: Mutex::new(Tail { start, bytes }),
        }
    }

    pub(crate) fn record_bytes(&self) -> usize {
        self.record_bytes
    }

    pub(crate) fn pages(&self) -> Option<Arc<Pages>> {
        self.pages.load_full()
    }

    /// Puts other pages in the place of those there were; `None`: they are lost.
    pub(crate) fn set_pages(&self, pages: Option<Arc<Pages>>) {
        self.pages.store(pages);
    }

    /// Bytes of records in memory.
    pub(crate) fn tail_bytes(&self) -> usize {
        self.tail_bytes.load(Ordering::Relaxed)
    }

    /// The first record in memory.
    pub(crate) fn start(&self) -> u64 {
        self.start.load(Ordering::Acquire)
    }

    /// Puts a record into memory. Called under the lock of the values' log, in the order of positions. What an append that
    /// came to nothing has left from this position on is overwritten.
    #[inline]
    pub(crate) fn push(&self, position: u64, record: &[u8]) {
        let mut tail = self.tail();
        let at = usize::try_from(position.saturating_sub(tail.start)).unwrap_or(usize::MAX);
        let keep = at.saturating_mul(self.record_bytes);
        tail.bytes.truncate(keep);
        tail.bytes.extend_from_slice(record);
        self.show(&tail);
    }

    /// Looks at a record in memory, in place.
    pub(crate) fn look<T>(&self, position: u64, look: impl FnOnce(&[u8]) -> T) -> Place<T> {
        if position >= self.start() {
            let tail = self.tail();
            if let Some(record) = tail.record(position, self.record_bytes) {
                return Place::Found(look(record));
            }
        }
        match self.pages.load_full() {
            Some(pages) if position < pages.len() => Place::Pages(pages),
            _ => Place::Frames,
        }
    }

    /// Looks at a record without I/O, in memory or in a page that is held; `None` otherwise.
    pub(crate) fn try_look<T>(
        &self,
        position: u64,
        look: impl FnOnce(&[u8]) -> T,
    ) -> Option<Result<T, fixed_journal::Error>> {
        if position >= self.start() {
            let tail = self.tail();
            if let Some(record) = tail.record(position, self.record_bytes) {
                return Some(Ok(look(record)));
            }
        }
        let pages = self.pages.load();
        pages.as_ref().filter(|pages| position < pages.len())?.try_get_with(position, look)
    }

    /// The records in memory, as a copy: those from `from` to before `to` as far as they are there, and the position of the
    /// first. At most about `max_bytes`, at least one.
    pub(crate) fn copy(&self, from: u64, to: u64, max_bytes: usize) -> (u64, Bytes) {
        let tail = self.tail();
        let from = from.max(tail.start);
        let skip = usize::try_from(from - tail.start).unwrap_or(usize::MAX).saturating_mul(self.record_bytes);
        let rest = tail.bytes.get(skip..).unwrap_or_default();
        let max = (max_bytes / self.record_bytes).max(1);
        let count = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX).min(max);
        let bytes = rest.get(..count.saturating_mul(self.record_bytes)).unwrap_or(rest);
        (from, Bytes::copy_from_slice(bytes))
    }

    /// The records before `through` are in pages, durably: they leave memory.
    pub(crate) fn drop_through(&self, through: u64) {
        let mut tail = self.tail();
        let drop = through.saturating_sub(tail.start);
        let bytes = usize::try_from(drop).unwrap_or(usize::MAX).saturating_mul(self.record_bytes).min(tail.bytes.len());
        tail.bytes.drain(..bytes);
        tail.start = tail.start.max(through);
        self.show(&tail);
    }

    /// The section was cut to `items`.
    pub(crate) fn cut(&self, items: u64) {
        let mut tail = self.tail();
        let keep = usize::try_from(items.saturating_sub(tail.start)).unwrap_or(usize::MAX);
        tail.bytes.truncate(keep.saturating_mul(self.record_bytes));
        tail.start = tail.start.min(items);
        self.show(&tail);
    }

    /// What is looked at without the lock follows the tail.
    fn show(&self, tail: &Tail) {
        self.tail_bytes.store(tail.bytes.len(), Ordering::Relaxed);
        self.start.store(tail.start, Ordering::Release);
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tail {
    fn record(&self, position: u64, record_bytes: usize) -> Option<&[u8]> {
        let at = usize::try_from(position.checked_sub(self.start)?).ok()?.checked_mul(record_bytes)?;
        self.bytes.get(at..at.checked_add(record_bytes)?)
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index")
            .field("record_bytes", &self.record_bytes)
            .field("pages", &self.pages.load().as_ref().map(|pages| pages.len()))
            .field("start", &self.start())
            .finish_non_exhaustive()
    }
}
