//! The jobs of a log: how bytes get from memory to the disk, in what order, and what a failure means.

use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared as SharedFuture};

use super::layout::{Layout, Pending};
use super::{Log, Shared, State};
use crate::error::Error;
use crate::storage::Blob;
use crate::sync::lock;
use crate::yielding::yield_now;

/// A job under way. It lives in the log; whoever needs its end polls a clone.
pub(super) type Job = SharedFuture<BoxFuture<'static, Result<(), Error>>>;

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Writes.
    Write,
    /// Writes, then syncs.
    Sync,
}

impl<L: Layout> Log<L> {
    /// Runs jobs until `done`: joins the one that is under way, else leads one of this kind, a sync after it has given
    /// way to [company](super::company). Whoever led one that failed gets its error; whoever joined it tries by itself,
    /// unless the log is poisoned.
    pub(super) async fn drive(&self, kind: Kind, limit: u64, done: impl Fn(&State<L>) -> bool) -> Result<(), Error> {
        let mut gave_way = None;
        loop {
            let next = {
                let mut state = lock(&self.0.state);
                if let Some(error) = &state.poisoned {
                    return Err(error.clone());
                }
                if done(&state) {
                    return Ok(());
                }
                if kind == Kind::Sync && gave_way.is_none() {
                    state.company.arrive();
                }
                let times = gave_way.get_or_insert(0);
                match &state.job {
                    Some(job) => Some((job.clone(), false)),
                    None if kind == Kind::Sync && state.company.is_awaited(*times) => {
                        *times += 1;
                        None
                    }
                    None => Some((self.start(&mut state, kind, limit), true)),
                }
            };
            let Some((mut job, leads)) = next else {
                yield_now().await;
                continue;
            };
            let mut polls = 0_u64;
            let ended = poll_fn(|cx| {
                polls += 1;
                job.poll_unpin(cx)
            });
            let result = ended.await;
            if leads {
                if kind == Kind::Sync {
                    lock(&self.0.state).company.note_blocks(polls == 1);
                }
                // A write may plan less than was asked for (no page is full yet): it has done what it can.
                return result;
            }
        }
    }

    /// Starts a job that writes what waits, up to logical offset `limit`. There is none under way.
    pub(super) fn start(&self, state: &mut State<L>, kind: Kind, limit: u64) -> Job {
        state.tail.freeze();
        let pending = state.tail.parts(limit);
        let start = state.tail.written();
        let unsynced =
            start.saturating_sub(state.tail.durable()) + pending.iter().map(|part| part.len() as u64).sum::<u64>();
        let sync = kind == Kind::Sync || unsynced > self.0.config.unsynced_bytes;
        state.syncing = sync;
        if kind == Kind::Sync {
            state.company.depart();
        }
        let plan = state.layout.plan(Pending { start, parts: pending, sync });
        let through = plan.through;
        state.reached = state.reached.max(through);
        let (blob, log) = (Arc::clone(&self.0.blob), Arc::downgrade(&self.0));
        let work = async move {
            let result = match (plan.data.is_empty(), sync) {
                (true, true) => blob.sync().await,
                (true, false) => Ok(()),
                (false, true) => blob.write_at_sync(plan.offset, plan.data).await,
                (false, false) => blob.write_at(plan.offset, plan.data).await,
            };
            finish(&log, result, |state, _, result| {
                if result.is_err() {
                    return;
                }
                state.tail.set_written(through);
                state.layout.written(through);
                if sync {
                    state.tail.set_durable(through);
                    state.layout.synced(through);
                    state.synced_once = true;
                }
            })
        };
        install(state, work.boxed())
    }

    /// Starts a job that cuts everything from `len` on. There is none under way.
    pub(super) fn start_cut<F>(&self, state: &mut State<L>, len: u64, steps: F) -> Job
    where
        F: FnOnce(Arc<dyn Blob>, u64, &mut L) -> BoxFuture<'static, Result<(), Error>>,
    {
        // A write that failed may have left bytes behind `written`, also when a shorter one has come through since: only
        // what was never handed over needs no steps (defect 37).
        let touched = len < state.reached;
        state.cutting = true;
        self.0.cuts.fetch_add(1, Ordering::AcqRel);
        let written = state.tail.written();
        let steps = if touched {
            steps(Arc::clone(&self.0.blob), written, &mut state.layout)
        } else {
            async { Ok(()) }.boxed()
        };
        let log = Arc::downgrade(&self.0);
        let work = async move {
            let result = steps.await;
            let ended = log.upgrade();
            finish(&log, result, |state, blob, result| {
                state.cutting = false;
                if let Some(shared) = ended {
                    shared.cuts.fetch_add(1, Ordering::AcqRel);
                }
                match result {
                    Ok(()) => {
                        state.tail.cut(len);
                        state.layout.cut(len);
                        state.reached = state.reached.min(len);
                    }
                    // Half a cut is neither the old length nor the new one: only an open that looks can tell.
                    Err(error) => state.poisoned = Some(Error::poisoned(blob.id(), error)),
                }
            })
        };
        install(state, work.boxed())
    }
}

impl<L: Layout> Log<L> {
    /// Starts a job that runs `steps` alone on the blob. There is none under way.
    pub(super) fn start_alone<F>(&self, state: &mut State<L>, steps: F) -> Job
    where
        F: FnOnce(Arc<dyn Blob>, u64, &mut L) -> BoxFuture<'static, Result<(), Error>>,
    {
        state.cutting = true;
        let len = state.tail.len();
        let steps = steps(Arc::clone(&self.0.blob), len, &mut state.layout);
        let log = Arc::downgrade(&self.0);
        let work = async move {
            let result = steps.await;
            finish(&log, result, |state, _, _| state.cutting = false)
        };
        install(state, work.boxed())
    }
}

fn install<L>(state: &mut State<L>, work: BoxFuture<'static, Result<(), Error>>) -> Job {
    let job = work.shared();
    state.job = Some(job.clone());
    // Whoever waits for bytes to become durable helps to drive it.
    state.wake_waiting();
    job
}

/// Notes how a job ended; `note` is run under the lock. Without a log left there is nobody to tell.
fn finish<L>(
    log: &Weak<Shared<L>>,
    result: Result<(), Error>,
    note: impl FnOnce(&mut State<L>, &dyn Blob, &Result<(), Error>),
) -> Result<(), Error> {
    let Some(shared) = log.upgrade() else { return result };
    let mut state = lock(&shared.state);
    state.job = None;
    state.failed = result.as_ref().err().cloned();
    note(&mut state, shared.blob.as_ref(), &result);
    if let Some(error) = state.failed.as_ref().filter(|error| error.is_sync_failure()) {
        state.poisoned = Some(Error::poisoned(shared.blob.id(), error));
    }
    state.wake_waiting();
    // A failure that poisons is told as what it has become.
    result.map_err(|error| state.poisoned.clone().unwrap_or(error))
}
