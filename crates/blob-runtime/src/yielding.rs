//! Giving other tasks of the executor their turn.

use std::future::poll_fn;
use std::task::Poll;

#[cfg(test)]
mod tests;

/// Returns to the executor once, and asks it to come back.
pub(crate) async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
