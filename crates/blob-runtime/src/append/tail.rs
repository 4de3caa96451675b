//! The bytes that are appended and not yet in the file, and where the file stands.
//!
//! ```text
//!  0            durable          written                     len
//!  |── on disk ──|── in the file ──|── parts ──|── filling ───|
//!                                   frozen, also  being
//!                                   in flight     appended to
//! ```
//!
//! The buffers of a busy log are made once and used again: a frozen one comes back when the write that carried it and
//! the last reader have dropped it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::sync::{Mutex, lock};

#[cfg(test)]
mod tests;

/// Spare buffers, shared by the logs of a store, so that an idle log holds none.
#[derive(Clone)]
pub struct Spares(Arc<Mutex<Stock>>);

struct Stock {
    max_kept_bytes: usize,
    kept_bytes: usize,
    kept: Vec<Vec<u8>>,
}

impl Spares {
    /// Keeps at most `max_kept_bytes` of capacity.
    pub fn new(max_kept_bytes: usize) -> Self {
        Self(Arc::new(Mutex::new(Stock { max_kept_bytes, kept_bytes: 0, kept: Vec::new() })))
    }

    /// Capacity kept, in bytes.
    pub fn kept_bytes(&self) -> usize {
        lock(&self.0).kept_bytes
    }

    fn take(&self) -> Vec<u8> {
        let mut stock = lock(&self.0);
        let buffer = stock.kept.pop().unwrap_or_default();
        stock.kept_bytes -= buffer.capacity();
        buffer
    }

    fn give(&self, mut buffer: Vec<u8>) {
        let mut stock = lock(&self.0);
        if buffer.capacity() > 0 && stock.kept_bytes + buffer.capacity() <= stock.max_kept_bytes {
            buffer.clear();
            stock.kept_bytes += buffer.capacity();
            stock.kept.push(buffer);
        }
    }
}

impl fmt::Debug for Spares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spares").field("kept_bytes", &self.kept_bytes()).finish_non_exhaustive()
    }
}

/// A frozen buffer: goes back to its spares when the last reader drops it.
struct Frozen {
    bytes: Vec<u8>,
    spares: Spares,
}

impl AsRef<[u8]> for Frozen {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.spares.give(std::mem::take(&mut self.bytes));
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Tail {
    filling: Vec<u8>,
    /// Room for what an append makes before it is put.
    scratch: Vec<u8>,
    parts: VecDeque<Bytes>,
    parts_bytes: usize,
    /// Room that the next buffer begins with: as much as went into the last one; what a buffer has when that was more than
    /// half of it.
    begin_bytes: usize,
    buffer_bytes: usize,
    written: u64,
    durable: u64,
    spares: Spares,
}

impl Tail {
    pub(super) fn new(len: u64, durable: u64, buffer_bytes: usize, spares: Spares) -> Self {
        Self {
            filling: Vec::new(),
            scratch: Vec::new(),
            parts: VecDeque::new(),
            parts_bytes: 0,
            begin_bytes: 0,
            buffer_bytes,
            written: len,
            durable: durable.min(len),
            spares,
        }
    }

    /// Bytes appended, in all.
    #[inline]
    pub(super) fn len(&self) -> u64 {
        self.written + self.parts_bytes as u64 + self.filling.len() as u64
    }

    /// Bytes whose write has returned.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Bytes a sync has returned for.
    pub(super) fn durable(&self) -> u64 {
        self.durable
    }

    /// Bytes in the buffer that takes the appends.
    pub(super) fn filling_bytes(&self) -> usize {
        self.filling.len()
    }

    /// Bytes held in memory.
    pub(super) fn pending_bytes(&self) -> usize {
        self.parts_bytes + self.filling.len()
    }

    /// Lets `fill` append to the buffer. If it panics, what it had appended is taken back.
    #[inline]
    pub(super) fn fill<T>(&mut self, room: usize, fill: impl FnOnce(u64, &mut Space<'_>) -> T) -> T {
        let offset = self.len();
        let start = self.filling.len();
        if self.filling.capacity() - start < room {
            self.grow(room);
        }
        let (buffer, scratch) = (&mut self.filling, &mut self.scratch);
        let mut space = Space { buffer, scratch, start, durable: self.durable, keep: false };
        let result = fill(offset, &mut space);
        space.keep = true;
        result
    }

    /// Makes room for so many bytes. A buffer grows twofold, but to no more than a buffer has: so those of a busy log are of
    /// one size, and each is as good as another when it is used again.
    #[cold]
    fn grow(&mut self, room: usize) {
        if self.filling.capacity() == 0 {
            self.filling = self.spares.take();
        }
        let len = self.filling.len();
        let twofold = self.filling.capacity().saturating_mul(2).min(self.buffer_bytes);
        // One that grows step by step is copied and mapped anew each time.
        let wanted = if len == 0 { self.begin_bytes } else { twofold };
        self.filling.reserve_exact(wanted.saturating_sub(len).max(room));
    }

    /// Freezes what was appended: from now on it can be written and shared.
    pub(super) fn freeze(&mut self) {
        if self.filling.is_empty() {
            return;
        }
        let bytes = std::mem::take(&mut self.filling);
        self.begin_bytes = if bytes.len() > self.buffer_bytes / 2 { self.buffer_bytes } else { bytes.len() };
        self.parts_bytes += bytes.len();
        self.parts.push_back(Bytes::from_owner(Frozen { bytes, spares: self.spares.clone() }));
    }

    /// The frozen bytes, up to logical offset `limit`.
    pub(super) fn parts(&self, limit: u64) -> Vec<Bytes> {
        let mut left = usize::try_from(limit.saturating_sub(self.written)).unwrap_or(usize::MAX);
        let mut parts = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            if left == 0 {
                break;
            }
            let take = part.len().min(left);
            parts.push(part.slice(..take));
            left -= take;
        }
        parts
    }

    /// A write of everything up to `through` has returned.
    pub(super) fn set_written(&mut self, through: u64) {
        let mut done = usize::try_from(through.saturating_sub(self.written)).unwrap_or(usize::MAX);
        done = done.min(self.parts_bytes);
        self.written += done as u64;
        self.parts_bytes -= done;
        while done > 0 {
            let Some(front) = self.parts.front_mut() else { break };
            if front.len() > done {
                *front = front.slice(done..);
                break;
            }
            done -= front.len();
            self.parts.pop_front();
        }
    }

    /// A sync that covers everything up to `through` has returned.
    pub(super) fn set_durable(&mut self, through: u64) {
        self.durable = self.durable.max(through.min(self.written));
    }

    /// Forgets everything from logical offset `len` on.
    pub(super) fn cut(&mut self, len: u64) {
        self.freeze();
        let kept = self.parts(len);
        self.parts_bytes = kept.iter().map(Bytes::len).sum();
        self.parts = kept.into();
        self.written = self.written.min(len);
        self.durable = self.durable.min(len);
    }

    /// What of `offset..offset + len` is in memory: its first offset, and the bytes from there to the end. The caller
    /// has checked the range against the length.
    pub(super) fn read(&self, offset: u64, len: usize) -> (u64, Bytes) {
        let end = offset + len as u64;
        let start = offset.max(self.written).min(end);
        let mut skip = usize::try_from(start.saturating_sub(self.written)).unwrap_or(usize::MAX);
        let mut left = usize::try_from(end - start).unwrap_or(0);
        let mut gathered = BytesMut::new();
        let filling = std::iter::once(&self.filling[..]);
        for part in &self.parts {
            if skip < part.len() && left > 0 {
                if gathered.is_empty() && part.len() - skip >= left {
                    return (start, part.slice(skip..skip + left));
                }
                let take = (part.len() - skip).min(left);
                gathered.extend_from_slice(part.get(skip..skip + take).unwrap_or_default());
                left -= take;
                skip = 0;
            } else {
                skip = skip.saturating_sub(part.len());
            }
        }
        for part in filling {
            gathered.extend_from_slice(part.get(skip..skip + left).unwrap_or_default());
        }
        (start, gathered.freeze())
    }
}

impl Tail {
    /// `offset..offset + len`, when it is in memory in one piece.
    pub(super) fn piece(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let mut skip = usize::try_from(offset.checked_sub(self.written)?).ok()?;
        for part in &self.parts {
            if skip < part.len() {
                return part.get(skip..skip.checked_add(len)?);
            }
            skip -= part.len();
        }
        self.filling.get(skip..skip.checked_add(len)?)
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.spares.give(std::mem::take(&mut self.filling));
    }
}

/// Where an append puts its bytes: behind what is there, which it cannot touch.
#[derive(Debug)]
pub struct Space<'a> {
    buffer: &'a mut Vec<u8>,
    scratch: &'a mut Vec<u8>,
    start: usize,
    durable: u64,
    keep: bool,
}

impl Space<'_> {
    /// Logical bytes of the log that a sync has returned for, at this moment: the floor that an append may claim (I5).
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// Appends bytes.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Appends what `make` leaves in an empty buffer, from where it says on; nothing when it fails.
    ///
    /// # Errors
    /// That of `make`.
    #[inline]
    pub fn put_made<E>(&mut self, make: impl FnOnce(&mut Vec<u8>) -> Result<usize, E>) -> Result<(), E> {
        self.scratch.clear();
        let from = make(self.scratch)?;
        self.buffer.extend_from_slice(self.scratch.get(from..).unwrap_or_default());
        Ok(())
    }

    /// Takes back what this append has put so far.
    pub fn take_back(&mut self) {
        self.buffer.truncate(self.start);
    }

    /// What this append has put so far; a checksum or a length may be filled in.
    #[inline]
    pub fn written(&mut self) -> &mut [u8] {
        self.buffer.get_mut(self.start..).unwrap_or_default()
    }
}

impl Drop for Space<'_> {
    fn drop(&mut self) {
        if !self.keep {
            self.take_back();
        }
    }
}
