//! A glob of values as bytes.

mod read;
mod structure;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use blob_runtime::segmented::Segmented;
use blob_runtime::{Error as StorageError, Storage, StoreId, quarantine};
use futures::{StreamExt, stream};

use crate::compress::{Packed, Packer};
use crate::config::Config;
use crate::driver::Sections;
use crate::error::Error;
use crate::location::{Appended, Cursor, Location};
use crate::report::RecoveryReport;
use crate::section::{Put, Section, TagFn};

pub use self::read::Recovered;

/// How many sections are synced side by side.
const SYNC_CONCURRENCY: usize = 16;

/// A segmented log of values as bytes, for tools and for whoever has no type for them. Cheap to clone; clones share
/// everything. [`Glob`](crate::Glob) is its typed face.
///
/// Dropping the last clone without [`close`](Self::close) flushes nothing: it is a crash.
#[derive(Clone)]
pub struct RawGlob {
    store: Segmented<Sections>,
    packer: Arc<Packer>,
    report: Arc<RecoveryReport>,
    /// Sections that newer ones have followed, to be sealed when they rest.
    idle: Arc<Mutex<Idle>>,
}

#[derive(Debug, Default)]
struct Idle {
    /// The section that was appended to last.
    current: Option<u64>,
    resting: Vec<u64>,
}

impl RawGlob {
    /// Opens the glob, making it when there is none. After an unclean stop every section is recovered before this
    /// returns, and what it shows is durable.
    ///
    /// Cancel safety: dropped, it may be called again.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::FormatMismatch`], [`Error::InvalidConfig`]; [`Error::Corrupt`] with
    /// [`OnDamage::Refuse`](crate::OnDamage::Refuse): damage, and nothing was changed; [`Error::Storage`].
    pub async fn open<C>(storage: Arc<dyn Storage>, config: Config<C>) -> Result<Self, Error> {
        config.check()?;
        // Its quarantine has a name too.
        blob_runtime::check_partition(&quarantine::partition_of(&config.partition))?;
        let settings = config.settings();
        let packer = Arc::clone(&settings.packer);
        let (partition, options) = (config.partition, config.options);
        let driver = |store| {
            let (tag_bytes, quarantine_bytes) = (config.tag_bytes, config.quarantine_bytes);
            Sections::new(Arc::clone(&storage), store, &partition, tag_bytes, settings, quarantine_bytes)
        };
        let (store, opening) = Segmented::open(Arc::clone(&storage), &partition, &options, driver).await?;
        let report = Arc::new(RecoveryReport { opening, sections: store.driver().opened() });
        Ok(Self { store, packer, report, idle: Arc::default() })
    }

    /// What the open has found and done.
    pub fn recovery(&self) -> &RecoveryReport {
        &self.report
    }

    /// The store's id, which every blob of it bears.
    pub fn store_id(&self) -> StoreId {
        self.store.store()
    }

    /// Packs values as this store does, for [`append_packed`](Self::append_packed).
    pub fn packer(&self) -> &Packer {
        &self.packer
    }

    /// Appends a value. No I/O unless a buffer is full; durable with the next [`sync`](Self::sync).
    ///
    /// Cancel safety: dropped, it has appended nothing; it appends in its last poll.
    ///
    /// # Errors
    /// [`Error::ValueTooLarge`], [`Error::Pruned`], [`Error::Closed`], [`Error::ReadOnly`], [`Error::Poisoned`];
    /// [`Error::TagSize`] in a store with tags; the error of the last write when that failed and the buffers are full.
    /// Nothing was appended then.
    pub async fn append(&self, section: u64, value: &[u8]) -> Result<Appended, Error> {
        self.append_tagged(section, value, |_, _, _| {}).await
    }

    /// [`append`](Self::append) with a tag: `tag` gets the value's position and location, and puts the store's tag size
    /// of bytes. It runs under the section's lock, so it does nothing else.
    ///
    /// Cancel safety and errors: as [`append`](Self::append).
    pub async fn append_tagged(
        &self,
        section: u64,
        value: &[u8],
        tag: impl FnOnce(u64, Location, &mut Vec<u8>) + Send,
    ) -> Result<Appended, Error> {
        let packed = self.packer.pack(value)?;
        self.append_packed(section, &packed, tag).await
    }

    /// [`append_tagged`](Self::append_tagged) of a value that was packed before.
    ///
    /// Cancel safety and errors: as [`append`](Self::append).
    pub async fn append_packed(
        &self,
        section: u64,
        value: &Packed<'_>,
        tag: impl FnOnce(u64, Location, &mut Vec<u8>) + Send,
    ) -> Result<Appended, Error> {
        let mut tag = Some(tag);
        let mut tag = |_: usize, position: u64, location: Location, buf: &mut Vec<u8>| {
            if let Some(tag) = tag.take() {
                tag(position, location, buf);
            }
        };
        Ok(self.put(section, std::slice::from_ref(value), &mut tag).await?.1)
    }

    /// Appends values that are recovered all or not at all. They are held in memory together until they are written.
    ///
    /// Cancel safety and errors: as [`append`](Self::append).
    pub async fn append_batch(&self, section: u64, values: &[impl AsRef<[u8]> + Sync]) -> Result<Vec<Appended>, Error> {
        let mut packed = Vec::with_capacity(values.len());
        for value in values {
            packed.push(self.packer.pack(value.as_ref())?);
        }
        self.append_batch_packed(section, &packed, |_, _, _, _| {}).await
    }

    /// [`append_batch`](Self::append_batch) of values that were packed before, with tags; `tag` also gets the value's
    /// number in the batch.
    ///
    /// Cancel safety and errors: as [`append`](Self::append).
    pub async fn append_batch_packed(
        &self,
        section: u64,
        values: &[Packed<'_>],
        mut tag: impl FnMut(usize, u64, Location, &mut Vec<u8>) + Send,
    ) -> Result<Vec<Appended>, Error> {
        if values.is_empty() {
            return Ok(Vec::new());
        }
        let (open, first) = self.put(section, values, &mut tag).await?;
        Ok(open.each(first, values))
    }

    async fn put(
        &self,
        section: u64,
        values: &[Packed<'_>],
        tag: &mut TagFn<'_>,
    ) -> Result<(Arc<Section>, Appended), Error> {
        loop {
            let open = match self.store.try_writable(section) {
                Some(open) => open,
                None => self.writable(section).await?,
            };
            match open.put(values, None, tag).await {
                Ok(Put::Done(first)) => return Ok((open, first)),
                // A change of structure is under way: it is driven to its end, and may have removed the section.
                Ok(Put::Held | Put::Busy) => self.store.enter().await?,
                Err(error) if is_gone(&error) => {
                    self.store.guard(section)?;
                    self.store.enter().await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn writable(&self, section: u64) -> Result<Arc<Section>, Error> {
        let is_new = !self.store.table().contains(section);
        let open = self.store.writable(section).await?;
        if is_new {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            let before = idle.current.replace(section);
            idle.resting.extend(before.filter(|before| *before != section));
        }
        Ok(open)
    }

    /// Makes a section's values durable, with at most one sync of its file for all who ask at the same time.
    ///
    /// Cancel safety: a sync that has begun runs to its end.
    ///
    /// # Errors
    /// [`Error::SectionOutOfRange`]; [`Error::Storage`] after a failed write: its bytes stay in memory, and the next sync
    /// tries again; [`Error::Poisoned`] after a failed sync, until [`reopen_section`](Self::reopen_section).
    pub async fn sync(&self, section: u64) -> Result<(), Error> {
        if let Some(source) = self.store.reopening(section) {
            return Err(source.into());
        }
        let open = self.existing(section).await?;
        self.sync_open(open).await?;
        self.seal_one().await;
        Ok(())
    }

    async fn sync_open(&self, mut open: Arc<Section>) -> Result<(), Error> {
        if self.store.is_read_only() {
            return Err(Error::ReadOnly);
        }
        loop {
            if open.is_durable() && open.shut_reason().is_none() {
                return Ok(());
            }
            // Not beside a change that has failed: what it has decided would undo what is acknowledged here.
            self.store.enter().await?;
            match open.sync().await {
                // It was removed, or opened anew, meanwhile.
                Err(error) if is_gone(&error) => open = self.existing(open.number()).await?,
                result => return result,
            }
        }
    }

    /// Makes all values durable, up to 16 sections side by side; the names of new sections with one sync of their
    /// directory, however many they are.
    ///
    /// Cancel safety: a sync that has begun runs to its end.
    ///
    /// # Errors
    /// As [`sync`](Self::sync), the first failure; the other sections are synced all the same.
    pub async fn sync_all(&self) -> Result<(), Error> {
        if self.store.is_read_only() {
            return Err(Error::ReadOnly);
        }
        // Asked of any section, it says whether the store is closed.
        self.store.guard(u64::MAX)?;
        let before = self.store.check_recovered();
        let dirty: Vec<_> = self.store.table().open().into_iter().filter(|(_, open)| !open.is_durable()).collect();
        self.sync_files(&dirty).await?;
        let syncs = stream::iter(dirty).map(|(_, open)| async move {
            match self.sync_open(open).await {
                // What is removed meanwhile has nothing that could become durable.
                Err(Error::Pruned { .. } | Error::SectionOutOfRange { .. }) => Ok(()),
                synced => synced,
            }
        });
        let results: Vec<_> = syncs.buffer_unordered(SYNC_CONCURRENCY).collect().await;
        // Checked first and last: one that is being opened anew then is not in the list.
        before.and(self.store.check_recovered())?;
        results.into_iter().collect()
    }

    /// Writes what waits in several sections and syncs their files together, which the storage may do better than one by
    /// one ([`BulkSync`](blob_runtime::BulkSync)). What failed is not told here: the sync of each section by itself comes behind, finds nothing left to do where
    /// all went well, and the failure where it did not.
    async fn sync_files(&self, sections: &[(u64, Arc<Section>)]) -> Result<(), Error> {
        if sections.len() < 2 {
            return Ok(());
        }
        self.store.enter().await?;
        let opened: Vec<_> = sections.iter().map(|(_, open)| Arc::clone(open)).collect();
        let writes = stream::iter(opened).map(|open| async move {
            let written = open.flush().await;
            written.is_ok().then(|| Arc::clone(open.blob()))
        });
        let blobs: Vec<_> = writes.buffer_unordered(SYNC_CONCURRENCY).filter_map(std::future::ready).collect().await;
        drop(self.store.driver().storage().sync_many(&blobs).await);
        Ok(())
    }

    /// Writes what was appended to a section by now, without a sync.
    ///
    /// Cancel safety: a write that has begun runs to its end.
    ///
    /// # Errors
    /// As [`sync`](Self::sync).
    pub async fn flush(&self, section: u64) -> Result<(), Error> {
        let open = self.existing(section).await?;
        if self.store.is_read_only() {
            return Err(Error::ReadOnly);
        }
        if open.is_durable() {
            return Ok(());
        }
        self.store.enter().await?;
        open.flush().await
    }

    /// Waits until the value at a location is durable, without starting a sync.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// [`Error::InvalidLocation`] when the section is shorter, or is cut to be; [`Error::Poisoned`]; [`Error::ReadOnly`]
    /// when nothing proves it to be durable and this store never syncs.
    pub async fn wait_durable(&self, section: u64, location: Location) -> Result<(), Error> {
        let invalid = |reason| Error::InvalidLocation { section, location, reason };
        let end = location.end().ok_or_else(|| invalid("no blob is that long"))?;
        let open = self.existing(section).await?;
        if self.store.is_read_only() && end > open.floor() {
            return Err(Error::ReadOnly);
        }
        open.wait_durable(end).await.map_err(|error| match error.storage() {
            Some(StorageError::OutOfBounds { .. }) => invalid("it ends behind the last frame"),
            _ => error,
        })
    }

    /// Seals sections that newer ones have followed and that are durable: work that is otherwise done by the syncs of
    /// other sections, one at a time. A seal lets recovery pass the section by.
    ///
    /// Cancel safety: safe; a seal that has begun runs to its end with the next change of its section.
    ///
    /// # Errors
    /// As [`sync`](Self::sync).
    pub async fn maintain(&self) -> Result<(), Error> {
        while let Some(section) = self.next_idle() {
            if let Some(open) = self.store.table().get(section) {
                self.store.enter().await?;
                open.try_seal().await?;
            }
        }
        Ok(())
    }

    /// Seals one section that rests; its failure is its own, and shows at its next use.
    async fn seal_one(&self) {
        let Some(section) = self.next_idle() else { return };
        let Some(open) = self.store.table().get(section) else { return };
        if self.store.enter().await.is_ok()
            && let Err(error) = open.try_seal().await
        {
            tracing::warn!(section, %error, "a section that rests could not be sealed");
        }
    }

    /// A section that rests: durable, and not the newest any more.
    fn next_idle(&self) -> Option<u64> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let table = self.store.table();
        let rests = |section: &u64| table.get(*section).is_none_or(|open| open.is_durable());
        let at = idle.resting.iter().position(rests)?;
        Some(idle.resting.swap_remove(at))
    }

    /// Items of a section, with those only in memory.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// [`Error::SectionOutOfRange`], [`Error::Pruned`], [`Error::Closed`]; what opening the section answers.
    pub async fn len(&self, section: u64) -> Result<u64, Error> {
        Ok(self.existing(section).await?.len())
    }

    /// Items of a section that are known to be durable.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// As [`len`](Self::len).
    pub async fn durable_len(&self, section: u64) -> Result<u64, Error> {
        Ok(self.existing(section).await?.durable_len())
    }

    /// From where on what a read-only store shows of a section is not proven to be durable, as an offset in bytes; `None`
    /// when all of it is. A writer's open has made durable what it shows.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// As [`len`](Self::len).
    pub async fn unsynced_from(&self, section: u64) -> Result<Option<u64>, Error> {
        let open = self.existing(section).await?;
        let from = open.floor_found();
        Ok((self.store.is_read_only() && from < open.bytes()).then_some(from))
    }

    /// Bytes of a section's frames, with those only in memory.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// As [`len`](Self::len).
    pub async fn bytes(&self, section: u64) -> Result<u64, Error> {
        Ok(self.existing(section).await?.bytes())
    }

    /// Where the frame of an item begins, a place to scan from; for the number behind the last item, the end. Looks at
    /// the headers from the nearest known boundary on: a location that was kept is cheaper.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// [`Error::ItemOutOfRange`]; as [`get`](Self::get).
    pub async fn locate(&self, section: u64, position: u64) -> Result<Cursor, Error> {
        loop {
            let open = self.in_use(section).await?;
            let cuts = open.cuts();
            match open.locate(position).await {
                // It was cut meanwhile, or is being.
                Err(_) if open.cuts() != cuts || open.is_held() && self.store.drive().await => {}
                cursor => return cursor,
            }
        }
    }

    pub(crate) fn store(&self) -> &Segmented<Sections> {
        &self.store
    }
}

/// Whether a section answers so because it was taken out of use: removed, or opened anew.
pub(crate) fn is_gone(error: &Error) -> bool {
    matches!(error, Error::Closed) || matches!(error.storage(), Some(StorageError::Removed { .. }))
}

impl fmt::Debug for RawGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawGlob").field("store", &self.store).finish_non_exhaustive()
    }
}
