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
use fixed_journal::{Config, Journal};
use futures::FutureExt;
use futures::executor::block_on;

type Items = Journal<(u64, [u8; 24])>;

fn item(number: u64) -> (u64, [u8; 24]) {
    (number, [u8::try_from(number % 251).unwrap(); 24])
}

fn append(journal: &Items, number: u64) {
    let appended = journal.append(7, &item(number)).now_or_never();
    assert_eq!(appended.unwrap().unwrap(), number, "without a wait");
}

/// A journal whose buffers have all been used once, and what it has in section 7.
fn journal() -> (Items, u64, Arc<dyn Blob>) {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
    let config = Config::new("items").buffer_bytes(64 << 10);
    let journal = block_on(Items::open(Arc::clone(&storage), config)).unwrap();
    block_on(journal.append(7, &item(0))).unwrap();
    let len = 3 * (64 << 10) / 32;
    (1..len).for_each(|number| append(&journal, number));
    block_on(journal.sync(7)).unwrap();
    let format = Format::new(Kind::PAGED, Want::Default(StoreId(0))).existing();
    let blob = block_on(storage.open("items", &7_u64.to_be_bytes(), &format)).unwrap();
    (journal, len, blob)
}

#[test]
fn a_steady_append_neither_allocates_nor_does_io() {
    let (journal, len, blob) = journal();
    let before = blob.len();
    let info = measure(|| (len..len + 1_000).for_each(|number| append(&journal, number)));
    assert_eq!((info.count_total, info.bytes_total), (0, 0));
    assert_eq!(blob.len(), before);
    assert_eq!(block_on(journal.durable_len(7)).unwrap(), len, "nor made anything durable");
}

/// An item in a cached page, in the last page, and only in memory, decoded in place.
#[test]
fn a_read_in_memory_does_not_allocate() {
    let (journal, len, _) = journal();
    append(&journal, len);
    assert!(journal.try_get(7, 3).is_none(), "its page is not held yet");
    assert_eq!(block_on(journal.get(7, 3)).unwrap(), item(3));
    for position in [0, 3, 100, len - 1, len] {
        let info = measure(|| {
            let got = journal.try_get(7, position).unwrap().unwrap();
            assert_eq!(got, item(position));
        });
        assert_eq!((info.count_total, info.bytes_total), (0, 0), "item {position}");
        let info = measure(|| {
            let got = journal.get(7, position).now_or_never().unwrap().unwrap();
            assert_eq!(got, item(position));
        });
        assert_eq!(info.count_total, 0, "item {position}, by get");
    }
}
