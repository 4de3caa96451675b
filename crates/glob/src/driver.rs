//! What the sections of a glob are to the store that keeps them.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use blob_runtime::manifest::Target;
use blob_runtime::sections::{parse_section_name, section_name};
use blob_runtime::segmented::{Damage, Driver, Look};
use blob_runtime::{Blob, Error as StorageError, Format, HeaderState, Kind, Probe, Storage, StoreId, Want};
use futures::FutureExt;

use crate::error::Error;
use crate::location::Cursor;
use crate::recover::{self, Case, Evidence, Facts, Plan};
use crate::report::SectionReport;
use crate::section::{Resume, Section, Settings, tag_bytes};

#[cfg(test)]
mod tests;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Sections {
    storage: Arc<dyn Storage>,
    store: StoreId,
    partition: String,
    tag: Want<u32>,
    settings: Settings,
    quarantine_bytes: u64,
    /// While the store is being opened a section that holds nothing is removed; later somebody may be using it.
    opening: AtomicBool,
    reports: Mutex<Vec<SectionReport>>,
    /// Sections that a reader was given although they are damaged, and the look that has found it; a writer is refused.
    damaged: Mutex<BTreeMap<u64, Look>>,
}

/// What was found of a section.
#[derive(Debug)]
pub(crate) struct Found {
    blob: Arc<dyn Blob>,
    tag_bytes: u16,
    look: Look,
    facts: Facts,
    plan: Plan,
}

impl Sections {
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        store: StoreId,
        partition: &str,
        tag_bytes: Option<u16>,
        settings: Settings,
        quarantine_bytes: u64,
    ) -> Self {
        Self {
            storage,
            store,
            partition: partition.to_owned(),
            tag: tag_bytes.map_or(Want::Default(0), |tag_bytes| Want::Exactly(tag_bytes.into())),
            settings,
            quarantine_bytes,
            opening: AtomicBool::new(true),
            reports: Mutex::default(),
            damaged: Mutex::default(),
        }
    }

    pub(crate) fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// The store is open from now on. What was recovered by then, ascending.
    pub(crate) fn opened(&self) -> Vec<SectionReport> {
        self.opening.store(false, Ordering::Release);
        let mut reports = self.reports().clone();
        reports.sort_by_key(|report| report.section);
        reports
    }

    /// The damage of a section that a reader was given all the same. It is looked at again, for a writer may have been at
    /// work: what it had not written then is there now.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub(crate) async fn still_damaged(&self, section: u64) -> Result<Option<Error>, Error> {
        let look = self.damaged().get(&section).copied();
        let Some(look) = look else { return Ok(None) };
        let found = self.survey(section, look, false).await?;
        Ok(self.damage(section, &found).map(|damage| damage.error.into()))
    }

    fn damaged(&self) -> MutexGuard<'_, BTreeMap<u64, Look>> {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reports(&self) -> MutexGuard<'_, Vec<SectionReport>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn format(&self, create: bool) -> Format {
        let probe: Probe = Arc::new(|blob| {
            async move {
                match recover::any_frame(&blob).await {
                    Ok(any) => Ok(any),
                    Err(Error::Storage { source } | Error::Poisoned { source }) => Err(StorageError::clone(&source)),
                    // A header that no frame can have.
                    Err(_) => Ok(false),
                }
            }
            .boxed()
        });
        let mut format = Format::new(Kind::VALUES, Want::Exactly(self.store)).unit(self.tag).probe(probe);
        format.look_only = self.settings.read_only;
        if create { format } else { format.existing() }
    }

    async fn open_blob(&self, section: u64, format: &Format) -> Result<Arc<dyn Blob>, Error> {
        let blob = self.storage.open(&self.partition, &section_name(section), format).await?;
        // With the header the tag size is lost too, unless it is configured.
        if let (HeaderState::Bad(_), Want::Default(_)) = (blob.header_state(), self.tag)
            && let Some(claimed) = recover::claimed_tag_bytes(&blob).await?
        {
            let format = format.clone().unit(Want::Exactly(claimed.into()));
            return Ok(self.storage.open(&self.partition, &section_name(section), &format).await?);
        }
        Ok(blob)
    }
}

#[async_trait]
impl Driver for Sections {
    type Section = Section;
    type Found = Found;
    type Error = Error;

    async fn list(&self) -> Result<Vec<u64>, Error> {
        let names = self.storage.scan(&self.partition).await?;
        Ok(names.iter().filter_map(|name| parse_section_name(name)).collect())
    }

    async fn remove(&self, sections: &[u64]) -> Result<(), Error> {
        let names: Vec<_> = sections.iter().map(|section| section_name(*section).to_vec()).collect();
        Ok(self.storage.remove(&self.partition, &names).await?)
    }

    async fn survey(&self, section: u64, look: Look, create: bool) -> Result<Found, Error> {
        let blob = self.open_blob(section, &self.format(create)).await?;
        let tag_bytes = tag_bytes(blob.as_ref())?;
        // A blob that was just made was not closed in order.
        let empty = create && blob.header_state() == HeaderState::New && blob.is_empty();
        let evidence = match look {
            Look::Clean => Evidence { clean: !empty, ..Evidence::default() },
            Look::Unclean(None) => Evidence::default(),
            Look::Unclean(Some(target)) => {
                let cut = Cursor { offset: target.values_offset, position: target.items };
                Evidence { cut: Some(cut), ..Evidence::default() }
            }
        };
        let sealed = if evidence.cut.is_none() { recover::sealed_end(&blob).await? } else { None };
        let facts = match sealed {
            Some(end) => Facts::sealed(&blob, end, evidence),
            None => recover::survey(&blob, Cursor::START, evidence).await?,
        };
        let plan = recover::plan(&facts);
        Ok(Found { blob, tag_bytes, look, facts, plan })
    }

    fn damage(&self, _section: u64, found: &Found) -> Option<Damage> {
        let damage = found.plan.damage?;
        let (expected, found_there) = damage.describe();
        let blob = found.blob.id().clone();
        let error = StorageError::Corrupt { blob, offset: damage.offset, expected, found: found_there };
        Some(Damage { error })
    }

    async fn carry_out(&self, section: u64, found: Found) -> Result<(), Error> {
        let Found { blob, facts, mut plan, .. } = found;
        if plan.remove && !self.opening.load(Ordering::Acquire) {
            (plan.remove, plan.seal) = (false, true);
        }
        let done = recover::carry_out(&self.storage, &blob, &plan, self.quarantine_bytes).await?;
        if done.resume.is_none() {
            self.remove(&[section]).await?;
        }
        let as_it_should_be = matches!(plan.case, Case::Sealed | Case::Nothing);
        if !as_it_should_be || !facts.header_sound || done.quarantined_bytes > 0 {
            let report = SectionReport::new(section, &plan, facts.header_sound, done.quarantined_bytes);
            tracing::info!(?report, partition = %self.partition, "a section was recovered");
            self.reports().push(report);
        }
        Ok(())
    }

    async fn attach(&self, section: u64, found: Found) -> Result<Section, Error> {
        if found.plan.damage.is_some() {
            self.damaged().insert(section, found.look);
        }
        let Found { blob, tag_bytes, look, facts, plan } = found;
        let durable = match look {
            Look::Clean => plan.end.offset,
            Look::Unclean(_) => plan.proven,
        };
        // Only a read-only open attaches what is damaged: what lies behind can still be read by location.
        let readable = if plan.damage.is_some() { facts.len } else { plan.end.offset };
        let sealed = facts.sealed && facts.end == plan.end;
        let from = Resume { end: plan.end, durable, sealed, readable };
        Ok(Section::with_tags(section, blob, self.settings.clone(), from, tag_bytes))
    }

    fn len(&self, section: &Section) -> u64 {
        section.len()
    }

    async fn hold(&self, section: &Arc<Section>) -> Box<dyn Any + Send> {
        Box::new(section.hold().await)
    }

    fn poison(&self, section: &Section) -> Option<blob_runtime::Error> {
        section.log().poison_cause()
    }

    async fn retire(&self, section: &Section) {
        section.retire().await;
    }

    fn is_retired(&self, section: &Section) -> bool {
        section.shut_reason().is_some()
    }

    async fn target(&self, number: u64, section: &Section, items: u64) -> Result<Target, Error> {
        let to = section.locate(items).await?;
        section.sync_through(to.offset).await?;
        Ok(Target { section: number, items, values_offset: to.offset })
    }

    async fn cut(&self, section: &Section, items: u64) -> Result<(), Error> {
        let to = section.locate(items).await?;
        section.cut_held(to).await
    }

    async fn seal(&self, section: &Section) -> Result<(), Error> {
        // Only a close seals through here: whoever still holds the section appends nothing any more.
        section.shut(Error::Closed);
        section.seal().await
    }
}
