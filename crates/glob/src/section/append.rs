//! Appending: position, offset and floor are taken, and the frame completed, under the log's lock.

use blob_runtime::append::{NotAppended, Space};

use super::Section;
use crate::compress::Packed;
use crate::error::Error;
use crate::frame::{FrameHeader, OFFSET_BYTES, OVERHEAD_BYTES};
use crate::location::{Appended, Cursor, Location};

/// Fills in the tag of a frame: number in the batch, position, location, and where the tag's bytes go. Runs under the
/// section's lock, so it does nothing else. What is appended is appended if the last tag of the batch has the right size.
pub type TagFn<'a> = dyn FnMut(usize, u64, Location, &mut Vec<u8>) + Send + 'a;

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
        tag: impl FnOnce(u64, Location, &mut Vec<u8>) + Send,
    ) -> Result<Appended, Error> {
        let mut tag = Some(tag);
        let mut tag = |_: usize, position: u64, location: Location, buf: &mut Vec<u8>| {
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
        mut tag: impl FnMut(usize, u64, Location, &mut Vec<u8>) + Send,
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
        tag: impl FnOnce(u64, Location, &mut Vec<u8>) + Send,
    ) -> Result<Option<Appended>, Error> {
        let mut tag = Some(tag);
        let mut tag = |_: usize, position: u64, location: Location, buf: &mut Vec<u8>| {
            if let Some(tag) = tag.take() {
                tag(position, location, buf);
            }
        };
        match self.try_put(std::slice::from_ref(value), None, &mut tag).map_err(|error| *error)? {
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
        let room = self.check(values).map_err(|error| *error)?;
        let put = self.log.append(room, |offset, space| self.fill(offset, space, values, at, tag)).await?;
        put.map_err(|error| *error)
    }

    /// [`put`](Self::put) that does not wait.
    ///
    /// # Errors
    /// As [`put`](Self::put); boxed, so that what is handed up with every append is small.
    #[inline]
    pub fn try_put(&self, values: &[Packed<'_>], at: Option<u64>, tag: &mut TagFn<'_>) -> Result<Put, Box<Error>> {
        let room = self.check(values)?;
        match self.log.try_append(room, |offset, space| self.fill(offset, space, values, at, tag)) {
            Ok(result) => result,
            Err(NotAppended::Busy(_)) => Ok(Put::Busy),
            Err(NotAppended::Failed(error)) => Err(Box::new((*error).into())),
        }
    }

    /// Bytes of all frames together, when each can be.
    #[inline]
    fn check(&self, values: &[Packed<'_>]) -> Result<usize, Box<Error>> {
        self.writable().map_err(Box::new)?;
        let mut sum = 0_usize;
        for value in values {
            sum = sum.saturating_add(self.frame_bytes(value)? as usize);
        }
        Ok(sum)
    }

    #[inline]
    fn frame_bytes(&self, value: &Packed<'_>) -> Result<u32, Box<Error>> {
        let stored = u64::from(value.stored_bytes());
        let head = OVERHEAD_BYTES as u64 + u64::from(self.tag_bytes);
        let too_large = || Box::new(Error::ValueTooLarge { len: stored, max: u64::from(u32::MAX) - head });
        u32::try_from(stored + head).map_err(|_| too_large())
    }

    /// Runs under the log's lock.
    #[inline]
    fn fill(
        &self,
        offset: u64,
        space: &mut Space<'_>,
        values: &[Packed<'_>],
        expected: Option<u64>,
        tag: &mut TagFn<'_>,
    ) -> Result<Put, Box<Error>> {
        if self.progress.is_barred() {
            return self.barred();
        }
        let first = Cursor { offset, position: self.progress.items() };
        if let Some(expected) = expected.filter(|expected| *expected != first.position) {
            return Err(Box::new(Error::NextPosition { section: self.number, expected, found: first.position }));
        }
        match self.put_frames(first, space, values, tag) {
            Ok((size, end)) => {
                self.progress.appended(first, end, false);
                Ok(Put::Done(Appended { position: first.position, location: Location { offset, size } }))
            }
            // Nothing is appended, also of the values before the one whose tag has the wrong size.
            Err(error) => {
                space.take_back();
                Err(error)
            }
        }
    }

    /// Why nothing can be appended now.
    #[cold]
    fn barred(&self) -> Result<Put, Box<Error>> {
        match self.progress.shut_reason() {
            Some(reason) => Err(Box::new(reason)),
            None if self.progress.frozen() && !self.progress.held() => {
                Err(Box::new(Error::Frozen { section: self.number }))
            }
            // Also when it was let go a moment ago: then it is tried again.
            None => Ok(Put::Held),
        }
    }

    /// Puts the frames of a batch; the size of the first, and where they end.
    #[inline]
    fn put_frames(
        &self,
        first: Cursor,
        space: &mut Space<'_>,
        values: &[Packed<'_>],
        tag: &mut TagFn<'_>,
    ) -> Result<(u32, Cursor), Box<Error>> {
        let expected = usize::from(self.tag_bytes);
        // I5: what a sync has returned for, never inside a batch, whose frames all carry the floor of its start.
        let floor = space.durable();
        let mut at = first;
        let mut first_bytes = 0;
        for (number, value) in values.iter().enumerate() {
            let location = Location { offset: at.offset, size: self.frame_bytes(value)? };
            if number == 0 {
                first_bytes = location.size;
            }
            let continues = number + 1 < values.len();
            let header = value.header(self.tag_bytes, at.position, floor, continues);
            space.put_made(|buf| {
                let put = |buf: &mut Vec<u8>| tag(number, at.position, location, buf);
                let found = header.encode_placed(self.crc.clone(), at.offset, buf, put);
                if found == expected { Ok(OFFSET_BYTES) } else { Err(Box::new(Error::TagSize { expected, found })) }
            })?;
            space.put(value.payload());
            at = Appended { position: at.position, location }.next();
        }
        Ok((first_bytes, at))
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
