//! The hot paths of a glob, in memory: what the crate itself costs, without a disk.
#![expect(clippy::expect_used, reason = "a benchmark whose store fails has nothing to say")]
#![allow(missing_docs, reason = "criterion_group! makes a public function without one")]

use std::hint::black_box;
use std::sync::Arc;

use blob_runtime::MemoryStorage;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use futures::StreamExt;
use futures::executor::block_on;
use glob::{Config, Cursor, RawGlob};

fn open() -> RawGlob {
    block_on(RawGlob::open(Arc::new(MemoryStorage::new()), Config::new("values"))).expect("opens in memory")
}

/// Appends until a section is large, then goes on with the next, so that memory stays bounded.
fn append(c: &mut Criterion) {
    let mut group = c.benchmark_group("append");
    for (name, len) in [("256 B", 256_usize), ("4 KiB", 4096), ("64 KiB", 65_536)] {
        group.throughput(Throughput::Bytes(len as u64));
        let (glob, value) = (open(), vec![7; len]);
        let (mut section, mut bytes) = (0, 0);
        group.bench_function(name, |b| {
            b.iter(|| {
                bytes += len;
                if bytes > 64 << 20 {
                    block_on(glob.remove_section(section)).expect("removes");
                    (section, bytes) = (section + 1, 0);
                }
                block_on(glob.append(section, black_box(&value))).expect("appends")
            });
        });
    }
    group.finish();
}

fn commit(c: &mut Criterion) {
    let glob = open();
    c.bench_function("append and sync 256 B", |b| {
        b.iter(|| {
            block_on(async {
                glob.append(1, black_box(&[7; 256])).await.expect("appends");
                glob.sync(1).await.expect("syncs");
            });
        });
    });
}

fn read(c: &mut Criterion) {
    let mut group = c.benchmark_group("read");
    for (name, len) in [("64 B", 64_usize), ("4 KiB", 4096)] {
        let glob = open();
        let count = (16 << 20) / (len as u64 + 40);
        let places: Vec<_> = (0..count)
            .map(|n| block_on(glob.append(1, &vec![n.to_le_bytes()[0]; len])).expect("appends").location)
            .collect();
        block_on(glob.sync(1)).expect("syncs");
        group.throughput(Throughput::Elements(1));
        let mut rng = fastrand::Rng::with_seed(1);
        group.bench_function(format!("get {name}"), |b| {
            b.iter_batched(
                || places[rng.usize(0..places.len())],
                |location| glob.try_get(1, location).expect("in memory").expect("is there"),
                BatchSize::SmallInput,
            );
        });
        group.throughput(Throughput::Elements(count));
        group.bench_function(format!("scan {name}"), |b| {
            b.iter(|| block_on(glob.scan(1, Cursor::START).map(|frame| frame.expect("sound").value.len()).count()));
        });
    }
    group.finish();
}

criterion_group!(benches, append, commit, read);
criterion_main!(benches);
