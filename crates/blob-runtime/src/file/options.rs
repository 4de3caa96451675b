//! How a store of files is opened.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::process::{Resource, getrlimit};

use super::FileStorage;
use super::hook::Hook;
use super::jobs::Io;
use super::root::Root;
use crate::error::Error;

#[cfg(test)]
mod tests;

/// The most files that are kept open unless told otherwise, however many the process may have.
const DEFAULT_MAX_OPEN_FILES: usize = 4_096;

/// How [`sync_many`](crate::Storage::sync_many) syncs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum BulkSync {
    /// Each blob by itself, up to 16 side by side, then each directory once.
    #[default]
    Parallel,
    /// From `threshold` blobs with unsynced changes on, the whole file system at once (`syncfs(2)`), where that can be
    /// trusted: Linux 5.17 or later, ext4, xfs or btrfs, all on the root's device. It waits for everybody's unsynced
    /// data on that file system, without bound. Elsewhere, and below the threshold, as `Parallel`.
    FileSystem {
        /// Blobs with unsynced changes from which it pays.
        threshold: usize,
    },
}

/// Options of a [`FileStorage`]; see [`FileStorage::builder`].
#[derive(Clone)]
#[must_use = "nothing is opened before `open`"]
pub struct Builder {
    pub(super) root: PathBuf,
    pub(super) read_only: bool,
    pub(super) io: Io,
    pub(super) max_open_files: usize,
    pub(super) bulk_sync: BulkSync,
    pub(super) hook: Option<Arc<dyn Hook>>,
}

impl Builder {
    pub(super) fn new(root: PathBuf) -> Self {
        Self {
            root,
            read_only: false,
            io: Io::default(),
            max_open_files: default_max_open_files(getrlimit(Resource::Nofile).current),
            bulk_sync: BulkSync::default(),
            hook: None,
        }
    }

    /// Opens without a lock, also beside a writer: creates nothing and refuses every change with
    /// [`Error::ReadOnly`]. Off unless set.
    ///
    /// A blob is shown as it was when it was opened, or longer; open it again to see what a writer has done since.
    pub fn read_only(self, read_only: bool) -> Self {
        Self { read_only, ..self }
    }

    /// Where blocking calls run. [`Io::Pool`] unless set.
    pub fn io(self, io: Io) -> Self {
        Self { io, ..self }
    }

    /// The most blobs whose files are open at a time, at least 1. Blobs beyond that are opened when they are used; a
    /// file with unsynced writes is synced before it is closed. The lesser of 4,096 and half of the process's limit
    /// (`RLIMIT_NOFILE`) unless set.
    ///
    /// Beside these the storage has two descriptors (root and lock), and one for each call under way that creates,
    /// opens, lists or syncs a directory.
    pub fn max_open_files(self, max_open_files: usize) -> Self {
        Self { max_open_files: max_open_files.max(1), ..self }
    }

    /// How [`sync_many`](crate::Storage::sync_many) syncs. [`BulkSync::Parallel`] unless set.
    pub fn bulk_sync(self, bulk_sync: BulkSync) -> Self {
        Self { bulk_sync, ..self }
    }

    /// Shows each system call to `hook` before it is made, for tests and traces. None unless set.
    pub fn hook(self, hook: Arc<dyn Hook>) -> Self {
        Self { hook: Some(hook), ..self }
    }

    /// Opens the storage. Unless read-only, makes the root and what is missing above it (0700) and locks it.
    ///
    /// Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::Unexpected`] when the root is no directory or `LOCK` no regular file, [`Error::Io`].
    pub fn open(self) -> Result<FileStorage, Error> {
        Ok(FileStorage { root: Root::open(self)? })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("root", &self.root)
            .field("read_only", &self.read_only)
            .field("io", &self.io)
            .field("max_open_files", &self.max_open_files)
            .field("bulk_sync", &self.bulk_sync)
            .field("hook", &self.hook.is_some())
            .finish()
    }
}

/// The default for a soft limit of descriptors; `None`: there is no limit.
fn default_max_open_files(soft_limit: Option<u64>) -> usize {
    let half = soft_limit.map_or(usize::MAX, |limit| usize::try_from(limit / 2).unwrap_or(usize::MAX));
    half.clamp(1, DEFAULT_MAX_OPEN_FILES)
}
