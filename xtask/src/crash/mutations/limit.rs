//! Runs a program that may never end.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::process::Failure;

#[cfg(test)]
mod tests;

/// How often a program is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How a program has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Well,
    Badly,
    /// It had not ended in time, and was killed.
    Killed,
}

/// Runs a program with all that it says going to the end of `log`. After `limit` it is killed, with all that it has
/// started: a test that cargo runs would go on without cargo.
///
/// # Errors
/// When it cannot be started.
pub(super) fn run(command: &mut Command, limit: Duration, log: &Path) -> Result<End, Failure> {
    let failed = |error: std::io::Error| Failure::new(format!("cannot run a test: {error}"));
    let log = File::options().create(true).append(true).open(log).map_err(failed)?;
    let said = log.try_clone().map_err(failed)?;
    command.stdin(Stdio::null()).stdout(said).stderr(log).process_group(0);
    let mut child = command.spawn().map_err(failed)?;
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            return Ok(if status.success() { End::Well } else { End::Badly });
        }
        if began.elapsed() > limit {
            // Not yet waited for, so the number is still its own.
            if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                kill_process_group(group, Signal::KILL).map_err(|error| failed(error.into()))?;
            }
            child.wait().map_err(failed)?;
            return Ok(End::Killed);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
