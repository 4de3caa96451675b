//! Reading entries and values, one or many.

use std::ops::{Range, RangeBounds};
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::{Either, select};
use glob::section::{Expect, Frame, Frames};
use glob::{Cursor, Location};

use super::RawOversized;
use crate::error::Error;
use crate::replay::{RawReplay, RawReplayValues, end_of};
use crate::section::Section;
use crate::tail::{RawTail, Until};
#[cfg(doc)]
use crate::verify::Finding;
use crate::verify::Verify;

/// Records of up to this size are copied to the stack on the way to their value.
const SMALL_RECORD_BYTES: usize = 256;

impl RawOversized {
    /// A record, as bytes.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// [`Error::ItemOutOfRange`], [`Error::SectionOutOfRange`], [`Error::Pruned`], [`Error::Closed`]; damage;
    /// [`Error::Stale`] in a read-only store that a writer has changed since; [`Error::Storage`].
    pub async fn get(&self, section: u64, position: u64) -> Result<Bytes, Error> {
        loop {
            let open = self.existing(section).await?;
            let cuts = open.values.cuts();
            match open.record(position).await {
                Ok(record) => return Ok(record),
                Err(error) => self.look_again(&open, cuts, error).await?,
            }
        }
    }

    /// A read has failed: nothing when the section was cut meanwhile, or is another one now, and the read is to be made
    /// again; between the zeros of a cut and its end, what goes is not what it was.
    async fn look_again(&self, open: &Arc<Section>, cuts: u64, error: Error) -> Result<(), Error> {
        let section = open.number();
        if matches!(error, Error::ItemOutOfRange { .. }) {
            return Err(error);
        }
        if !self.store().is_read_only() {
            if open.values.is_held() {
                self.store().enter().await?;
            }
            let now = self.store().table().get(section);
            if open.values.cuts() != cuts || now.is_none_or(|now| !Arc::ptr_eq(&now, open)) {
                return Ok(());
            }
        }
        Err(self.explain(section, error).await)
    }

    /// Looks at a record in place, without I/O: `None` when it is not in memory in one piece, or its section is not open.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn try_get_with<T>(
        &self,
        section: u64,
        position: u64,
        look: impl FnOnce(&[u8]) -> T,
    ) -> Option<Result<T, Error>> {
        if let Err(fault) = self.store().guard(section) {
            return Some(Err(fault.into()));
        }
        let looked = self.store().table().look(section, |open| {
            Some(match open.in_range(position) {
                // What is damaged, or was cut meanwhile, is looked at by whoever can wait.
                Ok(()) => open.index.try_look(position, look).and_then(Result::ok).map(Ok),
                Err(error) => Some(Err(error)),
            })
        });
        match looked {
            Some(looked) => looked,
            None if self.store().table().contains(section) => None,
            None => Some(Err(Error::SectionOutOfRange { section })),
        }
    }

    /// The value at a location, every part of its frame verified.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// [`Error::InvalidLocation`], [`Error::ChecksumMismatch`], [`Error::ValueTooLarge`]; as [`get`](Self::get).
    pub async fn get_value(&self, section: u64, location: Location) -> Result<Bytes, Error> {
        Ok(self.frame(section, location, Expect::ANY).await?.value)
    }

    /// The value of a record, whose frame must be that record's.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// As [`get_value`](Self::get_value); [`Error::InvalidLocation`] also when another record's value is there;
    /// [`Error::RecordSize`].
    pub async fn value_of(&self, section: u64, record: &[u8]) -> Result<Bytes, Error> {
        let location = self.location(section, record)?;
        Ok(self.frame(section, location, Expect { position: None, tag: Some(record) }).await?.value)
    }

    /// An entry with its value, both of the same append also beside a rewind.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// As [`get_value`](Self::get_value).
    pub async fn read(&self, section: u64, position: u64) -> Result<(Bytes, Bytes), Error> {
        let frame = self.read_frame(section, position).await?;
        Ok((frame.tag, frame.value))
    }

    pub(crate) async fn read_frame(&self, section: u64, position: u64) -> Result<Frame, Error> {
        match self.try_read_frame(section, position) {
            Some(frame) => Ok(frame),
            // What may wait is far larger as a future: it is made only then, and apart.
            None => Box::pin(self.wait_for_frame(section, position)).await,
        }
    }

    /// The frame of an entry without waiting; `None` when that cannot be, or something is wrong.
    fn try_read_frame(&self, section: u64, position: u64) -> Option<Frame> {
        self.store().guard(section).ok()?;
        self.store().table().look(section, |open| self.try_frame_of(open, position))
    }

    fn try_frame_of(&self, open: &Section, position: u64) -> Option<Frame> {
        open.in_range(position).ok()?;
        open.touch();
        let mut copy = [0; SMALL_RECORD_BYTES];
        let record = copy.get_mut(..self.record_bytes())?;
        let copied = open.index.try_look(position, |found| {
            let fits = found.len() == record.len();
            if fits {
                record.copy_from_slice(found);
            }
            fits
        });
        if !copied?.ok()? {
            return None;
        }
        let location = self.location(open.number(), record).ok()?;
        let expect = Expect { position: Some(position), tag: Some(record) };
        open.values.try_read(location, expect)?.ok()
    }

    async fn wait_for_frame(&self, section: u64, position: u64) -> Result<Frame, Error> {
        loop {
            let open = self.existing(section).await?;
            let cuts = open.values.cuts();
            match self.frame_of(&open, position).await {
                Ok(frame) => return Ok(frame),
                Err(error) => self.look_again(&open, cuts, error).await?,
            }
        }
    }

    async fn frame_of(&self, open: &Section, position: u64) -> Result<Frame, Error> {
        let record = open.record(position).await?;
        let location = self.location(open.number(), &record)?;
        let expect = Expect { position: Some(position), tag: Some(&record) };
        open.values.read(location, expect).await.map_err(|error| open.of_values(error))
    }

    /// Entries with their values, from `range`, as far as the values together have at most `max_bytes`; at least one, and
    /// none behind the section's end. They are read in the order of their frames, by large reads.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// As [`read`](Self::read); [`Error::Rewound`] when the section is cut meanwhile.
    pub async fn read_many(
        &self,
        section: u64,
        range: Range<u64>,
        max_bytes: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, Error> {
        let frames = self.read_frames(section, range, max_bytes).await?;
        Ok(frames.into_iter().map(|frame| (frame.tag, frame.value)).collect())
    }

    pub(crate) async fn read_frames(
        &self,
        section: u64,
        range: Range<u64>,
        max_bytes: usize,
    ) -> Result<Vec<Frame>, Error> {
        let open = self.in_use(section).await?;
        let mut read = Vec::new();
        if range.is_empty() {
            return Ok(read);
        }
        // Before anything is looked up: what a cut makes of it from here on is told.
        let cuts = open.values.cuts();
        open.in_range(range.start)?;
        let from = match open.cursor(range.start).await {
            Ok(from) => from,
            Err(error) => return Err(end_of(self, &open, cuts, error).await),
        };
        let mut frames = Frames::new(Arc::clone(&open.values), from);
        if open.values.cuts() != cuts {
            return Err(Error::Rewound { section });
        }
        let mut bytes = 0_usize;
        while frames.at().position < range.end {
            let frame = match frames.next().await {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Err(end_of(self, &open, cuts, open.of_values(error)).await),
                None => break,
            };
            bytes = bytes.saturating_add(frame.value.len());
            if bytes > max_bytes && !read.is_empty() {
                break;
            }
            read.push(frame);
        }
        Ok(read)
    }

    /// Where the frame of an entry begins; behind the last entry: the end.
    pub(crate) async fn cursor(&self, open: &Section, position: u64) -> Result<Cursor, Error> {
        match open.cursor(position).await {
            Err(error) if !matches!(error, Error::ItemOutOfRange { .. }) => {
                Err(self.explain(open.number(), error).await)
            }
            cursor => cursor,
        }
    }

    fn location(&self, section: u64, record: &[u8]) -> Result<Location, Error> {
        let expected = self.record_bytes();
        if record.len() != expected {
            return Err(Error::RecordSize { expected, found: record.len() });
        }
        let location = Location::default();
        let locate = self.store().driver().shared().locate;
        locate(record).ok_or(Error::InvalidLocation { section, location, reason: "the record has none" })
    }

    async fn frame(&self, section: u64, location: Location, expect: Expect<'_>) -> Result<Frame, Error> {
        loop {
            let open = self.existing(section).await?;
            let cuts = open.values.cuts();
            match open.values.read(location, expect).await {
                Ok(frame) => return Ok(frame),
                Err(error) => self.look_again(&open, cuts, open.of_values(error)).await?,
            }
        }
    }

    /// Entries of a section, with those only in memory.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// [`Error::SectionOutOfRange`], [`Error::Pruned`], [`Error::Closed`]; what opening the section answers.
    pub async fn len(&self, section: u64) -> Result<u64, Error> {
        Ok(self.existing(section).await?.len())
    }

    /// Entries of a section that are known to be durable.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// As [`len`](Self::len).
    pub async fn durable_len(&self, section: u64) -> Result<u64, Error> {
        Ok(self.existing(section).await?.values.durable_len())
    }

    /// From where on what a read-only store shows of a section's values is not proven to be durable, as an offset in bytes;
    /// `None` when all of it is. A writer's open has made durable what it shows.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// As [`len`](Self::len).
    pub async fn unsynced_from(&self, section: u64) -> Result<Option<u64>, Error> {
        let open = self.existing(section).await?;
        let from = open.values.floor_found();
        Ok((self.store().is_read_only() && from < open.values.bytes()).then_some(from))
    }

    /// Bytes of a section's records.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// As [`len`](Self::len).
    pub async fn index_bytes(&self, section: u64) -> Result<u64, Error> {
        Ok(self.len(section).await?.saturating_mul(self.record_bytes() as u64))
    }

    /// Bytes of a section's values with their frames, with those only in memory.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// As [`len`](Self::len).
    pub async fn value_bytes(&self, section: u64) -> Result<u64, Error> {
        Ok(self.existing(section).await?.values.bytes())
    }

    /// Waits until an entry is durable, without starting a sync.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// [`Error::ItemOutOfRange`] when the section is shorter, or is cut to be; [`Error::Rewound`] when the entry is cut off,
    /// and the section is as long again; [`Error::SectionOutOfRange`], [`Error::Pruned`] when it goes;
    /// [`Error::Poisoned`]; [`Error::ReadOnly`] when nothing proves it to be durable and this store never syncs.
    pub async fn wait_durable(&self, section: u64, position: u64) -> Result<(), Error> {
        let open = self.existing(section).await?;
        let cuts = open.values.cuts();
        if position < open.values.durable_len() {
            return Ok(());
        }
        let end = match position.checked_add(1).filter(|next| *next < open.len()) {
            Some(next) => match open.cursor(next).await {
                Ok(end) => end.offset,
                Err(error) => return Err(end_of(self, &open, cuts, error).await),
            },
            None => {
                open.in_range(position)?;
                open.values.bytes()
            }
        };
        if self.store().is_read_only() && end > open.values.floor() {
            return Err(Error::ReadOnly);
        }
        loop {
            // A sync of the index that fails poisons the section too, and lets nobody make these bytes durable.
            let listen = self.bell().listen();
            let durable = match open.poison.get() {
                Some(cause) => Err(Error::poisoned(section, cause)),
                None => match select(listen, pin!(open.values.wait_durable(end))).await {
                    Either::Left(_) => continue,
                    Either::Right((durable, _)) => durable.map_err(|error| open.of_values(error)),
                },
            };
            // An offset is waited for: what was there then may be gone, and something else be there.
            if open.values.untouched_since(cuts) <= position {
                let len = open.len();
                return Err(match position < len {
                    true => Error::Rewound { section },
                    false => Error::ItemOutOfRange { section, position, len },
                });
            }
            return match durable {
                Ok(()) => Ok(()),
                Err(error) if matches!(error.storage(), Some(blob_runtime::Error::OutOfBounds { .. })) => {
                    Err(Error::ItemOutOfRange { section, position, len: open.len() })
                }
                // It was removed, or opened anew: then nothing says whether this entry is there.
                Err(error) if error.is_gone() => Err(match self.store().table().contains(section) {
                    true => end_of(self, &open, cuts, error).await,
                    false => self.explain(section, error).await,
                }),
                Err(error) => Err(error),
            };
        }
    }
}

impl RawOversized {
    /// Records from (`section`, `position`) on, through all later sections, in order, by large reads. A section is read to
    /// the length it has when it is reached; nothing is flushed. Everything there is begins at
    /// ([`pruned_to`](Self::pruned_to), 0); a section that was pruned is an error.
    ///
    /// Cancel safety: a stream may be dropped, and its `next` too; nothing is lost by that.
    ///
    /// # Errors
    /// Yielded, and the stream ends for good: [`Error::Rewound`] or [`Error::Pruned`] when a section is cut under the
    /// replay; [`Error::SectionOutOfRange`], [`Error::ItemOutOfRange`] when it begins where nothing is; as
    /// [`get`](Self::get).
    pub fn replay(&self, section: u64, position: u64) -> RawReplay {
        RawReplay::new(self.clone(), section, position)
    }

    /// [`replay`](Self::replay) with values: the frames in order, by reads of 256 KiB, without looking anything up.
    ///
    /// Cancel safety and errors: as [`replay`](Self::replay); [`Error::ChecksumMismatch`] of a value.
    pub fn replay_values(&self, section: u64, position: u64) -> RawReplayValues {
        RawReplayValues::new(self.clone(), section, position)
    }

    /// [`replay`](Self::replay) that then waits for what comes: entries that were appended, or only those that are durable.
    /// It goes on to the next section when there is one and the one it is in has nothing more to show; what is appended to
    /// that one later it does not see, unless the store is [ordered](crate::Config::ordered). In a read-only store it ends
    /// with what is there.
    ///
    /// Cancel safety and errors: as [`replay`](Self::replay); [`Error::Poisoned`] when what was appended will not become
    /// durable, [`Error::Closed`].
    pub fn tail(&self, section: u64, position: u64, until: Until) -> RawTail {
        RawTail::new(self.clone(), section, position, until)
    }

    /// Looks at everything of the sections that exist and lie in `sections`: each frame with its value, each page of the
    /// index that counts, each record against its frame, the headers, the manifest. Changes nothing, and may run beside
    /// everything else: what changes under the look is looked at again. A stream without an item: all is as it should be.
    /// With [`OnDamage::Truncate`](crate::OnDamage) a section that is opened by this is first cut to its sound prefix, as at
    /// any first use, and [`section_reports`](Self::section_reports) tells that.
    ///
    /// Cancel safety: the stream may be dropped.
    ///
    /// # Errors
    /// Yielded when something cannot be read, and nothing is known about it: [`Error::Storage`]; [`Error::Rewound`] when a
    /// section is changed again and again; [`Error::Stale`] in a read-only store that a writer has changed since. Damage is
    /// a [`Finding`], not an error.
    pub fn verify(&self, sections: impl RangeBounds<u64>) -> Verify {
        let all = self.sections().into_iter().filter(|section| sections.contains(section)).collect();
        Verify::new(self.clone(), all)
    }
}
