//! A blob in memory that counts what is read of it: the bounds of P13 are about that.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use blob_runtime::{Blob, BlobId, Error, Header, HeaderState, check_len, check_read, end_of};
use bytes::Bytes;

/// The blob.
#[derive(Debug)]
pub(crate) struct Memory {
    id: BlobId,
    header: Header,
    bytes: Mutex<Vec<u8>>,
    read: AtomicU64,
    largest: AtomicU64,
}

impl Memory {
    /// `None` when the name is no name.
    pub(crate) fn new(name: &[u8], header: Header, bytes: Vec<u8>) -> Option<Arc<Self>> {
        let id = BlobId::new(&"".into(), "fuzz", name).ok()?;
        let (read, largest) = (AtomicU64::new(0), AtomicU64::new(0));
        Some(Arc::new(Self { id, header, bytes: Mutex::new(bytes), read, largest }))
    }

    /// Bytes read since the last call.
    pub(crate) fn taken(&self) -> u64 {
        self.read.swap(0, Ordering::Relaxed)
    }

    /// The most that one read has asked for.
    pub(crate) fn largest(&self) -> u64 {
        self.largest.load(Ordering::Relaxed)
    }

    fn content(&self) -> MutexGuard<'_, Vec<u8>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, offset: u64, len: usize) -> Result<Bytes, Error> {
        let bytes = self.content();
        self.read.fetch_add(len as u64, Ordering::Relaxed);
        self.largest.fetch_max(len as u64, Ordering::Relaxed);
        check_read(&self.id, offset, len, bytes.len() as u64)?;
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        Ok(Bytes::copy_from_slice(bytes.get(from..from + len).unwrap_or_default()))
    }
}

#[async_trait]
impl Blob for Memory {
    fn id(&self) -> &BlobId {
        &self.id
    }

    fn header(&self) -> &Header {
        &self.header
    }

    fn header_state(&self) -> HeaderState {
        HeaderState::Sound
    }

    fn len(&self) -> u64 {
        self.content().len() as u64
    }

    fn try_read_at(&self, offset: u64, len: usize) -> Option<Result<Bytes, Error>> {
        Some(self.read(offset, len))
    }

    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, Error> {
        self.read(offset, len)
    }

    async fn write_at(&self, offset: u64, data: Vec<Bytes>) -> Result<(), Error> {
        let end = usize::try_from(end_of(offset, &data)?).unwrap_or(usize::MAX);
        let mut bytes = self.content();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        let mut at = usize::try_from(offset).unwrap_or(usize::MAX);
        for part in data {
            if let Some(place) = bytes.get_mut(at..at + part.len()) {
                place.copy_from_slice(&part);
            }
            at += part.len();
        }
        Ok(())
    }

    async fn resize(&self, len: u64) -> Result<(), Error> {
        let len = usize::try_from(check_len(len)?).unwrap_or(usize::MAX);
        self.content().resize(len, 0);
        Ok(())
    }

    async fn sync(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn write_at_sync(&self, offset: u64, data: Vec<Bytes>) -> Result<(), Error> {
        self.write_at(offset, data).await
    }

    async fn write_header(&self) -> Result<(), Error> {
        Ok(())
    }
}
