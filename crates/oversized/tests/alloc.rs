//! What the hot paths allocate: nothing. A binary of its own, for it counts the allocations of its threads.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test may fail where it stands, also in its helpers"
)]

use std::sync::Arc;

use allocation_counter::measure;
use blob_runtime::{Blob, Format, Kind, MemoryStorage, Storage, StoreId, Want};
use bytes::Bytes;
use futures::FutureExt;
use futures::executor::block_on;
use oversized::{Config, Located, Oversized};

type Store = Oversized<Located<u64>, Bytes>;

const VALUE: &[u8] = &[7; 200];

fn append(store: &Store, number: u64) {
    let appended = store.append(7, Located::new(number), &Bytes::from_static(VALUE)).now_or_never();
    assert_eq!(appended.unwrap().unwrap().position, number, "without a wait");
}

/// A store whose buffers have all been used, and whose index was written some times; what it has in section 7, all durable.
fn store() -> (Store, u64, Arc<dyn Blob>) {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
    let config = Config::new("blocks").value_buffer_bytes(64 << 10).index_buffer_bytes(16 << 10).preallocate_bytes(0);
    let store = block_on(Store::open(Arc::clone(&storage), config)).unwrap();
    // A record is 20 bytes: three times what is kept of them in memory, and some more, so that no checkpoint is due soon.
    let len = 3 * (16 << 10) / 20 + 200;
    block_on(store.append(7, Located::new(0), &Bytes::from_static(VALUE))).unwrap();
    (1..len).for_each(|number| append(&store, number));
    block_on(store.sync(7)).unwrap();
    let format = Format::new(Kind::VALUES, Want::Default(StoreId(0))).existing();
    let blob = block_on(storage.open("blocks-values", &7_u64.to_be_bytes(), &format)).unwrap();
    (store, len, blob)
}

#[test]
fn a_steady_append_neither_allocates_nor_does_io() {
    let (store, len, blob) = store();
    let before = blob.len();
    let info = measure(|| (len..len + 200).for_each(|number| append(&store, number)));
    assert_eq!((info.count_total, info.bytes_total), (0, 0));
    assert_eq!(blob.len(), before);
    assert_eq!(block_on(store.durable_len(7)).unwrap(), len, "nor made anything durable");
}

/// A record in a cached page, in the last page, and only in memory, decoded in place.
#[test]
fn a_read_of_an_entry_in_memory_does_not_allocate() {
    let (store, len, _) = store();
    append(&store, len);
    assert!(store.try_get(7, 3).is_none(), "its page is not held yet");
    assert_eq!(block_on(store.get(7, 3)).unwrap().data, 3);
    for position in [0, 3, 100, len - 1, len] {
        let info = measure(|| assert_eq!(store.try_get(7, position).unwrap().data, position));
        assert_eq!((info.count_total, info.bytes_total), (0, 0), "entry {position}");
        let info = measure(|| {
            let got = store.get(7, position).now_or_never().unwrap().unwrap();
            assert_eq!(got.data, position);
        });
        assert_eq!(info.count_total, 0, "entry {position}, by get");
    }
}
