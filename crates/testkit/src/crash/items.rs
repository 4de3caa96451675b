//! What is appended: each entry has a number, and its record and its value are made of that, so whatever is read back says
//! by itself which append it was.

use bytes::{BufMut, Bytes, BytesMut};
use oversized::Location;

/// The number of an append, from 0, in the order in which appends began.
pub type Id = u32;

/// Bytes of a record beside its filling: the number, and the location at the end.
pub(super) const RECORD_MIN_BYTES: usize = 4 + 12;

/// One append, as it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Item {
    /// Its section.
    pub section: u64,
    /// Length of its value in bytes.
    pub len: u32,
}

/// A number without a pattern for each number (the finalizer of S. Vigna's SplitMix64).
fn mixed(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The value of an append. Those with even numbers compress well, the others do not.
pub(super) fn value(id: Id, len: u32) -> Bytes {
    let len = len as usize;
    let mut bytes = BytesMut::with_capacity(len + 8);
    let mut word = mixed(u64::from(id) << 8);
    while bytes.len() < len {
        bytes.put_u64(word);
        if id % 2 == 1 {
            word = mixed(word);
        }
    }
    bytes.truncate(len);
    bytes.freeze()
}

/// Puts the record of an append into a buffer.
pub(super) fn put_record(id: Id, record_bytes: usize, location: Location, buf: &mut Vec<u8>) {
    buf.put_u32(id);
    let fill = mixed(u64::from(id) << 8 | 1).to_be_bytes();
    for n in 0..record_bytes.saturating_sub(RECORD_MIN_BYTES) {
        buf.put_u8(fill[n % 8]);
    }
    buf.put_u64(location.offset);
    buf.put_u32(location.size);
}

/// The number in a record, when every other byte of it is what that number's record has.
pub(super) fn id_of(record: &[u8]) -> Option<Id> {
    let id = Id::from_be_bytes(record.get(..4)?.try_into().ok()?);
    let location = oversized::last_bytes(record)?;
    let mut same = Vec::with_capacity(record.len());
    put_record(id, record.len(), location, &mut same);
    (same[..] == *record).then_some(id)
}

/// The user's own bytes under a number; number 0 stands for none.
pub(super) fn state(number: u32) -> Bytes {
    match number {
        0 => Bytes::new(),
        _ => {
            let len = usize::try_from(mixed(u64::from(number)) % 100).unwrap_or(0) + 4;
            let mut bytes = BytesMut::with_capacity(len + 8);
            bytes.put_u32(number);
            while bytes.len() < len {
                bytes.put_u64(mixed(u64::from(number) | 1 << 40));
            }
            bytes.truncate(len);
            bytes.freeze()
        }
    }
}

/// The number of the user's own bytes, when they are whole.
pub(super) fn state_number(bytes: &[u8]) -> Option<u32> {
    if bytes.is_empty() {
        return Some(0);
    }
    let number = u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?);
    (state(number)[..] == *bytes).then_some(number)
}
