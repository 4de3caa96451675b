//! The simulated disk under the [`Storage`] trait.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use async_trait::async_trait;
use futures::future::maybe_done;

use super::blob::{Handle, SimBlob};
use super::faults::{Bug, Verdict};
use super::life::Life;
use super::world::{Opened, Place, World};
use crate::claims::Claim;
use crate::error::{Error, Operation, Target};
use crate::header::{Format, HEADER_BYTES, Header, HeaderState};
use crate::name::{BlobId, Salt, check_name, check_partition};
use crate::queue::{Queue, Ticket};
use crate::storage::{Blob, Storage};
use crate::sync::lock;
use crate::twins::keep_one;

/// Storage of one life of the simulated machine; [`Sim::storage`](super::Sim::storage) makes it. After a crash it, and
/// every blob opened through it, answers [`Error::Closed`], and such a blob's length reads as 0.
#[derive(Clone)]
pub struct SimStorage {
    pub(super) life: Life,
    pub(super) read_only: bool,
}

impl SimStorage {
    /// A view of the same disk that changes nothing: it takes no claim, and every change is [`Error::ReadOnly`].
    #[must_use]
    pub fn read_only(&self) -> Arc<Self> {
        Arc::new(Self { life: self.life.clone(), read_only: true })
    }

    fn refuse_read_only(&self, operation: Operation, partition: &str) -> Result<(), Error> {
        if self.read_only {
            return Err(Error::ReadOnly { operation, target: Target::Partition(partition.into()) });
        }
        Ok(())
    }

    /// Whether the blob is one of this storage, of this life.
    fn own(&self, blob: &Arc<dyn Blob>) -> Option<Arc<Handle>> {
        let blob: &dyn Any = blob.as_ref();
        let handle = &blob.downcast_ref::<SimBlob>()?.handle;
        let own = Arc::ptr_eq(&handle.life.core, &self.life.core) && handle.life.number == self.life.number;
        (own && !handle.read_only).then(|| Arc::clone(handle))
    }

    fn queue(&self, partition: &Arc<str>) -> Queue {
        lock(&self.life.core.world).partition(partition).queue.clone()
    }
}

#[async_trait]
impl Storage for SimStorage {
    async fn claim(&self, partition: &str) -> Result<Claim, Error> {
        check_partition(partition)?;
        self.refuse_read_only(Operation::Lock, partition)?;
        let partition: Arc<str> = partition.into();
        let (life, of) = (self.life.clone(), Arc::clone(&partition));
        let lock_it = async move {
            let place = Place::Partition(&of);
            let act = |world: &mut World, verdict| match verdict {
                Verdict::Refuse(refusal, _) => Err(place.refused(Operation::Lock, refusal)),
                _ => Ok(world.has(Bug::IgnoreClaim)),
            };
            life.part(Operation::Lock, place, act).await
        };
        if self.life.operate(Operation::Lock, lock_it).await? {
            return Ok(Claim::new(&partition, ()));
        }
        let claim = self.life.claims.claim(&partition).await?;
        if self.life.is_over() { self.life.over().await } else { Ok(claim) }
    }

    async fn open(&self, partition: &str, name: &[u8], format: &Format) -> Result<Arc<dyn Blob>, Error> {
        let id = BlobId::new(&"".into(), partition, name)?;
        let opening = Opening { storage: self.clone(), id, format: format.clone() };
        let opened = self.life.operate(Operation::Open, opening.run()).await?;
        Ok(Arc::new(opened))
    }

    async fn remove(&self, partition: &str, names: &[Vec<u8>]) -> Result<(), Error> {
        check_partition(partition)?;
        names.iter().try_for_each(|name| check_name(name))?;
        self.refuse_read_only(Operation::Remove, partition)?;
        let removal = remove(self.life.clone(), self.queue(&partition.into()), partition.into(), names.to_vec());
        self.life.operate(Operation::Remove, removal).await
    }

    async fn remove_partition(&self, partition: &str) -> Result<(), Error> {
        check_partition(partition)?;
        self.refuse_read_only(Operation::Remove, partition)?;
        let removal = remove_partition(self.life.clone(), self.queue(&partition.into()), partition.into());
        self.life.operate(Operation::Remove, removal).await
    }

    async fn scan(&self, partition: &str) -> Result<Vec<Vec<u8>>, Error> {
        check_partition(partition)?;
        let (life, partition) = (self.life.clone(), Arc::<str>::from(partition));
        let list = async move {
            let place = Place::Partition(&partition);
            let act = |world: &mut World, verdict| match verdict {
                Verdict::Refuse(refusal, _) => Err(place.refused(Operation::List, refusal)),
                _ => Ok(names_in(world, &partition)),
            };
            life.part(Operation::List, place, act).await
        };
        self.life.operate(Operation::List, list).await
    }

    async fn sync_many(&self, blobs: &[Arc<dyn Blob>]) -> Vec<Result<(), Error>> {
        let own: Vec<_> = blobs.iter().map(|blob| self.own(blob)).collect();
        let handles: Vec<_> = own.iter().flatten().cloned().collect();
        let mut results = Vec::new();
        if !handles.is_empty() {
            let many = sync_many(self.life.clone(), handles.clone());
            results = match self.life.operate(Operation::Sync, many).await {
                Ok(results) => results,
                Err(error) => vec![Err(error); handles.len()],
            };
        }
        let mut of_own = results.into_iter();
        let mut answers = Vec::with_capacity(blobs.len());
        for (blob, own) in blobs.iter().zip(own) {
            answers.push(match own.and_then(|_| of_own.next()) {
                Some(result) => result,
                None => blob.sync().await,
            });
        }
        answers
    }

    fn random(&self) -> Result<u64, Error> {
        if self.life.is_over() && !self.life.core.executor.is_doomed() {
            return Err(Error::Closed);
        }
        Ok(lock(&self.life.core.world).rng.u64(..))
    }
}

fn names_in(world: &World, partition: &str) -> Vec<Vec<u8>> {
    let Some(directory) = world.disk.directory(partition) else { return Vec::new() };
    let mut names: Vec<_> = world.disk.directories[directory].visible.keys().map(|(name, _)| name.to_vec()).collect();
    names.dedup();
    names
}

/// One call of [`Storage::open`].
struct Opening {
    storage: SimStorage,
    id: BlobId,
    format: Format,
}

impl Opening {
    async fn run(self) -> Result<SimBlob, Error> {
        let Self { storage: SimStorage { life, read_only }, id, format } = &self;
        // A reader is as another process: it neither waits for creations and removals nor holds up a claim.
        let _held = if *read_only {
            None
        } else {
            let activity = life.claims.begin(id.partition());
            Some((activity, self.storage.queue(id.partition()).enter().await))
        };
        let place = Place::Blob(id, 0, 0);
        let look = |world: &mut World, verdict: Verdict| match verdict {
            Verdict::Refuse(refusal, _) => Err(place.refused(Operation::Open, refusal)),
            _ => {
                let directory = world.disk.directory(id.partition());
                Ok(directory.map(|directory| world.disk.files_of(directory, id.name())))
            }
        };
        let found = life.part(Operation::Open, place, look).await?;
        match found.as_deref() {
            None | Some([]) if !format.create => Err(Error::NotFound { blob: id.clone() }),
            None | Some([]) if *read_only => {
                Err(Error::ReadOnly { operation: Operation::Create, target: Target::Blob(id.clone()) })
            }
            None => self.create(true).await,
            Some([]) => self.create(false).await,
            Some([(salt, inode)]) => {
                let (header, state) = self.read_header(*salt, *inode).await?;
                Ok(self.handle(*inode, header, state))
            }
            Some(several) => self.open_one_of(several).await,
        }
    }

    /// Creates the file, and before it, when it is missing, the partition.
    async fn create(&self, new_partition: bool) -> Result<SimBlob, Error> {
        let Self { storage: SimStorage { life, .. }, id, format } = self;
        let partition = id.partition();
        let (poison, removal_behind) = {
            let world = &mut *lock(&life.core.world);
            let known = world.partition(partition);
            (known.poison.clone(), known.synced < known.removed)
        };
        if let Some(poison) = poison {
            return Err(Error::poisoned(Target::Partition(Arc::clone(partition)), &poison));
        }
        if new_partition {
            let place = Place::Partition(partition);
            let make = |world: &mut World, verdict| match verdict {
                Verdict::Refuse(refusal, _) => Err(place.refused(Operation::CreateDirectory, refusal)),
                _ => {
                    world.make_partition(partition);
                    Ok(())
                }
            };
            life.part(Operation::CreateDirectory, place, make).await?;
        } else if removal_behind {
            // A process that was killed may have removed the name and not synced the directory; a power cut would
            // bring the old file back beside the new one.
            life.sync_directory(partition).await?;
        }
        let place = Place::Blob(id, 0, 0);
        let make = |world: &mut World, verdict| {
            let directory = world.disk.directory(partition);
            match (verdict, directory) {
                (Verdict::Refuse(refusal, _), _) => Err(place.refused(Operation::Create, refusal)),
                (_, None) => Err(Error::NotFound { blob: id.clone() }),
                (_, Some(directory)) => {
                    let drawn = Salt(world.rng.u32(..));
                    let salt = format.salt.unwrap_or(drawn);
                    let inode = world.disk.create(directory, (id.name().into(), salt));
                    let known = world.partition(partition);
                    known.changed += 1;
                    Ok((inode, format.header(salt)))
                }
            }
        };
        let (inode, header) = life.part(Operation::Create, place, make).await?;
        Ok(self.handle(inode, header, HeaderState::New))
    }

    /// Reads the start of a file and compares it with what is expected.
    async fn read_header(&self, salt: Salt, inode: usize) -> Result<(Header, HeaderState), Error> {
        let place = Place::Blob(&self.id, 0, HEADER_BYTES);
        let read = |world: &mut World, verdict| {
            if let Verdict::Refuse(refusal, _) = verdict {
                return Err(place.refused(Operation::Read, refusal));
            }
            let inode = &world.disk.inodes[inode];
            let start = inode.visible.get(..HEADER_BYTES).unwrap_or(&inode.visible);
            let (header, state) = self.format.read_header(&self.id, salt, start, inode.visible.len() as u64)?;
            match inode.opened.as_deref().and_then(|opened| opened.agreed).filter(|_| state == HeaderState::New) {
                Some(agreed) => {
                    let bytes = agreed.encode();
                    let (agreed, _) = self.format.read_header(&self.id, salt, &bytes, bytes.len() as u64)?;
                    Ok((agreed, state))
                }
                None => Ok((header, state)),
            }
        };
        self.storage.life.part(Operation::Read, place, read).await
    }

    /// Opens the one of several files that holds anything, and removes the others, durably, before it is used.
    async fn open_one_of(&self, files: &[(Salt, usize)]) -> Result<SimBlob, Error> {
        let Self { storage: SimStorage { life, read_only }, id, format } = self;
        let mut blobs: Vec<Arc<dyn Blob>> = Vec::with_capacity(files.len());
        let mut headers = Vec::with_capacity(files.len());
        for (salt, inode) in files {
            let (header, state) = self.read_header(*salt, *inode).await?;
            headers.push((header, state));
            blobs.push(Arc::new(self.reader(*inode, header, state)));
        }
        let describe = |at: usize| format!("file {} of {} with {} bytes", at + 1, files.len(), blobs[at].len());
        let kept = keep_one(id, &blobs, format.probe.as_ref(), describe).await?;
        if !*read_only && !format.look_only {
            for (at, (salt, _)) in files.iter().enumerate() {
                if at != kept {
                    unlink(life, id, *salt).await?;
                }
            }
            life.sync_removals(id.partition()).await?;
        }
        let (header, state) = headers[kept];
        Ok(self.handle(files[kept].1, header, state))
    }

    /// A handle that only reads, and does not open the blob for others.
    fn reader(&self, inode: usize, header: Header, state: HeaderState) -> SimBlob {
        let (life, queue) = (self.storage.life.clone(), Queue::new());
        let handle = Handle { life, id: self.id.clone(), inode, generation: 0, queue, header, read_only: true };
        SimBlob { handle: Arc::new(handle), state }
    }

    fn handle(&self, inode: usize, header: Header, state: HeaderState) -> SimBlob {
        if self.storage.read_only {
            return self.reader(inode, header, state);
        }
        let world = &mut *lock(&self.storage.life.core.world);
        // The last change of the directory so far: it brought the name, or came later.
        let entry = world.partition(self.id.partition()).changed;
        let opened = world.disk.inodes[inode].opened.get_or_insert_with(|| {
            Box::new(Opened {
                agreed: None,
                header_due: state != HeaderState::Sound,
                queue: Queue::new(),
                generation: 0,
                poison: None,
                removed: false,
                entry,
                changes: 0,
            })
        });
        // Opened anew after a failure: from here on with what the file shows. Older handles stay poisoned.
        if opened.poison.as_ref().is_some_and(|(generation, _)| *generation == opened.generation) {
            opened.generation += 1;
            opened.header_due = state != HeaderState::Sound;
        }
        if self.format.create && state == HeaderState::New {
            opened.agreed.get_or_insert(header);
        }
        let (generation, queue) = (opened.generation, opened.queue.clone());
        let life = self.storage.life.clone();
        let handle = Handle { life, id: self.id.clone(), inode, generation, queue, header, read_only: false };
        SimBlob { handle: Arc::new(handle), state }
    }
}

/// Takes one file's name away. Its handles answer [`Error::Removed`] from now on.
async fn unlink(life: &Life, id: &BlobId, salt: Salt) -> Result<(), Error> {
    let place = Place::Blob(id, 0, 0);
    let act = |world: &mut World, verdict| {
        if let Verdict::Refuse(refusal, _) = verdict {
            return Err(place.refused(Operation::Remove, refusal));
        }
        let Some(directory) = world.disk.directory(id.partition()) else { return Ok(()) };
        if let Some(inode) = world.disk.unlink(directory, &(id.name().into(), salt)) {
            if let Some(opened) = &mut world.disk.inodes[inode].opened {
                opened.removed = true;
            }
            let known = world.partition(id.partition());
            known.changed += 1;
            known.removed = known.changed;
        }
        Ok(())
    };
    life.part(Operation::Remove, place, act).await
}

fn refuse_poisoned(life: &Life, partition: &Arc<str>) -> Result<(), Error> {
    match &lock(&life.core.world).partition(partition).poison {
        Some(poison) => Err(Error::poisoned(Target::Partition(Arc::clone(partition)), poison)),
        None => Ok(()),
    }
}

/// [`Storage::remove`]: every file of each name, then one sync of the directory. A name that is not there may have
/// been removed by a process that was killed before its sync, so that sync is made as long as it is not known.
async fn remove(life: Life, queue: Queue, partition: Arc<str>, names: Vec<Vec<u8>>) -> Result<(), Error> {
    let _activity = life.claims.begin(&partition);
    let _ticket = queue.enter().await;
    refuse_poisoned(&life, &partition)?;
    for name in &names {
        unlink_all_of(&life, &partition, name).await?;
    }
    if lock(&life.core.world).has(Bug::ForgetRemovalSync) {
        return Ok(());
    }
    life.sync_removals(&partition).await
}

async fn unlink_all_of(life: &Life, partition: &Arc<str>, name: &[u8]) -> Result<(), Error> {
    let files = {
        let world = lock(&life.core.world);
        world.disk.directory(partition).map(|directory| world.disk.files_of(directory, name)).unwrap_or_default()
    };
    let id = BlobId::new(&"".into(), partition, name)?;
    for (salt, _) in files {
        unlink(life, &id, salt).await?;
    }
    Ok(())
}

/// [`Storage::remove_partition`]: all names and their sync, then the directory and the root's sync.
async fn remove_partition(life: Life, queue: Queue, partition: Arc<str>) -> Result<(), Error> {
    let _activity = life.claims.begin(&partition);
    let _ticket = queue.enter().await;
    refuse_poisoned(&life, &partition)?;
    let names = names_in(&lock(&life.core.world), &partition);
    for name in &names {
        unlink_all_of(&life, &partition, name).await?;
    }
    let (there, forget) = {
        let world = lock(&life.core.world);
        (world.disk.directory(&partition).is_some(), world.has(Bug::ForgetRemovalSync))
    };
    if there {
        if !forget {
            life.sync_removals(&partition).await?;
        }
        let place = Place::Partition(&partition);
        let act = |world: &mut World, verdict| match verdict {
            Verdict::Refuse(refusal, _) => Err(place.refused(Operation::Remove, refusal)),
            _ => {
                world.remove_partition(&partition);
                Ok(())
            }
        };
        life.part(Operation::Remove, place, act).await?;
    }
    if forget { Ok(()) } else { life.sync_removals(&partition).await }
}

/// [`Storage::sync_many`] for blobs of this storage: the content of each, then each directory once, then the root.
async fn sync_many(life: Life, handles: Vec<Arc<Handle>>) -> Result<Vec<Result<(), Error>>, Error> {
    let _activities: Vec<_> = handles.iter().map(|handle| life.claims.begin(handle.id.partition())).collect();
    // Handles of one blob share one place in its queue.
    let mut seen = BTreeMap::new();
    let firsts: Vec<usize> =
        handles.iter().enumerate().map(|(at, handle)| *seen.entry(handle.inode).or_insert(at)).collect();
    let _tickets = enter_all(seen.values().map(|at| &handles[*at].queue)).await;

    let mut entries: Vec<Result<u64, Error>> = Vec::with_capacity(handles.len());
    for (at, handle) in handles.iter().enumerate() {
        let first = firsts[at];
        // Another handle of a blob that is done: its content is; whether this handle may is for `usable` to say.
        let done = if first == at { None } else { entries[first].as_ref().ok().copied() };
        entries.push(match done {
            Some(entry) => handle.usable(&mut lock(&life.core.world)).map(|()| entry),
            None => handle.sync_content().await,
        });
    }
    let mut results = Vec::with_capacity(handles.len());
    for (handle, entry) in handles.iter().zip(entries) {
        results.push(match entry {
            Ok(entry) => life.sync_names(handle.id.partition(), entry).await.map_err(|error| handle.poison(error)),
            Err(error) => Err(error),
        });
    }
    Ok(results)
}

/// Takes a place in every queue at the first poll, then waits for all the tickets. As no other call can come in
/// between, two callers never wait for each other.
async fn enter_all<'a>(queues: impl Iterator<Item = &'a Queue>) -> Vec<Ticket> {
    let mut places: Vec<_> = queues.map(|queue| maybe_done(queue.enter())).collect();
    poll_fn(|cx| {
        let waiting = places.iter_mut().filter_map(|place| Pin::new(place).poll(cx).is_pending().then_some(())).count();
        if waiting == 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    places.iter_mut().filter_map(|place| Pin::new(place).take_output()).collect()
}

impl fmt::Debug for SimStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimStorage")
            .field("life", &self.life.number)
            .field("read_only", &self.read_only)
            .finish_non_exhaustive()
    }
}
