//! What can go wrong, with the place it happened.

use std::sync::Arc;

use blob_runtime::codec::CodecError;
use blob_runtime::sections::Pruned;
use blob_runtime::segmented::Fault;
use blob_runtime::{BlobId, Error as StorageError};

use crate::location::Location;

/// An error of this crate. Cheap to clone, so that one failure reaches every caller that waited for it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The section lies below everything that is kept.
    #[error("section {section} was pruned; the oldest that may exist is {oldest}")]
    Pruned {
        /// The section asked for.
        section: u64,
        /// The oldest section that may exist.
        oldest: u64,
    },

    /// There is no such section.
    #[error("section {section} does not exist")]
    SectionOutOfRange {
        /// The section asked for.
        section: u64,
    },

    /// There is no such item.
    #[error("section {section} has no item {position}: it has {len} items")]
    ItemOutOfRange {
        /// The section.
        section: u64,
        /// The item asked for.
        position: u64,
        /// Items in the section.
        len: u64,
    },

    /// The frame at the location is sound, and is that of another item.
    #[error("the frame at {location} of section {section} is that of item {found}, not of {expected}")]
    PositionMismatch {
        /// The section.
        section: u64,
        /// The location asked for.
        location: Location,
        /// The item expected.
        expected: u64,
        /// The item found.
        found: u64,
    },

    /// The frame at the location is sound, and its tag is not the one expected.
    #[error("the frame at {location} of section {section} has another tag than expected")]
    TagMismatch {
        /// The section.
        section: u64,
        /// The location asked for.
        location: Location,
    },

    /// An append for a given number of an item, and another one comes next. Nothing was appended.
    #[error("the next item of section {section} is {found}, not {expected}")]
    NextPosition {
        /// The section.
        section: u64,
        /// The number asked for.
        expected: u64,
        /// The next item's number.
        found: u64,
    },

    /// The section's owner takes no appends to it any more. Nothing was appended.
    #[error("section {section} takes no appends any more")]
    Frozen {
        /// The section.
        section: u64,
    },

    /// The closure given to an append has made a tag of the wrong size. Nothing was appended.
    #[error("a tag of {found} bytes, where this store has tags of {expected}")]
    TagSize {
        /// Size expected, in bytes.
        expected: usize,
        /// Size made, in bytes.
        found: usize,
    },

    /// The value is over the limit. Appending: nothing was appended. Reading: nothing was allocated for it.
    #[error("a value of {len} bytes is over the limit of {max}; raise `max_value_bytes`")]
    ValueTooLarge {
        /// Length of the value in bytes.
        len: u64,
        /// The limit in bytes.
        max: u64,
    },

    /// Bytes on the medium are not what was written: a checksum does not match.
    #[error("blob {blob} is damaged at byte {offset}: {what} checksum {found:08x}, expected {expected:08x}")]
    ChecksumMismatch {
        /// The blob.
        blob: BlobId,
        /// Offset of the frame in bytes.
        offset: u64,
        /// Which checksum: `header` or `payload`.
        what: &'static str,
        /// The checksum that should be.
        expected: u32,
        /// The checksum that is.
        found: u32,
    },

    /// No value's frame is at this location.
    #[error("section {section} has no value at {location}: {reason}")]
    InvalidLocation {
        /// The section.
        section: u64,
        /// The location asked for.
        location: Location,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// Damage to bytes that are proven to have been durable. Nothing was changed.
    #[error(
        "blob {blob} is damaged at byte {offset}: expected {expected}, found {found}; restore it from a copy, open it read-only, or open it with `OnDamage::Truncate`"
    )]
    Corrupt {
        /// The blob.
        blob: BlobId,
        /// Where the damage begins, in bytes.
        offset: u64,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },

    /// The bytes are sound, and the value's type does not take them; or it encodes to another length than it says.
    #[error("value at {location} of section {section}: {source}")]
    Codec {
        /// The section.
        section: u64,
        /// The location of its frame.
        location: Location,
        /// What the type says.
        source: CodecError,
    },

    /// A value does not encode to the length it says, or cannot be compressed. Nothing was appended.
    #[error("cannot encode the value: {reason}")]
    Encode {
        /// Why.
        reason: String,
    },

    /// The section was cut while this scan ran over it.
    #[error("section {section} was rewound; begin the scan anew")]
    Rewound {
        /// The section.
        section: u64,
    },

    /// A sync failed before. No change is taken until the section is reopened, or the store opened anew.
    #[error("changes are refused since a failure; reopen the section or open the store anew: {source}")]
    Poisoned {
        /// The failure.
        source: Arc<StorageError>,
    },

    /// A change of structure failed between its beginning and its end, and lets nothing more be changed; opening the
    /// store anew carries it on.
    #[error("a change of structure failed and is not finished ({cause}); open the store anew")]
    Unfinished {
        /// The failure.
        cause: Arc<str>,
    },

    /// Another holder has the exclusive right to write. Nothing was changed.
    #[error("{source}")]
    Locked {
        /// What is locked.
        source: Arc<StorageError>,
    },

    /// What is on disk was made with other settings, or belongs to another store. Nothing was changed.
    #[error("{source}")]
    FormatMismatch {
        /// What differs.
        source: Arc<StorageError>,
    },

    /// A change was asked of a store that is open read-only.
    #[error("the store is open read-only")]
    ReadOnly,

    /// A read-only store no longer fits what is on disk, for a writer has changed it. Open it anew.
    #[error("a writer has changed section {section} since it was opened for reading; open it anew")]
    Stale {
        /// The section.
        section: u64,
        /// What did not fit.
        source: Arc<Error>,
    },

    /// The store was closed or destroyed.
    #[error("the store is closed")]
    Closed,

    /// A name or setting that cannot be. Nothing was touched.
    #[error("invalid setting {setting}: {reason}")]
    InvalidConfig {
        /// The setting.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },

    /// Whatever else the storage answers.
    #[error("{source}")]
    Storage {
        /// Its answer.
        source: Arc<StorageError>,
    },
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        let shared = Arc::new(error);
        match shared.as_ref() {
            StorageError::Poisoned { .. } => Self::Poisoned { source: shared },
            StorageError::Locked { .. } => Self::Locked { source: shared },
            StorageError::FormatMismatch { .. } => Self::FormatMismatch { source: shared },
            StorageError::ReadOnly { .. } => Self::ReadOnly,
            StorageError::Closed => Self::Closed,
            StorageError::Corrupt { blob, offset, expected, found } => {
                Self::Corrupt { blob: blob.clone(), offset: *offset, expected: expected.clone(), found: found.clone() }
            }
            _ => Self::Storage { source: shared },
        }
    }
}

impl From<Pruned> for Error {
    fn from(pruned: Pruned) -> Self {
        Self::Pruned { section: pruned.section, oldest: pruned.oldest }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Pruned(pruned) => pruned.into(),
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
    /// The storage's answer beneath, when there is one.
    pub fn storage(&self) -> Option<&StorageError> {
        match self {
            Self::Poisoned { source }
            | Self::Locked { source }
            | Self::FormatMismatch { source }
            | Self::Storage { source } => Some(source),
            Self::Stale { source, .. } => source.storage(),
            _ => None,
        }
    }

    /// Whether a later try of the same call may succeed without anything being opened anew: the disk was full, a read
    /// failed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Storage { source } if matches!(**source, StorageError::Io { .. }) && !source.is_sync_failure())
    }
}
