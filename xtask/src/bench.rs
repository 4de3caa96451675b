//! `cargo xtask bench`: our store beside plain files and other engines, on the same workloads.
//!
//! Each engine runs each workload in a process of its own, in a fresh directory; the engines take turns, so that a
//! machine that becomes slower becomes so for all, and each round in another order: a disk is busy for a while with the
//! files of the one before that were removed. One more run of each, under strace(1), counts system calls and is not timed.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use workloads::catalog::Scale;
use workloads::program::Introduction;

use self::machine::Machine;
use self::plan::{Choice, Turn};
use self::programs::{Ended, Engine, Way};
use self::session::{Cell, Session};
use crate::process::Failure;
use crate::workspace::Workspace;

mod calls;
mod machine;
mod plan;
mod programs;
mod report;
mod session;
mod statistics;
mod suites;
mod targets;
#[cfg(test)]
mod tests;

/// What to measure.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Measures other engines too: commonware-storage in two versions, raft-engine, fjall, redb. Their first build takes
    /// several minutes.
    #[arg(long)]
    peers: bool,
    /// Measures only the workloads, and the criterion benches, whose names contain this.
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
    /// Measures only this engine, such as `raw` or `cw4`; may be given more than once.
    #[arg(long, value_name = "NAME")]
    engine: Vec<String>,
    /// Does this part alone; may be given more than once.
    #[arg(long, value_name = "PART")]
    only: Vec<Part>,
    /// A tenth of all operations, and two rounds: to see that all works. Its figures are no evidence.
    #[arg(long)]
    quick: bool,
    /// How often each engine runs each workload [default: 5; with --quick 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// Where the report goes [default: target/bench]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Where the engines keep their files: on the disk that is to be measured [default: the report's folder]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Counts no system calls: saves a run of each, and leaves open who has synced.
    #[arg(long)]
    no_trace: bool,
    /// Puts the report into docs/benchmarks.md and its plots into docs/benchmarks/.
    #[arg(long)]
    save: bool,
    /// Measures nothing: writes the report of the session that this file (results.json) holds.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["peers", "filter", "engine", "only", "quick", "rounds", "data", "no_trace"])]
    from: Option<PathBuf>,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The criterion suites of the crates.
    Suites,
    /// The workloads of the table.
    Table,
    /// How cost grows with the size of a store.
    Growth,
}

impl Args {
    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 2 } else { 5 })
    }

    /// The command that measures the same, without the paths of this machine.
    fn command(&self) -> String {
        let mut words = vec!["cargo xtask bench".to_owned()];
        words.extend(self.peers.then(|| "--peers".into()));
        words.extend((!self.filter.is_empty()).then(|| format!("--filter {}", self.filter)));
        words.extend(self.engine.iter().map(|name| format!("--engine {name}")));
        let part = |part: &Part| part.to_possible_value().map_or(String::new(), |value| value.get_name().to_owned());
        words.extend(self.only.iter().map(|of| format!("--only {}", part(of))));
        words.extend(self.quick.then(|| "--quick".into()));
        words.extend(self.rounds.map(|rounds| format!("--rounds {rounds}")));
        words.extend(self.no_trace.then(|| "--no-trace".into()));
        words.join(" ")
    }
}

/// Measures, and writes the report.
///
/// # Errors
/// When a program does not build, a folder cannot be written, or nothing is left to be measured. An engine that fails
/// does not end the session: the report says so.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let workspace = Workspace::load()?;
    let out = args.out.clone().unwrap_or_else(|| workspace.target().join("bench"));
    fs::create_dir_all(&out).map_err(|error| Failure::new(format!("cannot make {}: {error}", out.display())))?;
    let results = out.join("results.json");
    let session = match &args.from {
        Some(file) => read(file)?,
        None => {
            let session = measure(args, &workspace, &out, &results)?;
            write(&results, &session)?;
            session
        }
    };
    report::write(&session, &out)?;
    println!("report: {}", out.join("report.md").display());
    if args.save {
        report::save(&session, &workspace.root.join("docs"))?;
    }
    failures(&session)
}

/// Engines that failed are told at the end too, where they are seen.
fn failures(session: &Session) -> Result<(), Failure> {
    let failed = session.cells.iter().filter(|cell| !cell.failures.is_empty());
    let lines: Vec<String> =
        failed.map(|cell| format!("{} {}: {}", cell.engine, cell.workload.id, cell.failures.join("; "))).collect();
    if lines.is_empty() { Ok(()) } else { Err(Failure::new(format!("some runs failed\n{}", lines.join("\n")))) }
}

fn read(file: &Path) -> Result<Session, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(format!("cannot read {}: {error}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| failed(&error))?;
    serde_json::from_str(&text).map_err(|error| failed(&error))
}

fn write(file: &Path, session: &Session) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(format!("cannot write {}: {error}", file.display()));
    let text = serde_json::to_string_pretty(session).map_err(|error| failed(&error))?;
    fs::write(file, text).map_err(|error| failed(&error))
}

/// Measures all; `results` is written again after each workload, so that what is stopped is not lost: `--from` shows it.
fn measure(args: &Args, workspace: &Workspace, out: &Path, results: &Path) -> Result<Session, Failure> {
    let scale = if args.quick { Scale::Quick } else { Scale::Full };
    let data = args.data.clone().unwrap_or_else(|| out.to_owned()).join("data");
    fs::create_dir_all(&data).map_err(|error| Failure::new(format!("cannot make {}: {error}", data.display())))?;
    let suites = match args.wants(Part::Suites) && args.engine.is_empty() {
        true => suites::run(workspace, &args.filter, args.quick)?,
        false => Vec::new(),
    };
    let choice =
        Choice { filter: &args.filter, table: args.wants(Part::Table), growth: args.wants(Part::Growth), scale };
    let turns = plan::turns(choice);
    let engines = match turns.is_empty() {
        true => Vec::new(),
        false => plan::chosen(programs::engines(workspace, args.peers)?, &args.engine),
    };
    if engines.is_empty() && suites.is_empty() {
        return Err(Failure::new("nothing is left to be measured: no engine or no workload has such a name"));
    }
    let mut session = Session {
        command: args.command(),
        quick: args.quick,
        rounds: args.rounds(),
        machine: Machine::look(&data, &workspace.root),
        engines: engines.iter().map(|of| Introduction { name: of.name.clone(), about: of.about.clone() }).collect(),
        cells: Vec::new(),
        suites,
    };
    if session.machine.load_before > 0.5 {
        eprintln!("warning: the load is {}; figures of a busy machine are no evidence", session.machine.load_before);
    }
    let mut runner = Runner {
        engines: &engines,
        data: &data,
        rounds: args.rounds(),
        processor: machine::last_processor(),
        traced: !args.no_trace && calls::traced(Path::new("true"), Path::new("/dev/null")).is_some(),
        bar: ProgressBar::hidden(),
    };
    runner.bar = bar(plan::runs(&turns, engines.len(), args.rounds(), runner.traced));
    for turn in &turns {
        session.cells.extend(runner.turn(turn)?);
        write(results, &session)?;
    }
    runner.bar.finish_and_clear();
    session.machine.load_after = machine::load();
    // Nothing is left in it; what cannot be removed hurts nobody.
    let _: std::io::Result<()> = fs::remove_dir_all(&data);
    Ok(session)
}

/// A bar on a terminal; elsewhere each workload is a line.
fn bar(runs: u64) -> ProgressBar {
    let template = "{bar:30} {pos}/{len} {elapsed_precise} left {eta} {msg}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(runs).with_style(style)
}

/// Runs the turns.
struct Runner<'a> {
    engines: &'a [Engine],
    data: &'a Path,
    rounds: u32,
    processor: Option<u32>,
    traced: bool,
    bar: ProgressBar,
}

impl Runner<'_> {
    /// All engines, round by round, each unpinned and pinned where that is wanted.
    fn turn(&self, turn: &Turn) -> Result<Vec<Cell>, Failure> {
        if self.bar.is_hidden() {
            println!("{}", turn.workload.id);
            // Whoever waits for it sees how far it is.
            let _: std::io::Result<()> = std::io::stdout().flush();
        }
        let pin = self.processor.filter(|_| turn.pinned);
        let ways: Vec<Way<'_>> = [Some(Way::Free), pin.map(Way::Pinned)].into_iter().flatten().collect();
        let mut cells: Vec<(&Engine, Way<'_>, Cell)> = Vec::new();
        for engine in self.engines {
            for way in &ways {
                let cell = Cell::new(&engine.name, &turn.workload, *way != Way::Free);
                cells.push((engine, *way, cell));
            }
        }
        for round in 0..self.rounds {
            for at in plan::order(cells.len(), round) {
                let Some((engine, way, cell)) = cells.get_mut(at) else { continue };
                self.bar.set_message(format!("{} {} round {}", cell.workload.id, engine.name, round + 1));
                self.one(engine, *way, cell);
                self.bar.inc(1);
            }
        }
        if let Some(counted) = turn.counted.as_ref().filter(|_| self.traced) {
            for (engine, _, cell) in cells.iter_mut().filter(|(_, way, _)| *way == Way::Free) {
                self.bar.set_message(format!("{} {} system calls", cell.workload.id, engine.name));
                self.count(engine, counted, cell)?;
                self.bar.inc(1);
            }
        }
        Ok(cells.into_iter().map(|(_, _, cell)| cell).collect())
    }

    fn one(&self, engine: &Engine, way: Way<'_>, cell: &mut Cell) {
        if cell.unsupported.is_some() {
            return;
        }
        match programs::measure(engine, &cell.workload, self.data, way) {
            Ok(Ended::Measured(outcome)) => cell.outcomes.push(*outcome),
            Ok(Ended::Unsupported(why)) => cell.unsupported = Some(why),
            Err(failure) => cell.failures.push(failure.to_string()),
        }
    }

    fn count(&self, engine: &Engine, workload: &workloads::Workload, cell: &mut Cell) -> Result<(), Failure> {
        if cell.outcomes.is_empty() {
            return Ok(());
        }
        let log = self.data.join("calls");
        match programs::measure(engine, workload, self.data, Way::Traced(&log)) {
            Ok(Ended::Measured(outcome)) => cell.calls = Some(calls::read(&log, outcome.operations)?),
            Ok(Ended::Unsupported(_)) => {}
            Err(failure) => cell.failures.push(format!("under strace: {failure}")),
        }
        Ok(())
    }
}
