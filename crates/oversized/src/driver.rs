//! What the sections of a store are to the machinery that opens, changes and closes stores.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use async_trait::async_trait;
use blob_runtime::manifest::Target;
use blob_runtime::sections::{parse_section_name, section_name};
use blob_runtime::segmented::{Damage, Driver, Look};
use blob_runtime::{Blob, BlobId, Claim, Error as StorageError, Format, Kind, Probe, Want};
use futures::FutureExt;
use glob::Cursor;
use glob::recover::Case;
use glob::section::{Resume, Section as Values, Settings};

use crate::budget::BufferBudget;
use crate::commit::write_index;
use crate::error::Error;
use crate::index::Index;
use crate::recover::{Found, IndexAction, Plan, Surveyor, carry_out};
use crate::report::{IndexCase, SectionReport};
use crate::section::{Section, Shared};

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Sections {
    shared: Arc<Shared>,
    settings: Settings,
    budget: Option<BufferBudget>,
    quarantine_bytes: u64,
    /// While the store is being opened a section that holds nothing is removed; later somebody may be using it.
    opening: AtomicBool,
    reports: Mutex<Vec<SectionReport>>,
    /// Of the partition of the indexes.
    claim: Mutex<Option<Claim>>,
    /// Sections that were opened, in the order in which they are looked at when there are too many: the hand of a clock.
    clock: Mutex<VecDeque<u64>>,
}

impl Sections {
    pub(crate) fn new(
        shared: Arc<Shared>,
        settings: Settings,
        budget: Option<BufferBudget>,
        quarantine_bytes: u64,
        claim: Option<Claim>,
    ) -> Self {
        Self {
            shared,
            settings,
            budget,
            quarantine_bytes,
            opening: AtomicBool::new(true),
            reports: Mutex::default(),
            claim: Mutex::new(claim),
            clock: Mutex::default(),
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn budget(&self) -> Option<&BufferBudget> {
        self.budget.as_ref()
    }

    /// The store is open from now on. What was recovered by then, ascending.
    pub(crate) fn opened(&self) -> Vec<SectionReport> {
        self.opening.store(false, Ordering::Release);
        self.reports_so_far()
    }

    /// What was recovered until now, ascending.
    pub(crate) fn reports_so_far(&self) -> Vec<SectionReport> {
        let mut reports = self.reports().clone();
        reports.sort_by_key(|report| report.section);
        reports
    }

    fn reports(&self) -> MutexGuard<'_, Vec<SectionReport>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The hand of the clock; see the field.
    pub(crate) fn clock(&self) -> MutexGuard<'_, VecDeque<u64>> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn format(&self, create: bool) -> Format {
        let probe: Probe = Arc::new(|blob| {
            async move {
                match glob::recover::any_frame(&blob).await {
                    Ok(any) => Ok(any),
                    Err(error) => error.storage().map_or(Ok(false), |error| Err(error.clone())),
                }
            }
            .boxed()
        });
        let mut format = Format::new(Kind::VALUES, Want::Exactly(self.shared.store))
            .unit(Want::Exactly(self.shared.record_bytes.into()))
            .probe(probe);
        format.look_only = self.shared.read_only;
        if create { format } else { format.existing() }
    }

    async fn open_values(&self, section: u64, create: bool) -> Result<Option<Arc<dyn Blob>>, Error> {
        let format = self.format(create);
        match self.shared.storage.open(&self.shared.values_partition, &section_name(section), &format).await {
            Ok(blob) => Ok(Some(blob)),
            Err(StorageError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The file of values of a section, as it is now.
    pub(crate) async fn look_at_values(&self, section: u64) -> Result<Arc<dyn Blob>, Error> {
        self.open_values(section, false).await?.ok_or(Error::SectionOutOfRange { section })
    }

    /// The file of values of a section, whether it is there or not.
    fn values_id(&self, section: u64) -> Result<BlobId, StorageError> {
        BlobId::new(&"".into(), &self.shared.values_partition, &section_name(section))
    }

    async fn list_partition(&self, partition: &str) -> Result<Vec<u64>, Error> {
        let names = self.shared.storage.scan(partition).await?;
        Ok(names.iter().filter_map(|name| parse_section_name(name)).collect())
    }

    /// The section as recovery leaves it, for the index to be written again when much of it is missing.
    fn values(&self, section: u64, blob: Arc<dyn Blob>, from: Resume) -> Result<Arc<Values>, Error> {
        let values = Values::resume(section, blob, self.settings.clone(), from);
        Ok(Arc::new(values.map_err(|error| Error::of_values(section, error))?))
    }

    fn pages(&self, section: u64, survey: paged_cache::Survey) -> Result<fixed_journal::section::Section, Error> {
        let shared = &self.shared;
        let durable = survey.len();
        let log = shared.index_log.clone();
        let pages = fixed_journal::section::Section::resume(section, survey, durable, &shared.page_cache, log);
        pages.map_err(|error| Error::of_index(section, error))
    }

    /// The section as it was found, without a write.
    async fn resume(&self, section: u64, found: Found) -> Result<Section, Error> {
        let damage = self.damage(section, &found);
        let Found { values, index, unindexed, look, facts, plan, .. } = found;
        let (Some(blob), Some(facts), Some(values)) = (values, facts.values, &plan.values) else {
            return Err(damage.map_or(Error::SectionOutOfRange { section }, |damage| damage.error.into()));
        };
        let durable = match look {
            Look::Clean => values.end.offset,
            Look::Unclean(_) => values.proven,
        };
        // Only a read-only open attaches what is damaged: what lies behind can still be read by location.
        let readable = if values.damage.is_some() { facts.len } else { values.end.offset };
        let sealed = facts.sealed && facts.end == values.end;
        let resume = Resume { end: values.end, durable, sealed, readable };
        let end = values.end;
        let values = self.values(section, blob, resume)?;
        let record_bytes = usize::from(self.shared.record_bytes);
        let pages = match (plan.index, index) {
            (IndexAction::Keep { entries }, Some(survey)) => {
                let keep = entries.saturating_mul(record_bytes as u64);
                let survey = survey.limit(keep).await.map_err(|error| Error::of_pages(section, error))?;
                Some(self.pages(section, survey)?)
            }
            _ => None,
        };
        let indexed = pages.as_ref().map_or(0, |pages| pages.len());
        let from = if unindexed.position == indexed { unindexed } else { Cursor { offset: 0, position: 0 } };
        let (start, records) = match from.position == indexed {
            true => load(&values, from, end, record_bytes, self.shared.index_buffer_bytes.saturating_mul(2)).await?,
            false => (end.position, Vec::new()),
        };
        let index = Arc::new(Index::new(record_bytes, pages, start, records));
        let open = Section {
            values,
            index,
            shared: Arc::clone(&self.shared),
            share: self.budget.as_ref().map(BufferBudget::share),
            damaged: damage.map(|_| look),
            job: Mutex::new(None),
            cutting: AtomicBool::new(false),
            checkpointed: AtomicU64::new(from.offset),
            failed_at: AtomicUsize::new(0),
            poison: OnceLock::new(),
            counted_syncs: AtomicU64::new(0),
            used: AtomicBool::new(true),
        };
        open.account();
        Ok(open)
    }

    /// Puts the records of a section that was recovered into its index: they would not fit into memory.
    async fn index_again(&self, section: u64) -> Result<(), Error> {
        let found = self.survey(section, Look::Clean, false).await?;
        let open = self.resume(section, found).await?;
        let written = write_index(&open.values, &open.index, &self.shared).await;
        open.retire().await;
        match written {
            // A seal was believed, and what it covers is damaged: it is told when it is read, and the rest is there.
            Err(error) if error.is_damage() => {
                tracing::error!(section, %error, "the index cannot be made anew of damaged frames");
                Ok(())
            }
            written => written,
        }
    }
}

#[async_trait]
impl Driver for Sections {
    type Section = Section;
    type Found = Found;
    type Error = Error;

    async fn list(&self) -> Result<Vec<u64>, Error> {
        let mut sections = self.list_partition(&self.shared.values_partition).await?;
        let indexed = self.list_partition(&self.shared.index_partition).await?;
        sections.extend(&indexed);
        sections.sort_unstable();
        sections.dedup();
        *self.shared.indexed() = indexed.into_iter().collect();
        Ok(sections)
    }

    /// I3: the index goes first, durably.
    async fn remove(&self, sections: &[u64]) -> Result<(), Error> {
        self.shared.remove_indexes(sections).await?;
        let names: Vec<_> = sections.iter().map(|section| section_name(*section).to_vec()).collect();
        Ok(self.shared.storage.remove(&self.shared.values_partition, &names).await?)
    }

    async fn survey(&self, section: u64, look: Look, create: bool) -> Result<Found, Error> {
        let values = self.open_values(section, create).await?;
        Surveyor { shared: &self.shared, section, look, create }.survey(values).await
    }

    fn damage(&self, section: u64, found: &Found) -> Option<Damage> {
        let id = match &found.values {
            Some(values) => values.id().clone(),
            None => self.values_id(section).ok()?,
        };
        found.plan.error(id).map(|error| Damage { error })
    }

    fn is_gone(&self, found: &Found) -> bool {
        found.values.is_none()
    }

    async fn carry_out(&self, section: u64, mut found: Found) -> Result<(), Error> {
        if let Some(plan) = &mut found.plan.values
            && plan.remove
            && !self.opening.load(Ordering::Acquire)
        {
            (plan.remove, plan.seal) = (false, true);
        }
        let (facts, plan, look) = (found.facts, found.plan.clone(), found.look);
        let values = found.values.clone();
        let reason = plan.error(match &values {
            Some(values) => values.id().clone(),
            None => self.values_id(section)?,
        });
        let done = carry_out(&self.shared, section, found, self.quarantine_bytes).await?;
        if done.remove {
            self.remove(&[section]).await?;
        } else {
            let indexed = if let IndexAction::Keep { entries } = plan.index { entries } else { 0 };
            let unindexed = plan.entries().saturating_sub(indexed).saturating_mul(self.shared.record_bytes.into());
            if unindexed >= self.shared.index_buffer_bytes as u64 {
                self.index_again(section).await?;
            }
        }
        let values_as_expected =
            plan.values.as_ref().is_some_and(|plan| matches!(plan.case, Case::Sealed | Case::Nothing));
        let index_as_expected = matches!(plan.index_case, IndexCase::None | IndexCase::Sound);
        let header_lost = facts.values.is_some_and(|values| !values.header_sound);
        if !values_as_expected || !index_as_expected || header_lost || done.quarantined_bytes > 0 {
            let report = report_of(section, &plan, done.quarantined_bytes, header_lost, reason);
            tracing::info!(?report, ?look, partition = %self.shared.values_partition, "a section was recovered");
            self.reports().push(report);
        }
        Ok(())
    }

    async fn attach(&self, section: u64, found: Found) -> Result<Section, Error> {
        // Only a reader is given what is damaged. A writer may have been at work under the look: so it is looked at twice.
        let found = match self.damage(section, &found) {
            Some(_) => self.survey(section, found.look, false).await?,
            None => found,
        };
        // After a clean close nothing is carried out, and this is all that is said of it.
        let report = match found.look {
            Look::Clean => report_of(section, &found.plan, 0, false, None),
            Look::Unclean(_) => return self.resume(section, found).await,
        };
        let unusable = report.index == IndexCase::Rebuilt;
        let open = self.resume(section, found).await?;
        let mut reports = self.reports();
        if (unusable || open.is_index_lost()) && !reports.iter().any(|known| known.section == section) {
            reports.push(SectionReport { index: IndexCase::Rebuilt, ..report });
        }
        drop(reports);
        self.clock().push_back(section);
        Ok(open)
    }

    fn is_at_rest(&self, section: &Section) -> bool {
        !self.shared.read_only && section.is_at_rest()
    }

    fn is_untouched(&self, section: &Section) -> bool {
        section.is_untouched()
    }

    fn len(&self, section: &Section) -> u64 {
        section.len()
    }

    async fn hold(&self, section: &Arc<Section>) -> Box<dyn Any + Send> {
        Box::new(section.values.hold().await)
    }

    async fn target(&self, number: u64, section: &Section, items: u64) -> Result<Target, Error> {
        // Refused while nothing is decided: behind the intent it would stop the whole store.
        section.check()?;
        let to = section.cursor(items).await?;
        section.values.sync_through(to.offset).await.map_err(|error| section.of_values(error))?;
        Ok(Target { section: number, items, values_offset: to.offset })
    }

    fn poison(&self, section: &Section) -> Option<StorageError> {
        section.poison_cause()
    }

    async fn retire(&self, section: &Section) {
        section.retire().await;
    }

    fn is_retired(&self, section: &Section) -> bool {
        section.values.shut_reason().is_some()
    }

    async fn cut(&self, section: &Section, items: u64) -> Result<(), Error> {
        let to = section.cursor(items).await?;
        section.cut(items, to).await
    }

    async fn seal(&self, section: &Section) -> Result<(), Error> {
        // Appends are kept out: this ends.
        while !section.try_seal().await? {}
        // One that somebody has begun and left: a failed sync of the index is not to end below a clean manifest (I5).
        section.settle_checkpoint().await;
        section.check()
    }

    fn changed(&self) {
        self.shared.bell.ring();
    }

    fn release(&self) {
        drop(self.claim.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

fn report_of(
    section: u64,
    plan: &Plan,
    quarantined_bytes: u64,
    header_lost: bool,
    reason: Option<StorageError>,
) -> SectionReport {
    let values = plan.values.as_ref();
    SectionReport {
        section,
        values: values.map(|values| values.case),
        index: plan.index_case,
        entries: plan.entries(),
        value_bytes: values.map_or(0, |values| values.end.offset),
        proven_bytes: values.map_or(0, |values| values.proven),
        dropped_bytes: values.map_or(0, |values| values.cut.end - values.cut.start),
        quarantined_bytes,
        header_lost,
        reason: match reason {
            Some(error) => error.to_string(),
            None => values.map_or_else(|| "no values".into(), glob::recover::reason),
        },
    }
}

/// The records of the frames from a boundary to the end, when they are at most so many bytes; otherwise they stay in the
/// frames. Answers the position of the first in memory.
async fn load(
    values: &Arc<Values>,
    from: Cursor,
    end: Cursor,
    record_bytes: usize,
    max_bytes: usize,
) -> Result<(u64, Vec<u8>), Error> {
    let count = end.position.saturating_sub(from.position);
    let bytes = usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(record_bytes);
    if bytes > max_bytes {
        return Ok((end.position, Vec::new()));
    }
    let mut records = Vec::with_capacity(bytes);
    let mut headers = values.headers(from);
    while records.len() < bytes {
        match headers.next().await {
            Ok(Some(entry)) if entry.header.is_seal() => {}
            Ok(Some(entry)) => records.extend_from_slice(&entry.tag),
            Ok(None) => break,
            Err(error) => {
                let error = Error::of_values(values.number(), error);
                if !error.is_damage() {
                    return Err(error);
                }
                // What lies before the damage can still be read, one by one.
                tracing::error!(section = values.number(), %error, "a frame's header is damaged");
                return Ok((end.position, Vec::new()));
            }
        }
    }
    if records.len() < bytes {
        return Ok((end.position, Vec::new()));
    }
    Ok((from.position, records))
}
