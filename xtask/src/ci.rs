//! `cargo xtask ci`: what must hold for every commit, step by step, ended by the first failure.

use std::fmt;
use std::process::Command;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::crash::coverage;
use crate::process::{Failure, cargo, run as run_command, run_and_keep};
use crate::tidy;
use crate::workspace::{Package, Workspace};

mod cross;
mod examples;
mod shuttle;
#[cfg(test)]
mod tests;

/// What to check.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Leaves a step out; may be given more than once.
    #[arg(long, value_name = "STEP", conflicts_with = "only")]
    skip: Vec<Step>,
    /// Takes this step alone; may be given more than once.
    #[arg(long, value_name = "STEP")]
    only: Vec<Step>,
}

/// The steps, in the order in which they run: what fails fast comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Step {
    /// `cargo fmt --all --check`, and the packages outside the workspace.
    Fmt,
    /// Our own rules: see `xtask/src/tidy.rs`.
    Tidy,
    /// Clippy on all targets with all features, warnings denied.
    Clippy,
    /// Each library by itself: with all others a feature that it forgot to ask for may be there by chance.
    Alone,
    /// The documentation, public and private, warnings denied.
    Doc,
    /// Unit and integration tests.
    Test,
    /// The examples in the documentation.
    Doctest,
    /// What locks and wakes, in many orders of its threads.
    Shuttle,
    /// Examples: all built, those that end by themselves run.
    Examples,
    /// Benches: compiled and linked.
    Benches,
    /// `blob-runtime` checked for a target that is not Unix, when one is installed.
    Cross,
    /// The fuzzer: its tests, all inputs that are kept, and a short run of each target, when there is a C++ compiler.
    Fuzz,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.pad(value.as_ref().map_or("", |value| value.get_name()))
    }
}

/// Packages outside the workspace. All are formatted; what the peers depend on takes minutes to build, so they are not
/// built.
const OUTSIDE: [&str; 3] = ["xtask/peers/Cargo.toml", "xtask/peers/reference/Cargo.toml", coverage::MANIFEST];

/// How a step that did not fail ended, with what is worth knowing about it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Done(String),
    Skipped(String),
}

/// Runs the steps.
///
/// # Errors
/// The failure of the first step that does not pass.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let steps = plan(args)?;
    let workspace = Workspace::load()?;
    let mut report = Report::default();
    let result = report.run(&steps, |step| {
        println!("\n== {step} ==");
        check(step, &workspace)
    });
    println!("\n{report}");
    result
}

/// The steps to run, in order.
fn plan(args: &Args) -> Result<Vec<Step>, Failure> {
    let wanted = |step: &Step| if args.only.is_empty() { !args.skip.contains(step) } else { args.only.contains(step) };
    let steps: Vec<Step> = Step::value_variants().iter().copied().filter(wanted).collect();
    if steps.is_empty() {
        return Err(Failure::new("every step is left out"));
    }
    Ok(steps)
}

fn check(step: Step, workspace: &Workspace) -> Result<Outcome, Failure> {
    let cargo = |words: &str| {
        let mut command = cargo();
        command.args(words.split_whitespace()).current_dir(&workspace.root);
        command
    };
    match step {
        Step::Fmt => {
            run_command(&mut cargo("fmt --all --check"))?;
            for manifest in OUTSIDE {
                run_command(cargo("fmt --check --manifest-path").arg(manifest))?;
            }
            Ok(Outcome::Done(String::new()))
        }
        Step::Tidy => tidy::run(workspace).map(Outcome::Done),
        Step::Clippy => {
            run_command(&mut cargo("clippy --locked --workspace --all-targets --all-features -- -D warnings"))?;
            // Without libFuzzer itself, which needs a C++ compiler.
            let fuzz = "clippy --locked --no-default-features --all-targets --manifest-path";
            done(run_command(cargo(fuzz).arg(coverage::MANIFEST).args(["--", "-D", "warnings"])))
        }
        Step::Alone => {
            let libraries: Vec<_> = workspace.targets("lib").map(|(package, _)| package).collect();
            for package in &libraries {
                for features in feature_sets(package) {
                    let words = format!("clippy --locked --package {} --lib {features} -- -D warnings", package.name);
                    run_command(&mut cargo(&words))?;
                }
            }
            Ok(Outcome::Done(format!("{} libraries", libraries.len())))
        }
        Step::Doc => {
            let doc = "doc --locked --workspace --no-deps --all-features";
            let deny = |mut command: Command| {
                command.env("RUSTDOCFLAGS", "-D warnings");
                command
            };
            // The private run finds broken links of private items, the public one links from public to private items.
            // It comes last, so that what stays in the target folder is what a user would see.
            run_command(&mut deny(cargo(&format!("{doc} --document-private-items"))))?;
            done(run_command(&mut deny(cargo(doc))))
        }
        Step::Test => {
            // What `cargo test` takes, without the doc tests, so that each kind is seen to have run.
            tested(&mut cargo("test --locked --workspace --all-features --lib --bins --tests"))
        }
        Step::Doctest => tested(&mut cargo("test --locked --workspace --all-features --doc")),
        Step::Shuttle => shuttle::check(workspace),
        Step::Examples => examples::check(workspace),
        Step::Benches => {
            let count = workspace.targets("bench").count();
            if count == 0 {
                return Ok(Outcome::Skipped("the workspace has no bench".into()));
            }
            run_command(&mut cargo("test --locked --workspace --all-features --benches --no-run"))?;
            Ok(Outcome::Done(format!("{count} compiled")))
        }
        Step::Cross => cross::check(workspace),
        Step::Fuzz if !coverage::has_compiler()? => {
            Ok(Outcome::Skipped("libFuzzer needs a C++ compiler, and there is none".into()))
        }
        Step::Fuzz => {
            tested(cargo("test --locked --no-default-features --lib --manifest-path").arg(coverage::MANIFEST))?;
            coverage::smoke(workspace).map(Outcome::Done)
        }
    }
}

/// The settings of features a library is checked with: its own default, and none and all where it has any.
fn feature_sets(package: &Package) -> &'static [&'static str] {
    if package.features.is_empty() { &[""] } else { &["", "--no-default-features", "--all-features"] }
}

fn done(result: Result<(), Failure>) -> Result<Outcome, Failure> {
    result.map(|()| Outcome::Done(String::new()))
}

fn tested(command: &mut Command) -> Result<Outcome, Failure> {
    judge(tally(&run_and_keep(command)?)).map(Outcome::Done)
}

/// What the test harnesses of one run report, added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    ignored: u64,
    filtered: u64,
}

/// Adds up the lines `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s`.
fn tally(output: &str) -> Tally {
    let mut sum = Tally::default();
    for line in output.lines().filter_map(|line| line.strip_prefix("test result: ")) {
        for part in line.split(['.', ';']) {
            let mut words = part.split_whitespace();
            let (Some(count), Some(what)) = (words.next().and_then(|word| word.parse::<u64>().ok()), words.next())
            else {
                continue;
            };
            match what {
                "passed" => sum.passed += count,
                "ignored" => sum.ignored += count,
                "filtered" => sum.filtered += count,
                _ => {}
            }
        }
    }
    sum
}

/// A run that tested nothing, or not all, has not passed.
fn judge(tally: Tally) -> Result<String, Failure> {
    match tally {
        Tally { ignored: 0, filtered: 0, passed: 0 } => Err(Failure::new("the run exited with 0 and ran no test")),
        Tally { ignored: 0, filtered: 0, passed } => Ok(format!("{passed} passed")),
        Tally { ignored, filtered, .. } => {
            Err(Failure::new(format!("{ignored} tests were ignored and {filtered} filtered out; all must run")))
        }
    }
}

/// The steps that ran, with their ends and times.
#[derive(Debug, Default)]
struct Report {
    rows: Vec<(Step, Result<Outcome, Failure>, Duration)>,
    /// Steps behind the one that failed.
    not_run: Vec<Step>,
}

impl Report {
    /// Runs the steps one after the other and stops at the first that fails.
    fn run(&mut self, steps: &[Step], mut check: impl FnMut(Step) -> Result<Outcome, Failure>) -> Result<(), Failure> {
        for (at, step) in steps.iter().copied().enumerate() {
            let started = Instant::now();
            let result = check(step);
            let failed = result.as_ref().err().cloned();
            self.rows.push((step, result, started.elapsed()));
            if let Some(failure) = failed {
                self.not_run = steps.iter().skip(at + 1).copied().collect();
                return Err(Failure::new(format!("{step}: {failure}")));
            }
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (step, result, time) in &self.rows {
            let (end, note) = match result {
                Ok(Outcome::Done(note)) => ("ok", note.as_str()),
                Ok(Outcome::Skipped(why)) => ("skipped", why.as_str()),
                Err(failure) => ("FAILED", failure.0.as_str()),
            };
            let line = format!("{step:<9} {end:<8} {:>7.1} s  {note}", time.as_secs_f64());
            writeln!(f, "{}", line.trim_end())?;
        }
        for step in &self.not_run {
            writeln!(f, "{step:<9} not run")?;
        }
        let total: Duration = self.rows.iter().map(|(_, _, time)| *time).sum();
        write!(f, "{:<18} {:>7.1} s", "total", total.as_secs_f64())
    }
}
