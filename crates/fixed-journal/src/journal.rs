//! A journal of items of one type.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use blob_runtime::Storage;
use blob_runtime::codec::{CodecError, Decode, Encode, FixedSize};
use futures::Stream;

use crate::config::Config;
use crate::error::Error;
use crate::raw::RawJournal;
use crate::replay::{Item, Replay};

/// A segmented journal of fixed-size items. Cheap to clone; clones share everything. Everything that does not touch an
/// item is that of [`RawJournal`], which it derefs to.
///
/// Dropping the last clone without [`close`](RawJournal::close) flushes nothing: it is a crash.
pub struct Journal<T> {
    raw: RawJournal,
    item: PhantomData<fn(T) -> T>,
}

impl<T: FixedSize + Encode + Decode + Send + 'static> Journal<T> {
    /// Opens the journal, making it when there is none; see [`RawJournal::open`], also for cancel safety.
    ///
    /// # Errors
    /// [`Error::InvalidItemSize`] when `T` has no bytes; as [`RawJournal::open`].
    pub async fn open(storage: Arc<dyn Storage>, config: Config) -> Result<Self, Error> {
        let size = u32::try_from(T::SIZE).map_err(|_| Error::InvalidItemSize { item_bytes: T::SIZE })?;
        Ok(Self { raw: RawJournal::open(storage, config, Some(size)).await?, item: PhantomData })
    }

    /// Appends an item; answers its position in the section. See [`RawJournal::append`].
    ///
    /// Cancel safety and errors: as [`RawJournal::append`].
    pub async fn append(&self, section: u64, item: &T) -> Result<u64, Error> {
        // Most items are small: no allocation for them.
        let mut small = [0; 256];
        if let Some(mut bytes) = small.get_mut(..T::SIZE) {
            item.encode(&mut bytes);
            return self.raw.append(section, small.get(..T::SIZE).unwrap_or_default()).await;
        }
        let mut bytes = Vec::with_capacity(T::SIZE);
        item.encode(&mut bytes);
        self.raw.append(section, &bytes).await
    }

    /// Appends items; answers the position of the first. See [`RawJournal::append_many`].
    ///
    /// Cancel safety and errors: as [`RawJournal::append_many`].
    pub async fn append_all<'a>(&self, section: u64, items: impl IntoIterator<Item = &'a T>) -> Result<u64, Error> {
        let mut bytes = Vec::new();
        items.into_iter().for_each(|item| item.encode(&mut bytes));
        self.raw.append_many(section, &bytes).await
    }

    /// An item.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// As [`RawJournal::get`]; [`Error::Codec`].
    pub async fn get(&self, section: u64, position: u64) -> Result<T, Error> {
        match self.try_get(section, position) {
            Some(result) => result,
            None => decode(section, position, &self.raw.get(section, position).await?),
        }
    }

    /// Items, in the order of `positions`.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// As [`get`](Self::get), for the first that fails.
    pub async fn get_many(&self, section: u64, positions: &[u64]) -> Result<Vec<T>, Error> {
        let items = self.raw.get_many(section, positions).await?;
        positions.iter().zip(&items).map(|(position, bytes)| decode(section, *position, bytes)).collect()
    }

    /// An item, without I/O and without an allocation: `None` when it is not in memory in one piece.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn try_get(&self, section: u64, position: u64) -> Option<Result<T, Error>> {
        let read = self.raw.try_get_with(section, position, |bytes| decode(section, position, bytes))?;
        Some(read.and_then(|decoded| decoded))
    }

    /// The last item of a section; `None` when it is empty.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn last(&self, section: u64) -> Result<Option<T>, Error> {
        match self.raw.len(section).await?.checked_sub(1) {
            Some(position) => self.get(section, position).await.map(Some),
            None => Ok(None),
        }
    }

    /// Items from (`section`, `position`) on; see [`RawJournal::replay`].
    pub fn replay(&self, section: u64, position: u64) -> Items<T> {
        Items { raw: self.raw.replay(section, position), item: PhantomData }
    }

    /// The journal of items as bytes.
    pub fn raw(&self) -> &RawJournal {
        &self.raw
    }
}

fn decode<T: Decode>(section: u64, position: u64, bytes: &[u8]) -> Result<T, Error> {
    decode_all(bytes).map_err(|source| Error::Codec { section, position, source })
}

/// Decodes an item that takes all of the bytes.
fn decode_all<T: Decode>(bytes: &[u8]) -> Result<T, CodecError> {
    let mut rest = bytes;
    let item = T::decode(&mut rest)?;
    match rest.len() {
        0 => Ok(item),
        left => Err(CodecError::WrongLength { expected: bytes.len() - left, found: bytes.len() }),
    }
}

/// Yields items in order; see [`RawJournal::replay`]. Ends for good after an error.
pub struct Items<T> {
    raw: Replay,
    item: PhantomData<fn() -> T>,
}

impl<T: Decode> Stream for Items<T> {
    type Item = Result<Item<T>, Error>;

    #[inline]
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.raw.poll_with(cx, |section, position, bytes| {
            decode(section, position, bytes).map(|item| Item { section, position, item })
        })
    }
}

impl<T> std::ops::Deref for Journal<T> {
    type Target = RawJournal;

    fn deref(&self) -> &RawJournal {
        &self.raw
    }
}

impl<T> Clone for Journal<T> {
    fn clone(&self) -> Self {
        Self { raw: self.raw.clone(), item: PhantomData }
    }
}

impl<T> fmt::Debug for Journal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw.fmt(f)
    }
}

impl<T> fmt::Debug for Items<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw.fmt(f)
    }
}
