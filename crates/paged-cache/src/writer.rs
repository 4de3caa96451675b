//! A stream that is appended to, made durable, read and cut.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use blob_runtime::append::{Config, Log, NotAppended, Space, Start};
use blob_runtime::{Binding, Blob};
use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::cache::{Member, PageCache};
use crate::error::Error;
use crate::flush::Pages;
use crate::geometry::Geometry;
use crate::page;
use crate::physical::read_pages;
use crate::recover::Survey;
use crate::replay::Replay;
use crate::seal::say_twice;
use crate::shorten::shorten;

#[cfg(test)]
pub(crate) mod tests;

/// An append-only stream of bytes in checksummed pages over one blob. Cheap to clone; clones share everything.
///
/// Dropping the last clone flushes nothing: it is a crash.
#[derive(Clone)]
pub struct Paged(Arc<Inner>);

struct Inner {
    log: Log<Pages>,
    geometry: Geometry,
    binding: Binding,
    member: Arc<Member>,
    /// Up to here the stream lies in full pages of the blob, which do not change any more.
    stable: Arc<AtomicU64>,
    /// Odd while a cut is under way; see [`Pages::cuts`].
    cuts: Arc<AtomicU64>,
}

impl Paged {
    /// Goes on where a survey ended: one that was carried out, or one that found a stream as a close in order leaves it,
    /// or for reading only. `durable`: how many bytes of it are durable; [`Survey::len`] in the first two cases,
    /// [`Survey::proven`] otherwise.
    pub fn new(survey: Survey, durable: u64, cache: &PageCache, config: Config) -> Self {
        let Survey { blob, geometry, binding, len, last, .. } = survey;
        let durable = durable.min(len);
        let member = Arc::new(cache.member());
        let pages = Pages::new(geometry, binding, len, last, geometry.full_pages(durable), Arc::clone(&member));
        let (stable, cuts) = (pages.stable(), pages.cuts());
        let log = Log::new(blob, pages, Start { len, durable }, config);
        Self(Arc::new(Inner { log, geometry, binding, member, stable, cuts }))
    }

    /// The blob beneath.
    pub fn blob(&self) -> &Arc<dyn Blob> {
        self.0.log.blob()
    }

    /// The shape of its pages.
    pub fn geometry(&self) -> Geometry {
        self.0.geometry
    }

    /// Length in bytes, with what is only in memory.
    pub fn len(&self) -> u64 {
        self.0.log.len()
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes a sync has returned for.
    pub fn durable(&self) -> u64 {
        self.0.log.durable()
    }

    /// Bytes held in memory because they are not written yet.
    pub fn pending_bytes(&self) -> usize {
        self.0.log.pending_bytes()
    }

    /// Why it takes no change, if it does not.
    pub fn poison_cause(&self) -> Option<Error> {
        self.0.log.poison_cause().map(Error::Storage)
    }

    /// Appends what `fill` puts, about `len` bytes; see [`Log::append`], also for cancel safety.
    ///
    /// # Errors
    /// As [`Log::append`]; nothing was appended then.
    pub async fn append<T>(&self, len: usize, fill: impl FnOnce(u64, &mut Space<'_>) -> T) -> Result<T, Error> {
        Ok(self.0.log.append(len, fill).await?)
    }

    /// [`append`](Self::append) that gives `fill` back while appends are held out; see [`Log::append_unless_held`].
    ///
    /// # Errors
    /// As [`Log::append`]; nothing was appended then.
    pub async fn append_unless_held<T, F>(&self, len: usize, fill: F) -> Result<Result<T, F>, Error>
    where
        F: FnOnce(u64, &mut Space<'_>) -> T,
    {
        Ok(self.0.log.append_unless_held(len, fill).await?)
    }

    /// Whether it was [taken out of use](Self::retire).
    pub fn is_retired(&self) -> bool {
        self.0.log.is_retired()
    }

    /// [`append`](Self::append) that does not wait; see [`Log::try_append`].
    ///
    /// # Errors
    /// [`NotAppended`].
    pub fn try_append<T, F>(&self, len: usize, fill: F) -> Result<T, NotAppended<F>>
    where
        F: FnOnce(u64, &mut Space<'_>) -> T,
    {
        self.0.log.try_append(len, fill)
    }

    /// Writes the full pages that wait, without a sync. A page that is not full stays in memory (I7).
    ///
    /// Cancel safety: a write that has begun runs to its end.
    ///
    /// # Errors
    /// As [`Log::flush`].
    pub async fn flush(&self) -> Result<(), Error> {
        Ok(self.0.log.flush().await?)
    }

    /// Makes durable what was appended by now; see [`Log::sync`], also for cancel safety.
    ///
    /// # Errors
    /// As [`Log::sync`].
    pub async fn sync(&self) -> Result<(), Error> {
        Ok(self.0.log.sync().await?)
    }

    /// Makes durable the first `limit` bytes and writes nothing behind them; see [`Log::sync_through`].
    ///
    /// # Errors
    /// As [`Log::sync`].
    pub async fn sync_through(&self, limit: u64) -> Result<(), Error> {
        Ok(self.0.log.sync_through(limit).await?)
    }

    /// Makes everything durable, and writes where the stream ends a second time, so that damage to either place shows: as a
    /// close in order leaves it, see [`Survey::is_sealed`]. It tries again for as long as something is appended in between.
    ///
    /// Cancel safety: dropped, the end is said once or twice.
    ///
    /// # Errors
    /// As [`sync`](Self::sync).
    pub async fn seal(&self) -> Result<(), Error> {
        let (geometry, binding) = (self.0.geometry, self.0.binding);
        loop {
            self.sync().await?;
            let steps = |blob: Arc<dyn Blob>, len: u64, _: &mut Pages| {
                async move {
                    // Full pages may have been written since, and not synced.
                    blob.sync().await?;
                    say_twice(&blob, geometry, binding, len).await
                }
                .boxed()
            };
            if self.0.log.alone(steps).await? {
                return Ok(());
            }
        }
    }

    /// Waits until the first `target` bytes are durable, without starting a sync.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// As [`Log::wait_durable`].
    pub async fn wait_durable(&self, target: u64) -> Result<(), Error> {
        Ok(self.0.log.wait_durable(target).await?)
    }

    /// Waits until no change is under way.
    ///
    /// Cancel safety: safe.
    pub async fn settle(&self) {
        self.0.log.settle().await;
    }

    /// Keeps appends out until what is returned is dropped; see [`Log::hold`].
    ///
    /// Cancel safety: dropping the future holds nothing.
    pub async fn hold(&self) -> Box<dyn Any + Send> {
        Box::new(self.0.log.hold().await)
    }

    /// Takes the stream out of use; see [`Log::retire`].
    ///
    /// Cancel safety: the stream takes no change from the first poll on.
    pub async fn retire(&self) {
        self.0.log.retire().await;
    }

    /// Cuts the stream to its first `len` bytes, durably. What it keeps is synced first. Appends wait meanwhile; nobody
    /// else should cut at the same time.
    ///
    /// Cancel safety: a cut that has begun runs to its end.
    ///
    /// # Errors
    /// [`Error::Storage`]: out of bounds when the stream is shorter; poisoned when a step failed: then the length is the
    /// old or the new one, and only an open that looks can tell.
    pub async fn cut(&self, len: u64) -> Result<(), Error> {
        let inner = &self.0;
        inner.log.sync_through(len).await?;
        let (geometry, binding) = (inner.geometry, inner.binding);
        let cut = inner
            .log
            .cut_with(len, |blob, written, layout| {
                let keep = len.min(written);
                // The page that is last in the blob is known, with the slot that is durable; another is read.
                let same_page = geometry.full_pages(keep) == geometry.full_pages(written);
                let known = (same_page && !layout.last().data.is_empty()).then(|| layout.last().clone());
                let cut_to = layout.begin_cut(len);
                async move {
                    let last = shorten(&blob, geometry, binding, keep, known).await?;
                    *cut_to.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(last);
                    Ok(())
                }
                .boxed()
            })
            .await;
        Ok(cut?)
    }

    /// Looks at `len` bytes at `offset` in memory, in place: in a page that is held, or in the part that is not in a
    /// full page yet. `None` when they are in no single place in memory.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`].
    pub fn try_read_with<T>(&self, offset: u64, len: usize, look: impl FnOnce(&[u8]) -> T) -> Option<Result<T, Error>> {
        let inner = &self.0;
        let place = inner.geometry.place(offset);
        let end = offset.checked_add(len as u64);
        if end.is_some_and(|end| end <= inner.stable.load(Ordering::Acquire)) {
            let held = inner.member.try_with(place.page, |data| data.get(place.offset..place.offset + len).map(look));
            return held.flatten().map(Ok);
        }
        let looked = inner.log.look_with(offset, len, |layout, tail| match tail {
            Some(bytes) => Some(look(bytes)),
            // Of the last page that which is in the blob already.
            None => {
                let from = offset.checked_sub(inner.stable.load(Ordering::Acquire))?;
                let from = usize::try_from(from).ok()?;
                layout.last().data.get(from..from + len).map(look)
            }
        });
        looked.map_err(past_end).transpose()
    }

    /// Reads `len` bytes at `offset`, from memory, the cache and the blob.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`], [`Error::ChecksumMismatch`], and what reading the blob answers.
    pub async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, Error> {
        loop {
            let cuts = self.cuts();
            let read = self.read_once(offset, len).await;
            if let Settled::Answer(answer) = self.judge(read, cuts).await {
                return answer;
            }
        }
    }

    /// Counts cuts; see [`Pages::cuts`].
    pub(crate) fn cuts(&self) -> u64 {
        self.0.cuts.load(Ordering::Acquire)
    }

    /// What a read that began when there were `cuts` is worth: beside a cut it may have seen zeros where pages were, or a
    /// part from before and a part from after.
    pub(crate) async fn judge<T>(&self, read: Result<T, Error>, cuts: u64) -> Settled<T> {
        let unchanged = self.cuts() == cuts;
        if unchanged && (read.is_ok() || cuts.is_multiple_of(2)) {
            return Settled::Answer(read);
        }
        self.settle().await;
        match self.poison_cause() {
            // The cut has failed in the middle.
            Some(poison) if self.cuts() % 2 == 1 => Settled::Answer(Err(poison)),
            _ => Settled::Again,
        }
    }

    async fn read_once(&self, offset: u64, len: usize) -> Result<Bytes, Error> {
        let (split, tail) = self.read_memory(offset, len)?;
        if split == offset {
            return Ok(tail);
        }
        let geometry = self.0.geometry;
        let first = geometry.place(offset);
        let head = usize::try_from(split - offset).unwrap_or(usize::MAX);
        if first.offset + head <= geometry.data_bytes() && tail.is_empty() {
            let data = self.page(first.page, first.offset + head).await?;
            return Ok(data.slice(first.offset..first.offset + head));
        }
        let mut joined = BytesMut::with_capacity(len);
        let (mut page, mut from) = (first.page, first.offset);
        while joined.len() < head {
            let take = (geometry.data_bytes() - from).min(head - joined.len());
            let data = self.page(page, from + take).await?;
            joined.extend_from_slice(data.get(from..from + take).unwrap_or_default());
            (page, from) = (page + 1, 0);
        }
        joined.extend_from_slice(&tail);
        Ok(joined.freeze())
    }

    /// Reads from `offset` to the length the stream has now, in large pieces, past the cache. It never flushes.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`] when `offset` is behind the end.
    pub fn replay(&self, offset: u64) -> Result<Replay, Error> {
        Replay::new(self.clone(), offset)
    }

    /// The part of the range that is in no full page of the blob: its first offset, and the bytes from there on.
    pub(crate) fn read_memory(&self, offset: u64, len: usize) -> Result<(u64, Bytes), Error> {
        let inner = &self.0;
        let read = inner.log.read_tail_with(offset, len, |layout, start, tail| {
            let last = &layout.last().data;
            let page_start = inner.stable.load(Ordering::Acquire);
            if last.is_empty() || start <= page_start || offset + len as u64 <= page_start {
                return (start, tail);
            }
            // Bytes of the last page that are in the blob already: from memory all the same, its slots are in motion.
            let from = offset.max(page_start);
            let skip = |at: u64| usize::try_from(at - page_start).unwrap_or(usize::MAX);
            let head = last.get(skip(from)..skip(start)).unwrap_or_default();
            if tail.is_empty() {
                return (from, Bytes::copy_from_slice(head));
            }
            let mut joined = BytesMut::with_capacity(head.len() + tail.len());
            joined.extend_from_slice(head);
            joined.extend_from_slice(&tail);
            (from, joined.freeze())
        });
        read.map_err(past_end)
    }

    /// The data of a page that was full when the caller looked, at least its first `needed` bytes.
    async fn page(&self, number: u64, needed: usize) -> Result<Bytes, Error> {
        let (geometry, binding, blob) = (self.0.geometry, self.0.binding, self.blob());
        let fetch = || -> BoxFuture<'static, Result<Bytes, Error>> {
            let blob = Arc::clone(blob);
            async move {
                let bytes = read_pages(&blob, geometry, number, 1).await?;
                verified(&blob, geometry, binding, number, &bytes)
            }
            .boxed()
        };
        let data = self.0.member.get_or_fetch(number, geometry.data_bytes(), fetch).await?;
        if data.len() < needed {
            // It was cut since; or its newer slot is damaged, and the older one knows less.
            return Err(mismatch(blob, geometry, number, TOO_SHORT));
        }
        Ok(data)
    }

    pub(crate) fn binding(&self) -> Binding {
        self.0.binding
    }
}

/// The log's answer to a read past its end, as the stream's.
fn past_end(error: blob_runtime::Error) -> Error {
    match error {
        blob_runtime::Error::OutOfBounds { blob, offset, len, blob_len } => {
            Error::OutOfBounds { blob, offset, len, stream_len: blob_len }
        }
        other => Error::Storage(other),
    }
}

/// What a read is worth that may have run beside a cut.
pub(crate) enum Settled<T> {
    /// It is of one state.
    Answer(Result<T, Error>),
    /// The stream was cut meanwhile; what it is now has to be read anew.
    Again,
}

/// The data of a physical page, shared.
pub(crate) fn verified(
    blob: &Arc<dyn Blob>,
    geometry: Geometry,
    binding: Binding,
    number: u64,
    bytes: &Bytes,
) -> Result<Bytes, Error> {
    let mark = page::verify(geometry, binding, number, bytes)
        .ok_or_else(|| mismatch(blob, geometry, number, "no slot's checksum matches"))?;
    Ok(bytes.slice(..mark.len().min(bytes.len())))
}

/// What is found of a page that ends before the stream does.
pub(crate) const TOO_SHORT: &str = "it is shorter than the stream";

pub(crate) fn mismatch(blob: &Arc<dyn Blob>, geometry: Geometry, page: u64, found: &'static str) -> Error {
    Error::ChecksumMismatch { blob: blob.id().clone(), page, offset: geometry.blob_offset(page), found }
}

impl fmt::Debug for Paged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Paged").field("log", &self.0.log).finish_non_exhaustive()
    }
}
