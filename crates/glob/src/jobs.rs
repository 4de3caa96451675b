//! Work of several steps that outlives whoever asked for it.
//!
//! A job is a future that lives in the store, not in its caller. Whoever asks next, for this or for something else,
//! first drives the one that was left behind to its end. So a dropped future leaves no half-done change that a later
//! call could miss (P7).

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::{BoxFuture, Shared};

#[cfg(test)]
mod tests;

type Job = Shared<BoxFuture<'static, ()>>;

/// A place for one job at a time.
#[derive(Default)]
pub(crate) struct Jobs(Arc<Mutex<Option<Job>>>);

fn lock(slot: &Mutex<Option<Job>>) -> MutexGuard<'_, Option<Job>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Jobs {
    /// Runs `work` when no other job is under way any more. `None` only when the jobs were [dropped](Self::clear).
    ///
    /// Cancel safety: dropped before the work has begun, it never begins; afterwards it is driven to its end by the next
    /// caller of this or of [`settle`](Self::settle).
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let (send, receive) = oneshot::channel();
        let slot = Arc::downgrade(&self.0);
        let mut work = Some(async move {
            let result = work.await;
            if let Some(slot) = slot.upgrade() {
                lock(&slot).take();
            }
            // Nobody waits for it any more when the caller was dropped.
            let _ = send.send(result);
        });
        loop {
            let (job, mine) = {
                let mut slot = lock(&self.0);
                match (&*slot, work.take()) {
                    (Some(job), waiting) => {
                        work = waiting;
                        (job.clone(), false)
                    }
                    (None, None) => return None,
                    (None, Some(work)) => {
                        let job = work.boxed().shared();
                        *slot = Some(job.clone());
                        (job, true)
                    }
                }
            };
            job.await;
            if mine {
                return receive.await.ok();
            }
        }
    }

    /// Drives the job that is under way to its end.
    ///
    /// Cancel safety: safe.
    pub(crate) async fn settle(&self) {
        let job = lock(&self.0).clone();
        if let Some(job) = job {
            job.await;
        }
    }

    /// Drops the job that is under way: the process gives the store up, as in a crash.
    pub(crate) fn clear(&self) {
        let job = lock(&self.0).take();
        drop(job);
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jobs").field("running", &lock(&self.0).is_some()).finish()
    }
}
