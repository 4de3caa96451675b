//! How a glob is opened.

use std::sync::Arc;

use blob_runtime::append::{Config as LogConfig, Spares};
use blob_runtime::segmented::{OnDamage, Options};

use crate::compress::{Compression, Packer};
use crate::error::Error;
use crate::section::Settings;

/// How a glob is opened. Everything but the partition has a sensible default, and everything but the partition and the
/// tag size may change from one open to the next.
///
/// `C` is what the values' type needs for decoding ([`Value::Cfg`](blob_runtime::codec::Value::Cfg)); see
/// [`value_cfg`](Self::value_cfg).
#[derive(Debug, Clone)]
pub struct Config<C = ()> {
    pub(crate) partition: String,
    pub(crate) value_cfg: C,
    pub(crate) tag_bytes: Option<u16>,
    pub(crate) compression: Compression,
    pub(crate) max_value_bytes: u32,
    pub(crate) buffer_bytes: usize,
    pub(crate) unsynced_bytes: u64,
    pub(crate) spares: Spares,
    pub(crate) preallocate_bytes: u64,
    pub(crate) quarantine_bytes: u64,
    pub(crate) options: Options,
}

impl Config {
    /// A glob in this partition.
    pub fn new(partition: &str) -> Self {
        Self {
            partition: partition.to_owned(),
            value_cfg: (),
            tag_bytes: None,
            compression: Compression::None,
            max_value_bytes: 64 << 20,
            buffer_bytes: 1 << 20,
            unsynced_bytes: 32 << 20,
            spares: Spares::new(4 << 20),
            preallocate_bytes: 1 << 20,
            quarantine_bytes: 1 << 30,
            options: Options::default(),
        }
    }
}

impl<C> Config<C> {
    /// What the values' type needs for decoding. Default: `()`.
    #[must_use]
    pub fn value_cfg<D>(self, value_cfg: D) -> Config<D> {
        Config {
            partition: self.partition,
            value_cfg,
            tag_bytes: self.tag_bytes,
            compression: self.compression,
            max_value_bytes: self.max_value_bytes,
            buffer_bytes: self.buffer_bytes,
            unsynced_bytes: self.unsynced_bytes,
            spares: self.spares,
            preallocate_bytes: self.preallocate_bytes,
            quarantine_bytes: self.quarantine_bytes,
            options: self.options,
        }
    }

    /// Size of every value's tag in bytes. A section of another tag size is [`Error::FormatMismatch`]. Default: whatever is
    /// found, and none for new sections.
    #[must_use]
    pub fn tag_bytes(self, tag_bytes: u16) -> Self {
        Self { tag_bytes: Some(tag_bytes), ..self }
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

    /// Bytes a section gathers before it writes without being asked; there are two such buffers, and four while it
    /// is synced. Default: 1 MiB.
    #[must_use]
    pub fn buffer_bytes(self, buffer_bytes: usize) -> Self {
        Self { buffer_bytes, ..self }
    }

    /// Where buffers come from and go to, to be shared by several stores. Default: 4 MiB of its own.
    #[must_use]
    pub fn spares(self, spares: Spares) -> Self {
        Self { spares, ..self }
    }

    /// Bytes a section may have written and not synced before it syncs without being asked. Default: 32 MiB.
    #[must_use]
    pub fn unsynced_bytes(self, unsynced_bytes: u64) -> Self {
        Self { unsynced_bytes, ..self }
    }

    /// The most zeros a section has written ahead, in bytes; 0 for none. Default: 1 MiB.
    #[must_use]
    pub fn preallocate_bytes(self, preallocate_bytes: u64) -> Self {
        Self { preallocate_bytes, ..self }
    }

    /// What to do about damage to values that were acknowledged. Default: [`OnDamage::Refuse`].
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

    /// What can be said about it before anything is touched.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let invalid = |setting, reason: String| Err(Error::InvalidConfig { setting, reason });
        if let Err(reason) = self.compression.check() {
            return invalid("compression", reason);
        }
        if self.buffer_bytes == 0 {
            return invalid("buffer_bytes", "it is 0".into());
        }
        Ok(())
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            log: LogConfig {
                buffer_bytes: self.buffer_bytes,
                unsynced_bytes: self.unsynced_bytes,
                spares: self.spares.clone(),
            },
            preallocate_bytes: self.preallocate_bytes,
            packer: Arc::new(Packer::new(self.compression, self.max_value_bytes)),
            read_only: self.options.read_only,
        }
    }
}
