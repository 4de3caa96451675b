//! Runs the crash suite; `cargo xtask test-crash` builds and starts it.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use testkit::crash::small::MAX_OPS;
use testkit::crash::{Breadth, Script, tell};
use testkit::suite::{Extent, Progress, Summary, fuzz, sim, small, table};

/// The crash suite of the whole store.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask test-crash", bin_name = "cargo xtask test-crash")]
struct Args {
    /// Which part of the suite.
    #[arg(long, value_enum, default_value_t = Tier::Sim)]
    tier: Tier,
    /// So many runs of each tier.
    #[arg(long, conflicts_with = "minutes")]
    seeds: Option<u64>,
    /// So long, for each tier.
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Tier {
    /// The simulated disk.
    Sim,
    /// All workloads of up to four operations, with every crash.
    Small,
    /// Files changed behind the store's back.
    Fuzz,
    /// All tiers, one after the other.
    All,
}

/// Runs of each tier unless the command line says otherwise.
const USUAL_SEEDS: u64 = 100_000;

fn main() -> ExitCode {
    let args = Args::parse();
    // A panic of the store is a broken promise, told with its seed; not also by every thread.
    std::panic::set_hook(Box::new(|_| ()));
    if let Some(seed) = args.seed {
        return match args.tier {
            Tier::Fuzz => damaged(seed),
            Tier::Small => workload(seed),
            Tier::Sim | Tier::All => again(seed),
        };
    }
    let first = args.first_seed;
    let extent = match args.minutes {
        Some(minutes) => Extent::Time { first, time: Duration::from_secs_f64(minutes * 60.0) },
        None => Extent::Seeds { first, count: args.seeds.unwrap_or(USUAL_SEEDS) },
    };
    let jobs = args.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into));
    let mut tiers = Vec::new();
    if matches!(args.tier, Tier::Sim | Tier::All) {
        tiers.push(watched("sim", extent, |progress| sim(extent, jobs, progress)));
    }
    if matches!(args.tier, Tier::Small | Tier::All) {
        tiers.push(watched("small", extent, |progress| small(MAX_OPS, extent, jobs, progress)));
    }
    if matches!(args.tier, Tier::Fuzz | Tier::All) {
        tiers.push(watched("fuzz", extent, |progress| fuzz(extent, jobs, progress)));
    }
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
    match outcome.violation {
        None => {
            println!("no promise is broken");
            ExitCode::SUCCESS
        }
        Some(violation) => {
            println!("{violation}");
            if let Some(shrunk) = testkit::crash::shrink(&script, 30_000) {
                println!("\n{}", testkit::crash::print(&shrunk.script, &shrunk.violation));
            }
            ExitCode::FAILURE
        }
    }
}

/// Runs one workload with every crash.
fn workload(number: u64) -> ExitCode {
    println!("{:?}", testkit::crash::small::workload(number));
    let found = testkit::crash::small::Search::new().workload(number);
    found.each().iter().for_each(|(what, count)| println!("{what:<30}{count:>14}"));
    match found.failed {
        None => {
            println!("no promise is broken");
            ExitCode::SUCCESS
        }
        Some(failed) => {
            println!("{failed}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one seed of the tier of damage.
fn damaged(seed: u64) -> ExitCode {
    let (outcome, edits) = testkit::crash::damage(seed);
    println!("{edits:#?}\ndigest {:016x}", outcome.digest);
    match outcome.violation {
        None => {
            println!("no promise is broken");
            ExitCode::SUCCESS
        }
        Some(violation) => {
            println!("{violation}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a tier with a bar that shows how far it is.
fn watched(name: &'static str, extent: Extent, tier: impl FnOnce(&Progress) -> Summary) -> Summary {
    let progress = Arc::new(Progress::default());
    let bar = match extent {
        Extent::Seeds { count, .. } => ProgressBar::new(count),
        Extent::Time { .. } => ProgressBar::no_length(),
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
