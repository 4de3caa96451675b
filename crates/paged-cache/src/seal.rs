//! The end of a stream that is closed in order, said twice.
//!
//! ```text
//!  last page   | data, to the end of the stream | slot: this length | the other slot: this length too |
//! ```
//!
//! A stream at work keeps in the slot that does not count what was durable before: if the one that counts rots, the older
//! one does, and the stream is shorter, unseen. So whoever closes it writes the other slot too, when the first is durable:
//! either proves the same length, and one alone is damage. A page inside the stream does not look so, since it was written
//! once, or grew: a file that is cut behind one is damage too. The format does not change by it.

use std::sync::Arc;

use blob_runtime::{Binding, Blob, Error};

use crate::flush::Last;
use crate::geometry::Geometry;
use crate::page::{self, Mark};
use crate::physical::read_pages;
use crate::shorten::write_slots;

#[cfg(test)]
mod tests;

/// Whether both slots of a page say the same length.
pub(crate) fn is_said_twice(geometry: Geometry, binding: Binding, number: u64, page: &[u8]) -> bool {
    match page::marks(geometry, binding, number, page) {
        (Some(mark), Some(other)) => mark.len() == other.len(),
        _ => false,
    }
}

/// Whether the slot of a page that does not count says more than the one that does: what a cut that was cut short leaves.
/// Torn or rotten, the one that counts would leave the stream longer than it was shown.
pub(crate) fn says_more(geometry: Geometry, binding: Binding, number: u64, page: &[u8]) -> bool {
    match page::marks(geometry, binding, number, page) {
        (Some(mark), Some(other)) => other.len() > mark.len(),
        _ => false,
    }
}

/// Writes the other slot of the last page of a stream of `len` bytes, all durable; durably. Nothing when it says the same
/// already, when there is no page, and when the page does not end where the stream does: that is damage, not made good.
pub(crate) async fn say_twice(
    blob: &Arc<dyn Blob>,
    geometry: Geometry,
    binding: Binding,
    len: u64,
) -> Result<(), Error> {
    let Some(number) = geometry.pages(len).checked_sub(1) else { return Ok(()) };
    let bytes = read_pages(blob, geometry, number, 1).await?;
    if is_said_twice(geometry, binding, number, &bytes) {
        return Ok(());
    }
    let Some(mark) = page::verify(geometry, binding, number, &bytes) else { return Ok(()) };
    if geometry.page_start(number) + mark.len() as u64 != len {
        return Ok(());
    }
    let data = bytes.get(..mark.len()).unwrap_or_default();
    // All pages before it are durable, and so is the slot that counts.
    let other = Mark::next(binding, number, [data], number, Some(&mark));
    write_slots(blob, geometry, number, &Last { data: data.to_vec(), mark: Some(other) }, Some(&mark)).await
}
