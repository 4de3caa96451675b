//! The content of one file: bytes and length as the process sees them, as they are on the disk, and what lies between.
//!
//! ```text
//! write, resize ──▶ visible ──┐ the page cache
//!        └──▶ pending ────────┼─ sync: all of it ──────────────────────────────▶ durable
//!                             ├─ failed sync: some of it, the rest is forgotten ▶ durable ≠ visible, nothing pending
//!                             └─ power cut: some of it, visible = durable ──────▶ durable
//! ```
//!
//! Offsets are those of the file: the header counts.

use std::hash::Hasher;

use bytes::Bytes;
use fastrand::Rng;

use super::crash::{Fate, Judge};

#[cfg(test)]
mod tests;

/// The page of the cache, and the block of the file system, in bytes.
const BLOCK_BYTES: usize = 4096;

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Inode {
    pub(super) visible: Vec<u8>,
    pub(super) durable: Vec<u8>,
    /// Bytes the disk held where the file no longer reaches; kept in stale mode only.
    pub(super) past: Vec<u8>,
    pub(super) pending: Vec<Effect>,
    /// The change that has begun and not yet happened.
    pub(super) in_flight: Option<Change>,
    /// A sync failed, or a write went astray: the cache may show as clean what is not on the disk.
    pub(super) tainted: bool,
    /// The file as it is open in this life.
    pub(super) opened: Option<Box<super::world::Opened>>,
}

/// The bytes of a write, in parts.
#[derive(Debug, Clone, Default)]
pub(super) struct Data {
    parts: Vec<Bytes>,
    len: usize,
}

/// A change of a file.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Write { offset: usize, data: Data },
    Resize(usize),
}

/// A part of a change that is not yet durable, and survives a power cut by itself.
#[derive(Debug, Clone)]
pub(super) struct Effect {
    pub(super) number: u64,
    pub(super) kind: EffectKind,
}

#[derive(Debug, Clone)]
pub(super) enum EffectKind {
    /// The file is at least so long.
    Length(usize),
    /// The file is exactly so long.
    Resize(usize),
    /// Bytes. `grew`: a `Length` came with them. `astray`: the disk puts them elsewhere.
    Data { offset: usize, data: Data, grew: bool, astray: bool },
}

impl Data {
    pub(super) fn new(parts: Vec<Bytes>) -> Self {
        let len = parts.iter().map(Bytes::len).sum();
        Self { parts, len }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Drops all but the first `len` bytes.
    pub(super) fn truncate(&mut self, len: usize) {
        let mut left = len.min(self.len);
        self.len = left;
        for part in &mut self.parts {
            part.truncate(left);
            left -= part.len();
        }
    }

    /// A number for the bytes, so that a digest tells different bytes apart.
    pub(super) fn checksum(&self) -> u64 {
        let mut crc = crc32fast::Hasher::new();
        self.parts.iter().for_each(|part| crc.update(part));
        u64::from(crc.finalize())
    }

    /// Takes the bytes into a hash.
    pub(super) fn mix(&self, hasher: &mut impl Hasher) {
        self.parts.iter().for_each(|part| hasher.write(part));
    }

    /// Copies the bytes from `start` to `end` to the same place in `to`, where byte 0 is at `offset`.
    pub(super) fn copy(&self, start: usize, end: usize, offset: usize, to: &mut [u8]) {
        let mut at = 0;
        for part in &self.parts {
            let (from, until) = (start.max(at), end.min(at + part.len()));
            if from < until {
                to[offset + from..offset + until].copy_from_slice(&part[from - at..until - at]);
            }
            at += part.len();
        }
    }

    /// Writes all of it into a file, which grows where that is needed.
    fn put(&self, offset: usize, to: &mut Vec<u8>) {
        grow(to, offset);
        if offset == to.len() {
            // An append: nothing to clear first.
            to.reserve(self.len);
            self.parts.iter().for_each(|part| to.extend_from_slice(part));
        } else {
            grow(to, offset + self.len);
            self.copy(0, self.len, offset, to);
        }
    }
}

fn grow(bytes: &mut Vec<u8>, len: usize) {
    if bytes.len() < len {
        bytes.resize(len, 0);
    }
}

impl Inode {
    /// The same file, open nowhere.
    pub(super) fn copied(&self) -> Self {
        Self {
            visible: self.visible.clone(),
            durable: self.durable.clone(),
            past: self.past.clone(),
            pending: self.pending.clone(),
            in_flight: self.in_flight.clone(),
            tainted: self.tainted,
            opened: None,
        }
    }

    /// Whether the disk holds something else than the process sees.
    pub(super) fn differs(&self) -> bool {
        self.tainted || !self.pending.is_empty()
    }

    /// How many effects a change would bring.
    pub(super) fn effects_of(&self, change: &Change) -> usize {
        match change {
            Change::Write { data, .. } if data.len() == 0 => 0,
            Change::Write { offset, data } => 1 + usize::from(offset + data.len() > self.visible.len()),
            Change::Resize(_) => 1,
        }
    }

    /// Makes a change visible and its effects pending. `number` draws the next effect's number.
    ///
    /// `whole_pages`: after a failed sync the cache flushes not the written bytes alone but the pages they are in.
    pub(super) fn apply(&mut self, change: Change, whole_pages: bool, number: &mut dyn FnMut() -> u64) {
        match change {
            Change::Resize(len) => {
                self.visible.resize(len, 0);
                self.pending.push(Effect { number: number(), kind: EffectKind::Resize(len) });
            }
            Change::Write { offset, data } => self.write(offset, data, whole_pages, false, number),
        }
    }

    /// [`apply`](Self::apply) for a write; `astray`: the disk will not have it here.
    pub(super) fn write(
        &mut self,
        offset: usize,
        data: Data,
        whole_pages: bool,
        astray: bool,
        number: &mut dyn FnMut() -> u64,
    ) {
        // pwrite(2): zero bytes have no effect, also not on the length.
        if data.len() == 0 {
            return;
        }
        let end = offset + data.len();
        let grew = end > self.visible.len();
        data.put(offset, &mut self.visible);
        if grew {
            self.pending.push(Effect { number: number(), kind: EffectKind::Length(end) });
        }
        self.tainted |= astray;
        let (offset, data) = if self.tainted && whole_pages {
            let start = offset / BLOCK_BYTES * BLOCK_BYTES;
            let end = end.next_multiple_of(BLOCK_BYTES).min(self.visible.len());
            (start, Data::new(vec![Bytes::copy_from_slice(&self.visible[start..end])]))
        } else {
            (offset, data)
        };
        self.pending.push(Effect { number: number(), kind: EffectKind::Data { offset, data, grew, astray } });
    }

    /// A sync that succeeds. Bytes that were written bring the length they need with them (`fdatasync(2)`).
    pub(super) fn sync(&mut self, stale: bool) {
        if stale {
            self.keep_past();
        }
        for effect in self.pending.drain(..) {
            match effect.kind {
                EffectKind::Length(len) => grow(&mut self.durable, len),
                EffectKind::Resize(len) => self.durable.resize(len, 0),
                EffectKind::Data { offset, data, astray, .. } => {
                    if astray {
                        grow(&mut self.durable, offset + data.len());
                    } else {
                        data.put(offset, &mut self.durable);
                    }
                }
            }
        }
    }

    /// A sync that fails: what `judge` keeps is on the disk, the rest is not, and nothing is pending any more. Linux
    /// marks the pages clean after the failed write-back (Rebello et al., "Can Applications Recover from fsync
    /// Failures?", USENIX ATC 2020).
    pub(super) fn fail_sync(&mut self, judge: &mut Judge<'_>, stale: bool) {
        self.settle(judge, stale);
        self.tainted = true;
    }

    /// A power cut: what `judge` keeps is durable, the rest is gone, and the process sees what is durable.
    pub(super) fn cut(&mut self, judge: &mut Judge<'_>, stale: bool) {
        if self.differs() {
            self.settle(judge, stale);
            self.visible.clone_from(&self.durable);
            self.tainted = false;
        }
    }

    /// A rotten bit, on the disk and in the cache. False when the file has no such byte.
    pub(super) fn rot(&mut self, byte: usize, bit: u32) -> bool {
        let mut there = false;
        for bytes in [&mut self.visible, &mut self.durable] {
            if let Some(byte) = bytes.get_mut(byte) {
                *byte ^= 1 << bit;
                there = true;
            }
        }
        there
    }

    /// Bytes that are on the disk and not in the cache: those of a write that was meant for another place.
    pub(super) fn hit(&mut self, offset: usize, data: &Data) {
        let end = data.len().min(self.durable.len().saturating_sub(offset));
        data.copy(0, end, offset, &mut self.durable);
        self.tainted = true;
    }

    /// Makes the file these bytes, on the disk and in the cache.
    pub(super) fn edit(&mut self, bytes: Vec<u8>) {
        self.pending.clear();
        self.tainted = false;
        self.visible.clone_from(&bytes);
        self.durable = bytes;
    }

    /// Resolves every pending effect, in order. A lost one leaves what the disk had; a length says nothing about
    /// bytes; bytes beyond the length that results are lost with it.
    fn settle(&mut self, judge: &mut Judge<'_>, stale: bool) {
        if stale {
            self.keep_past();
        }
        let mut pending = std::mem::take(&mut self.pending);
        let bytes = &mut self.durable;
        let mut len = bytes.len();
        // From here on the file has no blocks of its own yet: what was lost there reads as zeros, or as stale blocks.
        let mut fresh_from = len;
        let mut length_kept = false;
        // The first byte of the past that shows.
        let mut shown = usize::MAX;
        for effect in pending.drain(..) {
            match effect.kind {
                EffectKind::Length(to) => {
                    length_kept = judge.keeps(effect.number);
                    if length_kept {
                        len = len.max(to);
                    }
                }
                EffectKind::Resize(to) => {
                    if judge.keeps(effect.number) {
                        if let Some(cut) = bytes.get_mut(to..) {
                            cut.fill(0);
                        }
                        (len, fresh_from) = (to, fresh_from.min(to));
                        judge.ways.resize_kept += 1;
                    } else {
                        judge.ways.resize_lost += 1;
                    }
                }
                EffectKind::Data { offset, data, grew, astray } => {
                    let fate = judge.fate(effect.number, offset, data.len());
                    match (grew, length_kept, fate) {
                        (true, true, Fate::Lost) => judge.ways.length_only += 1,
                        (true, false, Fate::Kept) => judge.ways.data_only += 1,
                        _ => {}
                    }
                    grow(bytes, offset + data.len());
                    judge.runs(fate, offset, data.len(), |rng, start, end, kept| {
                        if kept && !astray {
                            data.copy(start, end, offset, bytes);
                        } else if stale && rng.bool() {
                            let from = fresh_from.max(offset + start);
                            shown = shown.min(show_past(&self.past, from, offset + end, bytes));
                        }
                    });
                }
            }
        }
        judge.ways.stale += u64::from(shown < len);
        if stale {
            // Bytes that survived without their length are on the disk all the same.
            grow(&mut self.past, bytes.len());
            for (past, byte) in self.past.iter_mut().zip(bytes.iter()).skip(len) {
                if *byte != 0 {
                    *past = *byte;
                }
            }
        }
        bytes.resize(len, 0);
        // The list keeps its memory.
        self.pending = pending;
    }

    /// Before pending shrinks reach the disk: what the disk holds beyond them is what freed blocks will hold, also
    /// where zeros are pending (pages beyond the end are dropped from the cache, not written).
    fn keep_past(&mut self) {
        let shortest = self.pending.iter().filter_map(|effect| match effect.kind {
            EffectKind::Resize(len) => Some(len),
            _ => None,
        });
        if let Some(len) = shortest.min().filter(|len| *len < self.durable.len()) {
            remember(&mut self.past, &self.durable, len);
        }
    }
}

/// Keeps `bytes[from..]` as what the disk held there.
fn remember(past: &mut Vec<u8>, bytes: &[u8], from: usize) {
    grow(past, bytes.len());
    past[from..bytes.len()].copy_from_slice(&bytes[from..]);
}

/// Shows the past in `bytes[from..end]`, and says where the first byte is that tells it from zeros.
fn show_past(past: &[u8], from: usize, end: usize, bytes: &mut [u8]) -> usize {
    let end = end.min(past.len());
    if from >= end {
        return usize::MAX;
    }
    bytes[from..end].copy_from_slice(&past[from..end]);
    past[from..end].iter().position(|byte| *byte != 0).map_or(usize::MAX, |at| from + at)
}

/// A read of `len` bytes at `offset`, which the file has. Where a write is in flight, any of its bytes may show.
pub(super) fn read(inode: &Inode, offset: usize, len: usize, rng: &mut Rng) -> Bytes {
    // A blob whose header is due has a file shorter than that.
    if len == 0 {
        return Bytes::new();
    }
    let range = offset..offset + len;
    let Some(Change::Write { offset: start, data }) = &inode.in_flight else {
        return Bytes::copy_from_slice(&inode.visible[range]);
    };
    let mut bytes = inode.visible[range].to_vec();
    let from = offset.saturating_sub(*start);
    let until = (offset + len).saturating_sub(*start).min(data.len());
    if from < until && rng.bool() {
        let shown = rng.usize(from..=until);
        let mut place = vec![0; until];
        data.copy(from, shown, 0, &mut place);
        bytes[start + from - offset..start + shown - offset].copy_from_slice(&place[from..shown]);
    }
    bytes.into()
}
