//! One section: its values, and the index of their records.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use blob_runtime::append::Config as LogConfig;
use blob_runtime::sections::section_name;
use blob_runtime::segmented::Look;
use blob_runtime::{Blob, Error as StorageError, Format, Kind, Probe, Salt, Storage, StoreId, Want};
use bytes::Bytes;
use futures::FutureExt;
use glob::section::Section as Values;
use glob::{Cursor, Location};
use paged_cache::{PageCache, Survey};

use crate::bell::Bell;
use crate::budget::Share;
use crate::commit::Job;
use crate::error::Error;
use crate::index::{Index, Place};
use crate::metrics::{Counters, add};
use crate::record::Locate;

/// What all sections of a store share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) store: StoreId,
    pub(crate) index_partition: String,
    pub(crate) values_partition: String,
    pub(crate) record_bytes: u16,
    pub(crate) locate: Locate,
    pub(crate) page_bytes: u32,
    pub(crate) page_cache: PageCache,
    /// How the pages of an index are gathered.
    pub(crate) index_log: LogConfig,
    pub(crate) index_buffer_bytes: usize,
    pub(crate) checkpoint_bytes: u64,
    pub(crate) read_only: bool,
    /// Rings whenever something changes that somebody may wait for.
    pub(crate) bell: Bell,
    /// `None`: nothing is counted.
    pub(crate) counters: Option<Counters>,
    /// Sections that may have an index.
    pub(crate) indexed: Mutex<BTreeSet<u64>>,
}

/// One open section. See the [module](self).
pub(crate) struct Section {
    pub(crate) values: Arc<Values>,
    pub(crate) index: Arc<Index>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) share: Option<Share>,
    /// The look that has found damage, in a store that is only read; a writer is refused.
    pub(crate) damaged: Option<Look>,
    /// The checkpoint under way.
    pub(crate) job: Mutex<Option<Job>>,
    /// A cut keeps checkpoints out; written under `job`'s lock.
    pub(crate) cutting: AtomicBool,
    /// Values before this offset are in the index.
    pub(crate) checkpointed: AtomicU64,
    /// Bytes of records that were in memory when a checkpoint failed last.
    pub(crate) failed_at: AtomicUsize,
    /// A failed sync of the index.
    pub(crate) poison: OnceLock<StorageError>,
    /// Syncs of the values that were counted.
    pub(crate) counted_syncs: AtomicU64,
    /// It was used since the hand of the clock came by.
    pub(crate) used: AtomicBool,
}

impl Section {
    pub(crate) fn number(&self) -> u64 {
        self.values.number()
    }

    /// Entries, with those only in memory.
    pub(crate) fn len(&self) -> u64 {
        self.values.len()
    }

    /// Whether nothing was ever appended: not even a seal is there, as it is in a section that was cut to nothing. In a store
    /// that is only read all sections were there before, whatever is left of them.
    pub(crate) fn is_untouched(&self) -> bool {
        !self.shared.read_only && !self.values.is_touched()
    }

    /// Whether all that is known of it is what opening it finds: a seal behind the values, whole pages of the index, nothing
    /// under way, no failure.
    pub(crate) fn is_at_rest(&self) -> bool {
        let pages_at_rest = self.index.pages().is_none_or(|pages| pages.durable_len() == pages.len());
        let job = self.job.lock().unwrap_or_else(PoisonError::into_inner);
        job.is_none()
            && pages_at_rest
            && self.values.is_sealed()
            && self.values.pending_bytes() == 0
            && self.values.shut_reason().is_none()
            && self.failed_at.load(Ordering::Relaxed) == 0
            && !self.cutting.load(Ordering::Relaxed)
            && self.poison_cause().is_none()
    }

    /// Whether records are only in frames that belong into pages: an index that is lost, and too much for memory.
    pub(crate) fn is_index_lost(&self) -> bool {
        self.index.pages().map_or(0, |pages| pages.len()) < self.index.start()
    }

    /// Counts, if anything is counted.
    pub(crate) fn count(&self, count: impl FnOnce(&Counters)) {
        if let Some(counters) = &self.shared.counters {
            count(counters);
        }
    }

    /// Keeps it open for another round of the clock.
    pub(crate) fn touch(&self) {
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }

    /// An error of the values, as the store's.
    pub(crate) fn of_values(&self, error: glob::Error) -> Error {
        Error::of_values(self.number(), error)
    }

    /// Why the section takes no change, if it does not: of several reasons a failed sync.
    pub(crate) fn poison_cause(&self) -> Option<StorageError> {
        let values = match self.values.poison_cause() {
            Some(glob::Error::Poisoned { source } | glob::Error::Storage { source }) => Some((*source).clone()),
            Some(_) => Some(StorageError::Closed),
            None => None,
        };
        match values {
            Some(cause) if cause.is_sync_failure() => Some(cause),
            other => self.poison.get().cloned().or(other),
        }
    }

    /// Whether a sync of the index has failed.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.poison.get().is_some()
    }

    /// # Errors
    /// [`Error::Poisoned`] after a failed sync of the index; that of the values is told by the values.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.poison.get() {
            Some(cause) => Err(Error::poisoned(self.number(), cause)),
            None => Ok(()),
        }
    }

    /// Notes for the budget what is held in memory, and counts the syncs.
    pub(crate) fn account(&self) {
        self.count(|counters| {
            let now = self.values.syncs();
            let before = self.counted_syncs.fetch_max(now, Ordering::Relaxed);
            add(&counters.value_syncs, now.saturating_sub(before));
        });
        if let Some(share) = &self.share {
            share.set(self.values.pending_bytes() + self.index.tail_bytes());
        }
    }

    /// The record at a position, as bytes.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// [`Error::ItemOutOfRange`]; damage; [`Error::Storage`].
    pub(crate) async fn record(&self, position: u64) -> Result<Bytes, Error> {
        self.touch();
        loop {
            self.in_range(position)?;
            let pages = match self.index.look(position, Bytes::copy_from_slice) {
                Place::Found(record) => return Ok(record),
                Place::Pages(pages) => pages,
                Place::Frames => return Ok(self.head(position).await?.0),
            };
            match pages.get(position).await {
                Ok(record) => return Ok(record),
                Err(error) => {
                    let error = Error::of_index(self.number(), error);
                    // It was cut meanwhile, and may be back.
                    if matches!(error, Error::ItemOutOfRange { .. } | Error::Rewound { .. }) {
                        self.in_range(position)?;
                        continue;
                    }
                    // An index that is damaged loses nothing: each frame has its record (I2).
                    if error.is_damage() {
                        tracing::warn!(section = self.number(), position, %error, "a page of the index is damaged");
                        return Ok(self.head(position).await?.0);
                    }
                    return Err(error);
                }
            }
        }
    }

    /// # Errors
    /// [`Error::ItemOutOfRange`].
    pub(crate) fn in_range(&self, position: u64) -> Result<(), Error> {
        let len = self.len();
        if position >= len {
            return Err(Error::ItemOutOfRange { section: self.number(), position, len });
        }
        Ok(())
    }

    /// The record in the header of its value's frame, and where that is: found by going through the headers.
    async fn head(&self, position: u64) -> Result<(Bytes, Location), Error> {
        let at = self.sound_before(position).await.unwrap_or(Cursor::START);
        let near = self.values.boundary_before(position);
        let mut headers = self.values.headers(if near.position > at.position { near } else { at });
        while let Some(entry) = headers.next().await.map_err(|error| self.of_values(error))? {
            if !entry.header.is_seal() && entry.position == position {
                return Ok((entry.tag, entry.location));
            }
        }
        // Only when it was cut meanwhile.
        Err(Error::ItemOutOfRange { section: self.number(), position, len: self.len() })
    }

    /// Where the frame of an entry at or before `position` begins, as far as the index tells: of a page that is damaged the
    /// one before is asked, then one twice as far, so that the way from there is no longer than twice what is damaged.
    async fn sound_before(&self, position: u64) -> Option<Cursor> {
        let pages = self.index.pages()?;
        let mut step = u64::from(self.shared.page_bytes) / u64::from(self.shared.record_bytes).max(1) + 1;
        loop {
            let position = position.checked_sub(step)?;
            if let Ok(record) = pages.get(position).await {
                let location = (self.shared.locate)(&record)?;
                return Some(Cursor { offset: location.offset, position });
            }
            step = step.saturating_mul(2);
        }
    }

    /// Where the frame of an entry begins; behind the last entry: the end.
    pub(crate) async fn cursor(&self, position: u64) -> Result<Cursor, Error> {
        if position >= self.len() {
            let end = self.values.end();
            return match position == end.position {
                true => Ok(end),
                false => Err(Error::ItemOutOfRange { section: self.number(), position, len: end.position }),
            };
        }
        let record = self.record(position).await?;
        match (self.shared.locate)(&record) {
            Some(location) => Ok(Cursor { offset: location.offset, position }),
            None => self.values.locate(position).await.map_err(|error| self.of_values(error)),
        }
    }
}

impl Shared {
    /// What is expected of an index: its salt is that of its values.
    pub(crate) fn index_format(&self, salt: Salt) -> Format {
        let probe: Probe = Arc::new(|blob| {
            async move {
                match Survey::new(blob, None).await {
                    Ok(survey) => Ok(!survey.is_empty()),
                    Err(paged_cache::Error::Storage(error)) => Err(error),
                    Err(_) => Ok(false),
                }
            }
            .boxed()
        });
        let mut format = Format::new(Kind::PAGED, Want::Exactly(self.store))
            .unit(Want::Default(self.page_bytes))
            .item(Want::Exactly(self.record_bytes.into()))
            .salt(salt)
            .probe(probe);
        format.look_only = self.read_only;
        format
    }

    /// The index of a section that is there.
    pub(crate) async fn open_index(&self, section: u64, salt: Salt) -> Result<Arc<dyn Blob>, StorageError> {
        let format = self.index_format(salt).existing();
        self.storage.open(&self.index_partition, &section_name(section), &format).await
    }

    /// Removes the indexes of sections, in this order, durably.
    pub(crate) async fn remove_indexes(&self, sections: &[u64]) -> Result<(), StorageError> {
        let known: Vec<u64> = {
            let indexed = self.indexed();
            sections.iter().copied().filter(|section| indexed.contains(section)).collect()
        };
        if known.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = known.iter().map(|section| section_name(*section).to_vec()).collect();
        self.storage.remove(&self.index_partition, &names).await?;
        let mut indexed = self.indexed();
        for section in &known {
            indexed.remove(section);
        }
        Ok(())
    }

    pub(crate) fn indexed(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.indexed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new index. What bears its name already is the rest of one that was lost.
    pub(crate) async fn create_index(
        &self,
        section: u64,
        salt: Salt,
    ) -> Result<fixed_journal::section::Section, Error> {
        let format = self.index_format(salt);
        let name = section_name(section);
        self.indexed().insert(section);
        let mut blob = self.storage.open(&self.index_partition, &name, &format).await?;
        if !blob.is_empty() {
            drop(blob);
            self.remove_indexes(&[section]).await?;
            self.indexed().insert(section);
            blob = self.storage.open(&self.index_partition, &name, &format).await?;
        }
        let survey = Survey::new(blob, None).await.map_err(|error| Error::of_pages(section, error))?;
        let pages =
            fixed_journal::section::Section::resume(section, survey, 0, &self.page_cache, self.index_log.clone());
        pages.map_err(|error| Error::of_index(section, error))
    }
}

impl Section {
    /// Checkpoints begin at this many bytes of values behind the last one.
    pub(crate) fn unindexed_bytes(&self) -> u64 {
        self.values.bytes().saturating_sub(self.checkpointed.load(Ordering::Relaxed))
    }
}

impl fmt::Debug for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Section")
            .field("values", &self.values)
            .field("index", &self.index)
            .field("poison", &self.poison)
            .finish_non_exhaustive()
    }
}
