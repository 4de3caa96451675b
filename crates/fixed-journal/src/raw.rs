//! A journal of items as bytes; the item size is what the sections' headers say.

use std::fmt;
use std::sync::Arc;

use blob_runtime::segmented::Segmented;
use blob_runtime::{Storage, Want};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use crate::config::Config;
use crate::driver::Sections;
use crate::error::Error;
use crate::replay::Replay;
use crate::report::Recovery;
use crate::section::Section;

/// How many sections are synced side by side.
const SYNC_CONCURRENCY: usize = 16;

/// A segmented journal of items as bytes. Cheap to clone; clones share everything.
///
/// Dropping the last clone without [`close`](Self::close) flushes nothing: it is a crash.
#[derive(Clone)]
pub struct RawJournal {
    store: Segmented<Sections>,
    item_bytes: Option<u32>,
    recovery: Arc<Recovery>,
}

impl RawJournal {
    /// Opens the journal, making it when there is none. `item_bytes`: the item size a section must have, and a new one
    /// gets; `None` takes whatever is found, and makes no new section.
    ///
    /// After an unclean stop every section is recovered before this returns, and what it shows is durable.
    ///
    /// Cancel safety: dropped, it may be called again.
    ///
    /// # Errors
    /// [`Error::InvalidItemSize`]; locked by another writer; another format; damage, with
    /// [`OnDamage::Refuse`](crate::OnDamage::Refuse): nothing was changed.
    pub async fn open(storage: Arc<dyn Storage>, config: Config, item_bytes: Option<u32>) -> Result<Self, Error> {
        if item_bytes == Some(0) {
            return Err(Error::InvalidItemSize { item_bytes: 0 });
        }
        paged_cache::Geometry::new(config.page_bytes)?;
        let item = item_bytes.map_or(Want::Default(0), Want::Exactly);
        let (partition, options) = (config.partition.clone(), config.options.clone());
        let beneath = Arc::clone(&storage);
        let driver = |store| Sections::new(beneath, store, item, config);
        let (store, opening) = Segmented::open(storage, &partition, &options, driver).await?;
        let recovery = Arc::new(Recovery { opening, sections: store.driver().recovered() });
        Ok(Self { store, item_bytes, recovery })
    }

    /// What the open has found and done.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// Appends an item; answers its position in the section. Does no I/O unless a buffer is full, and is durable with the
    /// next [`sync`](Self::sync).
    ///
    /// Cancel safety: dropped, it has appended nothing; it appends in its last poll.
    ///
    /// # Errors
    /// [`Error::ItemSize`], [`Error::Pruned`], [`Error::Closed`], [`Error::ReadOnly`]; a poisoned section; the error of the
    /// last write when that failed and the buffers are full.
    pub async fn append(&self, section: u64, item: &[u8]) -> Result<u64, Error> {
        let expected = match self.item_bytes {
            Some(item_bytes) => item_bytes,
            None => self.item_bytes(section).await?,
        };
        if item.len() != expected as usize {
            return Err(Error::ItemSize { expected, found: item.len() });
        }
        self.append_many(section, item).await
    }

    /// Appends items that lie one behind the other; answers the position of the first. They are in one buffer, but not
    /// atomic: after a crash the first of them may be there and the last not.
    ///
    /// Cancel safety and errors: as [`append`](Self::append); all or none are appended.
    pub async fn append_many(&self, section: u64, items: &[u8]) -> Result<u64, Error> {
        let put = match self.store.try_writable(section) {
            Some(open) => open.push(items)?,
            None => None,
        };
        if let Some(position) = put {
            return Ok(position);
        }
        loop {
            let open = self.writable(section).await?;
            match open.append_unless_held(items).await {
                Ok(Some(position)) => return Ok(position),
                // A change holds it, and whoever began that may be gone.
                Ok(None) if self.store.drive().await => {}
                Ok(None) => return open.append(items).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// A section to be changed. Without an item size of its own a journal makes none.
    pub(crate) async fn writable(&self, section: u64) -> Result<Arc<Section>, Error> {
        match self.item_bytes {
            Some(_) => self.store.writable(section).await,
            None => {
                self.store.enter().await?;
                self.store.existing(section).await
            }
        }
    }

    /// An item.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// [`Error::ItemOutOfRange`], [`Error::SectionOutOfRange`], [`Error::Pruned`], [`Error::Closed`]; a page that does not
    /// verify.
    pub async fn get(&self, section: u64, position: u64) -> Result<Bytes, Error> {
        let open = self.store.existing(section).await?;
        let (offset, len) = open.place(position)?;
        Ok(open.paged.read_at(offset, len).await?)
    }

    /// Items, in the order of `positions`, read up to 16 side by side.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// As [`get`](Self::get), for the first that fails.
    pub async fn get_many(&self, section: u64, positions: &[u64]) -> Result<Vec<Bytes>, Error> {
        stream::iter(positions.iter().copied())
            .map(|position| self.get(section, position))
            .buffered(SYNC_CONCURRENCY)
            .try_collect()
            .await
    }

    /// Looks at an item in place, without I/O: `None` when it is not in memory in one piece, or its section is not open.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn try_get_with<T>(
        &self,
        section: u64,
        position: u64,
        look: impl FnOnce(&[u8]) -> T,
    ) -> Option<Result<T, Error>> {
        if let Err(fault) = self.store.guard(section) {
            return Some(Err(fault.into()));
        }
        let open = self.store.table().get(section)?;
        match open.place(position) {
            Ok((offset, len)) => open.paged.try_read_with(offset, len, look).map(|read| read.map_err(Error::from)),
            Err(error) => Some(Err(error)),
        }
    }

    /// The last item of a section; `None` when it is empty.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn last(&self, section: u64) -> Result<Option<Bytes>, Error> {
        match self.len(section).await?.checked_sub(1) {
            Some(position) => self.get(section, position).await.map(Some),
            None => Ok(None),
        }
    }

    /// Items of a section, with those only in memory.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// [`Error::SectionOutOfRange`], [`Error::Pruned`], [`Error::Closed`]; what opening the section answers.
    pub async fn len(&self, section: u64) -> Result<u64, Error> {
        Ok(self.store.existing(section).await?.len())
    }

    /// Items of a section that are durable.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// As [`len`](Self::len).
    pub async fn durable_len(&self, section: u64) -> Result<u64, Error> {
        let open = self.store.existing(section).await?;
        Ok(open.durable_len())
    }

    /// Bytes of a section's items.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// As [`len`](Self::len).
    pub async fn bytes(&self, section: u64) -> Result<u64, Error> {
        Ok(self.store.existing(section).await?.paged.len())
    }

    /// Item size of a section in bytes.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// As [`len`](Self::len).
    pub async fn item_bytes(&self, section: u64) -> Result<u32, Error> {
        Ok(self.store.existing(section).await?.item_bytes)
    }

    /// Items from (`section`, `position`) on, through all later sections, in order. A section is read to the length it
    /// has when it is reached; nothing is flushed. Ends for good after an error, or after one
    /// [`Error::Rewound`] or [`Error::Pruned`] when it is cut under the replay.
    pub fn replay(&self, section: u64, position: u64) -> Replay {
        Replay::new(self.clone(), section, position)
    }

    /// Makes a section's items durable, with at most one sync for all who ask at the same time.
    ///
    /// Cancel safety: a sync that has begun runs to its end.
    ///
    /// # Errors
    /// [`Error::SectionOutOfRange`]; a failed write: its bytes stay in memory, the next sync tries again; a failed sync:
    /// the section is poisoned until [`reopen_section`](Self::reopen_section).
    pub async fn sync(&self, section: u64) -> Result<(), Error> {
        // Before it waits for that.
        if let Some(source) = self.store.reopening(section) {
            return Err(source.into());
        }
        self.store.enter().await?;
        Ok(self.store.existing(section).await?.paged.sync().await?)
    }

    /// Makes all items durable.
    ///
    /// Cancel safety: a sync that has begun runs to its end.
    ///
    /// # Errors
    /// The first failure; the other sections are synced all the same.
    pub async fn sync_all(&self) -> Result<(), Error> {
        let before = self.store.check_recovered();
        self.store.enter().await?;
        let dirty = self.store.table().open().into_iter().filter(|(_, open)| open.paged.durable() < open.paged.len());
        let syncs = stream::iter(dirty).map(|(_, open)| async move { open.paged.sync().await });
        let results: Vec<_> = syncs.buffer_unordered(SYNC_CONCURRENCY).collect().await;
        // Checked first and last: one that is being opened anew then is not in the list.
        before.and(self.store.check_recovered())?;
        results.into_iter().try_for_each(|result| result.map_err(Error::from))
    }

    /// Waits until the first `items` of a section are durable, without starting a sync.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// [`Error::ItemOutOfRange`] when the section has fewer; a poisoned section.
    pub async fn wait_durable(&self, section: u64, items: u64) -> Result<(), Error> {
        let open = self.store.existing(section).await?;
        let len = open.len();
        if items > len {
            return Err(Error::ItemOutOfRange { section, position: items, len });
        }
        Ok(open.paged.wait_durable(items * u64::from(open.item_bytes)).await?)
    }

    /// Puts an item into memory only, for an owner that decides what may be written when; see [`flush`](Self::flush).
    ///
    /// # Errors
    /// As [`append`](Self::append); [`Error::SectionOutOfRange`] when the section is not open. `None`: the buffers are
    /// full.
    pub fn push(&self, section: u64, item: &[u8]) -> Option<Result<u64, Error>> {
        let Some(open) = self.store.try_writable(section) else {
            return Some(Err(Error::SectionOutOfRange { section }));
        };
        match open.item_bytes as usize == item.len() {
            true => open.push(item).transpose(),
            false => Some(Err(Error::ItemSize { expected: open.item_bytes, found: item.len() })),
        }
    }

    /// Makes durable the first `through` items of a section and writes nothing behind them. The caller vouches that
    /// whatever they point to is durable.
    ///
    /// Cancel safety and errors: as [`sync`](Self::sync).
    pub async fn flush(&self, section: u64, through: u64) -> Result<(), Error> {
        self.store.enter().await?;
        let open = self.store.existing(section).await?;
        open.flush(through).await
    }

    /// Removes all sections below `min`, atomically; none of them can be used again. Whether any was there.
    ///
    /// Cancel safety: a prune that has begun runs to its end, at the latest with the next change.
    ///
    /// # Errors
    /// What removing answers: then the next open carries it on.
    pub async fn prune(&self, min: u64) -> Result<bool, Error> {
        self.store.prune(min).await
    }

    /// Cuts a section to its first `items` and removes all later sections, atomically and durably.
    ///
    /// Cancel safety: a rewind that has begun runs to its end, at the latest with the next change.
    ///
    /// # Errors
    /// [`Error::SectionOutOfRange`] (a section that does not exist can only be rewound to 0), [`Error::ItemOutOfRange`]:
    /// nothing was changed. [`Error::Unfinished`]: the next open carries it on.
    pub async fn rewind(&self, section: u64, items: u64) -> Result<(), Error> {
        self.store.rewind(section, items, true).await
    }

    /// Cuts a section to its first `items`, atomically and durably; the others stay.
    ///
    /// Cancel safety and errors: as [`rewind`](Self::rewind).
    pub async fn rewind_section(&self, section: u64, items: u64) -> Result<(), Error> {
        self.store.rewind(section, items, false).await
    }

    /// Removes a section, durably. Whether it was there.
    ///
    /// Cancel safety: a removal that has begun runs to its end, at the latest with the next change.
    ///
    /// # Errors
    /// What removing answers.
    pub async fn remove_section(&self, section: u64) -> Result<bool, Error> {
        self.store.remove_section(section).await
    }

    /// Removes all items, atomically, and then the sections; what was pruned stays pruned. After a crash, or when it is
    /// dropped, the oldest section that may exist may be there still, without an item.
    ///
    /// Cancel safety and errors: as [`rewind`](Self::rewind).
    pub async fn clear(&self) -> Result<(), Error> {
        let first = self.store.pruned_to();
        self.store.rewind(first, 0, true).await?;
        self.store.remove_section(first).await?;
        Ok(())
    }

    /// The sections that exist, ascending.
    pub fn sections(&self) -> Vec<u64> {
        self.store.sections()
    }

    /// The oldest section that may exist: everything below was pruned.
    pub fn pruned_to(&self) -> u64 {
        self.store.pruned_to()
    }

    /// The oldest section.
    pub fn oldest_section(&self) -> Option<u64> {
        self.store.oldest()
    }

    /// The newest section.
    pub fn newest_section(&self) -> Option<u64> {
        self.store.newest()
    }

    /// Opens a section anew after a failed sync, as an open after an unclean stop would: what it shows then is durable.
    ///
    /// Cancel safety: dropped, it may be called again.
    ///
    /// # Errors
    /// What recovering it answers.
    pub async fn reopen_section(&self, section: u64) -> Result<(), Error> {
        self.store.reopen_section(section).await
    }

    /// Makes everything durable and leaves a note that it is: the next open is instant. Afterwards every clone answers
    /// [`Error::Closed`]. Again: the same answer.
    ///
    /// Cancel safety: a close that has begun runs to its end with the next call.
    ///
    /// # Errors
    /// The first failure; the journal is closed all the same, and the next open recovers.
    pub async fn close(&self) -> Result<(), Error> {
        self.store.close().await
    }

    /// Removes the journal, atomically. Afterwards every clone answers [`Error::Closed`].
    ///
    /// Cancel safety: once begun it runs to its end with the next open.
    ///
    /// # Errors
    /// What removing answers: then the next open carries it on.
    pub async fn destroy(&self) -> Result<(), Error> {
        self.store.destroy().await
    }

    pub(crate) fn store(&self) -> &Segmented<Sections> {
        &self.store
    }
}

impl fmt::Debug for RawJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawJournal").field("store", &self.store).field("item_bytes", &self.item_bytes).finish()
    }
}
