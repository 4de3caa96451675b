//! Starting other programs and telling why they failed.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

#[cfg(test)]
pub(crate) mod tests;

/// How often a program with a time limit is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Why a task did not succeed, for the person who started it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure(pub(crate) String);

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The cargo that started this program, so that all steps use one toolchain.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs a program with its output shown.
///
/// # Errors
/// When it cannot be started or does not exit with 0.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    announce(command);
    let status = command.stdin(Stdio::null()).status().map_err(|error| not_started(command, &error))?;
    expect_success(command, status)
}

/// Runs a program, shows its standard output as it comes, and returns it.
///
/// # Errors
/// When it cannot be started or does not exit with 0.
pub(crate) fn run_and_keep(command: &mut Command) -> Result<String, Failure> {
    announce(command);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(|error| not_started(command, &error))?;
    let mut kept = String::new();
    if let Some(stdout) = child.stdout.take() {
        let mut reader = BufReader::new(stdout);
        let mut line = Vec::new();
        loop {
            line.clear();
            let count = reader
                .read_until(b'\n', &mut line)
                .map_err(|error| Failure::new(format!("cannot read the output of `{}`: {error}", show(command))))?;
            if count == 0 {
                break;
            }
            let text = String::from_utf8_lossy(&line);
            print!("{text}");
            kept.push_str(&text);
        }
    }
    let status = child.wait().map_err(|error| not_started(command, &error))?;
    expect_success(command, status)?;
    Ok(kept)
}

/// Runs a program without showing it and returns its standard output. `None` when there is no such program.
///
/// # Errors
/// When it cannot be started for another reason, or does not exit with 0.
pub(crate) fn ask(command: &mut Command) -> Result<Option<String>, Failure> {
    let output = match command.stdin(Stdio::null()).stderr(Stdio::inherit()).output() {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(not_started(command, &error)),
    };
    expect_success(command, output.status)?;
    Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// Runs a program that must end by itself within `limit`; one that does not is killed.
///
/// # Errors
/// When it cannot be started, does not exit with 0, or does not end in time.
pub(crate) fn run_within(command: &mut Command, limit: Duration) -> Result<(), Failure> {
    announce(command);
    let started = Instant::now();
    let mut child = command.stdin(Stdio::null()).spawn().map_err(|error| not_started(command, &error))?;
    loop {
        let status = child.try_wait().map_err(|error| not_started(command, &error))?;
        if let Some(status) = status {
            return expect_success(command, status);
        }
        if started.elapsed() >= limit {
            child.kill().and_then(|()| child.wait()).map_err(|error| not_started(command, &error))?;
            return Err(Failure::new(format!("`{}` did not end within {limit:?}", show(command))));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Shows a command that is about to run.
pub(crate) fn announce(command: &Command) {
    println!("$ {}", show(command));
    // The program writes to the same place; what was printed before must be seen before.
    let _: io::Result<()> = io::stdout().flush();
}

fn expect_success(command: &Command, status: ExitStatus) -> Result<(), Failure> {
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("`{}` failed: {status}", show(command))))
}

fn not_started(command: &Command, error: &io::Error) -> Failure {
    Failure::new(format!("cannot run `{}`: {error}", show(command)))
}

/// The command as one would type it: set variables, the program's file name, arguments.
fn show(command: &Command) -> String {
    let mut words = Vec::new();
    for (key, value) in command.get_envs() {
        if let Some(value) = value {
            words.push(format!("{}={:?}", key.to_string_lossy(), value.to_string_lossy()));
        }
    }
    let program = std::path::Path::new(command.get_program());
    let program = program.file_name().unwrap_or(command.get_program());
    words.extend(std::iter::once(program).chain(command.get_args()).map(OsStr::to_string_lossy).map(Into::into));
    words.join(" ")
}
