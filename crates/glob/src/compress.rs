//! Values to payloads and back: encoded, compressed where that makes them smaller, with a checksum; all of it outside
//! every lock.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use blob_runtime::codec::Value;
use bytes::Bytes;
use crc32fast::Hasher;
use zstd::bulk::{Compressor, Decompressor};

use crate::error::Error;
use crate::frame::{Flags, FrameHeader};

#[cfg(test)]
mod tests;

/// Whether and how payloads are compressed. A store opens with any setting: each frame says for itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// As they are.
    #[default]
    None,
    /// With zstd at this level, where it makes the payload smaller.
    Zstd {
        /// The level, as in [`zstd::compression_level_range`]; 0 is zstd's default.
        level: i32,
    },
}

impl Compression {
    /// Whether it can be.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn check(self) -> Result<(), String> {
        let levels = zstd::compression_level_range();
        match self {
            Self::Zstd { level } if !levels.contains(&level) => Err(format!("level {level} is not in {levels:?}")),
            _ => Ok(()),
        }
    }
}

/// Contexts and buffers kept for the next value, each kind at most.
const MAX_KEPT: usize = 16;
/// A buffer that has grown larger is not kept, in bytes.
const MAX_KEPT_BUFFER_BYTES: usize = 1 << 20;

/// Turns values into payloads and back. Contexts and buffers are used again.
pub struct Packer {
    compression: Compression,
    max_value_bytes: u32,
    /// Made once: each that is made asks what the processor can.
    crc: Hasher,
    compressors: Mutex<Vec<Compressor<'static>>>,
    decompressors: Mutex<Vec<Decompressor<'static>>>,
    buffers: Mutex<Vec<Vec<u8>>>,
}

/// A value ready to be appended: its payload, and what the frame's header says about it.
#[derive(Debug)]
pub struct Packed<'a> {
    payload: Payload<'a>,
    raw_bytes: u32,
    stored_bytes: u32,
    zstd: bool,
    crc: u32,
}

enum Payload<'a> {
    Borrowed(&'a [u8]),
    Shared(Bytes),
    /// Goes back to its packer.
    Pooled(Vec<u8>, &'a Packer),
}

impl Packer {
    /// A packer that takes and gives values of at most `max_value_bytes`.
    pub fn new(compression: Compression, max_value_bytes: u32) -> Self {
        Self {
            compression,
            max_value_bytes,
            crc: Hasher::new(),
            compressors: Mutex::default(),
            decompressors: Mutex::default(),
            buffers: Mutex::default(),
        }
    }

    /// The limit of a value in bytes.
    pub fn max_value_bytes(&self) -> u32 {
        self.max_value_bytes
    }

    /// Packs bytes.
    ///
    /// # Errors
    /// [`Error::ValueTooLarge`], [`Error::Encode`].
    #[inline]
    pub fn pack<'a>(&'a self, bytes: &'a [u8]) -> Result<Packed<'a>, Error> {
        self.finish(Payload::Borrowed(bytes))
    }

    /// Packs a value that outlives what is made of it: one that has its encoding at hand is only looked at.
    ///
    /// # Errors
    /// As [`pack_value`](Self::pack_value).
    #[inline]
    pub fn pack_borrowed<'a, V: Value>(&'a self, value: &'a V) -> Result<Packed<'a>, Error> {
        match value.as_slice() {
            Some(bytes) => self.pack(bytes),
            None => self.pack_value(value),
        }
    }

    /// Encodes a value and packs it. One that has its encoding at hand and can share it is not copied.
    ///
    /// # Errors
    /// [`Error::ValueTooLarge`]; [`Error::Encode`] when the encoding is not as long as the value says.
    pub fn pack_value<'a, V: Value>(&'a self, value: &V) -> Result<Packed<'a>, Error> {
        if let Some(bytes) = value.as_bytes() {
            return self.finish(Payload::Shared(bytes));
        }
        let len = value.encoded_len();
        self.check_len(len as u64)?;
        let mut buffer = take(&self.buffers).unwrap_or_default();
        buffer.reserve(len);
        value.encode(&mut buffer);
        let payload = Payload::Pooled(buffer, self);
        let found = payload.as_slice().len();
        if found != len {
            return Err(Error::Encode { reason: format!("it says {len} bytes and encodes to {found}") });
        }
        self.finish(payload)
    }

    #[inline]
    fn finish<'a>(&'a self, payload: Payload<'a>) -> Result<Packed<'a>, Error> {
        let raw = payload.as_slice();
        let raw_bytes = self.check_len(raw.len() as u64)?;
        if let Compression::Zstd { level } = self.compression
            && raw_bytes > 0
            && let Some(smaller) = self.compress(raw, level)?
        {
            // Never longer than raw, which was checked.
            let stored_bytes = u32::try_from(smaller.len()).unwrap_or(u32::MAX);
            let crc = self.checksum(&smaller);
            return Ok(Packed { payload: Payload::Pooled(smaller, self), raw_bytes, stored_bytes, zstd: true, crc });
        }
        let crc = self.checksum(raw);
        Ok(Packed { payload, raw_bytes, stored_bytes: raw_bytes, zstd: false, crc })
    }

    fn checksum(&self, payload: &[u8]) -> u32 {
        let mut crc = self.crc.clone();
        crc.update(payload);
        crc.finalize()
    }

    #[inline]
    fn check_len(&self, len: u64) -> Result<u32, Error> {
        let max = self.max_value_bytes;
        match u32::try_from(len) {
            Ok(len) if len <= max => Ok(len),
            _ => Err(Error::ValueTooLarge { len, max: max.into() }),
        }
    }

    /// The compressed bytes when they are fewer.
    fn compress(&self, raw: &[u8], level: i32) -> Result<Option<Vec<u8>>, Error> {
        let failed = |error: std::io::Error| Error::Encode { reason: error.to_string() };
        let mut context = match take(&self.compressors) {
            Some(context) => context,
            None => Compressor::new(level).map_err(failed)?,
        };
        let mut buffer = take(&self.buffers).unwrap_or_default();
        buffer.reserve(zstd::zstd_safe::compress_bound(raw.len()));
        let result = context.compress_to_buffer(raw, &mut buffer).map_err(failed);
        give(&self.compressors, context);
        if result? < raw.len() {
            return Ok(Some(buffer));
        }
        self.give_buffer(buffer);
        Ok(None)
    }

    /// The value's encoding from a stored payload whose checksum was verified.
    ///
    /// # Errors
    /// [`Error::ValueTooLarge`], before anything is allocated; `Err(None)` when the payload does not decompress to
    /// exactly the size the header says.
    pub(crate) fn unpack(&self, header: &FrameHeader, payload: Bytes) -> Result<Bytes, Option<Error>> {
        if header.raw_bytes > self.max_value_bytes {
            let (len, max) = (header.raw_bytes.into(), self.max_value_bytes.into());
            return Err(Some(Error::ValueTooLarge { len, max }));
        }
        if !header.flags.has(Flags::ZSTD) {
            return Ok(payload);
        }
        let raw_bytes = usize::try_from(header.raw_bytes).map_err(|_| None)?;
        let mut context = take(&self.decompressors).unwrap_or_default();
        let mut raw = vec![0; raw_bytes];
        let result = context.decompress_to_buffer(&payload, &mut raw[..]);
        give(&self.decompressors, context);
        match result {
            Ok(len) if len == raw_bytes => Ok(raw.into()),
            _ => Err(None),
        }
    }

    fn give_buffer(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= MAX_KEPT_BUFFER_BYTES {
            buffer.clear();
            give(&self.buffers, buffer);
        }
    }
}

impl Packed<'_> {
    /// The payload as it is stored.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        self.payload.as_slice()
    }

    /// Size of the payload as it is stored, in bytes.
    #[inline]
    pub fn stored_bytes(&self) -> u32 {
        self.stored_bytes
    }

    /// The header of its frame at this place.
    #[inline]
    pub(crate) fn header(&self, tag_bytes: u16, position: u64, floor: u64, continues: bool) -> FrameHeader {
        FrameHeader {
            flags: Flags::default().with(Flags::ZSTD, self.zstd).with(Flags::CONTINUES, continues),
            tag_bytes,
            stored_bytes: self.stored_bytes,
            raw_bytes: self.raw_bytes,
            position,
            floor,
            payload_crc: self.crc,
        }
    }
}

impl Payload<'_> {
    #[inline]
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Shared(bytes) => bytes,
            Self::Pooled(bytes, _) => bytes,
        }
    }
}

impl Drop for Payload<'_> {
    fn drop(&mut self) {
        if let Self::Pooled(bytes, packer) = self {
            packer.give_buffer(std::mem::take(bytes));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take<T>(kept: &Mutex<Vec<T>>) -> Option<T> {
    lock(kept).pop()
}

fn give<T>(kept: &Mutex<Vec<T>>, one: T) {
    let mut kept = lock(kept);
    if kept.len() < MAX_KEPT {
        kept.push(one);
    }
}

impl fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.as_slice().len())
    }
}

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packer")
            .field("compression", &self.compression)
            .field("max_value_bytes", &self.max_value_bytes)
            .finish_non_exhaustive()
    }
}
