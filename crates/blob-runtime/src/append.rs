//! The machinery every log above stands on: bytes are appended in memory, and reach a blob in order.
//!
//! ```text
//!  append ──▶ tail (memory) ──▶ write job ──▶ blob ──▶ sync ──▶ durable
//!              │  │                │                     │
//!              │  └ in flight: still readable             └ one for all who wait (group commit)
//!              └ appends go on in the other buffer
//! ```
//!
//! - **One job at a time.** A job is a write, a write with a sync, or a cut. It is a future that lives in the log, not
//!   in the caller: whoever needs its end polls it; if all of them are dropped, the next one to come finishes it. So no
//!   dropped future loses or doubles a byte (P7).
//! - **Group commit.** Whoever comes while a sync runs waits for the next one, which covers all that was appended by
//!   then. One of them starts it, once as many are there as the time before; all get its answer.
//! - **A failed write loses nothing.** Its bytes stay in memory, and the next sync writes them again. A follower never
//!   takes Ok from a leader that failed: it tries by itself.
//! - **A failed sync poisons.** Nothing is known then; everyone who waits and everyone who comes gets
//!   [`Error::Poisoned`] until the blob is opened anew.
//!
//! ```
//! use blob_runtime::append::{Config, Log, Plain, Start};
//! use blob_runtime::{Format, Kind, MemoryStorage, Storage, StoreId, Want};
//!
//! # futures::executor::block_on(async {
//! let storage = MemoryStorage::new();
//! let blob = storage.open("log", b"0", &Format::new(Kind::USER, Want::Exactly(StoreId(1)))).await?;
//! let log = Log::new(blob, Plain, Start::default(), Config::default());
//! let offset = log.append(5, |offset, space| { space.put(b"hello"); offset }).await?;
//! log.sync().await?;
//! assert_eq!(log.durable(), 5);
//! assert_eq!(&log.read_at(offset, 5).await?[..], b"hello");
//! # Ok::<_, blob_runtime::Error>(()) }).unwrap();
//! ```

mod commit;
mod company;
mod layout;
mod read;
mod room;
mod tail;
#[cfg(test)]
mod tests;
mod wait;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;

use self::commit::{Job, Kind};
use self::company::Company;
use self::room::Room;
use self::tail::Tail;
use self::wait::Changed;
use crate::error::Error;
use crate::queue::Queue;
use crate::storage::{Blob, check_read};
use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering, lock};

pub use self::layout::{Layout, Linear, Pending, Plain, Plan};
pub use self::tail::{Space, Spares};
pub use self::wait::{Hold, NotAppended};

/// How a [`Log`] buffers.
#[derive(Debug, Clone)]
pub struct Config {
    /// Bytes that are gathered before they are written without being asked. There are two such buffers, and four while a
    /// sync is under way. An append that is larger than this is taken whole.
    pub buffer_bytes: usize,
    /// A write that would leave more bytes than this unsynced is synced with it, so that the last sync of a long run is
    /// short.
    pub unsynced_bytes: u64,
    /// Where buffers come from and go to; to be shared by the logs of a store.
    pub spares: Spares,
}

impl Default for Config {
    fn default() -> Self {
        Self { buffer_bytes: 1 << 20, unsynced_bytes: 32 << 20, spares: Spares::new(2 << 20) }
    }
}

/// Where a log begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Start {
    /// Logical length in bytes.
    pub len: u64,
    /// How much of it is proven durable, in bytes. What was only found at an open is not.
    pub durable: u64,
}

/// An append-only row of bytes over a blob. Cheap to clone; clones share everything.
///
/// Dropping the last clone flushes nothing: it is a crash.
pub struct Log<L: Layout = Plain>(Arc<Shared<L>>);

struct Shared<L> {
    blob: Arc<dyn Blob>,
    config: Config,
    state: Mutex<State<L>>,
    /// Entered by a [`Hold`].
    holds: Queue,
    /// Counts the beginnings and ends of cuts: odd while one is under way.
    cuts: AtomicU64,
}

struct State<L> {
    layout: L,
    tail: Tail,
    /// The job under way. It is taken out by its own end.
    job: Option<Job>,
    /// It ends with a sync.
    syncing: bool,
    /// A cut is under way: nothing may be appended before its end.
    cutting: bool,
    /// A [`Hold`] keeps appends out.
    held: bool,
    /// How the last write failed, until one succeeds.
    failed: Option<Error>,
    /// Logical offset up to which any write was ever tried: a failed one may have left bytes behind `written`.
    reached: u64,
    poisoned: Option<Error>,
    /// It was taken out of use, whatever else has befallen it.
    retired: bool,
    /// Who asks for syncs.
    company: Company,
    /// Whether the blob was ever synced through this log.
    synced_once: bool,
    /// Who waits for bytes to become durable.
    waiting: BTreeMap<u64, Waker>,
    next_waiter: u64,
}

impl<L> State<L> {
    /// Notes who is to be woken when anything has changed.
    fn wait(&mut self, id: &mut Option<u64>, cx: &Context<'_>) {
        let id = *id.get_or_insert(self.next_waiter);
        self.next_waiter = self.next_waiter.max(id + 1);
        self.waiting.insert(id, cx.waker().clone());
    }

    fn wake_waiting(&mut self) {
        std::mem::take(&mut self.waiting).into_values().for_each(Waker::wake);
    }
}

impl<L: Layout> Log<L> {
    /// A log that goes on at `start`. Nobody else may change the blob while it lives.
    pub fn new(blob: Arc<dyn Blob>, layout: L, start: Start, config: Config) -> Self {
        let state = State {
            layout,
            tail: Tail::new(start.len, start.durable, config.buffer_bytes, config.spares.clone()),
            job: None,
            syncing: false,
            cutting: false,
            held: false,
            failed: None,
            reached: start.len,
            poisoned: None,
            retired: false,
            company: Company::default(),
            synced_once: false,
            waiting: BTreeMap::new(),
            next_waiter: 0,
        };
        Self(Arc::new(Shared { blob, config, state: Mutex::new(state), holds: Queue::new(), cuts: AtomicU64::new(0) }))
    }

    /// The blob beneath.
    pub fn blob(&self) -> &Arc<dyn Blob> {
        &self.0.blob
    }

    /// Logical length in bytes, with what is only in memory.
    pub fn len(&self) -> u64 {
        self.state().tail.len()
    }

    /// Whether nothing was ever appended, or all was cut off.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Logical bytes whose write has returned.
    pub fn written(&self) -> u64 {
        self.state().tail.written()
    }

    /// Logical bytes that a sync has returned for: the floor. Never more than the truth (I5).
    pub fn durable(&self) -> u64 {
        self.state().tail.durable()
    }

    /// Bytes held in memory because they are not written yet.
    pub fn pending_bytes(&self) -> usize {
        self.state().tail.pending_bytes()
    }

    /// Counts the beginnings and ends of cuts; odd while one is under way. A read that sees it change has seen bytes of
    /// both sides, or zeros in between.
    pub fn cuts(&self) -> u64 {
        self.0.cuts.load(Ordering::Acquire)
    }

    /// Why the log takes no change, if it does not.
    pub fn poison_cause(&self) -> Option<Error> {
        self.state().poisoned.clone()
    }

    /// Whether it was [taken out of use](Self::retire).
    pub fn is_retired(&self) -> bool {
        self.state().retired
    }

    /// Runs `look` with the layout, under the log's lock.
    pub fn with_layout<T>(&self, look: impl FnOnce(&mut L) -> T) -> T {
        look(&mut self.state().layout)
    }

    /// [`append`](Self::append) that does not wait: gives `fill` back when all buffers are full.
    ///
    /// # Errors
    /// [`NotAppended`].
    #[inline]
    pub fn try_append<T, F>(&self, len: usize, fill: F) -> Result<T, NotAppended<F>>
    where
        F: FnOnce(u64, &mut Space<'_>) -> T,
    {
        let mut state = self.state();
        let mut room = state.room(len, self.0.config.buffer_bytes);
        if matches!(room, Room::Next | Room::None)
            && let Some(job) = state.job.clone()
        {
            // It may be over, and nobody has taken note: whoever started it polls it no more.
            drop(state);
            let _ = job.now_or_never();
            state = self.state();
            room = state.room(len, self.0.config.buffer_bytes);
        }
        match room {
            Room::Failed(error) => Err(NotAppended::Failed(error)),
            Room::None => Err(NotAppended::Busy(fill)),
            Room::Here => Ok(state.tail.fill(len, fill)),
            Room::Next => {
                state.tail.freeze();
                Ok(state.tail.fill(len, fill))
            }
            Room::AndWrite => {
                let job = self.start(&mut state, Kind::Write, u64::MAX);
                let result = state.tail.fill(len, fill);
                drop(state);
                // Sets it going; the next one to need its end polls it on.
                let _ = job.now_or_never();
                Ok(result)
            }
        }
    }

    /// Writes what was appended by now, without a sync.
    ///
    /// Cancel safety: a write that has begun runs to its end.
    ///
    /// # Errors
    /// [`Error::Poisoned`]; the write's own error: the bytes stay in memory.
    pub async fn flush(&self) -> Result<(), Error> {
        let target = self.len();
        self.drive(Kind::Write, u64::MAX, |state| state.tail.written() >= target).await
    }

    /// Makes durable what was appended by now, with at most one sync of the blob for all who ask at the same time.
    ///
    /// Cancel safety: a sync that has begun runs to its end.
    ///
    /// # Errors
    /// [`Error::Poisoned`] after a failed sync; a failed write's own error: the bytes stay in memory, and the next sync
    /// tries again.
    pub async fn sync(&self) -> Result<(), Error> {
        self.sync_through(u64::MAX).await
    }

    /// [`sync`](Self::sync) that writes nothing behind logical offset `limit`: what lies there may not reach the blob
    /// yet, because something else has to be durable first.
    ///
    /// Cancel safety and errors: as [`sync`](Self::sync).
    pub async fn sync_through(&self, limit: u64) -> Result<(), Error> {
        let target = self.len().min(limit);
        self.drive(Kind::Sync, limit, |state| state.synced_once && state.tail.durable() >= target).await
    }

    /// Waits until logical offset `target` is durable, without starting a sync.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// [`Error::Poisoned`]; [`Error::OutOfBounds`] when the log is shorter, or is cut to be.
    pub async fn wait_durable(&self, target: u64) -> Result<(), Error> {
        loop {
            let job = {
                let state = self.state();
                if state.tail.durable() >= target {
                    return Ok(());
                }
                if let Some(error) = &state.poisoned {
                    return Err(error.clone());
                }
                check_read(self.0.blob.id(), target, 0, state.tail.len())?;
                state.job.clone()
            };
            match job {
                // Whoever started it may have been dropped, so it is driven from here too.
                Some(job) => drop(job.await),
                None => Changed { log: self, target, id: None }.await,
            }
        }
    }

    /// Keeps appends out until what is returned is dropped; those that come wait. For an owner that changes the
    /// structure around the log: what is appended and made durable between its decision and its end would be lost by
    /// carrying the decision out again (I4).
    ///
    /// Cancel safety: dropping the future holds nothing.
    pub async fn hold(&self) -> Hold<L> {
        let ticket = self.0.holds.enter().await;
        self.state().held = true;
        Hold { log: self.clone(), _ticket: ticket }
    }

    /// Takes the log out of use: from now on it takes no change, and what has begun is over when this returns. What is
    /// only in memory is given up. For an owner that opens the blob anew.
    ///
    /// Cancel safety: the log takes no change from the first poll on.
    pub async fn retire(&self) {
        {
            let mut state = self.state();
            state.retired = true;
            state.poisoned.get_or_insert(Error::Closed);
            state.wake_waiting();
        }
        self.settle().await;
    }

    /// Waits until no job is under way. What has begun is over when this returns.
    ///
    /// Cancel safety: safe.
    pub async fn settle(&self) {
        loop {
            let Some(job) = self.state().job.clone() else { return };
            let _ = job.await;
        }
    }

    /// Cuts off everything from logical offset `len` on. What is only in memory is dropped; for what may have reached
    /// the blob `steps` is run, alone on the blob and to its end. It is run whenever anything from `len` on was ever
    /// handed to the blob, also when that write failed.
    ///
    /// Cancel safety: a cut that has begun runs to its end, and appends wait for it.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`] when the log is shorter; [`Error::Poisoned`]; an error of `steps`, which poisons the log.
    pub async fn cut<F>(&self, len: u64, steps: F) -> Result<(), Error>
    where
        F: FnOnce(Arc<dyn Blob>) -> BoxFuture<'static, Result<(), Error>>,
    {
        self.cut_with(len, |blob, _, _| steps(blob)).await
    }

    /// [`cut`](Self::cut) whose steps are made under the log's lock, of the layout and of how many bytes the log has in
    /// its blob by then.
    ///
    /// Cancel safety and errors: as [`cut`](Self::cut).
    pub async fn cut_with<F>(&self, len: u64, steps: F) -> Result<(), Error>
    where
        F: FnOnce(Arc<dyn Blob>, u64, &mut L) -> BoxFuture<'static, Result<(), Error>>,
    {
        let job = loop {
            let running = {
                let mut state = self.state();
                if let Some(error) = &state.poisoned {
                    return Err(error.clone());
                }
                check_read(self.0.blob.id(), len, 0, state.tail.len())?;
                match &state.job {
                    Some(job) => job.clone(),
                    None => break self.start_cut(&mut state, len, steps),
                }
            };
            let _ = running.await;
        };
        job.await
    }

    /// Runs `steps` alone on the blob, as a job of the log: appends wait, nothing is written meanwhile. Only when everything
    /// appended is in the blob; otherwise `steps` is not run, and the answer is false. It is made under the log's lock, of
    /// the log's length and the layout.
    ///
    /// Cancel safety: once begun, `steps` run to their end.
    ///
    /// # Errors
    /// [`Error::Poisoned`]; an error of `steps`, which poisons only when it is that of a sync.
    pub async fn alone<F>(&self, steps: F) -> Result<bool, Error>
    where
        F: FnOnce(Arc<dyn Blob>, u64, &mut L) -> BoxFuture<'static, Result<(), Error>>,
    {
        let job = loop {
            let running = {
                let mut state = self.state();
                if let Some(error) = &state.poisoned {
                    return Err(error.clone());
                }
                match &state.job {
                    Some(job) => job.clone(),
                    None if state.tail.pending_bytes() > 0 => return Ok(false),
                    None => break self.start_alone(&mut state, steps),
                }
            };
            let _ = running.await;
        };
        job.await.map(|()| true)
    }

    /// What of the range is only in memory, as its first offset and the bytes from there to the range's end.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`] past the log's end.
    pub fn read_tail(&self, offset: u64, len: usize) -> Result<(u64, Bytes), Error> {
        self.read_tail_with(offset, len, |_, start, bytes| (start, bytes))
    }

    /// [`read_tail`](Self::read_tail), with the layout as it is at the same moment.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`] past the log's end.
    pub fn read_tail_with<T>(
        &self,
        offset: u64,
        len: usize,
        look: impl FnOnce(&L, u64, Bytes) -> T,
    ) -> Result<T, Error> {
        let state = self.state();
        check_read(self.0.blob.id(), offset, len, state.tail.len())?;
        let (start, bytes) = state.tail.read(offset, len);
        Ok(look(&state.layout, start, bytes))
    }

    /// Looks at a range in place, under the log's lock: `look` gets the layout, and the bytes when they are in memory in one
    /// piece. No allocation, no I/O.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`] past the log's end.
    pub fn look_with<T>(&self, offset: u64, len: usize, look: impl FnOnce(&L, Option<&[u8]>) -> T) -> Result<T, Error> {
        let state = self.state();
        check_read(self.0.blob.id(), offset, len, state.tail.len())?;
        Ok(look(&state.layout, state.tail.piece(offset, len)))
    }

    fn state(&self) -> MutexGuard<'_, State<L>> {
        lock(&self.0.state)
    }
}

impl<L: Layout> Clone for Log<L> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<L: Layout> fmt::Debug for Log<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Log")
            .field("blob", self.0.blob.id())
            .field("tail", &state.tail)
            .field("running", &state.job.is_some())
            .field("failed", &state.failed)
            .field("poisoned", &state.poisoned)
            .finish_non_exhaustive()
    }
}
