//! Appending: position, offset and floor are taken, and the frame completed, under the log's lock.

use blob_runtime::append::{NotAppended, Space};
use bytes::BytesMut;

use super::{Section, lock};
use crate::compress::Packed;
use crate::error::Error;
use crate::frame::{FrameHeader, OVERHEAD_BYTES};
use crate::location::{Appended, Cursor, Location};

/// Fills in the tag of a frame: number in the batch, position, location, and where the tag's bytes go. Runs under the
/// section's lock, so it does nothing else. What is appended is appended if the last tag of the batch has the right size.
pub type TagFn<'a> = dyn FnMut(usize, u64, Location, &mut BytesMut) + Send + 'a;

/// What came of an attempt to append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The first frame of what was appended.
    Done(Appended),
    /// Appends are kept out for now: somebody [holds](Section::hold) the section.
    Held,
    /// All buffers are full.
    Busy,
}

impl Section {
    /// Appends one value; `tag` makes its tag, exactly [`tag_bytes`](Self::tag_bytes) of it, and runs under the
    /// section's lock. No I/O unless a buffer is full.
    ///
    /// Cancel safety: dropped, it has appended nothing; it appends in its last poll.
    ///
    /// # Errors
    /// [`Error::TagSize`], [`Error::ValueTooLarge`], [`Error::Poisoned`], [`Error::ReadOnly`], the reason the section
    /// was [shut](Self::shut) for; the error of the last write when that failed and the buffer is full. Nothing was
    /// appended then.
    pub async fn append(
        &self,
        value: &Packed<'_>,
        tag: impl FnOnce(u64, Location, &mut BytesMut) + Send,
    ) -> Result<Appended, Error> {
        let mut tag = Some(tag);
        let mut tag = |_: usize, position: u64, location: Location, buf: &mut BytesMut| {
            if let Some(tag) = tag.take() {
                tag(position, location, buf);
            }
        };
        loop {
            match self.put(std::slice::from_ref(value), None, &mut tag).await? {
                Put::Done(appended) => return Ok(appended),
                Put::Held | Put::Busy => drop(self.gate.enter().await),
            }
        }
    }

    /// Appends values that are recovered all or not at all; `tag` is called for each, with its number among them.
    /// They are held in memory together until they are written.
    ///
    /// Cancel safety and errors: as [`append`](Self::append).
    pub async fn append_batch(
        &self,
        values: &[Packed<'_>],
        mut tag: impl FnMut(usize, u64, Location, &mut BytesMut) + Send,
    ) -> Result<Vec<Appended>, Error> {
        if values.is_empty() {
            return Ok(Vec::new());
        }
        loop {
            match self.put(values, None, &mut tag).await? {
                Put::Done(first) => return Ok(self.each(first, values)),
                Put::Held | Put::Busy => drop(self.gate.enter().await),
            }
        }
    }

    /// [`append`](Self::append) that does not wait: `None` when the buffers are full or appends are kept out.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn try_append(
        &self,
        value: &Packed<'_>,
        tag: impl FnOnce(u64, Location, &mut BytesMut) + Send,
    ) -> Result<Option<Appended>, Error> {
        let mut tag = Some(tag);
        let mut tag = |_: usize, position: u64, location: Location, buf: &mut BytesMut| {
            if let Some(tag) = tag.take() {
                tag(position, location, buf);
            }
        };
        match self.try_put(std::slice::from_ref(value), None, &mut tag)? {
            Put::Done(appended) => Ok(Some(appended)),
            Put::Held | Put::Busy => Ok(None),
        }
    }

    /// All frames of a batch that was appended and begins with `first`.
    pub fn each(&self, first: Appended, values: &[Packed<'_>]) -> Vec<Appended> {
        let mut next = Cursor { offset: first.location.offset, position: first.position };
        let mut all = Vec::with_capacity(values.len());
        for value in values {
            // Its size was checked when it was appended.
            let size = self.frame_bytes(value).unwrap_or(u32::MAX);
            let appended = Appended { position: next.position, location: Location { offset: next.offset, size } };
            next = appended.next();
            all.push(appended);
        }
        all
    }

    /// Appends the values as one batch unless appends are kept out, and waits while all buffers are full. For an owner
    /// that keeps appends out himself and knows what to wait for. With `at` only if that is the next item's number.
    ///
    /// Cancel safety: dropped, it has appended nothing; it appends in its last poll.
    ///
    /// # Errors
    /// As [`append`](Self::append); [`Error::NextPosition`], [`Error::Frozen`]: nothing was appended.
    pub async fn put(&self, values: &[Packed<'_>], at: Option<u64>, tag: &mut TagFn<'_>) -> Result<Put, Error> {
        let room = self.check(values)?;
        self.log.append(room, |offset, space| self.fill(offset, space, values, at, tag)).await?
    }

    /// [`put`](Self::put) that does not wait.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn try_put(&self, values: &[Packed<'_>], at: Option<u64>, tag: &mut TagFn<'_>) -> Result<Put, Error> {
        let room = self.check(values)?;
        match self.log.try_append(room, |offset, space| self.fill(offset, space, values, at, tag)) {
            Ok(result) => result,
            Err(NotAppended::Busy(_)) => Ok(Put::Busy),
            Err(NotAppended::Failed(error)) => Err(error.into()),
        }
    }

    /// Bytes of all frames together, when each can be.
    fn check(&self, values: &[Packed<'_>]) -> Result<usize, Error> {
        self.writable()?;
        values.iter().try_fold(0_usize, |sum, value| {
            let size = self.frame_bytes(value)?;
            Ok(sum.saturating_add(usize::try_from(size).unwrap_or(usize::MAX)))
        })
    }

    fn frame_bytes(&self, value: &Packed<'_>) -> Result<u32, Error> {
        let stored = u64::from(value.stored_bytes());
        let head = OVERHEAD_BYTES as u64 + u64::from(self.tag_bytes);
        u32::try_from(stored + head).map_err(|_| Error::ValueTooLarge { len: stored, max: u64::from(u32::MAX) - head })
    }

    /// Runs under the log's lock.
    fn fill(
        &self,
        offset: u64,
        space: &mut Space<'_>,
        values: &[Packed<'_>],
        expected: Option<u64>,
        tag: &mut TagFn<'_>,
    ) -> Result<Put, Error> {
        if let Some(reason) = self.progress.shut_reason() {
            return Err(reason);
        }
        if self.progress.held() {
            return Ok(Put::Held);
        }
        if self.progress.frozen() {
            return Err(Error::Frozen { section: self.number });
        }
        let first = Cursor { offset, position: self.progress.items() };
        if let Some(expected) = expected.filter(|expected| *expected != first.position) {
            return Err(Error::NextPosition { section: self.number, expected, found: first.position });
        }
        let mut tags = lock(&self.tags);
        let tag_bytes = usize::from(self.tag_bytes);
        // All tags first: one of the wrong size means that nothing is appended.
        tags.clear();
        let mut at = first;
        for (number, value) in values.iter().enumerate() {
            let location = Location { offset: at.offset, size: self.frame_bytes(value)? };
            let before = tags.len();
            tag(number, at.position, location, &mut tags);
            let found = tags.len().saturating_sub(before);
            if found != tag_bytes {
                return Err(Error::TagSize { expected: tag_bytes, found });
            }
            at = Appended { position: at.position, location }.next();
        }
        let end = at;
        // I5: what a sync has returned for, never inside a batch, whose frames all carry the floor of its start.
        let floor = space.durable();
        let mut at = first;
        let mut rest = &tags[..];
        for (number, value) in values.iter().enumerate() {
            let (tag, behind) = rest.split_at_checked(tag_bytes).unwrap_or_default();
            rest = behind;
            let continues = number + 1 < values.len();
            let header = value.header(self.tag_bytes, at.position, floor, continues);
            let start = space.written().len();
            space.put(&header.encode());
            space.put(tag);
            let crc = self.place(at.offset).checksum(space.written().get(start..).unwrap_or_default());
            space.put(&crc.to_be_bytes());
            space.put(value.payload());
            at = Cursor { offset: at.offset.saturating_add(header.size()), position: at.position + 1 };
        }
        self.progress.appended(first, end, false);
        let size = values.first().map_or(Ok(0), |value| self.frame_bytes(value))?;
        Ok(Put::Done(Appended { position: first.position, location: Location { offset, size } }))
    }

    /// Appends a seal when everything before it is durable and nothing lies behind that: syncs that came in between may
    /// have written zeros ahead again, and after a close only a seal that ends the blob counts.
    pub(super) async fn put_seal(&self) -> Result<bool, Error> {
        let fill = |offset: u64, space: &mut Space<'_>| {
            if space.durable() != offset || self.log.blob().len() > offset {
                return false;
            }
            let position = self.progress.items();
            let header = FrameHeader::seal(offset, position);
            space.put(&header.encode_head(self.place(offset), &[]));
            let first = Cursor { offset, position };
            self.progress.appended(first, Cursor { offset: offset + header.size(), position }, true);
            true
        };
        Ok(self.log.append(OVERHEAD_BYTES, fill).await?)
    }
}
