//! Goes through the crashes of one workload, and of the recoveries behind them.

use std::fmt;
use std::ops::AddAssign;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use blob_runtime::sim::{self, Counts, Crash, Cut, Image, Sim};

use super::seen::Seen;
use super::{SETTINGS, is_redundant};
use crate::crash::live::{Live, Machine};
use crate::crash::oracle::{Checked, Oracle, Violation};
use crate::crash::run::outcome;
use crate::crash::script::Op;

/// Effects up to which every subset is tried.
const EVERY_SUBSET: usize = 12;

/// The same while a recovery runs.
const EVERY_SUBSET_IN_RECOVERY: usize = 12;

/// Kills that are tried while a write is in flight: it lands, in part, or not.
const KILLS: u64 = 4;

/// The seed of all runs.
const SEED: u64 = 1;

/// Bytes of a record.
const RECORD_BYTES: usize = 36;

/// A search through small cases: it knows what it has seen.
#[derive(Debug)]
pub struct Search {
    /// Disks before a crash.
    moments: Seen,
    /// The same of recoveries.
    moments_again: Seen,
    /// Disks behind a crash of a workload.
    crashed: Seen,
    /// Disks behind a crash of a recovery.
    crashed_again: Seen,
    /// Disks that an open has ended on, behind a crash of a recovery.
    opened: Seen,
}

/// What was gone through.
#[derive(Debug, Default, Clone)]
pub struct Found {
    /// Workloads.
    pub workloads: u64,
    /// Moments of workloads in which the power fails, each with another disk or another history.
    pub moments: u64,
    /// Moments with so many pending effects that not all subsets were tried.
    pub sampled: u64,
    /// Subsets of pending effects.
    pub subsets: u64,
    /// Disks that were left, each opened.
    pub disks: u64,
    /// Moments of recoveries in which the machine crashes.
    pub moments_in_recovery: u64,
    /// Disks that were left by these, each opened.
    pub disks_behind_recovery: u64,
    /// What the simulated disks have done.
    pub counts: Counts,
    /// How often each promise was put to the test.
    pub checked: Checked,
    /// The first that failed.
    pub failed: Option<Failed>,
}

/// How a promise was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// What was done.
    pub ops: Vec<Op>,
    /// The crashes, each before a step of its life; none when it is the workload itself that fails.
    pub crashes: Vec<(u64, Crash)>,
    /// What was seen.
    pub violation: Violation,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{:?}", self.violation, self.ops)?;
        self.crashes.iter().try_for_each(|(step, crash)| writeln!(f, "crashed before step {step}: {crash:?}"))
    }
}

impl AddAssign<&Self> for Found {
    fn add_assign(&mut self, other: &Self) {
        self.workloads += other.workloads;
        self.moments += other.moments;
        self.sampled += other.sampled;
        self.subsets += other.subsets;
        self.disks += other.disks;
        self.moments_in_recovery += other.moments_in_recovery;
        self.disks_behind_recovery += other.disks_behind_recovery;
        self.counts += other.counts;
        self.checked.add(&other.checked);
        self.failed = self.failed.take().or_else(|| other.failed.clone());
    }
}

impl Found {
    /// What was gone through, with names.
    pub fn each(&self) -> [(&'static str, u64); 7] {
        [
            ("workloads", self.workloads),
            ("moments", self.moments),
            ("moments sampled", self.sampled),
            ("subsets", self.subsets),
            ("disks", self.disks),
            ("moments in recovery", self.moments_in_recovery),
            ("disks behind recovery", self.disks_behind_recovery),
        ]
    }
}

/// A moment in which the machine may crash.
struct Point {
    step: u64,
    image: Image,
    oracle: Oracle,
    known: u64,
}

/// What a machine has done.
struct Run {
    points: Vec<Point>,
    violation: Option<Violation>,
}

/// How a run goes on behind the open.
enum Then {
    /// It does these operations, and the points are those from the last of them on.
    Work(Vec<Op>),
    /// It goes on; the points are those of the open.
    Recover,
    /// The same without points; and it goes on only if no open has ended on that disk before.
    RecoverAgain,
}

impl Default for Search {
    fn default() -> Self {
        Self::new()
    }
}

impl Search {
    /// That has seen nothing.
    pub fn new() -> Self {
        Self {
            moments: Seen::new(),
            moments_again: Seen::new(),
            crashed: Seen::new(),
            crashed_again: Seen::new(),
            opened: Seen::new(),
        }
    }

    /// Runs one workload with every crash that was not there before.
    pub fn workload(&self, number: u64) -> Found {
        let ops = super::workload(number);
        let mut found = Found::default();
        if is_redundant(&ops) {
            return found;
        }
        found.workloads = 1;
        let run = self.run(None, Oracle::new(false, false), Then::Work(ops.clone()), &mut found);
        let mut path = Path { ops, crashes: Vec::new() };
        if let Some(violation) = run.violation {
            found.failed = Some(path.failed(violation));
            return found;
        }
        for point in run.points {
            self.crash(&point, &mut path, &mut found);
            if found.failed.is_some() {
                break;
            }
        }
        found
    }

    /// Crashes a workload at a point, in every way.
    fn crash(&self, point: &Point, path: &mut Path, found: &mut Found) {
        if !self.moments.is_new(point.image.digest(), point.known) {
            return;
        }
        found.moments += 1;
        let pending = point.image.pending();
        match pending <= EVERY_SUBSET {
            true => found.subsets += 1 << pending,
            false => found.sampled += 1,
        }
        let is_new = |digest| self.crashed.is_new(digest, point.known);
        for (crash, image) in crashes(&point.image, EVERY_SUBSET, is_new) {
            found.disks += 1;
            path.crashes.push((point.step, crash));
            self.recover(&image, &point.oracle, path, found);
            path.crashes.pop();
            if found.failed.is_some() {
                return;
            }
        }
    }

    /// Opens a disk that a crash has left, and crashes that at every step.
    fn recover(&self, image: &Image, oracle: &Oracle, path: &mut Path, found: &mut Found) {
        let run = self.run(Some(image), oracle.clone(), Then::Recover, found);
        if let Some(violation) = run.violation {
            found.failed = Some(path.failed(violation));
            return;
        }
        for point in run.points {
            if !self.moments_again.is_new(point.image.digest(), point.known) {
                continue;
            }
            found.moments_in_recovery += 1;
            let is_new = |digest| self.crashed_again.is_new(digest, point.known);
            for (crash, image) in crashes(&point.image, EVERY_SUBSET_IN_RECOVERY, is_new) {
                found.disks_behind_recovery += 1;
                let run = self.run(Some(&image), point.oracle.clone(), Then::RecoverAgain, found);
                if let Some(violation) = run.violation {
                    path.crashes.push((point.step, crash));
                    found.failed = Some(path.failed(violation));
                    return;
                }
            }
        }
    }

    fn run(&self, image: Option<&Image>, oracle: Oracle, then: Then, found: &mut Found) -> Run {
        let points = Arc::new(Mutex::new(Vec::new()));
        let mut oracle = oracle;
        (oracle.turn, oracle.checked) = (0, Checked::default());
        let oracle = Arc::new(Mutex::new(oracle));
        let ended = catch_unwind(AssertUnwindSafe(|| {
            sim::run(SEED, |sim| {
                let (points, oracle) = (&points, &oracle);
                async move {
                    if let Some(image) = image {
                        sim.boot(image);
                    }
                    self.conduct(&sim, oracle, then, points).await;
                    (sim.digest(), sim.counts())
                }
            })
        }));
        let outcome = outcome(ended, &oracle);
        found.counts += outcome.counts;
        found.checked.add(&outcome.checked);
        let points = std::mem::take(&mut *points.lock().unwrap_or_else(PoisonError::into_inner));
        Run { points, violation: outcome.violation }
    }

    async fn conduct(&self, sim: &Sim, oracle: &Arc<Mutex<Oracle>>, then: Then, points: &Arc<Mutex<Vec<Point>>>) {
        let machine = || Machine::new(sim.clone(), Arc::clone(oracle), RECORD_BYTES, false, false);
        let live = |ops: Vec<Op>| sim.life(Live::run(machine(), SETTINGS, ops, false));
        let now = || oracle.lock().unwrap_or_else(PoisonError::into_inner);
        match then {
            Then::Work(ops) => {
                watch(sim, oracle, points, ops.len()..=ops.len());
                live(ops).await;
                sim.unwatch();
                let oracle = now().clone();
                let point = Point { step: u64::MAX, image: sim.disk().image(), known: oracle.digest(), oracle };
                points.lock().unwrap_or_else(PoisonError::into_inner).push(point);
                return;
            }
            Then::Recover => {
                watch(sim, oracle, points, 0..=0);
                sim.life(Live::run(machine(), SETTINGS, afterwards(), false)).await;
                sim.unwatch();
            }
            Then::RecoverAgain => {
                let opening = Live::open(machine(), SETTINGS, false);
                let Some(Ok(live)) = sim.life(opening).await else { return };
                let known = now().digest();
                if !self.opened.is_new(sim.disk().image().digest(), known) {
                    return;
                }
                sim.life(async move { live.work(&afterwards()).await }).await;
            }
        }
        if now().violation().is_none() {
            sim.crash(Crash::Power(Cut::LoseAll));
            live(vec![Op::Verify, Op::Reopen { close: true, settings: SETTINGS }, Op::Look]).await;
        }
    }
}

/// What is done with a store that was recovered.
fn afterwards() -> Vec<Op> {
    vec![Op::Verify, Op::Append { section: 1, len: 10 }, Op::Sync { section: 1 }, Op::Look]
}

/// Keeps every moment in which a crash would leave something else than before, during some turns of the life.
fn watch(
    sim: &Sim,
    oracle: &Arc<Mutex<Oracle>>,
    points: &Arc<Mutex<Vec<Point>>>,
    turns: std::ops::RangeInclusive<usize>,
) {
    let (oracle, points) = (Arc::clone(oracle), Arc::clone(points));
    let mut last = None;
    sim.watch(move |moment| {
        let oracle = oracle.lock().unwrap_or_else(PoisonError::into_inner);
        if !turns.contains(&oracle.turn) {
            return;
        }
        let known = oracle.digest();
        let now = Some((moment.mark(), known));
        if now != std::mem::replace(&mut last, now) {
            let point = Point { step: moment.step, image: moment.image(), oracle: oracle.clone(), known };
            points.lock().unwrap_or_else(PoisonError::into_inner).push(point);
        }
    });
}

/// The ways to crash at a moment that leave a disk which is new.
fn crashes(image: &Image, every_subset: usize, is_new: impl Fn(u64) -> bool) -> Vec<(Crash, Image)> {
    let pending = image.pending();
    let mut left = Vec::new();
    let mut others: Vec<(Crash, u64)> = (0..KILLS).map(|seed| (Crash::Kill, seed)).collect();
    match (pending <= every_subset).then(|| image.outcomes()).flatten() {
        Some(outcomes) => {
            for outcome in outcomes.into_iter().filter(|outcome| is_new(outcome.digest)) {
                let crash = Crash::Power(outcome.cut);
                left.push((crash, image.crashed(crash, SEED)));
            }
        }
        None => {
            let cuts = (0..pending).flat_map(|n| [Cut::Only(n), Cut::AllBut(n), Cut::First(n)]);
            others.extend([Cut::LoseAll, Cut::KeepAll].into_iter().chain(cuts).map(|cut| (Crash::Power(cut), SEED)));
        }
    }
    for (crash, seed) in others {
        let crashed = image.crashed(crash, seed);
        if is_new(crashed.digest()) {
            left.push((crash, crashed));
        }
    }
    left
}

/// How it came to what is looked at.
struct Path {
    ops: Vec<Op>,
    crashes: Vec<(u64, Crash)>,
}

impl Path {
    fn failed(&self, violation: Violation) -> Failed {
        Failed { ops: self.ops.clone(), crashes: self.crashes.clone(), violation }
    }
}
