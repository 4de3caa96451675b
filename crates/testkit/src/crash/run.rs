//! Runs a script on the simulated machine.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use blob_runtime::sim::{self, Counts, Crash, Cut, Sim};

use super::live::{Live, Machine};
use super::oracle::{Checked, Oracle, Promise, Violation};
use super::script::{End, Life, Op, Script, Settings};

/// What came of a run.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The first broken promise.
    pub violation: Option<Violation>,
    /// Equal for equal runs.
    pub digest: u64,
    /// What the disk has done and suffered.
    pub counts: Counts,
    /// How often each promise was put to the test.
    pub checked: Checked,
}

/// Runs a script. What panics, a deadlock too, is a broken promise (P8).
pub fn run(script: &Script) -> Outcome {
    run_with(script, Oracle::new(script.ordered, script.stale)).0
}

/// Runs a script and tells what was asked and answered, with what the model made of it.
pub fn tell(script: &Script) -> (Outcome, Vec<String>) {
    let mut oracle = Oracle::new(script.ordered, script.stale);
    oracle.tell();
    run_with(script, oracle)
}

fn run_with(script: &Script, oracle: Oracle) -> (Outcome, Vec<String>) {
    let oracle = Arc::new(Mutex::new(oracle));
    let watched = Arc::clone(&oracle);
    let ended = catch_unwind(AssertUnwindSafe(|| {
        sim::run(script.seed, |sim| async move {
            conduct(&sim, script, &watched).await;
            (sim.digest(), sim.counts())
        })
    }));
    let story = oracle.lock().unwrap_or_else(PoisonError::into_inner).story();
    (outcome(ended, &oracle), story)
}

/// What came of a run that has ended, or panicked.
pub(super) fn outcome(ended: std::thread::Result<(u64, Counts)>, oracle: &Mutex<Oracle>) -> Outcome {
    let mut oracle = oracle.lock().unwrap_or_else(PoisonError::into_inner);
    let (digest, counts) = match ended {
        Ok(ended) => ended,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            oracle.broken(Promise::P8, format!("panic: {}", text.unwrap_or_default()));
            (0, Counts::default())
        }
    };
    oracle.checked.count(Promise::P8);
    Outcome { violation: oracle.violation().cloned(), digest, counts, checked: oracle.checked }
}

async fn conduct(sim: &Sim, script: &Script, oracle: &Arc<Mutex<Oracle>>) {
    sim.disk().set_stale(script.stale);
    sim.disk().set_granularity(script.granularity);
    let faulty = script.lives.iter().any(Life::has_faults);
    let live = |settings: Settings, ops: Vec<Op>, faulty: bool| {
        let machine = Machine::new(sim.clone(), Arc::clone(oracle), script.record_bytes, script.ordered, faulty);
        let closed = false;
        Live::run(machine, settings, ops, closed)
    };
    let is_over = || oracle.lock().unwrap_or_else(PoisonError::into_inner).violation().is_some();
    for Life { settings, ops, end: End { step, crash } } in &script.lives {
        sim.crash_at(*step, *crash);
        let crashes = sim.crashes();
        sim.life(live(*settings, ops.clone(), faulty)).await;
        sim.disarm();
        let now = sim.steps();
        oracle.lock().unwrap_or_else(PoisonError::into_inner).note(|_| format!("step {now}: {crash:?}"));
        if is_over() {
            return;
        }
        if sim.crashes() == crashes {
            sim.crash(*crash);
        }
    }
    sim.faults().clear();
    // The disk is well again: the store opens, shows what it must, works, and shows the same after a power cut (P9).
    let settings = Settings::PLAIN;
    let (section, len) = (1, 10);
    let work = vec![Op::Verify, Op::Append { section, len }, Op::Sync { section }, Op::Look, Op::Verify];
    sim.life(live(settings, work, false)).await;
    if is_over() {
        return;
    }
    sim.crash(Crash::Power(Cut::LoseAll));
    let last = vec![Op::Verify, Op::Look, Op::Reopen { close: true, settings }, Op::Verify, Op::Look];
    sim.life(live(settings, last, false)).await;
}
