//! What all handles of one blob share, and its changes, as they run on a blocking thread.

use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, TryLockError};

use arc_swap::{ArcSwapOption, Guard};
use bytes::Bytes;

use super::handles::{Identity, OpenFile};
use super::partition::Partition;
use super::root::Root;
use super::sys::{CutShort, Sys};
use crate::error::{Error, Operation};
use crate::header::{HEADER_BYTES, Header, HeaderState};
use crate::name::{BlobId, Salt, file_name};
use crate::queue::Queue;
use crate::sync::{Mutex, MutexGuard, lock};

pub(super) const HEADER: u64 = HEADER_BYTES as u64;

/// One blob, from its first open to its last handle, or to a failed sync: what is opened after that has its own.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) id: BlobId,
    pub(super) partition: Arc<Partition>,
    pub(super) salt: Salt,
    /// The file's name. It contains the salt.
    pub(super) file: Box<str>,
    /// Lets one change in at a time.
    pub(super) queue: Queue,
    /// Handles, and jobs under way.
    pub(super) users: AtomicUsize,
    /// Whether the file is gone; shared by all that were ever opened on it.
    pub(super) removed: Arc<AtomicBool>,
    /// The generation of the partition's directory that has this blob's name.
    pub(super) generation: u64,
    /// Which file it must be when it is opened again.
    pub(super) identity: Identity,
    /// Refuses changes: it is only looked at, to tell which of two files of one name stays.
    pub(super) only_read: bool,
    /// The header as far as it is known.
    head: Mutex<Head>,
    /// Logical length in bytes.
    len: AtomicU64,
    open: ArcSwapOption<OpenFile>,
    /// Set by a use, cleared by the clock's hand.
    referenced: AtomicBool,
    /// Held while the file is being opened.
    opening: Mutex<()>,
    /// Held by a change while it runs on its thread, never across an await.
    changing: Mutex<Changing>,
    poison: OnceLock<Error>,
}

/// The header of a blob.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) state: HeaderState,
    /// Sound: what the file says. New: what the first handle will write.
    pub(super) header: Header,
}

/// What a change needs for itself.
#[derive(Debug)]
pub(super) struct Changing {
    pub(super) unsynced: Unsynced,
}

/// What a sync has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsynced {
    /// Nothing: the file is as the last good sync left it.
    Nothing,
    /// Nothing of ours; an earlier process may have left writes that only the page cache has.
    Unknown,
    /// Our writes. The file must not be closed before it is synced: an error of the write-back would be lost.
    Writes,
}

/// What became of the attempt to close a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LetGo {
    Closed,
    /// A change runs.
    Busy,
    /// It has unsynced writes.
    Unsynced,
}

impl Inner {
    /// A blob that was found or created; `file` is its open file.
    pub(super) fn new(found: New, file: OpenFile) -> Self {
        let New { id, partition, salt, generation, removed, head, only_read } = found;
        Self {
            file: file_name(id.name(), salt).into(),
            id,
            partition,
            salt,
            queue: Queue::new(),
            users: AtomicUsize::new(0),
            removed,
            generation,
            identity: file.identity(),
            only_read,
            head: Mutex::new(head),
            len: AtomicU64::new(file.bytes_at_open().saturating_sub(HEADER)),
            open: ArcSwapOption::from_pointee(file),
            referenced: AtomicBool::new(true),
            opening: Mutex::default(),
            changing: Mutex::new(Changing { unsynced: Unsynced::Unknown }),
            poison: OnceLock::new(),
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.len.load(Ordering::Acquire)
    }

    pub(super) fn head(&self) -> Head {
        *lock(&self.head)
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load().is_some()
    }

    /// Whether a use came since the last call.
    pub(super) fn take_referenced(&self) -> bool {
        self.referenced.swap(false, Ordering::Relaxed)
    }

    pub(super) fn is_poisoned(&self) -> bool {
        self.poison.get().is_some()
    }

    /// Refuses changes from now on, if it was the sync that failed: a directory that could not be opened for it, say,
    /// loses nothing.
    pub(super) fn sync_failed(&self, cause: &Error) {
        if cause.is_sync_failure() {
            // The first failure is the one that is told.
            let _ = self.poison.set(cause.clone());
        }
    }

    pub(super) fn check_removed(&self) -> Result<(), Error> {
        if self.removed.load(Ordering::Acquire) {
            return Err(Error::Removed { blob: self.id.clone() });
        }
        Ok(())
    }

    pub(super) fn path(&self, sys: &Sys) -> PathBuf {
        sys.path_of(&self.partition.name).join(&*self.file)
    }

    pub(super) fn io_error(&self, operation: Operation, offset: Option<u64>, source: io::Error) -> Error {
        Error::io(operation, &self.id, offset, source)
    }

    /// The file, when it is open. Takes no lock.
    pub(super) fn file_at_once(&self) -> Guard<Option<Arc<OpenFile>>> {
        let file = self.open.load();
        // Only written when it changes: a line that is only read stays in every core's cache.
        if file.is_some() && !self.referenced.load(Ordering::Relaxed) {
            self.referenced.store(true, Ordering::Relaxed);
        }
        file
    }

    /// The file, opened when it is not.
    pub(super) fn file(self: &Arc<Self>, root: &Root) -> Result<Arc<OpenFile>, Error> {
        if let Some(file) = &*self.file_at_once() {
            return Ok(Arc::clone(file));
        }
        let _opening = lock(&self.opening);
        if let Some(file) = &*self.file_at_once() {
            return Ok(Arc::clone(file));
        }
        let file = match root.open_file(self) {
            Ok(file) => Arc::new(file),
            Err(error) => {
                self.check_removed()?;
                if root.read_only && error.kind() == io::ErrorKind::NotFound {
                    return Err(Error::Removed { blob: self.id.clone() });
                }
                return Err(root.explain_file(&self.partition, &self.file, &self.id, Operation::Open, error));
            }
        };
        if file.identity() != self.identity {
            return Err(Error::Unexpected {
                path: self.id.to_string().into(),
                found: "file that was put in its place",
            });
        }
        self.open.store(Some(Arc::clone(&file)));
        self.referenced.store(true, Ordering::Relaxed);
        root.files.opened(self);
        Ok(file)
    }

    /// Takes the open file away, for a removal.
    pub(super) fn take_file(&self) -> Option<Arc<OpenFile>> {
        self.open.swap(None)
    }

    /// Closes the file unless a change runs. A file with unsynced writes is synced before, when that is asked for;
    /// should that fail, nothing more is lost by closing it.
    pub(super) fn let_go(&self, sys: &Sys, unsynced_too: bool) -> LetGo {
        let Some(mut changing) = self.try_changing() else { return LetGo::Busy };
        if !unsynced_too && self.must_be_synced(&changing) {
            return LetGo::Unsynced;
        }
        self.sync_unasked(sys, &mut changing);
        self.open.store(None);
        LetGo::Closed
    }

    /// Syncs the file unless a change runs, so that it can be closed at once when its turn comes.
    pub(super) fn sync_ahead(&self, sys: &Sys) {
        if let Some(mut changing) = self.try_changing() {
            self.sync_unasked(sys, &mut changing);
        }
    }

    fn must_be_synced(&self, changing: &Changing) -> bool {
        changing.unsynced == Unsynced::Writes && !self.is_poisoned() && self.check_removed().is_ok()
    }

    /// Syncs unsynced writes for which nobody waits. Whoever owns the blob learns of a failure at the next change.
    fn sync_unasked(&self, sys: &Sys, changing: &mut Changing) {
        if self.must_be_synced(changing)
            && let Some(file) = self.open.load_full()
            && let Err(error) = self.sync_data(sys, changing, &file)
        {
            tracing::warn!(blob = %self.id, %error, "a file could not be synced before it was closed");
        }
    }

    fn try_changing(&self) -> Option<MutexGuard<'_, Changing>> {
        match self.changing.try_lock() {
            Ok(changing) => Some(changing),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Whether it may be forgotten: no change runs, and nothing unsynced would be closed without a
    /// sync.
    pub(super) fn is_forgettable(&self) -> bool {
        self.is_poisoned()
            || self.check_removed().is_err()
            || self.try_changing().is_some_and(|changing| changing.unsynced != Unsynced::Writes)
    }

    /// Begins a change.
    ///
    /// # Errors
    /// [`Error::Poisoned`], [`Error::Removed`].
    pub(super) fn begin(&self) -> Result<MutexGuard<'_, Changing>, Error> {
        let changing = lock(&self.changing);
        self.check_removed()?;
        if let Some(cause) = self.poison.get() {
            return Err(Error::poisoned(&self.id, cause));
        }
        Ok(changing)
    }

    /// Writes `parts` from `offset` on, and before them the header when the file has none.
    pub(super) fn write(
        self: &Arc<Self>,
        root: &Root,
        changing: &mut Changing,
        header: &Header,
        offset: u64,
        parts: &[Bytes],
    ) -> Result<(), Error> {
        if parts.iter().all(Bytes::is_empty) {
            return Ok(());
        }
        let encoded;
        let with_header = self.head().state != HeaderState::Sound && offset == 0;
        let mut slices = Vec::with_capacity(parts.len() + 1);
        if with_header {
            encoded = header.encode();
            slices.push(IoSlice::new(&encoded));
        } else {
            self.write_pending_header(root, changing, header)?;
        }
        slices.extend(parts.iter().map(|part| IoSlice::new(part)));
        let at = if with_header { 0 } else { HEADER.saturating_add(offset) };
        let file = self.file(root)?;
        let written = self.write_slices(root, changing, &file, &mut slices, at);
        if with_header && written.as_ref().map_or_else(|cut| cut.written, |()| HEADER) >= HEADER {
            self.has_header(header);
        }
        written.map_err(|cut| self.io_error(Operation::Write, Some(offset), cut.error))
    }

    /// Writes the header.
    pub(super) fn write_header(
        self: &Arc<Self>,
        root: &Root,
        changing: &mut Changing,
        header: &Header,
    ) -> Result<(), Error> {
        let encoded = header.encode();
        let file = self.file(root)?;
        self.write_slices(root, changing, &file, &mut [IoSlice::new(&encoded)], 0)
            .map_err(|cut| self.io_error(Operation::Write, None, cut.error))?;
        self.has_header(header);
        Ok(())
    }

    fn write_pending_header(
        self: &Arc<Self>,
        root: &Root,
        changing: &mut Changing,
        header: &Header,
    ) -> Result<(), Error> {
        match self.head().state {
            HeaderState::Sound => Ok(()),
            _ => self.write_header(root, changing, header),
        }
    }

    fn has_header(&self, header: &Header) {
        *lock(&self.head) = Head { state: HeaderState::Sound, header: *header };
    }

    fn write_slices(
        &self,
        root: &Root,
        changing: &mut Changing,
        file: &OpenFile,
        slices: &mut [IoSlice<'_>],
        at: u64,
    ) -> Result<(), CutShort> {
        let total = slices.iter().map(|slice| slice.len() as u64).sum();
        changing.unsynced = Unsynced::Writes;
        let result = root.sys.write(file, slices, at, || self.path(&root.sys));
        match &result {
            Ok(()) => {
                self.len.fetch_max(at.saturating_add(total).saturating_sub(HEADER), Ordering::AcqRel);
            }
            Err(cut) => self.refresh_len(file, at.saturating_add(cut.written)),
        }
        result
    }

    /// Takes the length from the file after a change that failed. When even that cannot be had, it is at least
    /// `reached` bytes of the file.
    pub(super) fn refresh_len(&self, file: &OpenFile, reached: u64) {
        match file.metadata() {
            Ok(found) => self.len.store(found.len().saturating_sub(HEADER), Ordering::Release),
            Err(_) => {
                self.len.fetch_max(reached.saturating_sub(HEADER), Ordering::AcqRel);
            }
        }
    }

    /// Sets the logical length.
    pub(super) fn resize(
        self: &Arc<Self>,
        root: &Root,
        changing: &mut Changing,
        header: &Header,
        len: u64,
    ) -> Result<(), Error> {
        self.write_pending_header(root, changing, header)?;
        let file = self.file(root)?;
        changing.unsynced = Unsynced::Writes;
        // Reads learn of a shorter length before the bytes go, of a longer one when they are there.
        let old = self.len.fetch_min(len, Ordering::AcqRel);
        match root.sys.resize(&file, HEADER.saturating_add(len), || self.path(&root.sys)) {
            Ok(()) => {
                self.len.store(len, Ordering::Release);
                Ok(())
            }
            Err(source) => {
                self.refresh_len(&file, HEADER.saturating_add(old));
                Err(self.io_error(Operation::Resize, Some(len), source))
            }
        }
    }

    /// Makes bytes and length durable, and the header of a blob that was never written to. Not the name.
    ///
    /// A header that does not verify is left as it is: a sync may come before it is decided what the blob is.
    pub(super) fn sync_file(
        self: &Arc<Self>,
        root: &Root,
        changing: &mut Changing,
        header: &Header,
    ) -> Result<(), Error> {
        if self.head().state == HeaderState::New {
            self.write_header(root, changing, header)?;
        }
        if changing.unsynced == Unsynced::Nothing {
            return Ok(());
        }
        let file = self.file(root)?;
        self.sync_data(&root.sys, changing, &file)
    }

    /// `fdatasync`. A failure poisons.
    fn sync_data(&self, sys: &Sys, changing: &mut Changing, file: &OpenFile) -> Result<(), Error> {
        match sys.fdatasync(file, || self.path(sys)) {
            Ok(()) => {
                changing.unsynced = Unsynced::Nothing;
                Ok(())
            }
            Err(source) => {
                let error = self.io_error(Operation::Sync, None, source);
                self.sync_failed(&error);
                Err(error)
            }
        }
    }

    /// `fdatasync`, whatever is known.
    #[cfg(target_os = "linux")]
    pub(super) fn sync_written(self: &Arc<Self>, root: &Root, changing: &mut Changing) -> Result<(), Error> {
        let file = self.file(root)?;
        self.sync_data(&root.sys, changing, &file)
    }

    /// Makes the name durable. A failed sync poisons.
    pub(super) fn sync_name(&self, root: &Root) -> Result<(), Error> {
        root.sync_names(&self.partition, self.generation).inspect_err(|error| self.sync_failed(error))
    }
}

/// What a new [`Inner`] is made of.
pub(super) struct New {
    pub(super) id: BlobId,
    pub(super) partition: Arc<Partition>,
    pub(super) salt: Salt,
    pub(super) generation: u64,
    pub(super) removed: Arc<AtomicBool>,
    pub(super) head: Head,
    pub(super) only_read: bool,
}
