//! One frame: a value with everything that says what it is and where it belongs.
//!
//! ```text
//!  0  4  magic "OVRF"
//!  4  2  flags: bit 0 zstd, bit 1 seal, bit 2 the batch goes on in the next frame
//!  6  2  tag size T
//!  8  4  stored size n            12  4  raw size (before compression)
//! 16  8  position: item number in the section
//! 24  8  floor: bytes of this blob known durable when the frame was appended
//! 32  4  payload CRC: plain CRC-32 of the n payload bytes, made before the place is known
//! 36  T  tag
//! 36+T   4  header CRC: bound, over the frame's offset u64 and bytes 0..36+T
//! 40+T   n  payload
//! ```
//!
//! All integers are big-endian. "Bound" means that the checksum starts from where the bytes belong: store, blob name and
//! salt ([`Binding`]). With the offset in it, a frame that was moved or copied never verifies.
//!
//! A **seal** is a frame without tag and payload. Its position is the number of the next item, its floor its own offset:
//! all before it is durable. It ends a batch.
//!
//! Bytes from a disk are a [`RawFrame`]; only [`verify`](RawFrame::verify) makes a [`Head`] of them, and no length is
//! believed before.

use std::fmt;

use blob_runtime::Binding;
use bytes::{Buf, BufMut};
use crc32fast::Hasher;

#[cfg(test)]
mod tests;

/// How every frame begins.
pub const MAGIC: [u8; 4] = *b"OVRF";

/// Bytes of a header before the tag.
pub const FIXED_BYTES: usize = 4 + 2 + 2 + 4 + 4 + 8 + 8 + 4;
const CRC_BYTES: usize = 4;
/// Bytes of a frame besides tag and payload.
pub const OVERHEAD_BYTES: usize = FIXED_BYTES + CRC_BYTES;
/// Bytes of a seal.
pub const SEAL_BYTES: usize = OVERHEAD_BYTES;
/// Bytes of a frame's offset, with which its checksum begins.
pub(crate) const OFFSET_BYTES: usize = 8;
const PLACED_BYTES: usize = OFFSET_BYTES + FIXED_BYTES;
const _: () = assert!(FIXED_BYTES == 36 && OVERHEAD_BYTES == 40);

/// The two flags of a value's frame, and the one of a seal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags(u16);

impl Flags {
    /// The payload is compressed with zstd.
    pub const ZSTD: Self = Self(1);
    /// The frame is a seal.
    pub const SEAL: Self = Self(1 << 1);
    /// The batch goes on in the next frame.
    pub const CONTINUES: Self = Self(1 << 2);

    const KNOWN: u16 = Self::ZSTD.0 | Self::SEAL.0 | Self::CONTINUES.0;

    /// Whether all of `other` are set.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Flags as they are in a frame.
    pub(crate) fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// These and, when `on`, `other`.
    #[must_use]
    pub fn with(self, other: Self, on: bool) -> Self {
        if on { Self(self.0 | other.0) } else { self }
    }
}

/// What a frame's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// What kind of frame it is.
    pub flags: Flags,
    /// Size of the tag in bytes.
    pub tag_bytes: u16,
    /// Size of the payload as stored, in bytes.
    pub stored_bytes: u32,
    /// Size of the payload before compression, in bytes.
    pub raw_bytes: u32,
    /// Number of the item in the section; of a seal: of the next item.
    pub position: u64,
    /// Bytes of the blob known durable when the frame was appended.
    pub floor: u64,
    /// Plain CRC-32 of the stored payload.
    pub payload_crc: u32,
}

impl FrameHeader {
    /// The header of a seal at `offset`, with the number of the next item.
    pub fn seal(offset: u64, position: u64) -> Self {
        Self {
            flags: Flags::SEAL,
            tag_bytes: 0,
            stored_bytes: 0,
            raw_bytes: 0,
            position,
            floor: offset,
            payload_crc: 0,
        }
    }

    /// Whether the frame is a seal.
    pub fn is_seal(&self) -> bool {
        self.flags.has(Flags::SEAL)
    }

    /// Bytes before the payload.
    pub fn head_bytes(&self) -> usize {
        OVERHEAD_BYTES + usize::from(self.tag_bytes)
    }

    /// Bytes of the whole frame.
    pub fn size(&self) -> u64 {
        self.head_bytes() as u64 + u64::from(self.stored_bytes)
    }

    /// The part before the tag.
    #[inline]
    pub fn encode(&self) -> [u8; FIXED_BYTES] {
        let mut bytes = [0; FIXED_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..6].copy_from_slice(&self.flags.0.to_be_bytes());
        bytes[6..8].copy_from_slice(&self.tag_bytes.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.stored_bytes.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.raw_bytes.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.position.to_be_bytes());
        bytes[24..32].copy_from_slice(&self.floor.to_be_bytes());
        bytes[32..].copy_from_slice(&self.payload_crc.to_be_bytes());
        bytes
    }

    /// All bytes of the frame before its payload, for a place with this tag.
    pub fn encode_head(&self, place: Place, tag: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(OFFSET_BYTES + OVERHEAD_BYTES + tag.len());
        self.encode_placed(place.binding.hasher(), place.offset, &mut bytes, |bytes| bytes.put_slice(tag));
        bytes.split_off(OFFSET_BYTES)
    }

    /// Fills an empty buffer with the frame's offset ([`OFFSET_BYTES`]) and then all bytes of the frame before its payload:
    /// so what the checksum is over lies in one piece. `crc` has taken in where the blob belongs. How many bytes `tag` has
    /// put is the answer.
    #[inline]
    pub(crate) fn encode_placed(
        &self,
        mut crc: Hasher,
        offset: u64,
        buf: &mut Vec<u8>,
        tag: impl FnOnce(&mut Vec<u8>),
    ) -> usize {
        buf.put_slice(&[0; PLACED_BYTES]);
        tag(buf);
        let tag_bytes = buf.len().saturating_sub(PLACED_BYTES);
        // Behind the tag: whatever that has done to the buffer, the fields are these.
        if let Some((first, fields)) = buf.get_mut(..PLACED_BYTES).and_then(|head| head.split_first_chunk_mut()) {
            *first = offset.to_be_bytes();
            fields.copy_from_slice(&self.encode());
        }
        crc.update(buf);
        buf.put_u32(crc.finalize());
        tag_bytes
    }
}

/// Where a frame stands: its checksum is bound to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Store, blob and salt.
    pub binding: Binding,
    /// Offset of the frame in the blob.
    pub offset: u64,
}

impl Place {
    /// The header's checksum, over all of the frame that lies before it: the fields and the tag.
    pub fn checksum(self, head: &[u8]) -> u32 {
        let mut crc = self.binding.hasher();
        crc.update(&self.offset.to_be_bytes());
        crc.update(head);
        crc.finalize()
    }
}

/// Why bytes are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameFault {
    /// The bytes end before the frame does.
    Short {
        /// Bytes the frame needs.
        needed: u64,
        /// Bytes there are.
        found: u64,
    },
    /// They do not begin with the magic.
    Magic,
    /// A field has a value that no frame of this blob has.
    Field {
        /// The field.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// The header's checksum does not match.
    Header {
        /// The checksum of the bytes.
        expected: u32,
        /// The checksum in the frame.
        found: u32,
    },
    /// The payload's checksum does not match.
    Payload {
        /// The checksum in the header.
        expected: u32,
        /// The checksum of the bytes.
        found: u32,
    },
    /// The frame verifies, and is not the one that belongs here.
    Position {
        /// The number of the item that belongs here.
        expected: u64,
        /// The number in the frame.
        found: u64,
    },
}

impl fmt::Display for FrameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { needed, found } => write!(f, "{found} bytes where the frame needs {needed}"),
            Self::Magic => f.write_str("bytes that do not begin a frame"),
            Self::Field { field, value } => write!(f, "a frame with {field} {value}"),
            Self::Header { expected, found } => {
                write!(f, "header checksum {found:08x} where the bytes make {expected:08x}")
            }
            Self::Payload { expected, found } => {
                write!(f, "payload that makes checksum {found:08x} where the header has {expected:08x}")
            }
            Self::Position { expected, found } => write!(f, "the frame of item {found} where {expected} belongs"),
        }
    }
}

/// Bytes that may begin a frame. Nothing of them is to be believed.
#[derive(Debug, Clone, Copy)]
pub struct RawFrame<'a>(pub &'a [u8]);

/// The start of a frame whose header checksum matches. Its payload is not verified yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'a> {
    /// What it says.
    pub header: FrameHeader,
    /// Its tag.
    pub tag: &'a [u8],
}

impl<'a> RawFrame<'a> {
    /// Bytes it takes to verify the header of any frame of a blob with this tag size.
    pub fn head_bytes(tag_bytes: u16) -> usize {
        OVERHEAD_BYTES + usize::from(tag_bytes)
    }

    /// Yields the header when it is that of a frame at `place`, in a blob whose values have tags of `tag_bytes`.
    ///
    /// # Errors
    /// [`FrameFault`]: what is wrong with the bytes.
    pub fn verify(self, place: Place, tag_bytes: u16) -> Result<Head<'a>, FrameFault> {
        let bytes = self.0;
        let magic = bytes.get(..MAGIC.len()).unwrap_or(bytes);
        if !MAGIC.starts_with(magic) {
            return Err(FrameFault::Magic);
        }
        let short = |needed: usize| FrameFault::Short { needed: needed as u64, found: bytes.len() as u64 };
        let (fixed, rest) = bytes.split_at_checked(FIXED_BYTES).ok_or_else(|| short(OVERHEAD_BYTES))?;
        let header = decode(fixed);
        // Compared with what this blob's frames have, so it is bounded before the checksum is known.
        let expected_tag = if header.is_seal() { 0 } else { tag_bytes };
        if header.tag_bytes != expected_tag {
            return Err(FrameFault::Field { field: "tag size", value: header.tag_bytes.into() });
        }
        let (tag, rest) =
            rest.split_at_checked(expected_tag.into()).ok_or_else(|| short(OVERHEAD_BYTES + usize::from(tag_bytes)))?;
        let mut crc = rest.get(..CRC_BYTES).ok_or_else(|| short(OVERHEAD_BYTES + usize::from(expected_tag)))?;
        let head = bytes.get(..FIXED_BYTES + tag.len()).unwrap_or_default();
        let (expected, found) = (place.checksum(head), crc.get_u32());
        if expected != found {
            return Err(FrameFault::Header { expected, found });
        }
        check_fields(&header, place.offset)?;
        Ok(Head { header, tag })
    }
}

/// The fields as they are; there are [`FIXED_BYTES`].
fn decode(fixed: &[u8]) -> FrameHeader {
    let mut rest = fixed.get(MAGIC.len()..).unwrap_or_default();
    FrameHeader {
        flags: Flags(rest.get_u16()),
        tag_bytes: rest.get_u16(),
        stored_bytes: rest.get_u32(),
        raw_bytes: rest.get_u32(),
        position: rest.get_u64(),
        floor: rest.get_u64(),
        payload_crc: rest.get_u32(),
    }
}

/// What no frame of this format says, though its checksum matches: one of a later version, or made to harm.
fn check_fields(header: &FrameHeader, offset: u64) -> Result<(), FrameFault> {
    let fault = |field, value: u64| Err(FrameFault::Field { field, value });
    let flags = header.flags;
    if flags.0 & !Flags::KNOWN != 0 || (header.is_seal() && flags != Flags::SEAL) {
        return fault("flags", flags.0.into());
    }
    if header.floor > offset || (header.is_seal() && header.floor != offset) {
        return fault("floor", header.floor);
    }
    if header.is_seal() && header.stored_bytes != 0 || header.size() > u64::from(u32::MAX) {
        return fault("stored size", header.stored_bytes.into());
    }
    let raw_fits = if flags.has(Flags::ZSTD) {
        header.raw_bytes > header.stored_bytes
    } else {
        header.raw_bytes == header.stored_bytes
    };
    if !raw_fits {
        return fault("raw size", header.raw_bytes.into());
    }
    if header.stored_bytes == 0 && header.payload_crc != 0 {
        return fault("payload checksum", header.payload_crc.into());
    }
    Ok(())
}

impl Head<'_> {
    /// Checks a whole stored payload against the header.
    ///
    /// # Errors
    /// [`FrameFault::Payload`], [`FrameFault::Short`].
    pub fn check_payload(&self, payload: &[u8]) -> Result<(), FrameFault> {
        check_payload(&self.header, payload)
    }
}

/// Checks a whole stored payload against a header that verified.
///
/// # Errors
/// [`FrameFault::Payload`], [`FrameFault::Short`].
pub fn check_payload(header: &FrameHeader, payload: &[u8]) -> Result<(), FrameFault> {
    if payload.len() as u64 != u64::from(header.stored_bytes) {
        return Err(FrameFault::Short { needed: header.stored_bytes.into(), found: payload.len() as u64 });
    }
    let (expected, found) = (header.payload_crc, crc32fast::hash(payload));
    if expected != found {
        return Err(FrameFault::Payload { expected, found });
    }
    Ok(())
}
