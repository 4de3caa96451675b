//! Runs the crash suite; `cargo xtask test-crash` builds and starts it.

use std::fmt::Display;
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use testkit::crash::small::MAX_OPS;
use testkit::crash::{Breadth, Script, kill as killing, tell};
use testkit::suite::{Extent, Progress, Summary, fuzz, kill, model, sim, small, table};

/// A simulated run is mostly small allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The crash suite of the whole store.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask test-crash", bin_name = "cargo xtask test-crash", args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    hidden: Option<Hidden>,
    /// Which part of the suite.
    #[arg(long, value_enum, default_value_t = Tier::Sim)]
    tier: Tier,
    /// So many runs of each tier; unless set as many as take about a minute.
    #[arg(long, conflicts_with = "minutes")]
    seeds: Option<u64>,
    /// So long, altogether. Of all tiers sim gets a half, and what is left is divided among the others; small ends when
    /// it is through.
    #[arg(long)]
    minutes: Option<f64>,
    /// Exactly this run, with its story.
    #[arg(long, conflicts_with_all = ["seeds", "minutes"])]
    seed: Option<u64>,
    /// The seed to begin with.
    #[arg(long, default_value_t = 0)]
    first_seed: u64,
    /// Threads; as many as there are cores unless set.
    #[arg(long)]
    jobs: Option<usize>,
}

/// What only this program asks of itself.
#[derive(Debug, Subcommand)]
enum Hidden {
    /// Works on a store until it is killed.
    #[command(hide = true)]
    KillChild(killing::Task),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Tier {
    /// The simulated disk.
    Sim,
    /// All workloads of up to four operations, with every crash.
    Small,
    /// Real files, and processes that are killed.
    Kill,
    /// Files changed behind the store's back.
    Fuzz,
    /// The model of the protocol.
    Model,
    /// All tiers, one after the other.
    All,
}

impl Tier {
    const EACH: [Self; 5] = [Self::Sim, Self::Small, Self::Kill, Self::Fuzz, Self::Model];

    fn name(self) -> &'static str {
        match self {
            Self::Sim => "sim",
            Self::Small => "small",
            Self::Kill => "kill",
            Self::Fuzz => "fuzz",
            Self::Model => "model",
            Self::All => "all",
        }
    }

    /// Runs unless the command line says otherwise.
    fn usual_seeds(self) -> u64 {
        match self {
            Self::Kill => 500,
            Self::Small | Self::Model => u64::MAX,
            Self::Sim | Self::Fuzz | Self::All => 100_000,
        }
    }

    /// Its part of the minutes of all tiers, in eighths.
    fn share(self) -> f64 {
        match self {
            Self::All => 8.0,
            Self::Sim => 4.0,
            _ => 1.0,
        }
    }

    fn run(self, extent: Extent, jobs: usize, program: &Path) -> Summary {
        watched(self.name(), extent, |progress| match self {
            Self::Small => small(MAX_OPS, extent, jobs, progress),
            Self::Kill => kill(program, extent, jobs, progress),
            Self::Fuzz => fuzz(extent, jobs, progress),
            Self::Model => model(extent, jobs, progress),
            Self::Sim | Self::All => sim(extent, jobs, progress),
        })
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    // A panic of the store is a broken promise, told with its seed; not also by every thread.
    std::panic::set_hook(Box::new(|_| ()));
    if let Some(Hidden::KillChild(task)) = &args.hidden {
        return killing::work(task);
    }
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => {
            eprintln!("error: where this program is cannot be found out: {error}");
            return ExitCode::FAILURE;
        }
    };
    let jobs = args.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into));
    let first = args.seed.unwrap_or(args.first_seed);
    match (args.seed, args.tier) {
        (Some(seed), Tier::Fuzz) => return damaged(seed),
        (Some(seed), Tier::Small) => return workload(seed),
        (Some(seed), Tier::Sim | Tier::All) => return again(seed),
        (Some(_), Tier::Kill | Tier::Model) | (None, _) => {}
    }
    let tiers = if args.tier == Tier::All { Tier::EACH.to_vec() } else { vec![args.tier] };
    let extent = |tier: Tier| match (args.minutes, args.seed) {
        (Some(minutes), _) => {
            let part = tier.share() / args.tier.share();
            Extent::Time { first, time: Duration::from_secs_f64((minutes * 60.0 * part).max(0.0)) }
        }
        (None, Some(_)) => Extent::Seeds { first, count: 1 },
        (None, None) => Extent::Seeds { first, count: args.seeds.unwrap_or(tier.usual_seeds()) },
    };
    let tiers: Vec<Summary> = tiers.into_iter().map(|tier| tier.run(extent(tier), jobs, &program)).collect();
    println!("{}", table(&tiers));
    if tiers.iter().all(|tier| tier.violations.is_empty()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs one seed and tells what happens.
fn again(seed: u64) -> ExitCode {
    let script = Script::draw(seed, Breadth::of(seed));
    println!("{}", testkit::crash::literal(&script));
    let (outcome, story) = tell(&script);
    story.iter().for_each(|line| println!("{line}"));
    println!("digest {:016x}", outcome.digest);
    let is_broken = outcome.violation.is_some();
    let code = verdict(outcome.violation);
    if is_broken && let Some(shrunk) = testkit::crash::shrink(&script, 30_000) {
        println!("\n{}", testkit::crash::print(&shrunk.script, &shrunk.violation));
    }
    code
}

/// Says what is broken, if anything is.
fn verdict(broken: Option<impl Display>) -> ExitCode {
    match broken {
        None => {
            println!("no promise is broken");
            ExitCode::SUCCESS
        }
        Some(broken) => {
            println!("{broken}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one workload with every crash.
fn workload(number: u64) -> ExitCode {
    println!("{:?}", testkit::crash::small::workload(number));
    let found = testkit::crash::small::Search::new().workload(number);
    found.each().iter().for_each(|(what, count)| println!("{what:<30}{count:>14}"));
    verdict(found.failed)
}

/// Runs one seed of the tier of damage.
fn damaged(seed: u64) -> ExitCode {
    let (outcome, edits) = testkit::crash::damage(seed);
    println!("{edits:#?}\ndigest {:016x}", outcome.digest);
    verdict(outcome.violation)
}

/// Runs a tier with a bar that shows how far it is.
fn watched(name: &'static str, extent: Extent, tier: impl FnOnce(&Progress) -> Summary) -> Summary {
    let progress = Arc::new(Progress::default());
    let bar = match extent {
        Extent::Seeds { count, .. } if count < u64::MAX => ProgressBar::new(count),
        Extent::Seeds { .. } | Extent::Time { .. } => ProgressBar::no_length(),
    };
    let style = "{prefix} {elapsed_precise} {wide_bar} {human_pos} runs, {per_sec}, {msg} violations";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    bar.set_prefix(name);
    let ended = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(100));
                bar.set_position(progress.runs.load(Ordering::Relaxed));
                bar.set_message(progress.violations.load(Ordering::Relaxed).to_string());
            }
        });
        let summary = tier(&progress);
        ended.store(true, Ordering::Relaxed);
        if std::io::stderr().is_terminal() {
            bar.finish_and_clear()
        } else {
            bar.abandon()
        }
        summary
    })
}
