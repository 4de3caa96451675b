//! The start of a file, and what a format expects of it.

use blob_runtime::{BlobId, Error, Format, HEADER_BYTES, HeaderState, Kind, RawHeader, Salt, StoreId, Want};

use crate::input::Input;
use crate::reseal;

/// Bytes of a header that are not always zero.
const ENCODED_BYTES: usize = 36;
/// The salt in the file's name.
const NAMED: Salt = Salt(9);

/// `flags u8 │ how much longer the file is, u16 │ its start`.
///
/// # Panics
/// When a promise is broken.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let (flags, longer) = (input.u8(), input.u16());
    let mut start = input.0.to_vec();
    if flags & 1 != 0 {
        start.resize(start.len().max(HEADER_BYTES), 0);
    }
    if flags & 2 != 0 {
        reseal::header(&mut start);
    }
    let file_bytes = start.len() as u64 + if flags & 4 != 0 { u64::from(longer) } else { 0 };
    let Ok(id) = BlobId::new(&"".into(), "fuzz", b"blob") else { return };

    let decoded = RawHeader::decode(&start, file_bytes);
    let kind = [Kind::PAGED, Kind::VALUES, Kind::MANIFEST, Kind::USER][usize::from(flags >> 6)];
    let loose = Format::new(kind, Want::Default(StoreId(1)));
    let strict = Format::new(kind, Want::Exactly(StoreId(7))).unit(Want::Exactly(20)).item(Want::Exactly(0));
    let bound = loose.clone().salt(Salt(u32::from(flags >> 3 & 7) + 6));
    for format in [loose, strict, bound] {
        match (format.read_header(&id, NAMED, &start, file_bytes), decoded) {
            (Ok((header, HeaderState::Sound)), Ok(_)) => {
                let encoded = header.encode();
                assert_eq!(encoded.get(..ENCODED_BYTES), start.get(..ENCODED_BYTES), "P3: another header is read");
                assert_eq!((header.kind, header.salt), (format.kind, NAMED), "P11: what differs is accepted");
            }
            (Ok((_, HeaderState::New)), Err(_)) => assert_eq!(file_bytes, 0, "a file with bytes is new"),
            (Ok((header, HeaderState::Bad(fault))), Err(found)) => {
                assert_eq!((header, fault), (format.header(NAMED), found), "a bad header is made of what is expected");
            }
            (Err(Error::FormatMismatch { .. }), _) => {}
            (result, decoded) => panic!("{result:?} where the bytes are {decoded:?}"),
        }
    }
}
