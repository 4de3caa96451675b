//! Carrying out a plan: the whole order of durable steps of a section's recovery.

use std::sync::Arc;

use blob_runtime::Blob;
use bytes::Bytes;

use super::plan::{Case, Plan};
pub use super::quarantine::Quarantine;
use super::quarantine::piece;
use crate::error::Error;
use crate::frame::{FrameHeader, Place};
use crate::location::Cursor;
use crate::section::{Resume, write_zeros};

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// Where the section goes on; `None` when the blob is to be removed, which is the caller's.
    pub resume: Option<Resume>,
    /// The name of the copy in quarantine.
    pub quarantined: Option<Vec<u8>>,
}

/// Carries out a plan, each step durable before the next:
///
/// 1. What goes is copied to quarantine, where the plan says so.
/// 2. The header where nothing proves it, and everything kept above the proven floor, is written again with the same
///    bytes: after a failed sync in an earlier life the cache of the operating system may show bytes that are not on the
///    disk, and a sync alone would say Ok (P9). What goes is overwritten with zeros (I4). Sync.
/// 3. The file is cut to what is kept. Sync.
/// 4. A seal, unless one is last already: its floor proves all before it. Sync.
///
/// Cancel safety: dropped, it is done again by the next recovery, with the same outcome (P5).
///
/// # Errors
/// [`Error::Storage`], [`Error::Poisoned`]: the section must not be opened then.
pub async fn carry_out(
    blob: &Arc<dyn Blob>,
    section: u64,
    plan: &Plan,
    quarantine: &Quarantine,
) -> Result<Done, Error> {
    let quarantined = if plan.quarantine {
        let reason = reason(plan);
        Some(quarantine.keep(blob, section, plan.cut.clone(), &reason).await?)
    } else {
        None
    };
    if plan.remove {
        return Ok(Done { resume: None, quarantined });
    }
    if plan.rewrite_header {
        blob.write_header().await?;
    }
    rewrite(blob.as_ref(), plan.proven, plan.end.offset).await?;
    if !plan.cut.is_empty() {
        write_zeros(blob.as_ref(), plan.cut.start).await?;
    }
    blob.sync().await?;
    if !plan.cut.is_empty() {
        blob.resize(plan.end.offset).await?;
        blob.sync().await?;
    }
    let mut end = plan.end;
    if plan.seal {
        end = seal(blob.as_ref(), end).await?;
    }
    let resume = Resume { end, durable: end.offset, sealed: true, readable: end.offset };
    Ok(Done { resume: Some(resume), quarantined })
}

/// In words, for notes and reports.
pub(crate) fn reason(plan: &Plan) -> String {
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

/// Writes `from..to` again with the bytes that are there.
async fn rewrite(blob: &dyn Blob, from: u64, to: u64) -> Result<(), Error> {
    let mut at = from;
    while at < to {
        let bytes = blob.read_at(at, piece(to - at)).await?;
        let read = bytes.len() as u64;
        blob.write_at(at, vec![bytes]).await?;
        at += read;
    }
    Ok(())
}

/// Writes a seal behind what is durable; answers the boundary behind it.
async fn seal(blob: &dyn Blob, end: Cursor) -> Result<Cursor, Error> {
    let place = Place { binding: blob.header().binding(blob.id().name()), offset: end.offset };
    let header = FrameHeader::seal(end.offset, end.position);
    let bytes = Bytes::from(header.encode_head(place, &[]));
    blob.write_at_sync(end.offset, vec![bytes]).await?;
    Ok(Cursor { offset: end.offset.saturating_add(header.size()), ..end })
}
