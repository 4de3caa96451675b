//! A store of typed records and values: the thin face over [`RawOversized`].

use std::borrow::Borrow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, Range};
use std::sync::Arc;

use blob_runtime::Storage;
use blob_runtime::codec::Value;
use bytes::BytesMut;
use glob::{Appended, Location, Packed};

use crate::config::Config;
use crate::error::Error;
use crate::raw::{RawOversized, RecordFn, Tried};
use crate::record::{Record, of_type};
use crate::replay::{Replay, ReplayValues, decode};
use crate::tail::{Tail, Until};

/// A segmented journal of pairs: a record of fixed size, and a large value. Cheap to clone; clones share everything.
/// Everything that touches neither record nor value is that of [`RawOversized`], which it derefs to.
///
/// Dropping the last clone without [`close`](RawOversized::close) flushes nothing: it is a crash.
#[doc(alias = "wal")]
pub struct Oversized<R: Record, V: Value> {
    raw: RawOversized,
    cfg: V::Cfg,
    types: PhantomData<fn(R) -> (R, V)>,
}

impl<R: Record, V: Value> Oversized<R, V> {
    /// Opens the store, making it when there is none. See [`RawOversized::open`]. `storage` is any of `blob-runtime`
    /// ([`FileStorage`](blob_runtime::FileStorage), [`MemoryStorage`](blob_runtime::MemoryStorage)), or one of your own.
    ///
    /// Cancel safety and errors: as [`RawOversized::open`].
    pub async fn open(storage: Arc<dyn Storage>, config: Config<V::Cfg>) -> Result<Self, Error> {
        let cfg = config.value_cfg.clone();
        Ok(Self { raw: RawOversized::open(storage, config, R::SIZE, of_type::<R>).await?, cfg, types: PhantomData })
    }

    /// The store of records and values as bytes.
    pub fn raw(&self) -> &RawOversized {
        &self.raw
    }

    /// Appends an entry; the location of its value is filled in. No I/O unless a buffer is full; durable with the next
    /// [`sync`](RawOversized::sync). The value is encoded, compressed and checksummed outside every lock.
    ///
    /// Cancel safety: dropped, it has appended nothing; it appends in its last poll.
    ///
    /// # Errors
    /// As [`RawOversized::append`]; [`Error::Encode`] when the value does not encode to the length it says.
    pub async fn append(&self, section: u64, record: R, value: &V) -> Result<Appended, Error> {
        self.put(section, None, value, |_| record).await
    }

    /// [`append`](Self::append) of a record that is made of its position. `record` runs under the section's lock, so it does
    /// nothing else.
    ///
    /// Cancel safety and errors: as [`append`](Self::append).
    pub async fn append_with(
        &self,
        section: u64,
        value: &V,
        record: impl FnOnce(u64) -> R + Send,
    ) -> Result<Appended, Error> {
        self.put(section, None, value, record).await
    }

    /// [`append`](Self::append) only if `position` is the next one: for whoever numbers entries himself, and against two
    /// who append at once.
    ///
    /// Cancel safety and errors: as [`append`](Self::append); [`Error::PositionMismatch`]: nothing was appended.
    pub async fn append_at(&self, section: u64, position: u64, record: R, value: &V) -> Result<Appended, Error> {
        self.put(section, Some(position), value, |_| record).await
    }

    async fn put(
        &self,
        section: u64,
        at: Option<u64>,
        value: &V,
        record: impl FnOnce(u64) -> R + Send,
    ) -> Result<Appended, Error> {
        let mut record = Some(record);
        let mut make = |_: usize, position: u64, location: Location, buf: &mut Vec<u8>| {
            if let Some(record) = record.take() {
                record(position).with_location(location).encode(buf);
            }
        };
        match self.try_put(section, at, value, &mut make) {
            Tried::Done(first) => Ok(first),
            Tried::Failed(error) => Err(*error),
            // What may wait is far larger as a future, so it is made only then, and apart.
            Tried::MayWait(packed) => {
                let values = std::slice::from_ref(&*packed);
                Box::pin(self.raw.append_packed(section, values, at, &mut make)).await
            }
        }
    }

    /// An append that does not wait; with the packed value, which is part of a future only where that waits.
    #[inline]
    fn try_put<'a>(
        &'a self,
        section: u64,
        at: Option<u64>,
        value: &'a V,
        make: &mut RecordFn<'_>,
    ) -> Tried<Box<Packed<'a>>> {
        let packed = match self.raw.packer().pack_borrowed(value) {
            Ok(packed) => packed,
            Err(error) => return Tried::Failed(Box::new(Error::of_values(section, error))),
        };
        match self.raw.try_append(section, std::slice::from_ref(&packed), at, make) {
            Tried::Done(first) => Tried::Done(first),
            Tried::Failed(error) => Tried::Failed(error),
            Tried::MayWait(()) => Tried::MayWait(Box::new(packed)),
        }
    }

    fn pack<'a>(&'a self, section: u64, value: &V) -> Result<Packed<'a>, Error> {
        self.raw.packer().pack_value(value).map_err(|error| Error::of_values(section, error))
    }

    /// Appends entries that are recovered all or not at all. They are held in memory together until they are written.
    ///
    /// Cancel safety and errors: as [`append`](Self::append); all or none are appended.
    pub async fn append_all<B: Borrow<V>>(
        &self,
        section: u64,
        entries: impl IntoIterator<Item = (R, B)>,
    ) -> Result<Vec<Appended>, Error> {
        let mut records = Vec::new();
        let mut packed = Vec::new();
        for (record, value) in entries {
            packed.push(self.pack(section, value.borrow())?);
            records.push(record);
        }
        self.put_all(section, records, packed).await
    }

    async fn put_all(&self, section: u64, records: Vec<R>, packed: Vec<Packed<'_>>) -> Result<Vec<Appended>, Error> {
        if packed.is_empty() {
            return Ok(Vec::new());
        }
        let mut make = |number: usize, _: u64, location: Location, buf: &mut Vec<u8>| {
            if let Some(record) = records.get(number) {
                record.clone().with_location(location).encode(buf);
            }
        };
        let first = self.raw.append_packed(section, &packed, None, &mut make).await?;
        Ok(self.raw.each(first, &packed))
    }

    /// A record.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// As [`RawOversized::get`]; [`Error::Codec`].
    pub async fn get(&self, section: u64, position: u64) -> Result<R, Error> {
        let looked = self.raw.try_get_with(section, position, |record| decode_record(section, record));
        match looked {
            Some(result) => result?,
            None => decode_record(section, &self.raw.get(section, position).await?),
        }
    }

    /// A record, without I/O and without an allocation: `None` when it is not in memory in one piece, or not there.
    pub fn try_get(&self, section: u64, position: u64) -> Option<R> {
        self.raw.try_get_with(section, position, |record| decode_record(section, record))?.ok()?.ok()
    }

    /// The last record of a section; `None` when it is empty.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn last(&self, section: u64) -> Result<Option<R>, Error> {
        loop {
            let Some(position) = self.raw.len(section).await?.checked_sub(1) else { return Ok(None) };
            match self.get(section, position).await {
                // It was cut meanwhile.
                Err(Error::ItemOutOfRange { .. }) => {}
                record => return record.map(Some),
            }
        }
    }

    /// The value at a location.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// As [`RawOversized::get_value`]; [`Error::Codec`] when the bytes are sound and the type does not take them.
    pub async fn get_value(&self, section: u64, location: Location) -> Result<V, Error> {
        self.value(section, location, self.raw.get_value(section, location).await?)
    }

    /// The value of a record; that its frame is this record's is checked.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// As [`get_value`](Self::get_value); [`Error::InvalidLocation`] when another record's value is there.
    pub async fn value_of(&self, section: u64, record: &R) -> Result<V, Error> {
        let mut bytes = BytesMut::with_capacity(R::SIZE);
        record.encode(&mut bytes);
        self.value(section, record.value_location(), self.raw.value_of(section, &bytes).await?)
    }

    fn value(&self, section: u64, location: Location, bytes: bytes::Bytes) -> Result<V, Error> {
        V::decode(bytes, &self.cfg).map_err(|source| Error::Codec { section, location, source })
    }

    /// An entry with its value, both of the same append also beside a rewind.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// As [`get_value`](Self::get_value).
    pub async fn read(&self, section: u64, position: u64) -> Result<(R, V), Error> {
        decode(section, self.raw.read_frame(section, position).await?, &self.cfg)
    }

    /// Entries with their values, from `range`; see [`RawOversized::read_many`].
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// As [`read`](Self::read); [`Error::Rewound`] when the section is cut meanwhile.
    pub async fn read_many(&self, section: u64, range: Range<u64>, max_bytes: usize) -> Result<Vec<(R, V)>, Error> {
        let frames = self.raw.read_frames(section, range, max_bytes).await?;
        frames.into_iter().map(|frame| decode(section, frame, &self.cfg)).collect()
    }

    /// Entries from (`section`, `position`) on, through all later sections, in order; see [`RawOversized::replay`].
    ///
    /// Cancel safety and errors: as there; [`Error::Codec`].
    pub fn replay(&self, section: u64, position: u64) -> Replay<R> {
        Replay::new(self.raw.replay(section, position))
    }

    /// Entries with their values; see [`RawOversized::replay_values`].
    ///
    /// Cancel safety and errors: as there; [`Error::Codec`].
    pub fn replay_values(&self, section: u64, position: u64) -> ReplayValues<R, V> {
        ReplayValues::new(self.raw.replay_values(section, position), self.cfg.clone())
    }

    /// Entries from (`section`, `position`) on, and then those that come; see [`RawOversized::tail`].
    ///
    /// Cancel safety and errors: as there; [`Error::Codec`].
    pub fn tail(&self, section: u64, position: u64, until: Until) -> Tail<R> {
        Tail::new(self.raw.tail(section, position, until))
    }

    /// The first position of a section for whose record `pred` is false, when it is true for all before and false for all
    /// from there on: a binary search, as [`slice::partition_point`].
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn partition_point(&self, section: u64, mut pred: impl FnMut(&R) -> bool + Send) -> Result<u64, Error> {
        let (mut low, mut high) = (0, self.raw.len(section).await?);
        while low < high {
            let middle = low + (high - low) / 2;
            if pred(&self.get(section, middle).await?) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Removes sections from the oldest on for as long as `pred` says so of a section's last record; an empty one is
    /// removed when a later one is. Answers the oldest section that may exist then.
    ///
    /// Cancel safety and errors: as [`get`](Self::get), and as [`RawOversized::prune`].
    pub async fn prune_while(&self, mut pred: impl FnMut(u64, &R) -> bool + Send) -> Result<u64, Error> {
        // A prune that was left ends first, or what it was to remove would be looked at.
        self.raw.store().enter().await?;
        let mut min = self.raw.pruned_to();
        for section in self.raw.sections() {
            let last = match self.last(section).await {
                // By another one, meanwhile.
                Err(Error::Pruned { .. }) => continue,
                last => last?,
            };
            match last {
                None => {}
                // The highest section number has none behind it: it stays.
                Some(last) if pred(section, &last) && section < u64::MAX => min = section + 1,
                Some(_) => break,
            }
        }
        self.raw.prune(min).await?;
        Ok(min)
    }
}

fn decode_record<R: Record>(section: u64, record: &[u8]) -> Result<R, Error> {
    let location = Location::default();
    R::decode(&mut &record[..]).map_err(|source| Error::Codec { section, location, source })
}

impl<R: Record, V: Value> Deref for Oversized<R, V> {
    type Target = RawOversized;

    fn deref(&self) -> &RawOversized {
        &self.raw
    }
}

impl<R: Record, V: Value> Clone for Oversized<R, V> {
    fn clone(&self) -> Self {
        Self { raw: self.raw.clone(), cfg: self.cfg.clone(), types: PhantomData }
    }
}

impl<R: Record, V: Value> fmt::Debug for Oversized<R, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw.fmt(f)
    }
}
