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

/// Yields items in order; see [`RawJournal::replay`].
pub struct Replay {
    items: Pieces,
    step: Option<BoxFuture<'static, (Pieces, Result<bool, Error>)>>,
    done: bool,
}

/// Where a replay stands.
struct Pieces {
    journal: RawJournal,
    /// Sections that are still to come.
    later: VecDeque<u64>,
    section: u64,
    position: u64,
    item_bytes: usize,
    pages: Option<paged_cache::Replay>,
    /// Bytes read and not yet yielded: the start of an item, or several.
    bytes: Bytes,
}

impl Replay {
    pub(crate) fn new(journal: RawJournal, section: u64, position: u64) -> Self {
        let mut later: VecDeque<u64> = journal.sections().into();
        later.retain(|other| *other >= section);
        // The section asked for is looked at even when it does not exist: that is the caller's error to see.
        if later.front() != Some(&section) && position > 0 {
            later.push_front(section);
        }
        let items = Pieces { journal, later, section, position, item_bytes: 1, pages: None, bytes: Bytes::new() };
        Self { items: Pieces { section, position, ..items }, step: None, done: false }
    }
}

impl Pieces {
    /// Takes the next item of what was read, as `take` makes it of the bytes: it takes `item_bytes` of them off the front.
    fn take<T>(&mut self, take: impl FnOnce(&mut Bytes, usize) -> T) -> Option<Item<T>> {
        if self.pages.is_none() || self.bytes.len() < self.item_bytes {
            return None;
        }
        let item =
            Item { section: self.section, position: self.position, item: take(&mut self.bytes, self.item_bytes) };
        self.position += 1;
        Some(item)
    }

    /// Reads more; whether there was any.
    async fn more(&mut self) -> Result<bool, Error> {
        loop {
            let Some(pages) = &mut self.pages else {
                if !self.next_section().await? {
                    return Ok(false);
                }
                continue;
            };
            match pages.next().await {
                Ok(Some(piece)) if self.bytes.is_empty() => self.bytes = piece,
                Ok(Some(piece)) => {
                    let mut joined = BytesMut::with_capacity(self.bytes.len() + piece.len());
                    joined.extend_from_slice(&self.bytes);
                    joined.extend_from_slice(&piece);
                    self.bytes = joined.freeze();
                }
                Ok(None) => {
                    self.pages = None;
                    self.bytes = Bytes::new();
                    self.position = 0;
                    continue;
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
            if self.bytes.len() >= self.item_bytes {
                return Ok(true);
            }
        }
    }

    async fn next_section(&mut self) -> Result<bool, Error> {
        let Some(section) = self.later.pop_front() else { return Ok(false) };
        if section != self.section {
            self.position = 0;
        }
        self.section = section;
        let open = self.journal.store().existing(section).await?;
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
    /// The next item as `look` sees it, in place: no share of the piece it lies in is counted.
    pub(crate) fn poll_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        look: impl Fn(&[u8]) -> T,
    ) -> Poll<Option<Result<Item<T>, Error>>> {
        self.poll_taken(cx, |bytes, len| {
            let item = look(bytes.get(..len).unwrap_or_default());
            bytes.advance(len);
            item
        })
    }

    fn poll_taken<T>(
        &mut self,
        cx: &mut Context<'_>,
        take: impl Fn(&mut Bytes, usize) -> T,
    ) -> Poll<Option<Result<Item<T>, Error>>> {
        loop {
            if self.done {
                return Poll::Ready(None);
            }
            if let Some(step) = &mut self.step {
                let (items, more) = ready!(step.poll_unpin(cx));
                self.items = items;
                self.step = None;
                match more {
                    Ok(true) => {}
                    Ok(false) => self.done = true,
                    Err(error) => {
                        self.done = true;
                        return Poll::Ready(Some(Err(error)));
                    }
                }
                continue;
            }
            if let Some(item) = self.items.take(&take) {
                return Poll::Ready(Some(Ok(item)));
            }
            let mut items = Pieces {
                journal: self.items.journal.clone(),
                later: std::mem::take(&mut self.items.later),
                section: self.items.section,
                position: self.items.position,
                item_bytes: self.items.item_bytes,
                pages: self.items.pages.take(),
                bytes: std::mem::take(&mut self.items.bytes),
            };
            self.step = Some(
                async move {
                    let more = items.more().await;
                    (items, more)
                }
                .boxed(),
            );
        }
    }
}

impl Stream for Replay {
    type Item = Result<Item<Bytes>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_taken(cx, Bytes::split_to)
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay")
            .field("section", &self.items.section)
            .field("position", &self.items.position)
            .finish_non_exhaustive()
    }
}
