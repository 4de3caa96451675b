//! Carrying out a plan: the whole order of durable steps of a section's recovery.

use std::sync::Arc;

use blob_runtime::{Blob, Change, MAX_BLOB_BYTES, Storage, quarantine, read_at};
use bytes::Bytes;

use super::plan::{Case, Plan};
use crate::error::Error;
use crate::frame::{FrameHeader, Place, SEAL_BYTES};
use crate::location::Cursor;
use crate::section::{Resume, write_zeros};
use crate::window::CHUNK_BYTES;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// Where the section goes on; `None` when the blob is to be removed, which is the caller's.
    pub resume: Option<Resume>,
    /// Bytes copied to quarantine.
    pub quarantined_bytes: u64,
}

/// Carries out a plan, each step durable before the next:
///
/// 1. What goes is copied to quarantine, where the plan says so; at most `quarantine_limit` bytes of it.
/// 2. The header where nothing proves it, and everything kept above the proven floor, is written again with the same
///    bytes: after a failed sync in an earlier life the cache of the operating system may show bytes that are not on the
///    disk, and a sync alone would say Ok (P9). What goes is overwritten with zeros (I4); where nothing is seen to go, the
///    length is set again, for the same reason, with room for the seal. Sync.
/// 3. The file is cut to what is kept, where something goes. Sync.
/// 4. A seal, unless one is last already: its floor proves all before it. Sync.
///
/// Cancel safety: dropped, it is done again by the next recovery, with the same outcome (P5).
///
/// # Errors
/// [`Error::Storage`], [`Error::Poisoned`]: the section must not be opened then. [`Error::Corrupt`] when the blob ends
/// before the boundary the survey began at: nothing was changed, and a survey from the start says what is there.
pub async fn carry_out(
    storage: &Arc<dyn Storage>,
    blob: &Arc<dyn Blob>,
    plan: &Plan,
    quarantine_limit: u64,
) -> Result<Done, Error> {
    if plan.end.offset > blob.len() {
        return Err(Error::Corrupt {
            blob: blob.id().clone(),
            offset: blob.len(),
            expected: format!("frames up to {}", plan.end),
            found: "the end of the file".into(),
        });
    }
    let mut quarantined_bytes = 0;
    if plan.quarantine {
        let (from, to) = (plan.cut.start, plan.cut.end);
        quarantined_bytes = quarantine::copy(storage, blob, from, to, quarantine_limit, &reason(plan)).await?;
    }
    if plan.remove {
        return Ok(Done { resume: None, quarantined_bytes });
    }
    let (whole, end) = (plan.cut.is_empty(), plan.end);
    if !whole {
        write_zeros(blob.as_ref(), plan.cut.start).await?;
    }
    let mut changes = rewrite(blob.as_ref(), plan.proven, end.offset).await?;
    if plan.rewrite_header {
        changes.push(Change::Header);
    }
    if whole {
        // The seal that follows changes no length then, and its sync writes data alone.
        let room = if plan.seal { SEAL_BYTES as u64 } else { 0 };
        changes.extend(relength(end.offset.saturating_add(room)));
    }
    changes.push(Change::Sync);
    if !whole {
        changes.extend([Change::Resize(end.offset), Change::Sync]);
    }
    let mut behind = end;
    if plan.seal {
        let (seal, sealed) = seal(blob.as_ref(), end);
        changes.extend([seal, Change::Sync]);
        behind = sealed;
    }
    blob.change_all(changes).await?;
    let resume = Resume { end: behind, durable: behind.offset, sealed: true, readable: behind.offset };
    Ok(Done { resume: Some(resume), quarantined_bytes })
}

/// In words, for notes and reports.
pub fn reason(plan: &Plan) -> String {
    match (&plan.damage, plan.case) {
        (Some(damage), _) => {
            let (expected, found) = damage.describe();
            format!("damaged: expected {expected}; found {found}")
        }
        (None, Case::Nothing) => "no frame of this section".into(),
        (None, Case::TornTail) => "torn tail".into(),
        (None, _) => "behind the end of the frames".into(),
    }
}

/// Writes `from..to` again with the bytes that are there, but for the last piece, which is answered.
async fn rewrite(blob: &dyn Blob, from: u64, to: u64) -> Result<Vec<Change>, Error> {
    let mut at = from;
    while at < to {
        let len = usize::try_from(to - at).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
        let bytes = read_at(blob, at, len).await?;
        let next = at + bytes.len() as u64;
        if next == to {
            return Ok(vec![Change::Write(at, vec![bytes])]);
        }
        blob.write_at(at, vec![bytes]).await?;
        at = next;
    }
    Ok(Vec::new())
}

/// Sets the length, in a way that the disk takes notice, also where it is what is seen: of a truncation whose sync has
/// failed in an earlier life the cache may know, and the disk not; the bytes behind would come back. Growing alone takes
/// nothing away.
fn relength(len: u64) -> impl Iterator<Item = Change> {
    let longer = (len < MAX_BLOB_BYTES).then(|| [Change::Resize(len + 1), Change::Resize(len)]);
    longer.into_iter().flatten()
}

/// A seal behind what is durable, and the boundary behind it.
fn seal(blob: &dyn Blob, end: Cursor) -> (Change, Cursor) {
    let place = Place { binding: blob.header().binding(blob.id().name()), offset: end.offset };
    let header = FrameHeader::seal(end.offset, end.position);
    let bytes = Bytes::from(header.encode_head(place, &[]));
    let behind = Cursor { offset: end.offset.saturating_add(header.size()), ..end };
    (Change::Write(end.offset, vec![bytes]), behind)
}
