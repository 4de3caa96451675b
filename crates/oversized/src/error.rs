//! What can go wrong, with the place it happened.

use std::sync::Arc;

use blob_runtime::codec::CodecError;
use blob_runtime::segmented::Fault;
use blob_runtime::{BlobId, Error as StorageError};
use glob::Location;

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

    /// There is no such entry.
    #[error("section {section} has {len} entries, there is no entry {position}")]
    ItemOutOfRange {
        /// The section.
        section: u64,
        /// The entry asked for.
        position: u64,
        /// Entries the section has.
        len: u64,
    },

    /// An append for a given position, and another one comes next. Nothing was appended.
    #[error("the next entry of section {section} is {found}, not {expected}")]
    PositionMismatch {
        /// The section.
        section: u64,
        /// The position asked for.
        expected: u64,
        /// The position that comes next.
        found: u64,
    },

    /// An append to a section below the newest, in a store that fills one after the other. Nothing was appended.
    #[error("section {section} is not the newest, which is {newest}; this store is filled in order")]
    OutOfOrder {
        /// The section asked for.
        section: u64,
        /// The newest section.
        newest: u64,
    },

    /// The record's type encodes to another length than it says. Nothing was appended.
    #[error("a record of {found} bytes, where this store has records of {expected}")]
    RecordSize {
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

    /// No value's frame is at this location, or it is not that of the record.
    #[error("section {section} has no such value at {location}: {reason}")]
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

    /// The bytes are sound, and the type of the record or the value does not take them.
    #[error("entry at {location} of section {section}: {source}")]
    Codec {
        /// The section.
        section: u64,
        /// The location of its frame; of size 0 when the record is what cannot be decoded.
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

    /// The section was cut under a replay; what that had yielded was right when it was yielded.
    #[error("section {section} was rewound; begin the replay anew")]
    Rewound {
        /// The section.
        section: u64,
    },

    /// A sync of this section failed before: it takes no change until it is reopened, or the store opened anew.
    #[error("section {section} refuses changes since a failure; reopen it, or open the store anew: {source}")]
    Poisoned {
        /// The section.
        section: u64,
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
    #[error("a writer has changed section {section} since it was opened for reading; open it anew: {source}")]
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

impl Error {
    /// A poisoned section.
    pub(crate) fn poisoned(section: u64, cause: &StorageError) -> Self {
        match cause {
            StorageError::Closed => Self::Closed,
            cause => Self::Poisoned { section, source: Arc::new(cause.clone()) },
        }
    }

    /// What the log of values answers, as this crate's.
    pub(crate) fn of_values(section: u64, error: glob::Error) -> Self {
        use glob::Error as Values;
        match error {
            Values::Pruned { section, oldest } => Self::Pruned { section, oldest },
            Values::SectionOutOfRange { section } => Self::SectionOutOfRange { section },
            Values::ItemOutOfRange { section, position, len } => Self::ItemOutOfRange { section, position, len },
            Values::NextPosition { section, expected, found } => Self::PositionMismatch { section, expected, found },
            Values::PositionMismatch { section, location, .. } => {
                Self::InvalidLocation { section, location, reason: "the value of another position is there" }
            }
            Values::TagMismatch { section, location } => {
                Self::InvalidLocation { section, location, reason: "the value of another record is there" }
            }
            Values::TagSize { expected, found } => Self::RecordSize { expected, found },
            Values::ValueTooLarge { len, max } => Self::ValueTooLarge { len, max },
            Values::ChecksumMismatch { blob, offset, what, expected, found } => {
                Self::ChecksumMismatch { blob, offset, what, expected, found }
            }
            Values::InvalidLocation { section, location, reason } => {
                Self::InvalidLocation { section, location, reason }
            }
            Values::Corrupt { blob, offset, expected, found } => Self::Corrupt { blob, offset, expected, found },
            Values::Codec { section, location, source } => Self::Codec { section, location, source },
            Values::Encode { reason } => Self::Encode { reason },
            Values::Rewound { section } => Self::Rewound { section },
            Values::Poisoned { source } => Self::Poisoned { section, source },
            Values::Unfinished { cause } => Self::Unfinished { cause },
            Values::Locked { source } => Self::Locked { source },
            Values::FormatMismatch { source } => Self::FormatMismatch { source },
            Values::ReadOnly => Self::ReadOnly,
            Values::Stale { section, source } => {
                Self::Stale { section, source: Arc::new(Self::of_values(section, (*source).clone())) }
            }
            Values::InvalidConfig { setting, reason } => Self::InvalidConfig { setting, reason },
            Values::Storage { source } => Self::Storage { source },
            _ => Self::Closed,
        }
    }

    /// What the pages of the index answer, as this crate's.
    pub(crate) fn of_index(section: u64, error: fixed_journal::Error) -> Self {
        match error {
            fixed_journal::Error::Pages(error) => Self::of_pages(section, Arc::unwrap_or_clone(error)),
            fixed_journal::Error::ItemOutOfRange { section, position, len } => {
                Self::ItemOutOfRange { section, position, len }
            }
            fixed_journal::Error::Rewound { section } => Self::Rewound { section },
            fixed_journal::Error::ItemSize { expected, found } => {
                Self::RecordSize { expected: expected as usize, found }
            }
            other => Self::InvalidConfig { setting: "record size", reason: other.to_string() },
        }
    }

    pub(crate) fn of_pages(section: u64, error: paged_cache::Error) -> Self {
        match error {
            paged_cache::Error::Storage(source @ StorageError::Poisoned { .. }) => Self::poisoned(section, &source),
            paged_cache::Error::Storage(error) => error.into(),
            paged_cache::Error::ChecksumMismatch { blob, offset, found, .. } => {
                Self::Corrupt { blob, offset, expected: "a page whose checksum matches".into(), found: found.into() }
            }
            // Positions are checked before pages are asked for: what is out of bounds then was cut meanwhile.
            paged_cache::Error::Cut { .. } | paged_cache::Error::OutOfBounds { .. } => Self::Rewound { section },
            other => Self::InvalidConfig { setting: "page_bytes", reason: other.to_string() },
        }
    }

    /// The storage's answer beneath, when there is one.
    pub fn storage(&self) -> Option<&StorageError> {
        match self {
            Self::Poisoned { source, .. }
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

    /// Whether a section answers so because it was taken out of use: removed, or opened anew.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Closed)
            || matches!(self.storage(), Some(StorageError::Removed { .. } | StorageError::Closed))
    }

    /// Whether bytes on the medium are not what they should be.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self, Self::ChecksumMismatch { .. } | Self::Corrupt { .. })
    }
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        let shared = Arc::new(error);
        match shared.as_ref() {
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
