//! A small disk for the suite's own tests: what a process sees and what is durable are kept apart, operations take
//! several polls and outlive the futures that began them, and it can be made wrong in one way at a time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;

use blob_runtime::contract::{Counts, Edit, Entry, Files};
use blob_runtime::{Claims, Error, Header, Operation, Target};

mod blob;
mod harness;
mod storage;

pub(crate) use harness::DiskHarness;

/// What a disk does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Nothing.
    None,
    /// A new blob's first sync leaves the directory out.
    ForgetsDirectory,
    /// The partition's directory is synced, the root is not.
    ForgetsRoot,
    /// A sync makes bytes durable, but no new length.
    ForgetsLength,
    /// A sync leaves the header out.
    ForgetsHeader,
    /// `write_at_sync` does not sync.
    WriteSyncForgetsSync,
    /// The last of many is not synced, and yet answered for.
    ForgetsOneOfMany,
    /// A creation is synced at once.
    SyncsAtOpen,
    /// A removal is not made durable.
    ForgetsRemoval,
    /// A directory sync for each removed name.
    SyncsEachRemoval,
    /// After a failed sync the next one says Ok.
    ForgetsFailedSync,
    /// After a failed sync only the handle that synced refuses.
    PoisonsOneHandle,
    /// A poisoned blob stays so.
    NeverHeals,
    /// A failed sync of a directory is forgotten.
    ForgetsFailedDirectory,
    /// A failed write zeroes the bytes before its range.
    FailedWriteHurts,
    /// A directory that cannot be listed is empty.
    FailedListIsEmpty,
    /// A blob that cannot be opened is made anew.
    FailedOpenIsMissing,
    /// A read that fails is short.
    FailedReadIsShort,
    /// A header that does not verify is left as it is.
    LeavesBadHeader,
    /// The first of two files is taken.
    TakesFirstTwin,
    /// Foreign files go with the partition.
    RemovesForeign,
    /// A dropped change is made after the next one.
    DroppedLandsLate,
    /// The newest operation is made first.
    NewestFirst,
    /// A claim does not wait for what has begun.
    ClaimDoesNotWait,
    /// A killed process leaves its claims.
    ClaimSurvivesKill,
    /// Read-only storage writes.
    ReadOnlyWrites,
    /// A directory in a blob's place is taken for nothing.
    OverlooksDirectory,
    /// The header is followed by bytes that are not zero.
    HeaderWithTail,
    /// A power cut takes with unsynced bytes the synced ones beside them.
    LossTakesNeighbours,
    /// A failed write of `write_at_sync` is called a failed sync.
    BlursWriteAndSync,
    /// Of changes in a row those behind one that has failed are made too.
    ChangesGoOn,
    /// Changes in a row are synced once, at the first sync of them.
    ChangesSyncOnce,
}

type File = (String, String);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    File(u64),
    Directory,
}

#[derive(Debug, Clone, Default)]
struct Inode {
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// To be written with the next change.
    header_due: Option<Header>,
    removed: bool,
    poison: Option<Error>,
    /// Handles of an epoch before this one are those of a poisoned blob.
    epoch: u64,
    poisoned_epoch: Option<u64>,
    poisoned_handle: Option<u64>,
}

struct Job {
    turns: u32,
    abandoned: Arc<Mutex<bool>>,
    run: Box<dyn FnOnce(&mut State) + Send>,
}

#[derive(Default)]
struct State {
    partitions: BTreeSet<String>,
    durable_partitions: BTreeSet<String>,
    names: BTreeMap<File, Node>,
    durable_names: BTreeMap<File, Node>,
    inodes: BTreeMap<u64, Inode>,
    next: u64,
    poisoned: BTreeMap<String, Error>,
    jobs: VecDeque<Job>,
    late: Vec<Job>,
    faults: Vec<Operation>,
    counts: Counts,
    random: u64,
}

pub(crate) struct Shared {
    state: Mutex<State>,
    claims: Claims,
    bare_claims: Claims,
    flaw: Flaw,
    read_only: bool,
}

/// Clones share one disk.
#[derive(Clone)]
pub(crate) struct Disk(Arc<Shared>);

/// Marks a job whose future was dropped.
struct Interest(Arc<Mutex<bool>>);

impl Drop for Interest {
    fn drop(&mut self) {
        *self.0.lock().unwrap() = true;
    }
}

fn refuse(operation: Operation, target: impl Into<Target>) -> Error {
    Error::io(operation, target, None, io::Error::from_raw_os_error(5))
}

impl State {
    /// Whether a planned fault strikes now.
    fn strikes(&mut self, operation: Operation) -> bool {
        let at = self.faults.iter().position(|fault| *fault == operation);
        at.map(|at| self.faults.remove(at)).is_some()
    }

    fn inode(&mut self, inode: u64) -> &mut Inode {
        self.inodes.get_mut(&inode).unwrap()
    }

    /// The partition's directory, and the root when it has a new entry.
    fn sync_directory(&mut self, partition: &str, flaw: Flaw) -> Result<(), Error> {
        self.counts.directories += 1;
        if self.strikes(Operation::SyncDirectory) {
            let error = refuse(Operation::SyncDirectory, Target::Partition(partition.into()));
            if flaw != Flaw::ForgetsFailedDirectory {
                self.poisoned.insert(partition.into(), error.clone());
            }
            return Err(error);
        }
        self.durable_names.retain(|(of, _), _| of != partition);
        let of = self.names.iter().filter(|((of, _), _)| of == partition);
        self.durable_names.extend(of.map(|(file, node)| (file.clone(), *node)));
        if flaw != Flaw::ForgetsRoot && self.durable_partitions.insert(partition.into()) {
            self.counts.directories += 1;
        }
        Ok(())
    }

    fn refuses_names(&self, partition: &str) -> Result<(), Error> {
        let target = || Target::Partition(partition.into());
        self.poisoned.get(partition).map_or(Ok(()), |cause| Err(Error::poisoned(target(), cause)))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// One turn of the disk.
    fn work(&self) {
        let mut state = self.lock();
        if self.flaw == Flaw::NewestFirst {
            // Turned round for this turn, and back below when the job goes on.
            state.jobs.make_contiguous().reverse();
        }
        self.turn(&mut state);
        if self.flaw == Flaw::NewestFirst {
            state.jobs.make_contiguous().reverse();
        }
    }

    fn turn(&self, state: &mut State) {
        let Some(job) = state.jobs.front_mut() else { return };
        if self.flaw == Flaw::DroppedLandsLate && *job.abandoned.lock().unwrap() {
            let job = state.jobs.pop_front().unwrap();
            state.late.push(job);
            return;
        }
        job.turns -= 1;
        if job.turns > 0 {
            return;
        }
        let job = state.jobs.pop_front().unwrap();
        (job.run)(state);
        for late in std::mem::take(&mut state.late) {
            (late.run)(state);
        }
    }

    fn finish(&self) {
        while !self.lock().jobs.is_empty() {
            self.work();
        }
    }
}

impl Disk {
    pub(crate) fn new(flaw: Flaw) -> Self {
        Self::with(State::default(), Claims::new(), flaw, false)
    }

    fn with(state: State, claims: Claims, flaw: Flaw, read_only: bool) -> Self {
        Self(Arc::new(Shared { state: Mutex::new(state), claims, bare_claims: Claims::new(), flaw, read_only }))
    }

    fn flaw(&self) -> Flaw {
        self.0.flaw
    }

    /// An operation of the disk: issued by the first poll, done after some turns, whoever gives them.
    async fn operation<T: Send + 'static>(
        &self,
        partition: &str,
        run: impl FnOnce(&mut State) -> T + Send + 'static,
    ) -> T {
        let slot = Arc::new(Mutex::new(None));
        let interest = Interest(Arc::default());
        let activity = self.0.claims.begin(&partition.into());
        let answer = Arc::clone(&slot);
        let run = Box::new(move |state: &mut State| {
            *answer.lock().unwrap() = Some(run(state));
            drop(activity);
        });
        self.0.lock().jobs.push_back(Job { turns: 3, abandoned: Arc::clone(&interest.0), run });
        poll_fn(|cx| {
            self.0.work();
            match slot.lock().unwrap().take() {
                Some(answer) => Poll::Ready(answer),
                None => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// What the next process finds: `survives` gives each file's content.
    fn restart(&self, power_cut: bool, read_only: bool) -> Self {
        let old = self.0.lock();
        let (partitions, names) = match power_cut {
            true => (old.durable_partitions.clone(), old.durable_names.clone()),
            false => (old.partitions.clone(), old.names.clone()),
        };
        let names: BTreeMap<_, _> = names.into_iter().filter(|((of, _), _)| partitions.contains(of)).collect();
        let mut inodes = BTreeMap::new();
        for node in names.values().chain(old.durable_names.values()) {
            if let Node::File(inode) = node {
                let was = &old.inodes[inode];
                let seen = match (power_cut, self.flaw()) {
                    (true, Flaw::LossTakesNeighbours) if was.seen != was.durable => vec![0; was.durable.len()],
                    (true, _) => was.durable.clone(),
                    (false, _) => was.seen.clone(),
                };
                inodes.insert(*inode, Inode { seen, durable: was.durable.clone(), ..Inode::default() });
            }
        }
        let state = State {
            partitions,
            names,
            inodes,
            durable_partitions: old.durable_partitions.clone(),
            durable_names: old.durable_names.clone(),
            next: old.next,
            random: old.random,
            ..State::default()
        };
        drop(old);
        let claims = match self.flaw() {
            Flaw::ClaimSurvivesKill => self.0.claims.clone(),
            _ => Claims::new(),
        };
        Self::with(state, claims, self.flaw(), read_only)
    }

    fn edited(&self, partition: &str, edit: &mut Edit<'_>) -> Self {
        let disk = self.restart(false, false);
        let mut state = disk.0.lock();
        let of: Vec<File> = state.names.keys().filter(|(of, _)| of == partition).cloned().collect();
        let mut files = Files::new();
        for key in of {
            let entry = match state.names.remove(&key).unwrap() {
                Node::File(inode) => Entry::File(state.inodes[&inode].seen.clone()),
                Node::Directory => Entry::Directory,
            };
            files.insert(key.1, entry);
        }
        edit(&mut files);
        for (file, entry) in files {
            state.next += 1;
            let inode = state.next;
            let node = match entry {
                Entry::Directory => Node::Directory,
                Entry::File(bytes) => {
                    state.inodes.insert(inode, Inode { seen: bytes.clone(), durable: bytes, ..Inode::default() });
                    Node::File(inode)
                }
            };
            state.names.insert((partition.into(), file), node);
        }
        state.partitions.insert(partition.into());
        let names = state.names.clone();
        state.durable_names = names;
        let partitions = state.partitions.clone();
        state.durable_partitions = partitions;
        drop(state);
        disk
    }

    fn refuse_read_only(&self, operation: Operation, target: impl Into<Target>) -> Result<(), Error> {
        if self.0.read_only && self.flaw() != Flaw::ReadOnlyWrites {
            return Err(Error::ReadOnly { operation, target: target.into() });
        }
        Ok(())
    }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").field("flaw", &self.0.flaw).finish_non_exhaustive()
    }
}
