//! A small disk for the suite's own tests: what a process sees and what is durable are kept apart, operations take
//! several polls and outlive the futures that began them, and it can be made wrong in one way at a time.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;

use async_trait::async_trait;
use blob_runtime::contract::{Ability, Counts, Edit, Entry, Files, Harness};
use blob_runtime::{
    Blob, BlobId, Claim, Claims, Error, Format, HEADER_BYTES, Header, HeaderState, Operation, Salt, Storage, Target,
    check_len, check_name, check_partition, check_read, end_of, file_name, keep_one, parse_file_name,
};
use bytes::Bytes;

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

struct DiskBlob {
    disk: Disk,
    id: BlobId,
    header: Header,
    state: HeaderState,
    inode: u64,
    epoch: u64,
    handle: u64,
}

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
                let seen = if power_cut { was.durable.clone() } else { was.seen.clone() };
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

    fn handle(&self, state: &mut State, id: &BlobId, inode: u64, header: Header, found: HeaderState) -> Arc<dyn Blob> {
        state.next += 1;
        let handle = state.next;
        let flaw = self.flaw();
        let node = state.inode(inode);
        if node.poison.is_some() && flaw != Flaw::NeverHeals {
            node.poison = None;
            node.epoch += 1;
        }
        if found != HeaderState::Sound && !(flaw == Flaw::LeavesBadHeader && found != HeaderState::New) {
            node.header_due = Some(header);
        }
        let epoch = node.epoch;
        Arc::new(DiskBlob { disk: self.clone(), id: id.clone(), header, state: found, inode, epoch, handle })
    }

    /// The files of a name, or the one that was made.
    fn find_or_make(&self, state: &mut State, id: &BlobId, format: &Format) -> Result<Vec<Arc<dyn Blob>>, Error> {
        let partition: String = id.partition().to_string();
        let mut found = Vec::new();
        for ((of, file), node) in &state.names {
            if let Some((name, salt)) = parse_file_name(file)
                && *of == partition
                && name == id.name()
            {
                match node {
                    Node::File(inode) => found.push((*inode, salt)),
                    Node::Directory => {
                        return Err(Error::Unexpected { path: file.as_str().into(), found: "directory" });
                    }
                }
            }
        }
        if !found.is_empty() && state.strikes(Operation::Open) {
            if self.flaw() != Flaw::FailedOpenIsMissing {
                return Err(refuse(Operation::Open, id));
            }
            found.clear();
        }
        if found.is_empty() {
            if !format.create {
                return Err(Error::NotFound { blob: id.clone() });
            }
            self.refuse_read_only(Operation::Create, id)?;
            state.refuses_names(&partition)?;
            if state.strikes(Operation::Create) {
                return Err(refuse(Operation::Create, id));
            }
            state.next += 1;
            state.random += 1;
            let (inode, random) = (state.next, state.random);
            let header = format.header(format.salt.unwrap_or(Salt(0x9e37_79b9_u32.wrapping_mul(random as u32))));
            state.partitions.insert(partition.clone());
            state.names.insert((partition.clone(), file_name(id.name(), header.salt)), Node::File(inode));
            state.inodes.insert(inode, Inode::default());
            if self.flaw() == Flaw::SyncsAtOpen {
                state.sync_directory(&partition, self.flaw())?;
            }
            return Ok(vec![self.handle(state, id, inode, header, HeaderState::New)]);
        }
        let mut handles = Vec::new();
        for (inode, salt) in found {
            let seen = &state.inodes[&inode].seen;
            let pending = state.inodes[&inode].header_due;
            let (header, found) = match pending {
                Some(header) => {
                    let start = header.encode();
                    let (header, _) = format.read_header(id, salt, &start, start.len() as u64)?;
                    (header, HeaderState::New)
                }
                None => format.read_header(id, salt, &seen[..seen.len().min(HEADER_BYTES)], seen.len() as u64)?,
            };
            handles.push(self.handle(state, id, inode, header, found));
        }
        Ok(handles)
    }

    fn unlink(&self, state: &mut State, partition: &str, doomed: impl Fn(&str) -> bool) -> Result<usize, Error> {
        let of = state.names.keys().filter(|(of, file)| of == partition && doomed(file));
        let files: Vec<File> = of.cloned().collect();
        let count = files.len();
        for file in files {
            if state.strikes(Operation::Remove) {
                return Err(refuse(Operation::Remove, Target::Partition(partition.into())));
            }
            if let Some(Node::File(inode)) = state.names.remove(&file) {
                state.inode(inode).removed = true;
            }
            if self.flaw() == Flaw::SyncsEachRemoval {
                state.sync_directory(partition, self.flaw())?;
            }
        }
        Ok(count)
    }
}

#[async_trait]
impl Storage for Disk {
    async fn claim(&self, partition: &str) -> Result<Claim, Error> {
        check_partition(partition)?;
        self.refuse_read_only(Operation::Lock, Target::Partition(partition.into()))?;
        if self.flaw() == Flaw::ClaimDoesNotWait {
            // These know nothing of what is under way.
            return self.0.bare_claims.claim(partition).await;
        }
        let mut claim = Box::pin(self.0.claims.claim(partition));
        poll_fn(|cx| {
            self.0.work();
            let polled = claim.as_mut().poll(cx);
            if polled.is_pending() {
                cx.waker().wake_by_ref();
            }
            polled
        })
        .await
    }

    async fn open(&self, partition: &str, name: &[u8], format: &Format) -> Result<Arc<dyn Blob>, Error> {
        let id = BlobId::new(&"disk".into(), partition, name)?;
        let (this, of, wanted) = (self.clone(), id.clone(), format.clone());
        let handles = self.operation(partition, move |state| this.find_or_make(state, &of, &wanted)).await?;
        if let [handle] = handles.as_slice() {
            return Ok(Arc::clone(handle));
        }
        let kept = match self.flaw() {
            Flaw::TakesFirstTwin => 0,
            _ => keep_one(&id, &handles, format.probe.as_ref(), |at| format!("file {at}")).await?,
        };
        let kept = Arc::clone(&handles[kept]);
        let file = file_name(name, kept.header().salt);
        let (this, partition) = (self.clone(), partition.to_owned());
        let name = name.to_vec();
        self.operation(&partition.clone(), move |state| {
            this.unlink(state, &partition, |other| {
                other != file && parse_file_name(other).is_some_and(|(of, _)| of == name)
            })?;
            state.sync_directory(&partition, this.flaw())
        })
        .await?;
        Ok(kept)
    }

    async fn remove(&self, partition: &str, names: &[Vec<u8>]) -> Result<(), Error> {
        check_partition(partition)?;
        names.iter().try_for_each(|name| check_name(name))?;
        self.refuse_read_only(Operation::Remove, Target::Partition(partition.into()))?;
        let (this, partition, names) = (self.clone(), partition.to_owned(), names.to_vec());
        self.operation(&partition.clone(), move |state| {
            state.refuses_names(&partition)?;
            let doomed = |file: &str| parse_file_name(file).is_some_and(|(name, _)| names.contains(&name));
            if this.unlink(state, &partition, doomed)? > 0 && this.flaw() != Flaw::ForgetsRemoval {
                state.sync_directory(&partition, this.flaw())?;
            }
            Ok(())
        })
        .await
    }

    async fn remove_partition(&self, partition: &str) -> Result<(), Error> {
        check_partition(partition)?;
        self.refuse_read_only(Operation::Remove, Target::Partition(partition.into()))?;
        let (this, partition) = (self.clone(), partition.to_owned());
        self.operation(&partition.clone(), move |state| {
            state.refuses_names(&partition)?;
            let all = this.flaw() == Flaw::RemovesForeign;
            this.unlink(state, &partition, |file| all || parse_file_name(file).is_some())?;
            if this.flaw() == Flaw::ForgetsRemoval || !state.partitions.contains(&partition) {
                return Ok(());
            }
            state.sync_directory(&partition, this.flaw())?;
            if !state.names.keys().any(|(of, _)| *of == partition) {
                state.partitions.remove(&partition);
                state.durable_partitions.remove(&partition);
                state.counts.directories += 1;
            }
            Ok(())
        })
        .await
    }

    async fn scan(&self, partition: &str) -> Result<Vec<Vec<u8>>, Error> {
        check_partition(partition)?;
        let (flaw, partition) = (self.flaw(), partition.to_owned());
        self.operation(&partition.clone(), move |state| {
            if state.strikes(Operation::List) {
                if flaw == Flaw::FailedListIsEmpty {
                    return Ok(Vec::new());
                }
                return Err(refuse(Operation::List, Target::Partition(partition.as_str().into())));
            }
            let of = state.names.keys().filter(|(of, _)| *of == partition);
            let names: BTreeSet<_> = of.filter_map(|(_, file)| parse_file_name(file)).map(|(name, _)| name).collect();
            Ok(names.into_iter().collect())
        })
        .await
    }

    async fn sync_many(&self, blobs: &[Arc<dyn Blob>]) -> Vec<Result<(), Error>> {
        let mut answers = Vec::new();
        for (at, blob) in blobs.iter().enumerate() {
            let forgotten = self.flaw() == Flaw::ForgetsOneOfMany && at > 1 && at + 1 == blobs.len();
            answers.push(if forgotten { Ok(()) } else { blob.sync().await });
        }
        answers
    }

    fn random(&self) -> Result<u64, Error> {
        let mut state = self.0.lock();
        state.random += 1;
        Ok(state.random.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

/// What a change of a blob does, in the order of its parts.
#[derive(Clone)]
enum Part {
    Write(u64, Vec<Bytes>),
    Resize(u64),
    Header,
    Sync,
}

impl DiskBlob {
    async fn change(&self, parts: Vec<Part>) -> Result<(), Error> {
        let (disk, id, header) = (self.disk.clone(), self.id.clone(), self.header);
        let (inode, epoch, handle) = (self.inode, self.epoch, self.handle);
        let run = move |state: &mut State| {
            let node = state.inode(inode);
            if node.removed {
                return Err(Error::Removed { blob: id.clone() });
            }
            let mine = disk.flaw() != Flaw::PoisonsOneHandle || node.poisoned_handle == Some(handle);
            if node.poisoned_epoch.is_some_and(|of| epoch <= of) && mine && disk.flaw() != Flaw::ForgetsFailedSync {
                return Err(Error::poisoned(&id, &refuse(Operation::Sync, &id)));
            }
            parts.into_iter().try_for_each(|part| disk.part(state, &id, inode, epoch, handle, &header, part))
        };
        self.disk.operation(self.id.partition(), run).await
    }
}

impl Disk {
    #[expect(clippy::too_many_arguments, reason = "a handle's fields, taken apart for a job that outlives it")]
    fn part(
        &self,
        state: &mut State,
        id: &BlobId,
        inode: u64,
        epoch: u64,
        handle: u64,
        header: &Header,
        part: Part,
    ) -> Result<(), Error> {
        let flaw = self.flaw();
        if let Some(due) = state.inode(inode).header_due.take() {
            put(&mut state.inode(inode).seen, 0, &due.encode());
        }
        match part {
            Part::Write(offset, parts) => {
                let fails = state.strikes(Operation::Write);
                let node = state.inode(inode);
                let data = parts.concat();
                let at = HEADER_BYTES + offset as usize;
                if fails {
                    // Some of it has reached the file.
                    put(&mut node.seen, at, &data[..data.len() / 2]);
                    if flaw == Flaw::FailedWriteHurts {
                        put(&mut node.seen, at - 1, &[0]);
                    }
                    return Err(refuse(Operation::Write, id));
                }
                put(&mut node.seen, at, &data);
            }
            Part::Resize(len) => {
                let fails = state.strikes(Operation::Resize);
                if fails {
                    return Err(refuse(Operation::Resize, id));
                }
                state.inode(inode).seen.resize(HEADER_BYTES + len as usize, 0);
            }
            Part::Header => put(&mut state.inode(inode).seen, 0, &header.encode()),
            Part::Sync => {
                state.counts.files += 1;
                let fails = state.strikes(Operation::Sync);
                let node = state.inode(inode);
                if fails {
                    let error = refuse(Operation::Sync, id);
                    poison(node, &error, epoch, handle);
                    return Err(error);
                }
                let mut durable = node.seen.clone();
                if flaw == Flaw::ForgetsLength {
                    durable.resize(node.durable.len().max(HEADER_BYTES), 0);
                }
                if flaw == Flaw::ForgetsHeader {
                    durable[..HEADER_BYTES].fill(0);
                }
                node.durable = durable;
                let durable = state.durable_names.values().any(|node| *node == Node::File(inode));
                if !durable && flaw != Flaw::ForgetsDirectory {
                    let partition = id.partition().to_string();
                    state.sync_directory(&partition, flaw).inspect_err(|error| {
                        poison(state.inode(inode), error, epoch, handle);
                    })?;
                }
            }
        }
        Ok(())
    }
}

fn poison(node: &mut Inode, error: &Error, epoch: u64, handle: u64) {
    node.poison = Some(error.clone());
    node.poisoned_epoch = Some(node.epoch.max(epoch));
    node.poisoned_handle = Some(handle);
}

fn put(file: &mut Vec<u8>, at: usize, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    if file.len() < at + data.len() {
        file.resize(at + data.len(), 0);
    }
    file[at..at + data.len()].copy_from_slice(data);
}

#[async_trait]
impl Blob for DiskBlob {
    fn id(&self) -> &BlobId {
        &self.id
    }

    fn header(&self) -> &Header {
        &self.header
    }

    fn header_state(&self) -> HeaderState {
        self.state
    }

    fn len(&self) -> u64 {
        (self.disk.0.lock().inodes[&self.inode].seen.len() as u64).saturating_sub(HEADER_BYTES as u64)
    }

    /// From memory while nothing is under way.
    fn try_read_at(&self, offset: u64, len: usize) -> Option<Result<Bytes, Error>> {
        let mut state = self.disk.0.lock();
        if !state.jobs.is_empty() || state.faults.contains(&Operation::Read) {
            return None;
        }
        let node = state.inode(self.inode);
        if node.removed {
            return Some(Err(Error::Removed { blob: self.id.clone() }));
        }
        let data = node.seen.get(HEADER_BYTES..).unwrap_or_default();
        let start = offset as usize;
        Some(
            check_read(&self.id, offset, len, data.len() as u64)
                .map(|()| Bytes::copy_from_slice(&data[start..start + len])),
        )
    }

    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, Error> {
        let mut turns = 0;
        poll_fn(|cx| {
            turns += 1;
            cx.waker().wake_by_ref();
            if turns > 2 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        let mut state = self.disk.0.lock();
        let fails = state.strikes(Operation::Read);
        let node = state.inode(self.inode);
        if node.removed {
            return Err(Error::Removed { blob: self.id.clone() });
        }
        let data = node.seen.get(HEADER_BYTES..).unwrap_or_default();
        check_read(&self.id, offset, len, data.len() as u64)?;
        let start = offset as usize;
        if fails {
            return match self.disk.flaw() {
                Flaw::FailedReadIsShort => Ok(Bytes::copy_from_slice(&data[start..start + len / 2])),
                _ => Err(refuse(Operation::Read, &self.id)),
            };
        }
        Ok(Bytes::copy_from_slice(&data[start..start + len]))
    }

    async fn write_at(&self, offset: u64, data: Vec<Bytes>) -> Result<(), Error> {
        end_of(offset, &data)?;
        self.disk.refuse_read_only(Operation::Write, &self.id)?;
        self.change(vec![Part::Write(offset, data)]).await
    }

    async fn resize(&self, len: u64) -> Result<(), Error> {
        check_len(len)?;
        self.disk.refuse_read_only(Operation::Resize, &self.id)?;
        self.change(vec![Part::Resize(len)]).await
    }

    async fn sync(&self) -> Result<(), Error> {
        self.disk.refuse_read_only(Operation::Sync, &self.id)?;
        self.change(vec![Part::Sync]).await
    }

    async fn write_at_sync(&self, offset: u64, data: Vec<Bytes>) -> Result<(), Error> {
        end_of(offset, &data)?;
        self.disk.refuse_read_only(Operation::Write, &self.id)?;
        let write = Part::Write(offset, data);
        match self.disk.flaw() {
            Flaw::WriteSyncForgetsSync => self.change(vec![write]).await,
            _ => self.change(vec![write, Part::Sync]).await,
        }
    }

    async fn write_header(&self) -> Result<(), Error> {
        self.disk.refuse_read_only(Operation::Write, &self.id)?;
        self.change(vec![Part::Header]).await
    }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").field("flaw", &self.0.flaw).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for DiskBlob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("DiskBlob").field(&self.id).finish()
    }
}

/// Everything a harness can do to a [`Disk`], as far as `able` says so.
pub(crate) struct DiskHarness {
    pub(crate) flaw: Flaw,
    pub(crate) able: fn(Ability) -> bool,
}

impl DiskHarness {
    fn again(
        &self,
        ability: Ability,
        storage: &Arc<dyn Storage>,
        next: impl FnOnce(&Disk) -> Disk,
    ) -> Option<Result<Arc<dyn Storage>, Error>> {
        (self.able)(ability).then(|| Ok(Arc::new(next(disk(storage))) as Arc<dyn Storage>))
    }
}

/// The disk behind the trait object.
fn disk(storage: &Arc<dyn Storage>) -> &Disk {
    let any: &dyn Any = storage.as_ref();
    any.downcast_ref().expect("storage of this harness")
}

#[async_trait]
impl Harness for DiskHarness {
    async fn fresh(&self) -> Result<Arc<dyn Storage>, Error> {
        Ok(Arc::new(Disk::new(self.flaw)))
    }

    async fn reopen(&self, storage: Arc<dyn Storage>) -> Option<Result<Arc<dyn Storage>, Error>> {
        self.again(Ability::Reopen, &storage, |disk| {
            disk.0.finish();
            disk.restart(false, false)
        })
    }

    async fn read_only(&self, storage: Arc<dyn Storage>) -> Option<Result<Arc<dyn Storage>, Error>> {
        self.again(Ability::ReadOnly, &storage, |disk| {
            disk.0.finish();
            disk.restart(false, true)
        })
    }

    async fn power_cut(&self, storage: Arc<dyn Storage>) -> Option<Result<Arc<dyn Storage>, Error>> {
        self.again(Ability::PowerCut, &storage, |disk| disk.restart(true, false))
    }

    async fn kill(&self, storage: Arc<dyn Storage>) -> Option<Result<Arc<dyn Storage>, Error>> {
        self.again(Ability::Kill, &storage, |disk| disk.restart(false, false))
    }

    fn fail_next(&self, storage: &Arc<dyn Storage>, operation: Operation) -> bool {
        if !(self.able)(Ability::FailNext(operation)) {
            return false;
        }
        disk(storage).0.lock().faults.push(operation);
        true
    }

    fn counts(&self, storage: &Arc<dyn Storage>) -> Option<Counts> {
        (self.able)(Ability::Counts).then(|| std::mem::take(&mut disk(storage).0.lock().counts))
    }

    async fn edit(
        &self,
        storage: Arc<dyn Storage>,
        partition: &str,
        edit: &mut Edit<'_>,
    ) -> Option<Result<Arc<dyn Storage>, Error>> {
        self.again(Ability::Edit, &storage, |disk| {
            disk.0.finish();
            disk.edited(partition, edit)
        })
    }
}
