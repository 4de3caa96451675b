//! A stream from front to back, in large reads.

use bytes::Bytes;

use crate::error::Error;
use crate::physical::read_pages;
use crate::writer::{Paged, Settled, TOO_SHORT, mismatch, verified};

#[cfg(test)]
mod tests;

/// How much is read at a time.
const READ_BYTES: usize = 256 << 10;

/// Yields a stream in pieces, each as long as a page's data or less, in order. It ends at the length the stream had
/// when it was made. Ends for good after an error.
#[derive(Debug)]
pub struct Replay {
    paged: Paged,
    at: u64,
    end: u64,
    /// Whole pages read and not yet yielded, with the number of the first.
    chunk: Bytes,
    page: u64,
    /// How often the stream had been cut when what comes was decided on; see [`Paged::cuts`].
    cuts: u64,
}

impl Replay {
    pub(crate) fn new(paged: Paged, at: u64) -> Result<Self, Error> {
        let cuts = paged.cuts();
        let end = paged.len();
        if at > end {
            return Err(Error::OutOfBounds { blob: paged.blob().id().clone(), offset: at, len: 0, stream_len: end });
        }
        Ok(Self { paged, at, end, chunk: Bytes::new(), page: 0, cuts })
    }

    /// Logical offset of the next byte to come.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// The next piece; `None` at the end.
    ///
    /// Cancel safety: safe; the piece comes again.
    ///
    /// # Errors
    /// [`Error::ChecksumMismatch`], [`Error::Cut`], and what reading the blob answers.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        if self.at >= self.end {
            return Ok(None);
        }
        if self.cuts % 2 == 1 {
            // A cut was under way when this was made: what is there after it, if that goes so far.
            self.paged.settle().await;
            self.cuts = self.paged.cuts();
            self.end = self.end.min(self.paged.len()).max(self.at + 1);
        }
        let read = self.step().await;
        let result = match self.paged.judge(read, self.cuts).await {
            Settled::Answer(answer) => answer,
            Settled::Again => Err(self.cut()),
        };
        if result.is_err() {
            self.end = self.at;
        }
        result
    }

    async fn step(&mut self) -> Result<Option<Bytes>, Error> {
        if self.paged.cuts() != self.cuts {
            return Err(self.cut());
        }
        if self.chunk.is_empty()
            && let Some(piece) = self.refill().await?
        {
            return Ok(Some(self.take(piece)));
        }
        let geometry = self.paged.geometry();
        let bytes = self.chunk.split_to(geometry.page_bytes().min(self.chunk.len()));
        let (page, place) = (self.page, geometry.place(self.at));
        self.page += 1;
        let data = verified(self.paged.blob(), geometry, self.paged.binding(), page, &bytes)?;
        let needed = usize::try_from(self.end - geometry.page_start(page)).unwrap_or(usize::MAX);
        if data.len() < needed.min(geometry.data_bytes()) {
            // Its newer slot is damaged, and the older one knows less.
            return Err(mismatch(self.paged.blob(), geometry, page, TOO_SHORT));
        }
        Ok(Some(self.take(data.slice(place.offset.min(data.len())..))))
    }

    /// Reads the next pages from the blob; or answers what is in memory.
    async fn refill(&mut self) -> Result<Option<Bytes>, Error> {
        let (geometry, paged) = (self.paged.geometry(), &self.paged);
        let len = paged.len().min(self.end);
        if len <= self.at {
            return Err(self.cut());
        }
        // From the next byte to the end of the pages one read takes, or of the stream.
        let place = geometry.place(self.at);
        let pages = (READ_BYTES / geometry.page_bytes()).max(1) as u64;
        let until = geometry.page_start(place.page + pages).min(len);
        let wanted = usize::try_from(until - self.at).unwrap_or(READ_BYTES);
        let (split, memory) = paged.read_memory(self.at, wanted)?;
        if split == self.at {
            return Ok(Some(memory));
        }
        // All of it lies in full pages, also when the end is inside of one that was not full when this was made.
        let count = usize::try_from(geometry.pages(split).saturating_sub(place.page)).unwrap_or(0);
        let chunk = read_pages(paged.blob(), geometry, place.page, count).await?;
        (self.chunk, self.page) = (chunk, place.page);
        Ok(None)
    }

    /// Notes that `piece` is yielded, up to the end.
    fn take(&mut self, mut piece: Bytes) -> Bytes {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        piece.truncate(left);
        self.at += piece.len() as u64;
        piece
    }

    fn cut(&self) -> Error {
        Error::Cut { blob: self.paged.blob().id().clone() }
    }
}
