//! One slot of a manifest: 4096 bytes, one block of the medium, with a checksum of its own.
//!
//! ```text
//!    0  8  store id               32  8  intent: section
//!    8  8  generation             40  8  intent: items
//!   16  8  pruned_to              48  8  intent: values offset in bytes
//!   24  2  condition: 1 clean,    56  2,048  the user's own bytes, zero behind their length
//!          2 dirty              2104  1,988  zero
//!   26  2  intent: 0 none,      4092  4  CRC-32, bound, over the slot's number u64 and bytes 0..4092
//!          1 rewind one section,
//!          2 rewind, 3 destroy
//!   28  4  length of the user's own bytes
//! ```
//!
//! All integers are big-endian. The checksum covers every byte before it, so a flipped bit anywhere is seen.

use bytes::{Buf, BufMut, Bytes};

use crate::header::Binding;
use crate::name::StoreId;

#[cfg(test)]
#[cfg(not(shuttle))]
mod tests;

/// Bytes of a slot.
pub const SLOT_BYTES: usize = 4096;
/// The most a user can keep in a manifest, in bytes.
pub const MAX_USER_BYTES: usize = 2048;

/// The last generation: so many changes nobody makes, and one more than what an open finds there always can be.
const MAX_GENERATION: u64 = i64::MAX as u64;
const USER_AT: usize = 56;
const CRC_AT: usize = SLOT_BYTES - 4;
const _: () = assert!(USER_AT == 8 + 8 + 8 + 2 + 2 + 4 + 8 + 8 + 8 && USER_AT + MAX_USER_BYTES <= CRC_AT);

/// Whether the store was closed in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Everything was durable and sealed at the last close; nothing was written since.
    Clean,
    /// Something may have been written since.
    Dirty,
}

/// A change of structure that has been decided: after a crash it is carried out again, to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// Cut one section to this many items.
    RewindSection(Target),
    /// Cut one section to this many items, and remove all later ones.
    Rewind(Target),
    /// Remove the whole store.
    Destroy,
}

/// Where a rewind goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The section.
    pub section: u64,
    /// Items it keeps.
    pub items: u64,
    /// Bytes of values it keeps.
    pub values_offset: u64,
}

/// What a manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The oldest section that may exist; every one below was pruned.
    pub pruned_to: u64,
    /// Whether the store was closed in order.
    pub condition: Condition,
    /// The change that has been decided and may not be finished.
    pub intent: Option<Intent>,
    /// The user's own bytes, at most [`MAX_USER_BYTES`].
    pub user: Bytes,
}

impl Default for State {
    /// Nothing pruned, dirty, no intent, no bytes of the user's.
    fn default() -> Self {
        Self { pruned_to: 0, condition: Condition::Dirty, intent: None, user: Bytes::new() }
    }
}

/// A state with what makes it the newest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) store: StoreId,
    pub(super) generation: u64,
    pub(super) state: State,
}

/// Why bytes are no slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlotFault {
    /// The blob ends before the slot's end, or the slot is all zeros: it was never written.
    Missing,
    /// The checksum does not match.
    Checksum {
        /// The checksum of the bytes.
        expected: u32,
        /// The checksum in the slot.
        found: u32,
    },
    /// The checksum matches, and a field has a value that this version does not know.
    Unknown {
        /// The field.
        field: &'static str,
        /// Its value.
        value: u64,
    },
}

/// The store id a slot claims, not verified; `None` when there is no whole slot.
pub(super) fn claimed_store(bytes: &[u8]) -> Option<StoreId> {
    (bytes.len() == SLOT_BYTES).then(|| bytes.get(..8)).flatten().map(|mut id| StoreId(id.get_u64()))
}

fn checksum(binding: Binding, number: u64, covered: &[u8]) -> u32 {
    let mut crc = binding.hasher();
    crc.update(&number.to_be_bytes());
    crc.update(covered);
    crc.finalize()
}

impl Slot {
    pub(super) fn encode(&self, binding: Binding, number: u64) -> Bytes {
        let mut bytes = Vec::with_capacity(SLOT_BYTES);
        bytes.put_u64(self.store.0);
        bytes.put_u64(self.generation);
        bytes.put_u64(self.state.pruned_to);
        bytes.put_u16(match self.state.condition {
            Condition::Clean => 1,
            Condition::Dirty => 2,
        });
        let none = Target { section: 0, items: 0, values_offset: 0 };
        let (kind, target) = match self.state.intent {
            None => (0, none),
            Some(Intent::RewindSection(target)) => (1, target),
            Some(Intent::Rewind(target)) => (2, target),
            Some(Intent::Destroy) => (3, none),
        };
        let user = self.state.user.get(..MAX_USER_BYTES).unwrap_or(&self.state.user);
        bytes.put_u16(kind);
        bytes.put_u32(u32::try_from(user.len()).unwrap_or(u32::MAX));
        bytes.put_u64(target.section);
        bytes.put_u64(target.items);
        bytes.put_u64(target.values_offset);
        bytes.put_slice(user);
        bytes.resize(CRC_AT, 0);
        let crc = checksum(binding, number, &bytes);
        bytes.put_u32(crc);
        bytes.into()
    }

    pub(super) fn decode(bytes: &[u8], binding: Binding, number: u64) -> Result<Self, SlotFault> {
        let Some((covered, mut check)) = bytes.split_at_checked(CRC_AT).filter(|_| bytes.len() == SLOT_BYTES) else {
            return Err(SlotFault::Missing);
        };
        let (expected, found) = (checksum(binding, number, covered), check.get_u32());
        if expected != found {
            let missing = bytes.iter().all(|byte| *byte == 0);
            return Err(if missing { SlotFault::Missing } else { SlotFault::Checksum { expected, found } });
        }
        let mut rest = covered;
        let store = StoreId(rest.get_u64());
        let generation = rest.get_u64();
        let pruned_to = rest.get_u64();
        let unknown = |field, value: u64| Err(SlotFault::Unknown { field, value });
        if generation > MAX_GENERATION {
            return unknown("generation", generation);
        }
        let condition = match rest.get_u16() {
            1 => Condition::Clean,
            2 => Condition::Dirty,
            other => return unknown("condition", other.into()),
        };
        let kind = rest.get_u16();
        let user_bytes = rest.get_u32();
        let target = Target { section: rest.get_u64(), items: rest.get_u64(), values_offset: rest.get_u64() };
        let intent = match kind {
            0 => None,
            1 => Some(Intent::RewindSection(target)),
            2 => Some(Intent::Rewind(target)),
            3 => Some(Intent::Destroy),
            other => return unknown("intent", other.into()),
        };
        let Some(user) =
            usize::try_from(user_bytes).ok().filter(|len| *len <= MAX_USER_BYTES).and_then(|len| rest.get(..len))
        else {
            return unknown("length of the user's own bytes", user_bytes.into());
        };
        let user = Bytes::copy_from_slice(user);
        Ok(Self { store, generation, state: State { pruned_to, condition, intent, user } })
    }
}
