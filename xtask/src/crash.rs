//! `cargo xtask test-crash`: the crash suite, run wide.
//!
//! The suite is a program of its own, `crash` in `crates/testkit`: it wants all optimisation, and this one is to be built
//! in a moment. So this builds that with a profile of its own and starts it; only `--mutations` and the tier `coverage`,
//! which is another program again, are done here.

pub(crate) mod coverage;
mod mutations;
mod pool;

use std::num::NonZeroUsize;

use clap::Parser;

use self::mutations::Wanted;
use crate::process::{Failure, cargo, run};
use crate::workspace::Workspace;

/// What to run. All that is not named here goes to the suite: see `cargo xtask test-crash -- --help`.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// Put each mutation of `xtask/mutations` into a scratch copy, and see that its tests fail.
    #[arg(long)]
    mutations: bool,
    /// With `--mutations`: only those with this in their name.
    #[arg(long, requires = "mutations")]
    only: Option<String>,
    /// With `--mutations`: build each alone, not all together behind switches.
    #[arg(long, requires = "mutations")]
    alone: bool,
    /// So many at once; unless set, as many as there are cores.
    #[arg(long)]
    jobs: Option<NonZeroUsize>,
    /// For the suite: `--tier sim|kill|fuzz|model|all`, `--seeds N`, `--minutes M`, `--seed S`, `--jobs J`.
    /// `--tier coverage` is the fuzzer: `--minutes M`, `--only TARGET`, `--jobs J`, `--merge`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    suite: Vec<String>,
}

/// Runs it.
///
/// # Errors
/// When a promise is broken, a mutation is not caught, or something cannot be started.
pub(crate) fn test(args: &Args) -> Result<(), Failure> {
    let workspace = Workspace::load()?;
    if args.mutations {
        let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let jobs = args.jobs.unwrap_or_else(cores);
        return mutations::run_all(&workspace, Wanted { only: args.only.as_deref(), jobs, alone: args.alone });
    }
    if let Some(args) = coverage::Args::of(&args.suite) {
        return coverage::fuzz(&workspace, &args?);
    }
    let mut command = cargo();
    // The suite has the same option.
    let jobs = args.jobs.map(|jobs| format!("--jobs={jobs}"));
    command
        .args(["run", "--quiet", "--profile", "crash", "--package", "testkit", "--bin", "crash", "--"])
        .args(jobs)
        .args(&args.suite);
    run(command.current_dir(&workspace.root))
}
