//! Buffers that are made once and used again.
//!
//! A read fills an initialised buffer and hands it out as `Bytes`; when the last clone is dropped the buffer comes back.
//! That saves the allocation and the zeroing of each read, without any `unsafe`.

use std::collections::TryReserveError;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use bytes::Bytes;

use crate::sync::{Mutex, lock};

#[cfg(test)]
mod tests;

/// The smallest buffer in bytes; each class is twice the one before.
const SMALLEST_BYTES: usize = 512;
/// Classes up to 4 MiB; a larger buffer is not kept.
const CLASSES: usize = 14;

/// A stock of buffers. Cheap to clone.
#[derive(Clone)]
pub struct BufferPool(Arc<Stock>);

struct Stock {
    max_kept_bytes: usize,
    kept: Mutex<Kept>,
}

struct Kept {
    bytes: usize,
    classes: [Vec<Vec<u8>>; CLASSES],
}

/// An initialised buffer; dropped, or dropped by the last `Bytes` made of it, it goes back to its pool.
pub struct Buffer {
    /// As long as its class.
    bytes: Vec<u8>,
    /// How much of it is meant.
    len: usize,
    home: Arc<Stock>,
}

impl BufferPool {
    /// A pool that keeps at most `max_kept_bytes` for later.
    pub fn new(max_kept_bytes: usize) -> Self {
        let kept = Kept { bytes: 0, classes: Default::default() };
        Self(Arc::new(Stock { max_kept_bytes, kept: Mutex::new(kept) }))
    }

    /// A buffer of `len` bytes with any content.
    ///
    /// # Errors
    /// [`TryReserveError`]: there is not so much memory. Whatever was asked for, the process goes on (P8).
    pub fn take(&self, len: usize) -> Result<Buffer, TryReserveError> {
        let home = Arc::clone(&self.0);
        let Some(class) = class_of(len) else {
            let mut bytes = Vec::new();
            bytes.try_reserve_exact(len)?;
            bytes.resize(len, 0);
            return Ok(Buffer { bytes, len, home });
        };
        let mut kept = lock(&home.kept);
        let found = kept.classes.get_mut(class).and_then(Vec::pop);
        if let Some(bytes) = &found {
            kept.bytes -= bytes.len();
        }
        drop(kept);
        let bytes = found.unwrap_or_else(|| vec![0; SMALLEST_BYTES << class]);
        Ok(Buffer { bytes, len, home })
    }

    /// Bytes kept for later.
    pub fn kept_bytes(&self) -> usize {
        lock(&self.0.kept).bytes
    }
}

/// The class of the smallest buffer that holds `len` bytes.
fn class_of(len: usize) -> Option<usize> {
    let class = len.div_ceil(SMALLEST_BYTES).checked_next_power_of_two()?.trailing_zeros() as usize;
    (class < CLASSES).then_some(class)
}

impl Buffer {
    /// The buffer as shared bytes, without a copy.
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.len).unwrap_or_default()
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut kept = lock(&self.home.kept);
        if class_of(bytes.len()).is_some() && kept.bytes + bytes.len() <= self.home.max_kept_bytes {
            kept.bytes += bytes.len();
            if let Some(class) = class_of(bytes.len()).and_then(|class| kept.classes.get_mut(class)) {
                class.push(bytes);
            }
        }
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferPool").field("kept_bytes", &self.kept_bytes()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("len", &self.len).finish_non_exhaustive()
    }
}
