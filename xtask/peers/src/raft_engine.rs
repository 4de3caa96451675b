//! raft-engine 0.4.2: a log-structured engine for many Raft groups. A section is a group, a record and its value are
//! one entry, which is read as a whole.
//!
//! `Engine::sync` does nothing in this version: it writes an empty batch, and `Engine::write` returns early for one. So
//! what is to be durable ends with a batch that holds something and is written with `sync` set.

use std::path::Path;

use protobuf::well_known_types::BytesValue;
use raft_engine::{Command, Config, Engine as Log, LogBatch, MessageExt, ReadableSize};
use workloads::{Engine, Item, Opener, Place, Result, Run, Writers};

/// Bytes fetched at once by a replay.
const REPLAY_BYTES: usize = 256 << 10;
/// Entries fetched at once by a replay: as many indexes are held in memory.
const REPLAY_ENTRIES: u64 = 4096;
/// The group of the key that only exists to be synced; no section has its number.
const SYNC_GROUP: u64 = u64::MAX - 1;

pub(crate) struct RaftEngine;

impl Opener for RaftEngine {
    type Engine = Store;

    async fn open(&self, directory: &Path) -> Result<Store> {
        let dir = directory.to_str().ok_or("the directory's name is no text")?.to_owned();
        // The values do not compress.
        let config = Config { dir, batch_compression_threshold: ReadableSize(0), ..Config::default() };
        Ok(Store { log: Log::open(config)? })
    }
}

pub(crate) struct Store {
    log: Log,
}

/// An entry: its index in the group and the item's number, both big-endian, then the value.
struct Entry;

const INDEX: usize = 0;
const ID: usize = 8;
const VALUE: usize = 16;

fn number(bytes: &[u8], at: usize) -> u64 {
    let field = bytes.get(at..).and_then(<[u8]>::first_chunk);
    field.copied().map_or(0, u64::from_be_bytes)
}

impl MessageExt for Entry {
    type Entry = BytesValue;

    fn index(entry: &BytesValue) -> u64 {
        number(&entry.value, INDEX)
    }
}

fn look_at(entry: &BytesValue, look: impl FnOnce(u64, &[u8])) {
    look(number(&entry.value, ID), entry.value.get(VALUE..).unwrap_or_default());
}

fn group_of(section: u64) -> u64 {
    section + 1
}

impl Store {
    fn put(&self, item: Item, sync: bool) -> Result<()> {
        let mut value = Vec::with_capacity(VALUE + item.value.len());
        value.extend_from_slice(&(item.position + 1).to_be_bytes());
        value.extend_from_slice(&item.id.to_be_bytes());
        value.extend_from_slice(item.value);
        let entry = BytesValue { value, ..BytesValue::default() };
        let mut batch = LogBatch::default();
        batch.add_entries::<Entry>(group_of(item.section), &[entry])?;
        self.log.write(&mut batch, sync)?;
        Ok(())
    }
}

impl Engine for Store {
    async fn append(&mut self, run: Run) -> Result<()> {
        for item in run {
            self.put(item, false)?;
        }
        Ok(())
    }

    async fn sync(&mut self) -> Result<()> {
        let mut batch = LogBatch::default();
        batch.put(SYNC_GROUP, b"synced".to_vec(), Vec::new())?;
        self.log.write(&mut batch, true)?;
        Ok(())
    }

    async fn commit(&mut self, item: Item) -> Result<()> {
        self.put(item, true)
    }

    async fn write_together(&mut self, writers: Writers) -> Result<Vec<u64>> {
        writers.threads(|item| self.put(item, true))
    }

    async fn read(&mut self, place: Place, look: impl FnOnce(u64, &[u8])) -> Result<()> {
        let entry = self.log.get_entry::<Entry>(group_of(place.section), place.position + 1)?;
        look_at(&entry.ok_or("there is no such item")?, look);
        Ok(())
    }

    async fn entry(&mut self, place: Place) -> Result<u64> {
        let mut found = 0;
        self.read(place, |id, _| found = id).await?;
        Ok(found)
    }

    async fn replay_entries(&mut self, mut look: impl FnMut(u64)) -> Result<()> {
        self.replay_values(|id, _| look(id)).await
    }

    async fn replay_values(&mut self, mut look: impl FnMut(u64, &[u8])) -> Result<()> {
        let mut groups = self.log.raft_groups();
        groups.sort_unstable();
        let mut entries = Vec::new();
        for group in groups {
            let (Some(mut next), Some(last)) = (self.log.first_index(group), self.log.last_index(group)) else {
                continue;
            };
            while next <= last {
                entries.clear();
                let end = (last + 1).min(next + REPLAY_ENTRIES);
                let count = self.log.fetch_entries_to::<Entry>(group, next, end, Some(REPLAY_BYTES), &mut entries)?;
                entries.iter().for_each(|entry| look_at(entry, &mut look));
                next += count.max(1) as u64;
            }
        }
        Ok(())
    }

    async fn prune(&mut self, min: u64) -> Result<()> {
        let mut batch = LogBatch::default();
        for section in 0..min {
            batch.add_command(group_of(section), Command::Clean);
        }
        self.log.write(&mut batch, true)?;
        self.log.purge_expired_files()?;
        Ok(())
    }

    async fn close(mut self) -> Result<()> {
        self.sync().await
    }
}
