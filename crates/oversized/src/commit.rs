//! The order in which bytes reach the disk. The whole of it:
//!
//! ```text
//!  append      memory: the frame into the values' tail, its record into the index's tail; nothing is written
//!  sync        the values: one write, one fdatasync                                          ── acknowledged
//!  checkpoint  the values: as a sync;  then the index: pages of what is durable, one fdatasync        (I1)
//!  seal        a checkpoint, if it is worth a page;  then the values: the seal, one fdatasync
//!  cut         intent, durable;  the index: shorter, durable;  the values: zeros, durable; truncated,
//!              durable; sealed, durable;  intent cleared, durable                             (I3, I4)
//!  remove      the index, durable;  then the values, durable                                         (I3)
//! ```
//!
//! The index follows the values and is never needed for what was acknowledged: each frame carries its record (I2).

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use blob_runtime::Error as StorageError;
use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use futures::future::{BoxFuture, Shared as SharedFuture};
use glob::Cursor;
use glob::section::Section as Values;

use crate::error::Error;
use crate::index::Index;
use crate::metrics::add;
use crate::section::{Section, Shared};

/// A checkpoint under way. It lives in its section; whoever needs its end polls a clone.
pub(crate) type Job = SharedFuture<BoxFuture<'static, Result<(), Error>>>;

/// Records copied to an index at a time, in bytes: they are still at hand when their pages are made and written.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;

/// Of so many appends beside a checkpoint one polls it.
const POLL_STRIDE: u64 = 64;

impl Section {
    /// Makes durable what was appended by now: one write and one sync of the values.
    ///
    /// Cancel safety: a sync that has begun runs to its end.
    ///
    /// # Errors
    /// As [`Values::sync`].
    pub(crate) async fn sync(&self) -> Result<(), Error> {
        self.check()?;
        let synced = self.values.sync().await.map_err(|error| self.of_values(error));
        self.account();
        synced
    }

    /// Whether the index is to be written before more is appended.
    #[inline]
    pub(crate) fn is_checkpoint_due(&self) -> bool {
        let tail = self.index.tail_bytes();
        if tail < self.shared.index_buffer_bytes && self.unindexed_bytes() < self.shared.checkpoint_bytes {
            return false;
        }
        // One that has failed is tried again when some more has come.
        let failed_at = self.failed_at.load(Ordering::Relaxed);
        let full = tail >= self.shared.index_buffer_bytes.saturating_mul(2);
        failed_at == 0 || full || tail >= failed_at.saturating_add(self.shared.index_buffer_bytes / 4)
    }

    /// Whether no more is appended until the index is written: twice what makes a checkpoint due waits for it.
    fn is_checkpoint_overdue(&self) -> bool {
        self.index.tail_bytes() >= self.shared.index_buffer_bytes.saturating_mul(2)
            || self.unindexed_bytes() >= self.shared.checkpoint_bytes.saturating_mul(2)
    }

    /// Whether the next append has to see to the index first: begin a checkpoint, set one going again, or wait for it.
    #[inline]
    pub(crate) fn is_room_due(&self) -> bool {
        self.is_checkpoint_due()
            && (self.is_checkpoint_overdue() || self.len().is_multiple_of(POLL_STRIDE) || lock(&self.job).is_none())
    }

    /// Sees to the index when it is time to: the checkpoint runs beside the appends, which poll it, and wait for it only
    /// when it is overdue. A failure is an error only when there is no room in memory left: the records stay there, and are
    /// in the frames besides.
    pub(crate) async fn make_room(&self) -> Result<(), Error> {
        if !self.is_checkpoint_due() {
            return Ok(());
        }
        let Some(job) = self.begin_checkpoint()? else { return Ok(()) };
        let result = match job.clone().now_or_never() {
            Some(result) => result,
            None if !self.is_checkpoint_overdue() => return Ok(()),
            None => job.clone().await,
        };
        self.ended(&job, &result);
        match result {
            Ok(()) => Ok(()),
            Err(error) if error.is_transient() && self.index.tail_bytes() < self.shared.index_buffer_bytes * 2 => {
                self.failed_at.store(self.index.tail_bytes(), Ordering::Relaxed);
                tracing::warn!(section = self.number(), %error, "the index could not be written; it is tried again");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Makes durable what was appended by now, and then its records in the index. One at a time: who comes meanwhile
    /// waits for the one that runs.
    ///
    /// Cancel safety: one that has begun runs to its end, at the latest with the next.
    ///
    /// # Errors
    /// As [`sync`](Self::sync); a failed write of the index: the records stay in memory; a failed sync of it poisons the
    /// section (I8).
    pub(crate) async fn checkpoint(&self) -> Result<(), Error> {
        let Some(job) = self.begin_checkpoint()? else { return Ok(()) };
        let result = job.clone().await;
        self.ended(&job, &result);
        result
    }

    /// The checkpoint under way, or a new one; `None` while the section is cut.
    fn begin_checkpoint(&self) -> Result<Option<Job>, Error> {
        let mut job = lock(&self.job);
        match &*job {
            Some(running) => Ok(Some(running.clone())),
            None if self.cutting.load(Ordering::Acquire) => Ok(None),
            None => {
                self.check()?;
                let (values, index) = (Arc::clone(&self.values), Arc::clone(&self.index));
                let shared = Arc::clone(&self.shared);
                let started = async move { write_index(&values, &index, &shared).await }.boxed().shared();
                Ok(Some(job.insert(started).clone()))
            }
        }
    }

    /// Waits until no checkpoint is under way.
    pub(crate) async fn settle_checkpoint(&self) {
        let running = lock(&self.job).clone();
        if let Some(job) = running {
            let result = job.clone().await;
            self.ended(&job, &result);
        }
    }

    fn ended(&self, job: &Job, result: &Result<(), Error>) {
        let mut slot = lock(&self.job);
        if !slot.as_ref().is_some_and(|running| running.ptr_eq(job)) {
            return;
        }
        *slot = None;
        match result {
            Ok(()) => {
                self.count(|counters| add(&counters.checkpoints, 1));
                self.failed_at.store(0, Ordering::Relaxed);
                // What was appended meanwhile counts from here: a little early does no harm.
                self.checkpointed.store(self.values.floor(), Ordering::Relaxed);
            }
            Err(Error::Poisoned { source, .. }) => {
                let _ = self.poison.set(StorageError::clone(source));
            }
            Err(_) => {}
        }
        drop(slot);
        self.account();
        self.shared.bell.ring();
    }

    /// Makes everything durable and puts a seal behind it; whether nothing was appended in between. The index is written
    /// too when that is worth a page: a small section needs none.
    pub(crate) async fn try_seal(&self) -> Result<bool, Error> {
        // One under way may have begun long ago: what came since would be left to the frames.
        self.settle_checkpoint().await;
        self.check()?;
        let worth = self.index.tail_bytes() >= self.shared.page_bytes as usize;
        if worth || self.is_index_lost() {
            match self.checkpoint().await {
                Err(error) if error.is_transient() => {
                    tracing::warn!(section = self.number(), %error, "the index could not be written before the seal");
                }
                result => result?,
            }
        }
        let before = self.values.is_sealed();
        let sealed = self.values.try_seal().await.map_err(|error| self.of_values(error));
        if matches!(sealed, Ok(true)) && !before {
            self.count(|counters| add(&counters.seals, 1));
        }
        self.account();
        sealed
    }

    /// Cuts the section to its first `items`, whose values end at `to`; appends are kept out. The index goes first (I3):
    /// an entry that points past the values is never what a crash leaves.
    pub(crate) async fn cut(&self, items: u64, to: Cursor) -> Result<(), Error> {
        // Under the lock of the job: none begins from here on.
        let set = |cutting: bool| {
            let _job = lock(&self.job);
            self.cutting.store(cutting, Ordering::Release);
        };
        set(true);
        self.settle_checkpoint().await;
        let result = async {
            self.check()?;
            match self.index.pages() {
                Some(pages) if pages.len() > items => {
                    let bytes = items.saturating_mul(self.index.record_bytes() as u64);
                    match pages.paged().cut(bytes).await.map_err(|error| Error::of_pages(self.number(), error)) {
                        // Its pages cannot be written: without an index nothing is lost (I2).
                        Err(error) if error.is_transient() => self.drop_index(&pages).await?,
                        cut => cut?,
                    }
                }
                Some(_) => {}
                // One that was found and is not used goes: nobody would cut it, and after a close it would count (I3).
                None => self.shared.remove_indexes(&[self.number()]).await?,
            }
            self.values.cut_held(to).await.map_err(|error| self.of_values(error))?;
            self.index.cut(items);
            self.checkpointed.fetch_min(to.offset, Ordering::Relaxed);
            Ok(())
        };
        let result = result.await;
        set(false);
        self.account();
        result
    }

    /// Takes the index out of use and away, durably: it is made anew by the next checkpoint.
    async fn drop_index(&self, pages: &fixed_journal::section::Section) -> Result<(), Error> {
        pages.paged().retire().await;
        self.shared.remove_indexes(&[self.number()]).await?;
        self.index.set_pages(None);
        Ok(())
    }

    /// Takes the section out of use: nothing of it is changed any more when this returns.
    pub(crate) async fn retire(&self) {
        self.values.retire().await;
        self.settle_checkpoint().await;
        if let Some(pages) = self.index.pages() {
            pages.paged().retire().await;
        }
        if let Some(share) = &self.share {
            share.set(0);
        }
    }
}

/// A checkpoint: see the [module](self) for its order.
pub(crate) async fn write_index(values: &Arc<Values>, index: &Index, shared: &Shared) -> Result<(), Error> {
    let section = values.number();
    // I1: no page reaches the index before the values it points to are durable.
    values.sync().await.map_err(|error| Error::of_values(section, error))?;
    // Never inside a batch: a sync that ends inside of what was appended ends at no known item.
    let through = values.durable_len();
    let pages = match index.pages() {
        Some(pages) => pages,
        None if through == 0 => return Ok(()),
        None => {
            let made = Arc::new(shared.create_index(section, values.blob().header().salt).await?);
            index.set_pages(Some(Arc::clone(&made)));
            made
        }
    };
    let of_index = |error| Error::of_index(section, error);
    // What a write that failed has left in memory goes first: behind it there may be no room for more.
    if pages.durable_len() < pages.len() {
        pages.flush(pages.len()).await.map_err(of_index)?;
    }
    let mut next_frame = None;
    while pages.len() < through {
        let at = pages.len();
        let records = match index.start() {
            start if at < start => {
                let (records, next) = of_frames(values, index, shared, at..through.min(start), next_frame).await?;
                next_frame = Some(next);
                records
            }
            _ => index.copy(at, through, CHUNK_BYTES).1,
        };
        if records.is_empty() {
            break;
        }
        pages.append(&records).await.map_err(of_index)?;
    }
    if pages.durable_len() < through.min(pages.len()) {
        pages.flush(through).await.map_err(of_index)?;
    }
    index.drop_through(through);
    Ok(())
}

/// Records that are neither in a page nor in memory: from the frames that carry them (I2), at most [`CHUNK_BYTES`] and at
/// least one, and where the next frame begins. `at`: where the first one begins, when that is known.
pub(crate) async fn of_frames(
    values: &Values,
    index: &Index,
    shared: &Shared,
    positions: Range<u64>,
    at: Option<Cursor>,
) -> Result<(Bytes, Cursor), Error> {
    let of_values = |error| Error::of_values(values.number(), error);
    let from = positions.start;
    let mut at = at.filter(|at| at.position == from);
    if at.is_none()
        && let (Some(pages), Some(before)) = (index.pages(), from.checked_sub(1))
        && before < pages.len()
        && let Ok(record) = pages.get(before).await
    {
        let end = (shared.locate)(&record).and_then(|location| location.end());
        at = end.map(|offset| Cursor { offset, position: from });
    }
    let at = match at {
        Some(at) => at,
        None => values.locate(from).await.map_err(of_values)?,
    };
    let mut records = BytesMut::new();
    let mut headers = values.headers(at);
    while headers.at().position < positions.end && records.len() < CHUNK_BYTES {
        match headers.next().await {
            Ok(Some(entry)) if entry.header.is_seal() => {}
            Ok(Some(entry)) => records.extend_from_slice(&entry.tag),
            Ok(None) => break,
            // What lies before it is whole; it is told when its turn comes.
            Err(_) if !records.is_empty() => break,
            Err(error) => return Err(of_values(error)),
        }
    }
    Ok((records.freeze(), headers.at()))
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
