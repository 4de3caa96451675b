//! Gathering what there is to know about a section. Only reads.

use std::sync::Arc;

use blob_runtime::segmented::Look;
use blob_runtime::{Blob, Error as StorageError, HeaderState, read_at};
use bytes::Bytes;
use futures::FutureExt;
use glob::Cursor;
use glob::frame::{Flags, Place, RawFrame};
use glob::recover::{self, Evidence};
use paged_cache::{Geometry, Survey};

use super::plan::{Plan, plan};
use crate::error::Error;
use crate::record::Locate;
use crate::section::Shared;

/// What the decision is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    /// `None`: there is no file of values.
    pub(crate) values: Option<recover::Facts>,
    pub(crate) index: IndexFacts,
    /// A rewind to so many entries was decided and is not finished.
    pub(crate) cut_to: Option<u64>,
}

/// What was found of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IndexFacts {
    /// There is no file.
    Missing,
    /// So many entries, each in a page that verifies, the last of which has its frame. `whole`: nothing lies behind them,
    /// and no page is missing.
    Entries { entries: u64, whole: bool },
    /// It was there, and what it says cannot be used: made anew of the frames, it says the same.
    Unusable,
    /// There are no values, and this many of its entries verify.
    Orphan { entries: u64 },
}

/// What was found of a section.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) values: Option<Arc<dyn Blob>>,
    pub(crate) index: Option<Survey>,
    /// The file of an index without values.
    pub(crate) orphan: Option<Arc<dyn Blob>>,
    /// Where the values begin that the index does not have.
    pub(crate) unindexed: Cursor,
    pub(crate) look: Look,
    pub(crate) facts: Facts,
    pub(crate) plan: Plan,
}

/// Looks at one section.
pub(crate) struct Surveyor<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) section: u64,
    pub(crate) look: Look,
    /// It is being made.
    pub(crate) create: bool,
}

/// The part of an index that can be used.
struct Indexed {
    survey: Survey,
    facts: IndexFacts,
    /// Behind the frame of its last entry.
    end: Cursor,
    /// The batch of its last entry goes on behind it.
    inside: bool,
    /// The frame of its last proven entry is not there.
    gone: bool,
    /// So many bytes of values its own floor proves.
    proven: u64,
}

impl Surveyor<'_> {
    /// The facts, and the plan they make. `values` is the file of values, if there is one.
    pub(crate) async fn survey(&self, values: Option<Arc<dyn Blob>>) -> Result<Found, Error> {
        let cut_to = match self.look {
            Look::Unclean(Some(target)) => Some(target),
            _ => None,
        };
        let Some(values) = values else {
            let (orphan, index) = self.orphan().await?;
            let facts = Facts { values: None, index, cut_to: cut_to.map(|target| target.items) };
            let plan = plan(&facts);
            let unindexed = Cursor::START;
            return Ok(Found { values: None, index: None, orphan, unindexed, look: self.look, facts, plan });
        };
        // Its file may be there: of a section that could not be made, or taken back, while a directory could not be synced.
        let new = self.create && values.is_empty();
        let cut = cut_to.map(|target| Cursor { offset: target.values_offset, position: target.items });
        let mut evidence = Evidence { clean: self.look == Look::Clean && !new, floor: 0, cut };
        let (indexed, mut index) = self.indexed(&values, cut).await?;
        let mut from = Cursor::START;
        let mut inside = false;
        if let Some(indexed) = &indexed {
            from = indexed.end;
            evidence.floor = indexed.proven;
            index = indexed.facts;
            // A page can end inside of a batch, no checkpoint does: the rest of it was durable too (I1). After a rewind
            // into a batch its seal is what comes next.
            inside = indexed.inside && cut.is_none();
            if inside {
                evidence.floor = evidence.floor.max(from.offset.saturating_add(1));
            }
        }
        let sealed = match cut {
            None => recover::sealed_end(&values).await.map_err(|error| self.of_values(error))?,
            Some(_) => None,
        };
        // A seal proves all before it, unless the index knows of more.
        let sealed = sealed.filter(|end| end.offset >= evidence.floor && end.position >= from.position);
        let mut facts = match sealed {
            Some(end) => recover::Facts::sealed(&values, end, evidence),
            None => recover::survey(&values, from, evidence).await.map_err(|error| self.of_values(error))?,
        };
        if inside && recover::plan(&facts).damage.is_some() {
            // What is kept ends before that batch: where it begins is seen only from the start.
            from = Cursor::START;
            facts = recover::survey(&values, from, evidence).await.map_err(|error| self.of_values(error))?;
        }
        if let Some(indexed) = indexed.as_ref().filter(|indexed| indexed.gone) {
            // Its values are gone, or it is not the index of these values: then what the frames say counts.
            let kept = recover::plan(&facts).end.position;
            if let IndexFacts::Entries { entries, .. } = index
                && !self.is_of(&indexed.survey, entries.min(kept), &values).await?
            {
                (index, from) = (IndexFacts::Unusable, Cursor::START);
            }
        }
        let facts = Facts { values: Some(facts), index, cut_to: cut.map(|cut| cut.position) };
        let plan = plan(&facts);
        let index = indexed.map(|indexed| indexed.survey);
        Ok(Found { values: Some(values), index, orphan: None, unindexed: from, look: self.look, facts, plan })
    }

    fn of_values(&self, error: glob::Error) -> Error {
        Error::of_values(self.section, error)
    }

    /// An index without values: whether anything in it verifies.
    async fn orphan(&self) -> Result<(Option<Arc<dyn Blob>>, IndexFacts), Error> {
        // Any salt: that of the values is not known.
        let mut format = self.shared.index_format(blob_runtime::Salt(0)).existing();
        format.salt = None;
        let name = blob_runtime::sections::section_name(self.section);
        let blob = match self.shared.storage.open(&self.shared.index_partition, &name, &format).await {
            Ok(blob) => blob,
            Err(StorageError::NotFound { .. }) => return Ok((None, IndexFacts::Missing)),
            Err(error) => return Err(error.into()),
        };
        let entries = match Survey::new(Arc::clone(&blob), None).await {
            Ok(survey) => survey.len() / u64::from(self.shared.record_bytes.max(1)),
            Err(paged_cache::Error::Storage(error)) => return Err(error.into()),
            Err(_) => 0,
        };
        Ok((Some(blob), IndexFacts::Orphan { entries }))
    }

    /// The index, as far as it can be used.
    async fn indexed(
        &self,
        values: &Arc<dyn Blob>,
        cut: Option<Cursor>,
    ) -> Result<(Option<Indexed>, IndexFacts), Error> {
        if !self.shared.indexed().contains(&self.section) {
            return Ok((None, IndexFacts::Missing));
        }
        let blob = match self.shared.open_index(self.section, values.header().salt).await {
            Ok(blob) => blob,
            Err(StorageError::NotFound { .. }) => return Ok((None, IndexFacts::Missing)),
            Err(error) => return Err(error.into()),
        };
        if blob.header_state() != HeaderState::Sound {
            // Without its header not even the size of its pages is known.
            return Ok((None, IndexFacts::Unusable));
        }
        let record_bytes = u64::from(self.shared.record_bytes);
        let matches = Matches { values: Arc::clone(values), locate: self.shared.locate };
        let judge = Judge::new(&blob, self.shared.record_bytes, matches.clone());
        let judged = |at: u64, data: Bytes| judge.clone().page(at, data).boxed();
        let survey = match self.look {
            // As the close has left it, every page is durable.
            Look::Clean => Survey::new(Arc::clone(&blob), None).await,
            Look::Unclean(_) => Survey::new(Arc::clone(&blob), Some(&judged)).await,
        };
        let survey = match survey {
            Ok(survey) => survey,
            Err(paged_cache::Error::Storage(error)) => return Err(error.into()),
            Err(_) => return Ok((None, IndexFacts::Unusable)),
        };
        let whole = survey.is_clean() && survey.len().is_multiple_of(record_bytes);
        if self.look == Look::Clean && !whole {
            return Ok((None, IndexFacts::Unusable));
        }
        let limit = cut.map_or(u64::MAX, |cut| cut.position);
        let entries = (survey.len() / record_bytes).min(limit);
        let proven = match self.look {
            Look::Clean => entries,
            Look::Unclean(_) => (survey.proven() / record_bytes).min(limit),
        };
        // A rewind that was decided keeps what its target says; that lies before it.
        let mut gone = false;
        let proven_end = match self.last(&survey, proven, &matches).await? {
            Last::Frame { end, .. } => end,
            Last::None => 0,
            // That entry was written behind its value, so the value was durable (I1): it is gone or wrong.
            Last::Gone { end } => {
                gone = true;
                end
            }
            Last::Unreadable => return Ok((None, IndexFacts::Unusable)),
        };
        let indexed = |entries: u64, end: u64| {
            let end = Cursor { offset: end, position: entries };
            let facts = IndexFacts::Entries { entries, whole: whole && entries == survey.len() / record_bytes };
            (end, facts)
        };
        let mut last = (entries, self.last(&survey, entries, &matches).await?);
        if proven < entries && matches!(last.1, Last::Gone { .. } | Last::Unreadable) {
            last = (proven, self.last(&survey, proven, &matches).await?);
        }
        let mut inside = false;
        let (end, facts) = match last {
            (entries, Last::Frame { end, continues }) => {
                inside = continues;
                indexed(entries, end)
            }
            (_, Last::None) => indexed(0, 0),
            // The frames are looked at from the start: how far they go is what is kept.
            _ => (Cursor::START, IndexFacts::Entries { entries: proven, whole: false }),
        };
        Ok((Some(Indexed { survey, facts, end, inside, gone, proven: proven_end }), facts))
    }

    /// Whether the last of so many entries has its frame; true of no entry.
    async fn is_of(&self, survey: &Survey, entries: u64, values: &Arc<dyn Blob>) -> Result<bool, Error> {
        let matches = Matches { values: Arc::clone(values), locate: self.shared.locate };
        Ok(matches!(self.last(survey, entries, &matches).await?, Last::Frame { .. } | Last::None))
    }

    /// The last of so many entries, and its frame.
    async fn last(&self, survey: &Survey, entries: u64, matches: &Matches) -> Result<Last, Error> {
        let Some(position) = entries.checked_sub(1) else { return Ok(Last::None) };
        let record_bytes = usize::from(self.shared.record_bytes);
        let record = match survey.read_at(position * record_bytes as u64, record_bytes).await {
            Ok(record) => record,
            Err(paged_cache::Error::Storage(error @ StorageError::Io { .. })) => return Err(error.into()),
            Err(_) => return Ok(Last::Unreadable),
        };
        match matches.frame(position, &record).await? {
            Some((end, continues)) => Ok(Last::Frame { end, continues }),
            None => {
                let location = (self.shared.locate)(&record);
                let end = location.map_or(u64::MAX, |location| location.offset.saturating_add(location.size.into()));
                Ok(Last::Gone { end })
            }
        }
    }
}

enum Last {
    /// It ends here; whether its batch goes on.
    Frame { end: u64, continues: bool },
    /// There is no entry.
    None,
    /// Its frame, which ended here, is not there.
    Gone { end: u64 },
    /// Its page does not verify.
    Unreadable,
}

/// Compares entries with frames.
#[derive(Clone)]
struct Matches {
    values: Arc<dyn Blob>,
    locate: Locate,
}

impl Matches {
    /// Where the frame of an entry ends, and whether its batch goes on, when it is there and says the same: position, size
    /// and record. Its payload is not looked at.
    async fn frame(&self, position: u64, record: &[u8]) -> Result<Option<(u64, bool)>, Error> {
        let Some(location) = (self.locate)(record) else { return Ok(None) };
        let Ok(tag_bytes) = u16::try_from(self.values.header().unit) else { return Ok(None) };
        let head_bytes = RawFrame::head_bytes(tag_bytes);
        let Some(end) = location.end().filter(|end| *end <= self.values.len()) else { return Ok(None) };
        if (location.size as usize) < head_bytes {
            return Ok(None);
        }
        let bytes = read_at(self.values.as_ref(), location.offset, head_bytes).await?;
        let binding = self.values.header().binding(self.values.id().name());
        let place = Place { binding, offset: location.offset };
        let Ok(head) = RawFrame(&bytes).verify(place, tag_bytes) else { return Ok(None) };
        let header = head.header;
        let same = header.position == position && header.size() == u64::from(location.size) && head.tag == record;
        Ok(same.then_some((end, header.flags.has(Flags::CONTINUES))))
    }
}

/// Tells whether a page above the floor of an index may be believed: every entry of it has its frame. Entries that reach
/// into other pages are put together from those, whether they verify or not: an entry that matches its frame is proven by
/// that.
#[derive(Clone)]
struct Judge {
    index: Arc<dyn Blob>,
    geometry: Option<Geometry>,
    record_bytes: u64,
    matches: Matches,
}

impl Judge {
    fn new(index: &Arc<dyn Blob>, record_bytes: u16, matches: Matches) -> Self {
        let geometry = Geometry::new(index.header().unit).ok();
        Self { index: Arc::clone(index), geometry, record_bytes: record_bytes.into(), matches }
    }

    async fn page(self, at: u64, data: Bytes) -> Result<bool, paged_cache::Error> {
        let Some(geometry) = self.geometry else { return Ok(false) };
        let end = at + data.len() as u64;
        let first = at / self.record_bytes;
        let mut position = first;
        while position * self.record_bytes < end {
            let from = position * self.record_bytes;
            let Some(record) = self.record(geometry, from, at, &data).await? else { break };
            match self.matches.frame(position, &record).await {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(false),
                Err(error) => {
                    return Err(paged_cache::Error::Storage(match error.storage() {
                        Some(error) => error.clone(),
                        None => return Ok(false),
                    }));
                }
            }
            position += 1;
        }
        Ok(true)
    }

    /// The entry at `from`; `None` when the file ends before it does.
    async fn record(
        &self,
        geometry: Geometry,
        from: u64,
        at: u64,
        data: &Bytes,
    ) -> Result<Option<Bytes>, paged_cache::Error> {
        let end = from + self.record_bytes;
        let within = |offset: u64| usize::try_from(offset.checked_sub(at)?).ok();
        if let (Some(from), Some(end)) = (within(from), within(end))
            && let Some(record) = data.get(from..end)
        {
            return Ok(Some(data.slice_ref(record)));
        }
        let mut record = Vec::new();
        let mut next = from;
        while next < end {
            let place = geometry.place(next);
            let take = (geometry.data_bytes() as u64 - place.offset as u64).min(end - next);
            let (offset, len) =
                (geometry.blob_offset(place.page) + place.offset as u64, usize::try_from(take).unwrap_or(0));
            if offset + take > self.index.len() {
                return Ok(None);
            }
            record.extend_from_slice(&self.index.read_at(offset, len).await?);
            next += take;
        }
        Ok(Some(record.into()))
    }
}
