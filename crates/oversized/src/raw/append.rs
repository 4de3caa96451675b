//! Appending: the section is made when it is not there, there is room for what comes, and it is put into memory.

use std::collections::BTreeSet;
use std::sync::{Arc, MutexGuard, PoisonError};

use glob::section::Put;
use glob::{Appended, Location, Packed};

use super::{RawOversized, RecordFn};
use crate::error::Error;
use crate::index::Index;
use crate::metrics::add;
use crate::section::Section;

/// What came of an append that does not wait: small, for it is handed up with every append.
pub(crate) enum Tried<P = ()> {
    /// The first entry of what was appended.
    Done(Appended),
    /// Nothing was appended.
    Failed(Box<Error>),
    /// Nothing was done: there may be something to wait for, to write or to make. With what is appended then.
    MayWait(P),
}

const _: () = assert!(size_of::<Tried>() <= 32 && size_of::<Tried<Box<Packed<'_>>>>() <= 32);

/// Records of so many bytes are worth a checkpoint when the budget is exceeded.
const BUDGET_TAIL_BYTES: usize = 4096;

impl RawOversized {
    /// Appends an entry: `record` makes its record, of the store's record size. No I/O unless a buffer is full, or the section
    /// is begun by it: then its file is made, and one that rests is sealed. Durable with the next [`sync`](Self::sync).
    ///
    /// Cancel safety: dropped, it has appended nothing; it appends in its last poll.
    ///
    /// # Errors
    /// [`Error::ValueTooLarge`], [`Error::RecordSize`], [`Error::Pruned`], [`Error::OutOfOrder`], [`Error::Closed`],
    /// [`Error::ReadOnly`], [`Error::Poisoned`]; the error of the last write when that failed and the buffers are full.
    /// Nothing was appended then.
    pub async fn append(
        &self,
        section: u64,
        value: &[u8],
        record: impl FnOnce(u64, Location, &mut Vec<u8>) + Send,
    ) -> Result<Appended, Error> {
        let packed = self.pack(value)?;
        let mut record = Some(record);
        let mut make = |_: usize, position: u64, location: Location, buf: &mut Vec<u8>| {
            if let Some(record) = record.take() {
                record(position, location, buf);
            }
        };
        match self.try_append(section, std::slice::from_ref(&packed), None, &mut make) {
            Tried::Done(first) => Ok(first),
            Tried::Failed(error) => Err(*error),
            // What may wait is far larger as a future, so it is made only then, and apart.
            Tried::MayWait(()) => {
                Box::pin(self.append_packed(section, std::slice::from_ref(&packed), None, &mut make)).await
            }
        }
    }

    /// An append that has nothing to wait for, to write or to make.
    #[inline]
    pub(crate) fn try_append(
        &self,
        section: u64,
        values: &[Packed<'_>],
        at: Option<u64>,
        record: &mut RecordFn<'_>,
    ) -> Tried {
        if !self.is_next_in_order(section) {
            return Tried::MayWait(());
        }
        let tried = self.store().look_writable(section, |open| Some(self.try_append_to(open, values, at, record)));
        tried.unwrap_or(Tried::MayWait(()))
    }

    #[inline]
    fn try_append_to(
        &self,
        open: &Section,
        values: &[Packed<'_>],
        at: Option<u64>,
        record: &mut RecordFn<'_>,
    ) -> Tried {
        let budget = self.store().driver().budget();
        let is_over_budget = budget.is_some_and(|budget| budget.is_exceeded_by(stored(values)));
        if open.is_untouched() || open.is_poisoned() || open.is_room_due() || is_over_budget {
            return Tried::MayWait(());
        }
        let mut staging = Staging { record, index: &open.index, record_bytes: self.0.record_bytes, is_whole: true };
        let put = open.values.try_put(values, at, &mut |number, position, location, buf| {
            staging.make(number, position, location, buf);
        });
        match put {
            Ok(Put::Done(first)) => {
                self.appended(open, first, values);
                Tried::Done(first)
            }
            Ok(Put::Held | Put::Busy) => Tried::MayWait(()),
            Err(error) if matches!(*error, glob::Error::Frozen { .. }) => Tried::MayWait(()),
            Err(error) => {
                let error = open.of_values(*error);
                // Before a record is made.
                if error.is_gone() { Tried::MayWait(()) } else { Tried::Failed(Box::new(error)) }
            }
        }
    }

    /// Takes note of what was appended.
    #[inline]
    fn appended(&self, open: &Section, first: Appended, values: &[Packed<'_>]) {
        open.account();
        open.touch();
        open.count(|counters| {
            let frames = (glob::frame::OVERHEAD_BYTES + self.0.record_bytes).saturating_mul(values.len());
            add(&counters.appends, values.len() as u64);
            add(&counters.appended_bytes, stored(values).saturating_add(frames) as u64);
        });
        if first.position == 0 {
            self.note_new(open.number());
        }
        self.bell().ring();
    }

    /// Appends values that were packed before, with their records, as one batch: they are recovered all or not at all. With
    /// `at` only if that is the next position. Answers the first; see [`each`](Self::each).
    ///
    /// Cancel safety and errors: as [`append`](Self::append); [`Error::PositionMismatch`].
    pub async fn append_packed(
        &self,
        section: u64,
        values: &[Packed<'_>],
        at: Option<u64>,
        record: &mut RecordFn<'_>,
    ) -> Result<Appended, Error> {
        if values.is_empty() {
            return Err(Error::Encode { reason: "a batch of no values".into() });
        }
        let room = stored(values);
        // An empty section is not of those that exist: it goes again if nothing comes of this.
        let born = Born { store: self, section: Some(section) };
        loop {
            let open = match self.store().try_writable(section).filter(|_| self.is_next_in_order(section)) {
                Some(open) => open,
                None => {
                    // Before the section is made: an append that fails, or is dropped, here leaves none behind.
                    self.keep_to_budget(None, room).await?;
                    let is_open = self.store().table().get(section).is_some();
                    if !is_open && !self.store().is_read_only() {
                        self.close_some(true).await;
                    }
                    self.writable(section, at).await?
                }
            };
            // One that was made just now has nothing to write, and there is room already.
            let roomy = if open.is_untouched() { Ok(()) } else { self.make_room(&open, room).await };
            if let Err(error) = roomy {
                match error.is_gone() {
                    true => {
                        self.again(section).await?;
                        continue;
                    }
                    false => return Err(error),
                }
            }
            let mut staging = Staging { record, index: &open.index, record_bytes: self.0.record_bytes, is_whole: true };
            let mut make = |number: usize, position: u64, location: Location, buf: &mut Vec<u8>| {
                staging.make(number, position, location, buf);
            };
            match open.values.put(values, at, &mut make).await {
                Ok(Put::Done(first)) => {
                    drop(born);
                    self.appended(&open, first, values);
                    return Ok(first);
                }
                // A change of structure is under way: it is driven to its end, and may have removed the section.
                Ok(Put::Held | Put::Busy) => self.store().enter().await?,
                Err(glob::Error::Frozen { .. }) => self.frozen(section, &open).await?,
                Err(error) => {
                    let error = open.of_values(error);
                    if !error.is_gone() {
                        drop(born);
                        self.take_back_unborn().await;
                        return Err(error);
                    }
                    self.again(section).await?;
                }
            }
        }
    }

    /// All entries of a batch whose first is `first`.
    pub fn each(&self, first: Appended, values: &[Packed<'_>]) -> Vec<Appended> {
        let mut next = first.next();
        let mut all = Vec::with_capacity(values.len());
        for (number, value) in values.iter().enumerate() {
            let appended = match number {
                0 => first,
                _ => {
                    let overhead = glob::frame::OVERHEAD_BYTES + self.0.record_bytes;
                    let size = value.stored_bytes().saturating_add(u32::try_from(overhead).unwrap_or(u32::MAX));
                    Appended { position: next.position, location: Location { offset: next.offset, size } }
                }
            };
            next = appended.next();
            all.push(appended);
        }
        all
    }

    fn pack<'a>(&'a self, value: &'a [u8]) -> Result<Packed<'a>, Error> {
        self.0.packer.pack(value).map_err(|error| Error::of_values(0, error))
    }

    /// Before more is kept in memory: what has to be written first is.
    async fn make_room(&self, open: &Section, bytes: usize) -> Result<(), Error> {
        open.check()?;
        open.make_room().await?;
        self.keep_to_budget(Some(open), bytes).await
    }

    /// Gives back what sections hold in memory when so many bytes more are too many: until a quarter of the budget is free, so
    /// that not every append looks at all of them. What fails is an error only where it is `own`, the section that is
    /// appended to.
    async fn keep_to_budget(&self, own: Option<&Section>, bytes: usize) -> Result<(), Error> {
        let Some(budget) = self.store().driver().budget() else { return Ok(()) };
        if !budget.is_exceeded_by(bytes) {
            return Ok(());
        }
        let own = own.map(Section::number);
        let mut sections: Vec<Arc<Section>> = self.store().table().open().into_iter().map(|(_, open)| open).collect();
        // A sync whose caller was dropped ends without taking note of it.
        sections.iter().for_each(|open| open.account());
        if !budget.is_exceeded_by(bytes) {
            return Ok(());
        }
        // Nothing may be written before the store is known to be in use.
        self.store().enter().await?;
        let enough = || !budget.is_exceeded_by(bytes.saturating_add(budget.limit_bytes() / 4));
        sections.sort_by_cached_key(|open| std::cmp::Reverse(open.values.pending_bytes()));
        for other in sections.iter().take_while(|other| other.values.pending_bytes() > 0) {
            if enough() {
                return Ok(());
            }
            let flushed = other.values.flush().await;
            other.account();
            if own == Some(other.number()) {
                flushed.map_err(|error| other.of_values(error))?;
            }
        }
        // Records wait in memory for their checkpoint.
        sections.sort_by_cached_key(|open| open.index.tail_bytes());
        while let Some(other) = sections.pop() {
            if enough() {
                break;
            }
            let section = other.number();
            if other.index.tail_bytes() >= BUDGET_TAIL_BYTES {
                let written = other.checkpoint().await;
                if own == Some(section) {
                    written?;
                }
            } else if own != Some(section) && other.index.tail_bytes() > 0 {
                // So few are not worth an index: they are in the frames, and are read again when the section is opened.
                drop(other);
                self.put_away(section).await;
            }
        }
        Ok(())
    }

    /// Takes the records of a small section out of memory: by closing it when it is not used, else by writing them.
    async fn put_away(&self, section: u64) {
        let Some(open) = self.store().table().get(section).filter(|open| !open.is_untouched()) else { return };
        if open.values.is_durable() {
            let sealed = open.values.is_sealed() || matches!(open.try_seal().await, Ok(true));
            drop(open);
            if sealed && matches!(self.store().close_idle(section).await, Ok(true)) {
                return;
            }
        }
        let Some(open) = self.store().table().get(section) else { return };
        if let Err(error) = open.checkpoint().await {
            tracing::warn!(section, %error, "records could not be written to make room");
        }
    }

    /// A section was taken out of use while it was being used: it may have been pruned, or opened anew.
    async fn again(&self, section: u64) -> Result<(), Error> {
        self.store().guard(section)?;
        self.store().enter().await
    }

    /// In a store that is filled in order a section takes no appends when a higher one was made, nor while one is being
    /// made; when that is gone it takes them again.
    async fn frozen(&self, section: u64, open: &Section) -> Result<(), Error> {
        let _turn = self.0.order.enter().await;
        loop {
            match self.store().table().newest() {
                Some(newest) if newest > section => self.is_out_of_order(section, newest).await?,
                _ => {
                    open.values.freeze(false);
                    return Ok(());
                }
            }
        }
    }

    /// A section is refused because of a higher one. When that is in the table only, because somebody who is gone was to
    /// remove it, or has put nothing into it, it goes, and the table is to be looked at again.
    ///
    /// # Errors
    /// [`Error::OutOfOrder`]; as [`Segmented::discard`](blob_runtime::segmented::Segmented::discard).
    async fn is_out_of_order(&self, section: u64, newest: u64) -> Result<(), Error> {
        self.store().guard(section)?;
        let is_retired = self.store().table().get(newest).is_some_and(|open| open.values.shut_reason().is_some());
        if is_retired && self.store().drive().await {
            return Ok(());
        }
        if self.store().has(newest) {
            return Err(Error::OutOfOrder { section, newest });
        }
        match self.store().discard(newest).await {
            Err(error) if self.store().table().contains(newest) => Err(error),
            // What may be left of it goes at the close.
            _ => Ok(()),
        }
    }

    async fn writable(&self, section: u64, at: Option<u64>) -> Result<Arc<Section>, Error> {
        self.store().guard(section)?;
        if self.store().is_read_only() {
            return Err(Error::ReadOnly);
        }
        self.take_back_unborn().await;
        if self.0.ordered {
            return self.writable_in_order(section, at).await;
        }
        if !self.store().table().contains(section) {
            is_first(section, at)?;
            self.seal_one().await;
        }
        self.store().writable(section).await
    }

    /// Whether appends to the section need no look at the others: one that is not the newest is frozen only while it is
    /// open, and after an open of the store not at all. The newest is frozen before one is made above it.
    fn is_next_in_order(&self, section: u64) -> bool {
        !self.0.ordered || self.store().table().newest() == Some(section)
    }

    /// A section of a store that is filled in order: what lies below is durable, and takes nothing more, before a new one
    /// is made.
    async fn writable_in_order(&self, section: u64, at: Option<u64>) -> Result<Arc<Section>, Error> {
        let _turn = self.0.order.enter().await;
        loop {
            let newest = self.store().table().newest();
            match newest {
                Some(newest) if newest > section => self.is_out_of_order(section, newest).await?,
                Some(newest) if newest < section => {
                    is_first(section, at)?;
                    match self.make_above(newest, section).await {
                        // It was pruned or removed meanwhile, or is being: then another one is the newest.
                        Err(Error::Pruned { section, .. } | Error::SectionOutOfRange { section })
                            if section == newest =>
                        {
                            self.store().enter().await?;
                        }
                        made => return made,
                    }
                }
                newest => {
                    if newest.is_none() {
                        is_first(section, at)?;
                    }
                    return self.store().writable(section).await;
                }
            }
        }
    }

    /// Makes a section when the one below, the newest by now, is durable and takes nothing more.
    async fn make_above(&self, newest: u64, section: u64) -> Result<Arc<Section>, Error> {
        let below = self.store().existing(newest).await?;
        below.values.freeze(true);
        let made = match self.sync_open(Arc::clone(&below)).await {
            Ok(()) => {
                self.seal_one().await;
                self.store().writable(section).await
            }
            Err(error) => Err(error),
        };
        if made.is_err() {
            below.values.freeze(false);
        }
        made
    }

    /// Takes back the sections that appends have left empty: a section exists from its first append on. That one cannot be
    /// taken back is its own failure, and shows at the close.
    pub(super) async fn take_back_unborn(&self) {
        loop {
            let Some(section) = self.unborn().pop_first() else { return };
            // Whoever takes it back may be dropped too.
            let mut left = Born { store: self, section: Some(section) };
            let discarded = self.store().discard(section).await;
            left.section = None;
            if let Err(error) = discarded {
                tracing::warn!(section, %error, "an empty section could not be taken back");
            }
        }
    }

    fn unborn(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.0.unborn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes of values as they are stored, without their frames.
fn stored(values: &[Packed<'_>]) -> usize {
    values.iter().fold(0, |sum, value| sum + value.stored_bytes() as usize)
}

/// The records of an append on their way: into the tags of the frames, and into the tail of the index.
struct Staging<'a, 'b> {
    record: &'a mut RecordFn<'b>,
    index: &'a Index,
    record_bytes: usize,
    /// No record of the wrong size was made: one ends the append, and the next begins where this one did.
    is_whole: bool,
}

impl Staging<'_, '_> {
    fn make(&mut self, number: usize, position: u64, location: Location, buf: &mut Vec<u8>) {
        let from = buf.len();
        (self.record)(number, position, location, buf);
        let made = buf.get(from..).unwrap_or_default();
        self.is_whole &= made.len() == self.record_bytes;
        if self.is_whole {
            self.index.push(position, made);
        }
    }
}

/// The first append to a section is at position 0.
fn is_first(section: u64, at: Option<u64>) -> Result<(), Error> {
    match at {
        Some(expected) if expected > 0 => Err(Error::PositionMismatch { section, expected, found: 0 }),
        _ => Ok(()),
    }
}

/// A section that is about to be appended to, or taken back: when that came to nothing, and nobody else has appended, it is
/// taken back by the next one who makes a section.
struct Born<'a> {
    store: &'a RawOversized,
    section: Option<u64>,
}

impl Drop for Born<'_> {
    fn drop(&mut self) {
        let open = self.section.and_then(|section| self.store.store().table().get(section));
        if let Some(open) = open.filter(|open| open.is_untouched()) {
            self.store.unborn().insert(open.number());
        }
    }
}
