//! `blob-runtime` for a platform that is not Unix: all but the file backend must compile there.

use std::process::Command;

use super::Outcome;
use crate::process::{Failure, ask, cargo, run};
use crate::workspace::Workspace;

#[cfg(test)]
mod tests;

/// Checks the crate for the first installed target that [`suits`].
pub(super) fn check(workspace: &Workspace) -> Result<Outcome, Failure> {
    let skipped = |why: &str| Ok(Outcome::Skipped(format!("cargo check for a target that is not Unix: {why}")));
    let Some(installed) = ask(Command::new("rustup").args(["target", "list", "--installed"]))? else {
        return skipped("rustup is not there to tell which are installed");
    };
    for target in installed.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let cfg = ask(Command::new(rustc).args(["--print", "cfg", "--target", target]))?.unwrap_or_default();
        if suits(&cfg) {
            let check = ["check", "--locked", "--package", "blob-runtime", "--all-features", "--target", target];
            run(cargo().args(check).current_dir(&workspace.root))?;
            return Ok(Outcome::Done(target.into()));
        }
    }
    skipped("none is installed (rustup target add x86_64-pc-windows-gnu)")
}

/// Whether a target with these `cfg` lines (`rustc --print cfg`) is not Unix and has an operating system: without one
/// there are no threads, no clock and no random numbers.
fn suits(cfg: &str) -> bool {
    let has = |wanted: &str| cfg.lines().any(|line| line == wanted);
    !cfg.is_empty() && !has("unix") && !has("target_os=\"none\"") && !has("target_os=\"unknown\"")
}
