//! One plain file. What nothing that syncs each commit and checks each value can be much faster than.
//!
//! ```text
//! | id u64 | section u64 | length u32 | CRC-32 of the value u32 | value |   and the next, little-endian
//! ```

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use workloads::{Engine, Item, Opener, Place, Result, Run, Writers};

use crate::reader::{Reader, u32_at, u64_at};

#[cfg(test)]
mod tests;

/// Bytes in front of a value.
const HEADER_BYTES: usize = 24;
/// Appended bytes kept before they are written at once.
const BUFFER_BYTES: usize = 1 << 20;
/// Zeros written ahead of the first commit.
const AHEAD_BYTES: u64 = 160 << 20;

/// The file grows with what is written.
pub(crate) struct Extending;
/// The file's blocks exist before anything is written to them.
pub(crate) struct Ahead;

impl Opener for Extending {
    type Engine = Plain;

    async fn open(&self, directory: &Path) -> Result<Plain> {
        Plain::open(directory)
    }
}

impl Opener for Ahead {
    type Engine = Plain;

    async fn open(&self, directory: &Path) -> Result<Plain> {
        let plain = Plain::open(directory)?;
        let zeros = vec![0; BUFFER_BYTES];
        let mut at = 0;
        while at < AHEAD_BYTES {
            plain.file.write_all_at(&zeros, at)?;
            at += zeros.len() as u64;
        }
        plain.file.sync_all()?;
        Ok(plain)
    }
}

/// Where a value is.
#[derive(Debug, Clone, Copy)]
struct Slot {
    id: u64,
    offset: u64,
    len: u32,
    crc: u32,
}

/// The open file.
pub(crate) struct Plain {
    file: File,
    /// Where the written bytes end.
    written: u64,
    /// Appended and not yet written.
    buffer: Vec<u8>,
    /// The values of each section.
    sections: Vec<Vec<Slot>>,
    value: Vec<u8>,
}

impl Plain {
    fn open(directory: &Path) -> Result<Self> {
        let path = directory.join("values");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        if file.metadata()?.len() == 0 {
            File::open(directory)?.sync_all()?;
        }
        let mut sections = Vec::new();
        let written = scan(&file, |section, slot, _| {
            slots(&mut sections, section)?.push(slot);
            Ok(())
        })?;
        let buffer = Vec::with_capacity(BUFFER_BYTES + HEADER_BYTES);
        Ok(Self { file, written, buffer, sections, value: Vec::new() })
    }

    fn put(&mut self, item: Item) -> Result<()> {
        let offset = self.written + self.buffer.len() as u64;
        let slot = frame(item, offset, &mut self.buffer)?;
        slots(&mut self.sections, item.section)?.push(slot);
        Ok(())
    }

    fn write(&mut self) -> Result<()> {
        self.file.write_all_at(&self.buffer, self.written)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn slot(&self, place: Place) -> Result<Slot> {
        let section = self.sections.get(usize::try_from(place.section)?);
        let slot = section.and_then(|slots| slots.get(usize::try_from(place.position).ok()?));
        slot.copied().ok_or_else(|| "there is no such item".into())
    }
}

/// Puts header and value behind what is in a buffer whose first byte belongs at `offset` less its length.
fn frame(item: Item, offset: u64, buffer: &mut Vec<u8>) -> Result<Slot> {
    let (len, crc) = (u32::try_from(item.value.len())?, crc32fast::hash(item.value));
    buffer.extend_from_slice(&item.id.to_le_bytes());
    buffer.extend_from_slice(&item.section.to_le_bytes());
    buffer.extend_from_slice(&len.to_le_bytes());
    buffer.extend_from_slice(&crc.to_le_bytes());
    buffer.extend_from_slice(item.value);
    Ok(Slot { id: item.id, offset: offset + HEADER_BYTES as u64, len, crc })
}

fn slots(sections: &mut Vec<Vec<Slot>>, section: u64) -> Result<&mut Vec<Slot>> {
    let section = usize::try_from(section)?;
    if sections.len() <= section {
        sections.resize_with(section + 1, Vec::new);
    }
    sections.get_mut(section).ok_or_else(|| "no memory for sections".into())
}

/// Hands on every whole value from the front; returns where they end.
fn scan(file: &File, mut look: impl FnMut(u64, Slot, &[u8]) -> Result<()>) -> Result<u64> {
    let mut reader = Reader::new(file);
    let mut end = 0;
    while let Some(header) = reader.take(HEADER_BYTES)? {
        let (id, section) = (u64_at(header, 0), u64_at(header, 8));
        let (len, crc) = (u32_at(header, 16), u32_at(header, 20));
        let Some(value) = reader.take(usize::try_from(len)?)? else { break };
        if len == 0 || crc32fast::hash(value) != crc {
            break;
        }
        let offset = end + HEADER_BYTES as u64;
        look(section, Slot { id, offset, len, crc }, value)?;
        end = offset + u64::from(len);
    }
    Ok(end)
}

impl Engine for Plain {
    async fn append(&mut self, run: Run) -> Result<()> {
        for item in run {
            self.put(item)?;
            if self.buffer.len() >= BUFFER_BYTES {
                self.write()?;
            }
        }
        Ok(())
    }

    async fn sync(&mut self) -> Result<()> {
        self.write()?;
        Ok(self.file.sync_data()?)
    }

    async fn commit(&mut self, item: Item) -> Result<()> {
        self.put(item)?;
        self.sync().await
    }

    async fn write_together(&mut self, writers: Writers) -> Result<Vec<u64>> {
        self.write()?;
        let end = AtomicU64::new(self.written);
        let sections = Mutex::new(&mut self.sections);
        let file = &self.file;
        let times = writers.threads(|item| {
            let len = (HEADER_BYTES + item.value.len()) as u64;
            let at = end.fetch_add(len, Ordering::Relaxed);
            let mut buffer = Vec::with_capacity(HEADER_BYTES + item.value.len());
            let slot = frame(item, at, &mut buffer)?;
            let mut sections = sections.lock().map_err(|_| "a writer panicked")?;
            slots(&mut sections, item.section)?.push(slot);
            drop(sections);
            file.write_all_at(&buffer, at)?;
            Ok(file.sync_data()?)
        })?;
        self.written = end.into_inner();
        Ok(times)
    }

    async fn read(&mut self, place: Place, look: impl FnOnce(u64, &[u8])) -> Result<()> {
        let slot = self.slot(place)?;
        self.value.resize(usize::try_from(slot.len)?, 0);
        self.file.read_exact_at(&mut self.value, slot.offset)?;
        if crc32fast::hash(&self.value) != slot.crc {
            return Err("a value's checksum is wrong".into());
        }
        look(slot.id, &self.value);
        Ok(())
    }

    async fn entry(&mut self, place: Place) -> Result<u64> {
        Ok(self.slot(place)?.id)
    }

    async fn replay_entries(&mut self, mut look: impl FnMut(u64)) -> Result<()> {
        self.replay_values(|id, _| look(id)).await
    }

    async fn replay_values(&mut self, mut look: impl FnMut(u64, &[u8])) -> Result<()> {
        scan(&self.file, |_, slot, value| {
            look(slot.id, value);
            Ok(())
        })?;
        Ok(())
    }

    async fn prune(&mut self, _: u64) -> Result<()> {
        Err("one file for all sections cannot drop any".into())
    }

    async fn close(mut self) -> Result<()> {
        self.sync().await
    }
}
