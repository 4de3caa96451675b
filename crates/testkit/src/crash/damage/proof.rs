//! How much of a file of values is proven, found out apart from the code under test: from the frames that were there before
//! the damage, and which of them it has left whole.

use blob_runtime::HEADER_BYTES;
use glob::frame::{FIXED_BYTES, MAGIC, OVERHEAD_BYTES};

#[cfg(test)]
mod tests;

/// The flag of a seal.
const SEAL: usize = 1 << 1;

/// A frame of a file that is sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Frame {
    /// Where it begins, in logical bytes.
    offset: usize,
    /// Behind its payload.
    end: usize,
    /// Bytes before its payload.
    head_bytes: usize,
    /// What it says was durable; a seal says it of all before it.
    floor: usize,
    /// Whether it is no item.
    seal: bool,
}

/// What a file of values held before it was damaged, beside what it holds now.
#[derive(Debug)]
pub(super) struct Proof<'a> {
    before: &'a [u8],
    after: &'a [u8],
    frames: Vec<Frame>,
}

impl<'a> Proof<'a> {
    /// `before` is sound.
    pub(super) fn new(before: &'a [u8], after: &'a [u8]) -> Self {
        Self { before: logical(before), after: logical(after), frames: frames(logical(before)) }
    }

    /// Up to here bytes were durable, as the frames say whose headers are still there.
    pub(super) fn floor(&self) -> usize {
        let whole = |frame: &&Frame| {
            let range = frame.offset..frame.offset + frame.head_bytes;
            self.before.get(range.clone()).is_some_and(|head| self.after.get(range) == Some(head))
        };
        self.frames.iter().filter(whole).map(|frame| frame.floor).max().unwrap_or(0)
    }

    /// Where the last frame ended.
    pub(super) fn end(&self) -> usize {
        self.frames.last().map_or(0, |frame| frame.end)
    }

    /// Where an item's frame began; `None` when there were fewer.
    pub(super) fn begin(&self, position: u64) -> Option<usize> {
        let items = self.frames.iter().filter(|frame| !frame.seal);
        items.map(|frame| frame.offset).nth(usize::try_from(position).ok()?)
    }
}

fn logical(file: &[u8]) -> &[u8] {
    file.get(HEADER_BYTES..).unwrap_or_default()
}

/// The frames from the start on, as they follow each other.
fn frames(bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut offset = 0;
    while let Some(fixed) = bytes.get(offset..offset + FIXED_BYTES)
        && fixed.starts_with(&MAGIC)
    {
        let field = |at: usize, len: usize| {
            let bytes = fixed.get(at..at + len).unwrap_or_default();
            bytes.iter().fold(0_usize, |number, byte| number << 8 | usize::from(*byte))
        };
        let seal = field(4, 2) & SEAL != 0;
        let head_bytes = OVERHEAD_BYTES + field(6, 2);
        let end = offset + head_bytes + field(8, 4);
        frames.push(Frame { offset, end, head_bytes, floor: field(24, 8), seal });
        offset = end;
    }
    frames
}
