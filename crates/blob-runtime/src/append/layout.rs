//! How the bytes of a log lie in its blob.

use std::fmt::Debug;

use bytes::Bytes;

/// Bytes of a log that wait to be written.
#[derive(Debug)]
pub struct Pending {
    /// Logical offset of the first.
    pub start: u64,
    /// The bytes, one part after the other.
    pub parts: Vec<Bytes>,
    /// Whether a sync follows in the same operation. What may only be written by a sync (a page that is not full)
    /// stays pending without one.
    pub sync: bool,
}

impl Pending {
    /// Length of all parts in bytes.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.len() as u64).sum()
    }

    /// Logical offset behind the last byte.
    pub fn end(&self) -> u64 {
        self.start + self.bytes()
    }
}

/// One write to a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Offset in the blob.
    pub offset: u64,
    /// What to write there, one part after the other; empty for nothing.
    pub data: Vec<Bytes>,
    /// Logical offset up to which the log's bytes are in the blob afterwards.
    pub through: u64,
}

/// How the bytes of a log lie in its blob: as they are ([`Plain`]), in pages with checksums, with zeros ahead.
///
/// The log calls these under its lock, one job at a time. A write that fails is planned again, from the same start.
pub trait Layout: Debug + Send + 'static {
    /// Turns what waits into one write.
    fn plan(&mut self, pending: Pending) -> Plan;

    /// The last plan was written, not yet synced.
    fn written(&mut self, through: u64) {
        let _ = through;
    }

    /// A sync has returned that covers everything up to `through`.
    fn synced(&mut self, through: u64) {
        let _ = through;
    }

    /// Everything from logical offset `len` on is gone.
    fn cut(&mut self, len: u64) {
        let _ = len;
    }
}

/// A layout in which the byte at logical offset `n` is the blob's byte `n`: a log of it can read its blob.
pub trait Linear: Layout {}

/// The log's bytes as they are, and nothing else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Plain;

impl Layout for Plain {
    fn plan(&mut self, pending: Pending) -> Plan {
        Plan { offset: pending.start, through: pending.end(), data: pending.parts }
    }
}

impl Linear for Plain {}
