//! The program that benchmarks the reference on the same workloads as our own store.

mod commonware;

use std::process::ExitCode;

use workloads::{Contender, program};

fn main() -> ExitCode {
    program::main(&[Contender {
        name: "cw4",
        about: "commonware-storage 2026.4.0, Oversized on its tokio runtime: the reference",
        unsupported: |_| None,
        run: commonware::run,
    }])
}
