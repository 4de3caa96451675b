//! Reading a file from front to back.

use std::fs::File;
use std::os::unix::fs::FileExt;

use workloads::Result;

#[cfg(test)]
mod tests;

/// Bytes read at once, at least.
const CHUNK_BYTES: usize = 256 << 10;

/// A file's bytes in order, in large reads.
pub(crate) struct Reader<'a> {
    file: &'a File,
    /// Where in the file the buffer ends.
    offset: u64,
    buffer: Vec<u8>,
    /// How much of the buffer was handed out.
    taken: usize,
    /// How much of the buffer was read.
    filled: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(file: &'a File) -> Self {
        Self { file, offset: 0, buffer: vec![0; CHUNK_BYTES], taken: 0, filled: 0 }
    }

    /// The next bytes; `None` when fewer are left.
    pub(crate) fn take(&mut self, len: usize) -> Result<Option<&[u8]>> {
        if self.filled - self.taken < len {
            self.fill(len)?;
        }
        let bytes = self.buffer.get(self.taken..self.filled).and_then(|rest| rest.get(..len));
        self.taken += bytes.map_or(0, <[u8]>::len);
        Ok(bytes)
    }

    /// Moves what is left to the front and reads on behind it until `len` bytes are there or the file ends.
    fn fill(&mut self, len: usize) -> Result<()> {
        self.buffer.copy_within(self.taken..self.filled, 0);
        self.filled -= self.taken;
        self.taken = 0;
        if self.buffer.len() < len {
            self.buffer.resize(len.next_multiple_of(CHUNK_BYTES), 0);
        }
        while self.filled < len {
            let free = self.buffer.get_mut(self.filled..).unwrap_or_default();
            let count = self.file.read_at(free, self.offset)?;
            if count == 0 {
                break;
            }
            self.offset += count as u64;
            self.filled += count;
        }
        Ok(())
    }
}

/// The integer in the first eight bytes from `at` on; little-endian.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let field = bytes.get(at..).and_then(<[u8]>::first_chunk);
    field.copied().map_or(0, u64::from_le_bytes)
}

/// The integer in the first four bytes from `at` on; little-endian.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let field = bytes.get(at..).and_then(<[u8]>::first_chunk);
    field.copied().map_or(0, u32::from_le_bytes)
}
