//! What every case stands on: opening, comparing, and waiting that cannot hang.

use std::fmt::Debug;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::{BoxFuture, Either, MaybeDone, maybe_done, select};
use futures::task::{ArcWake, AtomicWaker, waker};
use futures::{FutureExt, lock};

use super::harness::{Ability, Counts, Files, Harness};
use super::promise::{self, Promise};
use super::report::Violation;
use crate::error::{Error, Operation};
use crate::header::{Format, Kind, Want};
use crate::name::StoreId;
use crate::storage::{Blob, Storage};
use crate::yielding::yield_now;

/// How many syncs of another blob may begin and end while one future does not. On the fastest disk that is about a
/// second, more than a thread of a pool is ever kept from running.
const PATIENCE: usize = 30_000;
/// So many times a read comes in place of the sync: what ends soon is not made to wait for a sync.
const SHORT_WAITS: usize = 16;

/// A case ends early with either.
#[derive(Debug)]
pub(super) enum Stop {
    Violation(Violation),
    Skip(Ability),
}

pub(super) type Verdict = Result<(), Stop>;

/// One case and the promise it is about.
pub(super) struct Check {
    pub(super) promise: &'static Promise,
    pub(super) name: &'static str,
    pub(super) run: for<'a> fn(&'a Case<'a>) -> BoxFuture<'a, Verdict>,
}

/// `PROMISE "name" function;` for each case of a topic.
macro_rules! cases {
    ($($promise:ident $name:literal $run:expr;)*) => {
        pub(super) static CASES: &[$crate::contract::case::Check] = &[$($crate::contract::case::Check {
            promise: &$crate::contract::promise::$promise,
            name: $name,
            run: |case| Box::pin($run(case)),
        }),*];
    };
}
pub(super) use cases;

/// Ends the case unless `$result` is the error `$pattern`.
macro_rules! refused {
    ($case:expr, $doing:expr, $result:expr, $pattern:pat $(if $guard:expr)?) => {
        match $result {
            Err($pattern) $(if $guard)? => Ok(()),
            other => {
                let found = $crate::contract::case::shown(&other);
                Err($case.wrong($doing, stringify!($pattern $(if $guard)?), found))
            }
        }
    };
}
pub(super) use refused;

/// A blob that is synced again and again, on storage of its own: the suite's measure of time.
#[derive(Default)]
pub(super) struct Pace(lock::Mutex<Option<Arc<dyn Blob>>>);

/// A running case.
pub(super) struct Case<'a> {
    harness: &'a dyn Harness,
    pace: &'a Pace,
    promise: &'static Promise,
    name: &'static str,
}

impl<'a> Case<'a> {
    pub(super) fn new(harness: &'a dyn Harness, pace: &'a Pace, check: &Check) -> Self {
        Self { harness, pace, promise: check.promise, name: check.name }
    }

    /// A violation of the case's promise.
    pub(super) fn wrong(&self, doing: &str, expected: impl Into<String>, found: impl Into<String>) -> Stop {
        self.broken(self.promise, doing, expected.into(), found.into())
    }

    fn broken(&self, promise: &'static Promise, doing: &str, expected: String, found: String) -> Stop {
        Stop::Violation(Violation { promise, case: self.name, doing: doing.into(), expected, found })
    }

    /// The value of something that must work.
    pub(super) fn ok<T>(&self, doing: &str, result: Result<T, Error>) -> Result<T, Stop> {
        result.map_err(|error| self.wrong(doing, "Ok", shown(&error)))
    }

    /// Both must be the same.
    pub(super) fn same<T: PartialEq + Debug>(&self, doing: &str, expected: T, found: T) -> Verdict {
        if expected == found {
            return Ok(());
        }
        Err(self.wrong(doing, shown(&expected), shown(&found)))
    }

    /// Must hold; `found` says what is there instead.
    pub(super) fn holds(&self, doing: &str, expected: &str, found: &dyn Debug, holds: bool) -> Verdict {
        if holds { Ok(()) } else { Err(self.wrong(doing, expected, shown(found))) }
    }

    /// Both must be the same bytes; the message names the first that differs.
    pub(super) fn bytes(&self, doing: &str, expected: &[u8], found: &[u8]) -> Verdict {
        self.same_bytes(self.promise, doing, expected, found)
    }

    fn same_bytes(&self, promise: &'static Promise, doing: &str, expected: &[u8], found: &[u8]) -> Verdict {
        if expected == found {
            return Ok(());
        }
        let differs = expected.iter().zip(found).position(|(expected, found)| expected != found);
        let at = differs.unwrap_or(expected.len().min(found.len()));
        let describe = |bytes: &[u8]| match bytes.get(at) {
            Some(byte) => format!("{byte:#04x} at {at} of {} bytes", bytes.len()),
            None => format!("the end at {at}"),
        };
        Err(self.broken(promise, doing, describe(expected), describe(found)))
    }

    /// The blob must hold exactly these bytes: by its length, by a read of all, and by a read that does not block.
    pub(super) async fn content(&self, doing: &str, blob: &dyn Blob, expected: &[u8]) -> Verdict {
        if blob.len() != expected.len() as u64 {
            // All bytes are there, and no more: then only the length is wrong.
            let read = self.ends(doing, blob.read_at(0, expected.len())).await?;
            let more = self.ends(doing, blob.read_at(0, expected.len() + 1)).await?;
            if read.is_ok_and(|read| read == expected) && more.is_err() {
                let found = format!("{} bytes", blob.len());
                return Err(self.broken(&promise::LEN, doing, format!("{} bytes", expected.len()), found));
            }
        }
        let found = self.all(doing, blob).await?;
        self.bytes(doing, expected, &found)
    }

    /// All bytes of a blob.
    pub(super) async fn all(&self, doing: &str, blob: &dyn Blob) -> Result<Bytes, Stop> {
        let len = self.in_memory(doing, blob.len())?;
        let now = blob.try_read_at(0, len);
        let read = self.read(doing, blob, 0, len).await?;
        if let Some(now) = now {
            let doing = format!("{doing}: reading all without blocking");
            let now = now.map_err(|error| self.broken(&promise::READ_NOW, &doing, "Ok".into(), shown(&error)))?;
            self.same_bytes(&promise::READ_NOW, &doing, &read, &now)?;
        }
        Ok(read)
    }

    /// A read that must work, and answer with as many bytes as were asked for.
    pub(super) async fn read(&self, doing: &str, blob: &dyn Blob, offset: u64, len: usize) -> Result<Bytes, Stop> {
        let doing = format!("{doing}: reading {len} bytes at {offset}");
        let read = self.ends(&doing, blob.read_at(offset, len)).await?;
        let read = self.ok(&doing, read)?;
        if read.len() != len {
            let found = format!("{} bytes", read.len());
            return Err(self.broken(&promise::READ_WHOLE, &doing, format!("{len} bytes"), found));
        }
        Ok(read)
    }

    /// A length the suite can hold: its blobs have some MiB at most.
    fn in_memory(&self, doing: &str, len: u64) -> Result<usize, Stop> {
        const MOST_BYTES: u64 = 1 << 30;
        match usize::try_from(len) {
            Ok(bytes) if len <= MOST_BYTES => Ok(bytes),
            _ => Err(self.wrong(doing, "a length that was asked for", format!("{len} bytes"))),
        }
    }

    /// New, empty storage.
    pub(super) async fn fresh(&self) -> Result<Arc<dyn Storage>, Stop> {
        let storage = self.harness.fresh().await;
        self.ok("making fresh storage", storage)
    }

    /// Opens a blob that must open, creating it when it is missing.
    pub(super) async fn open(
        &self,
        storage: &Arc<dyn Storage>,
        partition: &str,
        name: &[u8],
    ) -> Result<Arc<dyn Blob>, Stop> {
        self.open_as(storage, partition, name, &format()).await
    }

    /// Opens a blob that must be there.
    pub(super) async fn existing(
        &self,
        storage: &Arc<dyn Storage>,
        partition: &str,
        name: &[u8],
    ) -> Result<Arc<dyn Blob>, Stop> {
        self.open_as(storage, partition, name, &format().existing()).await
    }

    /// Opens a blob that must open so.
    pub(super) async fn open_as(
        &self,
        storage: &Arc<dyn Storage>,
        partition: &str,
        name: &[u8],
        format: &Format,
    ) -> Result<Arc<dyn Blob>, Stop> {
        let doing = format!("opening {partition}/{}", name.escape_ascii());
        let opened = self.ends(&doing, storage.open(partition, name, format)).await?;
        self.ok(&doing, opened)
    }

    /// A new blob with this content, made durable.
    pub(super) async fn durable(
        &self,
        storage: &Arc<dyn Storage>,
        partition: &str,
        name: &[u8],
        content: &[u8],
    ) -> Result<Arc<dyn Blob>, Stop> {
        let blob = self.open(storage, partition, name).await?;
        self.write(blob.as_ref(), 0, content).await?;
        self.sync(blob.as_ref()).await?;
        Ok(blob)
    }

    /// A write that must work.
    pub(super) async fn write(&self, blob: &dyn Blob, offset: u64, data: &[u8]) -> Verdict {
        let doing = format!("writing {} bytes at {offset}", data.len());
        let written = self.ends(&doing, blob.write_at(offset, vec![Bytes::copy_from_slice(data)])).await?;
        self.ok(&doing, written)
    }

    /// A resize that must work.
    pub(super) async fn resize(&self, blob: &dyn Blob, len: u64) -> Verdict {
        let doing = format!("resizing to {len}");
        let resized = self.ends(&doing, blob.resize(len)).await?;
        self.ok(&doing, resized)
    }

    /// A sync that must work.
    pub(super) async fn sync(&self, blob: &dyn Blob) -> Verdict {
        let synced = self.ends("syncing", blob.sync()).await?;
        self.ok("syncing", synced)
    }

    /// A scan that must work.
    pub(super) async fn scan(&self, storage: &Arc<dyn Storage>, partition: &str) -> Result<Vec<Vec<u8>>, Stop> {
        let doing = format!("listing {partition}");
        let names = self.ends(&doing, storage.scan(partition)).await?;
        let names = self.ok(&doing, names)?;
        if !names.is_sorted_by(|one, next| one < next) {
            return Err(self.broken(&promise::SCAN, &doing, "names, sorted, each once".into(), shown(&names)));
        }
        Ok(names)
    }

    /// A sync of many, with one answer for each.
    pub(super) async fn sync_many(
        &self,
        doing: &str,
        storage: &Arc<dyn Storage>,
        blobs: &[Arc<dyn Blob>],
    ) -> Result<Vec<Result<(), Error>>, Stop> {
        let answers = self.ends(doing, storage.sync_many(blobs)).await?;
        if answers.len() != blobs.len() {
            let expected = format!("{} answers", blobs.len());
            return Err(self.broken(&promise::SYNC_MANY_ORDER, doing, expected, format!("{} answers", answers.len())));
        }
        Ok(answers)
    }

    /// A removal that must work.
    pub(super) async fn remove(&self, storage: &Arc<dyn Storage>, partition: &str, names: &[&[u8]]) -> Verdict {
        let names: Vec<_> = names.iter().map(|name| name.to_vec()).collect();
        let removed = self.ends("removing", storage.remove(partition, &names)).await?;
        self.ok("removing", removed)
    }

    fn able<T>(&self, ability: Ability, result: Option<Result<T, Error>>) -> Result<T, Stop> {
        self.ok(&format!("asking the harness to {ability}"), result.ok_or(Stop::Skip(ability))?)
    }

    /// [`Harness::reopen`].
    pub(super) async fn reopen(&self, storage: Arc<dyn Storage>) -> Result<Arc<dyn Storage>, Stop> {
        self.able(Ability::Reopen, self.harness.reopen(storage).await)
    }

    /// [`Harness::read_only`].
    pub(super) async fn read_only(&self, storage: Arc<dyn Storage>) -> Result<Arc<dyn Storage>, Stop> {
        self.able(Ability::ReadOnly, self.harness.read_only(storage).await)
    }

    /// [`Harness::power_cut`].
    pub(super) async fn power_cut(&self, storage: Arc<dyn Storage>) -> Result<Arc<dyn Storage>, Stop> {
        self.able(Ability::PowerCut, self.harness.power_cut(storage).await)
    }

    /// [`Harness::kill`].
    pub(super) async fn kill(&self, storage: Arc<dyn Storage>) -> Result<Arc<dyn Storage>, Stop> {
        self.able(Ability::Kill, self.harness.kill(storage).await)
    }

    /// [`Harness::fail_next`].
    pub(super) fn fail_next(&self, storage: &Arc<dyn Storage>, operation: Operation) -> Verdict {
        if self.harness.fail_next(storage, operation) { Ok(()) } else { Err(Stop::Skip(Ability::FailNext(operation))) }
    }

    /// [`Harness::counts`].
    pub(super) fn counts(&self, storage: &Arc<dyn Storage>) -> Result<Counts, Stop> {
        self.harness.counts(storage).ok_or(Stop::Skip(Ability::Counts))
    }

    /// [`Harness::edit`].
    pub(super) async fn edit(
        &self,
        storage: Arc<dyn Storage>,
        partition: &str,
        mut edit: impl FnMut(&mut Files) + Send,
    ) -> Result<Arc<dyn Storage>, Stop> {
        self.able(Ability::Edit, self.harness.edit(storage, partition, &mut edit).await)
    }

    /// The output of a future that must end: it is given the time of [`PATIENCE`] syncs of a blob elsewhere.
    pub(super) async fn ends<T>(&self, doing: &str, future: impl Future<Output = T>) -> Result<T, Stop> {
        let mut future = pin!(future);
        if let Poll::Ready(output) = futures::poll!(future.as_mut()) {
            return Ok(output);
        }
        for wait in 0..PATIENCE {
            let tick = pin!(self.tick(wait));
            match select(future.as_mut(), tick).await {
                Either::Left((output, tick)) => {
                    // A tick that had begun is not left behind.
                    tick.await?;
                    return Ok(output);
                }
                Either::Right((ticked, _)) => ticked?,
            }
        }
        Err(self.wrong(doing, "an end", format!("still waiting after {PATIENCE} syncs of another blob")))
    }

    /// One read or sync elsewhere, and a turn for every other task of the executor.
    async fn tick(&self, wait: usize) -> Verdict {
        if self.harness.pass_time().await {
            return Ok(());
        }
        // Whatever goes wrong here is not about the case's promise.
        let broken = |doing, error: Error| self.broken(&promise::OPEN_CREATE, doing, "Ok".into(), shown(&error));
        let mut pace = self.pace.0.lock().await;
        let blob = match pace.as_ref() {
            Some(blob) => Arc::clone(blob),
            None => {
                let storage = self.harness.fresh().await.map_err(|error| broken("making fresh storage", error))?;
                let opened = storage.open("pace", b"pace", &format()).await;
                let blob = opened.map_err(|error| broken("opening a blob to keep time by", error))?;
                Arc::clone(pace.insert(blob))
            }
        };
        drop(pace);
        let ticked = if wait < SHORT_WAITS {
            blob.read_at(0, 0).await.map(drop)
        } else {
            blob.write_at_sync(0, vec![Bytes::from_static(b"tick")]).await
        };
        ticked.map_err(|error| broken("using a blob to keep time by", error))?;
        yield_now().await;
        Ok(())
    }

    /// Polls a future up to `polls` times, each time only after it has asked for it, and drops it. The output, when it
    /// came by then.
    pub(super) async fn polled<T>(
        &self,
        doing: &str,
        future: impl Future<Output = T>,
        polls: usize,
    ) -> Result<Option<T>, Stop> {
        let woken = Arc::new(Woken::default());
        let waker = waker(Arc::clone(&woken));
        let mut future = pin!(future);
        for poll in 0..polls {
            if poll > 0 {
                self.ends(doing, woken.wait()).await?;
            }
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Ok(Some(output));
            }
        }
        Ok(None)
    }

    /// Polls all futures once, in this order, and from then on newest first: only the order of the first polls may
    /// count. Outputs in the order of the futures.
    pub(super) async fn together<T>(&self, doing: &str, futures: Vec<BoxFuture<'_, T>>) -> Result<Vec<T>, Stop> {
        let mut all: Vec<_> = futures.into_iter().map(maybe_done).collect();
        let mut first = true;
        self.ends(
            doing,
            poll_fn(|cx| {
                let mut ended = true;
                // A `MaybeDone` keeps its output, and may be polled again.
                let mut poll = |future: &mut MaybeDone<_>| ended &= future.poll_unpin(cx).is_ready();
                if std::mem::take(&mut first) {
                    all.iter_mut().for_each(&mut poll);
                } else {
                    all.iter_mut().rev().for_each(&mut poll);
                }
                if ended { Poll::Ready(()) } else { Poll::Pending }
            }),
        )
        .await?;
        Ok(all
            .into_iter()
            .filter_map(|future| if let MaybeDone::Done(output) = future { Some(output) } else { None })
            .collect())
    }
}

/// Remembers that a future asked to be polled again.
#[derive(Default)]
struct Woken {
    woken: AtomicBool,
    task: AtomicWaker,
}

impl Woken {
    fn wait(&self) -> impl Future<Output = ()> {
        poll_fn(|cx| {
            self.task.register(cx.waker());
            if self.woken.swap(false, Ordering::AcqRel) { Poll::Ready(()) } else { Poll::Pending }
        })
    }
}

impl ArcWake for Woken {
    fn wake_by_ref(this: &Arc<Self>) {
        this.woken.store(true, Ordering::Release);
        this.task.wake();
    }
}

/// The format of the suite's blobs.
pub(super) fn format() -> Format {
    Format::new(Kind::USER, Want::Exactly(StoreId(0x0b1e_55ed)))
}

/// Bytes without a pattern, none of them zero, so that no byte is taken for one that was never written.
pub(super) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes.iter_mut().for_each(|byte| *byte |= u8::from(*byte == 0));
    bytes
}

/// Shows a value, shortened.
pub(super) fn shown(value: &dyn Debug) -> String {
    const MOST_CHARS: usize = 400;
    let mut text = format!("{value:?}");
    if let Some((at, _)) = text.char_indices().nth(MOST_CHARS) {
        text.truncate(at);
        text.push_str("...");
    }
    text
}
