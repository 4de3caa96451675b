//! Tasks of the workspace: `cargo xtask <task>`.

mod bench;
mod ci;
mod crash;
mod mutation;
mod process;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tasks of the workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Checks everything: format, lints, docs, tests, examples, benches, another platform, our own rules.
    Ci(ci::Args),
    /// Measures our store against plain files and, with `--peers`, against other engines; writes a report.
    Bench(bench::Args),
    /// The crash suite, run wide; and the mutations it must find.
    TestCrash(crash::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Ci(args) => ci::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::TestCrash(args) => crash::test(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}
