//! commonware-storage 2026.10.0: `journal::segmented::oversized` on its runtime on tokio.

use std::num::{NonZeroU16, NonZeroUsize};
use std::path::Path;

use bytes::Bytes;
use commonware_codec::Buf;
use commonware_runtime::buffer::paged::CacheRef;
use commonware_runtime::{ReadOptions, Runner as _, Supervisor as _, tokio};
use commonware_storage::journal::segmented::oversized::{Config, Oversized};
use futures::lock::Mutex;
use workloads::drive::{Ended, Job, drive};
use workloads::{Engine, Item, Opener, Place, Result, Run, Writers};

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
    tokio::Runner::new(config).start(async move |context| drive(&Commonware { context }, &job).await)
}

struct Commonware {
    context: tokio::Context,
}

impl Opener for Commonware {
    type Engine = Store;

    async fn open(&self, _: &Path) -> Result<Store> {
        let config = Config {
            index_partition: "entries".into(),
            value_partition: "values".into(),
            index_page_cache: CacheRef::new(PAGE_BYTES, CACHED_PAGES),
            index_write_buffer: INDEX_BUFFER,
            value_write_buffer: VALUE_BUFFER,
            replay_buffer: REPLAY_BUFFER,
            compression: None,
            codec_config: (0..=MAX_VALUE_BYTES).into(),
        };
        Ok(Store { journal: Some(Oversized::init(self.context.child("store"), config).await?) })
    }
}

type Journal = Oversized<tokio::Context, Entry, Bytes>;

/// A journal that each change takes and gives back.
struct Store {
    journal: Option<Journal>,
}

/// What is said of a journal that a failed change did not give back.
const LOST: &str = "the journal was lost in an earlier failure";

impl Store {
    fn take(&mut self) -> Result<Journal> {
        self.journal.take().ok_or_else(|| LOST.into())
    }

    fn journal(&self) -> Result<&Journal> {
        self.journal.as_ref().ok_or_else(|| LOST.into())
    }
}

impl Engine for Store {
    async fn append(&mut self, run: Run) -> Result<()> {
        let mut journal = self.take()?;
        for item in run {
            let value = Bytes::from_static(item.value);
            (journal, ..) = journal.append(item.section, Entry::new(item.id), &value).await?;
        }
        self.journal = Some(journal);
        Ok(())
    }

    async fn sync(&mut self) -> Result<()> {
        self.journal = Some(self.take()?.sync_all().await?);
        Ok(())
    }

    async fn commit(&mut self, item: Item) -> Result<()> {
        let value = Bytes::from_static(item.value);
        let (journal, ..) = self.take()?.append(item.section, Entry::new(item.id), &value).await?;
        self.journal = Some(journal.sync(item.section).await?);
        Ok(())
    }

    async fn write_together(&mut self, writers: Writers) -> Result<Vec<u64>> {
        // Appends one after the other; the syncs that `start_sync` begins run side by side.
        let shared = Mutex::new(Some(self.take()?));
        let times = writers
            .futures(async |item| {
                let value = Bytes::from_static(item.value);
                let mut place = shared.lock().await;
                let (journal, ..) = place.take().ok_or(LOST)?.append(0, Entry::new(item.id), &value).await?;
                let (journal, synced) = journal.start_sync(0).await?;
                *place = Some(journal);
                drop(place);
                Ok(synced.await?)
            })
            .await?;
        self.journal = shared.into_inner();
        Ok(times)
    }

    async fn read(&mut self, place: Place, look: impl FnOnce(u64, &[u8])) -> Result<()> {
        let journal = self.journal()?;
        let entry = journal.get(place.section, place.position).await?;
        look(entry.id, &journal.get_value(place.section, entry.offset, entry.size).await?);
        Ok(())
    }

    async fn entry(&mut self, place: Place) -> Result<u64> {
        Ok(self.journal()?.get(place.section, place.position).await?.id)
    }

    async fn replay_entries(&mut self, mut look: impl FnMut(u64)) -> Result<()> {
        let mut replay = self.take()?.replay(0, 0, REPLAY_BUFFER, ReadOptions::default()).await?;
        while let Some(entry) = replay.next().await {
            look(entry?.2.id);
        }
        self.journal = Some(replay.finish()?);
        Ok(())
    }

    async fn replay_values(&mut self, mut look: impl FnMut(u64, &[u8])) -> Result<()> {
        // A replay holds the whole journal, so the values come after it.
        let mut entries = Vec::new();
        let mut replay = self.take()?.replay(0, 0, REPLAY_BUFFER, ReadOptions::default()).await?;
        while let Some(entry) = replay.next().await {
            let (section, _, entry) = entry?;
            entries.push((section, entry));
        }
        let journal = self.journal.insert(replay.finish()?);
        for (section, entry) in entries {
            look(entry.id, &journal.get_value(section, entry.offset, entry.size).await?);
        }
        Ok(())
    }

    async fn prune(&mut self, min: u64) -> Result<()> {
        self.journal = Some(self.take()?.prune(min).await?.0);
        Ok(())
    }

    async fn close(mut self) -> Result<()> {
        self.sync().await
    }
}
