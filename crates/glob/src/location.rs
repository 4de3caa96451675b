//! Where a frame is, and where a reader stands.

use std::fmt;

use blob_runtime::codec::{CodecError, Decode, Encode, FixedSize};
use bytes::{Buf, BufMut};

#[cfg(test)]
mod tests;

/// The place of a value's frame in its section. Its encoding has 12 bytes: offset `u64`, size `u32`, big-endian.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// Offset of the frame's first byte in the section's blob.
    pub offset: u64,
    /// Size of the whole frame in bytes: header, tag and payload.
    pub size: u32,
}

impl Location {
    /// Offset behind the frame's last byte; `None` when no blob can have it.
    pub fn end(self) -> Option<u64> {
        self.offset.checked_add(self.size.into())
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes at {}", self.size, self.offset)
    }
}

impl FixedSize for Location {
    const SIZE: usize = u64::SIZE + u32::SIZE;
}

impl Encode for Location {
    fn encode(&self, buf: &mut impl BufMut) {
        self.offset.encode(buf);
        self.size.encode(buf);
    }
}

impl Decode for Location {
    fn decode(buf: &mut impl Buf) -> Result<Self, CodecError> {
        let left = buf.remaining();
        if left < Self::SIZE {
            return Err(CodecError::TooShort { needed: Self::SIZE, left });
        }
        Ok(Self { offset: u64::decode(buf)?, size: u32::decode(buf)? })
    }
}

/// What an append has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Appended {
    /// The item's number in its section, from 0.
    pub position: u64,
    /// Where its frame is.
    pub location: Location,
}

impl Appended {
    /// Where the next frame begins: a place to scan from.
    pub fn next(self) -> Cursor {
        Cursor {
            offset: self.location.offset.saturating_add(self.location.size.into()),
            position: self.position.saturating_add(1),
        }
    }
}

/// A boundary between frames: the place, and the number of the next item there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    /// Offset of the boundary in the section's blob, in bytes.
    pub offset: u64,
    /// Number of the first item behind it.
    pub position: u64,
}

impl Cursor {
    /// Before everything.
    pub const START: Self = Self { offset: 0, position: 0 };
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "item {} at byte {}", self.position, self.offset)
    }
}
