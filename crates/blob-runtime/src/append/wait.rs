//! Who waits for a log: for the end of a hold, for bytes to become durable.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::{Layout, Log};
use crate::error::Error;
use crate::queue::Ticket;

/// Keeps appends out of a log while it lives; see [`Log::hold`].
#[must_use = "dropping the hold lets appends in"]
pub struct Hold<L: Layout> {
    pub(super) log: Log<L>,
    pub(super) _ticket: Ticket,
}

impl<L: Layout> Drop for Hold<L> {
    fn drop(&mut self) {
        // Before the ticket goes on to the next in line.
        let mut state = self.log.state();
        state.held = false;
        state.wake_waiting();
    }
}

impl<L: Layout> fmt::Debug for Hold<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold").field("log", &self.log).finish_non_exhaustive()
    }
}

/// Waits until a job starts or ends, or `target` is answered.
pub(super) struct Changed<'a, L: Layout> {
    pub(super) log: &'a Log<L>,
    pub(super) target: u64,
    pub(super) id: Option<u64>,
}

impl<L: Layout> Future for Changed<'_, L> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let log = self.log;
        let mut state = log.state();
        let answered =
            state.tail.durable() >= self.target || state.poisoned.is_some() || state.tail.len() < self.target;
        let woken = self.id.is_some_and(|id| !state.waiting.contains_key(&id));
        if answered || woken || state.job.is_some() {
            return Poll::Ready(());
        }
        state.wait(&mut self.id, cx);
        Poll::Pending
    }
}

impl<L: Layout> Drop for Changed<'_, L> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.log.state().waiting.remove(&id);
        }
    }
}

/// Waits until no [`Hold`] keeps appends out. Whoever waits takes nothing: others may go on while it is not polled.
pub(super) struct Released<'a, L: Layout> {
    pub(super) log: &'a Log<L>,
    pub(super) id: Option<u64>,
}

impl<L: Layout> Future for Released<'_, L> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let log = self.log;
        let mut state = log.state();
        if !state.held || state.poisoned.is_some() {
            return Poll::Ready(());
        }
        state.wait(&mut self.id, cx);
        Poll::Pending
    }
}

impl<L: Layout> Drop for Released<'_, L> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.log.state().waiting.remove(&id);
        }
    }
}

/// Why [`Log::try_append`] has not appended.
#[derive(Debug)]
pub enum NotAppended<F> {
    /// All buffers are full; here is the closure back.
    Busy(F),
    /// An error; nothing was appended.
    Failed(Error),
}
