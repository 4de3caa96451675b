//! Where a byte of the stream lies: in which page, at which offset of the blob.

use crate::error::Error;

#[cfg(test)]
mod tests;

/// The smallest physical page in bytes.
pub const MIN_PAGE_BYTES: u32 = 64;
/// The largest physical page in bytes.
pub const MAX_PAGE_BYTES: u32 = 65_536;
/// The page size of new blobs, unless configured: the block of most file systems.
pub const DEFAULT_PAGE_BYTES: u32 = 4096;

/// Bytes of a slot.
pub(crate) const SLOT_BYTES: usize = 2 + 2 + 4 + 4;
/// Bytes both slots take at the end of a page.
pub(crate) const SLOTS_BYTES: usize = 2 * SLOT_BYTES;
// The longest data still has a length that fits a slot's u16.
const _: () = assert!(SLOTS_BYTES == 24 && MAX_PAGE_BYTES as usize - SLOTS_BYTES <= u16::MAX as usize);

/// The shape of a blob's pages. Cheap to copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    page_bytes: u32,
}

/// A place in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Page number.
    pub page: u64,
    /// Offset in the page's data, in bytes.
    pub offset: usize,
}

impl Geometry {
    /// The shape with physical pages of `page_bytes`.
    ///
    /// # Errors
    /// [`Error::InvalidPageSize`] when that is not a power of two from [`MIN_PAGE_BYTES`] to [`MAX_PAGE_BYTES`].
    pub fn new(page_bytes: u32) -> Result<Self, Error> {
        if !page_bytes.is_power_of_two() || !(MIN_PAGE_BYTES..=MAX_PAGE_BYTES).contains(&page_bytes) {
            return Err(Error::InvalidPageSize { page_bytes });
        }
        Ok(Self { page_bytes })
    }

    /// Bytes of a page in the blob.
    pub fn page_bytes(self) -> usize {
        self.page_bytes as usize
    }

    /// Bytes of the stream a page holds.
    pub fn data_bytes(self) -> usize {
        self.page_bytes() - SLOTS_BYTES
    }

    /// Where the byte at logical offset `at` lies.
    pub fn place(self, at: u64) -> Place {
        let data = self.data_bytes() as u64;
        // The remainder is below the page size.
        Place { page: at / data, offset: usize::try_from(at % data).unwrap_or(0) }
    }

    /// Logical offset of a page's first byte, saturating.
    pub fn page_start(self, page: u64) -> u64 {
        page.saturating_mul(self.data_bytes() as u64)
    }

    /// Offset in the blob of a page's first byte, saturating.
    pub fn blob_offset(self, page: u64) -> u64 {
        page.saturating_mul(self.page_bytes() as u64)
    }

    /// Pages that hold `len` bytes of the stream, the last one perhaps not full.
    pub fn pages(self, len: u64) -> u64 {
        len.div_ceil(self.data_bytes() as u64)
    }

    /// Pages that are full when the stream has `len` bytes.
    pub fn full_pages(self, len: u64) -> u64 {
        len / self.data_bytes() as u64
    }

    /// Length of a blob that holds `len` bytes of the stream.
    pub fn blob_len(self, len: u64) -> u64 {
        self.blob_offset(self.pages(len))
    }
}
