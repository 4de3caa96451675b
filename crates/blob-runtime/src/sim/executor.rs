//! One thread, many tasks, an order drawn from the seed.
//!
//! Two kinds of future run here: *tasks*, which are the user's, and *jobs*, which are the operations of the disk. Both
//! are picked at random among those that are ready. A job that is picked does its next part; that is what makes a
//! completion come "at some later moment".

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use fastrand::Rng;

use super::trace::mixed;
use crate::sync::{Mutex, lock};

#[cfg(test)]
mod tests;

/// A future without an output, of the life it belongs to.
pub(super) type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The number of no life: the conductor's.
pub(super) const OUTSIDE: u64 = 0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Job,
    Task,
}

/// What is ready to be polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Conductor,
    Slot(Kind, usize),
}

/// All tasks and jobs of a run.
pub(super) struct Executor {
    ready: Arc<Ready>,
    jobs: Mutex<Slots>,
    tasks: Mutex<Slots>,
    /// The life of the task that is being polled, or [`OUTSIDE`].
    polled: AtomicU64,
    /// The machine's life; what belongs to another one is dropped.
    life: AtomicU64,
    /// The life for which the last sweep was made.
    swept: AtomicU64,
}

/// A task's place, to abort it by. The slot may be used again, then with another generation.
#[derive(Debug, Clone, Copy)]
pub(super) struct TaskId {
    slot: usize,
    generation: u64,
}

struct Slots {
    all: Vec<Slot>,
    free: Vec<usize>,
}

struct Slot {
    /// `None` while it is being polled, and when the slot is free.
    work: Option<Work>,
    used: bool,
    aborted: bool,
    life: u64,
    generation: u64,
    waker: Waker,
}

/// The ready ones, in no order: one is drawn.
struct Ready(Mutex<ReadyState>);

struct ReadyState {
    rng: Rng,
    digest: u64,
    conductor: bool,
    jobs: Marked,
    tasks: Marked,
}

#[derive(Default)]
struct Marked {
    list: Vec<usize>,
    /// By slot: whether it is in the list.
    marks: Vec<bool>,
}

impl Marked {
    fn mark(&mut self, slot: usize) {
        if self.marks.len() <= slot {
            self.marks.resize(slot + 1, false);
        }
        if !std::mem::replace(&mut self.marks[slot], true) {
            self.list.push(slot);
        }
    }

    fn take(&mut self, at: usize) -> usize {
        let slot = self.list.swap_remove(at);
        self.marks[slot] = false;
        slot
    }
}

struct Wakeup {
    ready: Arc<Ready>,
    /// `None`: the conductor.
    target: Option<(Kind, usize)>,
}

impl Wake for Wakeup {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut ready = lock(&self.ready.0);
        match self.target {
            None => ready.conductor = true,
            Some((Kind::Job, slot)) => ready.jobs.mark(slot),
            Some((Kind::Task, slot)) => ready.tasks.mark(slot),
        }
    }
}

impl Executor {
    pub(super) fn new(seed: u64) -> Self {
        let state = ReadyState {
            rng: Rng::with_seed(seed),
            digest: 0,
            conductor: true,
            jobs: Marked::default(),
            tasks: Marked::default(),
        };
        let slots = || Mutex::new(Slots { all: Vec::new(), free: Vec::new() });
        Self {
            ready: Arc::new(Ready(Mutex::new(state))),
            jobs: slots(),
            tasks: slots(),
            polled: AtomicU64::new(OUTSIDE),
            life: AtomicU64::new(OUTSIDE + 1),
            swept: AtomicU64::new(OUTSIDE + 1),
        }
    }

    pub(super) fn conductor_waker(&self) -> Waker {
        Wakeup { ready: Arc::clone(&self.ready), target: None }.into_waker()
    }

    /// Draws one of those that are ready.
    pub(super) fn next(&self) -> Option<Next> {
        let mut ready = lock(&self.ready.0);
        let ReadyState { rng, digest, conductor, jobs, tasks } = &mut *ready;
        let count = jobs.list.len() + tasks.list.len() + usize::from(*conductor);
        if count == 0 {
            return None;
        }
        let mut drawn = rng.usize(..count);
        *digest = mixed(*digest, drawn as u64);
        if drawn < jobs.list.len() {
            return Some(Next::Slot(Kind::Job, jobs.take(drawn)));
        }
        drawn -= jobs.list.len();
        if drawn < tasks.list.len() {
            return Some(Next::Slot(Kind::Task, tasks.take(drawn)));
        }
        *conductor = false;
        Some(Next::Conductor)
    }

    /// Lets one job go on, when one is ready. A future of the disk that is polled again and again without a return to
    /// the executor makes progress by this.
    pub(super) fn nudge(&self) {
        let drawn = {
            let mut ready = lock(&self.ready.0);
            let ReadyState { rng, digest, jobs, .. } = &mut *ready;
            if jobs.list.is_empty() {
                return;
            }
            let drawn = rng.usize(..jobs.list.len());
            *digest = mixed(*digest, drawn as u64);
            jobs.take(drawn)
        };
        self.poll(Kind::Job, drawn);
    }

    /// Everything the draws have seen so far.
    pub(super) fn digest(&self) -> u64 {
        lock(&self.ready.0).digest
    }

    pub(super) fn life(&self) -> u64 {
        self.life.load(Ordering::Relaxed)
    }

    /// A new life begins; work of the old one is dropped at the next [`sweep`](Self::sweep).
    pub(super) fn begin_life(&self, life: u64) {
        self.life.store(life, Ordering::Relaxed);
    }

    /// The life a call is made from: the polled task's, or for the conductor the machine's current one.
    pub(super) fn callers_life(&self) -> u64 {
        match self.polled.load(Ordering::Relaxed) {
            OUTSIDE => self.life(),
            life => life,
        }
    }

    /// Whether the polled task belongs to a life that is over: it is dropped when this poll returns.
    pub(super) fn is_doomed(&self) -> bool {
        self.callers_life() != self.life()
    }

    pub(super) fn spawn(&self, kind: Kind, life: u64, work: Work) -> TaskId {
        let mut slots = lock(self.slots(kind));
        let slot = slots.free.pop().unwrap_or_else(|| {
            let slot = slots.all.len();
            let waker = Wakeup { ready: Arc::clone(&self.ready), target: Some((kind, slot)) }.into_waker();
            slots.all.push(Slot { work: None, used: false, aborted: false, life, generation: 0, waker });
            slot
        });
        let place = &mut slots.all[slot];
        (place.work, place.used, place.aborted, place.life) = (Some(work), true, false, life);
        let (id, waker) = (TaskId { slot, generation: place.generation }, place.waker.clone());
        drop(slots);
        match kind {
            // An operation takes its place in the queue of its blob when it is issued.
            Kind::Job => self.poll(kind, slot),
            Kind::Task => waker.wake(),
        }
        id
    }

    /// Drops a task; one that is being polled is dropped when that poll returns.
    pub(super) fn abort(&self, id: TaskId) {
        let mut slots = lock(&self.tasks);
        let Some(slot) = slots.all.get_mut(id.slot).filter(|slot| slot.used && slot.generation == id.generation) else {
            return;
        };
        slot.aborted = true;
        let work = slot.work.take();
        if work.is_some() {
            slots.release(id.slot);
        }
        drop(slots);
        drop(work);
    }

    pub(super) fn poll(&self, kind: Kind, slot: usize) {
        let mut slots = lock(self.slots(kind));
        // A waker outlives its task: the slot may be free, or already being polled further up.
        let Some(place) = slots.all.get_mut(slot) else { return };
        let Some(mut work) = place.work.take() else { return };
        let (life, waker) = (place.life, place.waker.clone());
        drop(slots);

        let before = self.polled.swap(life, Ordering::Relaxed);
        let alive = life == self.life();
        let ended = !alive || work.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        self.polled.store(before, Ordering::Relaxed);

        let mut slots = lock(self.slots(kind));
        let over = ended || life != self.life() || slots.all[slot].aborted;
        let dropped = if over {
            Some(work)
        } else {
            slots.all[slot].work = Some(work);
            None
        };
        drop(slots);
        // What it holds may wake others when it goes, so no lock is held; and the slot is not free before that.
        if dropped.is_some() {
            drop(dropped);
            lock(self.slots(kind)).release(slot);
        }
    }

    /// Drops everything of lives that are over, but what is being polled: that goes when its poll returns.
    pub(super) fn sweep(&self) {
        let life = self.life();
        if self.swept.swap(life, Ordering::Relaxed) != life {
            self.drop_all(|of| of != life);
        }
    }

    /// Drops everything.
    pub(super) fn clear(&self) {
        self.drop_all(|_| true);
    }

    fn drop_all(&self, doomed: impl Fn(u64) -> bool) {
        for kind in [Kind::Job, Kind::Task] {
            let mut slots = lock(self.slots(kind));
            let mut dropped = Vec::new();
            for slot in 0..slots.all.len() {
                if doomed(slots.all[slot].life)
                    && let Some(work) = slots.all[slot].work.take()
                {
                    slots.release(slot);
                    dropped.push(work);
                }
            }
            drop(slots);
            drop(dropped);
        }
    }

    fn slots(&self, kind: Kind) -> &Mutex<Slots> {
        match kind {
            Kind::Job => &self.jobs,
            Kind::Task => &self.tasks,
        }
    }
}

impl Slots {
    fn release(&mut self, slot: usize) {
        let place = &mut self.all[slot];
        place.used = false;
        place.generation += 1;
        self.free.push(slot);
    }
}

impl Wakeup {
    fn into_waker(self) -> Waker {
        Arc::new(self).into()
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").field("life", &self.life()).finish_non_exhaustive()
    }
}

/// One value from a job or a task to whoever waits for it; `None` when the sender went without one.
pub(super) fn reply<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Mutex::new(Shared { value: None, gone: false, waker: None }));
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

struct Shared<T> {
    value: Option<T>,
    gone: bool,
    waker: Option<Waker>,
}

pub(super) struct Sender<T>(Arc<Mutex<Shared<T>>>);

pub(super) struct Receiver<T>(Arc<Mutex<Shared<T>>>);

impl<T> Sender<T> {
    pub(super) fn send(self, value: T) {
        lock(&self.0).value = Some(value);
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut shared = lock(&self.0);
        shared.gone = true;
        let waker = shared.waker.take();
        drop(shared);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Receiver<T> {
    /// Whether the sender is done, with a value or without.
    pub(super) fn is_over(&self) -> bool {
        lock(&self.0).gone
    }

    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut shared = lock(&self.0);
        if shared.gone {
            return Poll::Ready(shared.value.take());
        }
        match &mut shared.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}
