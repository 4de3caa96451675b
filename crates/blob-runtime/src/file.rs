//! Blobs as files.
//!
//! ```text
//! <root>/LOCK
//! <root>/<partition>/<hex of the blob's name>.<salt as 8 hex digits>
//! ```
//!
//! ## Data path
//!
//! A change of a [`Blob`] waits in the blob's queue, then moves, with its ticket, into a job that runs on a pool thread
//! ([`Io::Pool`]) or right there ([`Io::Inline`]) and goes on when the future is dropped. The job takes the blob's open
//! file from the bounded set of open files, makes its system calls, and lets the next change in. A read of what the page
//! cache has ([`Blob::try_read_at`]) takes neither queue nor thread nor lock.
//!
//! ## Reading order
//!
//! `options` (how it is opened), `root` (what is shared), `lock`, `partition` (names), `open`, `blob` (a handle and its
//! jobs), `inner` (changes), `read`, `handles` (the bound on open files), `dir_sync` (durability of names),
//! `remove`, `bulk` (`sync_many`), `sys` (system calls), [`hook`](Hook) (watching and breaking them).
//!
//! ## What it does not protect from
//!
//! The lock keeps out other processes that use this crate, on one machine: NFS may not carry it (`flock(2)`). A process
//! that is forked and does not call `exec` shares it, and loses it with the one it was forked from. Whoever changes the
//! files behind the storage's back gets errors, as far as that shows.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use crate::claims::Claim;
use crate::error::{Error, Operation};
use crate::header::Format;
use crate::memory::random_u64;
use crate::name::check_partition;
use crate::storage::{Blob, Storage};

mod blob;
mod bulk;
mod dir_sync;
mod handles;
mod hook;
mod inner;
mod jobs;
mod lock;
mod open;
mod options;
mod partition;
mod read;
mod remove;
mod root;
mod sys;

pub use hook::{Call, Event, Hook, Verdict};
pub use jobs::Io;
pub use options::{Builder, BulkSync};

use partition::Partition;
use root::Root;

/// Storage in files below one directory, the root, which it locks.
///
/// A handle: clones share everything, and blobs that are open keep the root locked too, until the last change that has
/// begun has ended. Dropping the last one syncs nothing.
///
/// ```
/// use blob_runtime::{FileStorage, Format, Kind, Storage, StoreId, Want};
/// # use bytes::Bytes;
///
/// # futures::executor::block_on(async {
/// # let directory = tempfile::tempdir()?;
/// # let root = directory.path();
/// let storage = FileStorage::open(root)?;
/// let _claim = storage.claim("blocks").await?;
/// let format = Format::new(Kind::USER, Want::Default(StoreId(storage.random()?)));
/// let blob = storage.open("blocks", b"first", &format).await?;
/// blob.write_at_sync(0, vec![Bytes::from_static(b"durable when it returns")]).await?;
/// assert_eq!(blob.read_at(0, 7).await?, "durable");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct FileStorage {
    root: Arc<Root>,
}

impl FileStorage {
    /// Opens storage with the default options; see [`Builder::open`]. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// As [`Builder::open`].
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, Error> {
        Self::builder(root).open()
    }

    /// Options, to be set before it is opened.
    pub fn builder(root: impl Into<PathBuf>) -> Builder {
        Builder::new(root.into())
    }

    /// The root, as an absolute path.
    pub fn root(&self) -> &Path {
        &self.root.path
    }

    /// Blobs' files that are open at the moment; see [`Builder::max_open_files`].
    pub fn open_files(&self) -> usize {
        self.root.files.open_count()
    }

    /// Files and directories in a partition's directory whose names are not of this crate's form, sorted. They are
    /// never opened nor changed; with them in it a partition's directory stays when the partition is removed.
    ///
    /// Lists the directory anew. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// [`Error::InvalidPartition`], [`Error::Unexpected`] when the partition is no directory, [`Error::Io`].
    pub fn foreign(&self, partition: &str) -> Result<Vec<PathBuf>, Error> {
        let partition = self.partition(partition)?;
        partition.list(&self.root)?;
        Ok(partition.foreign(&self.root))
    }

    fn partition(&self, partition: &str) -> Result<Arc<Partition>, Error> {
        check_partition(partition)?;
        Ok(self.root.partition(partition))
    }

    fn check_writable(&self, operation: Operation, partition: &str) -> Result<(), Error> {
        let partition = self.partition(partition)?;
        if self.root.read_only {
            return Err(Error::ReadOnly { operation, target: partition.target() });
        }
        Ok(())
    }
}

#[async_trait]
impl Storage for FileStorage {
    async fn claim(&self, partition: &str) -> Result<Claim, Error> {
        self.check_writable(Operation::Lock, partition)?;
        let claim = self.root.claims.claim(partition).await?;
        // With the root, so that it stays locked while anything in it is claimed.
        Ok(Claim::new(partition, (claim, Arc::clone(&self.root))))
    }

    async fn open(&self, partition: &str, name: &[u8], format: &Format) -> Result<Arc<dyn Blob>, Error> {
        open::open(&self.root, partition, name, format).await
    }

    async fn remove(&self, partition: &str, names: &[Vec<u8>]) -> Result<(), Error> {
        self.check_writable(Operation::Remove, partition)?;
        remove::remove(&self.root, partition, names).await
    }

    async fn remove_partition(&self, partition: &str) -> Result<(), Error> {
        self.check_writable(Operation::Remove, partition)?;
        remove::remove_partition(&self.root, partition).await
    }

    async fn scan(&self, partition: &str) -> Result<Vec<Vec<u8>>, Error> {
        let partition = self.partition(partition)?;
        remove::names(&self.root, &partition).await
    }

    async fn sync_many(&self, blobs: &[Arc<dyn Blob>]) -> Vec<Result<(), Error>> {
        bulk::sync_many(&self.root, blobs).await
    }

    fn random(&self) -> Result<u64, Error> {
        random_u64()
    }
}

impl fmt::Debug for FileStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStorage")
            .field("root", &self.root.path)
            .field("read_only", &self.root.read_only)
            .field("open_files", &self.open_files())
            .finish_non_exhaustive()
    }
}
