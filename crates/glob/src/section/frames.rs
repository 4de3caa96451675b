//! All frames of a section in order, by reads of 256 KiB, without looking anything up.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use blob_runtime::Error as StorageError;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Expect, Frame, Section};
use crate::error::Error;
use crate::frame::{FrameFault, RawFrame};
use crate::location::Cursor;
use crate::window::CHUNK_BYTES;

/// The frames of a section from a boundary on, up to where the section ended when this was made; seals are passed over.
/// Shows what is only in memory too, and flushes nothing. Memory: the larger of 256 KiB and one frame, besides what was
/// yielded and is still held.
pub struct Frames {
    section: Arc<Section>,
    at: Cursor,
    end: u64,
    /// How often the section had been cut by then.
    cuts: u64,
    /// Bytes of the section from `start` on.
    piece: Bytes,
    start: u64,
    reading: Option<BoxFuture<'static, Result<Bytes, StorageError>>>,
}

/// What a step comes to.
enum Step {
    Frame(Frame),
    /// A seal: its end.
    Seal(u64),
    /// So many bytes are needed, from the place it is at.
    Need(usize),
}

impl Frames {
    /// The frames from `from` on, which must be a boundary: otherwise nothing verifies there.
    pub fn new(section: Arc<Section>, from: Cursor) -> Self {
        let (cuts, end) = (section.cuts(), section.end().offset);
        Self { section, at: from, end, cuts, piece: Bytes::new(), start: 0, reading: None }
    }

    /// The boundary behind what was yielded.
    pub fn at(&self) -> Cursor {
        self.at
    }

    /// Whether the section was cut since this was made.
    pub fn is_cut(&self) -> bool {
        self.section.cuts() != self.cuts
    }

    /// Whether a cut of the section is under way: what goes is not what it was.
    pub fn is_held(&self) -> bool {
        self.section.is_held()
    }

    /// The next frame, every part of it verified; `None` at the end. It is over after an error.
    ///
    /// # Errors
    /// [`Error::Rewound`] when the section was cut since, the reason it was [shut](Section::shut) for; damage;
    /// [`Error::ValueTooLarge`], before anything is allocated; [`Error::Storage`].
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        loop {
            if let Some(reading) = &mut self.reading {
                let read = ready!(reading.poll_unpin(cx));
                self.reading = None;
                match read {
                    Ok(piece) => (self.piece, self.start) = (piece, self.at.offset),
                    Err(error) => return Poll::Ready(Some(Err(error.into()))),
                }
            }
            if self.is_cut() || self.section.shut_reason().is_some() {
                let rewound = Error::Rewound { section: self.section.number() };
                return Poll::Ready(Some(Err(self.section.shut_reason().unwrap_or(rewound))));
            }
            if self.at.offset >= self.end {
                return Poll::Ready(None);
            }
            match self.step() {
                Ok(Step::Frame(frame)) => {
                    self.at = frame.next();
                    return Poll::Ready(Some(Ok(frame)));
                }
                Ok(Step::Seal(end)) => self.at.offset = end,
                Ok(Step::Need(len)) => {
                    if let Err(error) = self.read(len) {
                        return Poll::Ready(Some(Err(error.into())));
                    }
                }
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }

    /// [`poll_frame`](Self::poll_frame) as a future.
    ///
    /// Cancel safety: safe; the same frame comes again.
    ///
    /// # Errors
    /// As [`poll_frame`](Self::poll_frame).
    pub async fn next(&mut self) -> Option<Result<Frame, Error>> {
        std::future::poll_fn(|cx| self.poll_frame(cx)).await
    }

    /// What the bytes at hand make of the frame at the boundary.
    fn step(&self) -> Result<Step, Error> {
        let at = self.at;
        let left = usize::try_from(self.end - at.offset).unwrap_or(usize::MAX);
        let skip = at.offset.checked_sub(self.start).and_then(|skip| usize::try_from(skip).ok());
        let bytes = skip.and_then(|skip| self.piece.get(skip..)).unwrap_or_default();
        let want = RawFrame::head_bytes(self.section.tag_bytes()).min(left);
        if bytes.len() < want {
            return Ok(Step::Need(want));
        }
        let header = self.section.verify_head(at, bytes)?;
        let size = header.size();
        if size > left as u64 {
            return Err(self.section.damaged(at, FrameFault::Short { needed: size, found: left as u64 }));
        }
        if header.is_seal() {
            return Ok(Step::Seal(at.offset + size));
        }
        let max = self.section.max_value_bytes();
        if header.stored_bytes > max || header.raw_bytes > max {
            return Err(Error::ValueTooLarge {
                len: header.raw_bytes.max(header.stored_bytes).into(),
                max: max.into(),
            });
        }
        // It is not larger than what is left of the section, which fits.
        let len = usize::try_from(size).unwrap_or(left);
        let Some(frame) = bytes.get(..len) else { return Ok(Step::Need(len)) };
        let location = crate::Location { offset: at.offset, size: u32::try_from(size).unwrap_or(u32::MAX) };
        self.section.parse(location, self.piece.slice_ref(frame), Expect::ANY).map(Step::Frame)
    }

    /// Reads at least `len` bytes from the boundary on: at once if that does not block.
    fn read(&mut self, len: usize) -> Result<(), StorageError> {
        let offset = self.at.offset;
        let left = usize::try_from(self.end - offset).unwrap_or(usize::MAX);
        let len = len.max(CHUNK_BYTES).min(left);
        // The old piece is given back before the new one is taken.
        self.piece = Bytes::new();
        let log = self.section.log().clone();
        match log.try_read_at(offset, len) {
            Some(read) => (self.piece, self.start) = (read?, offset),
            None => self.reading = Some(async move { log.read_at(offset, len).await }.boxed()),
        }
        Ok(())
    }
}

impl fmt::Debug for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frames").field("section", &self.section.number()).field("at", &self.at).finish_non_exhaustive()
    }
}
