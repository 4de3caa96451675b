use super::*;
use crate::{Kind, StoreId, Want};
use futures::executor::block_on;

fn format() -> Format {
    Format::new(Kind::USER, Want::Exactly(StoreId(1)))
}

#[test]
fn an_absurd_length_is_refused_before_anything_is_allocated() {
    let storage = MemoryStorage::new();
    let blob = block_on(storage.open("p", b"a", &format())).unwrap();
    for result in [block_on(blob.resize(u64::MAX)), block_on(blob.write_at(u64::MAX, vec![Bytes::from_static(b"x")]))] {
        assert!(matches!(result, Err(Error::TooLarge { .. })), "{result:?}");
    }
    assert_eq!(blob.len(), 0);
}

#[test]
fn another_format_is_a_mismatch() {
    let storage = MemoryStorage::new();
    drop(block_on(storage.open("p", b"a", &format())).unwrap());
    let other = Format::new(Kind::USER, Want::Exactly(StoreId(2)));
    let error = block_on(storage.open("p", b"a", &other)).unwrap_err();
    assert!(matches!(error, Error::FormatMismatch { field: "store id", .. }), "{error:?}");
}

/// `pwrite(2)` of nothing leaves a file as it is; a retry loop that ends with an empty rest must not grow the blob.
#[test]
fn a_write_of_nothing_past_the_end_leaves_the_length() {
    let storage = MemoryStorage::new();
    let blob = block_on(storage.open("p", b"a", &format())).unwrap();
    block_on(blob.write_at(0, vec![Bytes::from_static(b"abc")])).unwrap();
    block_on(blob.write_at(10, vec![Bytes::new(), Bytes::new()])).unwrap();
    assert_eq!(blob.len(), 3);
    assert_eq!(block_on(blob.read_at(0, 3)).unwrap(), "abc");
}

/// A length that a blob can have, and that no memory holds, comes out of a damaged header: an error, and nothing changed.
#[test]
fn a_length_beyond_all_memory_is_an_error() {
    let storage = MemoryStorage::new();
    let blob = block_on(storage.open("p", b"a", &format())).unwrap();
    block_on(blob.write_at(0, vec![Bytes::from_static(b"abc")])).unwrap();
    for len in [1 << 50, crate::MAX_BLOB_BYTES - 1] {
        let results = [block_on(blob.resize(len)), block_on(blob.write_at(len, vec![Bytes::from_static(b"x")]))];
        for (result, wanted) in results.into_iter().zip([Operation::Resize, Operation::Write]) {
            let Err(Error::Io { operation, source, .. }) = result else { panic!("{len}: {result:?}") };
            assert_eq!((operation, source.kind()), (wanted, io::ErrorKind::OutOfMemory), "{len}");
        }
    }
    assert_eq!((blob.len(), block_on(blob.read_at(0, 3)).unwrap()), (3, Bytes::from_static(b"abc")));
    block_on(blob.resize(2)).unwrap();
    assert_eq!(blob.len(), 2);
}
