//! fjall 3: a log-structured merge tree. Records in one keyspace, values in another, with values of 1 KiB and more
//! apart from their keys; both change in one batch.

use std::path::Path;

use fjall::config::CompressionPolicy;
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode, Slice};
use workloads::{Engine, Item, Opener, Place, Result, Run, Writers};

/// Blocks kept in memory.
const CACHE_BYTES: u64 = 256 << 20;

pub(crate) struct Fjall;

impl Opener for Fjall {
    type Engine = Store;

    async fn open(&self, directory: &Path) -> Result<Store> {
        let database =
            Database::builder(directory).cache_size(CACHE_BYTES).journal_compression(CompressionType::None).open()?;
        let plain = || {
            KeyspaceCreateOptions::default()
                .data_block_compression_policy(CompressionPolicy::all(CompressionType::None))
        };
        let apart = || Some(KvSeparationOptions::default().compression(CompressionType::None));
        let records = database.keyspace("records", plain)?;
        let values = database.keyspace("values", || plain().with_kv_separation(apart()))?;
        Ok(Store { database, records, values })
    }
}

pub(crate) struct Store {
    database: Database,
    records: Keyspace,
    values: Keyspace,
}

fn key(place: Place) -> [u8; 16] {
    let mut key = [0; 16];
    let (section, position) = key.split_at_mut(8);
    section.copy_from_slice(&place.section.to_be_bytes());
    position.copy_from_slice(&place.position.to_be_bytes());
    key
}

fn id(record: Option<&Slice>) -> Result<u64> {
    let record = record.ok_or("there is no such item")?;
    Ok(u64::from_be_bytes(record.as_ref().try_into()?))
}

impl Store {
    fn put(&self, item: Item, durability: Option<PersistMode>) -> Result<()> {
        let key = key(Place { section: item.section, position: item.position });
        let mut batch = self.database.batch().durability(durability);
        batch.insert(&self.records, key, item.id.to_be_bytes());
        batch.insert(&self.values, key, item.value);
        Ok(batch.commit()?)
    }
}

impl Engine for Store {
    async fn append(&mut self, run: Run) -> Result<()> {
        for item in run {
            self.put(item, None)?;
        }
        Ok(())
    }

    async fn sync(&mut self) -> Result<()> {
        Ok(self.database.persist(PersistMode::SyncData)?)
    }

    async fn commit(&mut self, item: Item) -> Result<()> {
        self.put(item, Some(PersistMode::SyncData))
    }

    async fn write_together(&mut self, writers: Writers) -> Result<Vec<u64>> {
        writers.threads(|item| self.put(item, Some(PersistMode::SyncData)))
    }

    async fn read(&mut self, place: Place, look: impl FnOnce(u64, &[u8])) -> Result<()> {
        let id = self.entry(place).await?;
        let value = self.values.get(key(place))?.ok_or("there is no such value")?;
        look(id, &value);
        Ok(())
    }

    async fn entry(&mut self, place: Place) -> Result<u64> {
        id(self.records.get(key(place))?.as_ref())
    }

    async fn replay_entries(&mut self, mut look: impl FnMut(u64)) -> Result<()> {
        for record in self.records.iter() {
            look(id(Some(&record.value()?))?);
        }
        Ok(())
    }

    async fn replay_values(&mut self, mut look: impl FnMut(u64, &[u8])) -> Result<()> {
        for (record, value) in self.records.iter().zip(self.values.iter()) {
            look(id(Some(&record.value()?))?, &value.value()?);
        }
        Ok(())
    }

    async fn prune(&mut self, min: u64) -> Result<()> {
        let below = ..key(Place { section: min, position: 0 });
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for record in self.records.range(below) {
            let key = record.key()?;
            batch.remove(&self.records, key.clone());
            batch.remove(&self.values, key);
        }
        Ok(batch.commit()?)
    }

    async fn close(self) -> Result<()> {
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }
}
