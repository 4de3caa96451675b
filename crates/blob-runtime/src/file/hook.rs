//! Seeing, failing and skipping system calls: how tests count and break them, and how traces are recorded.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

/// A system call that is about to be made on a file or a directory of the store.
///
/// Offsets and lengths are those of the file: the header counts. Paths of blobs contain their salt; keep them out of
/// logs.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Event<'a> {
    /// Which call.
    pub call: Call<'a>,
    /// The file or directory it is made on.
    pub path: &'a Path,
}

/// A kind of system call, as far as it can change or show what is stored. Those that only inspect or lock are not seen.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Call<'a> {
    /// Opening a blob's file that exists.
    Open,
    /// Creating a blob's file.
    Create,
    /// Making a directory: a partition, the root, or one above it.
    Mkdir,
    /// Reading from a blob's file.
    Read {
        /// Offset in the file in bytes.
        offset: u64,
        /// Bytes asked for.
        len: usize,
    },
    /// Writing to a blob's file.
    Write {
        /// Offset in the file in bytes.
        offset: u64,
        /// Bytes in `data`.
        len: u64,
        /// The parts, one after the other.
        data: &'a [IoSlice<'a>],
    },
    /// Setting the length of a blob's file.
    Resize {
        /// The new length of the file in bytes.
        len: u64,
    },
    /// Making a blob's bytes and length durable (`fdatasync`; `F_FULLFSYNC` on Apple's systems).
    Fdatasync,
    /// Making a directory's entries durable.
    FsyncDirectory,
    /// Making the whole file system durable.
    Syncfs,
    /// Removing a blob's file.
    Unlink,
    /// Removing a directory.
    Rmdir,
    /// Listing a partition.
    List,
}

/// What becomes of a system call.
#[derive(Debug)]
#[non_exhaustive]
pub enum Verdict {
    /// It is made.
    Proceed,
    /// It is not made, and this is its result. Make it with [`io::Error::from_raw_os_error`] to be like the real one.
    Fail(io::Error),
    /// It is not made, and counts as done: a write that reached nothing, a lying sync. A skipped read gives zeros, a
    /// skipped listing is empty; `Open` and `Create` are made all the same, there is no descriptor to make up.
    Skip,
}

/// Sees each system call. Called on the thread that makes it, also several at a time; blocking holds up the call.
///
/// A closure `Fn(&Event<'_>) -> Verdict` is one.
pub trait Hook: Send + Sync {
    /// Before the call.
    fn before(&self, event: &Event<'_>) -> Verdict;

    /// After it, with its result. Does nothing unless overridden.
    fn after(&self, event: &Event<'_>, result: Result<(), &io::Error>) {
        let _ = (event, result);
    }
}

impl<F: Fn(&Event<'_>) -> Verdict + Send + Sync> Hook for F {
    fn before(&self, event: &Event<'_>) -> Verdict {
        self(event)
    }
}

/// Makes a system call under a hook. `skipped` is what stands in for its result; `None` when nothing can.
pub(super) fn ask<T>(
    hook: Option<&dyn Hook>,
    call: Call<'_>,
    path: impl FnOnce() -> PathBuf,
    skipped: impl FnOnce() -> Option<T>,
    run: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    let Some(hook) = hook else { return run() };
    let path = path();
    let event = Event { call, path: &path };
    let result = match hook.before(&event) {
        Verdict::Proceed => run(),
        Verdict::Fail(error) => Err(error),
        Verdict::Skip => match skipped() {
            Some(value) => Ok(value),
            None => run(),
        },
    };
    hook.after(&event, result.as_ref().map(|_| ()));
    result
}
