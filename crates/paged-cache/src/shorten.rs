//! Cutting a stream off in its blob, step by step, each durable before the next.
//!
//! ```text
//!  0. the last page that stays, if it is full, is told that all before it is durable: what proved it goes
//!  1. floors of what goes are lowered   sync     a page that survives proves none that a later step has destroyed;
//!     in one slot, then in the other    sync     by whichever of its slots it survives
//!  2. zeros over the pages that go      sync     a block that comes back holds no page that could verify (I4)
//!  3. the blob is truncated             sync
//!  4. the last page's slot is shortened sync     beside the durable one, so a torn write leaves the old length;
//!     then the other one as well        sync     so that nothing is left that says the old length
//! ```
//!
//! After a crash between any two, and with any part of a step, what verifies is the stream up to somewhere from the new
//! end to the old one.

use std::sync::Arc;

use blob_runtime::{Binding, Blob, Error};
use bytes::Bytes;

use crate::flush::Last;
use crate::geometry::Geometry;
use crate::page::{self, Mark};
use crate::physical::{CHUNK_BYTES, physical_pages, read_pages};

#[cfg(test)]
mod tests;

/// Cuts the stream to its first `keep` bytes, all of which are durable. `known` is the page that is the last one then,
/// when the caller has it; a write that failed may have left another slot beside its durable one.
///
/// Answers what the last page is afterwards.
pub(crate) async fn shorten(
    blob: &Arc<dyn Blob>,
    geometry: Geometry,
    binding: Binding,
    keep: u64,
    known: Option<Last>,
) -> Result<Last, Error> {
    let place = geometry.place(keep);
    if place.offset == 0 {
        prove(blob, geometry, binding, keep, place.page).await?;
    }
    lower_floors(blob, geometry, binding, keep).await?;
    drop_tail(blob, geometry.blob_len(keep)).await?;
    if place.offset == 0 {
        return Ok(Last::default());
    }
    let last = match known {
        Some(last) => last,
        None => {
            // The slot that is read, and kept beside the new one, may be only written: the other one is durable then, and
            // is where the new one goes.
            blob.sync().await?;
            read_page(blob, geometry, binding, place.page).await?
        }
    };
    let Some(data) = last.data.get(..place.offset) else {
        return Err(damaged(blob, geometry, place.page, ENDS_EARLY));
    };
    // Everything before this page is durable.
    let mark = Mark::next(binding, place.page, [data], place.page, last.mark.as_ref());
    let shorter = Last { data: data.to_vec(), mark: Some(mark) };
    write_slots(blob, geometry, place.page, &shorter, last.mark.as_ref()).await?;
    // The slot beside it still says the old length, and the bytes are there: it must not be the one that is left when a later
    // cut of this page is torn, or when the new slot rots.
    let again = Mark::next(binding, place.page, [data], place.page, Some(&mark));
    let twice = Last { data: shorter.data, mark: Some(again) };
    write_slots(blob, geometry, place.page, &twice, Some(&mark)).await?;
    Ok(twice)
}

/// Sees to it that the last page of a stream of `len` durable bytes proves the first `floor` pages, as far as they come
/// before it, durably: what is behind it and proved them is about to go, and with it rot in them would pass for a torn tail.
/// A page that does not verify, or not for all that should be there, is left alone.
///
/// Answers what the last page is afterwards, when that was needed.
pub(crate) async fn prove(
    blob: &Arc<dyn Blob>,
    geometry: Geometry,
    binding: Binding,
    len: u64,
    floor: u64,
) -> Result<Option<Last>, Error> {
    let Some(number) = geometry.pages(len).checked_sub(1) else { return Ok(None) };
    let floor = floor.min(number);
    let bytes = read_pages(blob, geometry, number, 1).await?;
    let Some(mark) = page::verify(geometry, binding, number, &bytes) else { return Ok(None) };
    let whole = geometry.page_start(number) + mark.len() as u64 == len;
    if !whole || u64::from(mark.slot.floor) >= floor {
        return Ok(None);
    }
    let data = bytes.get(..mark.len()).unwrap_or_default();
    let last = Last { data: data.to_vec(), mark: Some(Mark::next(binding, number, [data], floor, Some(&mark))) };
    write_slots(blob, geometry, number, &last, Some(&mark)).await?;
    Ok(Some(last))
}

/// Writes the slots of a page, durably: that of `last`, and beside it the one that is durable.
pub(crate) async fn write_slots(
    blob: &Arc<dyn Blob>,
    geometry: Geometry,
    number: u64,
    last: &Last,
    durable: Option<&Mark>,
) -> Result<(), Error> {
    let Some(mark) = &last.mark else { return Ok(()) };
    let slots = Bytes::copy_from_slice(&mark.slots(durable));
    blob.write_at_sync(geometry.blob_offset(number) + geometry.data_bytes() as u64, vec![slots]).await
}

/// Rewrites the slots of the pages behind `keep` so that none of them proves more than what is kept, durably. Their data
/// stays as it is, and so does the slot that counted before, so any part of this may survive. Of the zeros that come next
/// any part may survive too, and leave a page with either slot: so the one that counted before is then lowered as well.
async fn lower_floors(blob: &Arc<dyn Blob>, geometry: Geometry, binding: Binding, keep: u64) -> Result<(), Error> {
    for _both in 0..2 {
        if !lower_one_slot(blob, geometry, binding, keep).await? {
            return Ok(());
        }
        blob.sync().await?;
    }
    Ok(())
}

/// One round of it, not synced: of each page with a slot that proves too much one slot is written, the one that does not
/// count. Whether there was any.
async fn lower_one_slot(blob: &Arc<dyn Blob>, geometry: Geometry, binding: Binding, keep: u64) -> Result<bool, Error> {
    let floor = geometry.full_pages(keep);
    let page_bytes = geometry.page_bytes();
    let (mut first, end) = (geometry.pages(keep), physical_pages(blob, geometry));
    let mut lowered = false;
    while first < end {
        let count = (end - first).min((CHUNK_BYTES / page_bytes).max(1) as u64);
        let chunk = read_pages(blob, geometry, first, usize::try_from(count).unwrap_or(0)).await?;
        let mut pages: Vec<u8> = chunk.into();
        let mut changed = false;
        for (number, page) in (first..).zip(pages.chunks_exact_mut(page_bytes)) {
            let (Some(mark), older) = page::marks(geometry, binding, number, page) else { continue };
            let too_high = |mark: &Mark| u64::from(mark.slot.floor) > floor;
            if !too_high(&mark) && !older.is_some_and(|older| too_high(&older)) {
                continue;
            }
            let data = page.get(..mark.len()).unwrap_or_default();
            let lower = Mark::next(binding, number, [data], floor, Some(&mark));
            if let Some(slots) = page.get_mut(geometry.data_bytes()..) {
                slots.copy_from_slice(&lower.slots(Some(&mark)));
                changed = true;
            }
        }
        if changed {
            blob.write_at(geometry.blob_offset(first), vec![pages.into()]).await?;
            lowered = true;
        }
        first += count;
    }
    Ok(lowered)
}

/// Zeros over everything from `keep` on, durably; then the blob is truncated there, durably.
pub(crate) async fn drop_tail(blob: &Arc<dyn Blob>, keep: u64) -> Result<(), Error> {
    let len = blob.len();
    if len <= keep {
        return Ok(());
    }
    let zeros = Bytes::from(vec![0; usize::try_from(len - keep).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES)]);
    let mut at = keep;
    while at < len {
        let take = usize::try_from(len - at).unwrap_or(zeros.len()).min(zeros.len());
        blob.write_at(at, vec![zeros.slice(..take)]).await?;
        at += take as u64;
    }
    blob.sync().await?;
    blob.resize(keep).await?;
    blob.sync().await?;
    Ok(())
}

/// A page of the stream, verified.
pub(crate) async fn read_page(
    blob: &Arc<dyn Blob>,
    geometry: Geometry,
    binding: Binding,
    number: u64,
) -> Result<Last, Error> {
    let bytes = read_pages(blob, geometry, number, 1).await?;
    let mark = page::verify(geometry, binding, number, &bytes)
        .ok_or_else(|| damaged(blob, geometry, number, "no slot that matches"))?;
    Ok(Last { data: bytes.get(..mark.len()).unwrap_or_default().to_vec(), mark: Some(mark) })
}

/// What is found of a page that ends before the stream does.
pub(crate) const ENDS_EARLY: &str = "one that ends before the stream does";

pub(crate) fn damaged(blob: &Arc<dyn Blob>, geometry: Geometry, page: u64, found: &'static str) -> Error {
    let (blob, offset) = (blob.id().clone(), geometry.blob_offset(page));
    Error::Corrupt { blob, offset, expected: format!("page {page}, with a checksum that matches"), found: found.into() }
}
