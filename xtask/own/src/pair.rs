//! Two plain files a section, as the reference has them: what a store of that shape cannot be much faster than.
//!
//! ```text
//! 0000000000000007.index    | id u64 | offset u64 | length u32 |    and the next, little-endian
//! 0000000000000007.values   | value | CRC-32 of it u32 |            and the next
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use workloads::{Engine, Item, Opener, Place, Result, Run, Writers};

use crate::reader::{Reader, u32_at, u64_at};

#[cfg(test)]
mod tests;

/// Bytes of an entry.
const ENTRY_BYTES: usize = 20;
/// Bytes behind a value.
const CRC_BYTES: usize = 4;
/// Appended bytes of a section's values kept before they are written at once.
const BUFFER_BYTES: usize = 1 << 20;

/// Opens directories of pairs.
pub(crate) struct Pairs;

impl Opener for Pairs {
    type Engine = Store;

    async fn open(&self, directory: &Path) -> Result<Store> {
        let mut store =
            Store { directory: directory.into(), sections: BTreeMap::new(), made: false, value: Vec::new() };
        for entry in fs::read_dir(directory)? {
            let name = entry?.file_name();
            if let Some(number) = name.to_str().and_then(|name| name.strip_suffix(".index")) {
                let number = u64::from_str_radix(number, 16)?;
                store.sections.insert(number, Section::open(directory, number)?);
            }
        }
        Ok(store)
    }
}

/// The open files.
pub(crate) struct Store {
    directory: PathBuf,
    sections: BTreeMap<u64, Section>,
    /// Whether files were made whose names are not yet durable.
    made: bool,
    value: Vec<u8>,
}

struct Section {
    index: Tail,
    values: Tail,
}

/// A file and what belongs behind its end.
struct Tail {
    file: File,
    written: u64,
    buffer: Vec<u8>,
    dirty: bool,
}

impl Tail {
    fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let written = file.metadata()?.len();
        Ok(Self { file, written, buffer: Vec::new(), dirty: false })
    }

    fn len(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn write(&mut self) -> Result<()> {
        if !self.buffer.is_empty() {
            self.file.write_all_at(&self.buffer, self.written)?;
            self.written += self.buffer.len() as u64;
            self.buffer.clear();
            self.dirty = true;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        self.write()?;
        if std::mem::take(&mut self.dirty) {
            self.file.sync_data()?;
        }
        Ok(())
    }

    fn cut(&mut self, len: u64) -> Result<()> {
        self.file.set_len(len)?;
        self.file.sync_data()?;
        self.written = len;
        Ok(())
    }
}

fn paths(directory: &Path, number: u64) -> (PathBuf, PathBuf) {
    (directory.join(format!("{number:016x}.index")), directory.join(format!("{number:016x}.values")))
}

impl Section {
    /// Opens both files and drops the entries whose values are not there, from the last on.
    fn open(directory: &Path, number: u64) -> Result<Self> {
        let (index, values) = paths(directory, number);
        let (mut index, values) = (Tail::open(&index)?, Tail::open(&values)?);
        let mut count = index.written / ENTRY_BYTES as u64;
        while count > 0 {
            let mut entry = [0; ENTRY_BYTES];
            index.file.read_exact_at(&mut entry, (count - 1) * ENTRY_BYTES as u64)?;
            let end = u64_at(&entry, 8) + u64::from(u32_at(&entry, 16)) + CRC_BYTES as u64;
            if end <= values.written {
                break;
            }
            count -= 1;
        }
        if index.written != count * ENTRY_BYTES as u64 {
            index.cut(count * ENTRY_BYTES as u64)?;
        }
        Ok(Self { index, values })
    }

    fn put(&mut self, item: Item) -> Result<()> {
        let (offset, len) = (self.values.len(), u32::try_from(item.value.len())?);
        self.values.buffer.extend_from_slice(item.value);
        self.values.buffer.extend_from_slice(&crc32fast::hash(item.value).to_le_bytes());
        self.index.buffer.extend_from_slice(&item.id.to_le_bytes());
        self.index.buffer.extend_from_slice(&offset.to_le_bytes());
        self.index.buffer.extend_from_slice(&len.to_le_bytes());
        if self.values.buffer.len() >= BUFFER_BYTES {
            self.values.write()?;
            self.index.write()?;
        }
        Ok(())
    }

    /// Number, offset and length of an item.
    fn entry(&mut self, position: u64) -> Result<(u64, u64, u32)> {
        let at = position * ENTRY_BYTES as u64;
        if at + ENTRY_BYTES as u64 > self.index.len() {
            return Err("there is no such item".into());
        }
        self.index.write()?;
        let mut entry = [0; ENTRY_BYTES];
        self.index.file.read_exact_at(&mut entry, at)?;
        Ok((u64_at(&entry, 0), u64_at(&entry, 8), u32_at(&entry, 16)))
    }

    fn replay(&mut self, look: &mut impl FnMut(u64, &[u8])) -> Result<()> {
        self.index.write()?;
        self.values.write()?;
        let (mut index, mut values) = (Reader::new(&self.index.file), Reader::new(&self.values.file));
        while let Some(entry) = index.take(ENTRY_BYTES)? {
            let len = usize::try_from(u32_at(entry, 16))?;
            let framed = values.take(len + CRC_BYTES)?.ok_or("a value is missing")?;
            look(u64_at(entry, 0), checked(framed)?);
        }
        Ok(())
    }
}

/// The value of a value and its checksum.
fn checked(framed: &[u8]) -> Result<&[u8]> {
    let (value, crc) = framed.split_last_chunk::<CRC_BYTES>().ok_or("a value is too short")?;
    if crc32fast::hash(value) != u32::from_le_bytes(*crc) {
        return Err("a value's checksum is wrong".into());
    }
    Ok(value)
}

impl Store {
    fn section(&mut self, number: u64) -> Result<&mut Section> {
        match self.sections.entry(number) {
            std::collections::btree_map::Entry::Occupied(section) => Ok(section.into_mut()),
            std::collections::btree_map::Entry::Vacant(place) => {
                let section = Section::open(&self.directory, number)?;
                self.made = true;
                Ok(place.insert(section))
            }
        }
    }

    fn existing(&mut self, number: u64) -> Result<&mut Section> {
        self.sections.get_mut(&number).ok_or_else(|| "there is no such section".into())
    }
}

impl Engine for Store {
    async fn append(&mut self, run: Run) -> Result<()> {
        for item in run {
            self.section(item.section)?.put(item)?;
        }
        Ok(())
    }

    async fn sync(&mut self) -> Result<()> {
        for section in self.sections.values_mut() {
            section.values.sync()?;
            section.index.sync()?;
        }
        if std::mem::take(&mut self.made) {
            File::open(&self.directory)?.sync_all()?;
        }
        Ok(())
    }

    async fn commit(&mut self, item: Item) -> Result<()> {
        let section = self.section(item.section)?;
        section.put(item)?;
        section.values.sync()?;
        section.index.sync()?;
        if std::mem::take(&mut self.made) {
            File::open(&self.directory)?.sync_all()?;
        }
        Ok(())
    }

    async fn write_together(&mut self, writers: Writers) -> Result<Vec<u64>> {
        self.section(0)?;
        self.sync().await?;
        File::open(&self.directory)?.sync_all()?;
        let section = self.existing(0)?;
        let (index, values) = (section.index.file.try_clone()?, section.values.file.try_clone()?);
        let section = Mutex::new(section);
        writers.threads(|item| {
            {
                let mut section = section.lock().map_err(|_| "a writer panicked")?;
                section.put(item)?;
                section.values.write()?;
                section.index.write()?;
            }
            values.sync_data()?;
            Ok(index.sync_data()?)
        })
    }

    async fn read(&mut self, place: Place, look: impl FnOnce(u64, &[u8])) -> Result<()> {
        let mut value = std::mem::take(&mut self.value);
        let section = self.existing(place.section)?;
        let (id, offset, len) = section.entry(place.position)?;
        section.values.write()?;
        value.resize(usize::try_from(len)? + CRC_BYTES, 0);
        section.values.file.read_exact_at(&mut value, offset)?;
        look(id, checked(&value)?);
        self.value = value;
        Ok(())
    }

    async fn entry(&mut self, place: Place) -> Result<u64> {
        Ok(self.existing(place.section)?.entry(place.position)?.0)
    }

    async fn replay_entries(&mut self, mut look: impl FnMut(u64)) -> Result<()> {
        for section in self.sections.values_mut() {
            section.index.write()?;
            let mut index = Reader::new(&section.index.file);
            while let Some(entry) = index.take(ENTRY_BYTES)? {
                look(u64_at(entry, 0));
            }
        }
        Ok(())
    }

    async fn replay_values(&mut self, mut look: impl FnMut(u64, &[u8])) -> Result<()> {
        self.sections.values_mut().try_for_each(|section| section.replay(&mut look))
    }

    async fn prune(&mut self, min: u64) -> Result<()> {
        let kept = self.sections.split_off(&min);
        for number in std::mem::replace(&mut self.sections, kept).into_keys() {
            let (index, values) = paths(&self.directory, number);
            fs::remove_file(index)?;
            fs::remove_file(values)?;
        }
        Ok(File::open(&self.directory)?.sync_all()?)
    }

    async fn close(mut self) -> Result<()> {
        self.sync().await
    }
}
