//! Our own store, as its users have it.

use std::path::Path;
use std::sync::Arc;

use blob_runtime::{FileStorage, Io};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::executor::block_on;
use oversized::{Config, Located, Oversized};
use workloads::{Engine, Item, Opener, Place, Result, Run, Writers};

#[cfg(test)]
mod tests;

/// Who runs blocking calls, and how many writers wait for theirs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ours {
    /// Where blocking calls run.
    pub(crate) io: Io,
    /// Whether each of many writers is a thread; else each is a future, and all are polled by one thread.
    pub(crate) threads: bool,
}

impl Opener for Ours {
    type Engine = Store;

    async fn open(&self, directory: &Path) -> Result<Store> {
        let storage = FileStorage::builder(directory).io(self.io).open()?;
        let journal = Oversized::open(Arc::new(storage), Config::new("bench")).await?;
        Ok(Store { journal, threads: self.threads })
    }
}

/// The open store. A record is the item's number.
pub(crate) struct Store {
    journal: Oversized<Located<u64>, Bytes>,
    threads: bool,
}

impl Store {
    async fn put(&self, section: u64, item: Item) -> Result<()> {
        let value = Bytes::from_static(item.value);
        self.journal.append(section, Located::new(item.id), &value).await?;
        Ok(())
    }
}

impl Engine for Store {
    async fn append(&mut self, run: Run) -> Result<()> {
        for item in run {
            self.put(item.section, item).await?;
        }
        Ok(())
    }

    async fn sync(&mut self) -> Result<()> {
        Ok(self.journal.sync_all().await?)
    }

    async fn commit(&mut self, item: Item) -> Result<()> {
        self.put(item.section, item).await?;
        Ok(self.journal.sync(item.section).await?)
    }

    async fn write_together(&mut self, writers: Writers) -> Result<Vec<u64>> {
        let store = &*self;
        let commit = async |item| {
            store.put(0, item).await?;
            Ok(store.journal.sync(0).await?)
        };
        if self.threads { writers.threads(|item| block_on(commit(item))) } else { writers.futures(commit).await }
    }

    async fn read(&mut self, place: Place, look: impl FnOnce(u64, &[u8])) -> Result<()> {
        let (record, value) = self.journal.read(place.section, place.position).await?;
        look(record.data, &value);
        Ok(())
    }

    async fn entry(&mut self, place: Place) -> Result<u64> {
        Ok(self.journal.get(place.section, place.position).await?.data)
    }

    async fn replay_entries(&mut self, mut look: impl FnMut(u64)) -> Result<()> {
        let mut entries = self.journal.replay(0, 0);
        while let Some(entry) = entries.next().await {
            look(entry?.record.data);
        }
        Ok(())
    }

    async fn replay_values(&mut self, mut look: impl FnMut(u64, &[u8])) -> Result<()> {
        let mut entries = self.journal.replay_values(0, 0);
        while let Some(entry) = entries.next().await {
            let entry = entry?;
            look(entry.record.data, &entry.value);
        }
        Ok(())
    }

    async fn prune(&mut self, min: u64) -> Result<()> {
        self.journal.prune(min).await?;
        Ok(())
    }

    async fn close(self) -> Result<()> {
        Ok(self.journal.close().await?)
    }
}
