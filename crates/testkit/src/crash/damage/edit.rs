//! What is done to files behind the store's back: raw bytes, lengths, whole files; and fields, with their checksums made
//! anew.

use std::collections::BTreeMap;

use blob_runtime::sim::Sim;
use blob_runtime::{HEADER_BYTES, Header, Kind, Salt, StoreId};
use fastrand::Rng;
use glob::frame::{FIXED_BYTES, MAGIC};

/// All files: partition, name and salt, and bytes.
pub(super) type Files = BTreeMap<(String, Vec<u8>, u32), Vec<u8>>;

/// The files as they are.
pub(super) fn files(sim: &Sim) -> Files {
    let disk = sim.disk();
    let seen = disk.files().into_iter().filter(|file| file.visible);
    let with_bytes = seen.filter_map(|file| {
        let bytes = disk.visible(&file.partition, &file.name)?;
        Some(((file.partition.to_string(), file.name.to_vec(), file.salt.0), bytes))
    });
    with_bytes.collect()
}

/// Where the indexes are.
const INDEX: &str = "blocks-index";

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The file: partition and name.
    pub file: (String, Vec<u8>),
    /// What is done to it.
    pub what: What,
}

/// What is done to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A bit is turned over.
    Flip {
        /// Which byte of the file.
        byte: usize,
        /// Which bit of it.
        bit: u8,
    },
    /// Bytes become noise.
    Noise {
        /// From this byte of the file.
        from: usize,
        /// To before this one.
        to: usize,
    },
    /// Bytes become zeros.
    Zeros {
        /// From this byte of the file.
        from: usize,
        /// To before this one.
        to: usize,
    },
    /// The file gets another length.
    Length {
        /// In bytes.
        len: usize,
        /// It becomes shorter.
        shorter: bool,
    },
    /// The file goes.
    Remove,
    /// It gets the bytes of another.
    CopyOf {
        /// Partition and name.
        other: (String, Vec<u8>),
    },
    /// It gets the bytes that it had at an earlier moment of its own life.
    Earlier,
    /// A field of a header, a frame or a page changes, with a right checksum.
    Forge {
        /// Where in the file what was changed begins.
        at: usize,
    },
}

impl Edit {
    /// Whether it carries a right checksum.
    pub(super) fn is_forged(&self) -> bool {
        matches!(self.what, What::Forge { .. })
    }

    /// Whether nobody can know it: a file that is gone leaves no trace in a store whose manifest does not list its files.
    pub(super) fn is_blind(&self) -> bool {
        matches!(self.what, What::Remove | What::CopyOf { .. })
    }

    /// Whether what it puts back is a state that was right once, and nothing that is left says otherwise.
    pub(super) fn is_of_another_time(&self) -> bool {
        self.what == What::Earlier && self.file.0 != INDEX
    }

    /// Whether it puts an index back that was right once: the frames say what is right now.
    pub(super) fn is_old_index(&self) -> bool {
        self.what == What::Earlier && self.file.0 == INDEX
    }

    /// Whether it leaves what a write that was cut off leaves: zeros, or nothing.
    pub(super) fn is_like_a_torn_write(&self) -> bool {
        matches!(self.what, What::Length { shorter: true, .. } | What::Zeros { .. })
    }
}

/// Draws edits and makes them. `past`: the files at an earlier moment.
pub(super) fn draw(rng: &mut Rng, past: &Files, before: &Files, sim: &Sim) -> Vec<Edit> {
    let count = if rng.bool() { 1 } else { rng.usize(2..4) };
    let keys: Vec<_> = before.keys().cloned().collect();
    let mut edits = Vec::new();
    for _ in 0..count {
        let Some((partition, name, salt)) = rng.choice(&keys).cloned() else { break };
        let Some(bytes) = sim.disk().visible(&partition, &name) else { continue };
        let other = rng.choice(&keys).map(|(partition, name, _)| (partition.clone(), name.clone()));
        let key = (partition.clone(), name.clone(), salt);
        let (what, changed) = match past.get(&key).filter(|earlier| **earlier != bytes && rng.u8(0..4) == 0) {
            Some(earlier) => (What::Earlier, Some(earlier.clone())),
            None => {
                let Some(change) = change(rng, sim, (&name, Salt(salt)), &bytes, other) else { continue };
                change
            }
        };
        match changed {
            Some(changed) => drop(sim.disk().replace(&partition, &name, changed)),
            None => drop(sim.disk().remove(&partition, &name)),
        }
        edits.push(Edit { file: (partition, name), what });
    }
    edits
}

type Changed = (What, Option<Vec<u8>>);

fn change(
    rng: &mut Rng,
    sim: &Sim,
    of: (&[u8], Salt),
    bytes: &[u8],
    other: Option<(String, Vec<u8>)>,
) -> Option<Changed> {
    let mut changed = bytes.to_vec();
    let what = match rng.u8(0..20) {
        0..8 => {
            let (byte, bit) = (spot(rng, bytes)?, rng.u8(0..8));
            *changed.get_mut(byte)? ^= 1 << bit;
            What::Flip { byte, bit }
        }
        8..10 => {
            let (from, to) = range(rng, bytes)?;
            changed.get_mut(from..to)?.iter_mut().for_each(|byte| *byte = rng.u8(..));
            What::Noise { from, to }
        }
        10..12 => {
            let (from, to) = range(rng, bytes)?;
            changed.get_mut(from..to)?.fill(0);
            What::Zeros { from, to }
        }
        12 | 13 => {
            let len = if rng.bool() { rng.usize(0..=bytes.len()) } else { bytes.len() + rng.usize(0..5000) };
            changed.resize(len, 0);
            What::Length { len, shorter: len < bytes.len() }
        }
        14 => return Some((What::Remove, None)),
        15 => {
            let (partition, name) = other?;
            changed = sim.disk().visible(&partition, &name)?;
            What::CopyOf { other: (partition, name) }
        }
        _ => What::Forge { at: forge(rng, of, &mut changed)? },
    };
    (changed != bytes).then_some((what, Some(changed)))
}

/// A byte of a file: mostly behind its header, of which most is zero.
fn spot(rng: &mut Rng, bytes: &[u8]) -> Option<usize> {
    let header = bytes.len().min(36);
    match bytes.len().checked_sub(HEADER_BYTES) {
        Some(rest) if rest > 0 && rng.u8(0..6) > 0 => Some(HEADER_BYTES + rng.usize(0..rest)),
        _ if header > 0 => Some(rng.usize(0..header)),
        _ => None,
    }
}

fn range(rng: &mut Rng, bytes: &[u8]) -> Option<(usize, usize)> {
    let from = spot(rng, bytes)?;
    Some((from, (from + rng.usize(1..200)).min(bytes.len())))
}

/// Changes a field and makes its checksum anew; answers where.
fn forge(rng: &mut Rng, (name, salt): (&[u8], Salt), bytes: &mut [u8]) -> Option<usize> {
    let number = |at: usize, len: usize| {
        let field = bytes.get(at..at + len)?;
        Some(field.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)))
    };
    let header = Header {
        kind: Kind(u16::try_from(number(10, 2)?).ok()?),
        unit: u32::try_from(number(12, 4)?).ok()?,
        item: u32::try_from(number(16, 4)?).ok()?,
        store: StoreId(number(20, 8)?),
        salt,
    };
    let binding = header.binding(name);
    match rng.u8(0..4) {
        // The blob's header: any covered byte but the magic number.
        0 => {
            let at = rng.usize(8..32);
            *bytes.get_mut(at)? = rng.u8(..);
            let crc = crc32fast::hash(bytes.get(..32)?);
            bytes.get_mut(32..36)?.copy_from_slice(&crc.to_be_bytes());
            Some(0)
        }
        // A frame: any field behind the magic number.
        1 | 2 => {
            let frames: Vec<usize> = (HEADER_BYTES..bytes.len().saturating_sub(FIXED_BYTES))
                .filter(|at| bytes.get(*at..at + MAGIC.len()) == Some(&MAGIC))
                .collect();
            let at = *rng.choice(&frames)?;
            let field = at + rng.usize(4..FIXED_BYTES);
            *bytes.get_mut(field)? = if rng.bool() { 0xff } else { rng.u8(..) };
            let tag = usize::from(u16::from_be_bytes(bytes.get(at + 6..at + 8)?.try_into().ok()?));
            let mut crc = binding.hasher();
            crc.update(&((at - HEADER_BYTES) as u64).to_be_bytes());
            crc.update(bytes.get(at..at + FIXED_BYTES + tag)?);
            let crc = crc.finalize();
            bytes.get_mut(at + FIXED_BYTES + tag..at + FIXED_BYTES + tag + 4)?.copy_from_slice(&crc.to_be_bytes());
            Some(at)
        }
        // A slot of a page: its length, generation or floor.
        _ => {
            let unit = usize::try_from(header.unit).ok().filter(|unit| (64..=65_536).contains(unit))?;
            let pages = bytes.len().checked_sub(HEADER_BYTES)? / unit;
            let page = rng.usize(0..pages.max(1));
            let (start, slot) = (HEADER_BYTES + page * unit, if rng.bool() { unit - 24 } else { unit - 12 });
            let at = start + slot;
            *bytes.get_mut(at + rng.usize(0..8))? = rng.u8(..);
            let len = usize::from(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
            let mut crc = binding.hasher();
            crc.update(&(page as u64).to_be_bytes());
            crc.update(bytes.get(start..start + len.min(unit - 24))?);
            crc.update(bytes.get(at..at + 8)?);
            let crc = crc.finalize();
            bytes.get_mut(at + 8..at + 12)?.copy_from_slice(&crc.to_be_bytes());
            Some(at)
        }
    }
}
