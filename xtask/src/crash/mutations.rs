//! Puts mutations into the sources and sees that the tests find each.
//!
//! All that can be are put into one tree, each behind a switch that is set when a test runs, and built once: see
//! [`switch`]. The others are built alone, one after the other.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Parser;

use self::build::{Options, Tree};
use self::judge::{Fate, Place, Verdict};
use self::limit::End;
use self::switched::Ground;
use super::pool;
use crate::mutation::{self, Mutation};
use crate::process::Failure;
use crate::workspace::Workspace;

mod alone;
mod build;
mod judge;
mod limit;
mod switch;
mod switched;
mod tree;

/// A test that a mutation has sent into a loop has failed.
const LIMIT: Duration = Duration::from_secs(600);

/// So many times what its command takes without a mutation a test may take with one: others run beside it.
const PATIENCE: u32 = 5;

/// Nobody knows how long a command takes until it has been run once.
const LONG: Duration = Duration::from_secs(3600);

/// Which mutations, and how.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask test-crash")]
pub(super) struct Args {
    #[arg(long, hide = true)]
    mutations: bool,
    /// Only those with this in their name; may be given more than once.
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// So many at once; as many as there are cores unless set.
    #[arg(long)]
    jobs: Option<NonZeroUsize>,
    /// Each in a build of its own, not all together behind switches.
    #[arg(long)]
    alone: bool,
}

impl Args {
    /// The arguments, when they ask for mutations.
    pub(super) fn of(words: &[String]) -> Option<Result<Self, Failure>> {
        super::options(words, words.iter().any(|word| word == "--mutations"))
    }
}

/// Tests each mutation in scratch copies below `target`.
///
/// # Errors
/// When one is not caught, or cannot be applied.
pub(super) fn run_all(workspace: &Workspace, args: &Args) -> Result<(), Failure> {
    let began = Instant::now();
    let folder = workspace.root.join("target").join("mutations");
    let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let jobs = args.jobs.unwrap_or_else(cores);
    let all = mutation::load(&workspace.root)?;
    let is_wanted = |row: &usize| args.only.is_empty() || args.only.iter().any(|only| all[*row].name.contains(only));
    let rows: Vec<usize> = (0..all.len()).filter(is_wanted).collect();
    let mut report = Report { all: &all, fates: BTreeMap::new(), wrong: Vec::new() };
    let mut alone = rows.clone();
    if !args.alone {
        let ground = switched::prepare(&workspace.root, &folder.join("switched"), &all, &rows)?;
        alone.retain(|row| ground.refused.contains_key(row));
        let switched: Vec<usize> = rows.into_iter().filter(|row| !alone.contains(row)).collect();
        for row in &alone {
            println!("built alone: {}: {}", all[*row].name, ground.refused[row]);
        }
        println!("built in {:.0} s", began.elapsed().as_secs_f64());
        let logs = folder.join("log");
        let limits = sound(&ground, &all, &switched, &logs)?;
        run_switched(&ground, &switched, &limits, &logs, jobs, &mut report)?;
    }
    run_alone(&workspace.root, &folder, &alone, &mut report)?;
    report.end(alone.len(), began.elapsed())
}

/// What is known so far.
struct Report<'a> {
    all: &'a [Mutation],
    fates: BTreeMap<Fate, usize>,
    wrong: Vec<&'a str>,
}

impl Report<'_> {
    fn add(&mut self, row: usize, verdict: &Verdict, took: Duration) {
        let name = self.all[row].name.as_str();
        let note = if verdict.note.is_empty() { String::new() } else { format!(" ({})", verdict.note) };
        println!("{:<18}{:>6.1} s  {name}{note}", format!("{:?}", verdict.fate), took.as_secs_f64());
        *self.fates.entry(verdict.fate).or_default() += 1;
        if !verdict.fate.is_right() {
            self.wrong.push(name);
        }
    }

    fn end(self, alone: usize, took: Duration) -> Result<(), Failure> {
        let count: usize = self.fates.values().sum();
        let fates: Vec<String> = self.fates.iter().map(|(fate, count)| format!("{count} {fate:?}")).collect();
        println!("{count} mutations: {}; {alone} built alone; {:.0} s", fates.join(", "), took.as_secs_f64());
        match self.wrong.is_empty() {
            true => Ok(()),
            false => Err(Failure::new(format!("not as they should be: {}", self.wrong.join("; ")))),
        }
    }
}

/// Runs each command with all switches off, for otherwise its failures would say nothing; answers how long it may take
/// with one on.
fn sound<'a>(
    ground: &Ground,
    all: &'a [Mutation],
    rows: &[usize],
    logs: &Path,
) -> Result<BTreeMap<&'a str, Duration>, Failure> {
    let mut commands: BTreeMap<&str, Option<u64>> = BTreeMap::new();
    for row in rows {
        let seeds = commands.entry(&all[*row].test).or_default();
        *seeds = (*seeds).max(all[*row].seeds);
    }
    let mut limits = BTreeMap::new();
    for (at, (test, seeds)) in commands.into_iter().enumerate() {
        let began = Instant::now();
        let log = logs.join(format!("sound-{at}.txt"));
        tree::write(&log, b"")?;
        let place = Place { tree: &ground.tree, binaries: &[], on: String::new(), log: &log, limit: LONG };
        if place.whole(test, seeds)? != End::Well {
            return Err(Failure::new(format!("`{test}` fails with all switches off: {}", log.display())));
        }
        println!("{:<18}{:>6.1} s  {test}", "Sound", began.elapsed().as_secs_f64());
        limits.insert(test, LIMIT.max(began.elapsed() * PATIENCE));
    }
    Ok(limits)
}

/// Tests the switched ones, several at once.
fn run_switched(
    ground: &Ground,
    rows: &[usize],
    limits: &BTreeMap<&str, Duration>,
    logs: &Path,
    jobs: NonZeroUsize,
    report: &mut Report<'_>,
) -> Result<(), Failure> {
    let all = report.all;
    let one = |row: &usize| {
        let (row, began) = (*row, Instant::now());
        let mutation = &all[row];
        let place = Place {
            tree: &ground.tree,
            binaries: ground.binaries.get(&Options::of(&mutation.test)).map_or(&[], Vec::as_slice),
            on: switched::on(all, row),
            log: &log_of(logs, row),
            limit: limits.get(mutation.test.as_str()).copied().unwrap_or(LIMIT),
        };
        (row, judge::judge(mutation, &place), began.elapsed())
    };
    pool::run(rows, jobs.get(), one, |_, (row, verdict, took)| {
        report.add(row, &verdict?, took);
        Ok(())
    })
}

/// Builds and tests the others.
fn run_alone(root: &Path, folder: &Path, rows: &[usize], report: &mut Report<'_>) -> Result<(), Failure> {
    if rows.is_empty() {
        return Ok(());
    }
    let tree = Tree { root: folder.join("tree"), target: folder.join("target") };
    tree::copy(root, &tree.root, |_, sound| sound)?;
    for &row in rows {
        let began = Instant::now();
        let log = log_of(&folder.join("log"), row);
        // How long its command takes without it is not known.
        let place = Place { tree: &tree, binaries: &[], on: String::new(), log: &log, limit: LIMIT * PATIENCE };
        let verdict = alone::test(&report.all[row], report.all, place)?;
        report.add(row, &verdict, began.elapsed());
    }
    Ok(())
}

/// Where the tests of a row write to.
fn log_of(logs: &Path, row: usize) -> PathBuf {
    logs.join(format!("{row}.txt"))
}
