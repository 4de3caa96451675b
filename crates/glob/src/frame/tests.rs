use blob_runtime::{Header, Kind, Salt, StoreId};

use super::*;

fn header_of(store: u64, salt: u32) -> Header {
    Header { kind: Kind::VALUES, unit: 4, item: 0, store: StoreId(store), salt: Salt(salt) }
}

fn place(offset: u64) -> Place {
    Place { binding: header_of(7, 0x0102_0304).binding(&3_u64.to_be_bytes()), offset }
}

/// A frame of item 5 at byte 1000 with tag `TAGS` and payload `value`.
fn frame() -> (FrameHeader, Vec<u8>) {
    let header = FrameHeader {
        flags: Flags::default().with(Flags::CONTINUES, true),
        tag_bytes: 4,
        stored_bytes: 5,
        raw_bytes: 5,
        position: 5,
        floor: 900,
        payload_crc: crc32fast::hash(b"value"),
    };
    let mut bytes = header.encode_head(place(1000), b"TAGS");
    bytes.extend_from_slice(b"value");
    (header, bytes)
}

fn verify(bytes: &[u8], place: Place) -> Result<FrameHeader, FrameFault> {
    let head = RawFrame(bytes).verify(place, 4)?;
    head.check_payload(&bytes[head.header.head_bytes()..])?;
    Ok(head.header)
}

/// Golden bytes: what is on disk is read by every later version.
#[test]
fn the_format_of_a_frame() {
    let (header, bytes) = frame();
    #[rustfmt::skip]
    let golden = [
        b'O', b'V', b'R', b'F', 0, 4, 0, 4, 0, 0, 0, 5, 0, 0, 0, 5,
        0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 3, 0x84,
        0x1d, 0x77, 0x58, 0x34,
        b'T', b'A', b'G', b'S',
        0x39, 0x63, 0x09, 0x8f,
        b'v', b'a', b'l', b'u', b'e',
    ];
    assert_eq!(bytes, golden);
    assert_eq!(header.size(), golden.len() as u64);
    let head = RawFrame(&bytes).verify(place(1000), 4).unwrap();
    assert_eq!((head.header, head.tag), (header, &b"TAGS"[..]));
}

#[test]
fn the_format_of_a_seal() {
    let seal = FrameHeader::seal(1000, 6);
    let bytes = seal.encode_head(place(1000), &[]);
    #[rustfmt::skip]
    let golden = [
        b'O', b'V', b'R', b'F', 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 3, 0xe8,
        0, 0, 0, 0,
        0x49, 0x90, 0x0d, 0x2f,
    ];
    assert_eq!(bytes, golden);
    assert_eq!(bytes.len(), SEAL_BYTES);
    let head = RawFrame(&bytes).verify(place(1000), 4).unwrap();
    assert!(head.header.is_seal());
    assert_eq!(head.header, seal);
}

/// One bit rots, anywhere in the frame: it is seen, and by the checksum that covers it.
#[test]
fn every_flipped_bit_is_seen() {
    let (_, bytes) = frame();
    for bit in 0..bytes.len() * 8 {
        let mut rotten = bytes.clone();
        rotten[bit / 8] ^= 1 << (bit % 8);
        let fault = verify(&rotten, place(1000)).expect_err("seen");
        let at = bit / 8;
        let seen_as = match fault {
            FrameFault::Magic => at < 4,
            // The seal flag and the tag size say how long the header is, and are compared before it is read.
            FrameFault::Field { field: "tag size", .. } => (4..8).contains(&at),
            FrameFault::Header { .. } => (4..44).contains(&at),
            FrameFault::Payload { .. } => at >= 44,
            _ => false,
        };
        assert!(seen_as, "bit {bit}: {fault:?}");
    }
}

/// A frame is copied, or stays behind from another life of the blob: it never verifies where it does not belong.
#[test]
fn a_frame_verifies_only_where_it_belongs() {
    let (header, bytes) = frame();
    assert_eq!(verify(&bytes, place(1000)), Ok(header));
    let elsewhere = [
        place(1001),
        Place { binding: header_of(8, 0x0102_0304).binding(&3_u64.to_be_bytes()), offset: 1000 },
        Place { binding: header_of(7, 0x0102_0305).binding(&3_u64.to_be_bytes()), offset: 1000 },
        Place { binding: header_of(7, 0x0102_0304).binding(&4_u64.to_be_bytes()), offset: 1000 },
    ];
    for place in elsewhere {
        assert!(matches!(verify(&bytes, place), Err(FrameFault::Header { .. })), "{place:?}");
    }
}

#[test]
fn a_frame_that_ends_early_says_how_much_is_missing() {
    let (_, bytes) = frame();
    for len in 0..bytes.len() {
        let fault = verify(&bytes[..len], place(1000)).expect_err("too short");
        let needed = match len {
            0..36 => 40,
            36..44 => 44,
            _ => 5,
        };
        let found = if len < 44 { len } else { len - 44 } as u64;
        assert_eq!(fault, FrameFault::Short { needed, found }, "{len}");
    }
    assert_eq!(RawFrame(b"").verify(place(0), 4), Err(FrameFault::Short { needed: 40, found: 0 }));
    assert_eq!(RawFrame(b"OVX").verify(place(0), 4), Err(FrameFault::Magic));
    assert_eq!(RawFrame(&[0; 100]).verify(place(0), 4), Err(FrameFault::Magic));
}

/// Somebody who knows the salt makes frames with matching checksums and fields that make no sense: none is believed.
#[test]
fn fields_that_make_no_sense_are_refused_though_the_checksum_matches() {
    let (good, _) = frame();
    let seal = FrameHeader::seal(1000, 6);
    let flags = |bits| FrameHeader { flags: Flags(bits), ..good };
    let cases = [
        ("flags", FrameHeader { flags: Flags(8), ..good }),
        ("flags", FrameHeader { flags: Flags(0x8004), ..good }),
        ("flags", FrameHeader { flags: Flags(2 | 4), ..seal }),
        ("flags", FrameHeader { flags: Flags(2 | 1), ..seal }),
        ("floor", FrameHeader { floor: 1001, ..good }),
        ("floor", FrameHeader { floor: u64::MAX, ..good }),
        ("floor", FrameHeader { floor: 999, ..seal }),
        ("stored size", FrameHeader { stored_bytes: 1, raw_bytes: 1, ..seal }),
        ("stored size", FrameHeader { stored_bytes: u32::MAX - 43, raw_bytes: u32::MAX - 43, ..good }),
        ("raw size", FrameHeader { raw_bytes: 6, ..good }),
        ("raw size", FrameHeader { raw_bytes: 4, ..good }),
        ("raw size", FrameHeader { raw_bytes: 5, ..flags(1) }),
        ("raw size", FrameHeader { raw_bytes: 0, ..flags(1) }),
        ("payload checksum", FrameHeader { stored_bytes: 0, raw_bytes: 0, ..good }),
    ];
    for (field, header) in cases {
        let tag: &[u8] = if header.is_seal() { &[] } else { b"TAGS" };
        let bytes = header.encode_head(place(1000), tag);
        let fault = RawFrame(&bytes).verify(place(1000), 4).expect_err("refused");
        assert!(matches!(fault, FrameFault::Field { field: found, .. } if found == field), "{header:?}: {fault:?}");
    }
    // And the nearest ones that do make sense.
    for header in [
        FrameHeader { floor: 1000, ..good },
        FrameHeader { raw_bytes: u32::MAX, ..flags(1 | 4) },
        FrameHeader { stored_bytes: u32::MAX - 44, raw_bytes: u32::MAX - 44, ..good },
    ] {
        let bytes = header.encode_head(place(1000), b"TAGS");
        assert_eq!(RawFrame(&bytes).verify(place(1000), 4).map(|head| head.header), Ok(header));
    }
}

/// A seal of a blob with tags is a seal in any other, and a value never passes for one.
#[test]
fn the_tag_size_is_the_blobs() {
    let (_, bytes) = frame();
    let wrong = RawFrame(&bytes).verify(place(1000), 5);
    assert_eq!(wrong, Err(FrameFault::Field { field: "tag size", value: 4 }));
    let tagged_seal = FrameHeader { tag_bytes: 4, ..FrameHeader::seal(1000, 6) }.encode_head(place(1000), b"TAGS");
    let refused = RawFrame(&tagged_seal).verify(place(1000), 4);
    assert_eq!(refused, Err(FrameFault::Field { field: "tag size", value: 4 }));
    let largest = FrameHeader { tag_bytes: u16::MAX, floor: 0, ..frame().0 };
    let tag = vec![9; usize::from(u16::MAX)];
    let bytes = largest.encode_head(place(0), &tag);
    assert_eq!(RawFrame(&bytes).verify(place(0), u16::MAX).map(|head| head.tag.len()), Ok(65_535));
}
