//! All small cases: every workload of up to four operations, crashed at every step, with every set of surviving effects
//! while they are few, and the recovery crashed at every step once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use blob_runtime::sim::{self, Crash, Cut};

use super::live::{Live, Machine};
use super::oracle::{Oracle, Violation};
use super::run::{Outcome, outcome, run};
use super::script::{End, Life, Op, Script, Settings};

/// Operations of the longest workload.
pub const MAX_OPS: u32 = 4;

/// Effects up to which every subset is tried.
const EVERY_SUBSET: usize = 12;

/// Up to this many effects the recovery behind every subset is crashed at every step too.
const EVERY_RECOVERY: usize = 2;

/// A record fills most of a page, so that the second reaches into the next; every second append makes a checkpoint due.
const SETTINGS: Settings = Settings { index_buffer: 40, ..Settings::PLAIN };

/// The operations, each on the section it is for.
fn alphabet() -> Vec<Op> {
    let both = |op: fn(u64) -> Op| [op(1), op(2)];
    let mut all = Vec::new();
    all.extend(both(|section| Op::Append { section, len: 9 }));
    all.extend(both(|section| Op::AppendAll { section, lens: vec![5, 7] }));
    all.extend(both(|section| Op::Sync { section }));
    all.push(Op::Maintain);
    all.extend(both(|section| Op::Rewind { section, back: 1, all_later: true }));
    all.push(Op::Prune { min: 2 });
    all.push(Op::Reopen { close: true, settings: SETTINGS });
    all.push(Op::Reopen { close: false, settings: SETTINGS });
    all
}

/// How many workloads there are with up to so many operations.
pub fn count(max_ops: u32) -> u64 {
    let letters = alphabet().len() as u64;
    (1..=max_ops).map(|ops| letters.pow(ops)).sum()
}

/// A workload by its number, shorter ones first.
pub fn workload(mut number: u64) -> Vec<Op> {
    let alphabet = alphabet();
    let letters = alphabet.len() as u64;
    let mut ops = 1;
    while number >= letters.pow(ops) && ops < MAX_OPS {
        number -= letters.pow(ops);
        ops += 1;
    }
    let letter = |at: u32| {
        let index = usize::try_from(number / letters.pow(at) % letters).unwrap_or(0);
        alphabet.get(index).cloned()
    };
    (0..ops).filter_map(letter).collect()
}

/// Whether it is the case of a shorter one: what comes before the first append finds an empty store.
fn is_redundant(ops: &[Op]) -> bool {
    ops.len() > 1 && !matches!(ops.first(), Some(Op::Append { .. } | Op::AppendAll { .. } | Op::Prune { .. }))
}

/// What came of a workload with all its crashes.
#[derive(Debug, Default)]
pub struct Small {
    /// Runs it took.
    pub runs: u64,
    /// All their outcomes, added up; the digest is the last one's.
    pub total: Option<Outcome>,
    /// The first that failed.
    pub failed: Option<(Script, Violation)>,
}

impl Small {
    fn one(&mut self, script: &Script) -> bool {
        let outcome = run(script);
        self.runs += 1;
        if let Some(violation) = &outcome.violation {
            self.failed = Some((script.clone(), violation.clone()));
        }
        match &mut self.total {
            None => self.total = Some(outcome),
            Some(total) => {
                total.counts += outcome.counts;
                total.checked.add(&outcome.checked);
            }
        }
        self.failed.is_none()
    }
}

fn script(ops: &[Op], ends: &[End]) -> Script {
    let life = |(n, end): (usize, &End)| {
        let ops = if n == 0 { ops.to_vec() } else { Vec::new() };
        Life { settings: SETTINGS, ops, end: *end }
    };
    let lives = ends.iter().enumerate().map(life).collect();
    Script { seed: 1, record_bytes: 36, ordered: false, stale: false, granularity: None, lives }
}

/// Runs one workload with every crash.
pub fn small(number: u64) -> Small {
    let ops = workload(number);
    let mut all = Small::default();
    if is_redundant(&ops) {
        return all;
    }
    // Each crash before a step that the workload reaches; the last one when it has ended.
    for step in 1.. {
        let (pending, ended) = pending_at(&ops, step);
        let subsets = if pending <= EVERY_SUBSET { 1_u64 << pending } else { 0 };
        let mut cuts: Vec<Crash> = (0..subsets).map(|bits| Crash::Power(Cut::Subset(bits))).collect();
        if subsets == 0 {
            cuts.extend([Cut::LoseAll, Cut::KeepAll].map(Crash::Power));
            cuts.extend((0..pending).flat_map(|n| [Cut::Only(n), Cut::AllBut(n), Cut::First(n)]).map(Crash::Power));
        }
        cuts.push(Crash::Kill);
        for crash in cuts {
            let end = End { step, crash };
            if !all.one(&script(&ops, &[end])) {
                return all;
            }
            let few = pending <= EVERY_RECOVERY || matches!(crash, Crash::Kill | Crash::Power(Cut::Subset(0)));
            if few && !recovery(&ops, end, &mut all) {
                return all;
            }
        }
        if ended {
            return all;
        }
    }
    all
}

/// Crashes the recovery behind a crash at each of its steps. False when something failed.
fn recovery(ops: &[Op], end: End, all: &mut Small) -> bool {
    for step in 1.. {
        for crash in [Crash::Kill, Crash::Power(Cut::LoseAll), Crash::Power(Cut::KeepAll)] {
            let script = script(ops, &[end, End { step, crash }]);
            if !all.one(&script) {
                return false;
            }
        }
        if is_over_before(ops, end, step) {
            return true;
        }
    }
    true
}

/// How many effects are pending when a life is killed before a step; and whether it had ended before.
fn pending_at(ops: &[Op], step: u64) -> (usize, bool) {
    probe(ops, &[End { step, crash: Crash::Kill }])
}

/// Whether the recovery behind a crash ends before this step.
fn is_over_before(ops: &[Op], end: End, step: u64) -> bool {
    probe(ops, &[end, End { step, crash: Crash::Kill }]).1
}

/// Runs lives and looks at the disk behind the last: pending effects, and whether that life ended before its crash.
fn probe(ops: &[Op], ends: &[End]) -> (usize, bool) {
    let oracle = Arc::new(Mutex::new(Oracle::new(false, false)));
    let script = script(ops, ends);
    let mut seen = (0, true);
    let ended = catch_unwind(AssertUnwindSafe(|| {
        sim::run(script.seed, |sim| {
            let (oracle, script, seen) = (&oracle, &script, &mut seen);
            async move {
                for life in &script.lives {
                    sim.crash_at(life.end.step, life.end.crash);
                    let machine = Machine::new(sim.clone(), Arc::clone(oracle), script.record_bytes, false, false);
                    let over = sim.life(Live::run(machine, life.settings, life.ops.clone(), false)).await.is_some();
                    sim.disarm();
                    if over {
                        sim.crash(life.end.crash);
                    }
                    *seen = (sim.pending(), over);
                }
                (sim.digest(), sim.counts())
            }
        })
    }));
    // A violation shows in the run itself.
    let _ = outcome(ended, &oracle);
    seen
}
