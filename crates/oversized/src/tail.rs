//! Following a store: what is there, and then what comes.

use std::fmt;
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::future::{BoxFuture, Either, select};
use futures::{FutureExt, Stream};

use crate::error::Error;
use crate::raw::RawOversized;
use crate::record::{Entry, Record};
use crate::replay::{Current, end_of};
use crate::section::Section;

/// What a tail shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Entries that are durable.
    Durable,
    /// Entries that were appended, durable or not.
    Appended,
}

/// Yields records as they come; see [`RawOversized::tail`]. Ends for good after an error.
pub struct RawTail {
    state: State,
    record_bytes: usize,
    section: u64,
    position: u64,
    /// Records read and not yet yielded.
    bytes: Bytes,
}

/// A follower, given back with what it has read.
type Read = (Box<Follow>, Result<Option<Bytes>, Error>);

enum State {
    Idle(Box<Follow>),
    Busy(BoxFuture<'static, Read>),
    Over,
}

/// Where a tail stands.
#[derive(Debug)]
struct Follow {
    store: RawOversized,
    until: Until,
    section: u64,
    position: u64,
    /// The section it is in, and how often that had been cut when the tail came to it. One that was removed and made anew, or
    /// opened anew after a failure, is another one.
    current: Option<(Arc<Section>, u64)>,
    /// It has come on to this section by itself, and has not seen it yet: how often sections had been removed by then.
    came_on: Option<u64>,
}

impl Follow {
    /// The next records, in one piece; `None` only in a store that nobody appends to.
    async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        let raw = self.store.clone();
        let store = raw.store();
        loop {
            // What changes from here on is not missed.
            let listen = raw.bell().listen();
            let rewinds = store.rewinds();
            // One that nothing was appended to may be taken back, and is another one when it is made again.
            let Some(open) = store.section(self.section).await?.filter(|open| !open.is_untouched()) else {
                match self.later() {
                    // It was there, and has gone with whatever else a rewind has taken.
                    _ if self.current.is_some() || self.came_on.is_some() => {
                        return Err(Error::Rewound { section: self.section });
                    }
                    Some(later) if self.position == 0 => (self.section, self.came_on) = (later, Some(rewinds)),
                    _ if store.is_read_only() => return Ok(None),
                    _ => listen.await,
                }
                continue;
            };
            // A change that whoever began it has left would stand in the way of all who come.
            if self.current.is_none() && open.values.is_held() && store.drive().await {
                continue;
            }
            // It went, and is another one by now.
            if self.came_on.take().is_some_and(|rewinds| rewinds != store.rewinds()) {
                return Err(Error::Rewound { section: self.section });
            }
            let (begun, cuts) = self.current.get_or_insert_with(|| (Arc::clone(&open), open.values.cuts()));
            let (same, cuts) = (Arc::ptr_eq(begun, &open), *cuts);
            let len = open.len();
            if !same || cuts != open.values.cuts() {
                return Err(Error::Rewound { section: self.section });
            }
            if self.position > len {
                return Err(Error::ItemOutOfRange { section: self.section, position: self.position, len });
            }
            let end = match self.until {
                Until::Appended => len,
                Until::Durable => open.values.durable_len().min(len),
            };
            if self.position < end {
                let mut current = Current::new(open, self.position, end);
                return match current.piece().await {
                    Ok(piece) => {
                        self.position += (piece.bytes.len() / raw.record_bytes().max(1)) as u64;
                        Ok(Some(piece.bytes))
                    }
                    Err(error) => Err(end_of(&raw, &current.open, cuts, error).await),
                };
            }
            if end == len
                && let Some(later) = self.later()
            {
                (self.section, self.position, self.current, self.came_on) = (later, 0, None, Some(rewinds));
                continue;
            }
            if store.is_read_only() {
                return Ok(None);
            }
            if end < len {
                if let Some(cause) = open.poison_cause() {
                    return Err(end_of(&raw, &open, cuts, Error::poisoned(self.section, &cause)).await);
                }
                // Whoever began the sync may have been dropped, so it is driven from here too.
                let durable = pin!(open.values.wait_durable(open.values.bytes()));
                match select(listen, durable).await {
                    Either::Left(_) | Either::Right((Ok(()), _)) => {}
                    Either::Right((Err(error), listen)) => {
                        let error = open.of_values(error);
                        if open.poison_cause().is_some() {
                            return Err(end_of(&raw, &open, cuts, error).await);
                        }
                        listen.await;
                    }
                }
                continue;
            }
            listen.await;
        }
    }

    /// The section that comes next.
    fn later(&self) -> Option<u64> {
        self.store.store().next_after(self.section)
    }
}

impl RawTail {
    pub(crate) fn new(store: RawOversized, section: u64, position: u64, until: Until) -> Self {
        let record_bytes = store.record_bytes();
        let state = State::Idle(Box::new(Follow { store, until, section, position, current: None, came_on: None }));
        Self { state, record_bytes, section, position, bytes: Bytes::new() }
    }
}

impl Stream for RawTail {
    type Item = Result<Entry<Bytes>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if this.bytes.len() >= this.record_bytes {
                let record = this.bytes.split_to(this.record_bytes);
                let position = this.position;
                this.position += 1;
                return Poll::Ready(Some(Ok(Entry { section: this.section, position, record })));
            }
            match std::mem::replace(&mut this.state, State::Over) {
                State::Over => return Poll::Ready(None),
                State::Idle(mut follow) => {
                    this.state = State::Busy(
                        async move {
                            let piece = follow.piece().await;
                            (follow, piece)
                        }
                        .boxed(),
                    );
                }
                State::Busy(mut busy) => match busy.poll_unpin(cx) {
                    Poll::Pending => {
                        this.state = State::Busy(busy);
                        return Poll::Pending;
                    }
                    Poll::Ready((follow, Ok(Some(bytes)))) => {
                        let count = (bytes.len() / this.record_bytes) as u64;
                        (this.section, this.position, this.bytes) =
                            (follow.section, follow.position.saturating_sub(count), bytes);
                        this.state = State::Idle(follow);
                    }
                    Poll::Ready((_, Ok(None))) => return Poll::Ready(None),
                    Poll::Ready((_, Err(error))) => return Poll::Ready(Some(Err(error))),
                },
            }
        }
    }
}

/// Yields entries as they come; see [`Oversized::tail`](crate::Oversized::tail). Ends for good after an error.
pub struct Tail<R> {
    raw: RawTail,
    record: PhantomData<fn() -> R>,
}

impl<R> Tail<R> {
    pub(crate) fn new(raw: RawTail) -> Self {
        Self { raw, record: PhantomData }
    }
}

impl<R: Record> Stream for Tail<R> {
    type Item = Result<Entry<R>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(next) = ready!(Pin::new(&mut self.raw).poll_next(cx)) else { return Poll::Ready(None) };
        let decoded = next.and_then(|Entry { section, position, record }| {
            let location = glob::Location::default();
            let record = R::decode(&mut &record[..]).map_err(|source| Error::Codec { section, location, source })?;
            Ok(Entry { section, position, record })
        });
        if decoded.is_err() {
            (self.raw.bytes, self.raw.state) = (Bytes::new(), State::Over);
        }
        Poll::Ready(Some(decoded))
    }
}

impl fmt::Debug for RawTail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawTail")
            .field("section", &self.section)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl<R> fmt::Debug for Tail<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw.fmt(f)
    }
}
