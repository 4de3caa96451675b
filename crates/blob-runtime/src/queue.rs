//! One after the other, in the order of asking: tickets that outlive the futures that drew them.
//!
//! A ticket is an owned value. It moves into the job that does the work, so that a caller who loses interest does not
//! let the next one in early. First come, first served to the letter (and so the same on every run of a simulation),
//! and no clock, no thread, no allocation while nobody waits.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::sync::{Mutex, lock};

#[cfg(test)]
mod tests;

/// A queue that lets one in at a time.
#[derive(Clone, Default)]
pub struct Queue(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    busy: bool,
    next: u64,
    /// The waiter that was let in and has not yet picked up its ticket.
    granted: Option<u64>,
    waiting: VecDeque<(u64, Waker)>,
}

impl State {
    /// Lets the next one in, or marks the place free.
    fn pass_on(&mut self) -> Option<Waker> {
        match self.waiting.pop_front() {
            Some((id, waker)) => {
                self.granted = Some(id);
                Some(waker)
            }
            None => {
                self.busy = false;
                None
            }
        }
    }
}

/// The right to be the only one, until dropped.
#[must_use = "dropping the ticket lets the next one in"]
pub struct Ticket(Arc<Mutex<State>>);

/// Waits for a [`Ticket`]. The place in the queue is taken by the first poll.
#[must_use = "futures do nothing unless polled"]
pub struct Enter {
    queue: Arc<Mutex<State>>,
    id: Option<u64>,
}

impl Queue {
    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits for its turn.
    ///
    /// Cancel safety: dropping the future gives the place up.
    pub fn enter(&self) -> Enter {
        Enter { queue: Arc::clone(&self.0), id: None }
    }

    /// A ticket, when nobody is in and nobody waits.
    pub fn try_enter(&self) -> Option<Ticket> {
        let mut state = lock(&self.0);
        if state.busy {
            return None;
        }
        state.busy = true;
        Some(Ticket(Arc::clone(&self.0)))
    }

    /// Whether somebody is in.
    pub fn is_busy(&self) -> bool {
        lock(&self.0).busy
    }
}

impl Future for Enter {
    type Output = Ticket;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ticket> {
        let queue = Arc::clone(&self.queue);
        let mut state = lock(&queue);
        match self.id {
            None if !state.busy => {
                state.busy = true;
                drop(state);
                Poll::Ready(Ticket(queue))
            }
            None => {
                let id = state.next;
                state.next += 1;
                state.waiting.push_back((id, cx.waker().clone()));
                self.id = Some(id);
                Poll::Pending
            }
            Some(id) if state.granted == Some(id) => {
                state.granted = None;
                self.id = None;
                drop(state);
                Poll::Ready(Ticket(queue))
            }
            Some(id) => {
                if let Some((_, waker)) = state.waiting.iter_mut().find(|(waiting, _)| *waiting == id) {
                    waker.clone_from(cx.waker());
                }
                Poll::Pending
            }
        }
    }
}

impl Drop for Enter {
    fn drop(&mut self) {
        let Some(id) = self.id else { return };
        let mut state = lock(&self.queue);
        let waker = if state.granted == Some(id) {
            state.granted = None;
            state.pass_on()
        } else {
            state.waiting.retain(|(waiting, _)| *waiting != id);
            None
        };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let waker = lock(&self.0).pass_on();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = lock(&self.0);
        f.debug_struct("Queue").field("busy", &state.busy).field("waiting", &state.waiting.len()).finish()
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket")
    }
}

impl fmt::Debug for Enter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enter").field("waiting", &self.id.is_some()).finish()
    }
}
