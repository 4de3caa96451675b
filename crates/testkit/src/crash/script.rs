//! What a run does, as plain data: small enough to be cut down, and printed as a test.

use blob_runtime::sim::{Crash, Granularity};

/// A run: settings, and one life of the machine after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Of the machine: the order of events, and what survives a random cut.
    pub seed: u64,
    /// Bytes of a record, from 16.
    pub record_bytes: usize,
    /// Whether the store is filled in order.
    pub ordered: bool,
    /// Whether blocks of a file's past may show after a power cut.
    pub stale: bool,
    /// The smallest unit that survives whole; `None`: drawn for each crash.
    pub granularity: Option<Granularity>,
    /// The lives; behind the last the store must open and work.
    pub lives: Vec<Life>,
}

/// From one start of the machine to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// How the store is opened.
    pub settings: Settings,
    /// What is done with it.
    pub ops: Vec<Op>,
    /// How it ends.
    pub end: End,
}

/// How a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Before which step it is, counted from the start of the life; when the life is over before, it is then.
    pub step: u64,
    /// How.
    pub crash: Crash,
}

/// How a store is opened: small sizes, so that little work reaches far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Size of a new index's pages, as a power of two.
    pub page_bits: u32,
    /// Bytes of the page cache.
    pub page_cache: usize,
    /// See [`oversized::Config::index_buffer_bytes`].
    pub index_buffer: usize,
    /// See [`oversized::Config::value_buffer_bytes`].
    pub value_buffer: usize,
    /// See [`oversized::Config::unsynced_bytes`].
    pub unsynced: u64,
    /// See [`oversized::Config::checkpoint_bytes`].
    pub checkpoint: u64,
    /// See [`oversized::Config::preallocate_bytes`].
    pub preallocate: u64,
    /// See [`oversized::Config::buffer_budget`].
    pub budget: Option<usize>,
    /// See [`oversized::Config::recovery_concurrency`].
    pub concurrency: usize,
    /// Whether values are compressed.
    pub compress: bool,
    /// See [`oversized::Config::open_sections`].
    pub open_sections: usize,
    /// The first try to open is dropped after so many polls.
    pub abandon: Option<u32>,
}

impl Settings {
    /// What a script begins from when it is written by hand.
    pub const PLAIN: Self = Self {
        page_bits: 6,
        page_cache: 4096,
        index_buffer: 100,
        value_buffer: 400,
        unsynced: 1000,
        checkpoint: 10_000,
        preallocate: 0,
        budget: None,
        concurrency: 2,
        compress: false,
        open_sections: 1024,
        abandon: None,
    };
}

/// One operation. Positions are counted from the end of a section as it is then, so that an operation keeps its meaning
/// when others before it are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Appends a value of `len` bytes.
    Append {
        /// The section.
        section: u64,
        /// Length of the value in bytes.
        len: u32,
    },
    /// Appends at the next position plus `off`, which is refused unless that is 0.
    AppendAt {
        /// The section.
        section: u64,
        /// Length of the value in bytes.
        len: u32,
        /// Added to the position.
        off: u64,
    },
    /// Appends a batch.
    AppendAll {
        /// The section.
        section: u64,
        /// Lengths of the values in bytes.
        lens: Vec<u32>,
    },
    /// Syncs a section.
    Sync {
        /// The section.
        section: u64,
    },
    /// Syncs all sections.
    SyncAll,
    /// Writes indexes that are due, and seals.
    Maintain,
    /// Waits until the last entry but `back` is durable; never for long, for a sync is on its way.
    WaitDurable {
        /// The section.
        section: u64,
        /// So far from the end.
        back: usize,
    },
    /// Reads the last entry but `back`, in every way.
    Read {
        /// The section.
        section: u64,
        /// So far from the end.
        back: usize,
    },
    /// Reads the last `back` entries with their values.
    ReadMany {
        /// The section.
        section: u64,
        /// So far from the end.
        back: usize,
        /// Bytes of values, at most.
        max_bytes: usize,
    },
    /// Replays the last `back` entries, and all later sections.
    Replay {
        /// The section.
        section: u64,
        /// So far from the end.
        back: usize,
        /// With values.
        values: bool,
    },
    /// Follows from the last `back` entries on: what is there at once, and, in the background, what comes.
    Tail {
        /// The section.
        section: u64,
        /// So far from the end.
        back: usize,
        /// Only what is durable.
        durable: bool,
    },
    /// Drops the last `back` entries.
    Rewind {
        /// The section.
        section: u64,
        /// So many entries.
        back: usize,
        /// Later sections go too.
        all_later: bool,
    },
    /// Removes a section.
    Remove {
        /// The section.
        section: u64,
    },
    /// Removes all sections below.
    Prune {
        /// The oldest that stays.
        min: u64,
    },
    /// Replaces the user's own bytes.
    SetState,
    /// Opens a section anew.
    ReopenSection {
        /// The section.
        section: u64,
    },
    /// Leaves the store, closed or not, and opens it again in the same process.
    Reopen {
        /// It is closed first.
        close: bool,
        /// How it is opened.
        settings: Settings,
    },
    /// Removes the store, and opens a new one.
    Destroy {
        /// How it is opened.
        settings: Settings,
    },
    /// A second open for writing, which must be refused.
    SecondWriter,
    /// An open with another record size, which must be refused, after a close.
    WrongRecord {
        /// How it is opened then.
        settings: Settings,
    },
    /// An open for reading, beside; all is read.
    Reader {
        /// How it is opened.
        settings: Settings,
        /// Operations of the writer between its open and its reads.
        between: Vec<Op>,
    },
    /// Looks at everything.
    Verify,
    /// Reads the whole store and compares.
    Look,
    /// An operation whose future is polled so often and then dropped.
    Dropped {
        /// How often it is polled.
        polls: u32,
        /// The operation.
        op: Box<Op>,
    },
    /// Several at once.
    Together(Vec<Op>),
    /// In the background, beside what comes.
    Spawn(Box<Op>),
    /// From here on an operation of the disk is to fail.
    Fault(FaultAt),
    /// Faults that have not struck are taken back; space is free again.
    Heal,
}

/// A fault of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultAt {
    /// The n-th read, from 1, is answered with EIO.
    Read(u64),
    /// The n-th write, from 1, is answered with EIO.
    Write(u64),
    /// The n-th fsync of a file, from 1, is answered with EIO, and what it should have written is dropped or not.
    Sync(u64),
    /// The n-th fsync of a directory, from 1, is answered with EIO.
    SyncDirectory(u64),
    /// The n-th truncation, from 1, is answered with EIO.
    Resize(u64),
    /// The n-th removal of a name, from 1, is answered with EIO.
    Remove(u64),
    /// The n-th creation, from 1, is answered with ENOSPC.
    Create(u64),
    /// The n-th listing of a directory, from 1, is answered with EIO.
    Scan(u64),
    /// The n-th open, from 1, is answered with EMFILE.
    Open(u64),
    /// So many bytes are left on the disk.
    Space(u64),
}

impl Op {
    /// Whether it lets the disk fail.
    pub fn has_faults(&self) -> bool {
        match self {
            Self::Fault(_) => true,
            Self::Dropped { op, .. } | Self::Spawn(op) => op.has_faults(),
            Self::Together(ops) | Self::Reader { between: ops, .. } => ops.iter().any(Self::has_faults),
            _ => false,
        }
    }
}

impl Life {
    /// Whether the disk is to fail in it.
    pub fn has_faults(&self) -> bool {
        self.ops.iter().any(Op::has_faults)
    }
}
