use blob_runtime::{Header, Kind, Salt, StoreId};
use glob::frame::{Flags, FrameHeader, Place};

use super::*;

/// Three values and a seal; each byte of them is turned over. What is left proves what was durable before the last
/// frame whose header is whole.
#[test]
fn the_last_whole_header_proves() {
    let header = Header { kind: Kind::VALUES, unit: 4, item: 0, store: StoreId(1), salt: Salt(2) };
    let mut file = vec![0; HEADER_BYTES];
    let mut begins = Vec::new();
    let binding = header.binding(b"name");
    for position in 0..3_u64 {
        begins.push(file.len() - HEADER_BYTES);
        let offset = (file.len() - HEADER_BYTES) as u64;
        let header = FrameHeader {
            tag_bytes: 4,
            stored_bytes: 7,
            raw_bytes: 7,
            floor: offset,
            flags: Flags::default(),
            ..FrameHeader::seal(offset, position)
        };
        file.extend(header.encode_head(Place { binding, offset }, b"tags"));
        file.extend([1; 7]);
    }
    begins.push(file.len() - HEADER_BYTES);
    let end = (file.len() - HEADER_BYTES) as u64;
    file.extend(FrameHeader::seal(end, 3).encode_head(Place { binding, offset: end }, &[]));
    let proof = Proof::new(&file, &file);
    assert_eq!((proof.floor(), proof.begin(2), proof.begin(3)), (begins[3], Some(begins[2]), None));
    for byte in HEADER_BYTES..file.len() {
        let mut damaged = file.clone();
        damaged[byte] ^= 1;
        let in_seal = byte - HEADER_BYTES >= begins[3];
        assert_eq!(Proof::new(&file, &damaged).floor(), if in_seal { begins[2] } else { begins[3] }, "{byte}");
    }
    for len in HEADER_BYTES..file.len() {
        let whole = (0..4).filter(|n| {
            let head = if *n == 3 { OVERHEAD_BYTES } else { OVERHEAD_BYTES + 4 };
            len - HEADER_BYTES >= begins[*n] + head
        });
        let floor = whole.map(|n| begins[n]).max().unwrap_or(0);
        assert_eq!(Proof::new(&file, &file[..len]).floor(), floor, "{len}");
    }
}
