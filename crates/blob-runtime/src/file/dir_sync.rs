//! Durability of directory entries, all of it.
//!
//! A new or removed name is durable once its directory was fsynced (`fsync(2)`). Each change of a directory gets the
//! next generation; a sync covers all generations up to the latest one at its start. What an earlier process did is
//! generation [`UNKNOWN`]: it may have been killed between `mkdir`, `open` or `unlink` and the fsync, so the first who
//! needs the directory in this process syncs it, once.
//!
//! | directory | what is in it | synced by |
//! |---|---|---|
//! | partition | blobs | a blob's first `sync`; a removal; before the first creation |
//! | root | partitions | a blob's first `sync`; the removal of a partition |
//! | above the root | the root and what was made above it | [`make_root`] |
//!
//! A failed fsync is final: nobody knows what it lost, and another one may answer Ok all the same.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::PoisonError;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::partition::Partition;
use super::root::Root;
use super::sys::{Sys, is_one_of};
use crate::error::{Error, Operation, Target};
use crate::sync::{AtomicU64, Condvar, Mutex, Ordering, lock};

#[cfg(test)]
mod tests;

/// What earlier processes left, as a generation.
pub(super) const UNKNOWN: u64 = 1;

/// How far a directory's entries are durable.
#[derive(Debug)]
pub(super) struct Dir {
    state: Mutex<State>,
    /// Woken when a sync ends.
    ended: Condvar,
    /// Generations up to this one are durable. Also outside of the lock, for the path of every commit.
    durable: AtomicU64,
}

#[derive(Debug)]
struct State {
    latest: u64,
    running: bool,
    failed: Option<Error>,
}

impl Dir {
    /// A directory of which nothing is known.
    pub(super) fn new() -> Self {
        let state = State { latest: UNKNOWN, running: false, failed: None };
        Self { state: Mutex::new(state), ended: Condvar::new(), durable: AtomicU64::new(0) }
    }

    /// Notes a change that was made. Answers its generation.
    pub(super) fn changed(&self) -> u64 {
        let mut state = lock(&self.state);
        state.latest += 1;
        state.latest
    }

    /// The generation of the latest change.
    pub(super) fn latest(&self) -> u64 {
        lock(&self.state).latest
    }

    /// Notes that the directory was made anew: nothing of earlier generations is in it.
    pub(super) fn made_anew(&self) {
        self.covered(self.latest());
    }

    /// Notes that something else (`syncfs`) has made changes up to this generation durable.
    pub(super) fn covered(&self, generation: u64) {
        let state = lock(&self.state);
        if state.failed.is_none() {
            self.durable.fetch_max(generation, Ordering::AcqRel);
        }
    }

    /// Notes that something else (`syncfs`) has failed to.
    pub(super) fn fail(&self, error: Error) {
        lock(&self.state).failed.get_or_insert(error);
    }

    /// Refuses when a sync has failed.
    ///
    /// # Errors
    /// [`Error::Poisoned`].
    pub(super) fn check(&self, target: impl FnOnce() -> Target) -> Result<(), Error> {
        match &lock(&self.state).failed {
            Some(cause) => Err(Error::poisoned(target(), cause)),
            None => Ok(()),
        }
    }

    /// Whether a sync of the directory has failed.
    pub(super) fn has_failed(&self) -> bool {
        lock(&self.state).failed.is_some()
    }

    /// Whether changes up to this generation are durable.
    pub(super) fn is_durable(&self, generation: u64) -> bool {
        self.durable.load(Ordering::Acquire) >= generation
    }

    /// Makes changes up to `generation` durable, unless they are. Whoever comes while a sync runs waits for its end;
    /// all that have come by then share the next.
    ///
    /// # Errors
    /// What `fsync` says. When it says that the sync failed: [`Error::Poisoned`] for all others, then and later.
    pub(super) fn ensure(
        &self,
        generation: u64,
        target: impl FnOnce() -> Target,
        fsync: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        if self.is_durable(generation) {
            return Ok(());
        }
        let mut state = lock(&self.state);
        let covers = loop {
            if self.is_durable(generation) {
                return Ok(());
            }
            if let Some(cause) = &state.failed {
                return Err(Error::poisoned(target(), cause));
            }
            if !state.running {
                break state.latest;
            }
            state = self.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        state.running = true;
        drop(state);
        let mut leader = Leader { dir: self, covers, outcome: None };
        let result = fsync();
        leader.outcome = Some(result.clone());
        drop(leader);
        result
    }
}

/// The one whose sync runs. Its end is told to the others also when it panics.
struct Leader<'a> {
    dir: &'a Dir,
    covers: u64,
    outcome: Option<Result<(), Error>>,
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.dir.state);
        state.running = false;
        match self.outcome.take() {
            Some(Ok(())) => drop(self.dir.durable.fetch_max(self.covers, Ordering::AcqRel)),
            Some(Err(error)) if error.is_sync_failure() => state.failed = Some(error),
            // It was not even begun: no descriptor, say. The next one tries.
            Some(Err(_)) => {}
            None => {
                let panicked = io::Error::other("the thread that synced it panicked");
                let target = Target::Path("a directory".into());
                state.failed = Some(Error::io(Operation::SyncDirectory, target, None, panicked));
            }
        }
        drop(state);
        self.dir.ended.notify_all();
    }
}

impl Root {
    /// Makes the changes of a partition up to this generation durable.
    pub(super) fn sync_partition(&self, partition: &Partition, generation: u64) -> Result<(), Error> {
        partition.dir.ensure(
            generation,
            || partition.target(),
            || {
                let dir = self.open_partition(partition).map_err(|error| self.explain_partition(partition, error))?;
                self.sys
                    .fsync_directory(dir.as_fd(), || self.path_of(&partition.name))
                    .map_err(|source| Error::io(Operation::SyncDirectory, partition.target(), None, source))
            },
        )
    }

    /// Makes the partitions that the root has had up to this generation durable.
    pub(super) fn sync_root(&self, generation: u64) -> Result<(), Error> {
        self.entries.ensure(
            generation,
            || self.target(),
            || {
                self.sys
                    .fsync_directory(self.dir.as_fd(), || self.path.clone())
                    .map_err(|source| Error::io(Operation::SyncDirectory, self.target(), None, source))
            },
        )
    }

    /// Makes a blob's name durable, and the directory it is in.
    pub(super) fn sync_names(&self, partition: &Partition, generation: u64) -> Result<(), Error> {
        self.sync_partition(partition, generation)?;
        self.sync_root(partition.made.load(Ordering::Acquire))
    }
}

/// Makes the root and what is missing above it, each made durable in the one above before the next is made. The first
/// one that is there may be what a killed process has made and not synced, so its entry is synced too.
///
/// # Errors
/// [`Error::Io`], [`Error::Unexpected`] when something else is in the way.
pub(super) fn make_root(sys: &Sys, root: &Path) -> Result<(), Error> {
    let mut missing = Vec::new();
    let mut at = root;
    loop {
        match fs::metadata(at) {
            Ok(found) if found.is_dir() => break,
            Ok(_) => return Err(Error::Unexpected { path: shown(at), found: "file" }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(at),
            Err(error) => return Err(failed(Operation::Inspect, at, error)),
        }
        // The top of every absolute path is there.
        let Some(above) = at.parent() else { break };
        at = above;
    }
    let there = fs::canonicalize(at).map_err(|error| failed(Operation::Inspect, at, error))?;
    if let Some(above) = there.parent() {
        sync_found(sys, above)?;
    }
    for directory in missing.into_iter().rev() {
        make(sys, directory)?;
    }
    Ok(())
}

/// Syncs the directory above one that was found. Where we may not list it, or its file system takes no changes, it was
/// made by somebody else, who had the right to.
fn sync_found(sys: &Sys, above: &Path) -> Result<(), Error> {
    match sync_path(sys, above) {
        Ok(()) => Ok(()),
        Err(error) if is_one_of(&error, &[Errno::ACCESS, Errno::PERM, Errno::ROFS, Errno::INVAL]) => {
            tracing::warn!(directory = %above.display(), %error, "cannot make the store's own directory durable");
            Ok(())
        }
        Err(error) => Err(failed(Operation::SyncDirectory, above, error)),
    }
}

/// Makes a directory and syncs the one above. When that fails it is removed again: the next attempt shall not find it
/// and take it for durable.
fn make(sys: &Sys, directory: &Path) -> Result<(), Error> {
    let made = match sys.mkdir(CWD, directory, || directory.to_owned()) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        Err(error) => return Err(failed(Operation::CreateDirectory, directory, error)),
    };
    let Some(above) = directory.parent() else { return Ok(()) };
    sync_path(sys, above).map_err(|error| {
        if made && let Err(error) = sys.rmdir(CWD, directory, || directory.to_owned()) {
            tracing::warn!(directory = %directory.display(), %error, "cannot remove a directory that is not durable");
        }
        failed(Operation::SyncDirectory, above, error)
    })
}

fn sync_path(sys: &Sys, directory: &Path) -> io::Result<()> {
    let dir = open_any_directory(directory)?;
    sys.fsync_directory(dir.as_fd(), || directory.to_owned())
}

/// Opens a directory above or at the root; symbolic links on the way are the operator's choice.
pub(super) fn open_any_directory(path: &Path) -> io::Result<fs::File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))?.into())
}

fn failed(operation: Operation, path: &Path, source: io::Error) -> Error {
    Error::io(operation, Target::Path(shown(path)), None, source)
}

fn shown(path: &Path) -> std::sync::Arc<str> {
    path.to_string_lossy().into()
}
