//! The program that benchmarks other engines on the same workloads as our own store. The reference has one of its own,
//! in `reference/`: cargo cannot take both versions of commonware-storage into one `Cargo.lock`.

mod commonware;
mod fjall;
mod raft_engine;
mod redb;

use std::process::ExitCode;

use futures::executor::block_on;
use workloads::drive::drive;
use workloads::workload::Action;
use workloads::{Contender, program};

fn main() -> ExitCode {
    program::main(&[
        Contender {
            name: "cw10",
            about: "commonware-storage 2026.10.0, Oversized on its tokio runtime",
            unsupported: |_| None,
            run: commonware::run,
        },
        Contender {
            name: "raft-engine",
            about: "raft-engine 0.4.2, a section is a group, a writer has a group of its own, no compression",
            unsupported: whole_rows,
            run: |job| block_on(drive(&raft_engine::RaftEngine, job)),
        },
        Contender {
            name: "fjall",
            about: "fjall 3.1.13, records and values in two keyspaces, 256 MiB of cache, no compression",
            unsupported: |_| None,
            run: |job| block_on(drive(&fjall::Fjall, job)),
        },
        Contender {
            name: "redb",
            about: "redb 4.6.0, a record and its value are one row; unsynced appends in transactions of 1,000 rows or 4 MiB",
            unsupported: whole_rows,
            run: |job| block_on(drive(&redb::Redb, job)),
        },
    ])
}

/// Engines in which a record and its value are one thing.
fn whole_rows(action: Action) -> Option<&'static str> {
    match action {
        Action::Entry | Action::ReplayEntries => Some("a record is read with its value"),
        _ => None,
    }
}
