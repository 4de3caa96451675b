//! Wakes those who wait for something to change. Costs one atomic swap while nobody does.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

#[cfg(test)]
use shuttle::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering},
};
use std::sync::PoisonError;
#[cfg(not(test))]
use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering},
};

#[cfg(test)]
mod tests;

#[derive(Debug, Default)]
pub(crate) struct Bell {
    /// Somebody listens since the last ring.
    waiting: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Counts the rings that somebody has asked for.
    rings: u64,
    wakers: Vec<Waker>,
}

impl Bell {
    /// Something has changed.
    #[inline]
    pub(crate) fn ring(&self) {
        // Of two who swap the second sees what the first did before: the change is seen by whoever listens, or the
        // listener is seen here.
        if !self.waiting.swap(false, Ordering::AcqRel) {
            return;
        }
        let wakers = {
            let mut state = self.state();
            state.rings += 1;
            std::mem::take(&mut state.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Listens from now on: whoever looks at what may change after this, and then waits, misses nothing.
    pub(crate) fn listen(&self) -> Listen<'_> {
        let rings = {
            let state = self.state();
            self.waiting.swap(true, Ordering::AcqRel);
            state.rings
        };
        Listen { bell: self, rings }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends with the next ring after it was made.
#[derive(Debug)]
pub(crate) struct Listen<'a> {
    bell: &'a Bell,
    rings: u64,
}

impl Future for Listen<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.bell.state();
        if state.rings != self.rings {
            return Poll::Ready(());
        }
        if !state.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.wakers.push(cx.waker().clone());
        }
        // Nobody has rung since `listen`, so it is still noted that somebody waits.
        Poll::Pending
    }
}
