//! The program that benchmarks our own store, and plain files as the limit of what a store can do.

mod pair;
mod plain;
mod reader;

use std::process::ExitCode;

use futures::executor::block_on;
use workloads::drive::drive;
use workloads::workload::Action;
use workloads::{Contender, program};

fn main() -> ExitCode {
    program::main(&[
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
