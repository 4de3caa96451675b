//! `FileStorage` alone: a durable append, and a read of what the page cache has.
//!
//! Durable appends are bounded by the disk. Each is made behind the last one, and the file starts anew every 16 MiB, so
//! that the disk does not fill up. `BLOB_RUNTIME_BENCH_DIR` names a directory on the disk to be measured; otherwise it
//! is the temporary directory's, and if that is in memory, so is the result.

#![expect(clippy::expect_used, reason = "a benchmark whose disk fails has nothing to say")]

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;

use blob_runtime::{Blob, FileStorage, Format, Io, Kind, Storage, StoreId, Want};
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures::executor::block_on;
use tempfile::TempDir;

const MODES: [(&str, Io); 2] = [("pool", Io::Pool), ("inline", Io::Inline)];
const MAX_BLOB_BYTES: u64 = 16 * 1024 * 1024;

fn new_blob(io: Io) -> (TempDir, Arc<dyn Blob>) {
    let above = std::env::var_os("BLOB_RUNTIME_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = tempfile::tempdir_in(above).expect("a directory to measure in");
    let storage = FileStorage::builder(dir.path()).io(io).open().expect("it is new");
    let format = Format::new(Kind::USER, Want::Exactly(StoreId(1)));
    let blob = block_on(storage.open("bench", b"blob", &format)).expect("it is new");
    (dir, blob)
}

fn durable_append(c: &mut Criterion) {
    let mut group = c.benchmark_group("write_at_sync");
    for (bytes, size) in [(256, "256 B"), (4096, "4 KiB")] {
        let value = Bytes::from(vec![7; bytes]);
        group.throughput(Throughput::Bytes(bytes as u64));
        for (name, io) in MODES {
            let (_dir, blob) = new_blob(io);
            group.bench_function(format!("{size}/{name}"), |b| {
                b.iter(|| {
                    if blob.len() >= MAX_BLOB_BYTES {
                        block_on(blob.resize(0)).expect("it can be cut");
                    }
                    block_on(blob.write_at_sync(blob.len(), vec![value.clone()])).expect("there is room");
                });
            });
        }
    }
    group.finish();
}

fn hot_read(c: &mut Criterion) {
    const READ_BYTES: usize = 4096;
    const BLOCKS: usize = 1024;
    let mut group = c.benchmark_group("try_read_at");
    group.throughput(Throughput::Bytes(READ_BYTES as u64));
    for (name, io) in MODES {
        let (_dir, blob) = new_blob(io);
        let content = Bytes::from(vec![7; READ_BYTES * BLOCKS]);
        block_on(blob.write_at(0, vec![content])).expect("there is room");
        let mut block = 0;
        group.bench_function(format!("4 KiB/{name}"), |b| {
            b.iter(|| {
                // Far apart, so that no two follow each other.
                block = (block + 379) % BLOCKS;
                let read = blob.try_read_at((block * READ_BYTES) as u64, READ_BYTES);
                black_box(read.expect("it was just written").expect("it is there"))
            });
        });
        // Through the call that may block: what a thread hop costs.
        group.bench_function(format!("4 KiB/read_at, {name}"), |b| {
            b.iter(|| {
                block = (block + 379) % BLOCKS;
                black_box(block_on(blob.read_at((block * READ_BYTES) as u64, READ_BYTES)).expect("it is there"))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, durable_append, hot_read);
criterion_main!(benches);
