//! The exclusive right to write a partition, and the changes that outlive it.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use crate::error::Error;
use crate::sync::{Mutex, lock};

#[cfg(test)]
mod tests;

/// The exclusive right to write a partition, until dropped and the last change that had begun by then has ended.
#[must_use = "dropping the claim gives it up"]
pub struct Claim {
    partition: Arc<str>,
    _guard: Box<dyn Any + Send + Sync>,
}

impl Claim {
    /// A claim that drops `guard` when it ends; for backends of one's own.
    pub fn new(partition: &str, guard: impl Any + Send + Sync) -> Self {
        Self { partition: partition.into(), _guard: Box::new(guard) }
    }

    /// The partition.
    pub fn partition(&self) -> &str {
        &self.partition
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").field("partition", &self.partition).finish_non_exhaustive()
    }
}

/// The claims of one storage, and how many changes are under way in each partition. For backends.
#[derive(Clone, Default)]
pub struct Claims(Arc<Mutex<BTreeMap<Arc<str>, State>>>);

#[derive(Default)]
struct State {
    claimed: bool,
    active: usize,
    waiter: Option<Waker>,
}

/// A change that is under way. It moves into the job that makes it.
#[must_use = "dropping it says that the change has ended"]
pub struct Activity {
    claims: Claims,
    partition: Arc<str>,
}

struct Held {
    claims: Claims,
    partition: Arc<str>,
}

impl Claims {
    /// Nothing claimed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the partition, then waits until what an earlier holder had begun has ended.
    ///
    /// Cancel safety: dropping the future gives the claim up.
    ///
    /// # Errors
    /// [`Error::Locked`] while a claim is held.
    pub async fn claim(&self, partition: &str) -> Result<Claim, Error> {
        let partition: Arc<str> = partition.into();
        {
            let mut all = lock(&self.0);
            let state = all.entry(Arc::clone(&partition)).or_default();
            if state.claimed {
                return Err(Error::Locked { what: format!("partition {partition}").into() });
            }
            state.claimed = true;
        }
        let held = Held { claims: self.clone(), partition: Arc::clone(&partition) };
        poll_fn(|cx| {
            let mut all = lock(&self.0);
            match all.get_mut(&partition) {
                Some(state) if state.active > 0 => {
                    state.waiter = Some(cx.waker().clone());
                    Poll::Pending
                }
                _ => Poll::Ready(()),
            }
        })
        .await;
        Ok(Claim { partition, _guard: Box::new(held) })
    }

    /// Notes that a change of the partition begins.
    pub fn begin(&self, partition: &Arc<str>) -> Activity {
        lock(&self.0).entry(Arc::clone(partition)).or_default().active += 1;
        Activity { claims: self.clone(), partition: Arc::clone(partition) }
    }

    /// How many changes of the partition are under way.
    pub fn active(&self, partition: &str) -> usize {
        lock(&self.0).get(partition).map_or(0, |state| state.active)
    }

    fn update(&self, partition: &str, change: impl FnOnce(&mut State)) {
        let mut all = lock(&self.0);
        let Some(state) = all.get_mut(partition) else { return };
        change(state);
        let waker = if state.active == 0 { state.waiter.take() } else { None };
        if state.active == 0 && !state.claimed {
            all.remove(partition);
        }
        drop(all);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        self.claims.update(&self.partition, |state| state.active -= 1);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.claims.update(&self.partition, |state| state.claimed = false);
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = lock(&self.0);
        f.debug_map().entries(all.iter().map(|(partition, state)| (partition, (state.claimed, state.active)))).finish()
    }
}

impl fmt::Debug for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Activity").field("partition", &self.partition).finish_non_exhaustive()
    }
}
