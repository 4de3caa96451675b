//! Examples: all are built; those that end by themselves are run.
//!
//! One that does not end, or needs arguments, is named in its package's manifest and then only built:
//!
//! ```toml
//! [package.metadata.ci]
//! examples-not-run = ["server"]
//! ```

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;

use super::Outcome;
use crate::process::{Failure, announce, ask, cargo, run_within};
use crate::workspace::Workspace;

#[cfg(test)]
mod tests;

/// What an example may take, on a busy machine and without optimisation.
const LIMIT: Duration = Duration::from_secs(300);

pub(super) fn check(workspace: &Workspace) -> Result<Outcome, Failure> {
    let examples: Vec<_> = workspace.targets("example").collect();
    if examples.is_empty() {
        return Ok(Outcome::Skipped("the workspace has no example".into()));
    }
    let build = ["build", "--locked", "--workspace", "--all-features", "--examples"];
    let format = "--message-format=json-render-diagnostics";
    let mut cargo = cargo();
    cargo.args(build).arg(format).current_dir(&workspace.root);
    announce(&cargo);
    let messages = ask(&mut cargo)?;
    let built = executables(&messages.unwrap_or_default())?;
    let mut ran = 0;
    for (package, target) in &examples {
        if package.leaves_out(&target.name) {
            println!("{} of {} is built and not run: its manifest says so", target.name, package.name);
            continue;
        }
        let program = built.iter().find(|built| built.source == target.source);
        let program = program.ok_or_else(|| {
            Failure::new(format!("cargo did not tell where it put the example {} of {}", target.name, package.name))
        })?;
        run_within(Command::new(&program.executable).current_dir(package.folder()), LIMIT)?;
        ran += 1;
    }
    Ok(Outcome::Done(format!("{} built, {ran} run", examples.len())))
}

/// An example's executable.
#[derive(Debug, PartialEq, Eq)]
struct Built {
    source: PathBuf,
    executable: PathBuf,
}

/// One message of `cargo build --message-format=json`; only what is of concern here.
#[derive(Deserialize)]
struct Message {
    reason: String,
    target: Option<crate::workspace::Target>,
    executable: Option<PathBuf>,
}

/// The examples' executables, from cargo's messages, one a line.
fn executables(messages: &str) -> Result<Vec<Built>, Failure> {
    let mut built = Vec::new();
    for line in messages.lines().filter(|line| line.starts_with('{')) {
        let message: Message = serde_json::from_str(line)
            .map_err(|error| Failure::new(format!("cannot understand a message of cargo build: {error}")))?;
        if let (Some(target), Some(executable), "compiler-artifact") =
            (message.target, message.executable, message.reason.as_str())
            && target.kind.iter().any(|kind| kind == "example")
        {
            built.push(Built { source: target.source, executable });
        }
    }
    Ok(built)
}
