//! One section: the log of its frames.
//!
//! ```text
//!  pack (no lock) ─▶ log's lock: position, offset, floor, tag, header CRC ─▶ tail ─▶ one write, one fdatasync
//!  read by location ─▶ tail, else the blob without blocking, else the blob ─▶ header, position, tag, payload CRC
//! ```
//!
//! A section is complete in itself: [`RawGlob`](crate::RawGlob) keeps many of them under a manifest of its own, and an
//! owner with a manifest of *its* own drives them itself. What such an owner has to do is said where it has to:
//!
//! - [`hold`](Section::hold) keeps appends out while the structure is changed; whoever waits for an append meanwhile
//!   waits for the [`Hold`] to be dropped, so it belongs into a job that somebody drives.
//! - [`cut`](Hold::cut) is behind a durable intent, which is cleared, durably, before the hold is dropped (I4).
//! - What recovery shows was made durable by [`carry_out`](crate::recover::carry_out), before a section is
//!   [resumed](Section::resume) on it (P9).

mod append;
mod frames;
mod progress;
mod read;
mod structure;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use blob_runtime::append::{Config as LogConfig, Log, Start};
use blob_runtime::{Binding, Blob, Queue, Ticket};
use crc32fast::Hasher;

use crate::ahead::Ahead;
use crate::compress::Packer;
use crate::error::Error;
use crate::frame::Place;
use crate::location::Cursor;

pub use self::append::{Put, TagFn};
pub use self::frames::Frames;
pub(crate) use self::progress::Progress;
pub use self::read::{Expect, Frame, HeadReader, HeaderEntry};
pub(crate) use self::structure::write_zeros;

/// How sections buffer and pack; shared by all sections of a store.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How the log buffers.
    pub log: LogConfig,
    /// The largest window of zeros written ahead, in bytes; 0 for none.
    pub preallocate_bytes: u64,
    /// Makes payloads of values, and back.
    pub packer: Arc<Packer>,
    /// Whether every change is refused.
    pub read_only: bool,
}

/// Where a section goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resume {
    /// Behind its last frame.
    pub end: Cursor,
    /// Bytes proven durable. For a writer all of them: recovery has seen to it.
    pub durable: u64,
    /// Whether its last frame is a seal.
    pub sealed: bool,
    /// Up to here frames may be read by location: `end`, but further where damage lies in between and nothing is to be
    /// changed. Only for a section that is open read-only.
    pub readable: u64,
}

/// One section. See the [module](self).
pub struct Section {
    number: u64,
    log: Log<Ahead>,
    progress: Arc<Progress>,
    /// The ticket is the right to change the structure.
    gate: Queue,
    settings: Settings,
    binding: Binding,
    /// That of the binding, made once: each that is made asks what the processor can.
    crc: Hasher,
    tag_bytes: u16,
    durable_found: u64,
}

/// Keeps appends out of a section until dropped. It belongs into a job that somebody drives: appends wait for it.
#[derive(Debug)]
#[must_use = "dropping the hold lets appends in"]
pub struct Hold {
    section: Arc<Section>,
    _ticket: Ticket,
}

impl Section {
    /// A section without frames, over a blob without bytes.
    ///
    /// # Errors
    /// As [`resume`](Self::resume).
    pub fn create(number: u64, blob: Arc<dyn Blob>, settings: Settings) -> Result<Self, Error> {
        Self::resume(number, blob, settings, Resume::default())
    }

    /// A section that goes on where recovery has ended. Nobody else may change the blob while it lives.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the blob's header has a tag size that no frame can have.
    pub fn resume(number: u64, blob: Arc<dyn Blob>, settings: Settings, from: Resume) -> Result<Self, Error> {
        let tag_bytes = tag_bytes(blob.as_ref())?;
        Ok(Self::with_tags(number, blob, settings, from, tag_bytes))
    }

    pub(crate) fn with_tags(
        number: u64,
        blob: Arc<dyn Blob>,
        settings: Settings,
        from: Resume,
        tag_bytes: u16,
    ) -> Self {
        let binding = blob.header().binding(blob.id().name());
        let progress = Arc::new(Progress::new(from));
        let layout = Ahead::new(Arc::clone(&progress), from.end.offset, settings.preallocate_bytes);
        let start = Start { len: from.readable.max(from.end.offset), durable: from.durable };
        let log = Log::new(blob, layout, start, settings.log.clone());
        Self {
            number,
            log,
            progress,
            gate: Queue::new(),
            settings,
            binding,
            crc: binding.hasher(),
            tag_bytes,
            durable_found: from.durable,
        }
    }

    /// The section's number.
    #[inline]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The blob beneath.
    pub fn blob(&self) -> &Arc<dyn Blob> {
        self.log.blob()
    }

    /// Size of every value's tag in bytes.
    pub fn tag_bytes(&self) -> u16 {
        self.tag_bytes
    }

    /// Items, with those only in memory.
    pub fn len(&self) -> u64 {
        self.progress.items()
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all frames, with those only in memory.
    pub fn bytes(&self) -> u64 {
        self.progress.end()
    }

    /// Behind the last frame.
    pub fn end(&self) -> Cursor {
        Cursor { offset: self.progress.end(), position: self.progress.items() }
    }

    /// Items that a sync has returned for.
    pub fn durable_len(&self) -> u64 {
        self.progress.durable_items()
    }

    /// Bytes that a sync has returned for: the floor the next frame will carry.
    pub fn floor(&self) -> u64 {
        self.log.durable()
    }

    /// Bytes that were proven durable when the section was resumed.
    pub fn floor_found(&self) -> u64 {
        self.durable_found
    }

    /// Whether the last frame is a seal, and durable.
    pub fn is_sealed(&self) -> bool {
        self.progress.sealed() && self.log.durable() == self.progress.end()
    }

    /// Whether everything appended is durable.
    pub fn is_durable(&self) -> bool {
        self.log.durable() == self.progress.end()
    }

    /// Bytes held in memory because they are not written yet.
    pub fn pending_bytes(&self) -> usize {
        self.log.pending_bytes()
    }

    /// Why the section takes no change, if it does not.
    pub fn poison_cause(&self) -> Option<Error> {
        self.log.poison_cause().map(Error::from)
    }

    /// Writes what was appended by now, without a sync.
    ///
    /// Cancel safety: a write that has begun runs to its end.
    ///
    /// # Errors
    /// [`Error::Poisoned`]; [`Error::Storage`]: the bytes stay in memory; [`Error::ReadOnly`].
    pub async fn flush(&self) -> Result<(), Error> {
        self.writable()?;
        Ok(self.log.flush().await?)
    }

    /// Makes durable what was appended by now, with at most one sync for all who ask at the same time.
    ///
    /// Cancel safety: a sync that has begun runs to its end.
    ///
    /// # Errors
    /// [`Error::Poisoned`] after a failed sync; [`Error::Storage`] after a failed write: the bytes stay in memory, and
    /// the next sync tries again; [`Error::ReadOnly`].
    pub async fn sync(&self) -> Result<(), Error> {
        self.writable()?;
        Ok(self.log.sync().await?)
    }

    /// Waits until all bytes before `offset` are durable, without starting a sync.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// [`Error::Poisoned`]; [`Error::Storage`] (`OutOfBounds`) when the section is shorter, or is cut to be.
    pub async fn wait_durable(&self, offset: u64) -> Result<(), Error> {
        Ok(self.log.wait_durable(offset).await?)
    }

    /// Waits until no write of this section is under way.
    ///
    /// Cancel safety: safe.
    pub async fn settle(&self) {
        self.log.settle().await;
    }

    /// Keeps appends out until the hold is dropped; those that come wait. Of several holders the first to come goes
    /// first.
    ///
    /// Cancel safety: dropping the future holds nothing.
    pub async fn hold(self: &Arc<Self>) -> Hold {
        let ticket = self.gate.enter().await;
        // Under the log's lock: no append is half done when this returns.
        self.log.with_layout(|_| self.progress.set_held(true));
        Hold { section: Arc::clone(self), _ticket: ticket }
    }

    /// Whether anything was ever appended to it, also when all of that was cut off again.
    #[inline]
    pub fn is_touched(&self) -> bool {
        self.progress.touched()
    }

    /// Whether appends have to wait.
    pub fn is_held(&self) -> bool {
        self.progress.held()
    }

    /// From now on appends are refused with [`Error::Frozen`], or taken again: for an owner that fills one section after
    /// the other. None is half done when this returns.
    pub fn freeze(&self, frozen: bool) {
        self.log.with_layout(|_| self.progress.set_frozen(frozen));
    }

    /// From now on appends and scans get this error: the section was removed, or its store closed.
    pub fn shut(&self, reason: Error) {
        self.log.with_layout(|_| self.progress.shut(reason));
    }

    /// Takes the section out of use: it takes no change from now on, and what has begun is over when this returns.
    ///
    /// Cancel safety: it takes no change from the first poll on.
    pub async fn retire(&self) {
        self.shut(Error::Closed);
        self.log.retire().await;
    }

    /// Why appends are refused for good, if they are.
    pub fn shut_reason(&self) -> Option<Error> {
        self.progress.shut_reason()
    }

    /// How many syncs of appended data have returned since it was opened.
    pub fn syncs(&self) -> u64 {
        self.progress.syncs()
    }

    /// How often the section was cut since it was opened.
    pub fn cuts(&self) -> u64 {
        self.progress.cuts()
    }

    /// How many items are those that were there when [`cuts`](Self::cuts) was so many: no cut since has gone below. At most
    /// so many; `u64::MAX` when there was none.
    pub fn untouched_since(&self, cuts: u64) -> u64 {
        self.progress.untouched_since(cuts)
    }

    pub(crate) fn log(&self) -> &Log<Ahead> {
        &self.log
    }

    pub(crate) fn max_value_bytes(&self) -> u32 {
        self.settings.packer.max_value_bytes()
    }

    #[inline]
    fn writable(&self) -> Result<(), Error> {
        if self.settings.read_only { Err(Error::ReadOnly) } else { Ok(()) }
    }

    fn place(&self, offset: u64) -> Place {
        Place { binding: self.binding, offset }
    }
}

/// The tag size of a values blob.
///
/// # Errors
/// [`Error::Corrupt`] when no frame can have it.
pub(crate) fn tag_bytes(blob: &dyn Blob) -> Result<u16, Error> {
    let unit = blob.header().unit;
    u16::try_from(unit).map_err(|_| Error::Corrupt {
        blob: blob.id().clone(),
        offset: 0,
        expected: "a tag size of at most 65535 bytes".into(),
        found: unit.to_string(),
    })
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.section.progress.set_held(false);
    }
}

impl fmt::Debug for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Section")
            .field("number", &self.number)
            .field("progress", &self.progress)
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}
