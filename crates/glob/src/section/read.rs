//! Reading one value by its location, and the headers in order.

use bytes::Bytes;

use super::Section;
use crate::error::Error;
use crate::frame::{self, FrameFault, FrameHeader, Head, RawFrame};
use crate::location::{Cursor, Location};
use crate::window::{CHUNK_BYTES, Window};

/// Bytes read for a header alone.
const SMALL_PIECE_BYTES: usize = 4096;

/// What a reader knows of the frame it asks for; what differs is an error.
#[derive(Debug, Clone, Copy, Default)]
pub struct Expect<'a> {
    /// The item's number.
    pub position: Option<u64>,
    /// The tag.
    pub tag: Option<&'a [u8]>,
}

impl Expect<'_> {
    /// Any value.
    pub const ANY: Self = Self { position: None, tag: None };
}

/// A value's frame, every part of it verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The item's number.
    pub position: u64,
    /// Where the frame is.
    pub location: Location,
    /// Its tag.
    pub tag: Bytes,
    /// The value's encoding, decompressed.
    pub value: Bytes,
    /// Bytes of the blob that were durable when the frame was appended.
    pub floor: u64,
    /// Whether the batch goes on in the next frame.
    pub continues: bool,
}

impl Frame {
    /// The boundary behind the frame.
    pub fn next(&self) -> Cursor {
        crate::Appended { position: self.position, location: self.location }.next()
    }
}

/// What a header says, for rebuilding an index. The payload was not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderEntry {
    /// The item's number; of a seal: of the next item.
    pub position: u64,
    /// Where the frame is.
    pub location: Location,
    /// Its tag.
    pub tag: Bytes,
    /// The whole header.
    pub header: FrameHeader,
}

impl Section {
    /// Reads the value at a location, and checks all of it: header with offset, what is expected, payload.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// [`Error::InvalidLocation`]: no value's frame is there; [`Error::ChecksumMismatch`]: damage;
    /// [`Error::PositionMismatch`], [`Error::TagMismatch`]; [`Error::ValueTooLarge`], before anything is allocated;
    /// [`Error::Storage`].
    pub async fn read(&self, location: Location, expect: Expect<'_>) -> Result<Frame, Error> {
        let len = self.check_location(location)?;
        let bytes = match self.log.read_at(location.offset, len).await {
            Ok(bytes) => bytes,
            Err(error) => return Err(self.gone(location, error)),
        };
        self.parse(location, bytes, expect)
    }

    /// [`read`](Self::read) that does not block: `None` when it would need the disk.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn try_read(&self, location: Location, expect: Expect<'_>) -> Option<Result<Frame, Error>> {
        let len = match self.check_location(location) {
            Ok(len) => len,
            Err(error) => return Some(Err(error)),
        };
        let read = self.log.try_read_at(location.offset, len)?;
        Some(read.map_err(|error| self.gone(location, error)).and_then(|bytes| self.parse(location, bytes, expect)))
    }

    /// Reads frames that lie one behind the other, in one read.
    pub(crate) async fn read_run(&self, locations: &[Location]) -> Result<Vec<Frame>, Error> {
        let mut lens = Vec::with_capacity(locations.len());
        for location in locations {
            lens.push(self.check_location(*location)?);
        }
        let Some(first) = locations.first().copied() else { return Ok(Vec::new()) };
        let mut bytes = match self.log.read_at(first.offset, lens.iter().sum()).await {
            Ok(bytes) => bytes,
            Err(error) => return Err(self.gone(first, error)),
        };
        let each = locations.iter().zip(lens);
        each.map(|(location, len)| self.parse(*location, bytes.split_to(len), Expect::ANY)).collect()
    }

    /// The size of the frame, when one can be there.
    fn check_location(&self, location: Location) -> Result<usize, Error> {
        let invalid = |reason| Error::InvalidLocation { section: self.number, location, reason };
        let head = RawFrame::head_bytes(self.tag_bytes) as u64;
        let Some(stored) = u64::from(location.size).checked_sub(head) else {
            return Err(invalid("no frame is that small"));
        };
        let max = self.settings.packer.max_value_bytes().into();
        if stored > max {
            return Err(Error::ValueTooLarge { len: stored, max });
        }
        match location.end() {
            Some(end) if end <= self.log.len() => {
                usize::try_from(location.size).map_err(|_| invalid("it is too large"))
            }
            Some(_) => Err(invalid("it ends behind the last frame")),
            None => Err(invalid("no blob is that long")),
        }
    }

    /// A read past the end: the section was cut meanwhile.
    fn gone(&self, location: Location, error: blob_runtime::Error) -> Error {
        match error {
            blob_runtime::Error::OutOfBounds { .. } => {
                Error::InvalidLocation { section: self.number, location, reason: "it ends behind the last frame" }
            }
            other => other.into(),
        }
    }

    /// A frame of its bytes.
    pub(crate) fn parse(&self, location: Location, bytes: Bytes, expect: Expect<'_>) -> Result<Frame, Error> {
        let invalid = |reason| Error::InvalidLocation { section: self.number, location, reason };
        let fault = |fault| self.fault(location.offset, fault).unwrap_or_else(|| invalid("no frame begins there"));
        let head = RawFrame(&bytes).verify(self.place(location.offset), self.tag_bytes).map_err(fault)?;
        let header = head.header;
        if header.is_seal() {
            return Err(invalid("a seal is there"));
        }
        if header.size() != u64::from(location.size) {
            return Err(invalid("the frame there has another size"));
        }
        if let Some(expected) = expect.position.filter(|expected| *expected != header.position) {
            let found = header.position;
            return Err(Error::PositionMismatch { section: self.number, location, expected, found });
        }
        if expect.tag.is_some_and(|tag| tag != head.tag) {
            return Err(Error::TagMismatch { section: self.number, location });
        }
        let tag = bytes.slice_ref(head.tag);
        let payload = bytes.slice(header.head_bytes()..);
        frame::check_payload(&header, &payload).map_err(fault)?;
        let value = self.settings.packer.unpack(&header, payload).map_err(|error| {
            error.unwrap_or_else(|| Error::Corrupt {
                blob: self.blob().id().clone(),
                offset: location.offset,
                expected: format!("a payload that decompresses to {} bytes", header.raw_bytes),
                found: "another, with a checksum that matches".into(),
            })
        })?;
        Ok(Frame {
            position: header.position,
            location,
            tag,
            value,
            floor: header.floor,
            continues: header.flags.has(frame::Flags::CONTINUES),
        })
    }

    /// A checksum that does not match, as an error; `None` for what is no frame at all.
    fn fault(&self, offset: u64, fault: FrameFault) -> Option<Error> {
        let (what, expected, found) = match fault {
            FrameFault::Header { expected, found } => ("header", expected, found),
            FrameFault::Payload { expected, found } => ("payload", expected, found),
            _ => return None,
        };
        Some(Error::ChecksumMismatch { blob: self.blob().id().clone(), offset, what, expected, found })
    }

    /// What is wrong with a frame that should be there, as damage.
    pub(crate) fn damaged(&self, at: Cursor, fault: FrameFault) -> Error {
        self.fault(at.offset, fault).unwrap_or_else(|| Error::Corrupt {
            blob: self.blob().id().clone(),
            offset: at.offset,
            expected: format!("the frame of item {}", at.position),
            found: fault.to_string(),
        })
    }

    /// The header at a boundary, when it is the one that belongs there.
    fn verify<'a>(&self, at: Cursor, bytes: &'a [u8]) -> Result<Head<'a>, Error> {
        let head = RawFrame(bytes).verify(self.place(at.offset), self.tag_bytes);
        let head = head.map_err(|fault| self.damaged(at, fault))?;
        if head.header.position != at.position {
            let fault = FrameFault::Position { expected: at.position, found: head.header.position };
            return Err(self.damaged(at, fault));
        }
        Ok(head)
    }

    pub(crate) fn verify_head(&self, at: Cursor, bytes: &[u8]) -> Result<FrameHeader, Error> {
        Ok(self.verify(at, bytes)?.header)
    }

    /// The headers in order from a boundary on, up to the end as it is now; payloads are jumped over.
    pub fn headers(&self, from: Cursor) -> HeadReader<'_> {
        HeadReader {
            section: self,
            window: Window::of_log(self.log.clone()),
            at: from,
            end: self.progress.end(),
            piece: CHUNK_BYTES,
        }
    }

    /// The last boundary at or before an item that is known without a look at the blob.
    pub fn boundary_before(&self, position: u64) -> Cursor {
        self.progress.before(position)
    }

    /// Where the frame of an item begins; for the number behind the last item, the end.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// [`Error::ItemOutOfRange`]; [`Error::Corrupt`], [`Error::ChecksumMismatch`] when a header on the way is damaged;
    /// [`Error::Storage`].
    pub async fn locate(&self, position: u64) -> Result<Cursor, Error> {
        let end = self.end();
        if position > end.position {
            return Err(Error::ItemOutOfRange { section: self.number, position, len: end.position });
        }
        if position == end.position {
            return Ok(end);
        }
        let mut headers = self.headers(self.progress.before(position));
        while let Some(entry) = headers.next().await? {
            if entry.position == position && !entry.header.is_seal() {
                return Ok(Cursor { offset: entry.location.offset, position });
            }
        }
        // Only when it was cut meanwhile.
        Err(Error::ItemOutOfRange { section: self.number, position, len: self.len() })
    }
}

/// Reads headers in order. See [`Section::headers`].
#[derive(Debug)]
pub struct HeadReader<'a> {
    section: &'a Section,
    window: Window,
    at: Cursor,
    end: u64,
    /// Bytes read at a time: little where large payloads lie between the headers.
    piece: usize,
}

impl HeadReader<'_> {
    /// The next header, seals too; `None` at the end.
    ///
    /// Cancel safety: safe; the same header comes again.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::ChecksumMismatch`]: damage; [`Error::Storage`].
    pub async fn next(&mut self) -> Result<Option<HeaderEntry>, Error> {
        let at = self.at;
        if at.offset >= self.end {
            return Ok(None);
        }
        let want = RawFrame::head_bytes(self.section.tag_bytes);
        let bytes = self.window.at_by(at.offset, want, self.end, self.piece).await?;
        let Head { header, tag } = self.section.verify(at, bytes)?;
        let tag = Bytes::copy_from_slice(tag);
        let size = u32::try_from(header.size()).unwrap_or(u32::MAX);
        let next = at.offset.saturating_add(header.size());
        if next > self.end {
            let (needed, found) = (header.size(), self.end - at.offset);
            return Err(self.section.damaged(at, FrameFault::Short { needed, found }));
        }
        self.at = Cursor { offset: next, position: at.position.saturating_add((!header.is_seal()).into()) };
        self.piece = if size as usize > CHUNK_BYTES / 4 { SMALL_PIECE_BYTES } else { CHUNK_BYTES };
        let location = Location { offset: at.offset, size };
        Ok(Some(HeaderEntry { position: header.position, location, tag, header }))
    }

    /// The boundary the next header is at.
    pub fn at(&self) -> Cursor {
        self.at
    }
}
