//! Pages as they lie in the blob. What lies behind its end reads as zeros.
//!
//! A crash may leave a blob that ends inside of a page, whose data and one slot are whole all the same. Whoever passes it
//! over meets it again as soon as the blob grows: with a floor that proves pages which were given up meanwhile.

use std::sync::Arc;

use blob_runtime::{Blob, Error, read_at};
use bytes::{Bytes, BytesMut};

use crate::geometry::Geometry;

/// How much is written or read at a time.
pub(crate) const CHUNK_BYTES: usize = 1 << 20;

/// Pages the blob has, with the one it ends in.
pub(crate) fn physical_pages(blob: &Arc<dyn Blob>, geometry: Geometry) -> u64 {
    blob.len().div_ceil(geometry.page_bytes() as u64)
}

/// Reads `count` pages from `first` on.
pub(crate) async fn read_pages(
    blob: &Arc<dyn Blob>,
    geometry: Geometry,
    first: u64,
    count: usize,
) -> Result<Bytes, Error> {
    let (offset, wanted) = (geometry.blob_offset(first), count * geometry.page_bytes());
    let there = usize::try_from(blob.len().saturating_sub(offset)).map_or(wanted, |there| there.min(wanted));
    let bytes = read_at(blob.as_ref(), offset, there).await?;
    if there == wanted {
        return Ok(bytes);
    }
    let mut padded = BytesMut::with_capacity(wanted);
    padded.extend_from_slice(&bytes);
    padded.resize(wanted, 0);
    Ok(padded.freeze())
}
