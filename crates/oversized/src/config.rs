//! How a store is opened.

use std::sync::Arc;

use blob_runtime::append::{Config as LogConfig, Spares};
use blob_runtime::segmented::{OnDamage, Options};
use blob_runtime::{check_partition, quarantine};
use glob::section::Settings;
use glob::{Compression, Packer};
use paged_cache::{DEFAULT_PAGE_BYTES, Geometry, PageCache};

use crate::budget::BufferBudget;
use crate::error::Error;

/// How a store is opened. Everything but the name has a sensible default, and everything but the name and the record's
/// type may change from one open to the next.
///
/// `C` is what the values' type needs for decoding ([`Value::Cfg`](blob_runtime::codec::Value::Cfg)); see
/// [`value_cfg`](Self::value_cfg).
#[derive(Debug, Clone)]
pub struct Config<C = ()> {
    pub(crate) name: String,
    pub(crate) value_cfg: C,
    pub(crate) compression: Compression,
    pub(crate) max_value_bytes: u32,
    pub(crate) page_cache: PageCache,
    pub(crate) page_bytes: u32,
    pub(crate) index_buffer_bytes: usize,
    pub(crate) value_buffer_bytes: usize,
    pub(crate) buffer_budget: Option<BufferBudget>,
    pub(crate) open_sections: usize,
    pub(crate) unsynced_bytes: u64,
    pub(crate) spares: Spares,
    pub(crate) checkpoint_bytes: u64,
    pub(crate) preallocate_bytes: u64,
    pub(crate) ordered: bool,
    pub(crate) quarantine_bytes: u64,
    pub(crate) metrics: bool,
    pub(crate) options: Options,
}

impl Config {
    /// A store of this name: its partitions are `<name>-index` and `<name>-values`.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            value_cfg: (),
            compression: Compression::None,
            max_value_bytes: 64 << 20,
            page_cache: PageCache::default(),
            page_bytes: DEFAULT_PAGE_BYTES,
            index_buffer_bytes: 2 << 20,
            value_buffer_bytes: 1 << 20,
            buffer_budget: None,
            open_sections: 1024,
            unsynced_bytes: 32 << 20,
            spares: Spares::new(4 << 20),
            checkpoint_bytes: 64 << 20,
            preallocate_bytes: 1 << 20,
            ordered: false,
            quarantine_bytes: 1 << 30,
            metrics: false,
            options: Options::default(),
        }
    }
}

impl<C> Config<C> {
    /// What the values' type needs for decoding. Default: `()`.
    #[must_use]
    pub fn value_cfg<D>(self, value_cfg: D) -> Config<D> {
        Config {
            name: self.name,
            value_cfg,
            compression: self.compression,
            max_value_bytes: self.max_value_bytes,
            page_cache: self.page_cache,
            page_bytes: self.page_bytes,
            index_buffer_bytes: self.index_buffer_bytes,
            value_buffer_bytes: self.value_buffer_bytes,
            buffer_budget: self.buffer_budget,
            open_sections: self.open_sections,
            unsynced_bytes: self.unsynced_bytes,
            spares: self.spares,
            checkpoint_bytes: self.checkpoint_bytes,
            preallocate_bytes: self.preallocate_bytes,
            ordered: self.ordered,
            quarantine_bytes: self.quarantine_bytes,
            metrics: self.metrics,
            options: self.options,
        }
    }

    /// Whether and how new values are compressed; what is there is read under any setting. Default: not.
    #[must_use]
    pub fn compression(self, compression: Compression) -> Self {
        Self { compression, ..self }
    }

    /// The largest value, in bytes: of those appended, and of those read, for a read sets so much memory aside. Default:
    /// 64 MiB.
    #[must_use]
    pub fn max_value_bytes(self, max_value_bytes: u32) -> Self {
        Self { max_value_bytes, ..self }
    }

    /// The cache of index pages, to be shared by several stores. Default: one of 64 MiB of its own.
    #[must_use]
    pub fn page_cache(self, page_cache: PageCache) -> Self {
        Self { page_cache, ..self }
    }

    /// Physical page size of new indexes in bytes: a power of two from 64 to 65,536. Default: 4096.
    #[must_use]
    pub fn page_bytes(self, page_bytes: u32) -> Self {
        Self { page_bytes, ..self }
    }

    /// Bytes of records a section keeps in memory before a checkpoint writes them to its index, beside the appends, which
    /// wait for it at twice as many. Default: 2 MiB.
    #[must_use]
    pub fn index_buffer_bytes(self, index_buffer_bytes: usize) -> Self {
        Self { index_buffer_bytes, ..self }
    }

    /// Bytes of values a section gathers before it writes without being asked; there are two such buffers, and four while
    /// it is synced. Default: 1 MiB.
    #[must_use]
    pub fn value_buffer_bytes(self, value_buffer_bytes: usize) -> Self {
        Self { value_buffer_bytes, ..self }
    }

    /// A bound for what all sections hold in memory because it is not written yet; to be shared by several stores.
    /// Default: none, each section for itself.
    #[must_use]
    pub fn buffer_budget(self, buffer_budget: BufferBudget) -> Self {
        Self { buffer_budget: Some(buffer_budget), ..self }
    }

    /// How many sections are kept open, in memory: when there are more, those that were not used for a while, are durable
    /// and sealed, and that nobody holds are closed, and opened again at their next use. Sections with data that is not
    /// durable stay, and so do those of a store that is open read-only. Default: 1,024.
    #[must_use]
    pub fn open_sections(self, open_sections: usize) -> Self {
        Self { open_sections, ..self }
    }

    /// Bytes of values a section may have written and not synced before it syncs without being asked, so that the last
    /// sync of a long run is short. Default: 32 MiB.
    #[must_use]
    pub fn unsynced_bytes(self, unsynced_bytes: u64) -> Self {
        Self { unsynced_bytes, ..self }
    }

    /// Where buffers of values come from and go to, to be shared by several stores. Default: 4 MiB of its own.
    #[must_use]
    pub fn spares(self, spares: Spares) -> Self {
        Self { spares, ..self }
    }

    /// Bytes of values after which a section's index is written, beside the appends, which wait for that at twice as many:
    /// what lies behind is read again by a recovery. Default:
    /// 64 MiB.
    #[must_use]
    pub fn checkpoint_bytes(self, checkpoint_bytes: u64) -> Self {
        Self { checkpoint_bytes, ..self }
    }

    /// The most zeros a section has written ahead, in bytes; 0 for none. Default: 1 MiB.
    #[must_use]
    pub fn preallocate_bytes(self, preallocate_bytes: u64) -> Self {
        Self { preallocate_bytes, ..self }
    }

    /// Whether sections are filled one after the other: the first append to a higher section makes the lower one durable
    /// first, and an append below the newest is refused. Then what is recovered is a prefix across sections too, as a
    /// Raft log wants it. Default: no.
    #[must_use]
    pub fn ordered(self, ordered: bool) -> Self {
        Self { ordered, ..self }
    }

    /// What to do about damage to entries that were acknowledged. Default: [`OnDamage::Refuse`].
    #[must_use]
    pub fn on_damage(mut self, on_damage: OnDamage) -> Self {
        self.options.on_damage = on_damage;
        self
    }

    /// The most that one cut moves to quarantine, in bytes. Default: 1 GiB.
    #[must_use]
    pub fn quarantine_bytes(self, quarantine_bytes: u64) -> Self {
        Self { quarantine_bytes, ..self }
    }

    /// Whether the store counts what it does; see [`RawOversized::metrics`](crate::RawOversized::metrics). Default: no.
    #[must_use]
    pub fn metrics(self, metrics: bool) -> Self {
        Self { metrics, ..self }
    }

    /// How many sections are looked at, recovered and sealed side by side. Default: 16.
    #[must_use]
    pub fn recovery_concurrency(mut self, recovery_concurrency: usize) -> Self {
        self.options.recovery_concurrency = recovery_concurrency;
        self
    }

    /// Open for reading only: no lock is taken and nothing is changed, also beside a running writer. Default: no.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.options.read_only = read_only;
        self
    }

    /// The partition of the indexes.
    pub(crate) fn index_partition(&self) -> String {
        format!("{}-index", self.name)
    }

    /// The partition of the values, and of the manifest.
    pub(crate) fn values_partition(&self) -> String {
        format!("{}-values", self.name)
    }

    /// What can be said about it before anything is touched.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let invalid = |setting, reason: String| Err(Error::InvalidConfig { setting, reason });
        if let Err(error) = check_partition(&self.name) {
            return invalid("name", error.to_string());
        }
        for partition in [self.index_partition(), self.values_partition()] {
            // Their quarantines have names too.
            if let Err(error) = check_partition(&quarantine::partition_of(&partition)) {
                return invalid("name", error.to_string());
            }
        }
        if let Err(reason) = self.compression.check() {
            return invalid("compression", reason);
        }
        if let Err(error) = Geometry::new(self.page_bytes) {
            return invalid("page_bytes", error.to_string());
        }
        if self.value_buffer_bytes == 0 {
            return invalid("value_buffer_bytes", "it is 0".into());
        }
        Ok(())
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            log: LogConfig {
                buffer_bytes: self.value_buffer_bytes,
                unsynced_bytes: self.unsynced_bytes,
                spares: self.spares.clone(),
            },
            preallocate_bytes: self.preallocate_bytes,
            packer: Arc::new(Packer::new(self.compression, self.max_value_bytes)),
            read_only: self.options.read_only,
        }
    }
}
