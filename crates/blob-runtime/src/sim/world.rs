//! The machine: its disk, its steps, and what a running process knows of the directories it has touched.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use fastrand::Rng;

use super::crash::Crash;
use super::disk::{Disk, FILE_MAX_BYTES};
use super::executor::{Executor, OUTSIDE};
use super::faults::{Bug, Plan, Refusal, Verdict};
use super::image::Moment;
use super::inode::Change;
use super::trace::{Counts, Trace, What};
use crate::claims::Claims;
use crate::error::{Error, Operation, Target};
use crate::header::{HEADER_BYTES, Header};
use crate::name::BlobId;
use crate::queue::Queue;
use crate::sync::{Mutex, lock};

/// One run: everything that the handles share.
pub(super) struct Core {
    pub(super) seed: u64,
    pub(super) executor: Executor,
    pub(super) world: Mutex<World>,
}

pub(super) struct World {
    /// Decides about the disk: what lands, what survives, what fails.
    pub(super) rng: Rng,
    /// Gives the user's generators, so that drawing from them changes nothing about the disk.
    pub(super) users_rng: Rng,
    pub(super) trace: Trace,
    pub(super) counts: Counts,
    /// The step before which a crash strikes.
    pub(super) due: Option<(u64, Crash)>,
    pub(super) life: u64,
    pub(super) disk: Disk,
    pub(super) faults: Plan,
    bugs: u32,
    /// What the process of this life knows of the partitions it has touched.
    partitions: BTreeMap<Arc<str>, Partition>,
    root: Root,
    pub(super) claims: Claims,
    pub(super) watcher: Option<Watcher>,
}

/// Called before each step.
pub(super) type Watcher = Box<dyn FnMut(&Moment<'_>) + Send>;

/// What a process knows of a directory it has touched: which of its changes it has made durable. `changed` counts
/// the changes; a directory that was found counts as changed once, by somebody who may not have synced it.
#[derive(Debug, Clone)]
pub(super) struct Partition {
    pub(super) queue: Queue,
    pub(super) changed: u64,
    pub(super) synced: u64,
    /// The last change that took a name away. Until it is durable no name is created.
    pub(super) removed: u64,
    /// The change of the root that made this directory.
    pub(super) entry: u64,
    pub(super) poison: Option<Error>,
}

/// The same for the root.
#[derive(Debug, Clone)]
pub(super) struct Root {
    pub(super) changed: u64,
    pub(super) synced: u64,
}

/// A blob that is open, shared by its handles.
#[derive(Debug)]
pub(super) struct Opened {
    /// What the header of a new blob will be, once somebody has opened it to be made: all others have to agree.
    pub(super) agreed: Option<Header>,
    /// The header is not in the file: it goes with the next change.
    pub(super) header_due: bool,
    pub(super) queue: Queue,
    /// How often it was opened after a failure; a poison hits the handles up to one generation.
    pub(super) generation: u64,
    pub(super) poison: Option<(u64, Error)>,
    pub(super) removed: bool,
    /// The change of the directory that brought the name.
    pub(super) entry: u64,
    /// Changes that have taken effect.
    pub(super) changes: u64,
}

/// What a part of an operation is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    /// A blob, and where it has them, offset and length in bytes, both of the file.
    Blob(&'a BlobId, usize, usize),
    Partition(&'a Arc<str>),
    Root,
}

impl Place<'_> {
    pub(super) fn partition(&self) -> Option<&str> {
        match self {
            Self::Blob(id, ..) => Some(id.partition()),
            Self::Partition(partition) => Some(partition),
            Self::Root => None,
        }
    }

    pub(super) fn name(&self) -> Option<&[u8]> {
        match self {
            Self::Blob(id, ..) => Some(id.name()),
            _ => None,
        }
    }

    pub(super) fn target(&self) -> Target {
        match self {
            Self::Blob(id, ..) => Target::Blob((*id).clone()),
            Self::Partition(partition) => Target::Partition(Arc::clone(partition)),
            Self::Root => Target::Path("the simulated root".into()),
        }
    }

    /// Offset and length in bytes, where there are any; logical, so the header is at none.
    pub(super) fn range(&self) -> Option<(u64, u64)> {
        match *self {
            Self::Blob(_, offset, len) if offset >= HEADER_BYTES => Some(((offset - HEADER_BYTES) as u64, len as u64)),
            _ => None,
        }
    }

    /// The error of an operation here that the operating system refused.
    pub(super) fn refused(&self, operation: Operation, refusal: Refusal) -> Error {
        let offset = match operation {
            Operation::Write | Operation::Read => self.range().map(|(offset, _)| offset),
            _ => None,
        };
        Error::io(operation, self.target(), offset, refusal.error())
    }
}

impl Core {
    pub(super) fn new(seed: u64) -> Self {
        // Streams of their own, so that one more draw in one does not shift the others.
        let mut seeds = Rng::with_seed(seed);
        let executor = Executor::new(seeds.u64(..));
        let world = World {
            rng: Rng::with_seed(seeds.u64(..)),
            users_rng: Rng::with_seed(seeds.u64(..)),
            trace: Trace::default(),
            counts: Counts::default(),
            due: None,
            life: OUTSIDE + 1,
            disk: Disk::default(),
            faults: Plan::default(),
            bugs: 0,
            partitions: BTreeMap::new(),
            root: Root { changed: 1, synced: 0 },
            claims: Claims::new(),
            watcher: None,
        };
        Self { seed, executor, world: Mutex::new(world) }
    }

    /// The machine goes down now, and starts again.
    pub(super) fn crash(&self, crash: Crash) {
        self.strike(&mut lock(&self.world), crash);
        self.executor.sweep();
    }

    fn strike(&self, world: &mut World, crash: Crash) {
        world.crash(crash);
        self.executor.begin_life(world.life);
    }

    /// The machine starts with another disk.
    pub(super) fn boot(&self, disk: Disk) {
        let world = &mut *lock(&self.world);
        world.disk = disk;
        world.forget();
        self.executor.begin_life(world.life);
        self.executor.sweep();
    }

    /// Counts a step of a life; a crash that is due strikes instead. False: this life is over.
    pub(super) fn step(&self, world: &mut World, life: u64) -> bool {
        if world.life != life {
            return false;
        }
        world.counts.steps += 1;
        if let Some(watcher) = &mut world.watcher {
            watcher(&Moment { disk: &world.disk, step: world.counts.steps });
        }
        if let Some((_, crash)) = world.due.take_if(|(step, _)| *step <= world.counts.steps) {
            world.counts.steps -= 1;
            self.strike(world, crash);
            return false;
        }
        true
    }
}

impl World {
    fn crash(&mut self, crash: Crash) {
        let Self { disk, rng, counts, trace, .. } = self;
        match crash {
            Crash::Kill => counts.kills += 1,
            Crash::Power(_) => counts.power_cuts += 1,
        }
        trace.note(counts.steps, self.life, || What::Crashed(crash));
        disk.crash(crash, rng, &mut counts.ways);
        trace.mix(disk.used_bytes);
        self.forget();
    }

    /// The process is gone, with all it knew.
    fn forget(&mut self) {
        self.life += 1;
        self.due = None;
        self.partitions.clear();
        self.root = Root { changed: 1, synced: 0 };
        self.claims = Claims::new();
        // What hung died with the process.
        self.faults.held.clear();
    }

    pub(super) fn plant(&mut self, bug: Bug) {
        self.bugs |= 1 << bug as u32;
    }

    pub(super) fn has(&self, bug: Bug) -> bool {
        self.bugs & 1 << bug as u32 != 0
    }

    /// The inode of a blob, as the process sees it; of several files of the name the one with the lowest salt.
    pub(super) fn find(&self, partition: &str, name: &[u8]) -> Option<usize> {
        let directory = self.disk.directory(partition)?;
        self.disk.files_of(directory, name).first().map(|(_, inode)| *inode)
    }

    /// What is known of a partition.
    pub(super) fn partition(&mut self, partition: &Arc<str>) -> &mut Partition {
        self.partitions.entry(Arc::clone(partition)).or_insert_with(|| Partition {
            queue: Queue::new(),
            changed: 1,
            synced: 0,
            removed: 1,
            entry: 1,
            poison: None,
        })
    }

    pub(super) fn make_partition(&mut self, partition: &Arc<str>) {
        self.disk.make_directory(partition);
        self.root.changed += 1;
        let entry = self.root.changed;
        let known = self.partition(partition);
        // All that is in it will be there by this process.
        (known.changed, known.synced, known.removed, known.entry) = (0, 0, 0, entry);
    }

    pub(super) fn remove_partition(&mut self, partition: &Arc<str>) {
        self.disk.remove_directory(partition);
        self.root.changed += 1;
        self.partition(partition).entry = self.root.changed;
    }

    /// Whether the root has changes up to this one that are not known to be durable.
    pub(super) fn root_is_behind(&self, entry: u64) -> bool {
        self.root.synced < entry
    }

    /// Makes a change, as far as `verdict` and the space allow.
    pub(super) fn land(&mut self, inode: usize, id: &BlobId, change: Change, verdict: Verdict) -> Result<(), Error> {
        let whole_pages = self.disk.inodes[inode].tainted && self.rng.bool();
        match change {
            Change::Write { offset, mut data } => {
                let end = offset + data.len();
                let room = self.disk.room(inode, end).saturating_sub(offset).min(data.len());
                self.trace.mix(data.checksum() ^ (offset as u64) << 32);
                let refusal = match verdict {
                    Verdict::Refuse(refusal, _) => {
                        data.truncate(self.rng.usize(..=room));
                        Some(refusal)
                    }
                    _ if room < data.len() => {
                        data.truncate(room);
                        Some(Refusal::Enospc)
                    }
                    Verdict::Astray => {
                        self.write_astray(inode, offset, data);
                        return Ok(());
                    }
                    _ => None,
                };
                let place = Place::Blob(id, offset, end - offset);
                self.disk.apply(inode, Change::Write { offset, data }, whole_pages);
                refusal.map_or(Ok(()), |refusal| Err(place.refused(Operation::Write, refusal)))
            }
            Change::Resize(len) => {
                self.trace.mix(len as u64);
                let refusal = match verdict {
                    Verdict::Refuse(refusal, _) => Some(refusal),
                    _ if self.disk.room(inode, len) < len => Some(Refusal::Enospc),
                    _ => None,
                };
                // A resize that failed may have been done all the same, but for one that found no space.
                let same = self.disk.inodes[inode].visible.len() == len;
                let silent = same && self.disk.inodes[inode].tainted && self.rng.bool();
                let lands = match refusal {
                    None => !silent,
                    Some(Refusal::Enospc) => false,
                    Some(_) => self.rng.bool(),
                };
                if lands {
                    self.disk.apply(inode, Change::Resize(len), whole_pages);
                }
                let place = Place::Blob(id, HEADER_BYTES, 0);
                refusal.map_or(Ok(()), |refusal| Err(place.refused(Operation::Resize, refusal)))
            }
        }
    }

    /// Puts a write into any file that is on the disk, at any multiple of 512 bytes.
    fn write_astray(&mut self, inode: usize, offset: usize, data: super::inode::Data) {
        const SECTOR_BYTES: usize = 512;
        let victims = self.disk.inodes.iter().enumerate().filter(|(_, inode)| !inode.durable.is_empty());
        let victims: Vec<_> = victims.map(|(at, inode)| (at, inode.durable.len())).collect();
        let (victim, len) = if victims.is_empty() { (inode, 0) } else { victims[self.rng.usize(..victims.len())] };
        let hit = self.rng.usize(..=len / SECTOR_BYTES) * SECTOR_BYTES;
        self.counts.ways.astray += 1;
        self.disk.write_astray(inode, offset, data, victim, hit);
    }

    /// A sync of a file's bytes and length.
    pub(super) fn sync_data(&mut self, inode: usize, id: &BlobId, verdict: Verdict) -> Result<(), Error> {
        match verdict {
            Verdict::Refuse(refusal, survivors) => {
                let Self { disk, rng, counts, .. } = self;
                disk.fail_sync(inode, survivors, rng, &mut counts.ways);
                Err(Place::Blob(id, 0, 0).refused(Operation::Sync, refusal))
            }
            _ if self.has(Bug::ForgetDataSync) => Ok(()),
            _ => {
                self.disk.sync(inode);
                Ok(())
            }
        }
    }

    /// A sync of a partition's directory. A failure poisons creation and removal in it.
    pub(super) fn sync_partition(&mut self, partition: &Arc<str>, verdict: Verdict) -> Result<(), Error> {
        let directory = self.disk.directory(partition);
        if let Verdict::Refuse(refusal, survivors) = verdict {
            let Self { disk, rng, counts, .. } = self;
            if directory.is_some() {
                disk.fail_directory_sync(directory, survivors, rng, &mut counts.ways);
            }
            let error = Place::Partition(partition).refused(Operation::SyncDirectory, refusal);
            self.partition(partition).poison = Some(error.clone());
            return Err(error);
        }
        if let Some(directory) = directory {
            self.disk.directories[directory].sync();
        }
        let known = self.partition(partition);
        known.synced = known.changed;
        Ok(())
    }

    /// A sync of the root. A failure poisons creation and removal in the partition that needed it.
    pub(super) fn sync_root(&mut self, partition: &Arc<str>, verdict: Verdict) -> Result<(), Error> {
        if let Verdict::Refuse(refusal, survivors) = verdict {
            let Self { disk, rng, counts, .. } = self;
            disk.fail_directory_sync(None, survivors, rng, &mut counts.ways);
            let error = Place::Root.refused(Operation::SyncDirectory, refusal);
            self.partition(partition).poison = Some(error.clone());
            return Err(error);
        }
        self.disk.root.sync();
        self.root.synced = self.root.changed;
        Ok(())
    }
}

/// Whether a file can be so long in the simulation.
pub(super) fn check_file_len(id: &BlobId, operation: Operation, len: u64) -> Result<(), Error> {
    let refusal = Refusal::Other(std::io::ErrorKind::FileTooLarge);
    if len > (FILE_MAX_BYTES - HEADER_BYTES) as u64 {
        return Err(Place::Blob(id, 0, 0).refused(operation, refusal));
    }
    Ok(())
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim").field("seed", &self.seed).field("life", &self.executor.life()).finish_non_exhaustive()
    }
}
