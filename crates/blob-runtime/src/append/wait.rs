//! Who waits for a log: for the end of a hold, for bytes to become durable.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::{Layout, Log, Space};
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

impl<L: Layout> Log<L> {
    /// Appends what `fill` puts; it gets the logical offset of its first byte, and runs under the log's lock. `len` is
    /// the room to set aside, in bytes. Does no I/O unless a buffer is full; then it starts the write, and waits only
    /// when all other buffers are still being written.
    ///
    /// Cancel safety: dropped, it has appended nothing; it appends in its last poll.
    ///
    /// # Errors
    /// [`Error::Poisoned`]; the error of the last write when that failed and the buffer is full; [`Error::TooLarge`].
    /// Nothing was appended then.
    pub async fn append<T>(&self, len: usize, fill: impl FnOnce(u64, &mut Space<'_>) -> T) -> Result<T, Error> {
        let mut fill = fill;
        loop {
            match self.append_unless_held(len, fill).await? {
                Ok(appended) => return Ok(appended),
                Err(back) => fill = back,
            }
            Released { log: self, id: None }.await;
        }
    }

    /// [`append`](Self::append) that gives `fill` back when a [hold](Self::hold) keeps appends out: for an owner whose changes
    /// hold the log, and who has to drive them.
    ///
    /// Cancel safety and errors: as [`append`](Self::append).
    pub async fn append_unless_held<T, F>(&self, len: usize, fill: F) -> Result<Result<T, F>, Error>
    where
        F: FnOnce(u64, &mut Space<'_>) -> T,
    {
        let mut fill = fill;
        loop {
            match self.try_append(len, fill) {
                Ok(result) => return Ok(Ok(result)),
                Err(NotAppended::Failed(error)) => return Err(*error),
                Err(NotAppended::Busy(back)) => fill = back,
            }
            let job = self.state().job.clone();
            match job {
                // How it ended is told by the state.
                Some(job) => drop(job.await),
                None => return Ok(Err(fill)),
            }
        }
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
    /// An error; nothing was appended. Apart, so that the answer of an append is small.
    Failed(Box<Error>),
}
