//! The hot paths of a stream of pages, in memory: what the crate itself costs, without a disk.
#![expect(clippy::expect_used, reason = "a benchmark whose store fails has nothing to say")]
#![allow(missing_docs, reason = "criterion_group! makes a public function without one")]

use std::hint::black_box;

use blob_runtime::append::Config;
use blob_runtime::{Format, Kind, MemoryStorage, Storage, StoreId, Want};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures::executor::block_on;
use paged_cache::{PageCache, Paged, Survey};

/// Bytes of a stream that is read.
const BYTES: u64 = 32 << 20;

fn open() -> Paged {
    block_on(async {
        let format = Format::new(Kind::PAGED, Want::Exactly(StoreId(1))).unit(Want::Default(4096));
        let blob = MemoryStorage::new().open("p", b"stream", &format).await.expect("opens in memory");
        let survey = Survey::new(blob, None).await.expect("is empty");
        Paged::new(survey, 0, &PageCache::new(256 << 20), Config::default())
    })
}

fn put(paged: &Paged, bytes: &[u8]) {
    block_on(paged.append(bytes.len(), |_, space| space.put(bytes))).expect("appends");
}

fn filled() -> Paged {
    let (paged, bytes) = (open(), vec![7; 1 << 16]);
    while paged.len() < BYTES {
        put(&paged, &bytes);
    }
    block_on(paged.sync()).expect("syncs");
    paged
}

fn append(c: &mut Criterion) {
    let mut group = c.benchmark_group("append");
    for len in [32_usize, 4096] {
        group.throughput(Throughput::Bytes(len as u64));
        let (mut paged, bytes) = (open(), vec![7; len]);
        group.bench_function(format!("{len} B"), |b| {
            b.iter(|| {
                if paged.len() > 64 << 20 {
                    paged = open();
                }
                put(&paged, black_box(&bytes));
            });
        });
    }
    group.finish();
}

/// A sync of little: one page that is not full is written anew.
fn sync(c: &mut Criterion) {
    let mut paged = open();
    c.bench_function("append 32 B and sync", |b| {
        b.iter(|| {
            if paged.len() > 64 << 20 {
                paged = open();
            }
            put(&paged, black_box(&[7; 32]));
            block_on(paged.sync()).expect("syncs");
        });
    });
}

fn read(c: &mut Criterion) {
    let paged = filled();
    let mut replay = paged.replay(0).expect("begins");
    while block_on(replay.next()).expect("reads").is_some() {}
    let mut at = 0;
    let mut group = c.benchmark_group("read 32 B");
    group.bench_function("held, in place", |b| {
        b.iter(|| {
            at = (at + 4072) % (BYTES / 2);
            block_on(paged.read_at(at, 32)).expect("reads");
            paged.try_read_with(black_box(at), 32, |bytes| bytes[0])
        });
    });
    group.finish();
    let mut group = c.benchmark_group("replay");
    group.throughput(Throughput::Bytes(BYTES)).sample_size(20);
    group.bench_function("32 MiB", |b| {
        b.iter(|| {
            let mut replay = paged.replay(0).expect("begins");
            while let Some(piece) = block_on(replay.next()).expect("reads") {
                black_box(piece);
            }
        });
    });
    group.finish();
}

criterion_group!(benches, append, sync, read);
criterion_main!(benches);
