//! The exclusive lock of a root.

use std::fs::{File, TryLockError};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, OFlags};
use rustix::io::retry_on_intr;

use super::sys::{FILE_MODE, describe, kind_of};
use crate::error::{Error, Operation, Target};

#[cfg(test)]
mod tests;

/// The file that is locked. Its bytes mean nothing.
pub(super) const LOCK: &str = "LOCK";
/// How often a lock file that was replaced while it was being locked is taken anew.
const ATTEMPTS: usize = 16;

/// The lock of a root, until it is dropped.
#[derive(Debug)]
pub(super) struct RootLock(File);

impl Drop for RootLock {
    /// Unlocks: to close the file is not enough. A process that is being started by another thread has a copy of the
    /// descriptor until it calls `exec`, and would keep the root locked for so long.
    fn drop(&mut self) {
        // It fails for a file that is not open.
        let _ = self.0.unlock();
    }
}

/// Locks the root (`flock(2)`, exclusive).
///
/// # Errors
/// [`Error::Locked`] when another has it, [`Error::Unexpected`] when the lock file is no regular file, [`Error::Io`].
pub(super) fn take(dir: BorrowedFd<'_>, root: &Arc<str>) -> Result<RootLock, Error> {
    take_between(dir, root, || {})
}

/// `opened` is called between the open and the lock, where others may replace the file.
fn take_between(dir: BorrowedFd<'_>, root: &Arc<str>, mut opened: impl FnMut()) -> Result<RootLock, Error> {
    let locked = || Error::Locked { what: Arc::clone(root) };
    let path: Arc<str> = format!("{root}/{LOCK}").into();
    let failed = |source| Error::io(Operation::Lock, Target::Path(Arc::clone(&path)), None, source);
    for _ in 0..ATTEMPTS {
        let file = open(dir).map_err(|error| match kind_of(dir, LOCK) {
            Ok(kind) if kind != FileType::RegularFile => {
                Error::Unexpected { path: Arc::clone(&path), found: describe(kind) }
            }
            _ => failed(error),
        })?;
        opened();
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(locked()),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        // Whoever removed or replaced the file meanwhile locks another one: only the one the path leads to counts.
        let mine = file.metadata().map_err(failed)?;
        match rustix::fs::statat(dir, LOCK, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) if same_file(&found, &mine) => return Ok(RootLock(file)),
            Ok(_) | Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(failed(error.into())),
        }
    }
    Err(locked())
}

/// The types of the numbers differ from platform to platform.
fn same_file(found: &rustix::fs::Stat, mine: &std::fs::Metadata) -> bool {
    i128::from(found.st_dev) == i128::from(mine.dev()) && i128::from(found.st_ino) == i128::from(mine.ino())
}

fn open(dir: BorrowedFd<'_>) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(retry_on_intr(|| rustix::fs::openat(dir, LOCK, flags, FILE_MODE))?);
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(file)
}
