//! Reading entries and values, one or many.

use std::ops::{Range, RangeBounds};
use std::sync::Arc;

use bytes::Bytes;
use glob::section::{Expect, Frame, Frames};
use glob::{Cursor, Location};

use super::RawOversized;
use crate::error::Error;
use crate::replay::{RawReplay, RawReplayValues};
use crate::section::Section;
use crate::tail::{RawTail, Until};
#[cfg(doc)]
use crate::verify::Finding;
use crate::verify::Verify;

impl RawOversized {
    /// A record, as bytes.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// [`Error::ItemOutOfRange`], [`Error::SectionOutOfRange`], [`Error::Pruned`], [`Error::Closed`]; damage;
    /// [`Error::Stale`] in a read-only store that a writer has changed since; [`Error::Storage`].
    pub async fn get(&self, section: u64, position: u64) -> Result<Bytes, Error> {
        let open = self.store().existing(section).await?;
        self.record(&open, position).await
    }

    async fn record(&self, open: &Section, position: u64) -> Result<Bytes, Error> {
        match open.record(position).await {
            Err(error) if !matches!(error, Error::ItemOutOfRange { .. }) => {
                Err(self.explain(open.number(), error).await)
            }
            record => record,
        }
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
        let Some(open) = self.store().table().get(section) else {
            let exists = self.store().table().contains(section);
            return if exists { None } else { Some(Err(Error::SectionOutOfRange { section })) };
        };
        if let Err(error) = open.in_range(position) {
            return Some(Err(error));
        }
        // What is damaged, or was cut meanwhile, is looked at by whoever can wait.
        open.index.try_look(position, look)?.ok().map(Ok)
    }

    /// The value at a location, every part of its frame verified.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// [`Error::InvalidLocation`], [`Error::ChecksumMismatch`], [`Error::ValueTooLarge`]; as [`get`](Self::get).
    pub async fn get_value(&self, section: u64, location: Location) -> Result<Bytes, Error> {
        let open = self.store().existing(section).await?;
        Ok(self.frame(&open, location, Expect::ANY).await?.value)
    }

    /// The value of a record, whose frame must be that record's.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// As [`get_value`](Self::get_value); [`Error::InvalidLocation`] also when another record's value is there;
    /// [`Error::RecordSize`].
    pub async fn value_of(&self, section: u64, record: &[u8]) -> Result<Bytes, Error> {
        let open = self.store().existing(section).await?;
        let location = self.location(&open, record)?;
        Ok(self.frame(&open, location, Expect { position: None, tag: Some(record) }).await?.value)
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
        loop {
            let open = self.store().existing(section).await?;
            let cuts = open.values.cuts();
            let record = self.record(&open, position).await?;
            let location = self.location(&open, &record)?;
            let expect = Expect { position: Some(position), tag: Some(&record) };
            let error = match self.frame(&open, location, expect).await {
                Ok(frame) => return Ok(frame),
                Err(error) => error,
            };
            // Between the record and its value the section was cut, or is being cut: it is looked at again when that has
            // ended.
            if self.store().is_read_only() || (!open.values.is_held() && open.values.cuts() == cuts) {
                return Err(error);
            }
            self.store().enter().await?;
            if open.values.cuts() == cuts {
                return Err(error);
            }
        }
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
        let open = self.store().existing(section).await?;
        let mut read = Vec::new();
        if range.is_empty() {
            return Ok(read);
        }
        open.in_range(range.start)?;
        let from = self.cursor(&open, range.start).await?;
        let mut frames = Frames::new(Arc::clone(&open.values), from);
        let mut bytes = 0_usize;
        while frames.at().position < range.end {
            let frame = match frames.next().await {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Err(self.explain(section, open.of_values(error)).await),
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

    fn location(&self, open: &Section, record: &[u8]) -> Result<Location, Error> {
        let expected = self.record_bytes();
        if record.len() != expected {
            return Err(Error::RecordSize { expected, found: record.len() });
        }
        let (section, location) = (open.number(), Location::default());
        (open.shared.locate)(record).ok_or(Error::InvalidLocation { section, location, reason: "the record has none" })
    }

    async fn frame(&self, open: &Section, location: Location, expect: Expect<'_>) -> Result<Frame, Error> {
        match open.values.read(location, expect).await {
            Ok(frame) => Ok(frame),
            Err(error) => Err(self.explain(open.number(), open.of_values(error)).await),
        }
    }

    /// Entries of a section, with those only in memory.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// [`Error::SectionOutOfRange`], [`Error::Pruned`], [`Error::Closed`]; what opening the section answers.
    pub async fn len(&self, section: u64) -> Result<u64, Error> {
        Ok(self.store().existing(section).await?.len())
    }

    /// Entries of a section that are known to be durable.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// As [`len`](Self::len).
    pub async fn durable_len(&self, section: u64) -> Result<u64, Error> {
        Ok(self.store().existing(section).await?.values.durable_len())
    }

    /// From where on what a read-only store shows of a section's values is not proven to be durable, as an offset in bytes;
    /// `None` when all of it is. A writer's open has made durable what it shows.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// As [`len`](Self::len).
    pub async fn unsynced_from(&self, section: u64) -> Result<Option<u64>, Error> {
        let open = self.store().existing(section).await?;
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
        Ok(self.store().existing(section).await?.values.bytes())
    }

    /// Waits until an entry is durable, without starting a sync.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// [`Error::ItemOutOfRange`] when the section is shorter, or is cut to be; [`Error::Poisoned`]; [`Error::ReadOnly`]
    /// when nothing proves it to be durable and this store never syncs.
    pub async fn wait_durable(&self, section: u64, position: u64) -> Result<(), Error> {
        let open = self.store().existing(section).await?;
        if position < open.values.durable_len() {
            return Ok(());
        }
        let end = match position.checked_add(1).filter(|next| *next < open.len()) {
            Some(next) => self.cursor(&open, next).await?.offset,
            None => {
                open.in_range(position)?;
                open.values.bytes()
            }
        };
        if self.store().is_read_only() && end > open.values.floor() {
            return Err(Error::ReadOnly);
        }
        match open.values.wait_durable(end).await {
            Ok(()) => Ok(()),
            Err(error) if matches!(error.storage(), Some(blob_runtime::Error::OutOfBounds { .. })) => {
                Err(Error::ItemOutOfRange { section, position, len: open.len() })
            }
            Err(error) => Err(open.of_values(error)),
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
