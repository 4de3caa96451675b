//! Reading a log whose bytes lie in its blob as they are.

use bytes::{Bytes, BytesMut};

use super::{Linear, Log};
use crate::error::Error;
use crate::storage::read_at;

impl<L: Linear> Log<L> {
    /// Reads from memory, or from the blob without blocking; `None` when that would need the disk.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`] past the log's end; as [`Blob::try_read_at`](crate::Blob::try_read_at).
    pub fn try_read_at(&self, offset: u64, len: usize) -> Option<Result<Bytes, Error>> {
        let (split, tail) = match self.read_tail(offset, len) {
            Ok(read) => read,
            Err(error) => return Some(Err(error)),
        };
        if tail.len() == len {
            return Some(Ok(tail));
        }
        let head = self.0.blob.try_read_at(offset, head_bytes(offset, split));
        head.map(|read| read.map(|head| join(head, tail)))
    }

    /// Reads exactly `len` bytes, from memory and from the blob.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`] past the log's end; as [`Blob::read_at`](crate::Blob::read_at).
    pub async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, Error> {
        let (split, tail) = self.read_tail(offset, len)?;
        if tail.len() == len {
            return Ok(tail);
        }
        let head_bytes = head_bytes(offset, split);
        let head = read_at(self.0.blob.as_ref(), offset, head_bytes).await?;
        Ok(join(head, tail))
    }
}

/// Bytes from `offset` to `split`; both lie within one read.
fn head_bytes(offset: u64, split: u64) -> usize {
    usize::try_from(split - offset).unwrap_or(usize::MAX)
}

fn join(head: Bytes, tail: Bytes) -> Bytes {
    if tail.is_empty() {
        return head;
    }
    let mut joined = BytesMut::with_capacity(head.len() + tail.len());
    joined.extend_from_slice(&head);
    joined.extend_from_slice(&tail);
    joined.freeze()
}
