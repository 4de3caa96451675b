//! A bound for what many sections, also of several stores, hold in memory because it is not written yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A bound in bytes. Cheap to clone; clones are the same budget.
///
/// An append that would exceed it writes what its own store holds first, the section that holds the most before the
/// others. So all stores together hold no more than the budget and one buffer each.
#[derive(Debug, Clone)]
pub struct BufferBudget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit_bytes: usize,
    used_bytes: AtomicUsize,
}

impl BufferBudget {
    /// A budget of this many bytes.
    pub fn new(limit_bytes: usize) -> Self {
        Self(Arc::new(Shared { limit_bytes, used_bytes: AtomicUsize::new(0) }))
    }

    /// The bound in bytes.
    pub fn limit_bytes(&self) -> usize {
        self.0.limit_bytes
    }

    /// Bytes held now.
    pub fn used_bytes(&self) -> usize {
        self.0.used_bytes.load(Ordering::Relaxed)
    }

    /// Whether so many bytes more are too many.
    pub(crate) fn is_exceeded_by(&self, bytes: usize) -> bool {
        self.used_bytes().saturating_add(bytes) > self.0.limit_bytes
    }

    /// One section's part of it.
    pub(crate) fn share(&self) -> Share {
        Share { budget: self.clone(), bytes: AtomicUsize::new(0) }
    }
}

/// What one section holds of a budget; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: BufferBudget,
    bytes: AtomicUsize,
}

impl Share {
    /// Notes how many bytes the section holds now.
    pub(crate) fn set(&self, bytes: usize) {
        let before = self.bytes.swap(bytes, Ordering::Relaxed);
        let used = &self.budget.0.used_bytes;
        if bytes >= before {
            used.fetch_add(bytes - before, Ordering::Relaxed);
        } else {
            used.fetch_sub(before - bytes, Ordering::Relaxed);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}
