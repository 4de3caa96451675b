//! What can go wrong, with the file it came from.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::name::BlobId;

/// What was being done when an [`Error::Io`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Opening a file or a directory.
    Open,
    /// Creating a file.
    Create,
    /// Creating a directory.
    CreateDirectory,
    /// Listing a directory.
    List,
    /// Reading a file's size or kind.
    Inspect,
    /// Taking the lock of the root.
    Lock,
    /// Reading bytes.
    Read,
    /// Writing bytes.
    Write,
    /// Setting a file's length.
    Resize,
    /// Making a file's bytes durable.
    Sync,
    /// Making a directory's entries durable.
    SyncDirectory,
    /// Removing a file or a directory.
    Remove,
    /// Drawing random bytes.
    Random,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Create => "create",
            Self::CreateDirectory => "create directory",
            Self::List => "list directory",
            Self::Inspect => "inspect",
            Self::Lock => "lock",
            Self::Read => "read",
            Self::Write => "write",
            Self::Resize => "resize",
            Self::Sync => "sync",
            Self::SyncDirectory => "sync directory",
            Self::Remove => "remove",
            Self::Random => "draw random bytes",
        })
    }
}

/// What an [`Error::Io`] happened to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// A blob.
    Blob(BlobId),
    /// A partition.
    Partition(Arc<str>),
    /// A path that is neither: the root, its parent, the lock file, a foreign file.
    Path(Arc<str>),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blob(id) => write!(f, "{id}"),
            Self::Partition(partition) => write!(f, "partition {partition}"),
            Self::Path(path) => f.write_str(path),
        }
    }
}

impl From<&BlobId> for Target {
    fn from(id: &BlobId) -> Self {
        Self::Blob(id.clone())
    }
}

/// An error of this crate. Cheap to clone, so that one failure reaches every caller that waited for it.
///
/// Each message says which file, what was expected and found, and what the caller can do.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A partition's name is not of the form `[A-Za-z0-9_-]{1,128}`. Nothing was touched.
    #[error("invalid partition name {partition:?}: {reason}; use 1 to 128 of A-Z a-z 0-9 _ -")]
    InvalidPartition {
        /// The name as given.
        partition: String,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// A blob's name is empty or longer than [`MAX_NAME_BYTES`](crate::MAX_NAME_BYTES). Nothing was touched.
    #[error("invalid blob name of {len} bytes; use 1 to {max} bytes", max = crate::MAX_NAME_BYTES)]
    InvalidName {
        /// The name's length in bytes.
        len: usize,
    },

    /// The blob does not exist, and the format given to `open` did not ask for its creation.
    #[error("blob {blob} does not exist; open it with a format that creates it, or check the partition and the name")]
    NotFound {
        /// The blob.
        blob: BlobId,
    },

    /// A sound header says something else than the caller expects. Nothing was changed.
    #[error(
        "blob {blob} is of another format: {field} is {found}, expected {expected}; open it with the settings it was made with"
    )]
    FormatMismatch {
        /// The blob.
        blob: BlobId,
        /// The field of the header that differs.
        field: &'static str,
        /// What the caller expects.
        expected: String,
        /// What the header says.
        found: String,
    },

    /// Bytes on the medium are not what was written. Nothing was changed.
    #[error(
        "blob {blob} is damaged at byte {offset}: expected {expected}, found {found}; restore it from a copy, or open with the policy that keeps the valid prefix"
    )]
    Corrupt {
        /// The blob.
        blob: BlobId,
        /// Logical offset of the damage in bytes.
        offset: u64,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },

    /// A name on disk is held by something that is no regular file of ours. Nothing was changed.
    #[error("{path} is a {found}, expected a regular file or directory of this store; move it away")]
    Unexpected {
        /// The path.
        path: Arc<str>,
        /// What is there: `symbolic link`, `directory`, `file`, ...
        found: &'static str,
    },

    /// A read past the end of a blob.
    #[error("read of {len} bytes at {offset} is past the end of blob {blob}, which has {blob_len} bytes")]
    OutOfBounds {
        /// The blob.
        blob: BlobId,
        /// Logical offset of the read in bytes.
        offset: u64,
        /// Length of the read in bytes.
        len: u64,
        /// Logical length of the blob in bytes.
        blob_len: u64,
    },

    /// A length or an offset that no file can have. Nothing was changed.
    #[error("{what} of {value} is over the limit of {max}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The value as given.
        value: u64,
        /// The largest possible value.
        max: u64,
    },

    /// Another holder has the exclusive right to write. Nothing was changed.
    #[error("{what} is locked by another writer; close it there first, or open read-only")]
    Locked {
        /// The root or the partition.
        what: Arc<str>,
    },

    /// A change was asked of storage that was opened read-only. Nothing was changed.
    #[error("cannot {operation} {target}: the storage is open read-only")]
    ReadOnly {
        /// What was asked.
        operation: Operation,
        /// On what.
        target: Target,
    },

    /// A sync failed before, so nothing is known about bytes written since the last good one.
    /// No change is taken until the blob is opened anew.
    #[error("{target} is poisoned by a failed sync; open it anew to see what is durable")]
    Poisoned {
        /// The blob or the partition whose sync failed.
        target: Target,
        /// The failure.
        source: Arc<Error>,
    },

    /// The blob was removed while this handle was open.
    #[error("blob {blob} was removed")]
    Removed {
        /// The blob.
        blob: BlobId,
    },

    /// The storage was shut down (on the simulated disk: its machine is off).
    #[error("the storage is closed")]
    Closed,

    /// The operating system refused. `source` is its answer.
    #[error("cannot {operation} {target}{}: {source}", At(*offset))]
    Io {
        /// What was being done.
        operation: Operation,
        /// To what.
        target: Target,
        /// Logical offset in bytes, where the operation has one.
        offset: Option<u64>,
        /// The operating system's answer.
        source: Arc<io::Error>,
    },
}

struct At(Option<u64>);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(offset) => write!(f, " at byte {offset}"),
            None => Ok(()),
        }
    }
}

impl Error {
    /// An [`Error::Io`].
    pub fn io(operation: Operation, target: impl Into<Target>, offset: Option<u64>, source: io::Error) -> Self {
        Self::Io { operation, target: target.into(), offset, source: Arc::new(source) }
    }

    /// An [`Error::Poisoned`] that names `cause`; a poisoned cause is passed on as it is.
    pub fn poisoned(target: impl Into<Target>, cause: &Self) -> Self {
        match cause {
            Self::Poisoned { .. } => cause.clone(),
            other => Self::Poisoned { target: target.into(), source: Arc::new(other.clone()) },
        }
    }

    /// Whether nothing is known any more about bytes that were written: a failed sync, of the file or of a directory,
    /// now or before. Everything else that fails loses nothing and may be tried again.
    pub fn is_sync_failure(&self) -> bool {
        matches!(self, Self::Poisoned { .. } | Self::Io { operation: Operation::Sync | Operation::SyncDirectory, .. })
    }

    /// The operating system's kind of error, when it was the operating system that refused.
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Io { source, .. } => Some(source.kind()),
            Self::Poisoned { source, .. } => source.io_kind(),
            _ => None,
        }
    }
}
