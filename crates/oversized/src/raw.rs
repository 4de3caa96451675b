//! A store of pairs as bytes.

mod append;
mod read;
mod rest;
mod structure;
mod sync;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};

use blob_runtime::append::{Config as LogConfig, Spares};
use blob_runtime::codec::FixedSize;
use blob_runtime::segmented::Segmented;
use blob_runtime::{Error as StorageError, Queue, Storage, StoreId};

use glob::{Location, Packer};

use crate::bell::Bell;
use crate::commit::CHUNK_BYTES;
use crate::config::Config;
use crate::driver::Sections;
use crate::error::Error;
use crate::metrics::{Counters, Metrics, get};
use crate::record::Locate;
use crate::report::{RecoveryReport, SectionReport};
use crate::section::{Section, Shared};

pub(crate) use self::append::Tried;
use self::rest::Resting;

/// How many sections are synced side by side.
const SYNC_CONCURRENCY: usize = 16;

/// Makes the record of an entry: its number in the batch, its position, the location of its value, and where the record's
/// bytes go. Runs under the section's lock, so it does nothing else.
pub type RecordFn<'a> = dyn FnMut(usize, u64, Location, &mut Vec<u8>) + Send + 'a;

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
    resting: Resting,
    open_sections: usize,
    /// Sections that an append, dropped before it appended anything, may have left empty.
    unborn: Mutex<BTreeSet<u64>>,
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
        let open_sections = config.open_sections;
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
                    buffer_bytes: config.index_buffer_bytes.clamp(1, CHUNK_BYTES),
                    unsynced_bytes: u64::MAX,
                    // Of their own: those of the values are larger.
                    spares: Spares::new(2 * CHUNK_BYTES),
                },
                index_buffer_bytes: config.index_buffer_bytes,
                checkpoint_bytes: config.checkpoint_bytes,
                read_only,
                bell: Bell::default(),
                counters: config.metrics.then(Counters::default),
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
            resting: Resting::default(),
            open_sections,
            unborn: Mutex::default(),
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

    /// What the store has done since it was opened; `None` unless [`Config::metrics`] asks for it.
    pub fn metrics(&self) -> Option<Metrics> {
        let shared = self.store().driver().shared();
        let counters = shared.counters.as_ref()?;
        let table = self.store().table();
        let open = table.open();
        // A sync whose caller was dropped ends without being counted.
        open.iter().for_each(|(_, open)| open.account());
        let reports = self.section_reports();
        Some(Metrics {
            sections: self.sections().len(),
            open_sections: open.len(),
            appends: get(&counters.appends),
            appended_bytes: get(&counters.appended_bytes),
            syncs: get(&counters.syncs),
            value_syncs: get(&counters.value_syncs),
            checkpoints: get(&counters.checkpoints),
            seals: get(&counters.seals),
            prunes: get(&counters.prunes),
            rewinds: get(&counters.rewinds),
            cache: shared.page_cache.stats(),
            recovered_sections: reports.len(),
            dropped_bytes: reports.iter().map(|report| report.dropped_bytes).sum(),
            quarantined_bytes: reports.iter().map(|report| report.quarantined_bytes).sum(),
        })
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

    pub(crate) fn store(&self) -> &Segmented<Sections> {
        &self.0.store
    }

    /// A section that exists; when it has to be opened, others that are not used are closed.
    pub(crate) async fn existing(&self, section: u64) -> Result<Arc<Section>, Error> {
        let is_open = self.store().table().get(section).is_some();
        let open = match self.store().existing(section).await {
            Err(error) if self.store().is_read_only() => return Err(self.explain(section, error).await),
            open => open?,
        };
        if !is_open {
            if open.is_index_lost() && !self.store().is_read_only() {
                self.heal(&open).await;
            }
            self.close_some(false).await;
        }
        Ok(open)
    }

    /// A section that exists and that no cut has taken for a while, for reads that go through it from some place on. Whoever
    /// began that cut may be gone, and then it would stand in the way of all who come.
    pub(crate) async fn in_use(&self, section: u64) -> Result<Arc<Section>, Error> {
        loop {
            let open = self.existing(section).await?;
            if !open.values.is_held() || !self.store().drive().await {
                return Ok(open);
            }
        }
    }

    /// Makes the index of a section anew that has lost it since it was closed; without one, each look-up goes through the
    /// frames.
    async fn heal(&self, open: &Section) {
        let healed = async {
            self.store().enter().await?;
            open.checkpoint().await
        };
        match healed.await {
            Ok(()) => tracing::warn!(section = open.number(), "the index was lost, and is made anew of the frames"),
            Err(error) => tracing::warn!(section = open.number(), %error, "the index is lost, and cannot be made anew"),
        }
    }

    pub(crate) fn bell(&self) -> &Bell {
        &self.store().driver().shared().bell
    }

    /// What a failed read amounts to.
    pub(crate) async fn explain(&self, section: u64, error: Error) -> Error {
        if let Err(fault) = self.store().guard(section) {
            return fault.into();
        }
        if matches!(error, Error::Stale { .. }) {
            return error;
        }
        let removed = error.is_gone() || matches!(error.storage(), Some(StorageError::NotFound { .. }));
        let shorter = matches!(error.storage(), Some(StorageError::OutOfBounds { .. }));
        // A change that has failed in the middle has left zeros, or nothing, where entries were that it was to remove.
        let missing = shorter || matches!(error, Error::InvalidLocation { .. });
        if (error.is_damage() || missing)
            && let Some(fault) = self.store().fault()
        {
            return fault.clone().into();
        }
        if !self.store().is_read_only() {
            return if removed { Error::SectionOutOfRange { section } } else { error };
        }
        // A change that was under way at the open, and the removal of one section, leave no trace in the manifest; only a
        // store that was closed has no writer.
        let taken_away = (removed || shorter) && !self.recovery().opening.clean;
        let wrong = removed || missing || error.is_damage();
        if taken_away || wrong && matches!(self.store().is_stale().await, Ok(true)) {
            return Error::Stale { section, source: Arc::new(error) };
        }
        error
    }
}

impl fmt::Debug for RawOversized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawOversized").field("store", self.store()).finish_non_exhaustive()
    }
}
