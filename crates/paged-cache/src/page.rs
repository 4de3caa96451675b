//! One page: data, and two slots that say how much of it counts.
//!
//! ```text
//! | data (page - 24) | slot A: len u16, generation u16, floor u32, crc u32 | slot B: the same |
//! ```
//!
//! - A slot is valid when `0 < len <= page - 24` and its CRC matches: bound, over page number u64, data[0..len], len,
//!   generation, floor.
//! - Of two valid slots the newer generation wins, by serial-number comparison (RFC 1982), so a page can shrink as well
//!   as grow.
//! - The floor is the number of whole pages known durable when the slot was written; it saturates.
//!
//! All integers are big-endian.

use blob_runtime::Binding;
use bytes::{Buf, BufMut};

use crate::geometry::{Geometry, SLOT_BYTES, SLOTS_BYTES};

#[cfg(test)]
mod tests;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    A,
    B,
}

impl Which {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// What a slot says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) len: u16,
    pub(crate) generation: u16,
    /// Whole pages known durable.
    pub(crate) floor: u32,
}

/// A slot that verified, or that is being written, with its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) which: Which,
    pub(crate) slot: Slot,
    bytes: [u8; SLOT_BYTES],
}

/// Both slots as bytes, for the end of a page.
pub(crate) type Slots = [u8; SLOTS_BYTES];

/// Whether generation `a` is newer than `b` (RFC 1982; half the range apart counts as older).
fn newer(a: u16, b: u16) -> bool {
    a != b && a.wrapping_sub(b) < 1 << 15
}

fn checksum<'a>(binding: Binding, page: u64, data: impl IntoIterator<Item = &'a [u8]>, slot: Slot) -> u32 {
    let mut crc = binding.hasher();
    crc.update(&page.to_be_bytes());
    data.into_iter().for_each(|part| crc.update(part));
    crc.update(&slot.len.to_be_bytes());
    crc.update(&slot.generation.to_be_bytes());
    crc.update(&slot.floor.to_be_bytes());
    crc.finalize()
}

impl Mark {
    /// The slot for a page whose counted data is `data`, in parts. It never takes the place of `durable`, the slot of
    /// this page that the last good sync covered; its generation is the one after, however often the attempt is made.
    pub(crate) fn next<'a>(
        binding: Binding,
        page: u64,
        data: impl IntoIterator<Item = &'a [u8]> + Clone,
        floor: u64,
        durable: Option<&Self>,
    ) -> Self {
        let len = data.clone().into_iter().map(<[u8]>::len).sum::<usize>();
        let (which, generation) =
            durable.map_or((Which::A, 1), |mark| (mark.which.other(), mark.slot.generation.wrapping_add(1)));
        let slot = Slot {
            len: u16::try_from(len).unwrap_or(u16::MAX),
            generation,
            floor: u32::try_from(floor).unwrap_or(u32::MAX),
        };
        let mut bytes = [0; SLOT_BYTES];
        let mut out = &mut bytes[..];
        out.put_u16(slot.len);
        out.put_u16(slot.generation);
        out.put_u32(slot.floor);
        out.put_u32(checksum(binding, page, data, slot));
        Self { which, slot, bytes }
    }

    /// Both slots of the page: this one, and `durable` where it was.
    pub(crate) fn slots(&self, durable: Option<&Self>) -> Slots {
        let mut slots = [0; SLOTS_BYTES];
        let (a, b) = slots.split_at_mut(SLOT_BYTES);
        for mark in durable.into_iter().chain([self]) {
            match mark.which {
                Which::A => a.copy_from_slice(&mark.bytes),
                Which::B => b.copy_from_slice(&mark.bytes),
            }
        }
        slots
    }

    /// Bytes of the page that count.
    pub(crate) fn len(&self) -> usize {
        usize::from(self.slot.len)
    }
}

/// The slot of a physical page that counts: the newer of those that verify. `None` when none does, also when `page` is
/// not whole.
pub(crate) fn verify(geometry: Geometry, binding: Binding, number: u64, page: &[u8]) -> Option<Mark> {
    marks(geometry, binding, number, page).0
}

/// The slots of a physical page that verify: the one that counts, and the older one.
pub(crate) fn marks(geometry: Geometry, binding: Binding, number: u64, page: &[u8]) -> (Option<Mark>, Option<Mark>) {
    let (data, slots) = page.split_at_checked(geometry.data_bytes()).unwrap_or_default();
    if slots.len() != SLOTS_BYTES {
        return (None, None);
    }
    let (a, b) = slots.split_at_checked(SLOT_BYTES).unwrap_or_default();
    let check = |which, bytes: &[u8]| {
        let bytes: [u8; SLOT_BYTES] = bytes.try_into().ok()?;
        let mut rest = &bytes[..];
        let slot = Slot { len: rest.get_u16(), generation: rest.get_u16(), floor: rest.get_u32() };
        let counted = data.get(..usize::from(slot.len)).filter(|counted| !counted.is_empty())?;
        (checksum(binding, number, [counted], slot) == rest.get_u32()).then_some(Mark { which, slot, bytes })
    };
    match (check(Which::A, a), check(Which::B, b)) {
        (Some(a), Some(b)) if newer(b.slot.generation, a.slot.generation) => (Some(b), Some(a)),
        (None, b) => (b, None),
        (a, b) => (a, b),
    }
}
