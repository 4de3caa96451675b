//! What a section of a journal is: a stream of pages whose length is a whole number of items.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use blob_runtime::append::Config as LogConfig;
use blob_runtime::manifest::Target;
use blob_runtime::sections::{parse_section_name, section_name};
use blob_runtime::segmented::{Damage, Driver, Look};
use blob_runtime::{Blob, Format, HeaderState, Kind, Probe, Storage, StoreId, Want, quarantine};
use futures::FutureExt;
use paged_cache::{Ended, MAX_PAGE_BYTES, MIN_PAGE_BYTES, Survey};

use crate::config::Config;
use crate::error::Error;
use crate::report::{Reason, SectionRecovery};
use crate::section::{Section, item_bytes};

#[cfg(test)]
mod tests;

#[derive(Debug)]
pub(crate) struct Sections {
    storage: Arc<dyn Storage>,
    store: StoreId,
    item: Want<u32>,
    config: Config,
    recovered: Mutex<Vec<SectionRecovery>>,
}

/// What was found of a section.
#[derive(Debug)]
pub(crate) struct Found {
    survey: Survey,
    look: Look,
    item_bytes: u32,
    /// Whole items, within what an unfinished rewind keeps.
    items: u64,
    /// It was made, and nothing was written yet.
    created: bool,
    /// Its name survived a crash, and no header and no page: not even the size of its items is known, unless to whoever opens
    /// the journal.
    is_nothing: bool,
}

impl Sections {
    pub(crate) fn new(storage: Arc<dyn Storage>, store: StoreId, item: Want<u32>, config: Config) -> Self {
        Self { storage, store, item, config, recovered: Mutex::default() }
    }

    /// What was recovered, ascending.
    pub(crate) fn recovered(&self) -> Vec<SectionRecovery> {
        let mut recovered = self.recovered.lock().unwrap_or_else(PoisonError::into_inner).clone();
        recovered.sort_by_key(|section| section.section);
        recovered
    }

    fn format(&self, create: bool) -> Format {
        let probe: Probe = Arc::new(|blob| {
            async move {
                match Survey::new(blob, None).await {
                    Ok(survey) => Ok(!survey.is_empty()),
                    Err(paged_cache::Error::Storage(error)) => Err(error),
                    Err(_) => Ok(false),
                }
            }
            .boxed()
        });
        let mut format = Format::new(Kind::PAGED, Want::Exactly(self.store))
            .unit(Want::Default(self.config.page_bytes))
            .item(self.item)
            .probe(probe);
        format.look_only = self.config.options.read_only;
        if create { format } else { format.existing() }
    }

    async fn open_blob(&self, section: u64, format: &Format) -> Result<Arc<dyn Blob>, Error> {
        Ok(self.storage.open(&self.config.partition, &section_name(section), format).await?)
    }

    /// Without a header the page size is not known either: it is the one whose pages verify.
    async fn find_page_size(&self, section: u64, blob: Arc<dyn Blob>) -> Result<Survey, Error> {
        let configured = Survey::new(blob, None).await?;
        if !configured.is_empty() {
            return Ok(configured);
        }
        let mut page_bytes = MIN_PAGE_BYTES;
        while page_bytes <= MAX_PAGE_BYTES {
            let format = self.format(false).unit(Want::Exactly(page_bytes));
            let survey = Survey::new(self.open_blob(section, &format).await?, None).await?;
            if !survey.is_empty() {
                return Ok(survey);
            }
            page_bytes *= 2;
        }
        Ok(configured)
    }
}

#[async_trait]
impl Driver for Sections {
    type Section = Section;
    type Found = Found;
    type Error = Error;

    async fn list(&self) -> Result<Vec<u64>, Error> {
        let names = self.storage.scan(&self.config.partition).await?;
        Ok(names.iter().filter_map(|name| parse_section_name(name)).collect())
    }

    async fn remove(&self, sections: &[u64]) -> Result<(), Error> {
        let names: Vec<_> = sections.iter().map(|section| section_name(*section).to_vec()).collect();
        Ok(self.storage.remove(&self.config.partition, &names).await?)
    }

    async fn survey(&self, section: u64, look: Look, create: bool) -> Result<Found, Error> {
        let blob = self.open_blob(section, &self.format(create)).await?;
        let created = create && blob.header_state() == HeaderState::New && blob.is_empty();
        let survey = match blob.header_state() {
            HeaderState::Bad(_) => self.find_page_size(section, blob).await?,
            _ => Survey::new(blob, None).await?,
        };
        let header = survey.blob().header_state();
        let is_nothing = survey.blob().header().item == 0 && header != HeaderState::Sound && survey.is_empty();
        let item_bytes = if is_nothing { 1 } else { item_bytes(&survey)? };
        let whole = survey.len() / u64::from(item_bytes);
        let items = match look {
            Look::Unclean(Some(target)) => whole.min(target.items),
            _ => whole,
        };
        let survey = match self.config.options.read_only {
            true => survey.limit(items * u64::from(item_bytes)).await?,
            false => survey,
        };
        Ok(Found { survey, look, item_bytes, items, created, is_nothing })
    }

    fn damage(&self, _section: u64, found: &Found) -> Option<Damage> {
        let survey = &found.survey;
        let blob = survey.blob();
        if let Look::Unclean(Some(target)) = found.look
            && found.items < target.items
        {
            // They were synced before the rewind was decided, and it touches none of their pages.
            let error = blob_runtime::Error::Corrupt {
                blob: blob.id().clone(),
                offset: survey.geometry().blob_len(found.items * u64::from(found.item_bytes)),
                expected: format!("{} items, which a rewind that was not finished has kept", target.items),
                found: format!("{} items, then {:?}", found.items, survey.ended()),
            };
            return Some(Damage { error });
        }
        let whole = survey.is_sealed() && survey.len().is_multiple_of(u64::from(found.item_bytes));
        if found.look != Look::Clean || found.created || whole {
            return None;
        }
        let error = blob_runtime::Error::Corrupt {
            blob: blob.id().clone(),
            offset: survey.geometry().blob_len(survey.len()),
            expected:
                "a sound header and whole pages to the end of the file, the end said twice, as the close left them"
                    .into(),
            found: format!(
                "{} items of {} bytes, {} bytes left over, {:?}, header {:?}",
                found.items,
                found.item_bytes,
                survey.left_over(),
                survey.ended(),
                blob.header_state()
            ),
        };
        Some(Damage { error })
    }

    async fn carry_out(&self, section: u64, found: Found) -> Result<(), Error> {
        let damaged = self.damage(section, &found).is_some();
        let Found { survey, look, item_bytes, items, is_nothing, .. } = found;
        let keep = items * u64::from(item_bytes);
        let (blob, ended) = (Arc::clone(survey.blob()), survey.ended());
        let proven_items = survey.proven().min(keep) / u64::from(item_bytes);
        let rewound = matches!(look, Look::Unclean(Some(_))) && keep < survey.len();
        let reason = match (damaged, blob.header_state(), rewound) {
            (true, ..) => Some(Reason::Damage),
            (_, HeaderState::Bad(_), _) => Some(Reason::Header),
            (_, _, true) => Some(Reason::Rewind),
            _ if survey.left_over() > 0 || ended != Ended::Whole => Some(Reason::TornTail(ended)),
            _ => None,
        };
        // Whatever is not zero may be worth a look: what looks like a torn tail may be rot. A rewind's bytes were given up.
        let cut = survey.geometry().blob_len(keep);
        let worth = damaged || ended != Ended::Whole || !zero_from(&blob, cut).await?;
        let dropped_bytes = blob.len().saturating_sub(cut);
        let quarantined_bytes = if worth && !rewound {
            let (limit, why) = (self.config.quarantine_bytes, format!("{reason:?}"));
            quarantine::copy(&self.storage, &blob, cut, blob.len(), limit, &why).await?
        } else {
            0
        };
        if is_nothing {
            self.remove(&[section]).await?;
        } else {
            survey.carry_out(keep).await?.seal().await?;
        }
        if let Some(reason) = reason {
            let entry = SectionRecovery { section, items, proven_items, reason, dropped_bytes, quarantined_bytes };
            tracing::warn!(?entry, partition = %self.config.partition, "a section was recovered");
            self.recovered.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
        }
        Ok(())
    }

    async fn attach(&self, section: u64, found: Found) -> Result<Section, Error> {
        if found.is_nothing {
            return Err(Error::SectionOutOfRange { section });
        }
        let durable = if found.look == Look::Clean { found.survey.len() } else { found.survey.proven() };
        let config = LogConfig {
            buffer_bytes: self.config.buffer_bytes,
            unsynced_bytes: self.config.unsynced_bytes,
            spares: self.config.spares.clone(),
        };
        Section::resume(section, found.survey, durable, &self.config.page_cache, config)
    }

    fn len(&self, section: &Section) -> u64 {
        section.len()
    }

    async fn target(&self, number: u64, section: &Section, items: u64) -> Result<Target, Error> {
        section.paged.sync_through(items * u64::from(section.item_bytes)).await?;
        Ok(Target { section: number, items, values_offset: 0 })
    }

    async fn hold(&self, section: &Arc<Section>) -> Box<dyn Any + Send> {
        section.paged.hold().await
    }

    fn poison(&self, section: &Section) -> Option<blob_runtime::Error> {
        match section.paged.poison_cause() {
            Some(paged_cache::Error::Storage(error)) => Some(error),
            _ => None,
        }
    }

    async fn retire(&self, section: &Section) {
        section.paged.retire().await;
    }

    fn is_retired(&self, section: &Section) -> bool {
        section.paged.is_retired()
    }

    async fn cut(&self, section: &Section, items: u64) -> Result<(), Error> {
        Ok(section.paged.cut(items * u64::from(section.item_bytes)).await?)
    }

    async fn seal(&self, section: &Section) -> Result<(), Error> {
        section.paged.settle().await;
        Ok(section.paged.seal().await?)
    }
}

async fn zero_from(blob: &Arc<dyn Blob>, from: u64) -> Result<bool, Error> {
    const CHUNK_BYTES: u64 = 1 << 20;
    let mut at = from;
    while at < blob.len() {
        let take = CHUNK_BYTES.min(blob.len() - at);
        let bytes = blob.read_at(at, usize::try_from(take).unwrap_or(0)).await?;
        if bytes.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        at += take;
    }
    Ok(true)
}
