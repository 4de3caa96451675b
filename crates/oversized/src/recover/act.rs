//! Carrying out a plan: the whole order of durable steps of a section's recovery.

use std::sync::Arc;

use blob_runtime::{Blob, quarantine};

use super::facts::{Found, IndexFacts};
use super::plan::IndexAction;
use crate::error::Error;
use crate::section::Shared;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Done {
    /// Bytes copied to quarantine.
    pub(crate) quarantined_bytes: u64,
    /// The files of the section are to be removed.
    pub(crate) remove: bool,
}

/// Carries out the plan of a section, each step durable before the next:
///
/// 1. Where values are damaged: what goes of either file to quarantine, before anything is changed.
/// 2. The index: removed, or written again above its floor and cut to what is kept (I3, P9).
/// 3. The values: to quarantine what is worth it, written again above their floor, zeros, truncation, seal (I4, P9).
///
/// Cancel safety: dropped, it is done again by the next recovery, with the same outcome (P5).
pub(crate) async fn carry_out(
    shared: &Shared,
    section: u64,
    found: Found,
    quarantine_limit: u64,
) -> Result<Done, Error> {
    let Found { values, index, orphan, plan, facts, .. } = found;
    let mut done = Done { quarantined_bytes: 0, remove: values.is_none() };
    if let Some(blob) = &orphan {
        done.quarantined_bytes = set_aside(shared, blob, quarantine_limit).await?;
    }
    if let (Some(blob), Some(damaged)) = (&values, plan.values.as_ref().filter(|plan| plan.damage.is_some())) {
        let (from, to) = (damaged.cut.start, damaged.cut.end);
        let reason = glob::recover::reason(damaged);
        // Not counted here: step 3 finds this copy again.
        quarantine::copy(&shared.storage, blob, from, to, quarantine_limit, &reason).await?;
        let kept = matches!((plan.index, facts.index), (IndexAction::Keep { entries }, IndexFacts::Entries { entries: found, .. }) if entries == found);
        if let Some(survey) = index.as_ref().filter(|_| !kept) {
            let index = survey.blob();
            done.quarantined_bytes +=
                quarantine::copy(&shared.storage, index, 0, index.len(), quarantine_limit, &reason).await?;
        }
    }
    match (plan.index, index) {
        (IndexAction::Nothing, _) => {}
        (IndexAction::Keep { entries }, Some(survey)) => {
            let keep = entries.saturating_mul(shared.record_bytes.into());
            survey.carry_out(keep).await.map_err(|error| Error::of_pages(section, error))?;
        }
        (IndexAction::Keep { .. } | IndexAction::Remove, _) => shared.remove_indexes(&[section]).await?,
    }
    if let (Some(blob), Some(plan)) = (&values, &plan.values) {
        let acted = glob::recover::carry_out(&shared.storage, blob, plan, quarantine_limit).await;
        let acted = acted.map_err(|error| Error::of_values(section, error))?;
        done.quarantined_bytes += acted.quarantined_bytes;
        done.remove = acted.resume.is_none();
    }
    Ok(done)
}

/// Copies a whole file to quarantine, unless there are only zeros in it.
async fn set_aside(shared: &Shared, blob: &Arc<dyn Blob>, limit: u64) -> Result<u64, Error> {
    let reason = "an index without values";
    Ok(quarantine::copy(&shared.storage, blob, 0, blob.len(), limit, reason).await?)
}
