//! The tiers on the simulated machine: one seed, one run.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Instant;

use blob_runtime::Operation;
use blob_runtime::sim::Counts;

use super::{Extent, Progress, Seeds, Summary};
use crate::crash::small::{self, Found, Search};
use crate::crash::{Breadth, Checked, Outcome, Script, damage, print, run, shrink};

/// Runs that shrinking a failure may take.
const SHRINK_RUNS: u64 = 30_000;

/// Operations whose failures are told in the table.
const OPERATIONS: [(Operation, &str); 9] = [
    (Operation::Open, "failed opens"),
    (Operation::Create, "failed creations"),
    (Operation::List, "failed listings"),
    (Operation::Read, "failed reads"),
    (Operation::Write, "failed writes"),
    (Operation::Resize, "failed truncations"),
    (Operation::Sync, "failed syncs"),
    (Operation::SyncDirectory, "failed directory syncs"),
    (Operation::Remove, "failed removals"),
];

/// The simulated tier, on `jobs` threads.
pub fn sim(extent: Extent, jobs: usize, progress: &Progress) -> Summary {
    let one = |seed| {
        let script = Script::draw(seed, Breadth::of(seed));
        let outcome = run(&script);
        let told = outcome.violation.is_some().then(|| told(seed, &script));
        (outcome, told)
    };
    each("sim", extent, jobs, progress, one)
}

/// The tier of damage: files are changed behind the store's back, raw or with right checksums.
pub fn fuzz(extent: Extent, jobs: usize, progress: &Progress) -> Summary {
    let one = |seed| {
        let (outcome, _) = damage(seed);
        let again = format!("cargo xtask test-crash --tier fuzz --seed {seed}");
        let told = outcome.violation.as_ref().map(|violation| format!("{again}\n{violation}"));
        (outcome, told)
    };
    each("fuzz", extent, jobs, progress, one)
}

/// The tier of small cases: one run is one workload with every crash. `max_ops`: operations of the longest.
pub fn small(max_ops: u32, extent: Extent, jobs: usize, progress: &Progress) -> Summary {
    let all = small::count(max_ops);
    let extent = match extent {
        Extent::Seeds { first, count } => Extent::Seeds { first, count: count.min(all.saturating_sub(first)) },
        time => time,
    };
    let (search, total) = (Search::new(), Mutex::new(Found::default()));
    let one = |number| {
        let found = search.workload(number);
        let again = format!("cargo xtask test-crash --tier small --seed {number}");
        let told = found.failed.as_ref().map(|failed| format!("{again}\n{failed}"));
        *total.lock().unwrap_or_else(PoisonError::into_inner) += &found;
        (Outcome { counts: found.counts, checked: found.checked, ..Outcome::default() }, told)
    };
    let summary = each("small", extent, jobs, progress, one);
    let found = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    let reach = found.each().map(|(name, count)| (name.to_owned(), count)).into();
    Summary { reach, states: found.disks + found.disks_behind_recovery, ..summary }
}

pub(super) fn each(
    tier: &'static str,
    extent: Extent,
    jobs: usize,
    progress: &Progress,
    one: impl Fn(u64) -> (Outcome, Option<String>) + Sync,
) -> Summary {
    let began = Instant::now();
    let seeds = Seeds::new(extent, progress);
    let total = Mutex::new((Counts::default(), Checked::default(), Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                let (mut counts, mut checked) = (Counts::default(), Checked::default());
                while let Some(seed) = seeds.next() {
                    let (outcome, told) = one(seed);
                    counts += outcome.counts;
                    checked.add(&outcome.checked);
                    progress.runs.fetch_add(1, Ordering::Relaxed);
                    if let Some(told) = told {
                        progress.violations.fetch_add(1, Ordering::Relaxed);
                        total.lock().unwrap_or_else(PoisonError::into_inner).2.push(told);
                    }
                }
                let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
                total.0 += counts;
                total.1.add(&checked);
            });
        }
    });
    let (counts, checked, violations) = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut faults: BTreeMap<String, u64> = BTreeMap::new();
    faults.insert("kills".into(), counts.kills);
    faults.insert("power cuts".into(), counts.power_cuts);
    for (operation, name) in OPERATIONS {
        faults.insert(name.into(), counts.failed(operation));
    }
    for (way, count) in counts.ways.each() {
        faults.insert(format!("effects {}", way.replace('_', " ")), count);
    }
    Summary {
        tier,
        runs: progress.runs.load(Ordering::Relaxed),
        states: counts.kills + counts.power_cuts,
        faults: faults.into_iter().filter(|(_, count)| *count > 0).collect(),
        checked,
        reach: vec![
            ("steps of the machine".into(), counts.steps),
            ("operations of the disk".into(), counts.performed_in_all()),
        ],
        violations,
        took: began.elapsed(),
    }
}

/// A failure: how to repeat it, and as a test, cut down.
fn told(seed: u64, script: &Script) -> String {
    let again = format!("cargo xtask test-crash --tier sim --seed {seed}");
    match shrink(script, SHRINK_RUNS) {
        Some(shrunk) => {
            let test = print(&shrunk.script, &shrunk.violation);
            format!("{again}\n{}\nshrunk in {} runs:\n\n{test}", shrunk.violation, shrunk.runs)
        }
        None => format!("{again}\nit fails no more when it is repeated: the run is not deterministic"),
    }
}
