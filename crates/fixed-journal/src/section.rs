//! One section: items in a stream of pages.
//!
//! A section is complete in itself: [`RawJournal`](crate::RawJournal) keeps many of them under a manifest of its own. An
//! owner with a manifest of *its* own drives them itself: it [pushes](Section::push) items into memory, and
//! [flushes](Section::flush) them when whatever they point to is durable.

use blob_runtime::append::{Config as LogConfig, NotAppended};
use bytes::Bytes;
use paged_cache::{PageCache, Paged, Survey};

use crate::error::Error;

/// One section. See the [module](self).
#[derive(Debug)]
pub struct Section {
    number: u64,
    pub(crate) paged: Paged,
    pub(crate) item_bytes: u32,
}

impl Section {
    /// A section that goes on where a survey ended; see [`Paged::new`], also for `durable_bytes`. Items of the size that the
    /// blob's header says.
    ///
    /// # Errors
    /// [`Error::InvalidItemSize`] when that is 0: the blob is a plain stream of bytes.
    pub fn resume(
        number: u64,
        survey: Survey,
        durable_bytes: u64,
        cache: &PageCache,
        config: LogConfig,
    ) -> Result<Self, Error> {
        let item_bytes = item_bytes(&survey)?;
        Ok(Self { number, paged: Paged::new(survey, durable_bytes, cache, config), item_bytes })
    }

    /// The section's number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The stream of pages beneath.
    pub fn paged(&self) -> &Paged {
        &self.paged
    }

    /// Size of an item in bytes.
    pub fn item_bytes(&self) -> u32 {
        self.item_bytes
    }

    /// Items, with those only in memory.
    pub fn len(&self) -> u64 {
        self.paged.len() / u64::from(self.item_bytes)
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Items that a sync has returned for.
    pub fn durable_len(&self) -> u64 {
        self.paged.durable() / u64::from(self.item_bytes)
    }

    /// Puts items that lie one behind the other into memory; answers the position of the first. `None`: the buffers are
    /// full.
    ///
    /// # Errors
    /// [`Error::ItemSize`] when the bytes are no whole items; a poisoned stream; the error of the last write when that
    /// failed and the buffers are full. Nothing was appended then.
    pub fn push(&self, items: &[u8]) -> Result<Option<u64>, Error> {
        self.check(items)?;
        let put = self.paged.try_append(items.len(), |offset, space| {
            space.put(items);
            offset
        });
        match put {
            Ok(offset) => Ok(Some(offset / u64::from(self.item_bytes))),
            Err(NotAppended::Busy(_)) => Ok(None),
            Err(NotAppended::Failed(error)) => Err((*error).into()),
        }
    }

    /// [`push`](Self::push) that waits while the buffers are full.
    ///
    /// Cancel safety: dropped, it has appended nothing; it appends in its last poll.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub async fn append(&self, items: &[u8]) -> Result<u64, Error> {
        self.check(items)?;
        let put = self.paged.append(items.len(), |offset, space| {
            space.put(items);
            offset
        });
        Ok(put.await? / u64::from(self.item_bytes))
    }

    /// [`append`](Self::append) that answers `None`, and has appended nothing, while appends are held out.
    pub(crate) async fn append_unless_held(&self, items: &[u8]) -> Result<Option<u64>, Error> {
        self.check(items)?;
        let put = self.paged.append_unless_held(items.len(), |offset, space| {
            space.put(items);
            offset
        });
        Ok(put.await?.ok().map(|offset| offset / u64::from(self.item_bytes)))
    }

    /// Makes durable the first `through` items, and writes nothing behind them. The caller vouches that whatever they
    /// point to is durable.
    ///
    /// Cancel safety: a sync that has begun runs to its end.
    ///
    /// # Errors
    /// A failed write: the items stay in memory, the next flush tries again; a failed sync poisons the stream.
    pub async fn flush(&self, through: u64) -> Result<(), Error> {
        Ok(self.paged.sync_through(through.saturating_mul(self.item_bytes.into())).await?)
    }

    /// An item.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// [`Error::ItemOutOfRange`]; a page that does not verify; what reading the blob answers.
    pub async fn get(&self, position: u64) -> Result<Bytes, Error> {
        let (offset, len) = self.place(position)?;
        Ok(self.paged.read_at(offset, len).await?)
    }

    /// Looks at an item in place, without I/O: `None` when it is not in memory in one piece.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn try_get_with<T>(&self, position: u64, look: impl FnOnce(&[u8]) -> T) -> Option<Result<T, Error>> {
        match self.place(position) {
            Ok((offset, len)) => self.paged.try_read_with(offset, len, look).map(|read| read.map_err(Error::from)),
            Err(error) => Some(Err(error)),
        }
    }

    /// The items from `position` on, as pieces of bytes that need not end with an item; see [`Paged::replay`].
    ///
    /// # Errors
    /// [`Error::ItemOutOfRange`] when `position` is behind the end.
    pub fn replay(&self, position: u64) -> Result<paged_cache::Replay, Error> {
        let len = self.len();
        if position > len {
            return Err(Error::ItemOutOfRange { section: self.number, position, len });
        }
        Ok(self.paged.replay(position * u64::from(self.item_bytes))?)
    }

    /// Where an item lies in the stream.
    pub(crate) fn place(&self, position: u64) -> Result<(u64, usize), Error> {
        let len = self.len();
        if position >= len {
            return Err(Error::ItemOutOfRange { section: self.number, position, len });
        }
        Ok((position * u64::from(self.item_bytes), self.item_bytes as usize))
    }

    fn check(&self, items: &[u8]) -> Result<(), Error> {
        if !items.len().is_multiple_of(self.item_bytes as usize) {
            return Err(Error::ItemSize { expected: self.item_bytes, found: items.len() });
        }
        Ok(())
    }
}

/// The item size that a blob's header says.
///
/// # Errors
/// [`Error::InvalidItemSize`] when it is 0.
pub(crate) fn item_bytes(survey: &Survey) -> Result<u32, Error> {
    match survey.blob().header().item {
        0 => Err(Error::InvalidItemSize { item_bytes: 0 }),
        item_bytes => Ok(item_bytes),
    }
}
