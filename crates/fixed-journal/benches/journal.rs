//! The hot paths of a journal, in memory: what the crate itself costs, without a disk.
#![expect(clippy::expect_used, reason = "a benchmark whose store fails has nothing to say")]
#![allow(missing_docs, reason = "criterion_group! makes a public function without one")]

use std::hint::black_box;
use std::sync::Arc;

use blob_runtime::MemoryStorage;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fixed_journal::{Config, Journal};
use futures::StreamExt;
use futures::executor::block_on;
use paged_cache::PageCache;

const ITEM_BYTES: usize = 32;
/// Items of a section that is read.
const ITEMS: u64 = 1_000_000;

fn open() -> Journal<[u8; ITEM_BYTES]> {
    let config = Config::new("items").page_cache(PageCache::new(256 << 20));
    block_on(Journal::open(Arc::new(MemoryStorage::new()), config)).expect("opens in memory")
}

fn filled() -> Journal<[u8; ITEM_BYTES]> {
    let journal = open();
    let items = vec![7; ITEM_BYTES * 1000];
    for _ in 0..ITEMS / 1000 {
        block_on(journal.append_many(0, &items)).expect("appends");
    }
    block_on(journal.sync(0)).expect("syncs");
    journal
}

/// Appends until a section is large, then goes on with the next, so that memory stays bounded.
fn append(c: &mut Criterion) {
    let mut group = c.benchmark_group("append");
    for count in [1, 100] {
        let (journal, items) = (open(), vec![7; ITEM_BYTES * count]);
        group.throughput(Throughput::Elements(count as u64));
        let (mut section, mut bytes) = (0, 0);
        group.bench_function(format!("{count} x 32 B"), |b| {
            b.iter(|| {
                bytes += items.len();
                if bytes > 64 << 20 {
                    block_on(journal.remove_section(section)).expect("removes");
                    (section, bytes) = (section + 1, 0);
                }
                block_on(journal.append_many(section, black_box(&items))).expect("appends")
            });
        });
    }
    group.finish();
}

/// Looks at an item in a page that is held: any page, and the last one.
fn try_get(c: &mut Criterion) {
    let journal = filled();
    for position in 0..ITEMS {
        block_on(journal.get(0, position)).expect("reads");
    }
    let mut group = c.benchmark_group("try_get");
    let mut position = 0;
    group.bench_function("page held", |b| {
        b.iter(|| {
            position = (position + 7919) % (ITEMS - 1000);
            journal.try_get_with(0, black_box(position), |item| item[0])
        });
    });
    group.bench_function("page held, of a few", |b| {
        b.iter(|| {
            position = (position + 7919) % 20_000;
            journal.try_get_with(0, black_box(position), |item| item[0])
        });
    });
    group.bench_function("last", |b| b.iter(|| journal.try_get_with(0, black_box(ITEMS - 1), |item| item[0])));
    group.finish();
}

fn replay(c: &mut Criterion) {
    let journal = filled();
    let mut group = c.benchmark_group("replay");
    group.throughput(Throughput::Elements(ITEMS)).sample_size(20);
    group.bench_function("items of 32 B", |b| {
        b.iter(|| {
            block_on(async {
                let (mut replay, mut sum) = (journal.raw().replay(0, 0), 0_u64);
                while let Some(item) = replay.next().await {
                    sum += u64::from(item.expect("reads").item[0]);
                }
                sum
            })
        });
    });
    group.bench_function("typed items of 32 B", |b| {
        b.iter(|| {
            block_on(async {
                let (mut replay, mut sum) = (journal.replay(0, 0), 0_u64);
                while let Some(item) = replay.next().await {
                    sum += u64::from(item.expect("reads").item[0]);
                }
                sum
            })
        });
    });
    group.finish();
}

criterion_group!(benches, append, try_get, replay);
criterion_main!(benches);
