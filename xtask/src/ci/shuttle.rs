//! The tests that stand under `shuttle`: with `--cfg shuttle` the locks of `blob-runtime` are not the system's.

use super::{Outcome, Tally, judge, tally};
use crate::process::{Failure, cargo, run_and_keep};
use crate::workspace::Workspace;

/// Builds and runs them. The flag is for all that is built, so what is built has a folder of its own: the main build stays.
pub(super) fn check(workspace: &Workspace) -> Result<Outcome, Failure> {
    let words = "test --locked --profile shuttle --package blob-runtime --lib shuttle";
    let output = run_and_keep(
        cargo()
            .args(words.split_whitespace())
            .current_dir(&workspace.root)
            .env("RUSTFLAGS", "--cfg shuttle")
            .env("CARGO_TARGET_DIR", workspace.target().join("shuttle")),
    )?;
    // The others are there and cannot run: their locks would be those of a scheduler that is not there.
    judge(Tally { filtered: 0, ..tally(&output) }).map(Outcome::Done)
}
