//! From facts to a decision. Pure: no I/O.
//!
//! | values | index | decision |
//! |---|---|---|
//! | none | none | nothing is there |
//! | none | entries | damage: an index is written behind its values (I1) and goes before them (I3) |
//! | none | no entry that verifies | it proves nothing; it goes, to quarantine |
//! | damaged | any | damage; the index is cut to what is kept of the values, first (I3) |
//! | no frame | any | nothing was ever durable; both go |
//! | sound | none, or whole and not longer | kept |
//! | sound | longer than the values | cut to them, first: its pages above the floor may be the rest of a cut |
//! | sound | unusable | removed, and made anew of the frames (I2) |

use blob_runtime::BlobId;
use blob_runtime::Error as StorageError;
use glob::recover::{self, Case};

use super::facts::{Facts, IndexFacts};
use crate::report::IndexCase;

/// What is to be done with the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IndexAction {
    /// There is none.
    Nothing,
    /// It is made durable as it is, cut to so many entries.
    Keep { entries: u64 },
    /// It goes.
    Remove,
}

/// What is to be done with a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// `None`: there are none.
    pub(crate) values: Option<recover::Plan>,
    pub(crate) index: IndexAction,
    pub(crate) index_case: IndexCase,
    /// Entries of an index without values: damage.
    pub(crate) orphaned: u64,
}

impl Plan {
    /// Entries that are kept.
    pub(crate) fn entries(&self) -> u64 {
        self.values.as_ref().map_or(0, |values| values.end.position)
    }

    /// The damage in words, for the file it is in.
    pub(crate) fn error(&self, values: BlobId) -> Option<StorageError> {
        if self.orphaned > 0 {
            return Some(StorageError::Corrupt {
                blob: values,
                offset: 0,
                expected: format!("the values of {} entries that the index has", self.orphaned),
                found: "no file".into(),
            });
        }
        let damage = self.values.as_ref()?.damage?;
        let (expected, found) = damage.describe();
        Some(StorageError::Corrupt { blob: values, offset: damage.offset, expected, found })
    }
}

/// Decides.
pub(crate) fn plan(facts: &Facts) -> Plan {
    let Some(values) = &facts.values else {
        let (orphaned, index, index_case) = match facts.index {
            IndexFacts::Missing => (0, IndexAction::Nothing, IndexCase::None),
            IndexFacts::Orphan { entries } | IndexFacts::Entries { entries, .. } => {
                (entries, IndexAction::Remove, IndexCase::Orphan)
            }
            IndexFacts::Unusable => (0, IndexAction::Remove, IndexCase::Orphan),
        };
        return Plan { values: None, index, index_case, orphaned };
    };
    let values = recover::plan(values);
    let end = values.end.position;
    let (index, index_case) = match facts.index {
        IndexFacts::Missing => (IndexAction::Nothing, IndexCase::None),
        _ if values.case == Case::Nothing => (IndexAction::Remove, IndexCase::Rebuilt),
        IndexFacts::Unusable | IndexFacts::Orphan { .. } => (IndexAction::Remove, IndexCase::Rebuilt),
        IndexFacts::Entries { entries, whole } if entries <= end => {
            let case = if whole || facts.cut_to.is_some() { IndexCase::Sound } else { IndexCase::Cut };
            (IndexAction::Keep { entries }, case)
        }
        IndexFacts::Entries { .. } => (IndexAction::Keep { entries: end }, IndexCase::Cut),
    };
    Plan { values: Some(values), index, index_case, orphaned: 0 }
}
