//! A blob on a disk that knows what it was given and what a power cut would leave. Its operations run on threads of
//! their own, as a backend's do, or in the caller's.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::channel::oneshot;
use shuttle::thread::{self, JoinHandle};

use super::super::eio;
use crate::error::{Error, Operation};
use crate::header::{Header, HeaderState, Kind};
use crate::name::{BlobId, Salt, StoreId};
use crate::storage::{Blob, check_read};
use crate::sync::{Mutex, lock};

#[derive(Debug)]
pub(super) struct Disk {
    id: BlobId,
    header: Header,
    /// Whether operations run where they are polled.
    inline: bool,
    state: Arc<Mutex<State>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What a change does to the bytes.
#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Resize(usize),
}

/// What an operation does at once.
type Step = Box<dyn FnOnce(&mut State) -> Result<(), Error> + Send>;

#[derive(Debug, Default)]
struct State {
    /// What reads see.
    cache: Vec<u8>,
    /// What is there after a power cut.
    durable: Vec<u8>,
    unsynced: Vec<Change>,
    running: bool,
    syncs: usize,
    /// The write and the sync that fail, counted down from here.
    writes_to_failure: Option<usize>,
    syncs_to_failure: Option<usize>,
    failed: bool,
    changes_after_failure: usize,
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Write(offset, data) => {
                to.resize(to.len().max(offset + data.len()), 0);
                to[*offset..offset + data.len()].copy_from_slice(data);
            }
            Self::Resize(len) => to.resize(*len, 0),
        }
    }
}

impl State {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.cache);
        self.unsynced.push(change);
    }

    /// One that fails has written a half.
    fn write(&mut self, offset: usize, mut data: Vec<u8>) -> Result<(), Error> {
        let fails = is_due(&mut self.writes_to_failure);
        if fails {
            data.truncate(data.len() / 2);
        }
        self.change(Change::Write(offset, data));
        if fails { Err(eio(Operation::Write)) } else { Ok(()) }
    }

    /// After one that has failed the system takes what was to be written for written: the next one says Ok.
    fn sync(&mut self) -> Result<(), Error> {
        self.syncs += 1;
        let unsynced = std::mem::take(&mut self.unsynced);
        if is_due(&mut self.syncs_to_failure) {
            self.failed = true;
            return Err(eio(Operation::Sync));
        }
        unsynced.iter().for_each(|change| change.apply(&mut self.durable));
        Ok(())
    }
}

/// Counts down; whether it is time.
fn is_due(left: &mut Option<usize>) -> bool {
    let due = *left == Some(0);
    *left = left.and_then(|left| left.checked_sub(1));
    due
}

impl Disk {
    pub(super) fn new(inline: bool) -> Arc<Self> {
        Arc::new(Self {
            id: BlobId::new(&"".into(), "disk", b"d").unwrap(),
            header: Header { kind: Kind::USER, unit: 0, item: 0, store: StoreId(0), salt: Salt(0) },
            inline,
            state: Arc::default(),
            threads: Mutex::default(),
        })
    }

    /// Fails the sync that comes after `others`.
    pub(super) fn fail_sync_after(&self, others: usize) {
        lock(&self.state).syncs_to_failure = Some(others);
    }

    /// Fails the write that comes after `others`.
    pub(super) fn fail_write_after(&self, others: usize) {
        lock(&self.state).writes_to_failure = Some(others);
    }

    pub(super) fn durable(&self) -> Vec<u8> {
        lock(&self.state).durable.clone()
    }

    pub(super) fn syncs(&self) -> usize {
        lock(&self.state).syncs
    }

    pub(super) fn is_running(&self) -> bool {
        lock(&self.state).running
    }

    /// How many changes came after a sync that failed.
    pub(super) fn changes_after_failure(&self) -> usize {
        lock(&self.state).changes_after_failure
    }

    /// Waits for its threads.
    pub(super) fn rest(&self) {
        let threads = std::mem::take(&mut *lock(&self.threads));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }

    /// Runs the steps one after the other: others may be scheduled between any two. Begun, they run to their end.
    async fn run(&self, steps: Vec<Step>) -> Result<(), Error> {
        {
            let mut state = lock(&self.state);
            assert!(!state.running, "two changes at once");
            state.running = true;
            if state.failed {
                state.changes_after_failure += 1;
            }
        }
        let state = Arc::clone(&self.state);
        let work = move || {
            let result = steps.into_iter().try_for_each(|step| step(&mut lock(&state)));
            lock(&state).running = false;
            result
        };
        if self.inline {
            return work();
        }
        let (answer, wait) = oneshot::channel();
        let thread = thread::spawn(move || drop(answer.send(work())));
        lock(&self.threads).push(thread);
        wait.await.unwrap()
    }
}

#[async_trait]
impl Blob for Disk {
    fn id(&self) -> &BlobId {
        &self.id
    }

    fn header(&self) -> &Header {
        &self.header
    }

    fn header_state(&self) -> HeaderState {
        HeaderState::Sound
    }

    fn len(&self) -> u64 {
        lock(&self.state).cache.len() as u64
    }

    fn try_read_at(&self, offset: u64, len: usize) -> Option<Result<Bytes, Error>> {
        let state = lock(&self.state);
        let start = usize::try_from(offset).unwrap();
        let checked = check_read(&self.id, offset, len, state.cache.len() as u64);
        Some(checked.map(|()| Bytes::copy_from_slice(&state.cache[start..start + len])))
    }

    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, Error> {
        self.try_read_at(offset, len).unwrap()
    }

    async fn write_at(&self, offset: u64, data: Vec<Bytes>) -> Result<(), Error> {
        let offset = usize::try_from(offset).unwrap();
        self.run(vec![Box::new(move |state| state.write(offset, data.concat()))]).await
    }

    async fn resize(&self, len: u64) -> Result<(), Error> {
        let len = usize::try_from(len).unwrap();
        let step = move |state: &mut State| {
            state.change(Change::Resize(len));
            Ok(())
        };
        self.run(vec![Box::new(step)]).await
    }

    async fn sync(&self) -> Result<(), Error> {
        self.run(vec![Box::new(State::sync)]).await
    }

    async fn write_at_sync(&self, offset: u64, data: Vec<Bytes>) -> Result<(), Error> {
        let offset = usize::try_from(offset).unwrap();
        self.run(vec![Box::new(move |state| state.write(offset, data.concat())), Box::new(State::sync)]).await
    }

    async fn write_header(&self) -> Result<(), Error> {
        Ok(())
    }
}
