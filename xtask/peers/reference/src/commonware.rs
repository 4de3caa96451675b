//! commonware-storage 2026.4.0: `journal::segmented::oversized` on its runtime on tokio.

use std::num::{NonZeroU16, NonZeroUsize};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use async_lock::RwLock;
use bytes::Bytes;
use commonware_runtime::buffer::paged::CacheRef;
use commonware_runtime::{Buf, Metrics as _, Runner as _, tokio};
use commonware_storage::journal::segmented::oversized::{Config, Oversized};
use futures::{StreamExt as _, pin_mut};
use workloads::drive::{Ended, Job, drive};
use workloads::{Engine, Item, Opener, Place, Result, Run, Writers};

#[path = "../../src/commonware/entry.rs"]
mod entry;

use entry::Entry;

/// Bytes of a page less its checksum, so that a page is one block of the file system.
const PAGE_BYTES: NonZeroU16 = NonZeroU16::new(4096 - 12).unwrap();
/// Pages kept in memory: 4 MiB.
const CACHED_PAGES: NonZeroUsize = NonZeroUsize::new(1024).unwrap();
/// Bytes of entries kept before they are written.
const INDEX_BUFFER: NonZeroUsize = NonZeroUsize::new(64 << 10).unwrap();
/// Bytes of values kept before they are written.
const VALUE_BUFFER: NonZeroUsize = NonZeroUsize::new(1 << 20).unwrap();
/// Bytes read at once by a replay.
const REPLAY_BUFFER: NonZeroUsize = NonZeroUsize::new(256 << 10).unwrap();
/// The longest value that is decoded.
const MAX_VALUE_BYTES: usize = 1 << 20;

/// Runs a job on the runtime, whose start is not measured.
pub(crate) fn run(job: &Job) -> Result<Ended> {
    let config = tokio::Config::new().with_storage_directory(&job.directory);
    let job = job.clone();
    tokio::Runner::new(config)
        .start(async move |context| drive(&Commonware { context, opened: AtomicU64::new(0) }, &job).await)
}

struct Commonware {
    context: tokio::Context,
    opened: AtomicU64,
}

impl Opener for Commonware {
    type Engine = Store;

    async fn open(&self, _: &Path) -> Result<Store> {
        let config = Config {
            index_partition: "entries".into(),
            value_partition: "values".into(),
            index_page_cache: CacheRef::from_pooler(&self.context, PAGE_BYTES, CACHED_PAGES),
            index_write_buffer: INDEX_BUFFER,
            value_write_buffer: VALUE_BUFFER,
            compression: None,
            codec_config: (0..=MAX_VALUE_BYTES).into(),
        };
        // A label may be used once.
        let label = format!("store{}", self.opened.fetch_add(1, Ordering::Relaxed));
        Ok(Store { journal: Oversized::init(self.context.with_label(&label), config).await? })
    }
}

struct Store {
    journal: Oversized<tokio::Context, Entry, Bytes>,
}

impl Engine for Store {
    async fn append(&mut self, run: Run) -> Result<()> {
        for item in run {
            let value = Bytes::from_static(item.value);
            self.journal.append(item.section, Entry::new(item.id), &value).await?;
        }
        Ok(())
    }

    async fn sync(&mut self) -> Result<()> {
        Ok(self.journal.sync_all().await?)
    }

    async fn commit(&mut self, item: Item) -> Result<()> {
        let value = Bytes::from_static(item.value);
        self.journal.append(item.section, Entry::new(item.id), &value).await?;
        Ok(self.journal.sync(item.section).await?)
    }

    async fn write_together(&mut self, writers: Writers) -> Result<Vec<u64>> {
        // An append needs the journal for itself; syncs may run side by side.
        let shared = RwLock::new(&mut self.journal);
        writers
            .futures(async |item| {
                let value = Bytes::from_static(item.value);
                shared.write().await.append(0, Entry::new(item.id), &value).await?;
                Ok(shared.read().await.sync(0).await?)
            })
            .await
    }

    async fn read(&mut self, place: Place, look: impl FnOnce(u64, &[u8])) -> Result<()> {
        let entry = self.journal.get(place.section, place.position).await?;
        look(entry.id, &self.journal.get_value(place.section, entry.offset, entry.size).await?);
        Ok(())
    }

    async fn entry(&mut self, place: Place) -> Result<u64> {
        Ok(self.journal.get(place.section, place.position).await?.id)
    }

    async fn replay_entries(&mut self, mut look: impl FnMut(u64)) -> Result<()> {
        let entries = self.journal.replay(0, 0, REPLAY_BUFFER).await?;
        pin_mut!(entries);
        while let Some(entry) = entries.next().await {
            look(entry?.2.id);
        }
        Ok(())
    }

    async fn replay_values(&mut self, mut look: impl FnMut(u64, &[u8])) -> Result<()> {
        let entries = self.journal.replay(0, 0, REPLAY_BUFFER).await?;
        pin_mut!(entries);
        while let Some(entry) = entries.next().await {
            let (section, _, entry) = entry?;
            look(entry.id, &self.journal.get_value(section, entry.offset, entry.size).await?);
        }
        Ok(())
    }

    async fn prune(&mut self, min: u64) -> Result<()> {
        self.journal.prune(min).await?;
        Ok(())
    }

    async fn close(mut self) -> Result<()> {
        self.sync().await
    }
}
