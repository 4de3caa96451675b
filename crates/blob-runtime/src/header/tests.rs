use super::*;

fn header() -> Header {
    Header { kind: Kind::PAGED, unit: 4096, item: 32, store: StoreId(0x0102_0304_0506_0708), salt: Salt(0x0a0b_0c0d) }
}

fn blob() -> BlobId {
    BlobId::new(&"".into(), "p", &[9]).unwrap()
}

fn format() -> Format {
    Format::new(Kind::PAGED, Want::Exactly(header().store)).unit(Want::Exactly(4096)).item(Want::Exactly(32))
}

/// Golden bytes: a change of any of them is a change of the format.
#[test]
fn the_bytes_of_a_header() {
    let bytes = header().encode();
    assert_eq!(bytes.len(), HEADER_BYTES);
    let mut want = Vec::new();
    want.extend_from_slice(b"OVRSIZED");
    want.extend_from_slice(&[0, 1, 0, 1, 0, 0, 0x10, 0, 0, 0, 0, 32]);
    want.extend_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8, 0x0a, 0x0b, 0x0c, 0x0d]);
    want.extend_from_slice(&[0x25, 0x61, 0xf2, 0x99]);
    assert_eq!(&bytes[..36], &want[..]);
    assert!(bytes[36..].iter().all(|byte| *byte == 0));
    let raw = RawHeader::decode(&bytes, 4096).unwrap();
    assert_eq!(raw.check(&blob(), Salt(0x0a0b_0c0d), &format()).unwrap(), header());
}

/// A checksum starts from the store, the kind, the name and the salt; a change of any of them is seen.
#[test]
fn a_binding_tells_every_place_apart() {
    let base = header().binding(b"name").hasher().finalize();
    assert_eq!(base, crc32fast::hash(b"\x01\x02\x03\x04\x05\x06\x07\x08\x00\x01name\x0a\x0b\x0c\x0d"));
    for other in [
        Header { kind: Kind::VALUES, ..header() }.binding(b"name"),
        Header { store: StoreId(1), ..header() }.binding(b"name"),
        Header { salt: Salt(1), ..header() }.binding(b"name"),
        header().binding(b"nama"),
    ] {
        assert_ne!(other.hasher().finalize(), base);
    }
    // Page size and item size are not bound: a header that was lost can be made anew with other ones to look behind it.
    assert_eq!(Header { unit: 64, item: 1, ..header() }.binding(b"name"), header().binding(b"name"));
}

#[test]
fn every_flipped_bit_is_a_bad_header() {
    let good = header().encode();
    for bit in 0..ENCODED_BYTES * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let fault = RawHeader::decode(&bytes, 4096).unwrap_err();
        assert!(matches!(fault, HeaderFault::Checksum { .. }), "bit {bit}: {fault:?}");
    }
}

#[test]
fn short_and_zero_files_are_told_apart() {
    let good = header().encode();
    for len in 0..HEADER_BYTES {
        let fault = RawHeader::decode(&good[..len], len as u64).unwrap_err();
        assert_eq!(fault, HeaderFault::Short { file_bytes: len as u64 });
    }
    assert_eq!(RawHeader::decode(&[0; 4096], 9000), Err(HeaderFault::Zero));

    let read = |start: &[u8], len| format().read_header(&blob(), Salt(7), start, len).unwrap();
    let expected = Header { salt: Salt(7), ..header() };
    assert_eq!(read(&[], 0), (expected, HeaderState::New));
    assert_eq!(read(&[0; 10], 10), (expected, HeaderState::Bad(HeaderFault::Short { file_bytes: 10 })));
    assert_eq!(read(&[0; 4096], 8192), (expected, HeaderState::Bad(HeaderFault::Zero)));
}

/// A header that verifies is never bad: where it says something else, the error names both sides.
#[test]
fn a_sound_header_that_disagrees_is_a_format_mismatch() {
    let check = |header: Header, format: Format, named: Salt| {
        let bytes = header.encode();
        match format.read_header(&blob(), named, &bytes, 4096) {
            Err(Error::FormatMismatch { field, expected, found, .. }) => (field, expected, found),
            other => panic!("{other:?}"),
        }
    };
    let salt = header().salt;
    let text = |a: &'static str, b: &str, c: &str| (a, b.to_owned(), c.to_owned());
    assert_eq!(
        check(Header { kind: Kind::VALUES, ..header() }, format(), salt),
        text("kind", "1 (paged)", "2 (values)")
    );
    assert_eq!(check(Header { unit: 512, ..header() }, format(), salt), text("unit", "4096", "512"));
    assert_eq!(check(Header { item: 33, ..header() }, format(), salt), text("item", "32", "33"));
    assert_eq!(
        check(Header { store: StoreId(1), ..header() }, format(), salt),
        text("store id", "0102030405060708", "0000000000000001")
    );
    assert_eq!(check(header(), format(), Salt(1)).0, "salt");
    assert_eq!(check(header(), format().salt(Salt(1)), salt).0, "salt");

    let mut newer = header().encode();
    newer[9] = 2;
    let crc = crc32fast::hash(&newer[..32]).to_be_bytes();
    newer[32..36].copy_from_slice(&crc);
    let got = format().read_header(&blob(), salt, &newer, 4096).unwrap_err();
    assert!(
        matches!(&got, Error::FormatMismatch { field: "version", expected, found, .. } if expected == "1" && found == "2"),
        "{got:?}"
    );
    newer[0] = b'X';
    let crc = crc32fast::hash(&newer[..32]).to_be_bytes();
    newer[32..36].copy_from_slice(&crc);
    let got = format().read_header(&blob(), salt, &newer, 4096).unwrap_err();
    assert!(matches!(&got, Error::FormatMismatch { field: "magic", .. }), "{got:?}");
}

#[test]
fn a_default_takes_what_is_found() {
    let loose = Format::new(Kind::PAGED, Want::Default(StoreId(5))).unit(Want::Default(64));
    let (found, state) = loose.read_header(&blob(), header().salt, &header().encode(), 4096).unwrap();
    assert_eq!((found, state), (header(), HeaderState::Sound));
    assert_eq!(
        loose.header(Salt(3)),
        Header { kind: Kind::PAGED, unit: 64, item: 0, store: StoreId(5), salt: Salt(3) }
    );
}
