//! How a journal is opened.

use blob_runtime::append::Spares;
use blob_runtime::segmented::{OnDamage, Options};
use paged_cache::{DEFAULT_PAGE_BYTES, PageCache};

/// How a journal is opened. Everything but the name has a sensible default, and everything but the name and the item
/// size may change from one open to the next.
#[derive(Debug, Clone)]
pub struct Config {
    pub(crate) partition: String,
    pub(crate) page_bytes: u32,
    pub(crate) page_cache: PageCache,
    pub(crate) buffer_bytes: usize,
    pub(crate) unsynced_bytes: u64,
    pub(crate) spares: Spares,
    pub(crate) quarantine_bytes: u64,
    pub(crate) options: Options,
}

impl Config {
    /// A journal in this partition.
    pub fn new(partition: &str) -> Self {
        Self {
            partition: partition.to_owned(),
            page_bytes: DEFAULT_PAGE_BYTES,
            page_cache: PageCache::default(),
            buffer_bytes: 256 << 10,
            unsynced_bytes: 32 << 20,
            spares: Spares::new(1 << 20),
            quarantine_bytes: 1 << 30,
            options: Options::default(),
        }
    }

    /// Physical page size of new sections in bytes: a power of two from 64 to 65,536. Default: 4096.
    #[must_use]
    pub fn page_bytes(self, page_bytes: u32) -> Self {
        Self { page_bytes, ..self }
    }

    /// The page cache, to be shared by several journals. Default: one of 64 MiB of its own.
    #[must_use]
    pub fn page_cache(self, page_cache: PageCache) -> Self {
        Self { page_cache, ..self }
    }

    /// Bytes a section gathers before it writes without being asked; there are two such buffers, and four while it
    /// is synced. Default: 256 KiB.
    #[must_use]
    pub fn buffer_bytes(self, buffer_bytes: usize) -> Self {
        Self { buffer_bytes, ..self }
    }

    /// Bytes a section may have written and not synced before it syncs without being asked. Default: 32 MiB.
    #[must_use]
    pub fn unsynced_bytes(self, unsynced_bytes: u64) -> Self {
        Self { unsynced_bytes, ..self }
    }

    /// What to do about damage to items that were acknowledged. Default: [`OnDamage::Refuse`].
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
}
