//! Entries from front to back, through all sections: records alone from the index, or with their values from the frames.

mod route;

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use blob_runtime::codec::Value;
use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use futures::{FutureExt, Stream};
use glob::Cursor;
use glob::section::{Frame, Frames};

use crate::commit::of_frames;
use crate::error::Error;
use crate::raw::RawOversized;
use crate::record::{Entry, Record};
use crate::section::Section;

use self::route::Route;

/// What ends a replay: when the section was pruned or cut meanwhile, that is the better answer.
pub(crate) async fn end_of(store: &RawOversized, open: &Section, cuts: u64, error: Error) -> Error {
    let section = open.number();
    let cut = open.values.cuts() != cuts || open.values.is_held() || error.is_gone();
    match store.explain(section, error).await {
        pruned @ (Error::Pruned { .. } | Error::Closed) => pruned,
        _ if cut && !store.store().is_read_only() => Error::Rewound { section },
        error => error,
    }
}

/// Yields records in order; see [`RawOversized::replay`]. Ends for good after an error.
pub struct RawReplay {
    state: State,
    record_bytes: usize,
    section: u64,
    position: u64,
    /// Records read and not yet yielded.
    bytes: Bytes,
}

enum State {
    Idle(Box<Records>),
    Busy(BoxFuture<'static, Read>),
    Over,
}

/// What is read on, and what was read.
type Read = (Box<Records>, Result<Option<Piece>, Error>);

/// Whole records, one behind the other.
#[derive(Debug)]
pub(crate) struct Piece {
    section: u64,
    position: u64,
    pub(crate) bytes: Bytes,
}

#[derive(Debug)]
struct Records {
    route: Route,
    current: Option<Current>,
}

/// A section that a replay is in.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) open: Arc<Section>,
    cuts: u64,
    /// The next record.
    at: u64,
    /// Where the section ended when the replay came to it.
    end: u64,
    pages: Option<paged_cache::Replay>,
    /// The start of a record whose rest is in the next page.
    begun: BytesMut,
    /// Where the frame of the next record begins, while records are read from frames.
    frame: Option<Cursor>,
}

/// Records copied out of memory at a time, in bytes.
const COPY_BYTES: usize = 256 << 10;

impl Records {
    async fn piece(&mut self) -> Result<Option<Piece>, Error> {
        loop {
            let Some(current) = &mut self.current else {
                let Some((open, at)) = self.route.next().await? else { return Ok(None) };
                let end = open.len();
                self.current = Some(Current::new(open, at, end));
                continue;
            };
            if current.at >= current.end {
                self.current = None;
                continue;
            }
            match current.piece().await {
                Ok(piece) => return Ok(Some(piece)),
                Err(error) => {
                    return Err(end_of(&self.route.store, &current.open, current.cuts, error).await);
                }
            }
        }
    }
}

impl Current {
    pub(crate) fn new(open: Arc<Section>, at: u64, end: u64) -> Self {
        let cuts = open.values.cuts();
        Self { open, cuts, at, end, pages: None, begun: BytesMut::new(), frame: None }
    }

    /// The next records, in one piece; there is at least one.
    pub(crate) async fn piece(&mut self) -> Result<Piece, Error> {
        let section = self.open.number();
        let record_bytes = self.open.index.record_bytes();
        let bytes = loop {
            let cut = self.open.values.cuts() != self.cuts;
            if let Some(reason) = self.open.values.shut_reason() {
                return Err(self.open.of_values(reason));
            }
            if cut {
                return Err(Error::Rewound { section });
            }
            if let Some(pages) = &mut self.pages {
                match pages.next().await {
                    Ok(Some(piece)) => match self.whole(piece, record_bytes) {
                        Some(whole) => break whole,
                        None => continue,
                    },
                    Ok(None) => self.pages = None,
                    Err(error) => {
                        let error = Error::of_pages(section, error);
                        if !error.is_damage() {
                            return Err(error);
                        }
                        // A page is damaged: the record is in its frame too.
                        self.pages = None;
                        self.begun.clear();
                        break self.of_frames().await?;
                    }
                }
            }
            let (start, copied) = self.open.index.copy(self.at, self.end, COPY_BYTES);
            if start == self.at && !copied.is_empty() {
                break copied;
            }
            match self.open.index.pages().filter(|pages| self.at < pages.len()) {
                Some(pages) => {
                    let replay = pages.replay(self.at).map_err(|error| Error::of_index(section, error))?;
                    self.begun.clear();
                    self.pages = Some(replay);
                }
                None => break self.of_frames().await?,
            }
        };
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).saturating_mul(record_bytes);
        let bytes = bytes.slice(..bytes.len().min(left));
        let position = self.at;
        self.at += (bytes.len() / record_bytes) as u64;
        Ok(Piece { section, position, bytes })
    }

    /// Records whose page is lost or damaged, from the frames: one pass over the headers, however many they are.
    async fn of_frames(&mut self) -> Result<Bytes, Error> {
        let open = &self.open;
        let positions = self.at..self.end;
        let (records, next) = of_frames(&open.values, &open.index, &open.shared, positions, self.frame).await?;
        self.frame = Some(next);
        if records.is_empty() {
            // Only when it was cut meanwhile.
            return Err(Error::Rewound { section: open.number() });
        }
        Ok(records)
    }

    /// The whole records of what was begun and a piece; the rest is begun.
    fn whole(&mut self, piece: Bytes, record_bytes: usize) -> Option<Bytes> {
        if self.begun.is_empty() {
            let whole = piece.len() - piece.len() % record_bytes;
            self.begun.extend_from_slice(piece.get(whole..).unwrap_or_default());
            return (whole > 0).then(|| piece.slice(..whole));
        }
        self.begun.extend_from_slice(&piece);
        let whole = self.begun.len() - self.begun.len() % record_bytes;
        (whole > 0).then(|| self.begun.split_to(whole).freeze())
    }
}

impl RawReplay {
    pub(crate) fn new(store: RawOversized, section: u64, position: u64) -> Self {
        let record_bytes = store.record_bytes();
        let route = Route::new(store, section, position);
        let state = State::Idle(Box::new(Records { route, current: None }));
        Self { state, record_bytes, section, position, bytes: Bytes::new() }
    }

    /// Looks at the next record in place: the fast path of every replay.
    fn poll_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        look: impl FnOnce(u64, u64, Bytes) -> T,
    ) -> Poll<Option<Result<T, Error>>> {
        loop {
            if self.bytes.len() >= self.record_bytes {
                let record = self.bytes.split_to(self.record_bytes);
                let position = self.position;
                self.position += 1;
                return Poll::Ready(Some(Ok(look(self.section, position, record))));
            }
            if !ready!(self.poll_more(cx))? {
                return Poll::Ready(None);
            }
        }
    }

    /// Reads more; whether there was any.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Error>> {
        loop {
            match std::mem::replace(&mut self.state, State::Over) {
                State::Over => return Poll::Ready(Ok(false)),
                State::Idle(mut records) => {
                    self.state = State::Busy(
                        async move {
                            let piece = records.piece().await;
                            (records, piece)
                        }
                        .boxed(),
                    );
                }
                State::Busy(mut busy) => match busy.poll_unpin(cx) {
                    Poll::Pending => {
                        self.state = State::Busy(busy);
                        return Poll::Pending;
                    }
                    Poll::Ready((records, Ok(Some(piece)))) => {
                        self.state = State::Idle(records);
                        (self.section, self.position, self.bytes) = (piece.section, piece.position, piece.bytes);
                        return Poll::Ready(Ok(true));
                    }
                    Poll::Ready((_, Ok(None))) => return Poll::Ready(Ok(false)),
                    Poll::Ready((_, Err(error))) => return Poll::Ready(Err(error)),
                },
            }
        }
    }
}

impl Stream for RawReplay {
    type Item = Result<Entry<Bytes>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_with(cx, |section, position, record| Entry { section, position, record })
    }
}

/// Yields entries in order; see [`Oversized::replay`](crate::Oversized::replay). Ends for good after an error.
pub struct Replay<R> {
    raw: RawReplay,
    record: PhantomData<fn() -> R>,
}

impl<R> Replay<R> {
    pub(crate) fn new(raw: RawReplay) -> Self {
        Self { raw, record: PhantomData }
    }
}

impl<R: Record> Stream for Replay<R> {
    type Item = Result<Entry<R>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let raw = &mut self.raw;
        loop {
            let size = raw.record_bytes;
            if let Some(mut record) = raw.bytes.get(..size) {
                let (section, position) = (raw.section, raw.position);
                let decoded = R::decode(&mut record);
                bytes::Buf::advance(&mut raw.bytes, size);
                raw.position += 1;
                return Poll::Ready(Some(match decoded {
                    Ok(record) => Ok(Entry { section, position, record }),
                    Err(source) => {
                        (raw.bytes, raw.state) = (Bytes::new(), State::Over);
                        Err(Error::Codec { section, location: glob::Location::default(), source })
                    }
                }));
            }
            if !ready!(raw.poll_more(cx))? {
                return Poll::Ready(None);
            }
        }
    }
}

/// An entry with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithValue<R, V> {
    /// The section.
    pub section: u64,
    /// The entry's number in its section, from 0.
    pub position: u64,
    /// The record.
    pub record: R,
    /// The value.
    pub value: V,
}

/// Yields entries with their values in order; see [`RawOversized::replay_values`]. Ends for good after an error.
pub struct RawReplayValues {
    route: Option<Box<Route>>,
    step: Step,
}

type Opened = (Box<Route>, Result<Option<Running>, Error>);

enum Step {
    /// The next section is to be opened.
    Next,
    Opening(BoxFuture<'static, Opened>),
    Running(Box<Running>),
    Failing(BoxFuture<'static, Error>),
    Over,
}

struct Running {
    open: Arc<Section>,
    cuts: u64,
    frames: Frames,
}

async fn open_next(mut route: Box<Route>) -> Opened {
    let opened = async {
        let Some((open, position)) = route.next().await? else { return Ok(None) };
        let cuts = open.values.cuts();
        let from = match route.store.cursor(&open, position).await {
            Ok(from) => from,
            Err(error) => return Err(end_of(&route.store, &open, cuts, error).await),
        };
        let frames = Frames::new(Arc::clone(&open.values), from);
        if open.values.cuts() != cuts {
            return Err(Error::Rewound { section: open.number() });
        }
        Ok(Some(Running { open, cuts, frames }))
    };
    let opened = opened.await;
    (route, opened)
}

impl RawReplayValues {
    pub(crate) fn new(store: RawOversized, section: u64, position: u64) -> Self {
        Self { route: Some(Box::new(Route::new(store, section, position))), step: Step::Next }
    }

    /// The next frame, with its section.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<(u64, Frame), Error>>> {
        loop {
            match &mut self.step {
                Step::Over => return Poll::Ready(None),
                Step::Next => {
                    let Some(route) = self.route.take() else { return Poll::Ready(None) };
                    self.step = Step::Opening(open_next(route).boxed());
                }
                Step::Opening(opening) => {
                    let (route, opened) = ready!(opening.poll_unpin(cx));
                    self.route = Some(route);
                    match opened {
                        Ok(Some(running)) => self.step = Step::Running(Box::new(running)),
                        Ok(None) => self.step = Step::Over,
                        Err(error) => {
                            self.step = Step::Over;
                            return Poll::Ready(Some(Err(error)));
                        }
                    }
                }
                Step::Running(running) => match ready!(running.frames.poll_frame(cx)) {
                    Some(Ok(frame)) => return Poll::Ready(Some(Ok((running.open.number(), frame)))),
                    None => self.step = Step::Next,
                    Some(Err(error)) => {
                        let error = running.open.of_values(error);
                        let (open, cuts) = (Arc::clone(&running.open), running.cuts);
                        let Some(route) = self.route.take() else { return Poll::Ready(None) };
                        let failing = async move { end_of(&route.store, &open, cuts, error).await };
                        self.step = Step::Failing(failing.boxed());
                    }
                },
                Step::Failing(failing) => {
                    let error = ready!(failing.poll_unpin(cx));
                    self.step = Step::Over;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

impl Stream for RawReplayValues {
    type Item = Result<WithValue<Bytes, Bytes>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(self.poll_frame(cx));
        Poll::Ready(next.map(|frame| {
            let (section, frame) = frame?;
            Ok(WithValue { section, position: frame.position, record: frame.tag, value: frame.value })
        }))
    }
}

/// Yields entries with their values in order; see [`Oversized::replay_values`](crate::Oversized::replay_values). Ends for
/// good after an error.
pub struct ReplayValues<R, V: Value> {
    raw: RawReplayValues,
    cfg: V::Cfg,
    types: PhantomData<fn() -> (R, V)>,
}

impl<R, V: Value> ReplayValues<R, V> {
    pub(crate) fn new(raw: RawReplayValues, cfg: V::Cfg) -> Self {
        Self { raw, cfg, types: PhantomData }
    }
}

// Nothing in it is pinned.
impl<R, V: Value> Unpin for ReplayValues<R, V> {}

impl<R: Record, V: Value> Stream for ReplayValues<R, V> {
    type Item = Result<WithValue<R, V>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(next) = ready!(self.raw.poll_frame(cx)) else { return Poll::Ready(None) };
        let decoded = next.and_then(|(section, frame)| {
            let position = frame.position;
            let (record, value) = decode(section, frame, &self.cfg)?;
            Ok(WithValue { section, position, record, value })
        });
        if decoded.is_err() {
            self.raw.step = Step::Over;
        }
        Poll::Ready(Some(decoded))
    }
}

/// Record and value of a frame.
pub(crate) fn decode<R: Record, V: Value>(section: u64, frame: Frame, cfg: &V::Cfg) -> Result<(R, V), Error> {
    let location = frame.location;
    let codec = |source| Error::Codec { section, location, source };
    let record = R::decode(&mut &frame.tag[..]).map_err(codec)?;
    let value = V::decode(frame.value, cfg).map_err(codec)?;
    Ok((record, value))
}

impl fmt::Debug for RawReplay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawReplay")
            .field("section", &self.section)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl<R> fmt::Debug for Replay<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw.fmt(f)
    }
}

impl fmt::Debug for RawReplayValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawReplayValues").field("route", &self.route).finish_non_exhaustive()
    }
}

impl<R, V: Value> fmt::Debug for ReplayValues<R, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw.fmt(f)
    }
}
