use super::*;
use blob_runtime::{Header, Kind, Salt, StoreId};
use proptest::prelude::*;

fn binding() -> Binding {
    Header { kind: Kind::PAGED, unit: 64, item: 8, store: StoreId(1), salt: Salt(2) }.binding(b"page")
}

fn geometry() -> Geometry {
    Geometry::new(64).unwrap()
}

fn page(data: &[u8], slots: Slots) -> Vec<u8> {
    let mut page = data.to_vec();
    page.resize(40, 0);
    page.extend_from_slice(&slots);
    page
}

/// Golden bytes: a change of any of them is a change of the format.
#[test]
fn the_bytes_of_a_page() {
    let mark = Mark::next(binding(), 5, [&b"abc"[..]], 4, None);
    let bytes = page(b"abc", mark.slots(None));
    let mut want = b"abc".to_vec();
    want.resize(40, 0);
    want.extend_from_slice(&[0, 3, 0, 1, 0, 0, 0, 4]);
    let mut covered = vec![0, 0, 0, 0, 0, 0, 0, 1, 0, 1];
    covered
        .extend_from_slice(b"page\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x05abc\x00\x03\x00\x01\x00\x00\x00\x04");
    want.extend_from_slice(&crc32fast::hash(&covered).to_be_bytes());
    want.resize(64, 0);
    assert_eq!(bytes, want);
    assert_eq!(verify(geometry(), binding(), 5, &bytes), Some(mark));
}

/// The page is written again and again: the slot that is durable stays as it is, and the newest one counts.
#[test]
fn a_rewrite_leaves_the_durable_slot_alone() {
    let durable = Mark::next(binding(), 0, [&b"abc"[..]], 0, None);
    assert_eq!((durable.which, durable.slot.generation), (Which::A, 1));
    for attempt in [&b"abcd"[..], b"abcdef", b"ab"] {
        let mark = Mark::next(binding(), 0, [attempt], 0, Some(&durable));
        assert_eq!((mark.which, mark.slot.generation), (Which::B, 2));
        let slots = mark.slots(Some(&durable));
        assert_eq!(&slots[..12], &durable.bytes);
        assert_eq!(verify(geometry(), binding(), 0, &page(b"abcdef", slots)), Some(mark));
        // The new slot is torn: the old one still counts.
        let mut torn = slots;
        torn[20] ^= 1;
        assert_eq!(verify(geometry(), binding(), 0, &page(b"abcdef", torn)), Some(durable));
        // Next time it is the other's turn.
        let third = Mark::next(binding(), 0, [&b"x"[..]], 0, Some(&mark));
        assert_eq!((third.which, third.slot.generation), (Which::A, 3));
    }
}

#[test]
fn generations_wrap_around() {
    for (a, b, want) in
        [(1, 0, true), (0, 1, false), (0, u16::MAX, true), (u16::MAX, 0, false), (5, 5, false), (0x8000, 0, false)]
    {
        assert_eq!(newer(a, b), want, "{a} {b}");
    }
}

#[test]
fn every_flipped_bit_that_counts_and_every_wrong_place_is_seen() {
    let mark = Mark::next(binding(), 5, [&b"abc"[..]], 4, None);
    let good = page(b"abc", mark.slots(None));
    for bit in 0..64 * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let counts = bit / 8 < 3 || (40..52).contains(&(bit / 8));
        assert_eq!(verify(geometry(), binding(), 5, &bytes).is_none(), counts, "bit {bit}");
    }
    assert_eq!(verify(geometry(), binding(), 6, &good), None);
    let other = Header { kind: Kind::PAGED, unit: 64, item: 8, store: StoreId(1), salt: Salt(3) }.binding(b"page");
    assert_eq!(verify(geometry(), other, 5, &good), None);
    for len in 0..64 {
        assert_eq!(verify(geometry(), binding(), 5, &good[..len]), None);
    }
}

proptest! {
    /// Whatever the bytes are: no panic, and what counts lies within the page.
    #[test]
    fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200), number: u64, shift in 6..8_u32) {
        let geometry = Geometry::new(1 << shift).unwrap();
        if let Some(mark) = verify(geometry, binding(), number, &bytes) {
            prop_assert!(mark.len() > 0 && mark.len() <= geometry.data_bytes());
        }
    }

    /// A slot that claims any length, with a checksum that matches what there is of it.
    #[test]
    fn a_forged_length(len: u16) {
        let slot = Slot { len, generation: 1, floor: 0 };
        let data = [7; 40];
        let counted = &data[..usize::from(len).min(40)];
        let mut bytes = [0; SLOT_BYTES];
        let mut out = &mut bytes[..];
        out.put_u16(len);
        out.put_u16(1);
        out.put_u32(0);
        out.put_u32(checksum(binding(), 0, [counted], slot));
        let mark = Mark { which: Which::A, slot, bytes };
        let found = verify(geometry(), binding(), 0, &page(&data, mark.slots(None)));
        prop_assert_eq!(found.is_some(), (1..=40).contains(&len));
    }
}

/// A slot for no bytes, with a checksum that matches: no writer leaves one, so no page begins with it.
#[test]
fn a_slot_for_nothing_counts_for_nothing() {
    let empty = Mark::next(binding(), 5, [&b""[..]], 4, None);
    assert_eq!(verify(geometry(), binding(), 5, &page(b"", empty.slots(None))), None);
    // Beside one that counts it does not either, newer though it is.
    let mark = Mark::next(binding(), 5, [&b"abc"[..]], 4, None);
    let newer = Mark::next(binding(), 5, [&b""[..]], 4, Some(&mark));
    assert_eq!(verify(geometry(), binding(), 5, &page(b"abc", newer.slots(Some(&mark)))), Some(mark));
}
