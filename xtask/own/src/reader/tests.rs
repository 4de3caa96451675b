use super::*;

/// A frame that crosses the end of a chunk, one larger than a chunk, and the end of the file in the middle of one.
#[test]
fn bytes_come_in_order_whatever_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    let bytes: Vec<u8> = (0..=250).cycle().take(CHUNK_BYTES * 3 + 10).collect();
    std::fs::write(&path, &bytes).unwrap();
    let file = File::open(path).unwrap();
    for sizes in [vec![CHUNK_BYTES - 3, 7, CHUNK_BYTES * 2, 6], vec![1, CHUNK_BYTES * 3, 9]] {
        let mut reader = Reader::new(&file);
        let mut at = 0;
        for size in sizes {
            assert_eq!(reader.take(size).unwrap(), Some(&bytes[at..at + size]));
            at += size;
        }
        assert_eq!(at, bytes.len());
        assert_eq!(reader.take(1).unwrap(), None);
    }
    let mut reader = Reader::new(&file);
    assert_eq!(reader.take(bytes.len() + 1).unwrap(), None);
    assert_eq!(reader.take(bytes.len()).unwrap(), Some(&bytes[..]));
}

#[test]
fn integers_are_little_endian() {
    let bytes = [0, 1, 2, 3, 4, 5, 6, 7, 8];
    assert_eq!(u64_at(&bytes, 1), 0x0807_0605_0403_0201);
    assert_eq!(u32_at(&bytes, 5), 0x0807_0605);
}
