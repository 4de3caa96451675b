//! What the author of a backend tells the suite: how to make storage, and what can be done to it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::error::{Error, Operation};
use crate::storage::Storage;

/// The files of a partition's directory as they are on the medium, by file name.
pub type Files = BTreeMap<String, Entry>;

/// A change of a partition's files; see [`Harness::edit`].
pub type Edit<'a> = dyn FnMut(&mut Files) + Send + 'a;

/// What a name in a directory stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A regular file with this content, from its first byte on: the header comes first.
    File(Vec<u8>),
    /// A directory.
    Directory,
}

/// Syncs that were made of a storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Of files (`fsync`, `fdatasync`).
    pub files: u64,
    /// Of directories.
    pub directories: u64,
    /// Of whole file systems (`syncfs`).
    pub file_systems: u64,
}

/// Something that can be done to storage; see the methods of [`Harness`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ability {
    /// [`Harness::reopen`].
    Reopen,
    /// [`Harness::read_only`].
    ReadOnly,
    /// [`Harness::power_cut`].
    PowerCut,
    /// [`Harness::kill`].
    Kill,
    /// [`Harness::fail_next`] for this kind of operation.
    FailNext(Operation),
    /// [`Harness::counts`].
    Counts,
    /// [`Harness::edit`].
    Edit,
}

impl fmt::Display for Ability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reopen => f.write_str("open the same storage again"),
            Self::ReadOnly => f.write_str("open the same storage read-only"),
            Self::PowerCut => f.write_str("cut the power"),
            Self::Kill => f.write_str("kill the process"),
            Self::FailNext(operation) => write!(f, "make the next \"{operation}\" fail"),
            Self::Counts => f.write_str("count syncs"),
            Self::Edit => f.write_str("edit the raw files"),
        }
    }
}

/// Makes storage for the suite, and does to it what the backend allows. Only [`fresh`](Self::fresh) is needed; what
/// the others cannot do they answer with `None` or `false`, always, and the cases that need it are skipped.
///
/// Methods that take the storage by value get the last handle the suite has; blobs and claims were dropped before, all
/// futures have ended or were dropped (but see [`kill`](Self::kill)). To learn which storage it is, downcast it
/// (`Storage` is `Any`).
#[async_trait]
pub trait Harness: Send + Sync {
    /// New, empty storage. Each case asks for it once, at its beginning, and the cases run one after the other, so what
    /// was made for an earlier case is no longer used. (Unless [`pass_time`](Self::pass_time) is there, one more is
    /// asked for, and used beside the others for as long as the suite runs.)
    ///
    /// # Errors
    /// Ends the run.
    async fn fresh(&self) -> Result<Arc<dyn Storage>, Error>;

    /// Lets about as much time pass as a sync takes, and gives every other task of the executor a turn; `false` when
    /// it cannot. It is what the suite measures its patience with. Without it the suite syncs a blob on storage of its
    /// own, which is right wherever syncs of two storages take about the same time.
    async fn pass_time(&self) -> bool {
        false
    }

    /// Drops the storage and opens the same one again, as the next process would. What had begun ends first.
    async fn reopen(&self, storage: Arc<dyn Storage>) -> Option<Result<Arc<dyn Storage>, Error>> {
        drop(storage);
        None
    }

    /// Drops the storage and opens the same one again, read-only.
    async fn read_only(&self, storage: Arc<dyn Storage>) -> Option<Result<Arc<dyn Storage>, Error>> {
        drop(storage);
        None
    }

    /// Cuts the power, losing everything that was not made durable (or any part of it), and opens what is left.
    async fn power_cut(&self, storage: Arc<dyn Storage>) -> Option<Result<Arc<dyn Storage>, Error>> {
        drop(storage);
        None
    }

    /// Kills the process at once, but not the machine: the operating system still has what was written. Then opens
    /// what is there. A claim of the killed process may still be alive as an object, and must mean nothing.
    async fn kill(&self, storage: Arc<dyn Storage>) -> Option<Result<Arc<dyn Storage>, Error>> {
        drop(storage);
        None
    }

    /// Makes the next operation of this kind on the medium fail, once, as the operating system would refuse it.
    /// `false` when it cannot. A fault that nothing runs into goes away with the storage; it must not strike another.
    fn fail_next(&self, storage: &Arc<dyn Storage>, operation: Operation) -> bool {
        let _ = (storage, operation);
        false
    }

    /// How many syncs were made of this storage since the last call for it, and starts again from zero.
    fn counts(&self, storage: &Arc<dyn Storage>) -> Option<Counts> {
        let _ = storage;
        None
    }

    /// Drops the storage, lets `edit` change the raw files of a partition (empty when there is none), makes the medium
    /// so, durably, and opens it again. An edit that changes nothing is how the suite looks at the raw files.
    async fn edit(
        &self,
        storage: Arc<dyn Storage>,
        partition: &str,
        edit: &mut Edit<'_>,
    ) -> Option<Result<Arc<dyn Storage>, Error>> {
        let _ = (storage, partition, edit);
        None
    }
}
