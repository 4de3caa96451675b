//! Faults by plan, at random, and by hand; and bugs to plant.

use std::io;
use std::sync::Arc;
use std::task::Waker;

use fastrand::Rng;

use super::crash::Cut;
use super::world::{Core, Place};
use crate::error::Operation;
use crate::sync::lock;

#[cfg(test)]
mod tests;

/// A fault to come: which operation it hits, and how.
///
/// ```
/// use blob_runtime::Operation;
/// use blob_runtime::sim::{Cut, Fault};
///
/// // The third sync of the blob fails, and all it should have written is dropped from the page cache as clean.
/// let fault = Fault::eio(Operation::Sync).nth(3).blob("values", b"a").survivors(Cut::LoseAll);
/// # drop(fault);
/// ```
#[derive(Debug, Clone)]
#[must_use = "a fault does nothing until it is injected"]
pub struct Fault {
    operation: Operation,
    nth: u64,
    times: u64,
    partition: Option<String>,
    name: Option<Vec<u8>>,
    effect: Effect,
    survivors: Cut,
}

#[derive(Debug, Clone, Copy)]
enum Effect {
    Error(Refusal),
    Hang,
    Astray,
}

/// The operating system's answer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Refusal {
    Eio,
    Enospc,
    Other(io::ErrorKind),
}

impl Refusal {
    pub(super) fn error(self) -> io::Error {
        match self {
            // The errno values of asm-generic/errno-base.h; BSD and macOS have the same.
            #[cfg(unix)]
            Self::Eio => io::Error::from_raw_os_error(5),
            #[cfg(unix)]
            Self::Enospc => io::Error::from_raw_os_error(28),
            #[cfg(not(unix))]
            Self::Eio => io::Error::other("input/output error"),
            #[cfg(not(unix))]
            Self::Enospc => io::ErrorKind::StorageFull.into(),
            Self::Other(kind) => kind.into(),
        }
    }
}

impl Fault {
    /// The operation fails with EIO.
    pub fn eio(operation: Operation) -> Self {
        Self::new(operation, Effect::Error(Refusal::Eio))
    }

    /// The operation fails with ENOSPC.
    pub fn enospc(operation: Operation) -> Self {
        Self::new(operation, Effect::Error(Refusal::Enospc))
    }

    /// The operation fails with an error of this kind.
    pub fn error(operation: Operation, kind: io::ErrorKind) -> Self {
        Self::new(operation, Effect::Error(Refusal::Other(kind)))
    }

    /// The operation hangs before it takes effect, until [`Faults::release`] or a crash.
    pub fn hang(operation: Operation) -> Self {
        Self::new(operation, Effect::Hang)
    }

    /// A write is reported as done, and the page cache shows it, but the disk puts it at another place: of the same
    /// file or of another one, at a multiple of 512 bytes. When it is synced nothing arrives where it belongs.
    pub fn misdirected_write() -> Self {
        Self::new(Operation::Write, Effect::Astray)
    }

    fn new(operation: Operation, effect: Effect) -> Self {
        let survivors = Cut::Random;
        Self { operation, nth: 1, times: 1, partition: None, name: None, effect, survivors }
    }

    /// Hits the `nth` such operation from now on, counted from 1 (the default).
    pub fn nth(self, nth: u64) -> Self {
        Self { nth: nth.max(1), ..self }
    }

    /// Hits so many such operations in a row; 1 is the default.
    pub fn times(self, times: u64) -> Self {
        Self { times, ..self }
    }

    /// Hits every such operation, until [`Faults::clear`].
    pub fn always(self) -> Self {
        self.times(u64::MAX)
    }

    /// Hits, and counts, only operations on this partition and the blobs in it.
    pub fn partition(self, partition: &str) -> Self {
        Self { partition: Some(partition.to_owned()), ..self }
    }

    /// Hits, and counts, only operations on this blob.
    pub fn blob(self, partition: &str, name: &[u8]) -> Self {
        Self { name: Some(name.to_vec()), ..self.partition(partition) }
    }

    /// For a sync: which of the pending effects, counted from 0 within this file or directory, reach the disk all the
    /// same. [`Cut::Random`] is the default.
    pub fn survivors(self, survivors: Cut) -> Self {
        Self { survivors, ..self }
    }

    fn hits(&mut self, operation: Operation, place: &Place<'_>) -> bool {
        let meant = self.operation == operation
            && self.partition.as_deref().is_none_or(|partition| place.partition() == Some(partition))
            && self.name.as_deref().is_none_or(|name| place.name() == Some(name));
        if !meant {
            return false;
        }
        if self.nth > 1 {
            self.nth -= 1;
            return false;
        }
        self.times -= 1;
        true
    }
}

/// What becomes of one part of an operation.
#[derive(Debug, Clone, Copy)]
pub(super) enum Verdict {
    Go,
    Refuse(Refusal, Cut),
    Hang,
    Astray,
}

/// The faults to come.
#[derive(Debug, Default)]
pub(super) struct Plan {
    faults: Vec<Fault>,
    /// Probabilities, by operation.
    rates: Vec<(Operation, f64)>,
    /// Operations that hang, and the number of releases so far.
    pub(super) held: Vec<Waker>,
    pub(super) releases: u64,
}

impl Plan {
    /// Whether this operation may be hit.
    pub(super) fn concerns(&self, operation: Operation) -> bool {
        self.faults.iter().any(|fault| fault.operation == operation)
            || self.rates.iter().any(|rate| rate.0 == operation)
    }

    pub(super) fn judge(&mut self, operation: Operation, place: &Place<'_>, rng: &mut Rng) -> Verdict {
        if self.faults.is_empty() && self.rates.is_empty() {
            return Verdict::Go;
        }
        // Every fault counts every operation it is meant for; the first that hits decides.
        let mut verdict = Verdict::Go;
        self.faults.retain_mut(|fault| {
            if fault.hits(operation, place) && matches!(verdict, Verdict::Go) {
                verdict = match fault.effect {
                    Effect::Error(refusal) => Verdict::Refuse(refusal, fault.survivors),
                    Effect::Hang => Verdict::Hang,
                    Effect::Astray => Verdict::Astray,
                };
            }
            fault.times > 0
        });
        let rate = self.rates.iter().find(|rate| rate.0 == operation).map_or(0.0, |rate| rate.1);
        if matches!(verdict, Verdict::Go) && rate > 0.0 && rng.f64() < rate {
            let refusal = if may_lack_space(operation) && rng.bool() { Refusal::Enospc } else { Refusal::Eio };
            verdict = Verdict::Refuse(refusal, Cut::Random);
        }
        verdict
    }
}

fn may_lack_space(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::Create | Operation::CreateDirectory | Operation::Write | Operation::Resize | Operation::Sync
    )
}

/// Faults of a run's disk; see [`Sim::faults`](super::Sim::faults). They outlive crashes: a bad disk stays bad.
#[derive(Debug, Clone)]
pub struct Faults(pub(super) Arc<Core>);

impl Faults {
    /// Arms a fault.
    pub fn inject(&self, fault: Fault) {
        if fault.times > 0 {
            lock(&self.0.world).faults.faults.push(fault);
        }
    }

    /// From now on each operation of this kind fails with this probability, 0 to 1: with EIO, where the disk may also
    /// be full with EIO or ENOSPC. Replaces an earlier rate of the kind.
    pub fn rate(&self, operation: Operation, probability: f64) {
        let rates = &mut lock(&self.0.world).faults.rates;
        rates.retain(|rate| rate.0 != operation);
        if probability > 0.0 {
            rates.push((operation, probability));
        }
    }

    /// How many bytes all files may have together, headers included; `None`: no limit. A write that needs more lands
    /// up to what fits and fails with ENOSPC; so does a resize, which does not land.
    pub fn space(&self, bytes: Option<u64>) {
        lock(&self.0.world).disk.space_bytes = bytes;
    }

    /// A bit rots, on the disk and in the cache: bit `bit` (0 to 7) of byte `byte` of the file, where the header is
    /// bytes 0 to 4095. False when there is no such byte.
    pub fn rot(&self, partition: &str, name: &[u8], byte: usize, bit: u32) -> bool {
        let mut world = lock(&self.0.world);
        let Some(inode) = world.find(partition, name) else { return false };
        world.disk.inodes[inode].rot(byte, bit % 8)
    }

    /// Lets operations that hang go on.
    pub fn release(&self) {
        let held = {
            let faults = &mut lock(&self.0.world).faults;
            faults.releases += 1;
            std::mem::take(&mut faults.held)
        };
        held.into_iter().for_each(Waker::wake);
    }

    /// Disarms all faults and rates, lifts the limit of space, and releases what hangs.
    pub fn clear(&self) {
        {
            let mut world = lock(&self.0.world);
            world.faults.faults.clear();
            world.faults.rates.clear();
            world.disk.space_bytes = None;
        }
        self.release();
    }

    /// How many injected faults are still to come.
    pub fn armed(&self) -> usize {
        lock(&self.0.world).faults.faults.len()
    }
}

/// A mistake to plant into the simulated storage, to prove that a suite finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bug {
    /// A first sync does not make the blob's name durable.
    ForgetDirectorySync,
    /// A first sync does not make the partition's name durable.
    ForgetRootSync,
    /// A sync makes names durable, and no bytes.
    ForgetDataSync,
    /// A first sync does not write the header.
    ForgetHeader,
    /// A removal returns before it is durable.
    ForgetRemovalSync,
    /// A failed sync does not poison the blob.
    ForgetPoison,
    /// A write whose future was dropped lands after the next change of the blob.
    LateWriteAfterDrop,
    /// Changes of one blob do not wait for each other.
    UnorderedChanges,
    /// Now and then a read answers less than it was asked for.
    ShortRead,
    /// A partition that is claimed can be claimed again.
    IgnoreClaim,
}
