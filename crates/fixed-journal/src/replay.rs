//! Items from front to back, through all sections.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use futures::future::BoxFuture;
use futures::{FutureExt, Stream};

use crate::error::Error;
use crate::raw::RawJournal;

/// An item with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item<T> {
    /// The section.
    pub section: u64,
    /// The item's position in the section.
    pub position: u64,
    /// The item.
    pub item: T,
}

/// Yields items in order; see [`RawJournal::replay`]. Ends for good after an error.
pub struct Replay {
    state: State,
    section: u64,
    position: u64,
    item_bytes: usize,
    /// Whole items read and not yet yielded.
    bytes: Bytes,
}

enum State {
    Idle(Box<Pieces>),
    Busy(BoxFuture<'static, Read>),
    Over,
}

/// What is read on, and what was read.
type Read = (Box<Pieces>, Result<Option<Piece>, Error>);

/// Whole items, one behind the other.
#[derive(Debug)]
struct Piece {
    section: u64,
    position: u64,
    item_bytes: usize,
    bytes: Bytes,
}

/// Where reading stands.
#[derive(Debug)]
struct Pieces {
    journal: RawJournal,
    /// Sections that are still to come.
    later: VecDeque<u64>,
    section: u64,
    /// The next item.
    position: u64,
    item_bytes: usize,
    pages: Option<paged_cache::Replay>,
    /// The start of an item whose rest is in the next page.
    begun: BytesMut,
}

impl Pieces {
    /// The next items, in one piece; there is at least one. `None` behind the last section.
    async fn piece(&mut self) -> Result<Option<Piece>, Error> {
        loop {
            let Some(pages) = &mut self.pages else {
                if !self.next_section().await? {
                    return Ok(None);
                }
                continue;
            };
            match pages.next().await {
                Ok(Some(piece)) => {
                    let Some(bytes) = self.whole(piece) else { continue };
                    let position = self.position;
                    self.position += (bytes.len() / self.item_bytes) as u64;
                    return Ok(Some(Piece { section: self.section, position, item_bytes: self.item_bytes, bytes }));
                }
                Ok(None) => {
                    self.pages = None;
                    self.begun.clear();
                    self.position = 0;
                }
                Err(error) => {
                    // A section that was pruned or cut meanwhile says so.
                    self.journal.store().guard(self.section)?;
                    return Err(match error {
                        paged_cache::Error::Cut { .. } => Error::Rewound { section: self.section },
                        paged_cache::Error::Storage(blob_runtime::Error::Removed { .. }) => {
                            Error::Rewound { section: self.section }
                        }
                        other => other.into(),
                    });
                }
            }
        }
    }

    /// The whole items of what was begun and a piece; the rest is begun.
    fn whole(&mut self, piece: Bytes) -> Option<Bytes> {
        if self.begun.is_empty() {
            let whole = piece.len() - piece.len() % self.item_bytes;
            self.begun.extend_from_slice(piece.get(whole..).unwrap_or_default());
            return (whole > 0).then(|| piece.slice(..whole));
        }
        self.begun.extend_from_slice(&piece);
        let whole = self.begun.len() - self.begun.len() % self.item_bytes;
        (whole > 0).then(|| self.begun.split_to(whole).freeze())
    }

    async fn next_section(&mut self) -> Result<bool, Error> {
        let open = loop {
            let Some(section) = self.later.pop_front() else { return Ok(false) };
            if section != self.section {
                self.position = 0;
            }
            self.section = section;
            match self.journal.store().existing(section).await {
                // A name without a file's content is what a crash may leave, or a writer has made just now.
                Err(Error::SectionOutOfRange { .. }) if self.journal.store().is_read_only() && self.position == 0 => {}
                open => break open?,
            }
        };
        let section = self.section;
        let len = open.len();
        if self.position > len {
            return Err(Error::ItemOutOfRange { section, position: self.position, len });
        }
        self.item_bytes = open.item_bytes as usize;
        self.pages = Some(open.replay(self.position)?);
        Ok(true)
    }
}

impl Replay {
    pub(crate) fn new(journal: RawJournal, section: u64, position: u64) -> Self {
        let mut later: VecDeque<u64> = journal.sections().into();
        later.retain(|other| *other >= section);
        // The section asked for is looked at even when it does not exist: that is the caller's error to see.
        if later.front() != Some(&section) && position > 0 {
            later.push_front(section);
        }
        let pieces = Pieces { journal, later, section, position, item_bytes: 1, pages: None, begun: BytesMut::new() };
        Self { state: State::Idle(Box::new(pieces)), section, position, item_bytes: 1, bytes: Bytes::new() }
    }

    /// The next item as `look` sees it, in place: no share of the piece it lies in is counted. Inlined up to the read of
    /// more, for it runs once an item.
    #[inline]
    pub(crate) fn poll_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        look: impl FnOnce(u64, u64, &[u8]) -> Result<T, Error>,
    ) -> Poll<Option<Result<T, Error>>> {
        loop {
            if let Some(item) = self.bytes.get(..self.item_bytes) {
                let found = look(self.section, self.position, item);
                self.bytes.advance(self.item_bytes);
                self.position += 1;
                if found.is_err() {
                    (self.bytes, self.state) = (Bytes::new(), State::Over);
                }
                return Poll::Ready(Some(found));
            }
            if !ready!(self.poll_more(cx))? {
                return Poll::Ready(None);
            }
        }
    }

    /// Reads more; whether there was any.
    #[inline(never)]
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Error>> {
        loop {
            match std::mem::replace(&mut self.state, State::Over) {
                State::Over => return Poll::Ready(Ok(false)),
                State::Idle(mut pieces) => {
                    self.state = State::Busy(
                        async move {
                            let piece = pieces.piece().await;
                            (pieces, piece)
                        }
                        .boxed(),
                    );
                }
                State::Busy(mut busy) => match busy.poll_unpin(cx) {
                    Poll::Pending => {
                        self.state = State::Busy(busy);
                        return Poll::Pending;
                    }
                    Poll::Ready((pieces, Ok(Some(piece)))) => {
                        self.state = State::Idle(pieces);
                        (self.section, self.position) = (piece.section, piece.position);
                        (self.item_bytes, self.bytes) = (piece.item_bytes, piece.bytes);
                        return Poll::Ready(Ok(true));
                    }
                    Poll::Ready((_, Ok(None))) => return Poll::Ready(Ok(false)),
                    Poll::Ready((_, Err(error))) => return Poll::Ready(Err(error)),
                },
            }
        }
    }
}

impl Stream for Replay {
    type Item = Result<Item<Bytes>, Error>;

    #[inline]
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let replay = &mut *self;
        loop {
            if replay.bytes.len() >= replay.item_bytes {
                let (section, position) = (replay.section, replay.position);
                replay.position += 1;
                let item = replay.bytes.split_to(replay.item_bytes);
                return Poll::Ready(Some(Ok(Item { section, position, item })));
            }
            if !ready!(replay.poll_more(cx))? {
                return Poll::Ready(None);
            }
        }
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay")
            .field("section", &self.section)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
