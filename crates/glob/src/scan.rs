//! All frames of a section in order, by reads of 256 KiB.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use blob_runtime::Error as StorageError;
use blob_runtime::codec::Value;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream};

use crate::error::Error;
use crate::frame::RawFrame;
use crate::location::{Appended, Cursor, Location};
use crate::raw::{RawGlob, is_gone};
use crate::section::{Expect, Frame, Section};
use crate::window::CHUNK_BYTES;

/// The frames of a section in order; see [`RawGlob::scan`]. Memory: the larger of 256 KiB and one frame, besides what was
/// yielded and is still held.
#[must_use = "streams do nothing unless polled"]
pub struct RawScan {
    glob: RawGlob,
    section: u64,
    at: Cursor,
    state: State,
}

enum State {
    /// Nothing was asked for yet.
    Start,
    Opening(BoxFuture<'static, Result<Arc<Section>, Error>>),
    Running(Box<Running>),
    Over,
}

struct Running {
    open: Arc<Section>,
    /// Where the section ended when the scan came to it.
    end: u64,
    /// How often the section had been cut by then.
    cuts: u64,
    /// Bytes of the section from `start` on.
    piece: Bytes,
    start: u64,
    reading: Option<BoxFuture<'static, Result<Bytes, StorageError>>>,
}

/// What a step of a scan comes to.
enum Step {
    Frame(Frame),
    /// A seal: its end.
    Seal(u64),
    /// So many bytes are needed, from the place it is at.
    Need(usize),
}

impl RawScan {
    pub(crate) fn new(glob: RawGlob, section: u64, from: Cursor) -> Self {
        Self { glob, section, at: from, state: State::Start }
    }

    /// The boundary behind what was yielded.
    pub fn at(&self) -> Cursor {
        self.at
    }

    /// What ends the scan: when the section was pruned, removed or cut meanwhile, that is the better answer.
    fn fail(&mut self, error: Error) -> Option<Result<Frame, Error>> {
        let state = std::mem::replace(&mut self.state, State::Over);
        if let Err(fault) = self.glob.store().guard(self.section) {
            return Some(Err(fault.into()));
        }
        let cut = matches!(&state, State::Running(running) if running.open.cuts() != running.cuts);
        let removed = is_gone(&error);
        if !self.glob.store().is_read_only() && (cut || removed) {
            return Some(Err(Error::Rewound { section: self.section }));
        }
        Some(Err(error))
    }
}

impl Stream for RawScan {
    type Item = Result<Frame, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            match &mut this.state {
                State::Over => return Poll::Ready(None),
                State::Start => {
                    let (glob, section) = (this.glob.clone(), this.section);
                    this.state = State::Opening(async move { glob.store().existing(section).await }.boxed());
                }
                State::Opening(opening) => match ready!(opening.poll_unpin(cx)) {
                    Ok(open) => this.state = State::Running(Box::new(Running::new(open))),
                    Err(error) => return Poll::Ready(this.fail(error)),
                },
                State::Running(running) => {
                    if let Some(reading) = &mut running.reading {
                        let read = ready!(reading.poll_unpin(cx));
                        running.reading = None;
                        match read {
                            Ok(piece) => (running.piece, running.start) = (piece, this.at.offset),
                            Err(error) => return Poll::Ready(this.fail(error.into())),
                        }
                    }
                    if running.open.cuts() != running.cuts || running.open.shut_reason().is_some() {
                        let error = running.open.shut_reason().unwrap_or(Error::Rewound { section: this.section });
                        return Poll::Ready(this.fail(error));
                    }
                    if this.at.offset >= running.end {
                        this.state = State::Over;
                        return Poll::Ready(None);
                    }
                    match running.step(this.at) {
                        Ok(Step::Frame(frame)) => {
                            this.at = frame.next();
                            return Poll::Ready(Some(Ok(frame)));
                        }
                        Ok(Step::Seal(end)) => this.at.offset = end,
                        Ok(Step::Need(len)) => match running.read(this.at.offset, len) {
                            Ok(()) => {}
                            Err(error) => return Poll::Ready(this.fail(error.into())),
                        },
                        Err(error) => return Poll::Ready(this.fail(error)),
                    }
                }
            }
        }
    }
}

impl Running {
    fn new(open: Arc<Section>) -> Self {
        let (cuts, end) = (open.cuts(), open.end().offset);
        Self { open, end, cuts, piece: Bytes::new(), start: 0, reading: None }
    }

    /// What the bytes at hand make of the frame at a boundary.
    fn step(&self, at: Cursor) -> Result<Step, Error> {
        let left = usize::try_from(self.end - at.offset).unwrap_or(usize::MAX);
        let skip = at.offset.checked_sub(self.start).and_then(|skip| usize::try_from(skip).ok());
        let bytes = skip.and_then(|skip| self.piece.get(skip..)).unwrap_or_default();
        let want = RawFrame::head_bytes(self.open.tag_bytes()).min(left);
        if bytes.len() < want {
            return Ok(Step::Need(want));
        }
        let header = self.open.verify_head(at, bytes)?;
        let size = header.size();
        if size > left as u64 {
            let fault = crate::frame::FrameFault::Short { needed: size, found: left as u64 };
            return Err(self.open.damaged(at, fault));
        }
        if header.is_seal() {
            return Ok(Step::Seal(at.offset + size));
        }
        let max = self.open.max_value_bytes();
        if header.stored_bytes > max || header.raw_bytes > max {
            return Err(Error::ValueTooLarge {
                len: header.raw_bytes.max(header.stored_bytes).into(),
                max: max.into(),
            });
        }
        // It is not larger than what is left of the section, which fits.
        let len = usize::try_from(size).unwrap_or(left);
        let Some(frame) = bytes.get(..len) else { return Ok(Step::Need(len)) };
        let location = Location { offset: at.offset, size: u32::try_from(size).unwrap_or(u32::MAX) };
        self.open.parse(location, self.piece.slice_ref(frame), Expect::ANY).map(Step::Frame)
    }

    /// Reads from `offset` on, at least `len` bytes: at once if that does not block.
    fn read(&mut self, offset: u64, len: usize) -> Result<(), StorageError> {
        let left = usize::try_from(self.end - offset).unwrap_or(usize::MAX);
        let len = len.max(CHUNK_BYTES).min(left);
        // The old piece is given back before the new one is taken.
        self.piece = Bytes::new();
        let log = self.open.log().clone();
        match log.try_read_at(offset, len) {
            Some(read) => (self.piece, self.start) = (read?, offset),
            None => self.reading = Some(async move { log.read_at(offset, len).await }.boxed()),
        }
        Ok(())
    }
}

/// The values of a section in order; see [`Glob::scan`](crate::Glob::scan).
#[must_use = "streams do nothing unless polled"]
pub struct Scan<V: Value> {
    raw: RawScan,
    section: u64,
    cfg: V::Cfg,
    failed: bool,
}

/// A value that a scan has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scanned<V> {
    /// The item's number.
    pub position: u64,
    /// Where its frame is.
    pub location: Location,
    /// Its tag.
    pub tag: Bytes,
    /// The value.
    pub value: V,
}

impl<V> Scanned<V> {
    /// The boundary behind it: a place to scan from.
    pub fn next(&self) -> Cursor {
        Appended { position: self.position, location: self.location }.next()
    }
}

impl<V: Value> Scan<V> {
    pub(crate) fn new(raw: RawScan, section: u64, cfg: V::Cfg) -> Self {
        Self { raw, section, cfg, failed: false }
    }

    /// The boundary behind what was yielded.
    pub fn at(&self) -> Cursor {
        self.raw.at()
    }
}

// Nothing in it is pinned.
impl<V: Value> Unpin for Scan<V> {}

impl<V: Value> Stream for Scan<V> {
    type Item = Result<Scanned<V>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.failed {
            return Poll::Ready(None);
        }
        let Some(frame) = ready!(Pin::new(&mut self.raw).poll_next(cx)) else { return Poll::Ready(None) };
        let section = self.section;
        let scanned = frame.and_then(|Frame { position, location, tag, value, .. }| {
            let value = V::decode(value, &self.cfg).map_err(|source| Error::Codec { section, location, source })?;
            Ok(Scanned { position, location, tag, value })
        });
        self.failed = scanned.is_err();
        Poll::Ready(Some(scanned))
    }
}

impl fmt::Debug for RawScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawScan").field("section", &self.section).field("at", &self.at).finish_non_exhaustive()
    }
}

impl<V: Value> fmt::Debug for Scan<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scan").field(&self.raw).finish()
    }
}
