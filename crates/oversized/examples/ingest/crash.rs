//! The store in a process that is killed.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use futures::executor::block_on;

use crate::load::{self, Acknowledged, Loaded};
use crate::options::{Options, Place};
use crate::print::{self, Failure};
use crate::source::Source;
use crate::{ingest, prove, record};

/// The signal that cannot be caught.
const SIGKILL: i32 = 9;

/// Runs the load in a child, kills it, proves what it had acknowledged, and then loads the rest here.
pub(crate) fn run(options: &Options, place: &Place, source: &Source) -> Result<Loaded, Failure> {
    // What the store has from earlier runs is not told by the child.
    let store = record::open(place.path(), options).map_err(|error| print::explain(&error, place.path()))?;
    let has = prove::contents(&store).map_err(|error| print::explain(&error, place.path()))?;
    block_on(store.close()).map_err(|error| print::explain(&error, place.path()))?;
    drop(store);
    let new = source.files.iter().filter(|file| !has.is_current(file)).count();
    if new < 2 {
        return Err(Failure::new(format!("{new} new files: too few to be killed in the middle of them")));
    }
    let kill_at = fastrand::usize(1..=(new * 3 / 4).max(1));
    let mut child = start(options, place)?;
    let result = watch(&mut child, kill_at, new);
    let status = child.kill().and_then(|()| child.wait());
    let (acknowledged, killed) = result?;
    let status = status.map_err(|error| Failure::new(format!("the child: {error}")))?;
    if !killed || status.signal() != Some(SIGKILL) {
        return Err(ended(status, acknowledged.len(), new));
    }
    println!("killed    after {} of {new} files were acknowledged", acknowledged.len());
    prove::acknowledged(options, place.path(), source, &acknowledged)?;
    let mut loaded = ingest(options, place, source)?;
    loaded.crcs.extend(acknowledged.iter().map(|file| (file.path_hash, file.crc)));
    Ok(loaded)
}

fn ended(status: ExitStatus, acknowledged: usize, new: usize) -> Failure {
    Failure::new(match status.success() {
        true => format!("the child had finished all {new} files before it was killed; take a larger directory"),
        false => format!("the child ended by itself ({status}) after {acknowledged} of {new} files"),
    })
}

fn start(options: &Options, place: &Place) -> Result<Child, Failure> {
    let failed = |error: io::Error| Failure::new(format!("cannot start the child: {error}"));
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    // What was said here is said to the child, but for the store and the crash.
    let mut given = std::env::args_os().skip(1);
    while let Some(argument) = given.next() {
        let text = argument.to_string_lossy();
        if text == "--store" {
            given.next();
        } else if text != "--crash" && !text.starts_with("--store=") {
            command.arg(&argument);
        }
    }
    command.arg("--child").arg("--store").arg(place.path());
    debug_assert!(options.crash);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(failed)
}

/// Reads what the child acknowledges, and kills it some time behind `kill_at` files. What it had written into the pipe by
/// then counts too. Answers what it had acknowledged, and whether it was to be killed.
fn watch(child: &mut Child, kill_at: usize, new: usize) -> Result<(Vec<Acknowledged>, bool), Failure> {
    let failed = |error: io::Error| Failure::new(format!("cannot hear the child: {error}"));
    let pipe = child.stdout.take().ok_or_else(|| Failure::new("the child has no output"))?;
    let bar = print::bar_of_files(new);
    let mut lines = BufReader::new(pipe);
    let mut acknowledged = Vec::new();
    let mut killed = false;
    let mut line = String::new();
    loop {
        line.clear();
        lines.read_line(&mut line).map_err(failed)?;
        // What is cut off was not said.
        let Some(whole) = line.strip_suffix('\n') else { break };
        let told = parse(whole).ok_or_else(|| Failure::new(format!("the child said {whole:?}")))?;
        acknowledged.push(told);
        bar.inc(1);
        if !killed && acknowledged.len() >= kill_at {
            // Anywhere in the commits that follow.
            std::thread::sleep(Duration::from_micros(fastrand::u64(0..2000)));
            child.kill().map_err(failed)?;
            killed = true;
        }
    }
    bar.finish_and_clear();
    Ok((acknowledged, killed))
}

/// The process that is killed: loads, and says on its standard output what is acknowledged.
pub(crate) fn child(options: &Options) -> Result<(), Failure> {
    let place = Place::new(options)?;
    let source = Source::find(&options.root(), options.everything(), place.path())?;
    let explain = |error: oversized::Error| print::explain(&error, place.path());
    let store = record::open(place.path(), options).map_err(explain)?;
    let has = prove::contents(&store).map_err(explain)?;
    let new: Vec<_> = source.files.iter().filter(|file| !has.is_current(file)).collect();
    let told = |commit: &[Acknowledged]| {
        let lines: String = commit.iter().map(format).collect();
        let mut out = io::stdout().lock();
        out.write_all(lines.as_bytes())?;
        out.flush()
    };
    let (_, result) = load::load(&store, &new, options, &told, &indicatif::ProgressBar::hidden());
    result.map_err(|stop| stop.explain(place.path()))?;
    block_on(store.close()).map_err(explain)
}

/// One acknowledged file as a line.
pub(crate) fn format(file: &Acknowledged) -> String {
    format!("{:032x} {} {} {:08x}\n", file.path_hash, file.section, file.position, file.crc)
}

/// The line of an acknowledged file, without its end.
pub(crate) fn parse(line: &str) -> Option<Acknowledged> {
    let mut parts = line.split(' ');
    let path_hash = u128::from_str_radix(parts.next()?, 16).ok()?;
    let section = parts.next()?.parse().ok()?;
    let position = parts.next()?.parse().ok()?;
    let crc = u32::from_str_radix(parts.next()?, 16).ok()?;
    parts.next().is_none().then_some(Acknowledged { path_hash, section, position, crc })
}
