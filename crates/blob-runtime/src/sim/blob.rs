//! A blob on the simulated disk.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;

use super::faults::{Bug, Verdict};
use super::inode::{Change, Data, read};
use super::life::Life;
use super::world::{Opened, Place, World, check_file_len};
use crate::error::{Error, Operation, Target};
use crate::header::{HEADER_BYTES, Header, HeaderState};
use crate::name::BlobId;
use crate::queue::Queue;
use crate::storage::{Blob, check_len, check_read, end_of};
use crate::sync::lock;
use crate::yielding::yield_now;

/// What a handle and its jobs share.
#[derive(Debug, Clone)]
pub(super) struct Handle {
    pub(super) life: Life,
    pub(super) id: BlobId,
    pub(super) inode: usize,
    /// See [`Opened::generation`].
    pub(super) generation: u64,
    pub(super) queue: Queue,
    /// What the header is, or will be when this handle makes the first change.
    pub(super) header: Header,
    pub(super) read_only: bool,
}

pub(super) struct SimBlob {
    pub(super) handle: Arc<Handle>,
    pub(super) state: HeaderState,
}

/// How many turns a write planted by [`Bug::LateWriteAfterDrop`] waits for another change to overtake it.
const LATE_TURNS: usize = 1000;

impl Handle {
    fn place(&self) -> Place<'_> {
        Place::Blob(&self.id, 0, 0)
    }

    fn opened<'a>(&self, world: &'a mut World) -> Result<&'a mut Opened, Error> {
        // A handle keeps its inode open until the life ends, so this is only `None` when that has happened.
        world.disk.inodes[self.inode].opened.as_deref_mut().ok_or(Error::Closed)
    }

    /// Whether the blob takes changes from this handle.
    pub(super) fn usable(&self, world: &mut World) -> Result<(), Error> {
        let opened = self.opened(world)?;
        if opened.removed {
            return Err(Error::Removed { blob: self.id.clone() });
        }
        match &opened.poison {
            Some((generation, cause)) if self.generation <= *generation => Err(Error::poisoned(&self.id, cause)),
            _ => Ok(()),
        }
    }

    fn refuse_read_only(&self, operation: Operation) -> Result<(), Error> {
        if self.read_only {
            return Err(Error::ReadOnly { operation, target: Target::Blob(self.id.clone()) });
        }
        Ok(())
    }

    /// The whole of a change, in the order that makes it durable: the header if it is due, the change itself, then, if
    /// it is asked for, bytes and length, the name in its partition, the partition in the root.
    async fn change(self: Arc<Self>, what: What) -> Result<(), Error> {
        let _activity = self.life.claims.begin(self.id.partition());
        let unordered = lock(&self.life.core.world).has(Bug::UnorderedChanges);
        let ticket = if unordered { None } else { Some(self.queue.enter().await) };
        let (due, forget_header) = {
            let world = &mut *lock(&self.life.core.world);
            self.usable(world)?;
            (self.opened(world)?.header_due, world.has(Bug::ForgetHeader))
        };
        if (due || what.header) && !forget_header {
            self.write_header().await?;
        }
        if let Some(change) = what.change {
            if let Some(abandoned) = &what.abandoned {
                // The planted bug: the place in the queue is given up with the caller.
                yield_now().await;
                if abandoned.load(Ordering::Relaxed) {
                    drop(ticket);
                    return self.late(change).await;
                }
            }
            self.land(change, !unordered).await?;
        }
        if what.sync {
            self.sync_data().await?;
            let entry = self.opened(&mut lock(&self.life.core.world))?.entry;
            if let Err(error) = self.life.sync_names(self.id.partition(), entry).await {
                return Err(self.poison(error));
            }
        }
        drop(ticket);
        Ok(())
    }

    async fn write_header(&self) -> Result<(), Error> {
        let bytes = Bytes::from(self.header.encode());
        self.land(Change::Write { offset: 0, data: Data::new(vec![bytes]) }, true).await?;
        self.opened(&mut lock(&self.life.core.world))?.header_due = false;
        Ok(())
    }

    /// Puts a change in flight, and makes it at some later moment. `alone`: no other change of the blob is under way,
    /// as it must be; then a crash may still let it land.
    async fn land(&self, change: Change, alone: bool) -> Result<(), Error> {
        let (operation, place) = match &change {
            Change::Write { offset, data } => (Operation::Write, Place::Blob(&self.id, *offset, data.len())),
            Change::Resize(_) => (Operation::Resize, self.place()),
        };
        let mut kept = Some(change);
        if alone {
            lock(&self.life.core.world).disk.inodes[self.inode].in_flight = kept.take();
        }
        let act = |world: &mut World, verdict: Verdict| {
            self.opened(world)?.changes += 1;
            match kept.or_else(|| world.disk.inodes[self.inode].in_flight.take()) {
                Some(change) => world.land(self.inode, &self.id, change, verdict),
                None => Ok(()),
            }
        };
        self.life.part(operation, place, act).await
    }

    /// A write that comes too late: after the next change of the blob, when there is one.
    async fn late(&self, change: Change) -> Result<(), Error> {
        let changes = || Ok::<_, Error>(self.opened(&mut lock(&self.life.core.world))?.changes);
        let seen = changes()?;
        for _ in 0..LATE_TURNS {
            if changes()? != seen {
                break;
            }
            yield_now().await;
        }
        self.land(change, false).await
    }

    /// Makes bytes and length durable. Names are another matter.
    pub(super) async fn sync_data(&self) -> Result<(), Error> {
        let act = |world: &mut World, verdict| world.sync_data(self.inode, &self.id, verdict);
        match self.life.part(Operation::Sync, self.place(), act).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.poison(error)),
        }
    }

    /// The first half of a sync: the header if it is due, then bytes and length. Answers the change of the directory
    /// that has to be durable too. The caller holds the blob's ticket.
    pub(super) async fn sync_content(&self) -> Result<u64, Error> {
        let (due, entry) = {
            let world = &mut *lock(&self.life.core.world);
            self.usable(world)?;
            let forget = world.has(Bug::ForgetHeader);
            let opened = self.opened(world)?;
            (opened.header_due && !forget, opened.entry)
        };
        if due {
            self.write_header().await?;
        }
        self.sync_data().await?;
        Ok(entry)
    }

    /// Nothing is known any more: every handle until now refuses changes. Answers the error as it is.
    pub(super) fn poison(&self, error: Error) -> Error {
        let world = &mut *lock(&self.life.core.world);
        if world.has(Bug::ForgetPoison) {
            return error;
        }
        if let Ok(opened) = self.opened(world) {
            opened.poison = Some((opened.generation, error.clone()));
        }
        error
    }

    /// The bytes, or what stands in the way. Nothing is counted.
    fn read(&self, world: &mut World, offset: u64, len: usize) -> Result<Bytes, Error> {
        let World { disk, rng, .. } = world;
        let inode = &disk.inodes[self.inode];
        if !self.read_only && inode.opened.as_ref().is_none_or(|opened| opened.removed) {
            return Err(Error::Removed { blob: self.id.clone() });
        }
        check_read(&self.id, offset, len, logical_len(inode.visible.len()))?;
        let start = usize::try_from(offset).map_or(usize::MAX, |offset| offset + HEADER_BYTES);
        let bytes = read(inode, start, len, rng);
        if world.has(Bug::ShortRead) && len > 1 && world.rng.u8(..4) == 0 {
            return Ok(bytes.slice(..len / 2));
        }
        Ok(bytes)
    }
}

/// A file's length without the header.
pub(super) fn logical_len(file_len: usize) -> u64 {
    file_len.saturating_sub(HEADER_BYTES) as u64
}

/// What a change is made of.
#[derive(Default)]
struct What {
    change: Option<Change>,
    /// Write the header, due or not.
    header: bool,
    sync: bool,
    /// With [`Bug::LateWriteAfterDrop`]: whether the caller has gone.
    abandoned: Option<Arc<AtomicBool>>,
}

/// Says that the caller has gone.
struct Abandon(Option<Arc<AtomicBool>>);

impl Drop for Abandon {
    fn drop(&mut self) {
        if let Some(abandoned) = &self.0 {
            abandoned.store(true, Ordering::Relaxed);
        }
    }
}

impl SimBlob {
    async fn change(&self, operation: Operation, what: What) -> Result<(), Error> {
        let handle = Arc::clone(&self.handle);
        self.handle.life.operate(operation, handle.change(what)).await
    }

    fn write(&self, offset: u64, data: Vec<Bytes>) -> Result<Change, Error> {
        self.handle.refuse_read_only(Operation::Write)?;
        let end = end_of(offset, &data)?;
        check_file_len(&self.handle.id, Operation::Write, end)?;
        let offset = usize::try_from(offset).map_or(usize::MAX, |offset| offset + HEADER_BYTES);
        Ok(Change::Write { offset, data: Data::new(data) })
    }

    fn late(&self) -> Option<Arc<AtomicBool>> {
        lock(&self.handle.life.core.world).has(Bug::LateWriteAfterDrop).then(Arc::default)
    }
}

#[async_trait]
impl Blob for SimBlob {
    fn id(&self) -> &BlobId {
        &self.handle.id
    }

    fn header(&self) -> &Header {
        &self.handle.header
    }

    fn header_state(&self) -> HeaderState {
        self.state
    }

    fn len(&self) -> u64 {
        if self.handle.life.is_over() {
            return 0;
        }
        logical_len(lock(&self.handle.life.core.world).disk.inodes[self.handle.inode].visible.len())
    }

    fn try_read_at(&self, offset: u64, len: usize) -> Option<Result<Bytes, Error>> {
        let life = &self.handle.life;
        if life.is_over() {
            return if life.core.executor.is_doomed() { None } else { Some(Err(Error::Closed)) };
        }
        let world = &mut *lock(&life.core.world);
        if world.faults.concerns(Operation::Read) || world.rng.u8(..4) == 0 {
            world.counts.refused_reads += 1;
            return None;
        }
        world.counts.quick_reads += 1;
        Some(self.handle.read(world, offset, len))
    }

    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, Error> {
        let handle = Arc::clone(&self.handle);
        let job = async move {
            let start = usize::try_from(offset).map_or(usize::MAX, |offset| offset.saturating_add(HEADER_BYTES));
            let place = Place::Blob(&handle.id, start, len);
            let act = |world: &mut World, verdict| match verdict {
                Verdict::Refuse(refusal, _) => Err(place.refused(Operation::Read, refusal)),
                _ => handle.read(world, offset, len),
            };
            handle.life.part(Operation::Read, place, act).await
        };
        self.handle.life.operate(Operation::Read, job).await
    }

    async fn write_at(&self, offset: u64, data: Vec<Bytes>) -> Result<(), Error> {
        let (change, abandoned) = (Some(self.write(offset, data)?), self.late());
        let _abandon = Abandon(abandoned.clone());
        self.change(Operation::Write, What { change, abandoned, ..What::default() }).await
    }

    async fn resize(&self, len: u64) -> Result<(), Error> {
        self.handle.refuse_read_only(Operation::Resize)?;
        let len = check_len(len)?;
        check_file_len(&self.handle.id, Operation::Resize, len)?;
        let len = usize::try_from(len).map_or(usize::MAX, |len| len + HEADER_BYTES);
        self.change(Operation::Resize, What { change: Some(Change::Resize(len)), ..What::default() }).await
    }

    async fn sync(&self) -> Result<(), Error> {
        self.handle.refuse_read_only(Operation::Sync)?;
        self.change(Operation::Sync, What { sync: true, ..What::default() }).await
    }

    async fn write_at_sync(&self, offset: u64, data: Vec<Bytes>) -> Result<(), Error> {
        let (change, abandoned) = (Some(self.write(offset, data)?), self.late());
        let _abandon = Abandon(abandoned.clone());
        self.change(Operation::Write, What { change, sync: true, abandoned, ..What::default() }).await
    }

    async fn write_header(&self) -> Result<(), Error> {
        self.handle.refuse_read_only(Operation::Write)?;
        self.change(Operation::Write, What { header: true, ..What::default() }).await
    }
}

impl fmt::Debug for SimBlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimBlob")
            .field("id", &self.handle.id)
            .field("header_state", &self.state)
            .finish_non_exhaustive()
    }
}
