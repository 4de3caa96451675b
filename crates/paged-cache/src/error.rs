//! What can go wrong with pages.

use blob_runtime::BlobId;

use crate::geometry::{MAX_PAGE_BYTES, MIN_PAGE_BYTES};

/// An error of this crate. Cheap to clone.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A page size that is not a power of two within the limits. Nothing was touched.
    #[error("page size {page_bytes} is not a power of two from {MIN_PAGE_BYTES} to {MAX_PAGE_BYTES}")]
    InvalidPageSize {
        /// The size in bytes.
        page_bytes: u32,
    },

    /// A page below the end of the stream does not verify. Other pages are not affected.
    #[error(
        "page {page} of blob {blob}, at byte {offset}, does not verify ({found}); restore it from a copy, or rebuild it"
    )]
    ChecksumMismatch {
        /// The blob.
        blob: BlobId,
        /// The page's number.
        page: u64,
        /// Offset of the page in the blob, in bytes.
        offset: u64,
        /// What is there.
        found: &'static str,
    },

    /// A read past the end of the stream.
    #[error(
        "read of {len} bytes at {offset} is past the end of the stream in blob {blob}, which has {stream_len} bytes"
    )]
    OutOfBounds {
        /// The blob.
        blob: BlobId,
        /// Logical offset of the read in bytes.
        offset: u64,
        /// Length of the read in bytes.
        len: u64,
        /// Length of the stream in bytes.
        stream_len: u64,
    },

    /// The stream was cut while this replay ran; what it had yielded was right when it was yielded.
    #[error("the stream in blob {blob} was cut while it was replayed")]
    Cut {
        /// The blob.
        blob: BlobId,
    },

    /// The storage beneath.
    #[error(transparent)]
    Storage(#[from] blob_runtime::Error),
}

impl Error {
    /// Whether nothing is known any more about bytes that were written; see [`blob_runtime::Error::is_sync_failure`].
    pub fn is_sync_failure(&self) -> bool {
        matches!(self, Self::Storage(error) if error.is_sync_failure())
    }
}
