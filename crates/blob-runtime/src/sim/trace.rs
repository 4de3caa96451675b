//! What happened: counts, a digest of it, and on request the list.

use std::fmt;
use std::ops::AddAssign;

use super::crash::Crash;
use crate::error::{Operation, Target};

/// Kinds of [`Operation`].
const OPERATIONS: usize = Operation::Random as usize + 1;

/// How often each thing happened in a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    performed: [u64; OPERATIONS],
    failed: [u64; OPERATIONS],
    /// Steps: issues, parts and completions of operations.
    pub steps: u64,
    /// Processes killed.
    pub kills: u64,
    /// Power cuts.
    pub power_cuts: u64,
    /// `try_read_at` that answered at once.
    pub quick_reads: u64,
    /// `try_read_at` that answered `None`.
    pub refused_reads: u64,
    /// What became of unsynced effects.
    pub ways: Ways,
}

/// How often unsynced effects survived, or did not, in each way: in power cuts and in failed syncs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ways {
    /// A write was lost.
    pub lost: u64,
    /// A write survived.
    pub kept: u64,
    /// A write survived up to some byte.
    pub torn: u64,
    /// A write survived in parts, cut at any byte.
    pub scattered_bytes: u64,
    /// A write survived in parts, cut at multiples of 512 bytes.
    pub scattered_sectors: u64,
    /// A write survived in parts, cut at multiples of 4096 bytes.
    pub scattered_blocks: u64,
    /// A write was the only effect that survived.
    pub only: u64,
    /// A write was the only effect that was lost.
    pub all_but: u64,
    /// A file grew and the write that made it grow was lost: zeros.
    pub length_only: u64,
    /// A write survived and the growth that came with it did not.
    pub data_only: u64,
    /// Bytes of the file's past showed where a write was lost.
    pub stale: u64,
    /// A resize was lost.
    pub resize_lost: u64,
    /// A resize survived.
    pub resize_kept: u64,
    /// A new name was lost.
    pub name_lost: u64,
    /// A new name survived.
    pub name_kept: u64,
    /// A removed name came back.
    pub removal_lost: u64,
    /// A removed name stayed away.
    pub removal_kept: u64,
    /// A change in flight landed whole.
    pub landed: u64,
    /// A write in flight landed up to some byte.
    pub landed_partly: u64,
    /// A change in flight did not land.
    pub not_landed: u64,
    /// A write went astray.
    pub astray: u64,
}

impl Counts {
    /// How often an operation was performed, with success or not. Operations of several parts count each: a first
    /// `sync` is a [`Write`](Operation::Write) of the header, a [`Sync`](Operation::Sync) and one or two
    /// [`SyncDirectory`](Operation::SyncDirectory).
    pub fn performed(&self, operation: Operation) -> u64 {
        self.performed[operation as usize]
    }

    /// How many operations were performed, of all kinds.
    pub fn performed_in_all(&self) -> u64 {
        self.performed.iter().sum()
    }

    /// How often an operation failed.
    pub fn failed(&self, operation: Operation) -> u64 {
        self.failed[operation as usize]
    }

    pub(super) fn count(&mut self, operation: Operation) {
        self.performed[operation as usize] += 1;
    }

    pub(super) fn count_failure(&mut self, operation: Operation) {
        self.failed[operation as usize] += 1;
    }
}

/// Adds up the counts of several runs.
impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        for (sum, more) in self.performed.iter_mut().zip(other.performed) {
            *sum += more;
        }
        for (sum, more) in self.failed.iter_mut().zip(other.failed) {
            *sum += more;
        }
        self.steps += other.steps;
        self.kills += other.kills;
        self.power_cuts += other.power_cuts;
        self.quick_reads += other.quick_reads;
        self.refused_reads += other.refused_reads;
        for (sum, (_, more)) in self.ways.each_mut().into_iter().zip(other.ways.each()) {
            *sum += more;
        }
    }
}

macro_rules! each_way {
    ($($way:ident),* $(,)?) => {
        impl Ways {
            /// Every way with its name, for a test that wants each of them reached.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($way), self.$way)),*].into_iter()
            }

            fn each_mut(&mut self) -> impl IntoIterator<Item = &mut u64> {
                let Self { $($way),* } = self;
                [$($way),*]
            }
        }
    };
}

each_way! {
    lost, kept, torn, scattered_bytes, scattered_sectors, scattered_blocks, only, all_but, length_only, data_only,
    stale, resize_lost, resize_kept, name_lost, name_kept, removal_lost, removal_kept, landed, landed_partly,
    not_landed, astray,
}

/// One thing that happened, for reading a failed run.
#[derive(Debug, Clone)]
pub struct Event {
    /// How many steps there were before it.
    pub step: u64,
    /// In which life of the machine, counted from 1.
    pub life: u64,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum What {
    /// An operation was asked for.
    Issued(Operation),
    /// A part of an operation was done.
    Performed {
        /// The part.
        operation: Operation,
        /// To what.
        target: Target,
        /// Logical offset and length in bytes, where the part has them.
        range: Option<(u64, u64)>,
    },
    /// A part of an operation failed.
    Failed {
        /// The part.
        operation: Operation,
        /// To what.
        target: Target,
    },
    /// The caller of an operation was told its end.
    Completed(Operation),
    /// The machine went down.
    Crashed(Crash),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>6} life {}: ", self.step, self.life)?;
        match &self.what {
            What::Issued(operation) => write!(f, "asked to {operation}"),
            What::Performed { operation, target, range: None } => write!(f, "{operation} {target}"),
            What::Performed { operation, target, range: Some((offset, len)) } => {
                write!(f, "{operation} {target}, {len} bytes at {offset}")
            }
            What::Failed { operation, target } => write!(f, "{operation} {target}: failed"),
            What::Completed(operation) => write!(f, "told the end of {operation}"),
            What::Crashed(crash) => write!(f, "crash: {crash:?}"),
        }
    }
}

/// The digest of everything that happened, and the list when it is wanted.
#[derive(Default)]
pub(super) struct Trace {
    digest: u64,
    list: Option<Vec<Event>>,
}

impl Trace {
    /// Takes a number into the digest. Not a strong hash: it has to tell runs apart, not adversaries.
    pub(super) fn mix(&mut self, word: u64) {
        self.digest = mixed(self.digest, word);
    }

    pub(super) fn digest(&self) -> u64 {
        self.digest
    }

    pub(super) fn record(&mut self) {
        self.list.get_or_insert_default();
    }

    pub(super) fn list(&self) -> Vec<Event> {
        self.list.clone().unwrap_or_default()
    }

    /// Takes an event into the list, when there is one.
    pub(super) fn note(&mut self, step: u64, life: u64, what: impl FnOnce() -> What) {
        if let Some(list) = &mut self.list {
            list.push(Event { step, life, what: what() });
        }
    }
}

/// Multiplies by 2^64 / phi, as in Fibonacci hashing (Knuth, The Art of Computer Programming, 6.4).
pub(super) fn mixed(digest: u64, word: u64) -> u64 {
    (digest.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
