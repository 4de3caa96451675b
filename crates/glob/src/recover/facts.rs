//! Gathering what there is to know about a section's blob. Only reads.

use std::sync::Arc;

use blob_runtime::{Blob, HeaderState, read_at};
use bytes::Buf;

use crate::error::Error;
use crate::frame::{Flags, FrameFault, FrameHeader, MAGIC, Place, RawFrame, SEAL_BYTES};
use crate::location::Cursor;
use crate::section::tag_bytes;
use crate::window::Window;

/// What is known from elsewhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The store was closed in order: the frames end with a seal, at the end of the file.
    pub clean: bool,
    /// So many bytes are known durable: an index entry that its own floor proves.
    pub floor: u64,
    /// A cut to here was decided, after what it keeps had been made durable; nothing behind it counts.
    pub cut: Option<Cursor>,
}

/// Why the frames end where they end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The blob ends there, or what is known to be cut begins.
    End,
    /// Only zeros follow.
    Zeros,
    /// Something follows that is not the next frame.
    Invalid(FrameFault),
}

/// What lies behind the end of the frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Behind {
    /// Where the first header that verifies begins.
    pub header: Option<u64>,
    /// Where the first frame begins that verifies with its payload.
    pub whole: Option<u64>,
    /// The highest floor of any header that verifies.
    pub floor: u64,
}

/// What there is to know about a section's blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Whether the blob's header verifies.
    pub header_sound: bool,
    /// Length of the blob in bytes.
    pub len: u64,
    /// Where the survey began.
    pub from: Cursor,
    /// Behind the last frame of an unbroken row from there.
    pub end: Cursor,
    /// Where the batch begins that has not ended there.
    pub open_batch: Option<Cursor>,
    /// Whether the last frame of the row is a seal.
    pub sealed: bool,
    /// The highest floor of the frames of the row.
    pub floor: u64,
    /// Why the row ends.
    pub stop: Stop,
    /// What lies behind it.
    pub behind: Behind,
    /// What is known from elsewhere.
    pub evidence: Evidence,
}

/// Reads the frames from a boundary to their end, and searches what lies behind it.
///
/// `from` may be wrong: then nothing verifies there, and nothing else happens.
///
/// Cancel safety: safe.
///
/// # Errors
/// [`Error::Storage`]: a read has failed, and nothing is known. [`Error::Corrupt`] when the blob's header has a tag size
/// that no frame can have.
pub async fn survey(blob: &Arc<dyn Blob>, from: Cursor, evidence: Evidence) -> Result<Facts, Error> {
    let len = blob.len();
    let limit = evidence.cut.map_or(len, |cut| cut.offset.min(len));
    let mut reader = Reader {
        tag_bytes: tag_bytes(blob.as_ref())?,
        place: Place { binding: blob.header().binding(blob.id().name()), offset: 0 },
        window: Window::of_blob(Arc::clone(blob)),
    };
    let mut facts = Facts {
        header_sound: blob.header_state() == HeaderState::Sound,
        len,
        from,
        end: from,
        open_batch: None,
        sealed: false,
        floor: 0,
        stop: Stop::End,
        behind: Behind::default(),
        evidence,
    };
    // A boundary behind the end is none.
    if from.offset > limit {
        facts.stop = Stop::Invalid(FrameFault::Short { needed: from.offset - limit, found: 0 });
        return Ok(facts);
    }
    while facts.end.offset < limit {
        match reader.whole_frame(facts.end, limit).await? {
            Ok(header) => facts.take(&header),
            Err(fault) => {
                facts.stop = Stop::Invalid(fault);
                break;
            }
        }
    }
    // Behind a cut that was decided nothing is judged.
    if evidence.cut.is_none() && facts.stop != Stop::End {
        let (behind, zeros) = reader.search(facts.end.offset, len).await?;
        facts.behind = behind;
        if zeros {
            facts.stop = Stop::Zeros;
        }
    }
    Ok(facts)
}

/// Where the frames end when a seal is the last thing in the blob: that alone proves all before it, so nothing else need
/// be read. `None` when it is not so.
///
/// Cancel safety: safe.
///
/// # Errors
/// As [`survey`].
pub async fn sealed_end(blob: &Arc<dyn Blob>) -> Result<Option<Cursor>, Error> {
    let len = blob.len();
    let Some(offset) = len.checked_sub(SEAL_BYTES as u64) else { return Ok(None) };
    let place = Place { binding: blob.header().binding(blob.id().name()), offset };
    let bytes = read_at(blob.as_ref(), offset, SEAL_BYTES).await?;
    let head = RawFrame(&bytes).verify(place, tag_bytes(blob.as_ref())?);
    let seal = head.ok().filter(|head| head.header.is_seal());
    Ok(seal.map(|head| Cursor { offset: len, position: head.header.position }))
}

/// Whether the blob holds the header of any frame of its own. What [`Format::probe`](blob_runtime::Format::probe) asks.
///
/// Cancel safety: safe.
///
/// # Errors
/// As [`survey`].
pub async fn any_frame(blob: &Arc<dyn Blob>) -> Result<bool, Error> {
    let mut reader = Reader {
        tag_bytes: tag_bytes(blob.as_ref())?,
        place: Place { binding: blob.header().binding(blob.id().name()), offset: 0 },
        window: Window::of_blob(Arc::clone(blob)),
    };
    Ok(reader.search(0, blob.len()).await?.0.header.is_some())
}

/// The tag size that the first value's frame claims, for a blob whose header is lost: not proven, but frames of another
/// tag size do not verify. `None` when nothing that looks like a frame is at the start.
///
/// Cancel safety: safe.
///
/// # Errors
/// [`Error::Storage`].
pub async fn claimed_tag_bytes(blob: &Arc<dyn Blob>) -> Result<Option<u16>, Error> {
    const PREFIX_BYTES: usize = 8;
    let mut window = Window::of_blob(Arc::clone(blob));
    let mut offset = 0;
    loop {
        let bytes = window.at(offset, PREFIX_BYTES, blob.len()).await?;
        let Some((magic, mut rest)) = bytes.get(..PREFIX_BYTES).and_then(|prefix| prefix.split_at_checked(MAGIC.len()))
        else {
            return Ok(None);
        };
        if magic != MAGIC {
            return Ok(None);
        }
        let (is_seal, tag_bytes) = (Flags::from_bits(rest.get_u16()).has(Flags::SEAL), rest.get_u16());
        if !is_seal {
            return Ok(Some(tag_bytes));
        }
        offset += SEAL_BYTES as u64;
    }
}

impl Facts {
    /// The facts when a seal is the last thing in the blob; see [`sealed_end`].
    pub fn sealed(blob: &Arc<dyn Blob>, end: Cursor, evidence: Evidence) -> Self {
        Self {
            header_sound: blob.header_state() == HeaderState::Sound,
            len: end.offset,
            from: Cursor::START,
            end,
            open_batch: None,
            sealed: true,
            floor: end.offset.saturating_sub(SEAL_BYTES as u64),
            stop: Stop::End,
            behind: Behind::default(),
            evidence,
        }
    }

    /// Takes in the next frame of the row.
    fn take(&mut self, header: &FrameHeader) {
        let at = self.end;
        self.floor = self.floor.max(header.floor);
        self.sealed = header.is_seal();
        if header.flags.has(Flags::CONTINUES) {
            self.open_batch.get_or_insert(at);
        } else {
            // The last frame of a batch, a value alone, or a seal: it ends a batch.
            self.open_batch = None;
        }
        self.end.offset = at.offset.saturating_add(header.size());
        self.end.position = at.position.saturating_add((!header.is_seal()).into());
    }
}

struct Reader {
    tag_bytes: u16,
    place: Place,
    window: Window,
}

impl Reader {
    /// The frame at a boundary, payload and all, when it is the one that belongs there and ends before `limit`.
    async fn whole_frame(&mut self, at: Cursor, limit: u64) -> Result<Result<FrameHeader, FrameFault>, Error> {
        let place = Place { offset: at.offset, ..self.place };
        let want = RawFrame::head_bytes(self.tag_bytes);
        let bytes = self.window.at(at.offset, want, limit).await?;
        let header = match RawFrame(bytes).verify(place, self.tag_bytes) {
            Ok(head) => head.header,
            Err(fault) => return Ok(Err(fault)),
        };
        if header.position != at.position {
            return Ok(Err(FrameFault::Position { expected: at.position, found: header.position }));
        }
        Ok(self.check_payload(at.offset, &header, limit).await?.map(|()| header))
    }

    /// Reads the payload of the frame at `offset`, piece by piece.
    async fn check_payload(
        &mut self,
        offset: u64,
        header: &FrameHeader,
        limit: u64,
    ) -> Result<Result<(), FrameFault>, Error> {
        let end = offset.saturating_add(header.size());
        if end > limit {
            return Ok(Err(FrameFault::Short { needed: header.size(), found: limit - offset }));
        }
        let mut crc = crc32fast::Hasher::new();
        let mut next = offset + header.head_bytes() as u64;
        while next < end {
            let piece = self.window.at(next, 1, end).await?;
            crc.update(piece);
            next += piece.len() as u64;
        }
        let (expected, found) = (header.payload_crc, crc.finalize());
        Ok(if expected == found { Ok(()) } else { Err(FrameFault::Payload { expected, found }) })
    }

    /// Searches `from..len` for headers that verify, jumping over each by its size; and tells whether all of it is
    /// zeros.
    async fn search(&mut self, from: u64, len: u64) -> Result<(Behind, bool), Error> {
        let mut behind = Behind::default();
        let mut zeros = true;
        let want = RawFrame::head_bytes(self.tag_bytes);
        let mut at = from;
        while at < len {
            let bytes = self.window.at(at, want, len).await?;
            let found = bytes.windows(MAGIC.len()).position(|four| four == MAGIC);
            // What is too short for the magic at the end of a piece is looked at again with the next one.
            let clear = found.unwrap_or_else(|| match bytes.len() as u64 == len - at {
                true => bytes.len(),
                false => bytes.len().saturating_sub(MAGIC.len() - 1),
            });
            zeros &= found.is_none() && bytes.iter().take(clear).all(|byte| *byte == 0);
            at += clear as u64;
            if found.is_none() {
                continue;
            }
            let bytes = self.window.at(at, want, len).await?;
            let place = Place { offset: at, ..self.place };
            let Ok(head) = RawFrame(bytes).verify(place, self.tag_bytes) else {
                at += 1;
                continue;
            };
            let header = head.header;
            behind.header.get_or_insert(at);
            behind.floor = behind.floor.max(header.floor);
            if behind.whole.is_none() && self.check_payload(at, &header, len).await?.is_ok() {
                behind.whole = Some(at);
            }
            at = at.saturating_add(header.size());
        }
        Ok((behind, zeros))
    }
}
