use bytes::Bytes;

use super::*;

/// Golden bytes: a location inside a record is part of the format of whoever keeps records.
#[test]
fn a_location_has_twelve_bytes() {
    let location = Location { offset: 0x0102_0304_0506_0708, size: 0x090a_0b0c };
    let mut bytes = Vec::new();
    location.encode(&mut bytes);
    assert_eq!(bytes, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    assert_eq!(Location::decode(&mut Bytes::from(bytes.clone())), Ok(location));
    let short = Location::decode(&mut &bytes[..11]);
    assert_eq!(short, Err(CodecError::TooShort { needed: 12, left: 11 }));
}

#[test]
fn an_end_that_no_blob_can_have_is_none() {
    assert_eq!(Location { offset: u64::MAX - 1, size: 1 }.end(), Some(u64::MAX));
    assert_eq!(Location { offset: u64::MAX - 1, size: 2 }.end(), None);
    let last = Appended { position: u64::MAX, location: Location { offset: u64::MAX, size: 1 } };
    assert_eq!(last.next(), Cursor { offset: u64::MAX, position: u64::MAX });
}
