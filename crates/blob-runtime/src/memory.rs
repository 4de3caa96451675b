//! Storage in memory: everything is durable at once, and gone with the process.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;

use crate::claims::{Claim, Claims};
use crate::error::{Error, Operation, Target};
use crate::header::{Format, Header, HeaderState};
use crate::name::{BlobId, Salt, check_name, check_partition};
use crate::storage::{Blob, Storage, check_len, check_read, end_of};
use crate::sync::{Mutex, lock};

#[cfg(test)]
mod tests;

/// Storage in memory. Everything is durable at once; a `sync` has nothing to do. Clones share their content.
#[derive(Debug, Clone, Default)]
pub struct MemoryStorage {
    blobs: Arc<Mutex<Blobs>>,
    claims: Claims,
}

/// By partition and name.
type Blobs = BTreeMap<(String, Vec<u8>), Arc<Inner>>;

#[derive(Debug)]
struct Inner {
    id: BlobId,
    header: Header,
    data: Mutex<Vec<u8>>,
    removed: AtomicBool,
}

#[derive(Debug)]
struct MemoryBlob {
    inner: Arc<Inner>,
    state: HeaderState,
}

impl MemoryStorage {
    /// Empty storage.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes every blob of the partition for which `doomed` holds out of the map.
    fn take_out(&self, partition: &str, doomed: impl Fn(&[u8]) -> bool) {
        lock(&self.blobs).retain(|(of, name), inner| {
            let goes = of == partition && doomed(name);
            if goes {
                inner.removed.store(true, Ordering::Release);
            }
            !goes
        });
    }
}

#[async_trait]
impl Storage for MemoryStorage {
    async fn claim(&self, partition: &str) -> Result<Claim, Error> {
        check_partition(partition)?;
        self.claims.claim(partition).await
    }

    async fn open(&self, partition: &str, name: &[u8], format: &Format) -> Result<Arc<dyn Blob>, Error> {
        let id = BlobId::new(&"".into(), partition, name)?;
        let drawn = Salt(low_half(self.random()?));
        let mut blobs = lock(&self.blobs);
        let key = (partition.to_owned(), name.to_vec());
        if let Some(inner) = blobs.get(&key) {
            let named = inner.header.salt;
            let start = inner.header.encode();
            let (_, state) = format.read_header(&id, named, &start, start.len() as u64)?;
            return Ok(Arc::new(MemoryBlob { inner: Arc::clone(inner), state }));
        }
        if !format.create {
            return Err(Error::NotFound { blob: id });
        }
        let header = format.header(format.salt.unwrap_or(drawn));
        let inner = Arc::new(Inner { id, header, data: Mutex::default(), removed: AtomicBool::new(false) });
        blobs.insert(key, Arc::clone(&inner));
        Ok(Arc::new(MemoryBlob { inner, state: HeaderState::New }))
    }

    async fn remove(&self, partition: &str, names: &[Vec<u8>]) -> Result<(), Error> {
        check_partition(partition)?;
        names.iter().try_for_each(|name| check_name(name))?;
        self.take_out(partition, |name| names.iter().any(|doomed| doomed == name));
        Ok(())
    }

    async fn remove_partition(&self, partition: &str) -> Result<(), Error> {
        check_partition(partition)?;
        self.take_out(partition, |_| true);
        Ok(())
    }

    async fn scan(&self, partition: &str) -> Result<Vec<Vec<u8>>, Error> {
        check_partition(partition)?;
        let blobs = lock(&self.blobs);
        let from = (Bound::Included((partition.to_owned(), Vec::new())), Bound::Unbounded);
        let of = blobs.range(from).take_while(|((of, _), _)| of == partition);
        Ok(of.map(|((_, name), _)| name.clone()).collect())
    }

    async fn sync_many(&self, blobs: &[Arc<dyn Blob>]) -> Vec<Result<(), Error>> {
        sync_one_by_one(blobs).await
    }

    fn random(&self) -> Result<u64, Error> {
        random_u64()
    }
}

/// [`Blob::sync`] on each, one after the other.
pub(crate) async fn sync_one_by_one(blobs: &[Arc<dyn Blob>]) -> Vec<Result<(), Error>> {
    let mut results = Vec::with_capacity(blobs.len());
    for blob in blobs {
        results.push(blob.sync().await);
    }
    results
}

/// Random bits of the operating system (`getrandom(2)`).
pub(crate) fn random_u64() -> Result<u64, Error> {
    getrandom::u64()
        .map_err(|error| Error::io(Operation::Random, Target::Path("the system".into()), None, error.into()))
}

#[expect(clippy::cast_possible_truncation, reason = "half of the random bits are enough")]
pub(crate) fn low_half(bits: u64) -> u32 {
    bits as u32
}

impl MemoryBlob {
    /// Runs `change` on the bytes of a blob that is still there.
    fn with<T>(&self, change: impl FnOnce(&mut Vec<u8>) -> Result<T, Error>) -> Result<T, Error> {
        let mut data = lock(&self.inner.data);
        if self.inner.removed.load(Ordering::Acquire) {
            return Err(Error::Removed { blob: self.inner.id.clone() });
        }
        change(&mut data)
    }

    /// Adds zeros up to `len`, if there is so much memory: a length that a blob can have is not yet one that can be.
    fn grow(&self, data: &mut Vec<u8>, len: usize, operation: Operation) -> Result<(), Error> {
        if let Some(more) = len.checked_sub(data.len()) {
            // First with room to grow on, as `Vec` itself would.
            let room = data.try_reserve(more).or_else(|_| data.try_reserve_exact(more));
            room.map_err(|_| Error::io(operation, &self.inner.id, None, io::ErrorKind::OutOfMemory.into()))?;
            data.resize(len, 0);
        }
        Ok(())
    }

    fn read(&self, offset: u64, len: usize) -> Result<Bytes, Error> {
        self.with(|data| {
            check_read(&self.inner.id, offset, len, data.len() as u64)?;
            let start = in_memory(offset)?;
            Ok(Bytes::copy_from_slice(data.get(start..start + len).unwrap_or_default()))
        })
    }

    fn write(&self, offset: u64, parts: &[Bytes]) -> Result<(), Error> {
        let end = in_memory(end_of(offset, parts)?)?;
        let mut at = in_memory(offset)?;
        self.with(|data| {
            if parts.iter().all(Bytes::is_empty) {
                return Ok(());
            }
            self.grow(data, end, Operation::Write)?;
            for part in parts {
                if let Some(place) = data.get_mut(at..at + part.len()) {
                    place.copy_from_slice(part);
                }
                at += part.len();
            }
            Ok(())
        })
    }
}

/// A length or offset as an index into memory.
fn in_memory(value: u64) -> Result<usize, Error> {
    /// What a `Vec` can hold (`isize::MAX`).
    const MAX: u64 = isize::MAX as u64;
    usize::try_from(value).ok().filter(|value| *value as u64 <= MAX).ok_or(Error::TooLarge {
        what: "blob length in bytes",
        value,
        max: MAX,
    })
}

#[async_trait]
impl Blob for MemoryBlob {
    fn id(&self) -> &BlobId {
        &self.inner.id
    }

    fn header(&self) -> &Header {
        &self.inner.header
    }

    fn header_state(&self) -> HeaderState {
        self.state
    }

    fn len(&self) -> u64 {
        lock(&self.inner.data).len() as u64
    }

    fn try_read_at(&self, offset: u64, len: usize) -> Option<Result<Bytes, Error>> {
        Some(self.read(offset, len))
    }

    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, Error> {
        self.read(offset, len)
    }

    async fn write_at(&self, offset: u64, data: Vec<Bytes>) -> Result<(), Error> {
        self.write(offset, &data)
    }

    async fn resize(&self, len: u64) -> Result<(), Error> {
        let len = in_memory(check_len(len)?)?;
        self.with(|data| {
            self.grow(data, len, Operation::Resize)?;
            data.truncate(len);
            Ok(())
        })
    }

    async fn sync(&self) -> Result<(), Error> {
        self.with(|_| Ok(()))
    }

    async fn write_at_sync(&self, offset: u64, data: Vec<Bytes>) -> Result<(), Error> {
        self.write(offset, &data)
    }

    async fn write_header(&self) -> Result<(), Error> {
        self.with(|_| Ok(()))
    }
}
