//! The two traits everything above stands on.
//!
//! ## What a backend promises
//!
//! The suite in [`contract`](crate::contract) checks each of these on any backend.
//!
//! - **Order.** Changes of one blob (`write_at`, `resize`, `sync`, `write_at_sync`, `write_header`) take effect one
//!   after the other, in the order in which their futures were first polled, also through several handles. Reads run
//!   beside them; a read that overlaps a running write may see any mix of old and new bytes in the overlap, and
//!   nothing else.
//! - **Drop.** A future that is dropped before it began has done nothing. One that began runs to its end; the next
//!   change of that blob waits for it, also through a handle that is opened later.
//! - **Durability.** After `sync` has returned Ok, what was changed before it began is there after any crash: bytes,
//!   length, header, and for a new blob its name. Until then any part of it may be lost, at any byte.
//! - **Failure.** A failed write or resize leaves every byte of its own range old or new, all others as they were, and
//!   may be tried again. After a failed sync nothing is known about what was written since the last good one: the blob
//!   refuses every change with [`Error::Poisoned`] until it is opened anew.
//! - **Whole.** A read returns exactly what it was asked for, or an error.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::claims::Claim;
use crate::error::Error;
use crate::header::{Format, Header, HeaderState};
use crate::name::BlobId;

/// The largest logical length of a blob in bytes: what the largest file holds behind its header (`off_t`).
pub const MAX_BLOB_BYTES: u64 = i64::MAX as u64 - crate::header::HEADER_BYTES as u64;

/// Named blobs in partitions. Used as `Arc<dyn Storage>`.
#[async_trait]
pub trait Storage: Debug + Send + Sync + Any {
    /// Takes the exclusive right to write a partition. It is held until the [`Claim`] is dropped and the last change
    /// of the partition that had begun by then has ended; a claim that comes in between waits for that end.
    ///
    /// Cancel safety: dropping the future takes nothing.
    ///
    /// # Errors
    /// [`Error::Locked`] while another claim is held, [`Error::ReadOnly`], [`Error::InvalidPartition`].
    async fn claim(&self, partition: &str) -> Result<Claim, Error>;

    /// Opens a blob, creating it when it is missing and `format` says so. A found header is compared with `format`, and
    /// so is the one that a new blob will get from whoever opened it to be made first. A header that does not verify
    /// binds nobody: each handle has the one its format makes, and the first change writes that of its handle.
    /// A new blob costs no sync; it becomes durable with its first one. A poisoned blob that is opened again starts
    /// afresh, from what the file shows.
    ///
    /// Cancel safety: dropping the future may leave a new, empty blob.
    ///
    /// # Errors
    /// [`Error::FormatMismatch`], [`Error::NotFound`], [`Error::Corrupt`] (two files with valid content for one name),
    /// [`Error::Unexpected`] (a symbolic link or directory in the blob's place), [`Error::ReadOnly`],
    /// [`Error::InvalidPartition`], [`Error::InvalidName`], [`Error::Io`].
    async fn open(&self, partition: &str, name: &[u8], format: &Format) -> Result<Arc<dyn Blob>, Error>;

    /// Removes blobs; durable when it returns, with one sync of the directory for all of them. A name that is not
    /// there is no error: what was asked for holds. So with no names at all it makes durable what was removed before, also
    /// by a process that was killed, or tells that nobody knows. Handles that are still open answer [`Error::Removed`].
    ///
    /// Cancel safety: an operation that has begun runs to its end.
    ///
    /// # Errors
    /// [`Error::Io`]; some may have been removed then. After a failed sync of the directory the partition refuses
    /// creation and removal with [`Error::Poisoned`] until the storage is opened anew.
    async fn remove(&self, partition: &str, names: &[Vec<u8>]) -> Result<(), Error>;

    /// Removes all blobs of a partition and the partition; durable when it returns. Files that are not this crate's
    /// stay, and then so does the directory. A partition that is not there is no error.
    ///
    /// Cancel safety: an operation that has begun runs to its end.
    ///
    /// # Errors
    /// As [`remove`](Self::remove).
    async fn remove_partition(&self, partition: &str) -> Result<(), Error>;

    /// Names in a partition, sorted, each once; empty when the partition does not exist. Any other failure is an error.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Unexpected`], [`Error::InvalidPartition`].
    async fn scan(&self, partition: &str) -> Result<Vec<Vec<u8>>, Error>;

    /// Syncs many blobs, as [`Blob::sync`] on each would; a backend may do better than one by one. Answers in the
    /// order of `blobs`.
    ///
    /// Cancel safety: as [`Blob::sync`].
    async fn sync_many(&self, blobs: &[Arc<dyn Blob>]) -> Vec<Result<(), Error>>;

    /// A random number, for store ids. Deterministic on the simulated disk.
    ///
    /// # Errors
    /// [`Error::Io`] when the operating system has none.
    fn random(&self) -> Result<u64, Error>;
}

/// A row of bytes that can be read, written, resized and made durable. Used as `Arc<dyn Blob>`.
///
/// Offsets and lengths are logical: the header does not count.
#[async_trait]
pub trait Blob: Debug + Send + Sync + Any {
    /// Partition and name.
    fn id(&self) -> &BlobId;

    /// What the blob says it is: kind, format parameters, store id, salt.
    fn header(&self) -> &Header;

    /// What was found where the header should be, when this handle was opened.
    fn header_state(&self) -> HeaderState;

    /// Logical length in bytes, as the running process sees it. It never proves content: after a crash a file may be
    /// longer than what was written, with zeros in it.
    fn len(&self) -> u64;

    /// Whether the length is 0.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads without blocking: `None` when that would need the disk. Does not wait for changes that are under way.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at).
    fn try_read_at(&self, offset: u64, len: usize) -> Option<Result<Bytes, Error>>;

    /// Reads exactly `len` bytes.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`] past the end, [`Error::Removed`], [`Error::Io`].
    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, Error>;

    /// Writes the parts one after the other from `offset` on; what lies between the old end and `offset` reads as
    /// zeros. Visible to reads when it returns, durable with the next `sync`. A write of no bytes changes nothing, not
    /// the length either.
    ///
    /// Cancel safety: a write that has begun runs to its end.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::TooLarge`], [`Error::Poisoned`], [`Error::Removed`], [`Error::ReadOnly`].
    async fn write_at(&self, offset: u64, data: Vec<Bytes>) -> Result<(), Error>;

    /// Sets the logical length: cuts bytes off, or adds zeros.
    ///
    /// Cancel safety: a resize that has begun runs to its end.
    ///
    /// # Errors
    /// As [`write_at`](Self::write_at).
    async fn resize(&self, len: u64) -> Result<(), Error>;

    /// Makes bytes, length and header durable, and for a new blob its name and the directories above it.
    ///
    /// Cancel safety: a sync that has begun runs to its end.
    ///
    /// # Errors
    /// [`Error::Io`]: the blob is poisoned. [`Error::Poisoned`], [`Error::Removed`], [`Error::ReadOnly`].
    async fn sync(&self) -> Result<(), Error>;

    /// [`write_at`](Self::write_at), then [`sync`](Self::sync), with no other change in between; a backend saves a
    /// thread hop. [`Error::is_sync_failure`] tells which of the two failed.
    ///
    /// Cancel safety: once begun it runs to its end, both parts.
    ///
    /// # Errors
    /// As the two.
    async fn write_at_sync(&self, offset: u64, data: Vec<Bytes>) -> Result<(), Error>;

    /// Writes [`header`](Self::header) into the file again; durable with the next `sync`. Recovery asks for it where
    /// an earlier failed sync may have left a header that only the cache of the operating system holds.
    ///
    /// Cancel safety: once begun it runs to its end.
    ///
    /// # Errors
    /// As [`write_at`](Self::write_at).
    async fn write_header(&self) -> Result<(), Error>;

    /// Makes changes one after the other, each as its own method would, and none behind one that has failed. A backend
    /// saves a thread hop for all but one. Other changes may come in between.
    ///
    /// Cancel safety: dropped, the first of them are made, perhaps all; the one that has begun runs to its end.
    ///
    /// # Errors
    /// Of the change that has failed.
    async fn change_all(&self, changes: Vec<Change>) -> Result<(), Error> {
        for change in changes {
            change.make(self).await?;
        }
        Ok(())
    }
}

/// Reads exactly `len` bytes: without blocking where that can be, else as [`Blob::read_at`].
///
/// Cancel safety: safe.
///
/// # Errors
/// As [`Blob::read_at`].
pub async fn read_at(blob: &dyn Blob, offset: u64, len: usize) -> Result<Bytes, Error> {
    match blob.try_read_at(offset, len) {
        Some(read) => read,
        None => blob.read_at(offset, len).await,
    }
}

/// One of the changes that [`Blob::change_all`] makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// [`Blob::write_header`].
    Header,
    /// [`Blob::write_at`].
    Write(u64, Vec<Bytes>),
    /// [`Blob::resize`].
    Resize(u64),
    /// [`Blob::sync`].
    Sync,
}

impl Change {
    /// Makes the change, by its own method.
    ///
    /// Cancel safety and errors: as that method.
    pub async fn make(self, blob: &(impl Blob + ?Sized)) -> Result<(), Error> {
        match self {
            Self::Header => blob.write_header().await,
            Self::Write(offset, data) => blob.write_at(offset, data).await,
            Self::Resize(len) => blob.resize(len).await,
            Self::Sync => blob.sync().await,
        }
    }
}

/// The end of a change at `offset` with these parts, when a blob can have it.
///
/// # Errors
/// [`Error::TooLarge`].
pub fn end_of(offset: u64, data: &[Bytes]) -> Result<u64, Error> {
    let len = data.iter().fold(0_u64, |sum, part| sum.saturating_add(part.len() as u64));
    check_len(offset.saturating_add(len))
}

/// `len`, when a blob can have that length.
///
/// # Errors
/// [`Error::TooLarge`].
pub fn check_len(len: u64) -> Result<u64, Error> {
    if len > MAX_BLOB_BYTES {
        return Err(Error::TooLarge { what: "blob length in bytes", value: len, max: MAX_BLOB_BYTES });
    }
    Ok(len)
}

/// Checks a read against the blob's length.
///
/// # Errors
/// [`Error::OutOfBounds`].
pub fn check_read(blob: &BlobId, offset: u64, len: usize, blob_len: u64) -> Result<(), Error> {
    let len = len as u64;
    if offset.checked_add(len).is_none_or(|end| end > blob_len) {
        return Err(Error::OutOfBounds { blob: blob.clone(), offset, len, blob_len });
    }
    Ok(())
}
