//! `cargo xtask test-crash`: the crash suite, run wide.
//!
//! The suite is a program of its own, `crash` in `crates/testkit`: it wants all optimisation, and this one is to be built
//! in a moment. So this builds that with a profile of its own and starts it; only `--mutations` and the tier `coverage`,
//! which is another program again, are done here.

pub(crate) mod coverage;
mod mutations;
mod pool;
#[cfg(test)]
mod tests;

use clap::Parser;

use crate::process::{Failure, cargo, run};
use crate::workspace::Workspace;

/// What there is to ask for. Each program reads its own options, in any order.
const OPTIONS: &str = "\
The suite:
      --tier <TIER>       sim (unless set), small, kill, fuzz, model, all
      --seeds <N>, --minutes <M>, --seed <S>, --first-seed <S>, --jobs <J>
                          `cargo xtask test-crash -- --help` says what they are
The fuzzer:
      --tier coverage     with --minutes <M>, --only <TARGET>, --jobs <J>, --merge
The mutations of xtask/mutations, each of which its tests must notice:
      --mutations         with --only <TEXT> in their names, --jobs <J>, --alone (each in a build of its own)";

/// What to run.
#[derive(Debug, Parser)]
#[command(after_help = OPTIONS, override_usage = "cargo xtask test-crash [OPTIONS]")]
pub(crate) struct Args {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    words: Vec<String>,
}

/// Runs it.
///
/// # Errors
/// When a promise is broken, a mutation is not caught, or something cannot be started.
pub(crate) fn test(args: &Args) -> Result<(), Failure> {
    let workspace = Workspace::load()?;
    if let Some(args) = mutations::Args::of(&args.words) {
        return mutations::run_all(&workspace, &args?);
    }
    if let Some(args) = coverage::Args::of(&args.words) {
        return coverage::fuzz(&workspace, &args?);
    }
    let mut command = cargo();
    command
        .args(["run", "--quiet", "--profile", "crash", "--package", "testkit", "--bin", "crash", "--"])
        .args(&args.words);
    run(command.current_dir(&workspace.root))
}

/// The words as options of a program that is asked for by them, if it is.
fn options<P: Parser>(words: &[String], asked: bool) -> Option<Result<P, Failure>> {
    let words = std::iter::once("test-crash").chain(words.iter().map(String::as_str));
    asked.then(|| P::try_parse_from(words).map_err(|error| Failure::new(error.to_string())))
}
