//! A store of pairs as bytes.

mod read;
mod structure;
mod sync;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use blob_runtime::append::Config as LogConfig;
use blob_runtime::codec::FixedSize;
use blob_runtime::segmented::Segmented;
use blob_runtime::{Error as StorageError, Queue, Storage, StoreId};
use bytes::BytesMut;

use glob::section::Put;
use glob::{Appended, Location, Packed, Packer};

use crate::bell::Bell;
use crate::config::Config;
use crate::driver::Sections;
use crate::error::Error;
use crate::record::Locate;
use crate::report::{RecoveryReport, SectionReport};
use crate::section::{Section, Shared};

/// How many sections are synced side by side.
const SYNC_CONCURRENCY: usize = 16;

/// Makes the record of an entry: its number in the batch, its position, the location of its value, and where the record's
/// bytes go. Runs under the section's lock, so it does nothing else.
pub type RecordFn<'a> = dyn FnMut(usize, u64, Location, &mut BytesMut) + Send + 'a;

/// A segmented journal of pairs, a record of fixed size and a large value, both as bytes: for tools, and for whoever has
/// no types for them. Cheap to clone; clones share everything. [`Oversized`](crate::Oversized) is its typed face.
///
/// Dropping the last clone without [`close`](Self::close) flushes nothing: it is a crash.
#[derive(Clone)]
pub struct RawOversized(Arc<Inner>);

struct Inner {
    store: Segmented<Sections>,
    packer: Arc<Packer>,
    record_bytes: usize,
    report: RecoveryReport,
    ordered: bool,
    /// Entered by whoever makes a new section in a store that is filled in order.
    order: Queue,
    /// Sections that newer ones have followed, to be sealed when they rest.
    idle: Mutex<Idle>,
    resting: AtomicUsize,
    bell: Bell,
}

#[derive(Debug, Default)]
struct Idle {
    /// The section that was appended to last.
    current: Option<u64>,
    resting: Vec<u64>,
}

impl RawOversized {
    /// Opens the store, making it when there is none. `record_bytes`: the size of every record; `locate` reads the
    /// location out of one. After an unclean stop every section is recovered before this returns, and what it shows is
    /// durable.
    ///
    /// Cancel safety: dropped, it may be called again.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::FormatMismatch`], [`Error::InvalidConfig`]; [`Error::Corrupt`] with
    /// [`OnDamage::Refuse`](crate::OnDamage::Refuse): damage, and nothing was changed; [`Error::Storage`].
    pub async fn open<C>(
        storage: Arc<dyn Storage>,
        config: Config<C>,
        record_bytes: usize,
        locate: Locate,
    ) -> Result<Self, Error> {
        config.check()?;
        let reason = format!("{record_bytes} bytes are not from {} to {}", <Location as FixedSize>::SIZE, u16::MAX);
        let invalid = Error::InvalidConfig { setting: "record size", reason };
        let size = u16::try_from(record_bytes).ok().filter(|size| usize::from(*size) >= <Location as FixedSize>::SIZE);
        let record_size = size.ok_or(invalid)?;
        let (index_partition, values_partition) = (config.index_partition(), config.values_partition());
        let read_only = config.options.read_only;
        let claim = if read_only { None } else { Some(storage.claim(&index_partition).await?) };
        let settings = config.settings();
        let packer = Arc::clone(&settings.packer);
        let mut options = config.options.clone();
        options.beside = vec![index_partition.clone()];
        let (ordered, beneath, partition) = (config.ordered, Arc::clone(&storage), values_partition.clone());
        let driver = move |store| {
            let shared = Shared {
                storage: beneath,
                store,
                index_partition,
                values_partition,
                record_bytes: record_size,
                locate,
                page_bytes: config.page_bytes,
                page_cache: config.page_cache,
                index_log: LogConfig {
                    buffer_bytes: config.index_buffer_bytes.max(1),
                    unsynced_bytes: u64::MAX,
                    spares: config.spares,
                },
                index_buffer_bytes: config.index_buffer_bytes,
                checkpoint_bytes: config.checkpoint_bytes,
                read_only,
                indexed: Mutex::default(),
            };
            Sections::new(Arc::new(shared), settings, config.buffer_budget, config.quarantine_bytes, claim)
        };
        let (store, opening) = Segmented::open(storage, &partition, &options, driver).await?;
        let report = RecoveryReport { opening, sections: store.driver().opened() };
        Ok(Self(Arc::new(Inner {
            store,
            packer,
            record_bytes,
            report,
            ordered,
            order: Queue::new(),
            idle: Mutex::default(),
            resting: AtomicUsize::new(0),
            bell: Bell::default(),
        })))
    }

    /// What the open has found and done.
    pub fn recovery(&self) -> &RecoveryReport {
        &self.0.report
    }

    /// What was found of sections until now, in the order of their numbers: by the open, as [`recovery`](Self::recovery)
    /// says, and since then. After a clean close a section is looked at when it is used first, and with
    /// [`OnDamage::Truncate`](crate::OnDamage::Truncate) damage is cut off then; one that is reopened is looked at too.
    pub fn section_reports(&self) -> Vec<SectionReport> {
        self.store().driver().reports_so_far()
    }

    /// The store's id, which every file of it bears.
    pub fn store_id(&self) -> StoreId {
        self.store().store()
    }

    /// Size of a record in bytes.
    pub fn record_bytes(&self) -> usize {
        self.0.record_bytes
    }

    /// Packs values as this store does, for [`append_packed`](Self::append_packed).
    pub fn packer(&self) -> &Packer {
        &self.0.packer
    }

    /// Appends an entry: `record` makes its record, of the store's record size. No I/O unless a buffer is full; durable
    /// with the next [`sync`](Self::sync).
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
        record: impl FnOnce(u64, Location, &mut BytesMut) + Send,
    ) -> Result<Appended, Error> {
        let packed = self.pack(value)?;
        let mut record = Some(record);
        let mut make = |_: usize, position: u64, location: Location, buf: &mut BytesMut| {
            if let Some(record) = record.take() {
                record(position, location, buf);
            }
        };
        self.append_packed(section, std::slice::from_ref(&packed), None, &mut make).await
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
        let room = values.iter().fold(0_usize, |sum, value| sum + value.stored_bytes() as usize);
        loop {
            let open = match self.store().try_writable(section).filter(|_| self.is_next_in_order(section)) {
                Some(open) => open,
                None => self.writable(section).await?,
            };
            if let Err(error) = self.make_room(&open, room).await {
                match error.is_gone() {
                    true => {
                        self.again(section).await?;
                        continue;
                    }
                    false => return Err(error),
                }
            }
            let record_bytes = self.0.record_bytes;
            let last = values.len().saturating_sub(1);
            let index = &open.index;
            let mut staged = true;
            let mut make = |number: usize, position: u64, location: Location, buf: &mut BytesMut| {
                let from = buf.len();
                record(number, position, location, buf);
                let made = buf.get(from..).unwrap_or_default();
                staged &= made.len() == record_bytes;
                // A record of the wrong size ends the append: the next one begins where this one did.
                if staged {
                    index.push(position, made);
                }
                debug_assert!(number <= last);
            };
            match open.values.put(values, at, &mut make).await {
                Ok(Put::Done(first)) => {
                    open.account();
                    self.0.bell.ring();
                    return Ok(first);
                }
                // A change of structure is under way: it is driven to its end, and may have removed the section.
                Ok(Put::Held | Put::Busy) => self.store().enter().await?,
                Err(glob::Error::Frozen { .. }) => self.frozen(section, &open).await?,
                Err(error) => {
                    let error = open.of_values(error);
                    if !error.is_gone() {
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
        let Some(budget) = self.store().driver().budget() else { return Ok(()) };
        if !budget.is_exceeded_by(bytes) {
            return Ok(());
        }
        let mut sections: Vec<_> = self.store().table().open().into_iter().map(|(_, open)| open).collect();
        sections.sort_by_key(|open| std::cmp::Reverse(open.values.pending_bytes()));
        for other in sections.iter().take_while(|other| other.values.pending_bytes() > 0) {
            if !budget.is_exceeded_by(bytes) {
                return Ok(());
            }
            let flushed = other.values.flush().await;
            other.account();
            if other.number() == open.number() {
                flushed.map_err(|error| open.of_values(error))?;
            }
        }
        // Records wait in memory for their checkpoint.
        if budget.is_exceeded_by(bytes) {
            sections.sort_by_key(|open| std::cmp::Reverse(open.index.tail_bytes()));
            for other in sections.iter().take_while(|other| other.index.tail_bytes() >= BUDGET_TAIL_BYTES) {
                if !budget.is_exceeded_by(bytes) {
                    return Ok(());
                }
                let written = other.checkpoint().await;
                if other.number() == open.number() {
                    written?;
                }
            }
        }
        Ok(())
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
        match self.store().table().newest() {
            Some(newest) if newest > section => Err(Error::OutOfOrder { section, newest }),
            _ => {
                open.values.freeze(false);
                Ok(())
            }
        }
    }

    async fn writable(&self, section: u64) -> Result<Arc<Section>, Error> {
        self.store().guard(section)?;
        if self.store().is_read_only() {
            return Err(Error::ReadOnly);
        }
        if self.0.ordered {
            return self.writable_in_order(section).await;
        }
        let is_new = !self.store().table().contains(section);
        let open = self.store().writable(section).await?;
        if is_new {
            self.note_new(section);
        }
        Ok(open)
    }

    /// Whether appends to the section need no look at the others: one that is not the newest is frozen only while it is
    /// open, and after an open of the store not at all. The newest is frozen before one is made above it.
    fn is_next_in_order(&self, section: u64) -> bool {
        !self.0.ordered || self.store().table().newest() == Some(section)
    }

    /// A section of a store that is filled in order: what lies below is durable, and takes nothing more, before a new one
    /// is made.
    async fn writable_in_order(&self, section: u64) -> Result<Arc<Section>, Error> {
        let _turn = self.0.order.enter().await;
        match self.store().table().newest() {
            Some(newest) if newest > section => Err(Error::OutOfOrder { section, newest }),
            Some(newest) if newest < section => {
                let below = self.store().existing(newest).await?;
                below.values.freeze(true);
                let made = match self.sync_open(Arc::clone(&below)).await {
                    Ok(()) => self.store().writable(section).await,
                    Err(error) => Err(error),
                };
                if made.is_err() {
                    below.values.freeze(false);
                }
                let made = made?;
                self.note_new(section);
                Ok(made)
            }
            newest => {
                let made = self.store().writable(section).await?;
                if newest.is_none() {
                    self.note_new(section);
                }
                Ok(made)
            }
        }
    }

    fn note_new(&self, section: u64) {
        let mut idle = self.idle();
        let before = idle.current.replace(section);
        idle.resting.extend(before.filter(|before| *before != section));
        self.0.resting.store(idle.resting.len(), Ordering::Release);
        drop(idle);
        self.0.bell.ring();
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn store(&self) -> &Segmented<Sections> {
        &self.0.store
    }

    pub(crate) fn bell(&self) -> &Bell {
        &self.0.bell
    }

    /// What a failed read amounts to.
    pub(crate) async fn explain(&self, section: u64, error: Error) -> Error {
        if let Err(fault) = self.store().guard(section) {
            return fault.into();
        }
        let removed = error.is_gone() || matches!(error.storage(), Some(StorageError::NotFound { .. }));
        // A change that has failed in the middle has left zeros, or nothing, where entries were that it was to remove.
        let missing = matches!(error, Error::InvalidLocation { .. })
            || matches!(error.storage(), Some(StorageError::OutOfBounds { .. }));
        if (error.is_damage() || missing)
            && let Some(fault) = self.store().fault()
        {
            return fault.clone().into();
        }
        if !self.store().is_read_only() {
            return if removed { Error::SectionOutOfRange { section } } else { error };
        }
        let wrong = removed || error.is_damage() || matches!(error, Error::InvalidLocation { .. });
        match self.store().is_stale().await {
            Ok(true) if wrong => Error::Stale { section, source: Arc::new(error) },
            _ => error,
        }
    }
}

/// Records of so many bytes are worth a checkpoint when the budget is exceeded.
const BUDGET_TAIL_BYTES: usize = 4096;

impl fmt::Debug for RawOversized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawOversized").field("store", self.store()).finish_non_exhaustive()
    }
}
