//! The few facts a store cannot do without, kept twice: what was pruned, whether it was closed in order, what change of
//! structure has been decided, and a little of the user's own.
//!
//! ```text
//!  update ──▶ slot 1: write, sync ──▶ slot 0: write, sync ──▶ return: now it may be acted upon
//!  open   ──▶ read both ──▶ the newest: written again, synced ──▶ the other: the same ──▶ now it is believed
//! ```
//!
//! One blob named [`NAME`] with two slots of [`SLOT_BYTES`], each in a block of its own. A change is in both, durably,
//! before anything acts on it, so one bad slot is always harmless: the other one says the same, or the change was never
//! acted upon. What is read at an open may be only in the operating system's cache (the process was killed before its
//! sync, or a sync failed and the cache kept the bytes as clean), so it is written again before it is believed.
//!
//! A change that fails leaves its outcome open: the manifest takes no other until it is opened anew, which settles on
//! one of the two.
//!
//! ```
//! use std::sync::Arc;
//! use blob_runtime::manifest::{self, Finding, Manifest, State};
//! use blob_runtime::{MemoryStorage, Storage, StoreId};
//!
//! # futures::executor::block_on(async {
//! let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
//! let made = Manifest::create(&storage, "blocks-values", StoreId(7), State::default()).await?;
//! made.update(|state| state.user = "vote".into()).await?;
//!
//! let Finding::Found(found) = manifest::find(&storage, "blocks-values").await? else { panic!() };
//! let manifest = found.settle().await?;
//! assert_eq!(manifest.state().user, "vote");
//! # Ok::<_, blob_runtime::Error>(()) }).unwrap();
//! ```

mod slot;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};

use self::slot::{Slot, claimed_store};
use crate::error::Error;
use crate::header::{Format, Header, HeaderState, Kind, Probe, Want};
use crate::name::StoreId;
use crate::storage::{Blob, Storage};
use crate::sync::{Mutex, lock};

pub use self::slot::{Condition, Intent, MAX_USER_BYTES, SLOT_BYTES, SlotFault, State, Target};

/// The name of a manifest's blob.
pub const NAME: &[u8] = b"meta";

const SLOTS: u64 = 2;

/// How often [`look`] looks at a manifest that does not verify.
const LOOKS: usize = 8;

/// What [`find`] found. Nothing was changed.
#[derive(Debug)]
pub enum Finding {
    /// There is no manifest. With no file of a section there either, the store is new.
    Missing,
    /// There is one, and neither slot verifies. With no file of a section there, its creation was cut short; beside one
    /// it is damage.
    Damaged(Damaged),
    /// There is one that verifies.
    Found(Found),
}

/// A manifest without a slot that verifies.
#[derive(Debug)]
pub struct Damaged {
    storage: Arc<dyn Storage>,
    blob: Arc<dyn Blob>,
    faults: [SlotFault; 2],
}

/// A manifest that verifies and is not to be acted upon yet: it may be only in the operating system's cache.
#[derive(Debug)]
pub struct Found {
    blob: Arc<dyn Blob>,
    newest: Slot,
    /// The slot that holds it.
    number: u64,
    faults: [Option<SlotFault>; 2],
}

/// A manifest that is durable as it reads. Cheap to clone.
#[derive(Clone)]
pub struct Manifest {
    blob: Arc<dyn Blob>,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    current: Slot,
    job: Option<Shared<BoxFuture<'static, Result<(), Error>>>>,
    poisoned: Option<Error>,
}

/// Looks for the manifest of a store, journal or glob. Changes nothing.
///
/// Cancel safety: safe.
///
/// # Errors
/// [`Error::FormatMismatch`] when it is of another kind or a later version; [`Error::Corrupt`] when both slots verify
/// and contradict each other; whatever [`Storage::open`] and reading answer.
pub async fn find(storage: &Arc<dyn Storage>, partition: &str) -> Result<Finding, Error> {
    find_by(storage, partition, format(Want::Default(StoreId(0))).existing()).await
}

/// [`find`] for whoever only reads: also of a storage that may be written, nothing is changed, not the remnant of a
/// creation cut short either. A writer may be at work beside: what does not verify is looked at again.
///
/// Cancel safety: safe.
///
/// # Errors
/// As [`find`].
pub async fn look(storage: &Arc<dyn Storage>, partition: &str) -> Result<Finding, Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        match find_by(storage, partition, format(Want::Default(StoreId(0))).look_only()).await? {
            // One slot is written at a time; but the second may be by the time it is read.
            Finding::Damaged(_) if tries < LOOKS => {}
            finding => return Ok(finding),
        }
    }
}

async fn find_by(storage: &Arc<dyn Storage>, partition: &str, format: Format) -> Result<Finding, Error> {
    let blob = match storage.open(partition, NAME, &format).await {
        Ok(blob) => blob,
        Err(Error::NotFound { .. }) => return Ok(Finding::Missing),
        Err(error) => return Err(error),
    };
    let read = read_slots(blob.as_ref()).await?;
    for result in &read {
        if let Err(SlotFault::Unknown { field, value }) = result {
            return Err(Error::FormatMismatch {
                blob: blob.id().clone(),
                field,
                expected: "a value of format version 1".into(),
                found: value.to_string(),
            });
        }
    }
    let faults = read.each_ref().map(|result| result.as_ref().err().copied());
    let (number, newest) = match read {
        [Ok(zero), Ok(one)] => newer(blob.as_ref(), zero, one)?,
        [Ok(zero), Err(_)] => (0, zero),
        [Err(_), Ok(one)] => (1, one),
        [Err(zero), Err(one)] => {
            return Ok(Finding::Damaged(Damaged { storage: Arc::clone(storage), blob, faults: [zero, one] }));
        }
    };
    // A bad header is made of what the slots prove.
    let blob = if blob.header_state() == HeaderState::Sound {
        blob
    } else {
        let format = Format { store: Want::Exactly(newest.store), ..format };
        storage.open(partition, NAME, &format).await?
    };
    Ok(Finding::Found(Found { blob, newest, number, faults }))
}

fn format(store: Want<StoreId>) -> Format {
    let probe: Probe =
        Arc::new(|blob| async move { Ok(read_slots(blob.as_ref()).await?.iter().any(Result::is_ok)) }.boxed());
    Format::new(Kind::MANIFEST, store).probe(probe)
}

async fn read_slots(blob: &dyn Blob) -> Result<[Result<Slot, SlotFault>; 2], Error> {
    let mut slots = [Err(SlotFault::Missing), Err(SlotFault::Missing)];
    for (number, slot) in (0..SLOTS).zip(&mut slots) {
        let offset = slot_offset(number);
        if blob.len() < offset + SLOT_BYTES as u64 {
            continue;
        }
        let bytes = blob.read_at(offset, SLOT_BYTES).await?;
        // Without a header the slot itself says which store it is of; its checksum then has to prove it.
        let store = match blob.header_state() {
            HeaderState::Sound => blob.header().store,
            _ => claimed_store(&bytes).unwrap_or(blob.header().store),
        };
        let binding = Header { store, ..*blob.header() }.binding(NAME);
        *slot = Slot::decode(&bytes, binding, number);
    }
    Ok(slots)
}

/// The newer one of two slots, with its number.
fn newer(blob: &dyn Blob, zero: Slot, one: Slot) -> Result<(u64, Slot), Error> {
    let contradict = zero.store != one.store || (zero.generation == one.generation && zero != one);
    if contradict {
        return Err(Error::Corrupt {
            blob: blob.id().clone(),
            offset: slot_offset(1),
            expected: format!("what slot 0 says (store {}, generation {})", zero.store, zero.generation),
            found: format!("something else (store {}, generation {})", one.store, one.generation),
        });
    }
    Ok(if one.generation > zero.generation { (1, one) } else { (0, zero) })
}

fn slot_offset(number: u64) -> u64 {
    number * SLOT_BYTES as u64
}

async fn write_slot(blob: &dyn Blob, slot: &Slot, number: u64) -> Result<(), Error> {
    let bytes = slot.encode(blob.header().binding(NAME), number);
    blob.write_at_sync(slot_offset(number), vec![bytes]).await
}

impl Damaged {
    /// What is wrong with each slot.
    pub fn faults(&self) -> [SlotFault; 2] {
        self.faults
    }

    /// The damage as an error, for whoever does not go on.
    pub fn error(&self) -> Error {
        let [zero, one] = self.faults;
        Error::Corrupt {
            blob: self.blob.id().clone(),
            offset: 0,
            expected: "one slot whose checksum matches".into(),
            found: format!("slot 0: {zero:?}, slot 1: {one:?}"),
        }
    }

    /// Writes a manifest over it. Only where nothing is lost by it: no file of a section exists, or the caller has
    /// gathered what there is to know.
    ///
    /// Cancel safety: dropped, it leaves the damage or the whole new manifest, not necessarily durable.
    ///
    /// # Errors
    /// As [`Manifest::create`].
    pub async fn replace(self, store: StoreId, state: State) -> Result<Manifest, Error> {
        let partition = Arc::clone(self.blob.id().partition());
        let Self { storage, blob, .. } = self;
        let kept = blob.header_state() == HeaderState::Sound && blob.header().store == store;
        drop(blob);
        if !kept {
            storage.remove(&partition, &[NAME.to_vec()]).await?;
        }
        Manifest::create(&storage, &partition, store, state).await
    }
}

impl Found {
    /// What it says. Not to be acted upon before [`settle`](Self::settle), but for reading beside a writer.
    pub fn state(&self) -> &State {
        &self.newest.state
    }

    /// The store it belongs to.
    pub fn store(&self) -> StoreId {
        self.newest.store
    }

    /// Counts the changes.
    pub fn generation(&self) -> u64 {
        self.newest.generation
    }

    /// What is wrong with each slot, if anything is; to be reported.
    pub fn faults(&self) -> [Option<SlotFault>; 2] {
        self.faults
    }

    /// The blob.
    pub fn blob(&self) -> &Arc<dyn Blob> {
        &self.blob
    }

    /// What was found where the header should be.
    pub fn header_state(&self) -> HeaderState {
        self.blob.header_state()
    }

    /// Makes durable what it says: the newest slot is written again in place with the same bytes, and synced; then the
    /// other one is brought level, and synced. In this order: the older one first would destroy the proof of the newer
    /// state while that is not yet on the disk (defect 46).
    ///
    /// Cancel safety: dropped, it may be called again after [`find`].
    ///
    /// # Errors
    /// Whatever writing and syncing answer. The store must not be opened then.
    pub async fn settle(self) -> Result<Manifest, Error> {
        let Self { blob, newest, number, .. } = self;
        blob.write_header().await?;
        write_slot(blob.as_ref(), &newest, number).await?;
        write_slot(blob.as_ref(), &newest, SLOTS - 1 - number).await?;
        Ok(Manifest::new(blob, newest))
    }
}

impl Manifest {
    fn new(blob: Arc<dyn Blob>, current: Slot) -> Self {
        Self { blob, inner: Arc::new(Mutex::new(Inner { current, job: None, poisoned: None })) }
    }

    /// Makes the manifest of a new store. It is durable, with its name, when this returns.
    ///
    /// Cancel safety: dropped, it may leave a manifest without a slot that verifies, or the whole one.
    ///
    /// # Errors
    /// [`Error::TooLarge`]; [`Error::FormatMismatch`] when there is one of another store; whatever opening, writing and
    /// syncing answer.
    pub async fn create(
        storage: &Arc<dyn Storage>,
        partition: &str,
        store: StoreId,
        state: State,
    ) -> Result<Self, Error> {
        check_user(&state)?;
        let blob = storage.open(partition, NAME, &format(Want::Exactly(store))).await?;
        let slot = Slot { store, generation: 1, state };
        let binding = blob.header().binding(NAME);
        let slots: Vec<Bytes> = (0..SLOTS).map(|number| slot.encode(binding, number)).collect();
        blob.write_at_sync(0, slots).await?;
        Ok(Self::new(blob, slot))
    }

    /// What it says, durably. A change that is under way does not show before its end.
    pub fn state(&self) -> State {
        lock(&self.inner).current.state.clone()
    }

    /// The store it belongs to.
    pub fn store(&self) -> StoreId {
        lock(&self.inner).current.store
    }

    /// Counts the changes.
    pub fn generation(&self) -> u64 {
        lock(&self.inner).current.generation
    }

    /// Changes what it says; durable, in both slots, when it returns. A change to what it says already costs nothing.
    /// Changes are made one after the other.
    ///
    /// Cancel safety: a change that has begun runs to its end, at the latest in the next call of this or of
    /// [`quiesce`](Self::quiesce); whoever drops this future calls one of them before anything else of the store is
    /// changed, for until then a crash may bring the change about.
    ///
    /// # Errors
    /// [`Error::TooLarge`]: nothing was changed. [`Error::Poisoned`]: this or an earlier change failed; whether it holds
    /// is settled by the next open.
    pub async fn update(&self, change: impl FnOnce(&mut State)) -> Result<(), Error> {
        let job = loop {
            let running = {
                let mut inner = lock(&self.inner);
                if let Some(error) = &inner.poisoned {
                    return Err(error.clone());
                }
                match &inner.job {
                    Some(job) => job.clone(),
                    None => {
                        let mut next = inner.current.clone();
                        change(&mut next.state);
                        check_user(&next.state)?;
                        if next == inner.current {
                            return Ok(());
                        }
                        next.generation += 1;
                        break self.start(&mut inner, next);
                    }
                }
            };
            // How it ended is told by the state.
            let _ = running.await;
        };
        job.await
    }

    /// Waits until no change is under way.
    ///
    /// Cancel safety: safe.
    pub async fn quiesce(&self) {
        let job = lock(&self.inner).job.clone();
        if let Some(job) = job {
            let _ = job.await;
        }
    }

    /// Takes it out of use: it takes no change from now on, and what has begun is over when this returns.
    ///
    /// Cancel safety: it takes no change from the first poll on.
    pub async fn retire(&self) {
        lock(&self.inner).poisoned.get_or_insert(Error::Closed);
        self.quiesce().await;
    }

    /// Why it takes no change, if it does not.
    pub fn poison_cause(&self) -> Option<Error> {
        lock(&self.inner).poisoned.clone()
    }

    fn start(&self, inner: &mut Inner, next: Slot) -> Shared<BoxFuture<'static, Result<(), Error>>> {
        let (blob, shared) = (Arc::clone(&self.blob), Arc::downgrade(&self.inner));
        let work = async move {
            let first = next.generation % SLOTS;
            let result = async {
                write_slot(blob.as_ref(), &next, first).await?;
                write_slot(blob.as_ref(), &next, SLOTS - 1 - first).await
            }
            .await;
            let result = result.map_err(|error| Error::poisoned(blob.id(), &error));
            if let Some(shared) = shared.upgrade() {
                let mut inner = lock(&shared);
                inner.job = None;
                match &result {
                    Ok(()) => inner.current = next,
                    Err(error) => drop(inner.poisoned.get_or_insert_with(|| error.clone())),
                }
            }
            result
        };
        let job = work.boxed().shared();
        inner.job = Some(job.clone());
        job
    }
}

fn check_user(state: &State) -> Result<(), Error> {
    if state.user.len() > MAX_USER_BYTES {
        let (value, max) = (state.user.len() as u64, MAX_USER_BYTES as u64);
        return Err(Error::TooLarge { what: "user state in bytes", value, max });
    }
    Ok(())
}

impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = lock(&self.inner);
        f.debug_struct("Manifest")
            .field("blob", self.blob.id())
            .field("current", &inner.current)
            .field("poisoned", &inner.poisoned)
            .finish_non_exhaustive()
    }
}
