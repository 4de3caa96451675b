//! Two files for one name.
//!
//! A crash can leave them when a creation was cut short. The one that holds nothing that verifies is the remnant.

use std::sync::Arc;

use crate::error::Error;
use crate::header::{HeaderState, Probe};
use crate::name::BlobId;
use crate::storage::Blob;

/// How much is read at a time in search of a byte that is not zero.
const CHUNK_BYTES: usize = 64 * 1024;

/// Which of several files of one name stays; all others are remnants, to be removed durably before the blob is used.
/// For backends. `describe` names a file in messages without its salt.
///
/// # Errors
/// [`Error::Corrupt`], naming both, when more than one holds something valid; read errors as they come.
pub async fn keep_one(
    id: &BlobId,
    candidates: &[Arc<dyn Blob>],
    probe: Option<&Probe>,
    describe: impl Fn(usize) -> String,
) -> Result<usize, Error> {
    let mut kept = None;
    for (at, candidate) in candidates.iter().enumerate() {
        let valid = match probe {
            Some(probe) => probe(Arc::clone(candidate)).await?,
            None => any_byte_set(candidate.as_ref()).await?,
        };
        if !valid {
            continue;
        }
        if let Some(first) = kept.replace(at) {
            return Err(Error::Corrupt {
                blob: id.clone(),
                offset: 0,
                expected: "one file of this name".into(),
                found: format!("two with valid content: {} and {}", describe(first), describe(at)),
            });
        }
    }
    let sound = || candidates.iter().position(|candidate| candidate.header_state() == HeaderState::Sound);
    Ok(kept.or_else(sound).unwrap_or(0))
}

async fn any_byte_set(blob: &dyn Blob) -> Result<bool, Error> {
    let len = blob.len();
    let mut offset = 0;
    while offset < len {
        let chunk = usize::try_from(len - offset).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
        if blob.read_at(offset, chunk).await?.iter().any(|byte| *byte != 0) {
            return Ok(true);
        }
        offset += chunk as u64;
    }
    Ok(false)
}
