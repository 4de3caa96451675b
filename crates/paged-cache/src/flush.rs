//! What is written when: the planner. Sizes and bytes in, one write out, no I/O.
//!
//! ```text
//!  stream   |······ head ······|── parts that wait ──────────────────────────|
//!  pages    |  page, not full  |  page  |  page  |  page, not full           |
//!            ▲ its durable slot is kept            ▲ only with a sync (I7)
//! ```
//!
//! - All pages but the last are full. A page that is not full is written only by a sync.
//! - A page that is written again keeps the slot the last good sync covered; the new one goes beside it.
//! - The bytes of a page that are in the blob already are not written again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use blob_runtime::Binding;
use blob_runtime::append::{Layout, Pending, Plan};
use bytes::Bytes;

use crate::cache::Member;
use crate::geometry::{Geometry, SLOTS_BYTES};
use crate::page::Mark;

/// How a stream lies in pages; see the [module](self).
#[derive(Debug)]
pub(crate) struct Pages {
    geometry: Geometry,
    binding: Binding,
    /// The last page, when it is not full: its bytes that are in the blob.
    last: Last,
    /// What `last` will be when the plan under way has been written.
    next: Option<Last>,
    /// Whole pages known durable.
    floor: u64,
    /// The last page after a cut whose steps have run; see [`Pages::cut_to`].
    cut_to: Arc<std::sync::Mutex<Option<Last>>>,
    stable: Arc<AtomicU64>,
    cuts: Arc<AtomicU64>,
    /// Full pages in memory: what is cut leaves it.
    member: Arc<Member>,
}

/// A page that is not full.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Last {
    /// Its data.
    pub(crate) data: Vec<u8>,
    /// The slot that counts for it.
    pub(crate) mark: Option<Mark>,
}

impl Pages {
    /// A stream whose last page is `last`, with `floor` whole pages known durable.
    pub(crate) fn new(
        geometry: Geometry,
        binding: Binding,
        len: u64,
        last: Last,
        floor: u64,
        member: Arc<Member>,
    ) -> Self {
        let stable = Arc::new(AtomicU64::new(geometry.page_start(geometry.full_pages(len))));
        Self {
            geometry,
            binding,
            last,
            next: None,
            floor,
            cut_to: Arc::default(),
            stable,
            cuts: Arc::default(),
            member,
        }
    }

    /// Logical offset up to which the stream lies in full pages of the blob, which do not change any more.
    pub(crate) fn stable(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.stable)
    }

    /// Counts cuts, each once when it begins to change the blob and once when it has ended: odd while one is under way, or
    /// has failed. What was read is of one state when the count is the same before and after.
    pub(crate) fn cuts(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.cuts)
    }

    /// The last page, as far as it is in the blob.
    pub(crate) fn last(&self) -> &Last {
        &self.last
    }

    /// The steps of a cut begin. Answers where they leave what the last page is afterwards.
    pub(crate) fn begin_cut(&self, len: u64) -> Arc<std::sync::Mutex<Option<Last>>> {
        self.forget(len);
        self.cuts.fetch_add(1, Ordering::AcqRel);
        Arc::clone(&self.cut_to)
    }

    /// Drops the pages behind `len` from memory, and what is on its way there.
    fn forget(&self, len: u64) {
        let stable = self.stable.load(Ordering::Acquire);
        self.member.forget_from(self.geometry.full_pages(len), self.geometry.full_pages(stable));
    }

    fn set_stable(&self, len: u64) {
        self.stable.store(self.geometry.page_start(self.geometry.full_pages(len)), Ordering::Release);
    }
}

impl Layout for Pages {
    fn plan(&mut self, pending: Pending) -> Plan {
        let (geometry, capacity) = (self.geometry, self.geometry.data_bytes());
        let end = if pending.sync { pending.end() } else { geometry.page_start(geometry.full_pages(pending.end())) };
        let nothing = Plan { offset: 0, data: Vec::new(), through: pending.start };
        if end <= pending.start {
            self.next = None;
            return nothing;
        }
        let first = geometry.place(pending.start);
        let offset = geometry.blob_offset(first.page) + first.offset as u64;
        let mut parts = Parts { parts: pending.parts.into_iter(), current: Bytes::new() };
        let pages = geometry.pages(end) - first.page;
        // Slots and the gap of the last page, in one allocation.
        let mut marks = Vec::with_capacity(usize::try_from(pages).unwrap_or(0) * SLOTS_BYTES + capacity);
        let mut pieces = Vec::new();
        let mut page = std::mem::take(&mut self.last);
        let (last, mut at) = (page.clone(), pending.start);
        let mut next = Last::default();
        for number in first.page..geometry.pages(end) {
            let room = capacity - page.data.len();
            let take = usize::try_from(end - at).unwrap_or(room).min(room);
            let before = pieces.len();
            parts.take(take, &mut pieces);
            let fresh = pieces.get(before..).unwrap_or_default().iter().map(|piece: &Piece| piece.data());
            let data = std::iter::once(&page.data[..]).chain(fresh);
            let mark = Mark::next(self.binding, number, data.clone(), self.floor, page.mark.as_ref());
            at += take as u64;
            let from = marks.len();
            marks.resize(from + room - take, 0);
            marks.extend_from_slice(&mark.slots(page.mark.as_ref()));
            if at == end && mark.len() < capacity {
                next = Last { data: data.collect::<Vec<_>>().concat(), mark: Some(mark) };
            }
            pieces.push(Piece::Marks(from..marks.len()));
            page = Last::default();
        }
        self.last = last;
        self.next = Some(next);
        let marks = Bytes::from(marks);
        let data = pieces
            .into_iter()
            .map(|piece| match piece {
                Piece::Data(data) => data,
                Piece::Marks(range) => marks.slice(range),
            })
            .collect();
        Plan { offset, data, through: end }
    }

    fn written(&mut self, through: u64) {
        if let Some(next) = self.next.take() {
            self.last = next;
        }
        self.set_stable(through);
    }

    fn synced(&mut self, through: u64) {
        self.floor = self.geometry.full_pages(through);
    }

    fn cut(&mut self, len: u64) {
        let steps = self.cut_to.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(last) = steps {
            self.last = last;
        }
        self.next = None;
        self.floor = self.floor.min(self.geometry.full_pages(len));
        // What a read has brought while the cut was under way.
        self.forget(len);
        let stable = self.stable.load(Ordering::Acquire).min(len);
        self.set_stable(stable);
        // One that has changed nothing but memory counts as begun and ended.
        let begun = self.cuts.load(Ordering::Acquire) % 2;
        self.cuts.fetch_add(2 - begun, Ordering::AcqRel);
    }
}

/// A part of a write.
enum Piece {
    Data(Bytes),
    Marks(std::ops::Range<usize>),
}

impl Piece {
    fn data(&self) -> &[u8] {
        match self {
            Self::Data(data) => data,
            Self::Marks(_) => &[],
        }
    }
}

struct Parts {
    parts: std::vec::IntoIter<Bytes>,
    current: Bytes,
}

impl Parts {
    /// Moves the next `left` bytes to `pieces`, without copying them.
    fn take(&mut self, mut left: usize, pieces: &mut Vec<Piece>) {
        while left > 0 {
            if self.current.is_empty() {
                let Some(part) = self.parts.next() else { return };
                self.current = part;
                continue;
            }
            let part = self.current.split_to(left.min(self.current.len()));
            left -= part.len();
            pieces.push(Piece::Data(part));
        }
    }
}
