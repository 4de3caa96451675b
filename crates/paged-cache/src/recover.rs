//! What a crash has left of a stream: read everything, decide by a pure function, then act.
//!
//! ```text
//!  pages    0 ········ floor ──────▶ n ·········· last valid ······ end of the file
//!           durable,   verified one  first that    found from        nothing valid
//!           not read   after one     ends it       the end
//! ```
//!
//! A page's floor says how many whole pages were durable when it was written. From the highest floor on, pages are
//! verified in order; the decision for each is [`Walk::see`]:
//!
//! | page | last valid one? | decision |
//! |---|---|---|
//! | full | any | it counts, go on |
//! | not full | yes | it counts, the stream ends in it |
//! | not full | no, valid ones follow | its filling was lost: it counts as far as it is durable, the stream ends in it |
//! | invalid | - | the stream ends before it |
//!
//! What ends a stream above the floor is a torn tail: it was never acknowledged, or nothing proves that it was.

use std::sync::Arc;

use blob_runtime::{Binding, Blob, HeaderState};
use bytes::Bytes;
use futures::future::BoxFuture;

use crate::error::Error;
use crate::flush::Last;
use crate::geometry::Geometry;
use crate::page::{self, Mark};
use crate::physical::{CHUNK_BYTES, physical_pages, read_pages};
use crate::seal::{is_said_twice, say_twice, says_more};
use crate::shorten::{ENDS_EARLY, damaged, drop_tail, prove, read_page, shorten};

#[cfg(test)]
mod tests;

/// What one page shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fact {
    /// No slot verifies.
    Invalid,
    /// A slot verifies, for this many bytes, fewer than a page holds.
    Partial(usize),
    /// A slot verifies, for all a page holds.
    Full,
}

/// Why a stream ends where it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// With its last valid page; nothing but what never verified lies behind.
    Whole,
    /// Before a page that does not verify and is above the floor.
    Invalid {
        /// The page's number.
        page: u64,
    },
    /// In a page whose filling was lost while later pages survived.
    Unfilled {
        /// The page's number.
        page: u64,
    },
}

/// The walk over the pages from the floor on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Walk {
    /// The next page to see.
    pub(crate) page: u64,
    /// The last page that verifies, wherever it is.
    last_valid: Option<u64>,
    /// Bytes that count in `page`, when the walk has ended in it.
    partial: usize,
    pub(crate) ended: Option<Ended>,
}

impl Walk {
    /// Begins at the floor that the last valid page proves. A floor beyond that page is no floor.
    pub(crate) fn new(last_valid: Option<(u64, u64)>) -> Self {
        let page = last_valid.map_or(0, |(number, floor)| floor.min(number));
        let ended = last_valid.is_none().then_some(Ended::Whole);
        Self { page, last_valid: last_valid.map(|(number, _)| number), partial: 0, ended }
    }

    /// Sees the next page.
    pub(crate) fn see(&mut self, fact: Fact) {
        let is_last = self.last_valid == Some(self.page);
        match fact {
            Fact::Full => {
                self.page += 1;
                self.ended = is_last.then_some(Ended::Whole);
            }
            Fact::Partial(len) => {
                self.partial = len;
                self.ended = Some(if is_last { Ended::Whole } else { Ended::Unfilled { page: self.page } });
            }
            Fact::Invalid => self.ended = Some(Ended::Invalid { page: self.page }),
        }
    }

    /// Length of the stream, when the walk has ended.
    pub(crate) fn len(&self, geometry: Geometry) -> u64 {
        geometry.page_start(self.page) + self.partial as u64
    }
}

/// Tells whether a page above every floor may be believed: it gets the page's first logical offset and its data. A
/// stream that is an index of something else asks that; a page that contradicts it does not count.
pub type Judge<'a> = &'a (dyn Fn(u64, Bytes) -> BoxFuture<'static, Result<bool, Error>> + Sync);

/// What was found of a stream. Nothing was changed.
#[derive(Debug)]
pub struct Survey {
    pub(crate) blob: Arc<dyn Blob>,
    pub(crate) geometry: Geometry,
    pub(crate) binding: Binding,
    pub(crate) len: u64,
    floor: u64,
    ended: Ended,
    pub(crate) last: Last,
    /// Both slots of the last page say where it ends.
    said_twice: bool,
    /// The slot of the last page that does not count says more.
    says_more: bool,
}

impl Survey {
    /// Looks at a stream, without changing anything. The page size is the one its header says.
    ///
    /// Reads from the end back to the last page that verifies, then from its floor on; memory: two chunks of 1 MiB.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// [`Error::InvalidPageSize`] when the header's is none; read errors as they come, and then nothing is known.
    pub async fn new(blob: Arc<dyn Blob>, judge: Option<Judge<'_>>) -> Result<Self, Error> {
        let geometry = Geometry::new(blob.header().unit)?;
        let binding = blob.header().binding(blob.id().name());
        let last_valid = last_valid(&blob, geometry, binding, judge).await?;
        let mut walk = Walk::new(last_valid.map(|(number, mark)| (number, u64::from(mark.slot.floor))));
        let floor = walk.page;
        let mut last = Last::default();
        let (mut said_twice, mut more) = (true, false);
        let end = last_valid.map_or(0, |(number, _)| number + 1);
        let mut chunks = Chunks { blob: &blob, geometry, next: floor, end };
        while let (None, Some((first, chunk))) = (walk.ended, chunks.next().await?) {
            for (number, bytes) in (first..).zip(chunk.chunks(geometry.page_bytes())) {
                let mark = page::verify(geometry, binding, number, bytes);
                let data = mark.map_or(0, |mark| mark.len());
                let counts = match (mark, judge) {
                    (Some(_), Some(judge)) => judge(geometry.page_start(number), prefix(&chunk, bytes, data)).await?,
                    (mark, _) => mark.is_some(),
                };
                said_twice = is_said_twice(geometry, binding, number, bytes);
                if counts {
                    more = says_more(geometry, binding, number, bytes);
                }
                walk.see(match mark.filter(|_| counts) {
                    None => Fact::Invalid,
                    Some(mark) if mark.len() == geometry.data_bytes() => Fact::Full,
                    Some(mark) => {
                        last = Last { data: bytes.get(..data).unwrap_or_default().to_vec(), mark: Some(mark) };
                        Fact::Partial(mark.len())
                    }
                });
                if walk.ended.is_some() {
                    break;
                }
            }
        }
        let ended = walk.ended.unwrap_or(Ended::Whole);
        Ok(Self { geometry, binding, len: walk.len(geometry), floor, ended, last, said_twice, says_more: more, blob })
    }

    /// Length of the stream in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing is left of it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of it that are proven durable: nobody may take them for a torn tail.
    pub fn proven(&self) -> u64 {
        self.geometry.page_start(self.floor)
    }

    /// Why it ends where it does.
    pub fn ended(&self) -> Ended {
        self.ended
    }

    /// The shape of its pages.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// What was found, as if it ended after its first `keep` bytes; for reading only, for the blob still holds the rest.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// What reading the page that holds the end answers; damage to that page.
    pub async fn limit(mut self, keep: u64) -> Result<Self, Error> {
        if keep >= self.len {
            return Ok(self);
        }
        let place = self.geometry.place(keep);
        if place.page != self.geometry.full_pages(self.len) {
            self.last = match place.offset {
                0 => Last::default(),
                _ => read_page(&self.blob, self.geometry, self.binding, place.page).await?,
            };
        }
        if self.last.data.len() < place.offset {
            return Err(damaged(&self.blob, self.geometry, place.page, ENDS_EARLY).into());
        }
        self.last.data.truncate(place.offset);
        self.len = keep;
        Ok(self)
    }

    /// Reads `len` bytes of what was found, each page verified.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`] past the end; damage to a page, also one below the floor; what reading the blob answers.
    pub async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, Error> {
        if offset.checked_add(len as u64).is_none_or(|end| end > self.len) {
            let blob = self.blob.id().clone();
            return Err(Error::OutOfBounds { blob, offset, len: len as u64, stream_len: self.len });
        }
        let mut bytes = Vec::new();
        while bytes.len() < len {
            let place = self.geometry.place(offset + bytes.len() as u64);
            let take = (self.geometry.data_bytes() - place.offset).min(len - bytes.len());
            let in_last = place.page == self.geometry.full_pages(self.len) && !self.last.data.is_empty();
            let page = match in_last {
                true => self.last.clone(),
                false => read_page(&self.blob, self.geometry, self.binding, place.page).await?,
            };
            let Some(part) = page.data.get(place.offset..place.offset + take) else {
                return Err(damaged(&self.blob, self.geometry, place.page, ENDS_EARLY).into());
            };
            bytes.extend_from_slice(part);
        }
        Ok(bytes.into())
    }

    /// The blob.
    pub fn blob(&self) -> &Arc<dyn Blob> {
        &self.blob
    }

    /// Bytes of the blob behind the last page that counts.
    pub fn left_over(&self) -> u64 {
        self.blob.len().saturating_sub(self.geometry.blob_len(self.len))
    }

    /// Whether this is what a close in order leaves: a sound header, whole pages, nothing behind them. After such a
    /// close anything else is damage.
    pub fn is_clean(&self) -> bool {
        let to_the_end = self.blob.len() == self.geometry.blob_len(self.len);
        self.ended == Ended::Whole && to_the_end && self.blob.header_state() == HeaderState::Sound
    }

    /// Whether this is what [`Paged::seal`](crate::Paged::seal) leaves: as [`is_clean`](Self::is_clean), and both slots of
    /// the last page say where the stream ends. After a close that seals anything else is damage: the file was cut, or one
    /// of the slots has rotted.
    pub fn is_sealed(&self) -> bool {
        self.is_clean() && self.said_twice
    }

    /// Seals what was carried out, see [`Paged::seal`](crate::Paged::seal).
    ///
    /// Cancel safety: dropped, the end is said once or twice.
    ///
    /// # Errors
    /// Whatever reading, writing and syncing answer; the stream must not be used then.
    pub async fn seal(mut self) -> Result<Self, Error> {
        say_twice(&self.blob, self.geometry, self.binding, self.len).await?;
        self.said_twice = true;
        Ok(self)
    }

    /// Makes what was found durable, cut to its first `keep` bytes: whatever is above the floor is written again with the
    /// same bytes and synced, for after a failed sync the operating system may hold pages as clean that are not on the
    /// disk; what lies behind is zeroed, synced, truncated, synced (P9, I4). Nothing is changed below the floor.
    ///
    /// Cancel safety: dropped, it is done again by the next recovery.
    ///
    /// # Errors
    /// Whatever writing and syncing answer; the stream must not be used then.
    pub async fn carry_out(mut self, keep: u64) -> Result<Self, Error> {
        let keep = keep.min(self.len);
        self.rewrite(keep).await?;
        let is_cut = keep < self.len;
        if is_cut {
            let same_page = self.geometry.full_pages(keep) == self.geometry.full_pages(self.len);
            let known = same_page.then(|| std::mem::take(&mut self.last));
            self.last = shorten(&self.blob, self.geometry, self.binding, keep, known).await?;
            self.len = keep;
        } else if self.left_over() > 0 {
            let proved = prove(&self.blob, self.geometry, self.binding, keep, self.floor).await?;
            // A full page is not changed any more: it needs not be known.
            if let Some(last) = proved.filter(|_| !self.last.data.is_empty()) {
                self.last = last;
            }
            drop_tail(&self.blob, self.geometry.blob_len(keep)).await?;
        }
        // A cut that a crash has cut short is ended in the other slot too; one that was made here has done so.
        if std::mem::take(&mut self.says_more) && !is_cut {
            say_twice(&self.blob, self.geometry, self.binding, keep).await?;
        }
        self.floor = self.geometry.full_pages(self.len);
        self.ended = Ended::Whole;
        self.said_twice = false;
        Ok(self)
    }

    /// Writes the header, the length, and the pages from the floor up to the one that holds the last of `keep` bytes again.
    async fn rewrite(&self, keep: u64) -> Result<(), Error> {
        self.blob.write_header().await?;
        // A cut whose last sync failed may show as made and come back: the zeros behind the end would be damage to a
        // stream that is closed in order by then. Setting the length that shows may do nothing, so it is changed twice.
        let len = self.blob.len();
        self.blob.resize(len.saturating_add(self.geometry.page_bytes() as u64)).await?;
        self.blob.resize(len).await?;
        let end = self.geometry.pages(keep);
        let mut chunks = Chunks { blob: &self.blob, geometry: self.geometry, next: self.floor.min(end), end };
        while let Some((first, chunk)) = chunks.next().await? {
            self.blob.write_at(self.geometry.blob_offset(first), vec![chunk]).await?;
        }
        self.blob.sync().await?;
        Ok(())
    }
}

/// The last page that verifies, searched from the end.
async fn last_valid(
    blob: &Arc<dyn Blob>,
    geometry: Geometry,
    binding: Binding,
    judge: Option<Judge<'_>>,
) -> Result<Option<(u64, Mark)>, Error> {
    let per_chunk = (CHUNK_BYTES / geometry.page_bytes()).max(1) as u64;
    let mut end = physical_pages(blob, geometry);
    while end > 0 {
        let first = end.saturating_sub(per_chunk);
        let mut chunks = Chunks { blob, geometry, next: first, end };
        let Some((_, chunk)) = chunks.next().await? else { break };
        for (number, bytes) in (first..end).rev().zip(chunk.chunks(geometry.page_bytes()).rev()) {
            let Some(mark) = page::verify(geometry, binding, number, bytes) else { continue };
            let data = prefix(&chunk, bytes, mark.len());
            if match judge {
                Some(judge) => judge(geometry.page_start(number), data).await?,
                None => true,
            } {
                return Ok(Some((number, mark)));
            }
        }
        end = first;
    }
    Ok(None)
}

/// The first `len` bytes of `part`, which lies in `whole`, shared.
fn prefix(whole: &Bytes, part: &[u8], len: usize) -> Bytes {
    whole.slice_ref(part.get(..len).unwrap_or_default())
}

/// Whole pages in order, up to 1 MiB at a time.
struct Chunks<'a> {
    blob: &'a Arc<dyn Blob>,
    geometry: Geometry,
    next: u64,
    end: u64,
}

impl Chunks<'_> {
    /// The next chunk, with the number of its first page.
    async fn next(&mut self) -> Result<Option<(u64, Bytes)>, Error> {
        let page_bytes = self.geometry.page_bytes();
        let count = (CHUNK_BYTES / page_bytes).max(1) as u64;
        let first = self.next;
        self.next = self.end.min(first.saturating_add(count));
        let count = usize::try_from(self.next.saturating_sub(first)).unwrap_or(0);
        if count == 0 {
            return Ok(None);
        }
        Ok(Some((first, read_pages(self.blob, self.geometry, first, count).await?)))
    }
}
