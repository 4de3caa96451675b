//! A store of sections under one manifest: opening and recovery, changes of structure, closing.
//!
//! ```text
//!  open   ──▶ manifest settled ──▶ clean: sections opened at first use
//!                              └─▶ not clean: sync what is there ──▶ survey all ──▶ damage? refuse
//!                                                               └─▶ carry out all, and the intent
//!  change ──▶ intent durable ──▶ done step by step ──▶ intent cleared, durably ──▶ return
//!  close  ──▶ no new work ──▶ what has begun ends ──▶ sections sealed ──▶ manifest says clean
//! ```
//!
//! What a section is, and how it is read, cut and sealed, is its [`Driver`]'s. Here is what every log with sections needs
//! in the same way: nothing is changed before everything was read and found free of damage; a change of structure is
//! decided in the manifest before it begins, and is carried out again after a crash (P6); it is a job that lives here, not
//! in its caller (P7); a failure behind a durable intent lets nothing more be changed until the store is opened anew.

mod change;
mod close;
mod listing;
mod open;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::{BoxFuture, Shared};

use crate::claims::Claim;
use crate::error::Error;
use crate::manifest::{self, Condition, Manifest, State, Target};
use crate::name::StoreId;
use crate::sections::{Pruned, Table};
use crate::storage::Storage;
use crate::sync::{Mutex, lock};

pub use self::open::{Damage, OnDamage, Opening, Options};

/// Why a store of sections does not do what it is asked. The driver's error is made of it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The section was pruned.
    #[error(transparent)]
    Pruned(#[from] Pruned),
    /// The section does not exist.
    #[error("section {section} does not exist")]
    SectionOutOfRange {
        /// The section.
        section: u64,
    },
    /// The section has no such item.
    #[error("section {section} has {len} items, there is no item {position}")]
    ItemOutOfRange {
        /// The section.
        section: u64,
        /// The item asked for.
        position: u64,
        /// Items the section has.
        len: u64,
    },
    /// A change failed between its beginning and its end; opening the store anew settles it.
    #[error("a change of structure failed and is not finished; open the store anew")]
    Unfinished {
        /// The failure.
        cause: String,
    },
    /// A change was asked of a store that was opened read-only.
    #[error("the store is open read-only")]
    ReadOnly,
    /// The store was closed or destroyed.
    #[error("the store is closed")]
    Closed,
    /// The storage beneath.
    #[error(transparent)]
    Storage(#[from] Error),
}

/// How a section is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// It was left in order: anything that is not whole is damage.
    Clean,
    /// It may have been written to when everything stopped. With a target, everything behind it is doomed and is not
    /// judged.
    Unclean(Option<Target>),
}

/// What a store does with its sections.
#[async_trait]
pub trait Driver: Send + Sync + 'static {
    /// A section that is open.
    type Section: Send + Sync + 'static;
    /// What was found of a section; small, for all are held at once.
    type Found: Send + 'static;
    /// The store's error.
    type Error: From<Fault> + From<Error> + Clone + fmt::Display + Send + Sync + 'static;

    /// The sections that are there, ascending.
    async fn list(&self) -> Result<Vec<u64>, Self::Error>;

    /// Removes sections, in this order, durably.
    async fn remove(&self, sections: &[u64]) -> Result<(), Self::Error>;

    /// Looks at a section; changes nothing, but makes a new one when it is missing and `create` is set.
    async fn survey(&self, section: u64, look: Look, create: bool) -> Result<Self::Found, Self::Error>;

    /// Damage to data that was acknowledged.
    fn damage(&self, section: u64, found: &Self::Found) -> Option<Damage>;

    /// Whether nothing is there.
    fn is_gone(&self, found: &Self::Found) -> bool {
        let _ = found;
        false
    }

    /// Makes durable what was found, and cuts off the rest. What goes that is damage is moved to quarantine first.
    async fn carry_out(&self, section: u64, found: Self::Found) -> Result<(), Self::Error>;

    /// Opens a section as it was found, without a write.
    async fn attach(&self, section: u64, found: Self::Found) -> Result<Self::Section, Self::Error>;

    /// Whether nothing was ever appended to a section that was made by this store.
    fn is_untouched(&self, section: &Self::Section) -> bool {
        let _ = section;
        false
    }

    /// Whether a section, whose appends are held, is as [`Look::Clean`] expects it, and nothing about it is known or under
    /// way that opening it again would not find: it may be dropped.
    fn is_at_rest(&self, section: &Self::Section) -> bool {
        let _ = section;
        false
    }

    /// Items of a section.
    fn len(&self, section: &Self::Section) -> u64;

    /// Keeps appends out of a section until what is returned is dropped. A rewind holds its section from before the intent
    /// until that is cleared: what was appended and synced in between would be cut off again after a crash (I4).
    async fn hold(&self, section: &Arc<Self::Section>) -> Box<dyn Any + Send> {
        let _ = section;
        Box::new(())
    }

    /// Where a rewind to `items` goes: for the intent. What it keeps is durable when this returns.
    async fn target(&self, number: u64, section: &Self::Section, items: u64) -> Result<Target, Self::Error>;

    /// Why a section takes no change until it is opened anew, if it does not.
    fn poison(&self, section: &Self::Section) -> Option<Error>;

    /// Takes a section out of use: what has begun is over when this returns, and nothing of it is changed through it any
    /// more, whoever still holds it.
    async fn retire(&self, section: &Self::Section);

    /// Whether a section was [taken out of use](Self::retire).
    fn is_retired(&self, section: &Self::Section) -> bool {
        matches!(self.poison(section), Some(Error::Closed))
    }

    /// Cuts a section, durably.
    async fn cut(&self, section: &Self::Section, items: u64) -> Result<(), Self::Error>;

    /// Makes a section durable and leaves it as [`Look::Clean`] expects it.
    async fn seal(&self, section: &Self::Section) -> Result<(), Self::Error>;

    /// A change of structure has ended, whoever has driven it: those who wait for one may look again.
    fn changed(&self) {}

    /// The store is closed or destroyed, and nothing of it is changed any more: gives back what keeps others out, beside
    /// the claim of the partition.
    fn release(&self) {}
}

/// A store of sections. Cheap to clone; clones share everything.
pub struct Segmented<D: Driver>(Arc<Shell<D>>);

/// What the handles share. The job of a change lives here and holds the core, not the shell: with the last handle it ends.
struct Shell<D: Driver> {
    core: Arc<Core<D>>,
    job: Mutex<Option<Job<D::Error>>>,
}

type Job<E> = Shared<BoxFuture<'static, Result<(), E>>>;

struct Core<D: Driver> {
    driver: D,
    storage: Arc<dyn Storage>,
    partition: Arc<str>,
    store: StoreId,
    read_only: bool,
    on_damage: OnDamage,
    recovery_concurrency: usize,
    /// Other partitions of the store.
    beside: Vec<String>,
    /// What a section that is opened at first use is looked at as.
    look: Look,
    /// Where an unfinished rewind goes, for a store that is only read.
    target: Option<Target>,
    /// Sections whose sync has failed, and how: they are recovered when they are opened next.
    unclean: Mutex<BTreeMap<u64, Error>>,
    table: Table<D::Section>,
    pruned_to: AtomicU64,
    /// The beginnings and ends of rewinds and removals.
    rewinds: AtomicU64,
    /// None for a store that is open read-only.
    manifest: Option<Manifest>,
    found: State,
    /// Of the manifest, when it was found.
    generation: u64,
    /// Whether the manifest says dirty, durably.
    dirty: AtomicBool,
    /// Whether a change has nothing to wait for and nothing to be refused for: the fast path of every append.
    ready: AtomicBool,
    closed: AtomicBool,
    /// Sections whose making was begun and did not end well: each may have left an empty file, or will.
    making: Mutex<BTreeSet<u64>>,
    fault: OnceLock<Fault>,
    /// How its removal has ended.
    destroyed: OnceLock<Result<(), D::Error>>,
    /// How its close has ended, for whoever asks when he who began it is gone.
    closed_with: OnceLock<Result<(), D::Error>>,
    claim: Mutex<Option<Claim>>,
}

impl<D: Driver> Core<D> {
    fn guard(&self, section: u64) -> Result<(), Fault> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Fault::Closed);
        }
        let oldest = self.pruned_to.load(Ordering::Acquire);
        if section < oldest {
            return Err(Pruned { section, oldest }.into());
        }
        Ok(())
    }

    /// Whether a change may begin.
    fn check(&self) -> Result<(), Fault> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Fault::Closed);
        }
        match self.fault.get() {
            Some(fault) => Err(fault.clone()),
            None => Ok(()),
        }
    }

    fn manifest(&self) -> Result<&Manifest, Fault> {
        self.manifest.as_ref().ok_or(Fault::ReadOnly)
    }

    /// A section, opened at its first use.
    async fn section(&self, section: u64, create: bool) -> Result<Option<Arc<D::Section>>, D::Error> {
        if let Some(open) = self.table.get(section) {
            return Ok(Some(open));
        }
        let open = self.table.get_or_init(section, create, |added| self.open_section(section, added)).await;
        // It may have been pruned meanwhile; that is the better answer.
        self.guard(section)?;
        open
    }

    /// Recovers a section whose sync has failed, if it is one.
    async fn recover_unclean(&self, section: u64) -> Result<(), D::Error> {
        if !lock(&self.unclean).contains_key(&section) {
            return Ok(());
        }
        let found = self.driver.survey(section, Look::Unclean(None), false).await?;
        match self.driver.damage(section, &found) {
            Some(damage) if self.on_damage == OnDamage::Refuse => return Err(damage.error.into()),
            _ => self.driver.carry_out(section, found).await?,
        }
        lock(&self.unclean).remove(&section);
        Ok(())
    }

    /// Opens a section that exists, or makes one. One that exists is never made anew: that its file is gone is damage.
    async fn open_section(&self, section: u64, create: bool) -> Result<D::Section, D::Error> {
        if create {
            lock(&self.making).insert(section);
        }
        // Whoever was in line when the store was closed comes too late.
        self.guard(section)?;
        let look = match self.target {
            Some(target) if target.section == section => Look::Unclean(Some(target)),
            _ => self.look,
        };
        self.recover_unclean(section).await?;
        let found = self.driver.survey(section, look, create).await?;
        match (self.driver.damage(section, &found), self.on_damage) {
            (None, _) => {
                let open = self.driver.attach(section, found).await?;
                if create {
                    lock(&self.making).remove(&section);
                }
                Ok(open)
            }
            // All that is sound can be read.
            (Some(_), _) if self.read_only => self.driver.attach(section, found).await,
            (Some(damage), OnDamage::Refuse) => Err(damage.error.into()),
            (Some(_), OnDamage::Truncate) => {
                self.driver.carry_out(section, found).await?;
                let found = self.driver.survey(section, look, false).await?;
                if self.driver.is_gone(&found) {
                    self.table.forget(section);
                    return Err(Fault::SectionOutOfRange { section }.into());
                }
                match self.driver.damage(section, &found) {
                    None => self.driver.attach(section, found).await,
                    Some(damage) => Err(damage.error.into()),
                }
            }
        }
    }
}

impl<D: Driver> Segmented<D> {
    /// What the driver knows.
    pub fn driver(&self) -> &D {
        &self.core().driver
    }

    /// The store.
    pub fn store(&self) -> StoreId {
        self.core().store
    }

    /// Whether it may only be read.
    pub fn is_read_only(&self) -> bool {
        self.core().read_only
    }

    /// Whether a writer has changed the structure of the store, or begun to write, since it was opened for reading. What
    /// was read then may no longer be there.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// As [`manifest::look`].
    pub async fn is_stale(&self) -> Result<bool, Error> {
        let core = self.core();
        let generation = match manifest::look(&core.storage, &core.partition).await? {
            manifest::Finding::Found(found) => found.generation(),
            manifest::Finding::Damaged(_) | manifest::Finding::Missing => 0,
        };
        Ok(core.read_only && generation != core.generation)
    }

    /// The user's own bytes.
    pub fn state(&self) -> Bytes {
        let core = self.core();
        core.manifest.as_ref().map_or_else(|| core.found.user.clone(), |manifest| manifest.state().user)
    }

    /// Replaces the user's own bytes; durable when it returns.
    ///
    /// Cancel safety: a replacement that has begun runs to its end, at the latest with the next change of structure.
    ///
    /// # Errors
    /// [`Fault`]; [`Error::TooLarge`]: nothing was changed.
    pub async fn set_state(&self, user: Bytes) -> Result<(), D::Error> {
        self.enter().await?;
        self.change(move |core| async move { Ok(core.manifest()?.update(|state| state.user = user).await?) }).await
    }

    /// Whether the section may exist and be used.
    ///
    /// # Errors
    /// [`Fault::Pruned`], [`Fault::Closed`].
    pub fn guard(&self, section: u64) -> Result<(), Fault> {
        self.core().guard(section)
    }

    /// Why no change may be made until the store is opened anew: one has failed in the middle.
    pub fn fault(&self) -> Option<&Fault> {
        self.core().fault.get()
    }

    /// A section, opened at its first use. `None` when it does not exist.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// [`Fault`]; what the driver answers, damage as its [`Damage`].
    pub async fn section(&self, section: u64) -> Result<Option<Arc<D::Section>>, D::Error> {
        self.guard(section)?;
        while let Some(open) = self.table().get(section) {
            // A change has taken it, and whoever began that may be gone: it would stand in the way of all who come.
            if !self.driver().is_retired(&open) || !self.drive().await {
                return Ok(Some(open));
            }
            self.guard(section)?;
        }
        self.beside_change(self.core().section(section, false)).await
    }

    /// A section that exists.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// [`Fault::SectionOutOfRange`]; as [`section`](Self::section).
    pub async fn existing(&self, section: u64) -> Result<Arc<D::Section>, D::Error> {
        let found = self.section(section).await?;
        found.ok_or_else(|| Fault::SectionOutOfRange { section }.into())
    }

    /// A section to be changed, made when it does not exist. Waits for a change of structure, and makes `dirty` durable
    /// before the first change after a clean open.
    ///
    /// Cancel safety: safe; it may leave a new, empty section.
    ///
    /// # Errors
    /// As [`section`](Self::section); [`Fault::ReadOnly`], [`Fault::Unfinished`].
    pub async fn writable(&self, section: u64) -> Result<Arc<D::Section>, D::Error> {
        loop {
            self.enter().await?;
            self.guard(section)?;
            let open = self.beside_change(self.core().section(section, true)).await?;
            // A change that began while the section was being made may have removed it.
            if self.core().ready.load(Ordering::Acquire) {
                return open.ok_or_else(|| Fault::SectionOutOfRange { section }.into());
            }
        }
    }

    /// A section to be changed, if that needs no waiting and no opening.
    pub fn try_writable(&self, section: u64) -> Option<Arc<D::Section>> {
        self.is_ready(section).then(|| self.table().get(section)).flatten()
    }

    /// Changes a section, if that needs no waiting and no opening.
    #[inline]
    pub fn look_writable<R>(&self, section: u64, look: impl FnOnce(&D::Section) -> Option<R>) -> Option<R> {
        if self.is_ready(section) { self.table().look(section, look) } else { None }
    }

    #[inline]
    fn is_ready(&self, section: u64) -> bool {
        self.core().ready.load(Ordering::Acquire) && section >= self.pruned_to()
    }

    /// Waits until the store may be changed.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// [`Fault`]; a failure to make `dirty` durable.
    pub async fn enter(&self) -> Result<(), D::Error> {
        let core = self.core();
        loop {
            if core.ready.load(Ordering::Acquire) {
                return Ok(());
            }
            let manifest = core.manifest()?;
            core.check()?;
            let job = lock(&self.0.job).clone();
            match job {
                // How it ended is told by the state.
                Some(job) => drop(job.await),
                None => {
                    manifest.update(|state| state.condition = Condition::Dirty).await?;
                    core.dirty.store(true, Ordering::Release);
                    let job = lock(&self.0.job);
                    core.check()?;
                    core.ready.store(job.is_none(), Ordering::Release);
                }
            }
        }
    }

    fn core(&self) -> &Arc<Core<D>> {
        &self.0.core
    }
}

impl<D: Driver> Clone for Segmented<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<D: Driver> fmt::Debug for Segmented<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segmented")
            .field("partition", &self.core().partition)
            .field("sections", &self.table().len())
            .field("pruned_to", &self.pruned_to())
            .field("read_only", &self.is_read_only())
            .field("fault", &self.core().fault.get())
            .finish_non_exhaustive()
    }
}
