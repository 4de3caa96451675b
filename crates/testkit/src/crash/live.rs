//! One life of the machine: the store is opened and judged, then worked with.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use blob_runtime::Error as StorageError;
use blob_runtime::sim::{Crash, JoinHandle, Sim};
use oversized::{BufferBudget, Compression, Config, Error, RawOversized, last_bytes};
use paged_cache::PageCache;

use super::items;
use super::oracle::{Oracle, Promise, Since};
use super::script::{Op, Settings};

mod act;
mod ask;
mod change;
mod top;

/// Why a life, or a part of it, does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// A promise is broken, or the machine is down.
    Over,
    /// The store takes no more changes until it is opened anew.
    Reopen,
}

pub(super) type Step = Result<(), Stop>;

/// More than any open of these small stores takes.
const OPEN_STEPS: u64 = 60_000;

/// What the tasks of a life share.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    pub(super) sim: Sim,
    oracle: Arc<Mutex<Oracle>>,
    pub(super) record_bytes: usize,
    ordered: bool,
    /// How often the machine had crashed when this life began.
    crashes: u64,
    /// Operations under way, and how many have begun.
    busy: Arc<AtomicUsize>,
    begun: Arc<AtomicUsize>,
    /// Whether faults were injected in this run: then the disk's errors are right answers.
    faulty: Arc<Mutex<bool>>,
}

/// An operation under way.
pub(super) struct Busy<'a> {
    machine: &'a Machine,
    alone: bool,
    begun: usize,
    since: Since,
}

impl Busy<'_> {
    /// Whether nothing else was under way at any time since it began, and no change was left behind.
    pub(super) fn is_alone(&self) -> bool {
        self.alone && self.machine.begun.load(Ordering::Relaxed) == self.begun && !self.machine.oracle().is_changing()
    }
}

impl Busy<'_> {
    /// Whether nothing else was under way when it began: for a change, which is itself one.
    fn was_alone(&self) -> bool {
        self.alone && self.machine.begun.load(Ordering::Relaxed) == self.begun
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.machine.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Machine {
    pub(super) fn new(sim: Sim, oracle: Arc<Mutex<Oracle>>, record_bytes: usize, ordered: bool, faulty: bool) -> Self {
        Self {
            crashes: sim.crashes(),
            sim,
            oracle,
            record_bytes,
            ordered,
            busy: Arc::default(),
            begun: Arc::default(),
            faulty: Arc::new(Mutex::new(faulty)),
        }
    }

    pub(super) fn oracle(&self) -> MutexGuard<'_, Oracle> {
        self.oracle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_faulty(&self) -> bool {
        *self.faulty.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_faulty(&self) {
        *self.faulty.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }

    /// Whether the machine still runs: after a crash within a poll nothing that the poll goes on to do counts.
    fn is_up(&self) -> bool {
        self.sim.crashes() == self.crashes
    }

    pub(super) fn broken(&self, promise: Promise, what: impl Into<String>) {
        if self.is_up() {
            self.oracle().broken(promise, what);
        }
    }

    /// # Errors
    /// [`Stop::Over`] when a promise is broken, or the machine is down.
    fn check(&self) -> Step {
        match self.is_up() && self.oracle().violation().is_none() {
            true => Ok(()),
            false => Err(Stop::Over),
        }
    }

    fn busy(&self) -> Busy<'_> {
        let alone = self.busy.fetch_add(1, Ordering::Relaxed) == 0 && !self.oracle().is_changing();
        let begun = self.begun.fetch_add(1, Ordering::Relaxed) + 1;
        Busy { machine: self, alone, begun, since: self.oracle().since() }
    }

    /// An error is right when the model says so, when it comes of a change beside, or of a fault of the disk.
    fn explain(&self, error: &Error, alone: bool, what: &str) -> Step {
        self.check()?;
        if self.oracle().explains(error) {
            return Ok(());
        }
        let beside = matches!(
            error,
            Error::Rewound { .. }
                | Error::ItemOutOfRange { .. }
                | Error::SectionOutOfRange { .. }
                | Error::Pruned { .. }
                | Error::OutOfOrder { .. }
        );
        if beside && !alone {
            return Ok(());
        }
        if self.is_faulty() {
            match error {
                Error::Unfinished { .. } => return Err(Stop::Reopen),
                Error::Poisoned { .. } => return Ok(()),
                _ => match error.storage() {
                    Some(StorageError::Io { .. }) => return Ok(()),
                    Some(StorageError::Poisoned { .. }) => return Err(Stop::Reopen),
                    _ => {}
                },
            }
        }
        self.broken(Promise::P12, format!("{what} answers {error:?}"));
        Err(Stop::Over)
    }

    pub(super) fn config(&self, settings: &Settings) -> Config {
        let config = Config::new("blocks")
            .page_bytes(1 << settings.page_bits)
            .page_cache(PageCache::new(settings.page_cache))
            .index_buffer_bytes(settings.index_buffer)
            .value_buffer_bytes(settings.value_buffer)
            .unsynced_bytes(settings.unsynced)
            .checkpoint_bytes(settings.checkpoint)
            .preallocate_bytes(settings.preallocate)
            .recovery_concurrency(settings.concurrency)
            .open_sections(settings.open_sections)
            .ordered(self.ordered);
        let config = match settings.budget {
            Some(bytes) => config.buffer_budget(BufferBudget::new(bytes)),
            None => config,
        };
        if settings.compress { config.compression(Compression::Zstd { level: 1 }) } else { config }
    }

    async fn open_once(&self, settings: &Settings) -> Result<RawOversized, Error> {
        RawOversized::open(self.sim.storage(), self.config(settings), self.record_bytes, last_bytes).await
    }

    /// Opens the store, reads everything and judges it. Where faults strike it is tried again (P12).
    pub(super) async fn open(&self, settings: &Settings, mut after_close: bool) -> Result<RawOversized, Stop> {
        if let Some(polls) = settings.abandon {
            // Whoever opens may be dropped.
            let first = act::polled(polls, Box::pin(self.open_once(settings))).await;
            drop(first);
        }
        let mut tries = 0;
        loop {
            self.check()?;
            let before = self.sim.steps();
            let error = match self.open_once(settings).await {
                Ok(store) => {
                    self.check()?;
                    self.oracle().checked.count(Promise::P13);
                    if self.sim.steps() - before > OPEN_STEPS {
                        self.broken(Promise::P13, format!("an open took {} steps", self.sim.steps() - before));
                    }
                    match self.shown(&store, &self.busy()).await {
                        Ok(shown) => {
                            self.judge_open(&store, &shown, after_close)?;
                            return Ok(store);
                        }
                        Err(error) => {
                            // A look at a section may have begun to write an index that was lost: it is dirty then.
                            after_close = false;
                            error
                        }
                    }
                }
                Err(error) => error,
            };
            self.check()?;
            self.note(|| format!("an open answers {error:?}"));
            tries += 1;
            match error.storage() {
                // A task that was left behind still writes.
                Some(StorageError::Locked { .. }) if tries < 10_000 => self.sim.yield_now().await,
                Some(StorageError::Io { .. }) if self.is_faulty() && tries < 10_000 => {
                    self.oracle().checked.count(Promise::P12);
                }
                // A directory whose fsync failed takes no more changes from this process.
                Some(StorageError::Poisoned { .. }) if self.is_faulty() => {
                    self.sim.crash(Crash::Kill);
                    return Err(Stop::Over);
                }
                _ => {
                    self.broken(Promise::P4, format!("an open answers {error:?}"));
                    return Err(Stop::Over);
                }
            }
        }
    }

    /// A line of the story.
    pub(super) fn note(&self, line: impl FnOnce() -> String) {
        let step = self.sim.steps();
        self.oracle().note(|oracle| format!("step {step}: {}; {oracle}", line()));
    }

    fn judge_open(&self, store: &RawOversized, shown: &super::Shown, after_close: bool) -> Step {
        self.check()?;
        let state = items::state_number(&store.state());
        let mut oracle = self.oracle();
        match state {
            Some(state) => oracle.recovered(shown, store.pruned_to(), state),
            None => oracle.broken(Promise::P6, "the user's own bytes are in parts"),
        }
        let report = store.recovery();
        let step = self.sim.steps();
        oracle.note(|oracle| format!("step {step}: opened: {report:?}; {oracle}"));
        if after_close && !(report.opening.clean && report.sections.is_empty()) {
            oracle.broken(Promise::P9, format!("after a close an open reports {report:?}"));
        }
        drop(oracle);
        self.check()
    }
}

/// The store of a life, with what runs beside.
pub(super) struct Live {
    pub(super) machine: Machine,
    /// `None` only while it is being opened anew.
    store: Option<RawOversized>,
    settings: Settings,
    tasks: Vec<JoinHandle<()>>,
}

impl Live {
    /// Opens the store and does all that a life does. `closed`: the life before has closed it and nothing came after.
    pub(super) async fn run(machine: Machine, settings: Settings, ops: Vec<Op>, closed: bool) -> Step {
        Self::open(machine, settings, closed).await?.work(&ops).await
    }

    /// Opens the store.
    pub(super) async fn open(machine: Machine, settings: Settings, closed: bool) -> Result<Self, Stop> {
        let store = machine.open(&settings, closed).await?;
        Ok(Self { machine, store: Some(store), settings, tasks: Vec::new() })
    }

    /// Does all that a life does with an open store.
    pub(super) async fn work(mut self, ops: &[Op]) -> Step {
        let settings = self.settings;
        for op in ops {
            self.machine.oracle().turn += 1;
            match self.top(op).await {
                Ok(()) => {}
                Err(Stop::Reopen) => self.reopen(settings, false).await?,
                Err(Stop::Over) => return Err(Stop::Over),
            }
            self.machine.check()?;
        }
        Ok(())
    }

    fn store(&self) -> Result<RawOversized, Stop> {
        self.store.clone().ok_or(Stop::Over)
    }

    /// Leaves the store and opens it again.
    async fn reopen(&mut self, settings: Settings, closed: bool) -> Step {
        self.tasks.drain(..).for_each(|task| task.abort());
        self.store = None;
        self.settings = settings;
        self.store = Some(self.machine.open(&settings, closed).await?);
        Ok(())
    }
}
