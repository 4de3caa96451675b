use super::*;
use crate::header::{Header, Kind};
use crate::name::Salt;
use proptest::prelude::*;

fn binding() -> Binding {
    Header { kind: Kind::MANIFEST, unit: 0, item: 0, store: StoreId(7), salt: Salt(9) }.binding(b"meta")
}

fn slot() -> Slot {
    let target = Target { section: 3, items: 4, values_offset: 5 };
    let state = State {
        pruned_to: 2,
        condition: Condition::Dirty,
        intent: Some(Intent::Rewind(target)),
        user: Bytes::from_static(b"vote"),
    };
    Slot { store: StoreId(7), generation: 0x0102, state }
}

/// Golden bytes: a change of any of them is a change of the format.
#[test]
fn the_bytes_of_a_slot() {
    let bytes = slot().encode(binding(), 1);
    let mut want = vec![0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 2];
    want.extend_from_slice(&[0, 2, 0, 2, 0, 0, 0, 4]);
    want.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 5]);
    want.extend_from_slice(b"vote");
    want.resize(4092, 0);
    // The binding's input, then the slot's number, then the bytes.
    let mut all = vec![0, 0, 0, 0, 0, 0, 0, 7, 0, 3];
    all.extend_from_slice(b"meta\x00\x00\x00\x09\x00\x00\x00\x00\x00\x00\x00\x01");
    all.extend_from_slice(&want);
    want.extend_from_slice(&crc32fast::hash(&all).to_be_bytes());
    assert_eq!(bytes, want);
}

#[test]
fn every_flipped_bit_and_the_wrong_place_are_seen() {
    let good = slot().encode(binding(), 1);
    for bit in 0..SLOT_BYTES * 8 {
        let mut bytes = good.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let fault = Slot::decode(&bytes, binding(), 1).unwrap_err();
        assert!(matches!(fault, SlotFault::Checksum { .. }), "bit {bit}: {fault:?}");
    }
    assert!(matches!(Slot::decode(&good, binding(), 0), Err(SlotFault::Checksum { .. })));
    assert_eq!(Slot::decode(&good[..4095], binding(), 1), Err(SlotFault::Missing));
    assert_eq!(Slot::decode(&[0; SLOT_BYTES], binding(), 1), Err(SlotFault::Missing));
}

/// Bytes with a checksum that matches, and fields of a later version: no panic, and nothing is taken for something else.
#[test]
fn unknown_values_are_named() {
    let forge = |at: usize, bytes: &[u8]| {
        let mut forged = slot().encode(binding(), 0).to_vec();
        forged[at..at + bytes.len()].copy_from_slice(bytes);
        let crc = checksum(binding(), 0, &forged[..CRC_AT]);
        forged[CRC_AT..].copy_from_slice(&crc.to_be_bytes());
        Slot::decode(&forged, binding(), 0)
    };
    // The next change would have no generation.
    for generation in [MAX_GENERATION + 1, u64::MAX] {
        let field = "generation";
        assert_eq!(forge(8, &generation.to_be_bytes()), Err(SlotFault::Unknown { field, value: generation }));
    }
    assert_eq!(forge(8, &MAX_GENERATION.to_be_bytes()).unwrap().generation, MAX_GENERATION);
    assert_eq!(forge(24, &[0, 3]), Err(SlotFault::Unknown { field: "condition", value: 3 }));
    assert_eq!(forge(26, &[0, 4]), Err(SlotFault::Unknown { field: "intent", value: 4 }));
    for len in [2049, u32::MAX] {
        let field = "length of the user's own bytes";
        assert_eq!(forge(28, &len.to_be_bytes()), Err(SlotFault::Unknown { field, value: len.into() }));
    }
}

proptest! {
    #[test]
    fn slots_come_back(
        store: u64, generation in 0..=MAX_GENERATION, pruned_to: u64, clean: bool, kind in 0..4_u8,
        section: u64, items: u64, values_offset: u64, user in prop::collection::vec(any::<u8>(), 0..=MAX_USER_BYTES),
    ) {
        let target = Target { section, items, values_offset };
        let intent = [None, Some(Intent::RewindSection(target)), Some(Intent::Rewind(target)), Some(Intent::Destroy)];
        let condition = if clean { Condition::Clean } else { Condition::Dirty };
        let state = State { pruned_to, condition, intent: intent[usize::from(kind)], user: user.into() };
        let slot = Slot { store: StoreId(store), generation, state };
        prop_assert_eq!(Slot::decode(&slot.encode(binding(), 1), binding(), 1), Ok(slot));
    }
}
