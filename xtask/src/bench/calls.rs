//! What system calls a run made: the log of strace(1), between the two marks that the program sets around what it
//! measures.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};
use workloads::process::MARKS;

use crate::process::Failure;

#[cfg(test)]
mod tests;

/// The calls that are logged. `statx` is how a mark is seen.
const TRACED: &str = "trace=fsync,fdatasync,syncfs,sync,msync,sync_file_range,write,writev,pwrite64,pwritev,pwritev2,\
                      read,readv,pread64,preadv,preadv2,open,openat,ftruncate,fallocate,unlink,unlinkat,rename,\
                      renameat2,io_uring_enter,statx,stat,newfstatat";

/// System calls of the measured part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Calls {
    /// How many operations there were in the run that was traced.
    pub(super) operations: u64,
    /// Calls that return only when something is durable: `fsync`, `fdatasync`, `syncfs`, `sync`, `msync` with `MS_SYNC`,
    /// and `pwritev2` with `RWF_SYNC` or `RWF_DSYNC`.
    pub(super) syncs: u64,
    /// Calls that write.
    pub(super) writes: u64,
    /// Calls that read.
    pub(super) reads: u64,
    /// All others that were logged.
    pub(super) others: u64,
    /// Whether something may have become durable in a way that is not counted: a file opened with `O_SYNC` or `O_DSYNC`
    /// at any time, or I/O by `io_uring`.
    pub(super) uncounted: bool,
}

/// A program's command under strace, which writes to `log`. `None` when there is no strace.
pub(super) fn traced(program: &Path, log: &Path) -> Option<Command> {
    // The first question is whether it may trace at all: in some containers it may not.
    let answer = Command::new("strace").args(["-o", "/dev/null", "true"]).output().ok()?;
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "--seccomp-bpf", "-e", TRACED, "-e", "signal=none", "-o"]).arg(log).arg(program);
    answer.status.success().then_some(command)
}

/// Reads a log.
///
/// # Errors
/// When it cannot be read, or lacks a mark.
pub(super) fn read(log: &Path, operations: u64) -> Result<Calls, Failure> {
    let unreadable = |error: &std::io::Error| Failure::new(format!("cannot read the trace {}: {error}", log.display()));
    let file = std::fs::File::open(log).map_err(|error| unreadable(&error))?;
    let mut counter = Counter { calls: Calls { operations, ..Calls::default() }, at: Moment::Before };
    for line in BufReader::new(file).split(b'\n') {
        counter.line(&String::from_utf8_lossy(&line.map_err(|error| unreadable(&error))?));
    }
    counter.end()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Before,
    Measured,
    After,
}

struct Counter {
    calls: Calls,
    at: Moment,
}

impl Counter {
    /// A line is `1234 fdatasync(5) = 0`, or `1234 fdatasync(5 <unfinished ...>` and later
    /// `1234 <... fdatasync resumed>) = 0`, which is not counted again.
    fn line(&mut self, line: &str) {
        let call = line.trim_start_matches(|char: char| char.is_ascii_digit()).trim_start();
        let Some((name, arguments)) = call.split_once('(') else { return };
        if !name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_') {
            return;
        }
        if let Some(moment) = moment(arguments) {
            self.at = moment;
            return;
        }
        let calls = &mut self.calls;
        if name.starts_with("open") && (arguments.contains("O_SYNC") || arguments.contains("O_DSYNC")) {
            calls.uncounted = true;
        }
        if self.at != Moment::Measured {
            return;
        }
        match name {
            "fsync" | "fdatasync" | "syncfs" | "sync" => calls.syncs += 1,
            "msync" if arguments.contains("MS_SYNC") => calls.syncs += 1,
            "pwritev2" if arguments.contains("RWF_SYNC") || arguments.contains("RWF_DSYNC") => {
                calls.syncs += 1;
                calls.writes += 1;
            }
            "write" | "writev" | "pwrite64" | "pwritev" | "pwritev2" => calls.writes += 1,
            "read" | "readv" | "pread64" | "preadv" | "preadv2" => calls.reads += 1,
            "io_uring_enter" => calls.uncounted = true,
            _ => calls.others += 1,
        }
    }

    fn end(self) -> Result<Calls, Failure> {
        match self.at {
            Moment::After => Ok(self.calls),
            Moment::Before => Err(Failure::new("the trace has no mark for the beginning")),
            Moment::Measured => Err(Failure::new("the trace has no mark for the end")),
        }
    }
}

/// The moment that a call's arguments mark.
fn moment(arguments: &str) -> Option<Moment> {
    let (_, path) = arguments.split_once('"')?;
    let (path, _) = path.split_once('"')?;
    match path.strip_prefix(MARKS)? {
        "/begin" => Some(Moment::Measured),
        "/end" => Some(Moment::After),
        _ => None,
    }
}
