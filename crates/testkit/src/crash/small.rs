//! All small cases: every workload of up to four operations, crashed at every step of it, with every set of surviving
//! effects while at most 12 are pending, and each recovery behind that crashed at every step once.
//!
//! What is left out, and why nothing is lost by it:
//!
//! - **A crash before the last operation of a workload.** The same seed makes the same run, so up to there the workload
//!   is a shorter one, which is crashed there itself.
//! - **Steps that change neither the disk nor what is acknowledged.** A crash behind such a step leaves what the crash
//!   before it leaves.
//! - **Subsets that leave equal disks.** What an open finds is the disk: names, bytes and, behind a kill, what is pending;
//!   a process that starts knows nothing else. So a disk that was opened before, with an oracle that will say the same
//!   of whatever is found, is not opened again, whichever workload, step and subset lead to it. Equal means: of equal
//!   digest (64 bits; with 10^7 disks two unequal ones meet with a chance of about 10^-6).
//! - **What follows an open that ended on a disk that an open has ended on before**: only behind a crash of a recovery.
//!   It works on, loses its power and is opened once more.
//! - **Workloads that begin with a sync, a rewind or a checkpoint.** They find an empty store and leave it empty; the
//!   workload of that one operation is there.
//! - **Workloads that are another one with the two sections swapped**, if they neither rewind nor prune: nothing else
//!   compares the numbers of sections (the store is not `ordered`).

use super::script::{Op, Settings};

mod search;
mod seen;

pub use search::{Failed, Found, Search};

/// Operations of the longest workload.
pub const MAX_OPS: u32 = 4;

/// A record fills most of a page, so that the second reaches into the next; every second append makes a checkpoint due.
const SETTINGS: Settings = Settings { index_buffer: 40, ..Settings::PLAIN };

/// The operations, each on the section it is for.
fn alphabet() -> Vec<Op> {
    let both = |op: fn(u64) -> Op| [op(1), op(2)];
    let mut all = Vec::new();
    all.extend(both(|section| Op::Append { section, len: 9 }));
    all.extend(both(|section| Op::AppendAll { section, lens: vec![5, 7] }));
    all.extend(both(|section| Op::Sync { section }));
    all.push(Op::Maintain);
    all.extend(both(|section| Op::Rewind { section, back: 1, all_later: true }));
    all.push(Op::Prune { min: 2 });
    all.push(Op::Reopen { close: true, settings: SETTINGS });
    all.push(Op::Reopen { close: false, settings: SETTINGS });
    all
}

/// How many workloads there are with up to so many operations: the first is an open and nothing else.
pub fn count(max_ops: u32) -> u64 {
    let letters = alphabet().len() as u64;
    (0..=max_ops).map(|ops| letters.pow(ops)).sum()
}

/// A workload by its number, shorter ones first.
pub fn workload(mut number: u64) -> Vec<Op> {
    let alphabet = alphabet();
    let letters = alphabet.len() as u64;
    let mut ops = 0;
    while number >= letters.pow(ops) && ops < MAX_OPS {
        number -= letters.pow(ops);
        ops += 1;
    }
    let letter = |at: u32| {
        let index = usize::try_from(number / letters.pow(at) % letters).unwrap_or(0);
        alphabet.get(index).cloned()
    };
    (0..ops).filter_map(letter).collect()
}

/// Whether another workload stands for this one.
fn is_redundant(ops: &[Op]) -> bool {
    let idle = |op: &Op| matches!(op, Op::Sync { .. } | Op::Maintain | Op::Rewind { .. });
    if ops.len() > 1 && ops.first().is_some_and(idle) {
        return true;
    }
    let compares = |op: &Op| matches!(op, Op::Rewind { .. } | Op::Prune { .. });
    let section = |op: &Op| match op {
        Op::Append { section, .. } | Op::AppendAll { section, .. } | Op::Sync { section } => Some(*section),
        _ => None,
    };
    !ops.iter().any(compares) && ops.iter().find_map(section) == Some(2)
}
