//! What can go wrong with a journal.

use std::sync::Arc;

use blob_runtime::codec::CodecError;
use blob_runtime::segmented::Fault;

/// An error of this crate. Cheap to clone.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The section was pruned.
    #[error("section {section} was pruned; the oldest that may exist is {oldest}")]
    Pruned {
        /// The section asked for.
        section: u64,
        /// The oldest section that may exist.
        oldest: u64,
    },

    /// The section does not exist.
    #[error("section {section} does not exist")]
    SectionOutOfRange {
        /// The section.
        section: u64,
    },

    /// The section has no such item.
    #[error("section {section} has {len} items, there is no item {position}")]
    ItemOutOfRange {
        /// The section.
        section: u64,
        /// The item asked for.
        position: u64,
        /// Items the section has.
        len: u64,
    },

    /// An item of another length than the journal's. Nothing was appended.
    #[error("an item of {found} bytes for a journal of items of {expected} bytes")]
    ItemSize {
        /// Item size of the journal in bytes.
        expected: u32,
        /// Length given, in bytes.
        found: usize,
    },

    /// Items of 0 bytes, or of more than 4 GiB. Nothing was touched.
    #[error("item size {item_bytes} is not from 1 to {max}", max = u32::MAX)]
    InvalidItemSize {
        /// The size in bytes.
        item_bytes: usize,
    },

    /// An item's bytes make no sense.
    #[error("item {position} of section {section} does not decode: {source}")]
    Codec {
        /// The section.
        section: u64,
        /// The item.
        position: u64,
        /// What is wrong.
        source: CodecError,
    },

    /// The section was rewound under a replay; what it had yielded was right when it was yielded.
    #[error("section {section} was rewound under a replay")]
    Rewound {
        /// The section.
        section: u64,
    },

    /// A change failed between its beginning and its end; opening the journal anew settles it.
    #[error("a change of structure failed and is not finished ({cause}); open the journal anew")]
    Unfinished {
        /// The failure.
        cause: Arc<str>,
    },

    /// A change was asked of a journal that was opened read-only.
    #[error("the journal is open read-only")]
    ReadOnly,

    /// The journal was closed or destroyed.
    #[error("the journal is closed")]
    Closed,

    /// The pages beneath: damage, a failure, a poisoned section.
    #[error(transparent)]
    Pages(Arc<paged_cache::Error>),
}

impl From<paged_cache::Error> for Error {
    fn from(error: paged_cache::Error) -> Self {
        Self::Pages(Arc::new(error))
    }
}

impl From<blob_runtime::Error> for Error {
    fn from(error: blob_runtime::Error) -> Self {
        paged_cache::Error::from(error).into()
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Pruned(pruned) => Self::Pruned { section: pruned.section, oldest: pruned.oldest },
            Fault::SectionOutOfRange { section } => Self::SectionOutOfRange { section },
            Fault::ItemOutOfRange { section, position, len } => Self::ItemOutOfRange { section, position, len },
            Fault::Unfinished { cause } => Self::Unfinished { cause: cause.into() },
            Fault::ReadOnly => Self::ReadOnly,
            Fault::Storage(error) => error.into(),
            _ => Self::Closed,
        }
    }
}

impl Error {
    /// Whether nothing is known any more about items that were written; see
    /// [`blob_runtime::Error::is_sync_failure`]. [`reopen_section`](crate::RawJournal::reopen_section) settles it.
    pub fn is_sync_failure(&self) -> bool {
        matches!(self, Self::Pages(error) if error.is_sync_failure())
    }

    /// The error of the pages beneath, if it is one.
    pub fn pages(&self) -> Option<&paged_cache::Error> {
        match self {
            Self::Pages(error) => Some(error),
            _ => None,
        }
    }

    /// The error of the storage beneath, if it is one.
    pub fn storage(&self) -> Option<&blob_runtime::Error> {
        match self.pages()? {
            paged_cache::Error::Storage(error) => Some(error),
            _ => None,
        }
    }
}
