//! A glob of typed values: the thin face over [`RawGlob`].

use std::borrow::Borrow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use blob_runtime::codec::Value;
use blob_runtime::{Storage, StoreId};

use crate::config::Config;
use crate::error::Error;
use crate::location::{Appended, Cursor, Location};
use crate::raw::{RawGlob, Recovered};
use crate::report::RecoveryReport;
use crate::scan::Scan;
use crate::section::{Expect, Frame};

/// A segmented log of values. Cheap to clone; clones share everything.
///
/// Dropping the last clone without [`close`](Self::close) flushes nothing: it is a crash.
pub struct Glob<V: Value> {
    raw: RawGlob,
    cfg: V::Cfg,
    values: PhantomData<fn() -> V>,
}

impl<V: Value> Glob<V> {
    /// Opens the glob, making it when there is none. See [`RawGlob::open`].
    ///
    /// Cancel safety and errors: as [`RawGlob::open`].
    pub async fn open(storage: Arc<dyn Storage>, config: Config<V::Cfg>) -> Result<Self, Error> {
        let cfg = config.value_cfg.clone();
        Ok(Self { raw: RawGlob::open(storage, config).await?, cfg, values: PhantomData })
    }

    /// The values as bytes.
    pub fn raw(&self) -> &RawGlob {
        &self.raw
    }

    /// See [`RawGlob::recovery`].
    pub fn recovery(&self) -> &RecoveryReport {
        self.raw.recovery()
    }

    /// See [`RawGlob::store_id`].
    pub fn store_id(&self) -> StoreId {
        self.raw.store_id()
    }

    /// Appends a value; durable with the next [`sync`](Self::sync). It is encoded, compressed and checksummed outside
    /// every lock.
    ///
    /// Cancel safety: dropped, it has appended nothing; it appends in its last poll.
    ///
    /// # Errors
    /// As [`RawGlob::append`]; [`Error::Encode`] when the value does not encode to the length it says.
    pub async fn append(&self, section: u64, value: &V) -> Result<Location, Error> {
        Ok(self.append_tagged(section, value, |_, _, _| {}).await?.location)
    }

    /// Appends a value with a tag. See [`RawGlob::append_tagged`].
    ///
    /// Cancel safety and errors: as [`append`](Self::append).
    pub async fn append_tagged(
        &self,
        section: u64,
        value: &V,
        tag: impl FnOnce(u64, Location, &mut Vec<u8>) + Send,
    ) -> Result<Appended, Error> {
        let packed = self.raw.packer().pack_borrowed(value)?;
        self.raw.append_packed(section, &packed, tag).await
    }

    /// Appends values that are recovered all or not at all. See [`RawGlob::append_batch`].
    ///
    /// Cancel safety and errors: as [`append`](Self::append).
    pub async fn append_batch(
        &self,
        section: u64,
        values: impl IntoIterator<Item = impl Borrow<V>>,
    ) -> Result<Vec<Appended>, Error> {
        let packer = self.raw.packer();
        let packed: Vec<_> =
            values.into_iter().map(|value| packer.pack_value(value.borrow())).collect::<Result<_, _>>()?;
        self.raw.append_batch_packed(section, &packed, |_, _, _, _| {}).await
    }

    /// The value at a location.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// As [`RawGlob::get`]; [`Error::Codec`] when the bytes are sound and the type does not take them.
    pub async fn get(&self, section: u64, location: Location) -> Result<V, Error> {
        self.decode(section, self.raw.get_frame(section, location, Expect::ANY).await?)
    }

    /// The value at a location, whose frame must be as expected.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// As [`get`](Self::get); [`Error::PositionMismatch`], [`Error::TagMismatch`].
    pub async fn get_expected(&self, section: u64, location: Location, expect: Expect<'_>) -> Result<V, Error> {
        self.decode(section, self.raw.get_frame(section, location, expect).await?)
    }

    /// [`get`](Self::get) that does not block: `None` when it would need the disk, or the section is not open yet.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn try_get(&self, section: u64, location: Location) -> Option<Result<V, Error>> {
        let frame = self.raw.try_get_frame(section, location)?;
        Some(frame.and_then(|frame| self.decode(section, frame)))
    }

    /// The values at many locations, in the order asked for. See [`RawGlob::get_many`].
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// As [`get`](Self::get), for the first that fails.
    pub async fn get_many(&self, section: u64, locations: &[Location]) -> Result<Vec<V>, Error> {
        let frames = self.raw.get_frames(section, locations).await?;
        frames.into_iter().map(|frame| self.decode(section, frame)).collect()
    }

    /// The values of a section from a boundary on, in order. See [`RawGlob::scan`].
    pub fn scan(&self, section: u64, from: Cursor) -> Scan<V> {
        Scan::new(self.raw.scan(section, from), section, self.cfg.clone())
    }

    fn decode(&self, section: u64, frame: Frame) -> Result<V, Error> {
        let Frame { value, location, .. } = frame;
        V::decode(value, &self.cfg).map_err(|source| Error::Codec { section, location, source })
    }

    /// See [`RawGlob::recover`].
    ///
    /// Cancel safety and errors: as there.
    pub async fn recover(&self, section: u64, from: Cursor) -> Result<Recovered, Error> {
        self.raw.recover(section, from).await
    }

    /// See [`RawGlob::sync`].
    ///
    /// Cancel safety and errors: as there.
    pub async fn sync(&self, section: u64) -> Result<(), Error> {
        self.raw.sync(section).await
    }

    /// See [`RawGlob::sync_all`].
    ///
    /// Cancel safety and errors: as there.
    pub async fn sync_all(&self) -> Result<(), Error> {
        self.raw.sync_all().await
    }

    /// See [`RawGlob::wait_durable`].
    ///
    /// Cancel safety and errors: as there.
    pub async fn wait_durable(&self, section: u64, location: Location) -> Result<(), Error> {
        self.raw.wait_durable(section, location).await
    }

    /// See [`RawGlob::maintain`].
    ///
    /// Cancel safety and errors: as there.
    pub async fn maintain(&self) -> Result<(), Error> {
        self.raw.maintain().await
    }

    /// See [`RawGlob::len`].
    ///
    /// Cancel safety and errors: as there.
    pub async fn len(&self, section: u64) -> Result<u64, Error> {
        self.raw.len(section).await
    }

    /// See [`RawGlob::durable_len`].
    ///
    /// Cancel safety and errors: as there.
    pub async fn durable_len(&self, section: u64) -> Result<u64, Error> {
        self.raw.durable_len(section).await
    }

    /// See [`RawGlob::unsynced_from`].
    ///
    /// Cancel safety and errors: as there.
    pub async fn unsynced_from(&self, section: u64) -> Result<Option<u64>, Error> {
        self.raw.unsynced_from(section).await
    }

    /// See [`RawGlob::bytes`].
    ///
    /// Cancel safety and errors: as there.
    pub async fn bytes(&self, section: u64) -> Result<u64, Error> {
        self.raw.bytes(section).await
    }

    /// See [`RawGlob::locate`].
    ///
    /// Cancel safety and errors: as there.
    pub async fn locate(&self, section: u64, position: u64) -> Result<Cursor, Error> {
        self.raw.locate(section, position).await
    }

    /// See [`RawGlob::prune`].
    ///
    /// Cancel safety and errors: as there.
    #[doc(alias = "purge")]
    pub async fn prune(&self, min: u64) -> Result<bool, Error> {
        self.raw.prune(min).await
    }

    /// See [`RawGlob::rewind`].
    ///
    /// Cancel safety and errors: as there.
    #[doc(alias = "truncate")]
    pub async fn rewind(&self, section: u64, len: u64) -> Result<(), Error> {
        self.raw.rewind(section, len).await
    }

    /// See [`RawGlob::rewind_section`].
    ///
    /// Cancel safety and errors: as there.
    pub async fn rewind_section(&self, section: u64, len: u64) -> Result<(), Error> {
        self.raw.rewind_section(section, len).await
    }

    /// See [`RawGlob::remove_section`].
    ///
    /// Cancel safety and errors: as there.
    pub async fn remove_section(&self, section: u64) -> Result<bool, Error> {
        self.raw.remove_section(section).await
    }

    /// The sections that exist, ascending.
    #[doc(alias = "segments")]
    pub fn sections(&self) -> Vec<u64> {
        self.raw.sections()
    }

    /// The oldest section.
    pub fn oldest_section(&self) -> Option<u64> {
        self.raw.oldest_section()
    }

    /// The newest section.
    pub fn newest_section(&self) -> Option<u64> {
        self.raw.newest_section()
    }

    /// See [`RawGlob::reopen_section`].
    ///
    /// Cancel safety and errors: as there.
    pub async fn reopen_section(&self, section: u64) -> Result<(), Error> {
        self.raw.reopen_section(section).await
    }

    /// See [`RawGlob::close`].
    ///
    /// Cancel safety and errors: as there.
    pub async fn close(&self) -> Result<(), Error> {
        self.raw.close().await
    }

    /// See [`RawGlob::destroy`].
    ///
    /// Cancel safety and errors: as there.
    pub async fn destroy(&self) -> Result<(), Error> {
        self.raw.destroy().await
    }
}

impl<V: Value> Clone for Glob<V> {
    fn clone(&self) -> Self {
        Self { raw: self.raw.clone(), cfg: self.cfg.clone(), values: PhantomData }
    }
}

impl<V: Value> fmt::Debug for Glob<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Glob").field("raw", &self.raw).finish_non_exhaustive()
    }
}
