//! The program that benchmarks our own store, and plain files as the limit of what a store can do.

mod ours;
mod pair;
mod plain;
mod reader;

use std::process::ExitCode;

use blob_runtime::Io;
use futures::executor::block_on;
use ours::Ours;
use workloads::drive::drive;
use workloads::workload::Action;
use workloads::{Contender, program};

/// Our store as it is by default.
const POOL: Ours = Ours { io: Io::Pool, threads: false };
/// With blocking calls on the calling thread.
const INLINE: Ours = Ours { io: Io::Inline, threads: false };
/// As it is by default, with a thread for each of many writers.
const THREADS: Ours = Ours { io: Io::Pool, threads: true };

fn main() -> ExitCode {
    program::main(&[
        Contender {
            name: "oversized",
            about: "our store as it is by default: blocking calls go to a pool of threads",
            unsupported: |_| None,
            run: |job| block_on(drive(&POOL, job)),
        },
        Contender {
            name: "oversized-inline",
            about: "our store with blocking calls on the calling thread",
            unsupported: |_| None,
            run: |job| block_on(drive(&INLINE, job)),
        },
        Contender {
            name: "oversized-threads",
            about: "our store as it is by default; each of many writers is a thread, not a future",
            unsupported: |action| match action {
                Action::Writers(_) => None,
                _ => Some("it differs from oversized with many writers only"),
            },
            run: |job| block_on(drive(&THREADS, job)),
        },
        Contender {
            name: "raw",
            about: "one plain file: write + fdatasync, CRC-32 over each value, pread + CRC-32",
            unsupported: |action| match action {
                Action::ReplayEntries => Some("its entries lie among the values"),
                Action::Prune(_) => Some("it has one file for all sections"),
                _ => None,
            },
            run: |job| block_on(drive(&plain::Extending, job)),
        },
        Contender {
            name: "raw-ahead",
            about: "the same over blocks that were written with zeros and synced before",
            unsupported: |action| match action {
                Action::Commit | Action::Writers(_) => None,
                _ => Some("it differs from raw in durable appends only"),
            },
            run: |job| block_on(drive(&plain::Ahead, job)),
        },
        Contender {
            name: "raw2",
            about: "two plain files a section, entries and values, each synced by fdatasync; entries without checksum",
            unsupported: |_| None,
            run: |job| block_on(drive(&pair::Pairs, job)),
        },
    ])
}
