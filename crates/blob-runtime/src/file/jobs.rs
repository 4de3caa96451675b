//! Where blocking calls run.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Where blocking calls run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Io {
    /// On the threads of the `blocking` crate's pool. Each call costs a thread hop, 10 to 50 us.
    #[default]
    Pool,
    /// On the calling thread, in the same poll: for programs that keep a thread for storage. A call takes as long as
    /// the disk does.
    Inline,
}

impl Io {
    /// Runs a job to its end. Once the future has been polled the job has begun, and goes on when it is dropped.
    pub(super) async fn run<T: Send + 'static>(self, job: impl FnOnce() -> T + Send + 'static) -> T {
        match self {
            Self::Inline => job(),
            Self::Pool => Running(Some(blocking::unblock(job))).await,
        }
    }

    /// Runs a job that nobody waits for.
    pub(super) fn run_detached(self, job: impl FnOnce() + Send + 'static) {
        match self {
            Self::Inline => job(),
            Self::Pool => blocking::unblock(job).detach(),
        }
    }
}

/// A job on the pool. Dropping the pool's own handle would cancel a job that waits for its thread.
struct Running<T>(Option<blocking::Task<T>>);

impl<T> Future for Running<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let Some(task) = &mut self.0 else { return Poll::Pending };
        let result = std::task::ready!(Pin::new(task).poll(cx));
        self.0 = None;
        Poll::Ready(result)
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.detach();
        }
    }
}
