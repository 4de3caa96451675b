//! redb 4: a copy-on-write B-tree in one file. A record and its value are one row; a commit is one transaction; appends
//! without sync are gathered into transactions of [`GATHERED`] rows or [`GATHERED_BYTES`] bytes that are not durable.

use std::path::Path;

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use workloads::{Engine, Item, Opener, Place, Result, Run, Writers};

/// Rows of one transaction that is not durable, at most.
const GATHERED: usize = 1000;
/// Bytes of its values, about.
const GATHERED_BYTES: usize = 4 << 20;
/// Bytes of a row before the value: the item's number, big-endian.
const RECORD_BYTES: usize = 8;
const ROWS: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("rows");

pub(crate) struct Redb;

impl Opener for Redb {
    type Engine = Store;

    async fn open(&self, directory: &Path) -> Result<Store> {
        Ok(Store { database: Database::create(directory.join("store.redb"))? })
    }
}

pub(crate) struct Store {
    database: Database,
}

fn put(table: &mut redb::Table<'_, (u64, u64), &'static [u8]>, item: Item) -> Result<()> {
    let mut row = table.insert_reserve((item.section, item.position), RECORD_BYTES + item.value.len())?;
    let (record, value) = row.as_mut().split_at_mut(RECORD_BYTES);
    record.copy_from_slice(&item.id.to_be_bytes());
    value.copy_from_slice(item.value);
    Ok(())
}

fn parts(row: &[u8]) -> Result<(u64, &[u8])> {
    let (record, value) = row.split_first_chunk::<RECORD_BYTES>().ok_or("a row is too short")?;
    Ok((u64::from_be_bytes(*record), value))
}

impl Store {
    fn transaction(&self, durability: Durability, items: impl Iterator<Item = Item>) -> Result<()> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(durability)?;
        let mut table = transaction.open_table(ROWS)?;
        let mut bytes = 0;
        for item in items {
            put(&mut table, item)?;
            bytes += item.value.len();
            if bytes >= GATHERED_BYTES {
                break;
            }
        }
        drop(table);
        Ok(transaction.commit()?)
    }
}

impl Engine for Store {
    async fn append(&mut self, run: Run) -> Result<()> {
        let mut items = run.peekable();
        while items.peek().is_some() {
            self.transaction(Durability::None, items.by_ref().take(GATHERED))?;
        }
        Ok(())
    }

    async fn sync(&mut self) -> Result<()> {
        self.transaction(Durability::Immediate, std::iter::empty())
    }

    async fn commit(&mut self, item: Item) -> Result<()> {
        self.transaction(Durability::Immediate, std::iter::once(item))
    }

    async fn write_together(&mut self, writers: Writers) -> Result<Vec<u64>> {
        writers.threads(|item| self.transaction(Durability::Immediate, std::iter::once(item)))
    }

    async fn read(&mut self, place: Place, look: impl FnOnce(u64, &[u8])) -> Result<()> {
        let table = self.database.begin_read()?.open_table(ROWS)?;
        let row = table.get((place.section, place.position))?.ok_or("there is no such item")?;
        let (id, value) = parts(row.value())?;
        look(id, value);
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
        let table = self.database.begin_read()?.open_table(ROWS)?;
        for row in table.iter()? {
            let row = row?;
            let (id, value) = parts(row.1.value())?;
            look(id, value);
        }
        Ok(())
    }

    async fn prune(&mut self, min: u64) -> Result<()> {
        let transaction = self.database.begin_write()?;
        transaction.open_table(ROWS)?.retain_in(..(min, 0), |_, _| false)?;
        Ok(transaction.commit()?)
    }

    async fn close(self) -> Result<()> {
        Ok(self.database.close()?)
    }
}
