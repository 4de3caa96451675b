//! Reading: by location, in order, and to find out how far it is sound.

use std::sync::Arc;

use blob_runtime::Error as StorageError;
use bytes::Bytes;
use futures::StreamExt;

use super::{RawGlob, is_gone};
use crate::error::Error;
use crate::location::{Cursor, Location};
use crate::scan::RawScan;
use crate::section::{Expect, Frame, Section};

/// Neighbouring frames are read together up to this size, in bytes.
const RUN_BYTES: u64 = 256 << 10;

/// What [`RawGlob::recover`] has found sound.
#[derive(Debug, Clone)]
pub struct Recovered {
    /// Behind the last sound frame of an unbroken row from the boundary on.
    pub end: Cursor,
    /// What is wrong with the next one; `None` when the row reaches the section's end.
    pub damage: Option<Error>,
}

impl RawGlob {
    /// The value at a location, every part of its frame verified.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// [`Error::InvalidLocation`], [`Error::ChecksumMismatch`], [`Error::ValueTooLarge`],
    /// [`Error::SectionOutOfRange`], [`Error::Pruned`], [`Error::Closed`], [`Error::Storage`]; [`Error::Stale`] in a
    /// read-only store that a writer has changed since.
    pub async fn get(&self, section: u64, location: Location) -> Result<Bytes, Error> {
        Ok(self.get_frame(section, location, Expect::ANY).await?.value)
    }

    /// The whole frame at a location, which must be as expected.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// As [`get`](Self::get); [`Error::PositionMismatch`], [`Error::TagMismatch`].
    pub async fn get_frame(&self, section: u64, location: Location, expect: Expect<'_>) -> Result<Frame, Error> {
        let open = self.existing(section).await?;
        match open.read(location, expect).await {
            Err(error) => Err(self.explain(section, error).await),
            frame => frame,
        }
    }

    /// [`get`](Self::get) that does not block: `None` when it would need the disk, or the section is not open yet.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn try_get(&self, section: u64, location: Location) -> Option<Result<Bytes, Error>> {
        self.try_get_frame(section, location).map(|frame| frame.map(|frame| frame.value))
    }

    pub(crate) fn try_get_frame(&self, section: u64, location: Location) -> Option<Result<Frame, Error>> {
        if let Err(fault) = self.store.guard(section) {
            return Some(Err(fault.into()));
        }
        let table = self.store.table();
        match table.get(section) {
            Some(open) => open.try_read(location, Expect::ANY),
            None if table.contains(section) => None,
            None => Some(Err(Error::SectionOutOfRange { section })),
        }
    }

    /// The values at many locations, in the order asked for. Frames that lie one behind the other are read together.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// As [`get`](Self::get), for the first that fails.
    pub async fn get_many(&self, section: u64, locations: &[Location]) -> Result<Vec<Bytes>, Error> {
        Ok(self.get_frames(section, locations).await?.into_iter().map(|frame| frame.value).collect())
    }

    pub(crate) async fn get_frames(&self, section: u64, locations: &[Location]) -> Result<Vec<Frame>, Error> {
        let open = self.existing(section).await?;
        let mut frames = Vec::with_capacity(locations.len());
        let mut rest = locations;
        while let Some(first) = rest.first() {
            let run = run_of(rest, first.offset);
            let (together, behind) = rest.split_at(run);
            match open.read_run(together).await {
                Ok(read) => frames.extend(read),
                Err(error) => return Err(self.explain(section, error).await),
            }
            rest = behind;
        }
        Ok(frames)
    }

    /// A section that exists.
    pub(crate) async fn existing(&self, section: u64) -> Result<Arc<Section>, Error> {
        match self.store.existing(section).await {
            Err(error) if self.store.is_read_only() => Err(self.explain(section, error).await),
            open => open,
        }
    }

    /// A section that exists and that no cut has taken for a while. Whoever began that cut may be gone, and then it would
    /// stand in the way of all who come.
    pub(crate) async fn in_use(&self, section: u64) -> Result<Arc<Section>, Error> {
        loop {
            let open = self.existing(section).await?;
            if !open.is_held() || !self.store.drive().await {
                return Ok(open);
            }
        }
    }

    /// What a failed read amounts to.
    async fn explain(&self, section: u64, error: Error) -> Error {
        if let Err(fault) = self.store.guard(section) {
            return fault.into();
        }
        let removed = is_gone(&error) || matches!(error.storage(), Some(StorageError::NotFound { .. }));
        if !self.store.is_read_only() {
            return if removed { Error::SectionOutOfRange { section } } else { error };
        }
        // A change that was under way at the open, and the removal of one section, leave no trace in the manifest; only a
        // store that was closed has no writer.
        let missing = removed || matches!(error.storage(), Some(StorageError::OutOfBounds { .. }));
        let taken_away = missing && !self.recovery().opening.clean;
        let wrong = missing || !matches!(error, Error::Storage { .. } | Error::Closed);
        if taken_away || wrong && matches!(self.store.is_stale().await, Ok(true)) {
            return Error::Stale { section, source: Arc::new(error) };
        }
        error
    }

    /// The frames of a section from a boundary on, in order, by large reads, without looking anything up. It ends at the
    /// length the section has when it is reached, shows what is only in memory too, and flushes nothing. After an error
    /// it is over; when the section is cut or pruned under it that is one [`Error::Rewound`] or [`Error::Pruned`].
    pub fn scan(&self, section: u64, from: Cursor) -> RawScan {
        RawScan::new(self.clone(), section, from)
    }

    /// Verifies all frames of a section from a boundary on, payloads too, and tells how far they are sound. Changes
    /// nothing.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// [`Error::SectionOutOfRange`], [`Error::Pruned`], [`Error::Closed`]; [`Error::Storage`]: a read has failed, and
    /// nothing is known.
    pub async fn recover(&self, section: u64, from: Cursor) -> Result<Recovered, Error> {
        let mut scan = self.scan(section, from);
        let mut end = from;
        loop {
            match scan.next().await {
                None => {
                    // Of a reader: what a writer has changed since is no damage.
                    let told = match self.store.driver().still_damaged(section).await {
                        Ok(None) => return Ok(Recovered { end: scan.at(), damage: None }),
                        Ok(Some(damage)) => self.explain(section, damage).await,
                        Err(error) => return Err(self.explain(section, error).await),
                    };
                    return match told {
                        stale @ Error::Stale { .. } => Err(stale),
                        damage => Ok(Recovered { end: scan.at(), damage: Some(damage) }),
                    };
                }
                Some(Ok(frame)) => end = frame.next(),
                Some(Err(damage @ (Error::ChecksumMismatch { .. } | Error::Corrupt { .. }))) => {
                    return Ok(Recovered { end, damage: Some(damage) });
                }
                Some(Err(error)) => return Err(error),
            }
        }
    }
}

/// How many of the locations lie one behind the other, from `offset` on, within one read.
fn run_of(locations: &[Location], offset: u64) -> usize {
    let mut end = Some(offset);
    let mut bytes = 0_u64;
    let together = locations.iter().take_while(|location| {
        bytes = bytes.saturating_add(location.size.into());
        let next = end == Some(location.offset) && bytes <= RUN_BYTES;
        end = location.end();
        next
    });
    together.count().max(1)
}
