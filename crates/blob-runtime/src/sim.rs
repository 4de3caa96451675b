//! A simulated machine: a disk that loses, tears and forgets, and an executor that runs everything on one thread in an
//! order drawn from a seed.
//!
//! It is how this project tests that nothing acknowledged is ever lost, and it is public so that whoever builds on
//! [`Storage`](crate::Storage) can do the same. A test is a *conductor*: an async function that starts the store under
//! test as a task of the machine's current *life*, lets the machine crash, and looks at what the next life finds.
//!
//! ```
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicBool, Ordering};
//!
//! use blob_runtime::sim::{self, Crash, Cut, Sim};
//! use blob_runtime::{Error, Format, Kind, Storage, StoreId, Want};
//! use bytes::Bytes;
//!
//! fn format() -> Format {
//!     Format::new(Kind::USER, Want::Exactly(StoreId(1)))
//! }
//!
//! /// The store under test. It says outside of the machine what was acknowledged.
//! async fn workload(sim: Sim, acknowledged: Arc<AtomicBool>) -> Result<(), Error> {
//!     let blob = sim.storage().open("log", b"a", &format()).await?;
//!     blob.write_at(0, vec![Bytes::from_static(b"first")]).await?;
//!     blob.sync().await?;
//!     acknowledged.store(true, Ordering::Relaxed);
//!     blob.write_at(5, vec![Bytes::from_static(b"second")]).await
//! }
//!
//! /// Crashes the workload just before this step. True when it ended before that.
//! async fn conductor(sim: Sim, step: u64) -> Result<bool, Error> {
//!     let acknowledged = Arc::new(AtomicBool::new(false));
//!     sim.crash_at(step, Crash::Power(Cut::Random));
//!     let ended = sim.life(workload(sim.clone(), Arc::clone(&acknowledged))).await;
//!     sim.disarm();
//!
//!     // The next life: what was acknowledged is there, whatever else is.
//!     if acknowledged.load(Ordering::Relaxed) {
//!         let blob = sim.storage().open("log", b"a", &format().existing()).await?;
//!         assert_eq!(blob.read_at(0, 5).await?, "first", "seed {}, step {step}", sim.seed());
//!     }
//!     Ok(ended.is_some())
//! }
//!
//! // A crash before every step, each with 20 seeds: other orders of events, other survivors.
//! for seed in 0..20 {
//!     for step in 1.. {
//!         if sim::run(seed, |sim| conductor(sim, step))? {
//!             break;
//!         }
//!     }
//! }
//! # Ok::<_, Error>(())
//! ```
//!
//! # The disk
//!
//! Content, length and names (those of partitions too) are separate things, and each has what the process sees and what
//! is on the disk. Between the two lie *pending effects*. A successful sync makes those of its blob durable. At a power
//! cut each is lost, kept or, when it is a write, torn, by itself: see [`Cut`]. A failed sync leaves some of them on
//! the disk and none pending: the page cache then shows bytes that are not on the disk, and no later sync writes them
//! unless they are written again. A killed process leaves everything in the page cache.
//!
//! # Time
//!
//! There is no clock. An operation is *issued* by the first poll of its future, has one or more *parts*, and is
//! *completed*; each of these is a *step*, and before each the machine can crash ([`Sim::crash_at`]). Between steps the
//! executor picks at random, from the seed, who goes on: a task, or a part of an operation. An operation that was
//! issued runs to its end whether or not its future is dropped; only a crash stops it.
//!
//! The same seed gives the same run, to the step, on every machine with 64-bit words: [`Sim::digest`] proves it. Keep
//! it so by taking nothing from clocks, threads, addresses or the iteration order of hash maps; [`Sim::rng`] gives
//! random numbers.
//!
//! # Faults and bugs
//!
//! [`Sim::faults`] makes operations fail by plan or at random, hang, go astray, run out of space, and rots bits.
//! [`Sim::disk`] shows and edits the raw files. [`Sim::plant`] puts a [`Bug`] into the storage, to prove that a test
//! finds it.

mod blob;
mod crash;
mod disk;
mod executor;
mod faults;
mod image;
mod inode;
mod inspect;
mod life;
mod names;
mod seeds;
mod storage;
mod trace;
mod world;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

pub use crash::{Crash, Cut, Granularity};
pub use disk::{Pending, PendingEffect};
pub use faults::{Bug, Fault, Faults};
pub use image::{Image, Moment, Outcome};
pub use inspect::{RawDisk, RawFile};
pub use seeds::{InvalidSeeds, seeds};
pub use storage::SimStorage;
pub use trace::{Counts, Event, Ways, What};

use crate::sync::lock;
use crate::yielding::yield_now;
use executor::{Kind, Next, Receiver, TaskId, reply};
use life::Life;
use world::Core;

/// Runs a conductor to its end, on this thread, and answers what it answered. Then all tasks are dropped.
///
/// The conductor is no part of any life: crashes pass it by. Everything else that runs is started by it.
///
/// # Panics
/// When nothing can go on any more, a deadlock, with the seed in the message. When a task panics, that panic comes
/// through, and the seed is printed.
pub fn run<F, Fut>(seed: u64, conductor: F) -> Fut::Output
where
    F: FnOnce(Sim) -> Fut,
    Fut: Future,
{
    let run = Run(Arc::new(Core::new(seed)));
    let executor = &run.0.executor;
    let mut conductor = pin!(conductor(Sim { core: Arc::clone(&run.0) }));
    let waker = executor.conductor_waker();
    loop {
        match executor.next() {
            Some(Next::Conductor) => {
                if let Poll::Ready(output) = conductor.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return output;
                }
            }
            Some(Next::Slot(kind, slot)) => executor.poll(kind, slot),
            None => deadlock(&run.0),
        }
        executor.sweep();
    }
}

#[expect(clippy::panic, reason = "a tool for tests: a deadlock is a failed test, and it has to say where")]
fn deadlock(core: &Core) -> ! {
    let hanging = lock(&core.world).faults.held.len();
    let also = if hanging == 0 { String::new() } else { format!("; {hanging} operations hang by an injected fault") };
    panic!("deadlock in the simulation with seed {}: nothing is ready and the conductor has not ended{also}", core.seed)
}

/// Ends a run, however it ends.
struct Run(Arc<Core>);

impl Drop for Run {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A task dropped now might panic again, which would abort the process: they are leaked.
            eprintln!("the simulation with seed {} panicked", self.0.seed);
        } else {
            self.0.executor.clear();
        }
    }
}

/// A handle of a run: for its conductor, and for its tasks. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sim {
    core: Arc<Core>,
}

impl Sim {
    /// The storage of the machine's current life; called from a task, of that task's life.
    pub fn storage(&self) -> Arc<SimStorage> {
        let number = self.core.executor.callers_life();
        let claims = lock(&self.core.world).claims.clone();
        Arc::new(SimStorage { life: Life { core: Arc::clone(&self.core), number, claims }, read_only: false })
    }

    /// Runs a future as a task of the current life: `None` when the machine crashed before it ended.
    ///
    /// Cancel safety: the task starts with the first poll, and is dropped with this future.
    pub fn life<T, F>(&self, future: F) -> impl Future<Output = Option<T>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        /// Takes the task with it.
        struct Tied<T>(JoinHandle<T>);

        impl<T> Drop for Tied<T> {
            fn drop(&mut self) {
                self.0.abort();
            }
        }

        let sim = self.clone();
        async move {
            let mut task = Tied(sim.spawn(future));
            (&mut task.0).await
        }
    }

    /// Starts a task of the current life; called from a task, of that task's life.
    pub fn spawn<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        let (sender, receiver) = reply();
        let life = self.core.executor.callers_life();
        let core = Arc::downgrade(&self.core);
        if self.core.executor.is_doomed() {
            return JoinHandle { core: Arc::clone(&self.core), id: None, receiver };
        }
        let work = Box::pin(async move {
            let output = future.await;
            // A crash that struck within the last poll came first.
            if core.upgrade().is_some_and(|core| core.executor.life() == life) {
                sender.send(output);
            }
        });
        let id = self.core.executor.spawn(Kind::Task, life, work);
        JoinHandle { core: Arc::clone(&self.core), id: Some(id), receiver }
    }

    /// Returns to the executor once, so that others may go on.
    pub fn yield_now(&self) -> impl Future<Output = ()> + Send + use<> {
        yield_now()
    }

    /// The machine goes down now, and starts again: all tasks of the current life are dropped (the calling one when it
    /// returns to the executor), its storage and blobs answer [`Error::Closed`](crate::Error::Closed), and a crash
    /// that was planned is forgotten. [`storage`](Self::storage) gives what survived.
    pub fn crash(&self, crash: Crash) {
        self.core.crash(crash);
    }

    /// Plans a crash just before the `n`-th step from now, counted from 1. It replaces one that was planned before.
    pub fn crash_at(&self, n: u64, crash: Crash) {
        let mut world = lock(&self.core.world);
        let step = world.counts.steps + n.max(1);
        world.due = Some((step, crash));
    }

    /// Forgets a crash that was planned. False when none was, or it has struck.
    pub fn disarm(&self) -> bool {
        lock(&self.core.world).due.take().is_some()
    }

    /// How often the machine has crashed.
    pub fn crashes(&self) -> u64 {
        let counts = self.counts();
        counts.kills + counts.power_cuts
    }

    /// Steps so far: issues, parts and completions of operations.
    pub fn steps(&self) -> u64 {
        lock(&self.core.world).counts.steps
    }

    /// How many effects a power cut now would judge; the indexes of [`Cut`] are below it.
    pub fn pending(&self) -> usize {
        lock(&self.core.world).disk.pending_count()
    }

    /// The seed of the run.
    pub fn seed(&self) -> u64 {
        self.core.seed
    }

    /// A generator of random numbers, each time another one, from a stream of its own: drawing from it changes nothing
    /// about the disk or the order of tasks.
    pub fn rng(&self) -> fastrand::Rng {
        lock(&self.core.world).users_rng.fork()
    }

    /// A number for everything that has happened so far: equal for equal runs, and for others very likely not.
    pub fn digest(&self) -> u64 {
        let executor = self.core.executor.digest();
        let world = lock(&self.core.world);
        trace::mixed(trace::mixed(executor, world.trace.digest()), world.counts.steps)
    }

    /// What has happened so far, and how often.
    pub fn counts(&self) -> Counts {
        lock(&self.core.world).counts
    }

    /// Records from now on what happens, for [`events`](Self::events). It costs time and memory and changes nothing.
    pub fn record(&self) {
        lock(&self.core.world).trace.record();
    }

    /// What has happened since [`record`](Self::record).
    pub fn events(&self) -> Vec<Event> {
        lock(&self.core.world).trace.list()
    }

    /// The faults of the disk.
    pub fn faults(&self) -> Faults {
        Faults(Arc::clone(&self.core))
    }

    /// The raw disk.
    pub fn disk(&self) -> RawDisk {
        RawDisk(Arc::clone(&self.core))
    }

    /// Calls `look` before each step from now on, also one before which a crash strikes, in place of who looked before.
    /// It must not call the machine.
    pub fn watch(&self, look: impl FnMut(&Moment<'_>) + Send + 'static) {
        lock(&self.core.world).watcher = Some(Box::new(look));
    }

    /// Nobody looks any more.
    pub fn unwatch(&self) {
        lock(&self.core.world).watcher = None;
    }

    /// The machine starts with this disk instead of its own: as after [`crash`](Self::crash), all tasks of the current
    /// life are dropped, and its storage and blobs are closed. An image of a running machine is one of a machine that
    /// was killed with all in flight still to come: crash it first.
    pub fn boot(&self, image: &Image) {
        self.core.boot(image.0.copied());
    }

    /// Plants a bug into the storage, for the rest of the run.
    pub fn plant(&self, bug: Bug) {
        lock(&self.core.world).plant(bug);
    }
}

/// A task that was started: `None` when the machine crashed, or it was aborted, before it ended. Dropped, it lets the
/// task run on.
#[must_use = "dropping the handle lets the task run on without it; say so with drop"]
pub struct JoinHandle<T> {
    core: Arc<Core>,
    id: Option<TaskId>,
    receiver: Receiver<T>,
}

impl<T> JoinHandle<T> {
    /// Drops the task, at once or, called by the task itself, when it returns to the executor. Operations of the disk
    /// that it has begun run to their end.
    pub fn abort(&self) {
        if let Some(id) = self.id {
            self.core.executor.abort(id);
        }
    }

    /// Whether the task has ended, in any way.
    pub fn is_finished(&self) -> bool {
        self.receiver.is_over()
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.receiver.poll(cx)
    }
}

impl<T> std::fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinHandle").field("finished", &self.is_finished()).finish_non_exhaustive()
    }
}
