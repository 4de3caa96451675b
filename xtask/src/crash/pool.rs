//! Many things, a few at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use crate::process::Failure;

#[cfg(test)]
mod tests;

/// Runs `each` over `items`, at most `jobs` at a time. `done` gets each result as it comes, with its item's number; when it
/// fails nothing more is begun.
///
/// # Errors
/// That of `done`.
pub(super) fn run<T: Sync, R: Send>(
    items: &[T],
    jobs: usize,
    each: impl Fn(&T) -> R + Sync,
    mut done: impl FnMut(usize, R) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let next = AtomicUsize::new(0);
    let (send, results) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, items.len().max(1)) {
            let (send, next, each) = (send.clone(), &next, &each);
            scope.spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(number) else { break };
                    // Nobody listens any more once `done` has failed.
                    if send.send((number, each(item))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        results.into_iter().try_for_each(|(number, result)| done(number, result))
    })
}
