//! Cuts a failing script down: fewer lives, fewer operations, plain settings, whole writes, as long as the same promise
//! is broken.
//!
//! Without an operation the steps before the crash are others, and so are the order of events and what survives. So a
//! smaller script is tried with other seeds and other steps too, before it is given up.

use blob_runtime::sim::{Crash, Cut, Granularity};

use super::oracle::Violation;
use super::run::run;
use super::script::{End, Life, Op, Script, Settings};

/// Runs that one smaller script is given.
const TRIES: u64 = 40;

/// A script that fails, and how.
#[derive(Debug, Clone)]
pub struct Shrunk {
    /// The script.
    pub script: Script,
    /// What it breaks.
    pub violation: Violation,
    /// Runs that it took.
    pub runs: u64,
}

/// Cuts a script down, with at most so many runs. `None` when it does not fail.
pub fn shrink(script: &Script, max_runs: u64) -> Option<Shrunk> {
    let violation = run(script).violation?;
    let mut best = Shrunk { script: script.clone(), violation, runs: 1 };
    loop {
        let before = best.script.clone();
        for smaller in candidates(&before) {
            if best.runs >= max_runs {
                return Some(best);
            }
            // What was accepted meanwhile may not have what this candidate keeps.
            if size(&smaller) < size(&best.script) && best.accept(&smaller, max_runs) {
                break;
            }
        }
        if best.script == before {
            return Some(best);
        }
    }
}

impl Shrunk {
    /// Tries a smaller script, with several seeds and steps.
    fn accept(&mut self, smaller: &Script, max_runs: u64) -> bool {
        for attempt in 0..TRIES.min(max_runs.saturating_sub(self.runs)) {
            let mut script = smaller.clone();
            script.seed = smaller.seed.wrapping_add(attempt / 4);
            for life in &mut script.lives {
                // The step as it is, then earlier ones.
                life.end.step = (life.end.step * (4 - attempt % 4) / 4).max(1);
            }
            self.runs += 1;
            if let Some(violation) = run(&script).violation
                && violation.promise == self.violation.promise
            {
                (self.script, self.violation) = (script, violation);
                return true;
            }
        }
        false
    }
}

/// How much there is to read in a script: what the shrinker makes less.
fn size(script: &Script) -> usize {
    let of_life = |life: &Life| {
        let ops: usize = life.ops.iter().map(Op::weight).sum();
        let crash = match life.end.crash {
            Crash::Power(Cut::KeepAll) => 0,
            Crash::Power(Cut::LoseAll) => 1,
            Crash::Kill => 2,
            Crash::Power(Cut::Random) => 4,
            Crash::Power(_) => 3,
        };
        100 + 20 * ops + crash + if life.settings == Settings::PLAIN { 0 } else { 6 }
    };
    let granularity = match script.granularity {
        Some(Granularity::Block) => 0,
        Some(Granularity::Sector) => 1,
        _ => 2,
    };
    script.lives.iter().map(of_life).sum::<usize>() + granularity + usize::from(script.ordered) * 3
}

/// Scripts with something less, those with much less first.
fn candidates(script: &Script) -> Vec<Script> {
    let mut all = Vec::new();
    let with = |change: &dyn Fn(&mut Script)| {
        let mut smaller = script.clone();
        change(&mut smaller);
        smaller
    };
    for life in 0..script.lives.len() {
        all.push(with(&|script| drop(script.lives.remove(life))));
    }
    for (number, life) in script.lives.iter().enumerate() {
        let count = life.ops.len();
        let mut chunk = count;
        while chunk > 0 {
            for from in (0..count).step_by(chunk).rev() {
                let to = (from + chunk).min(count);
                all.push(with(&|script| drop(script.lives[number].ops.drain(from..to))));
            }
            chunk /= 2;
        }
    }
    for (number, life) in script.lives.iter().enumerate() {
        for (at, op) in life.ops.iter().enumerate() {
            for simpler in op.simpler() {
                all.push(with(&|script| drop(script.lives[number].ops.splice(at..=at, simpler.clone()))));
            }
        }
        all.push(with(&|script| script.lives[number].settings = Settings::PLAIN));
        for crash in [Crash::Power(Cut::KeepAll), Crash::Power(Cut::LoseAll), Crash::Kill] {
            let step = life.end.step;
            all.push(with(&|script| script.lives[number].end = End { step, crash }));
        }
    }
    for granularity in [Granularity::Block, Granularity::Sector] {
        all.push(with(&|script| script.granularity = Some(granularity)));
    }
    all.push(with(&|script| script.ordered = false));
    all
}

impl Op {
    /// How much there is to read in it.
    fn weight(&self) -> usize {
        match self {
            Self::Dropped { op, .. } | Self::Spawn(op) => 1 + op.weight(),
            Self::Together(ops) => 1 + ops.iter().map(Self::weight).sum::<usize>(),
            Self::Reader { between, .. } => 2 + between.iter().map(Self::weight).sum::<usize>(),
            Self::AppendAll { lens, .. } => lens.len() + lens.iter().filter(|len| **len > 9).count(),
            Self::Append { len, .. } if *len > 9 => 2,
            Self::AppendAt { len, .. } if *len > 9 => 3,
            Self::AppendAt { .. } | Self::Reopen { .. } | Self::Destroy { .. } | Self::WrongRecord { .. } => 2,
            _ => 1,
        }
    }

    /// What may do in its place.
    fn simpler(&self) -> Vec<Vec<Self>> {
        match self {
            Self::Dropped { op, .. } | Self::Spawn(op) => vec![vec![Self::clone(op)]],
            Self::Together(ops) => {
                let without = |n: usize| {
                    let mut fewer = ops.clone();
                    fewer.remove(n);
                    vec![Self::Together(fewer)]
                };
                std::iter::once(ops.clone()).chain((0..ops.len()).map(without)).collect()
            }
            Self::Reader { settings, between } if !between.is_empty() => {
                vec![vec![Self::Reader { settings: *settings, between: Vec::new() }]]
            }
            Self::AppendAll { section, lens } if lens.len() > 1 => vec![
                vec![Self::AppendAll { section: *section, lens: lens.iter().skip(1).copied().collect() }],
                vec![Self::AppendAll { section: *section, lens: vec![5; lens.len()] }],
            ],
            Self::AppendAt { section, len, .. } => vec![vec![Self::Append { section: *section, len: *len }]],
            Self::Append { section, len } if *len > 9 => vec![vec![Self::Append { section: *section, len: 5 }]],
            _ => Vec::new(),
        }
    }
}
