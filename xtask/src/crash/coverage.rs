//! The tier `coverage`: libFuzzer drives the program of `xtask/fuzz`, one target after the other or several side by side.
//!
//! The program is built by the usual toolchain, with the compiler's own instrumentation for coverage, into a target folder
//! of its own. That the instrumentation is there is checked in what libFuzzer prints: without it every run would end well
//! and mean nothing.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::Parser;

use super::pool;
use crate::process::{Failure, announce, ask, cargo, run};
use crate::workspace::Workspace;

mod report;
#[cfg(test)]
mod tests;

use report::{Run, table};

/// Where the package is, from the workspace's root.
pub(crate) const MANIFEST: &str = "xtask/fuzz/Cargo.toml";

/// What makes the compiler count edges and tell comparisons.
const INSTRUMENTED: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing";

/// Memory of one process, in MiB; what one input may allocate is bounded by the program itself, far below.
const MAX_RSS_MIB: u32 = 1024;
/// The longest time for one input, in seconds: thousands of times what any takes.
const MAX_INPUT_SECONDS: u32 = 20;
/// The longest time of one target in the short run, in seconds, however slow the machine is.
const MAX_SMOKE_SECONDS: u32 = 20;

/// What is fuzzed; the same names as in `xtask/fuzz/src/targets.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Target {
    name: &'static str,
    /// The longest input in bytes.
    max_len: u32,
    /// Runs of a commit's check.
    smoke_runs: u32,
}

const TARGETS: [Target; 6] = [
    Target { name: "header", max_len: 4200, smoke_runs: 40_000 },
    Target { name: "page", max_len: 8192, smoke_runs: 4000 },
    Target { name: "frame", max_len: 8192, smoke_runs: 4000 },
    Target { name: "manifest", max_len: 4500, smoke_runs: 8000 },
    Target { name: "store", max_len: 8192, smoke_runs: 2500 },
    Target { name: "operations", max_len: 24 * 64, smoke_runs: 2500 },
];

/// What to fuzz, and for how long.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask test-crash")]
pub(crate) struct Args {
    #[arg(long, hide = true)]
    tier: String,
    /// So long, altogether; each target has the same share.
    #[arg(long, default_value_t = 6.0)]
    minutes: f64,
    /// This target alone; may be given more than once.
    #[arg(long, value_name = "TARGET")]
    only: Vec<String>,
    /// Targets at the same time; as many as there are cores unless set.
    #[arg(long)]
    jobs: Option<usize>,
    /// Afterwards, the smallest inputs that reach all that was reached become the corpus in `xtask/fuzz/corpus`.
    #[arg(long)]
    merge: bool,
}

impl Args {
    /// The arguments, when they ask for this tier.
    pub(crate) fn of(words: &[String]) -> Option<Result<Self, Failure>> {
        let asked = words.windows(2).any(|pair| pair == ["--tier", "coverage"])
            || words.iter().any(|word| word == "--tier=coverage");
        super::options(words, asked)
    }

    fn targets(&self) -> Result<Vec<Target>, Failure> {
        if self.only.is_empty() {
            return Ok(TARGETS.to_vec());
        }
        let named = |name: &String| {
            let names = || TARGETS.map(|target| target.name).join(", ");
            let found = TARGETS.into_iter().find(|target| target.name == name);
            found.ok_or_else(|| Failure::new(format!("there is no target {name}; there are {}", names())))
        };
        self.only.iter().map(named).collect()
    }
}

/// The program, and where things are.
struct Program {
    path: PathBuf,
    /// The package's folder.
    home: PathBuf,
    /// For what need not be kept.
    scratch: PathBuf,
}

/// Whether there is a C++ compiler, which libFuzzer needs.
pub(crate) fn has_compiler() -> Result<bool, Failure> {
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    Ok(ask(Command::new(compiler).arg("--version"))?.is_some())
}

impl Program {
    fn build(workspace: &Workspace) -> Result<Self, Failure> {
        let version = ask(Command::new("rustc").arg("-vV"))?.unwrap_or_default();
        let host = version.lines().find_map(|line| line.strip_prefix("host: "));
        let host = host.ok_or_else(|| Failure::new("`rustc -vV` does not say what it compiles for"))?;
        let scratch = workspace.target().join("fuzz");
        let mut command = cargo();
        // With a target named, build scripts and macros are not instrumented.
        command
            .args(["build", "--quiet", "--locked", "--release", "--target", host, "--manifest-path", MANIFEST])
            .arg("--target-dir")
            .arg(&scratch)
            .env("RUSTFLAGS", INSTRUMENTED)
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .current_dir(&workspace.root);
        run(&mut command)?;
        let path = scratch.join(host).join("release/fuzz");
        Ok(Self { path, home: workspace.root.join("xtask/fuzz"), scratch })
    }

    /// A folder for this target below `what`, made if it is missing.
    fn folder(&self, what: &str, target: Target) -> Result<PathBuf, Failure> {
        let folder = self.scratch.join(what).join(target.name);
        fs::create_dir_all(&folder).map_err(|error| cannot("make", &folder, &error))?;
        Ok(folder)
    }

    /// Inputs that are kept: the corpus, and what has failed once.
    fn kept(&self, target: Target) -> Vec<PathBuf> {
        let folders = ["corpus", "regressions"].map(|what| self.home.join(what).join(target.name));
        folders.into_iter().filter(|folder| folder.is_dir()).collect()
    }

    fn command(&self, target: Target) -> Command {
        let mut command = Command::new(&self.path);
        command.env("FUZZ_TARGET", target.name).current_dir(&self.scratch).stdin(Stdio::null());
        command
    }

    /// Inputs that sound stores make.
    fn seeds(&self, target: Target) -> Result<PathBuf, Failure> {
        let folder = self.folder("seeds", target)?;
        let done = ask(self.command(target).env("FUZZ_SEEDS", &folder))?;
        done.map(|_| folder).ok_or_else(|| Failure::new("the program is not where it was built"))
    }

    /// Runs one target. New inputs go to the first folder; what it prints goes to a file.
    fn run(&self, target: Target, folders: &[PathBuf], options: &[String]) -> Result<Run, Failure> {
        let findings = self.folder("findings", target)?;
        let log = self.folder("log", target)?.join("log");
        let file = File::create(&log).map_err(|error| cannot("write", &log, &error))?;
        let mut command = self.command(target);
        command
            .args(folders)
            .arg(format!("-max_len={}", target.max_len))
            .arg(format!("-rss_limit_mb={MAX_RSS_MIB}"))
            .arg(format!("-timeout={MAX_INPUT_SECONDS}"))
            .arg(format!("-artifact_prefix={}/", findings.display()))
            .args(["-print_final_stats=1", "-verbosity=1"])
            .args(options);
        announce(&command);
        let output = file.try_clone().map_err(|error| cannot("write", &log, &error))?;
        let status = command
            .stdout(output)
            .stderr(file)
            .status()
            .map_err(|error| Failure::new(format!("cannot run {}: {error}", self.path.display())))?;
        let text = fs::read(&log).map_err(|error| cannot("read", &log, &error))?;
        Run::of(target.name, &String::from_utf8_lossy(&text), status.success())
            .map_err(|what| Failure::new(format!("{}: {what}; what it printed is in {}", target.name, log.display())))
    }

    /// Says what a failing run found, and how to have it again.
    fn tell(&self, run: &Run) {
        println!("\n{}: a promise is broken, or a limit exceeded\n{}", run.target, run.story);
        match &run.input {
            Some(input) => {
                println!("the input:  {input}\nonce more:  FUZZ_TARGET={} {} {input}", run.target, self.path.display());
            }
            None => println!("no input was written"),
        }
    }

    /// Makes the kept corpus anew: of all there is, the smallest inputs that reach as many edges.
    fn merge(&self, target: Target) -> Result<(), Failure> {
        let merged = self.folder("merged", target)?;
        empty(&merged)?;
        let mut folders = vec![merged.clone(), self.folder("corpus", target)?, self.seeds(target)?];
        folders.extend(self.kept(target));
        self.run(target, &folders, &["-set_cover_merge=1".into(), "-use_counters=0".into()])?;
        let kept = self.home.join("corpus").join(target.name);
        fs::create_dir_all(&kept).map_err(|error| cannot("make", &kept, &error))?;
        empty(&kept)?;
        for entry in fs::read_dir(&merged).map_err(|error| cannot("read", &merged, &error))? {
            let entry = entry.map_err(|error| cannot("read", &merged, &error))?;
            let to = kept.join(entry.file_name());
            fs::copy(entry.path(), &to).map_err(|error| cannot("write", &to, &error))?;
        }
        Ok(())
    }
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("cannot {what} {}: {error}", path.display()))
}

/// Removes the files of a folder.
fn empty(folder: &Path) -> Result<(), Failure> {
    for entry in fs::read_dir(folder).map_err(|error| cannot("read", folder, &error))? {
        let path = entry.map_err(|error| cannot("read", folder, &error))?.path();
        fs::remove_file(&path).map_err(|error| cannot("remove", &path, &error))?;
    }
    Ok(())
}

/// Runs each target for its share of the time.
///
/// # Errors
/// When a target fails, is not instrumented, or cannot be run.
pub(crate) fn fuzz(workspace: &Workspace, args: &Args) -> Result<(), Failure> {
    let targets = args.targets()?;
    if !has_compiler()? {
        return Err(Failure::new("libFuzzer needs a C++ compiler, and there is none: install g++, or set CXX"));
    }
    let program = Program::build(workspace)?;
    let cores = std::thread::available_parallelism().map_or(1, Into::into);
    let jobs = args.jobs.unwrap_or(cores).clamp(1, targets.len());
    let rounds = targets.len().div_ceil(jobs);
    let share = Duration::from_secs_f64((args.minutes * 60.0 / rounds as f64).max(1.0));
    let runs = side_by_side(&targets, jobs, |target| {
        let mut folders = vec![program.folder("corpus", target)?, program.seeds(target)?];
        folders.extend(program.kept(target));
        program.run(target, &folders, &[format!("-max_total_time={}", share.as_secs())])
    })?;
    let result = judge(&program, &runs);
    if args.merge && result.is_ok() {
        targets.into_iter().try_for_each(|target| program.merge(target))?;
    }
    result
}

/// The check of a commit: every input that is kept, and then so many runs of each target from a fixed seed.
///
/// # Errors
/// As [`fuzz`].
pub(crate) fn smoke(workspace: &Workspace) -> Result<String, Failure> {
    let program = Program::build(workspace)?;
    let cores = std::thread::available_parallelism().map_or(1, Into::into);
    let runs = side_by_side(&TARGETS, cores, |target| {
        let scratch = program.folder("smoke", target)?;
        empty(&scratch)?;
        let mut folders = vec![scratch];
        folders.extend(program.kept(target));
        let runs = format!("-runs={}", target.smoke_runs);
        program.run(target, &folders, &[runs, "-seed=1".into(), format!("-max_total_time={MAX_SMOKE_SECONDS}")])
    })?;
    judge(&program, &runs)?;
    let count: u64 = runs.iter().map(|run| run.runs).sum();
    Ok(format!("{count} runs of {} targets", runs.len()))
}

/// Runs the targets, at most so many at the same time; the results are in their order.
fn side_by_side(
    targets: &[Target],
    jobs: usize,
    each: impl Fn(Target) -> Result<Run, Failure> + Sync,
) -> Result<Vec<Run>, Failure> {
    let mut runs = Vec::new();
    pool::run(
        targets,
        jobs,
        |target| each(*target),
        |number, run| {
            runs.push((number, run?));
            Ok(())
        },
    )?;
    runs.sort_by_key(|(number, _)| *number);
    Ok(runs.into_iter().map(|(_, run)| run).collect())
}

fn judge(program: &Program, runs: &[Run]) -> Result<(), Failure> {
    println!("\n{}", table(runs));
    let failed: Vec<_> = runs.iter().filter(|run| run.failed).collect();
    failed.iter().for_each(|run| program.tell(run));
    match failed.len() {
        0 => Ok(()),
        count => Err(Failure::new(format!("{count} of {} targets failed, see above", runs.len()))),
    }
}
