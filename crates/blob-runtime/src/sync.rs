//! The locks of this crate, and the atomics beside them: the standard library's, except in the tests under `shuttle`,
//! which try orders of threads and need its own. A lock that is taken past this module is one they do not see.
//!
//! `Arc` and `OnceLock` stay the standard library's: the first is the same there, and there is no second.

use std::sync::PoisonError;

#[cfg(not(all(test, shuttle)))]
pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(all(test, shuttle)))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};

#[cfg(all(test, shuttle))]
pub(crate) use shuttle::sync::atomic::{AtomicU64, Ordering};
#[cfg(all(test, shuttle))]
pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard};

#[cfg(test)]
#[cfg(shuttle)]
pub(crate) mod tests;

/// Locks a mutex; a panic of another holder does not spread (everything behind such a lock is valid between statements).
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
