//! What is promised, how often each was checked, and what breaks it.

use std::fmt;

/// The promises, as in `docs/crash-safety.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "their names are in the table of the documentation")]
pub enum Promise {
    P1,
    P2,
    P3,
    P4,
    P5,
    P6,
    P7,
    P8,
    P9,
    P10,
    P11,
    P12,
    P13,
}

impl Promise {
    /// All of them with what they say, in one word.
    pub const ALL: [(Self, &'static str); 13] = [
        (Self::P1, "durable"),
        (Self::P2, "prefix"),
        (Self::P3, "intact"),
        (Self::P4, "told"),
        (Self::P5, "idempotent"),
        (Self::P6, "atomic"),
        (Self::P7, "cancel-safe"),
        (Self::P8, "no panic"),
        (Self::P9, "shown is durable"),
        (Self::P10, "exclusive"),
        (Self::P11, "configuration"),
        (Self::P12, "environment"),
        (Self::P13, "bounded"),
    ];
}

/// How often each promise was put to the test.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checked([u64; Promise::ALL.len()]);

impl Checked {
    /// One more time.
    pub fn count(&mut self, promise: Promise) {
        self.0[promise as usize] += 1;
    }

    /// How often.
    pub fn of(&self, promise: Promise) -> u64 {
        self.0[promise as usize]
    }

    /// Adds up two runs.
    pub fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, more)| *sum += more);
    }
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub promise: Promise,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.promise, self.what)
    }
}
