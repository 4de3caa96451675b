//! The programs that run engines: building them, asking them what they have, and running one engine, one workload and
//! one phase in a process of its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use clap::ValueEnum as _;
use workloads::program::{Answer, Introduction, Phase};
use workloads::{Outcome, Workload};

use super::calls;
use crate::process::{Failure, announce, ask, cargo, run};
use crate::workspace::Workspace;

#[cfg(test)]
mod tests;

/// How long one process may take.
const LIMIT: Duration = Duration::from_secs(600);
/// How often a process is looked at. Each look is a wake-up beside what is measured, so not too often.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// An engine, and the program that has it.
#[derive(Debug, Clone)]
pub(super) struct Engine {
    pub(super) name: String,
    pub(super) about: String,
    program: PathBuf,
}

/// A package with a program that runs engines.
struct Package {
    name: &'static str,
    /// Its folder, from the root; it is outside the workspace when there is one.
    outside: Option<&'static str>,
}

const OWN: Package = Package { name: "own", outside: None };
const PEERS: [Package; 2] = [
    Package { name: "peers", outside: Some("xtask/peers") },
    Package { name: "peers-reference", outside: Some("xtask/peers/reference") },
];

/// Builds the programs and asks each for its engines.
///
/// # Errors
/// When one does not build, or does not answer.
pub(super) fn engines(workspace: &Workspace, peers: bool) -> Result<Vec<Engine>, Failure> {
    let mut all = Vec::new();
    for package in std::iter::once(&OWN).chain(PEERS.iter().filter(|_| peers)) {
        let program = build(workspace, package)?;
        let text = ask(Command::new(&program).arg("engines"))?.unwrap_or_default();
        let list: Vec<Introduction> = serde_json::from_str(&text)
            .map_err(|error| Failure::new(format!("{} does not tell its engines: {error}", package.name)))?;
        let engine = |of: Introduction| Engine { name: of.name, about: of.about, program: program.clone() };
        all.extend(list.into_iter().map(engine));
    }
    Ok(all)
}

/// Builds one program; returns where it is.
fn build(workspace: &Workspace, package: &Package) -> Result<PathBuf, Failure> {
    let mut command = cargo();
    command.args(["build", "--release", "--locked", "--package", package.name]).current_dir(&workspace.root);
    let target = match package.outside {
        None => workspace.target(),
        Some(folder) => {
            let folder = workspace.root.join(folder);
            command.arg("--manifest-path").arg(folder.join("Cargo.toml"));
            // A target folder of its own also where one is set for all: two lock files must not share one.
            folder.join("target")
        }
    };
    run(command.arg("--target-dir").arg(&target))?;
    Ok(target.join("release").join(package.name))
}

/// How a process is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way<'a> {
    /// As it is.
    Free,
    /// On one processor, by taskset(1).
    Pinned(u32),
    /// Under strace(1), which writes its log to this file.
    Traced(&'a Path),
}

/// How a measurement ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Ended {
    Measured(Box<Outcome>),
    /// The engine cannot do it, and why.
    Unsupported(String),
}

/// Does both phases of a workload in a directory that is made anew and removed afterwards.
///
/// # Errors
/// When a process fails, or does not answer in time.
pub(super) fn measure(engine: &Engine, workload: &Workload, folder: &Path, way: Way<'_>) -> Result<Ended, Failure> {
    let failed = |error: &std::io::Error| Failure::new(format!("cannot make {} anew: {error}", folder.display()));
    let store = folder.join("store");
    let clear = || match fs::remove_dir_all(&store) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(&error)),
        _ => Ok(()),
    };
    clear()?;
    fs::create_dir_all(&store).map_err(|error| failed(&error))?;
    let prepared = match workload.action.needs_store() {
        true => phase(engine, workload, folder, Phase::Prepare, Way::Free)?,
        false => Answer::Prepared,
    };
    let answer = match prepared {
        Answer::Prepared => phase(engine, workload, folder, Phase::Measure, way)?,
        other => other,
    };
    clear()?;
    match answer {
        Answer::Measured(outcome) => Ok(Ended::Measured(outcome)),
        Answer::Unsupported(why) => Ok(Ended::Unsupported(why)),
        Answer::Prepared => Err(Failure::new(format!("{} measured nothing of {}", engine.name, workload.id))),
    }
}

fn phase(engine: &Engine, workload: &Workload, folder: &Path, phase: Phase, way: Way<'_>) -> Result<Answer, Failure> {
    let mut command = match way {
        Way::Free => Command::new(&engine.program),
        Way::Pinned(processor) => {
            let mut command = Command::new("taskset");
            command.args(["--cpu-list", &processor.to_string()]).arg(&engine.program);
            command
        }
        Way::Traced(log) => {
            calls::traced(&engine.program, log).ok_or_else(|| Failure::new("there is no strace that may trace"))?
        }
    };
    let json = serde_json::to_string(workload).map_err(|error| Failure::new(error.to_string()))?;
    let value = phase.to_possible_value();
    let phase = value.as_ref().map_or("", |value| value.get_name());
    command.args(["run", &engine.name, &json, "--phase", phase, "--directory"]).arg(folder.join("store"));
    let text = quietly(&mut command, folder, LIMIT)?;
    serde_json::from_str(text.trim())
        .map_err(|error| Failure::new(format!("{} gave no answer for {}, {phase}: {error}", engine.name, workload.id)))
}

/// Runs a program with its output in files; returns what it wrote to standard output.
///
/// # Errors
/// When it does not exit with 0 in time; then with what it wrote to standard error.
fn quietly(command: &mut Command, folder: &Path, limit: Duration) -> Result<String, Failure> {
    let (out, err) = (folder.join("stdout"), folder.join("stderr"));
    let create = |path: &Path| {
        File::create(path).map_err(|error| Failure::new(format!("cannot make {}: {error}", path.display())))
    };
    let spawned = command.stdin(Stdio::null()).stdout(create(&out)?).stderr(create(&err)?).spawn();
    let mut child = spawned.map_err(|error| {
        announce(command);
        Failure::new(format!("cannot run it: {error}"))
    })?;
    let status = wait(&mut child, limit).map_err(|error| Failure::new(format!("cannot wait for it: {error}")))?;
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    match status {
        Some(status) if status.success() => Ok(read(&out)),
        Some(status) => Err(Failure::new(format!("{status}: {}", read(&err).trim()))),
        None => Err(Failure::new(format!("it did not end within {limit:?}"))),
    }
}

/// Waits for a process; one that takes longer than `limit` is killed, and `None` returned.
fn wait(child: &mut Child, limit: Duration) -> std::io::Result<Option<ExitStatus>> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if started.elapsed() >= limit {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
