//! Opening a store: everything is read and judged before anything is changed.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};

use futures::{StreamExt, TryStreamExt, stream};

use super::{Core, Driver, Look, Segmented, Shell};
use crate::error::Error;
use crate::header::{Format, HeaderState, Kind, Want};
use crate::manifest::{self, Condition, Finding, Found, Intent, Manifest, State, Target};
use crate::name::{BlobId, StoreId, check_partition};
use crate::quarantine;
use crate::sections::{Table, parse_section_name};
use crate::storage::Storage;
use crate::sync::Mutex;

/// Of so many sections what was found is held in memory at once.
const FOUND_AT_ONCE: usize = 1024;

/// What to do about damage to acknowledged data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnDamage {
    /// The open is refused and no byte is changed. A read-only open still reads all that is sound.
    #[default]
    Refuse,
    /// The valid prefix is kept; what is cut is moved to quarantine first, and reported.
    Truncate,
}

/// Damage to acknowledged data.
#[derive(Debug, Clone)]
pub struct Damage {
    /// Where, and what was expected and found.
    pub error: Error,
}

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// Nothing is changed, no lock is taken.
    pub read_only: bool,
    /// What to do about damage to acknowledged data.
    pub on_damage: OnDamage,
    /// How many sections are looked at, recovered and sealed side by side.
    pub recovery_concurrency: usize,
    /// Other partitions of the store, with files that are named as sections. They go with it, before it.
    pub beside: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { read_only: false, on_damage: OnDamage::Refuse, recovery_concurrency: 16, beside: Vec::new() }
    }
}

/// What an open has found; for reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The store did not exist.
    pub created: bool,
    /// It was closed in order, and nothing was recovered.
    pub clean: bool,
    /// A change of structure that was carried on to its end.
    pub resumed: Option<Intent>,
    /// What was wrong with the slots of the manifest.
    pub manifest_faults: [Option<manifest::SlotFault>; 2],
}

impl<D: Driver> Segmented<D> {
    /// Opens the store in `partition`, making it when there is none. `driver` is told which store it is for.
    ///
    /// Cancel safety: dropped, it may be called again.
    ///
    /// # Errors
    /// [`Error::Locked`], damage as what the driver says it is, and what the storage answers: then nothing was changed
    /// but that what was there was made durable.
    pub async fn open(
        storage: Arc<dyn Storage>,
        partition: &str,
        options: &Options,
        driver: impl FnOnce(StoreId) -> D,
    ) -> Result<(Self, Opening), D::Error> {
        check_partition(&quarantine::partition_of(partition))?;
        let claim = if options.read_only { None } else { Some(storage.claim(partition).await?) };
        let mut opening = Opening { created: false, clean: false, resumed: None, manifest_faults: [None; 2] };
        let (store, state, manifest, generation) = loop {
            match read_manifest(&storage, partition, options, &mut opening).await? {
                Read::There(store, state, manifest, generation) => break (store, state, manifest, generation),
                // For a reader it is as good as gone.
                Read::Destroyed if options.read_only => {
                    opening.created = true;
                    break (StoreId(0), State { condition: Condition::Clean, ..State::default() }, None, 0);
                }
                Read::Destroyed => destroy(&storage, partition, &options.beside).await?,
            }
        };
        let driver = driver(store);
        opening.clean = state.condition == Condition::Clean && state.intent.is_none();
        let target = match state.intent {
            Some(Intent::Rewind(target) | Intent::RewindSection(target)) => Some(target),
            Some(Intent::Destroy) | None => None,
        };
        let mut sections = if options.read_only && opening.created { Vec::new() } else { driver.list().await? };
        let below = sections.partition_point(|section| *section < state.pruned_to);
        let pruned: Vec<u64> = sections.drain(..below).collect();
        let doomed: Vec<u64> = match state.intent {
            Some(Intent::Rewind(target)) => {
                let from = sections.partition_point(|section| *section <= target.section);
                sections.drain(from..).rev().collect()
            }
            _ => Vec::new(),
        };
        let look = if opening.clean || !options.read_only { Look::Clean } else { Look::Unclean(None) };
        let core = Core {
            look,
            target: target.filter(|_| options.read_only),
            unclean: Mutex::default(),
            driver,
            storage,
            partition: partition.into(),
            store,
            read_only: options.read_only,
            on_damage: options.on_damage,
            recovery_concurrency: options.recovery_concurrency.max(1),
            beside: options.beside.clone(),
            table: Table::new(),
            pruned_to: AtomicU64::new(state.pruned_to),
            rewinds: AtomicU64::new(0),
            manifest,
            found: state,
            generation,
            dirty: AtomicBool::new(!opening.clean && !options.read_only),
            ready: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            making: Mutex::default(),
            fault: OnceLock::new(),
            destroyed: OnceLock::new(),
            closed_with: OnceLock::new(),
            claim: Mutex::new(claim),
        };
        if let Some(manifest) = &core.manifest {
            // What was decided goes: the pruned, then what a rewind has doomed, from the newest down.
            let gone = [pruned, doomed].concat();
            if opening.clean {
                core.remove_found(&gone).await?;
            } else {
                core.recover(&sections, &gone, target, options.on_damage).await?;
                // One that held nothing at all may have been removed.
                sections = core.driver.list().await?;
                opening.resumed = core.found.intent;
                manifest.update(|state| state.intent = None).await?;
            }
        }
        core.table.know(&sections);
        Ok((Self(Arc::new(Shell { core: Arc::new(core), job: Mutex::new(None) })), opening))
    }
}

impl<D: Driver> Core<D> {
    async fn remove_found(&self, gone: &[u64]) -> Result<(), D::Error> {
        if gone.is_empty() { Ok(()) } else { self.driver.remove(gone).await }
    }

    /// Recovers every section after an unclean stop. All are looked at, and found free of damage, before any is changed.
    async fn recover(
        &self,
        sections: &[u64],
        gone: &[u64],
        target: Option<Target>,
        on_damage: OnDamage,
    ) -> Result<(), D::Error> {
        let driver = &self.driver;
        // What was removed may be gone in the page cache only, and what is missing is believed from here on (P9): a killed
        // process did not make it durable, or a sync of the directory has failed in this one.
        for partition in std::iter::once(&*self.partition).chain(self.beside.iter().map(String::as_str)) {
            self.storage.remove(partition, &[]).await?;
        }
        let survey = |section: u64| async move {
            let target = target.filter(|target| target.section == section);
            let found = driver.survey(section, Look::Unclean(target), false).await?;
            match driver.damage(section, &found) {
                Some(damage) if on_damage == OnDamage::Refuse => Err(D::Error::from(damage.error)),
                _ => Ok((section, found)),
            }
        };
        let surveys = stream::iter(sections.iter().copied()).map(survey);
        let mut surveys = surveys.buffer_unordered(self.recovery_concurrency);
        let mut kept = Vec::new();
        while let Some(found) = surveys.try_next().await? {
            // What was found of a few sections is kept; of many, each is looked at again when its turn comes (P13).
            if sections.len() <= FOUND_AT_ONCE {
                kept.push(found);
            }
        }
        drop(surveys);
        self.remove_found(gone).await?;
        if sections.len() <= FOUND_AT_ONCE {
            let actions = stream::iter(kept).map(|(section, found)| driver.carry_out(section, found));
            return actions.buffer_unordered(self.recovery_concurrency).try_collect::<()>().await;
        }
        let actions = stream::iter(sections.iter().copied()).map(|section| async move {
            let (section, found) = survey(section).await?;
            driver.carry_out(section, found).await
        });
        actions.buffer_unordered(self.recovery_concurrency).try_collect::<()>().await
    }
}

enum Read {
    There(StoreId, State, Option<Manifest>, u64),
    Destroyed,
}

async fn read_manifest(
    storage: &Arc<dyn Storage>,
    partition: &str,
    options: &Options,
    opening: &mut Opening,
) -> Result<Read, Error> {
    let finding = match options.read_only {
        true => manifest::look(storage, partition).await?,
        false => manifest::find(storage, partition).await?,
    };
    let damaged = match finding {
        Finding::Found(found) => return settle(found, options, opening).await,
        Finding::Damaged(damaged) => Some(damaged),
        Finding::Missing => None,
    };
    let mut section = None;
    for partition in std::iter::once(partition).chain(options.beside.iter().map(String::as_str)) {
        let names = storage.scan(partition).await?;
        let found = names.into_iter().find(|name| name != manifest::NAME);
        section = section.or(found.map(|name| (partition, name)));
    }
    if options.read_only {
        return match (damaged, section) {
            (Some(damaged), _) => Err(damaged.error()),
            (None, Some((beside, name))) => Err(no_manifest(partition, beside, &name)?),
            (None, None) => {
                opening.created = true;
                Ok(Read::There(StoreId(0), State { condition: Condition::Clean, ..State::default() }, None, 0))
            }
        };
    }
    let Some((beside, section)) = section else {
        let (store, state) = (StoreId(storage.random()?), State::default());
        let manifest = match damaged {
            Some(damaged) => damaged.replace(store, state.clone()).await?,
            None => Manifest::create(storage, partition, store, state.clone()).await?,
        };
        opening.created = true;
        let generation = manifest.generation();
        return Ok(Read::There(store, state, Some(manifest), generation));
    };
    // Sections and no manifest that verifies: that is damage, never a store that is new.
    if options.on_damage == OnDamage::Refuse {
        return Err(match damaged {
            Some(damaged) => damaged.error(),
            None => no_manifest(partition, beside, &section)?,
        });
    }
    let (store, oldest) = rebuild_facts(storage, partition).await?;
    let state = State { pruned_to: oldest, ..State::default() };
    let manifest = match damaged {
        Some(damaged) => damaged.replace(store, state.clone()).await?,
        None => Manifest::create(storage, partition, store, state.clone()).await?,
    };
    let generation = manifest.generation();
    Ok(Read::There(store, state, Some(manifest), generation))
}

async fn settle(found: Found, options: &Options, opening: &mut Opening) -> Result<Read, Error> {
    opening.manifest_faults = found.faults();
    let (store, state) = (found.store(), found.state().clone());
    let generation = found.generation();
    if options.read_only {
        return Ok(match state.intent {
            Some(Intent::Destroy) => Read::Destroyed,
            _ => Read::There(store, state, None, generation),
        });
    }
    let manifest = found.settle().await?;
    if state.intent == Some(Intent::Destroy) {
        return Ok(Read::Destroyed);
    }
    Ok(Read::There(store, state, Some(manifest), generation))
}

/// Removes what a `destroy` has left: the sections first, the manifest last.
pub(super) async fn destroy(storage: &Arc<dyn Storage>, partition: &str, beside: &[String]) -> Result<(), Error> {
    for partition in beside {
        storage.remove_partition(partition).await?;
    }
    let mut names = storage.scan(partition).await?;
    names.retain(|name| name != manifest::NAME);
    names.reverse();
    storage.remove(partition, &names).await?;
    storage.remove_partition(partition).await
}

/// What a manifest is rebuilt from when both slots are gone: the store id the sections' headers say, and the oldest.
async fn rebuild_facts(storage: &Arc<dyn Storage>, partition: &str) -> Result<(StoreId, u64), Error> {
    let mut oldest = None;
    let mut store = None;
    for name in storage.scan(partition).await? {
        let Some(section) = parse_section_name(&name) else { continue };
        oldest = oldest.or(Some(section));
        for kind in [Kind::PAGED, Kind::VALUES] {
            let format = Format::new(kind, Want::Default(StoreId(0))).existing();
            match storage.open(partition, &name, &format).await {
                Ok(blob) if blob.header_state() == HeaderState::Sound => store = store.or(Some(blob.header().store)),
                Ok(_) | Err(Error::FormatMismatch { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
    let store = match store {
        Some(store) => store,
        None => StoreId(storage.random()?),
    };
    Ok((store, oldest.unwrap_or(0)))
}

fn no_manifest(partition: &str, beside: &str, section: &[u8]) -> Result<Error, Error> {
    let blob = BlobId::new(&"".into(), partition, manifest::NAME)?;
    let beside = BlobId::new(&"".into(), beside, section)?;
    Ok(Error::Corrupt {
        blob,
        offset: 0,
        expected: "a manifest".into(),
        found: format!("none, beside the section {beside}"),
    })
}
