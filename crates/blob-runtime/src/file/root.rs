//! What all handles of one store share: the root's directory, its lock, its partitions and its open files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::fs::FileType;
use rustix::io::Errno;

use super::dir_sync::{self, Dir};
use super::handles::{Handles, OpenFile};
use super::inner::Inner;
use super::jobs::Io;
use super::lock;
use super::options::{Builder, BulkSync};
use super::partition::Partition;
use super::sys::{self, Sys};
use crate::buffer::BufferPool;
use crate::claims::Claims;
use crate::error::{Error, Operation, Target};
use crate::name::BlobId;
use crate::sync::Mutex;

/// Bytes of read buffers that are kept for later.
const KEPT_BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// How often an open that found no descriptor is tried again, each time with one file fewer.
const DESCRIPTOR_RETRIES: usize = 3;

/// Every job that has begun owns one of these, so the lock lasts until the last one has ended.
pub(super) struct Root {
    pub(super) path: PathBuf,
    /// The path, for messages.
    pub(super) shown: Arc<str>,
    /// Held since the open: `syncfs` reports what went wrong since then (`errseq_t`, Linux 5.8).
    pub(super) dir: File,
    /// Shared with syncs that need nothing else of the root, and do not keep it locked.
    pub(super) sys: Arc<Sys>,
    pub(super) io: Io,
    pub(super) read_only: bool,
    pub(super) bulk_sync: BulkSync,
    pub(super) claims: Claims,
    pub(super) buffers: BufferPool,
    pub(super) files: Handles,
    /// The root's own entries: the partitions.
    pub(super) entries: Dir,
    /// Whether reads of the page cache alone have turned out to be impossible here.
    pub(super) no_cached_reads: AtomicBool,
    partitions: Mutex<BTreeMap<Arc<str>, Arc<Partition>>>,
    /// Dropped last. `None` when read-only.
    _lock: Option<lock::RootLock>,
}

impl Root {
    pub(super) fn open(options: Builder) -> Result<Arc<Self>, Error> {
        let Builder { root, read_only, io, max_open_files, bulk_sync, hook } = options;
        let failed = |path: &Path, operation, source| {
            Error::io(operation, Target::Path(path.to_string_lossy().into()), None, source)
        };
        let path = std::path::absolute(&root).map_err(|error| failed(&root, Operation::Open, error))?;
        let sys = Arc::new(Sys::new(path.clone(), hook));
        if !read_only {
            dir_sync::make_root(&sys, &path)?;
        }
        let shown: Arc<str> = path.to_string_lossy().into();
        let dir = dir_sync::open_any_directory(&path).map_err(|error| {
            if sys::is_one_of(&error, &[Errno::NOTDIR]) {
                return Error::Unexpected { path: Arc::clone(&shown), found: "file" };
            }
            failed(&path, Operation::Open, error)
        })?;
        let lock = if read_only { None } else { Some(lock::take(dir.as_fd(), &shown)?) };
        Ok(Arc::new(Self {
            path,
            shown,
            dir,
            sys,
            io,
            read_only,
            bulk_sync,
            claims: Claims::new(),
            buffers: BufferPool::new(KEPT_BUFFER_BYTES),
            files: Handles::new(max_open_files),
            entries: Dir::new(),
            no_cached_reads: AtomicBool::new(false),
            partitions: Mutex::default(),
            _lock: lock,
        }))
    }

    /// The partition of this name, which has been checked.
    pub(super) fn partition(&self, name: &str) -> Arc<Partition> {
        let mut partitions = crate::sync::lock(&self.partitions);
        if let Some(partition) = partitions.get(name) {
            return Arc::clone(partition);
        }
        let partition = Arc::new(Partition::new(name));
        partitions.insert(Arc::clone(&partition.name), Arc::clone(&partition));
        partition
    }

    pub(super) fn target(&self) -> Target {
        Target::Path(Arc::clone(&self.shown))
    }

    /// The path of a partition, for hooks.
    pub(super) fn path_of(&self, partition: &str) -> PathBuf {
        self.sys.path_of(partition)
    }

    pub(super) fn open_partition(&self, partition: &Partition) -> io::Result<OwnedFd> {
        self.with_descriptor(|| sys::open_directory(&self.dir, &*partition.name))
    }

    /// Runs something that needs a descriptor. When there is none left an idle file is closed, and it is tried again.
    pub(super) fn with_descriptor<T>(&self, mut open: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        let mut retries = 0..DESCRIPTOR_RETRIES;
        loop {
            match open() {
                Err(error) if sys::out_of_descriptors(&error) && retries.next().is_some() && self.close_one() => {}
                result => return result,
            }
        }
    }

    /// Closes the file that was least used. Answers whether there was one.
    fn close_one(&self) -> bool {
        let Some(closed) = self.files.close_one(self) else { return false };
        self.forget_if_unused(&closed);
        true
    }

    /// Opens a blob's file, bounded by the limit of open files.
    pub(super) fn open_file(&self, inner: &Inner) -> io::Result<OpenFile> {
        self.open_named(&inner.partition, &inner.file)
    }

    /// Opens a blob's file that exists, bounded by the limit of open files.
    pub(super) fn open_named(&self, partition: &Partition, file: &str) -> io::Result<OpenFile> {
        let slot = self.files.slot(self);
        let dir = self.open_partition(partition)?;
        let open = || self.sys.open(dir.as_fd(), file, !self.read_only, || self.path_of(&partition.name).join(file));
        OpenFile::new(self.with_descriptor(open)?, slot)
    }

    /// What it means that a partition's directory cannot be opened.
    pub(super) fn explain_partition(&self, partition: &Partition, source: io::Error) -> Error {
        match sys::kind_of(self.dir.as_fd(), &*partition.name) {
            Ok(kind) if kind != FileType::Directory => Error::Unexpected {
                path: format!("{}/{}", self.shown, partition.name).into(),
                found: sys::describe(kind),
            },
            _ => Error::io(Operation::Open, partition.target(), None, source),
        }
    }

    /// What it means that a blob's file cannot be opened, or is no regular file.
    pub(super) fn explain_file(
        &self,
        partition: &Partition,
        file: &str,
        id: &BlobId,
        operation: Operation,
        source: io::Error,
    ) -> Error {
        match sys::kind_of(self.dir.as_fd(), &*partition.name) {
            Ok(FileType::Directory) | Err(_) => {}
            Ok(_) => return self.explain_partition(partition, source),
        }
        let kind = sys::open_directory(&self.dir, &*partition.name).and_then(|dir| sys::kind_of(dir.as_fd(), file));
        match kind {
            Ok(kind) if kind != FileType::RegularFile => {
                Error::Unexpected { path: id.to_string().into(), found: sys::describe(kind) }
            }
            _ => Error::io(operation, id, None, source),
        }
    }

    /// Forgets a blob that has no handle and nothing unsynced.
    pub(super) fn forget_if_unused(&self, inner: &Arc<Inner>) {
        inner.partition.forget_if_unused(inner);
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        for partition in crate::sync::lock(&self.partitions).values() {
            partition.clear();
        }
    }
}
