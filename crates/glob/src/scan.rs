//! All frames of a section in order, by reads of 256 KiB.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use blob_runtime::codec::Value;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream};

use crate::error::Error;
use crate::location::{Appended, Cursor, Location};
use crate::raw::{RawGlob, is_gone};
use crate::section::{Frame, Frames, Section};

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
    Running(Box<Frames>),
    Over,
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
        // A change that has failed in the middle has left zeros, or nothing, where frames were.
        if let Some(fault) = self.glob.store().fault() {
            return Some(Err(fault.clone().into()));
        }
        let cut = matches!(&state, State::Running(frames) if frames.is_cut() || frames.is_held());
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
                    this.state = State::Opening(async move { glob.in_use(section).await }.boxed());
                }
                State::Opening(opening) => match ready!(opening.poll_unpin(cx)) {
                    Ok(open) => this.state = State::Running(Box::new(Frames::new(open, this.at))),
                    Err(error) => return Poll::Ready(this.fail(error)),
                },
                State::Running(frames) => {
                    let next = ready!(frames.poll_frame(cx));
                    this.at = frames.at();
                    return Poll::Ready(match next {
                        Some(Ok(frame)) => Some(Ok(frame)),
                        Some(Err(error)) => this.fail(error),
                        None => {
                            this.state = State::Over;
                            None
                        }
                    });
                }
            }
        }
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
