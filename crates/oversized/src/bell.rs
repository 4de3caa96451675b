//! Wakes those who wait for something to change. Costs one atomic load while nobody does.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

#[derive(Debug, Default)]
pub(crate) struct Bell {
    /// Counts the rings that somebody has asked for.
    rings: AtomicU64,
    waiting: AtomicU64,
    wakers: Mutex<Vec<Waker>>,
}

impl Bell {
    /// Something has changed.
    pub(crate) fn ring(&self) {
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return;
        }
        let wakers = {
            let mut wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
            self.rings.fetch_add(1, Ordering::SeqCst);
            self.waiting.store(0, Ordering::SeqCst);
            std::mem::take(&mut *wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Listens from now on: whoever looks at what may change after this, and then waits, misses nothing.
    pub(crate) fn listen(&self) -> Listen<'_> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        Listen { bell: self, rings: self.rings.load(Ordering::SeqCst) }
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
        let mut wakers = self.bell.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        if self.bell.rings.load(Ordering::SeqCst) != self.rings {
            return Poll::Ready(());
        }
        if !wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            wakers.push(cx.waker().clone());
        }
        // A ring that came before this one has set it to 0.
        self.bell.waiting.fetch_max(1, Ordering::SeqCst);
        Poll::Pending
    }
}
