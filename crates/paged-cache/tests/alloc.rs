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
use blob_runtime::append::{Config, Spares};
use blob_runtime::{Blob, Format, Kind, MemoryStorage, Storage, StoreId, Want};
use futures::FutureExt;
use futures::executor::block_on;
use paged_cache::{PageCache, Paged, Survey};

const ITEM_BYTES: usize = 32;

fn blob() -> Arc<dyn Blob> {
    let format = Format::new(Kind::PAGED, Want::Exactly(StoreId(1))).unit(Want::Exactly(4096));
    block_on(MemoryStorage::new().open("p", b"stream", &format)).unwrap()
}

fn open() -> Paged {
    let blob = blob();
    let survey = block_on(async { Survey::new(blob, None).await?.carry_out(u64::MAX).await }).unwrap();
    let config = Config { buffer_bytes: 64 << 10, unsynced_bytes: u64::MAX, spares: Spares::new(1 << 20) };
    Paged::new(survey, 0, &PageCache::new(4 << 20), config)
}

fn append(paged: &Paged, number: u8) {
    let appended = paged.append(ITEM_BYTES, |_, space| space.put(&[number; ITEM_BYTES]));
    assert!(appended.now_or_never().unwrap().is_ok(), "without a wait");
}

/// Appends of a small item, once both buffers have been used: no allocation, and nothing of it reaches the blob.
#[test]
fn a_steady_append_neither_allocates_nor_does_io() {
    let paged = open();
    // Both buffers grow to their size, and come back.
    for _ in 0..3 * (64 << 10) / ITEM_BYTES {
        append(&paged, 1);
    }
    block_on(paged.sync()).unwrap();
    let (before, pending) = (paged.blob().len(), paged.pending_bytes());
    let info = measure(|| (0..1_000).for_each(|_| append(&paged, 2)));
    assert_eq!((info.count_total, info.bytes_total), (0, 0));
    assert_eq!((paged.blob().len(), paged.pending_bytes()), (before, pending + 1_000 * ITEM_BYTES));
}

/// Looks at items in a page that is held, in the page that is not full, and in memory: no allocation, so no copy.
#[test]
fn a_read_in_memory_does_not_allocate() {
    let paged = open();
    (0..200).for_each(|_| append(&paged, 3));
    block_on(paged.sync()).unwrap();
    (0..10).for_each(|_| append(&paged, 4));
    // The first page comes into the cache.
    block_on(paged.read_at(0, ITEM_BYTES)).unwrap();
    let geometry = paged.geometry();
    let last_page = geometry.page_start(geometry.full_pages(200 * ITEM_BYTES as u64));
    for (offset, byte) in [(0, 3), (64, 3), (last_page, 3), (200 * ITEM_BYTES as u64, 4)] {
        let info = measure(|| {
            let looked = paged.try_read_with(offset, ITEM_BYTES, |item| item == [byte; ITEM_BYTES]);
            assert!(matches!(looked, Some(Ok(true))), "at {offset}");
        });
        assert_eq!((info.count_total, info.bytes_total), (0, 0), "at {offset}");
    }
}

/// A survey of a file of garbage, and of one whose pages all verify: the memory it takes is that of two chunks of 1 MiB,
/// however large the file.
#[test]
fn a_survey_takes_bounded_memory() {
    let mut garbage = vec![0; 8 << 20];
    fastrand::Rng::with_seed(1).fill(&mut garbage);
    let zeros = vec![0; 8 << 20];
    let sound = open();
    (0..(8 << 20) / ITEM_BYTES).for_each(|_| {
        block_on(sound.append(ITEM_BYTES, |_, space| space.put(&[5; ITEM_BYTES]))).unwrap();
    });
    block_on(sound.sync()).unwrap();
    let blobs = [garbage, zeros].map(|content| {
        let blob = blob();
        block_on(blob.write_at(0, vec![content.into()])).unwrap();
        blob
    });
    for (case, blob) in [&blobs[0], &blobs[1], sound.blob()].into_iter().enumerate() {
        let info = measure(|| {
            block_on(Survey::new(Arc::clone(blob), None)).unwrap();
        });
        assert!(info.bytes_max <= (2 << 20) + 4096, "case {case}: {info:?}");
        assert!(info.count_total < 100, "case {case}: {info:?}");
    }
}
