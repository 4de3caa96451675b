//! Changes of a section's structure: the seal, and the cut.

use std::sync::Arc;

use blob_runtime::{Blob, Error as StorageError};
use futures::FutureExt;

use super::{Hold, Section};
use crate::ahead::{Ahead, zeros};
use crate::error::Error;
use crate::location::Cursor;

/// Zeros written at a time over what is cut away, in bytes.
const ZERO_CHUNK_BYTES: u64 = 1 << 20;

impl Hold {
    /// The section that is held.
    pub fn section(&self) -> &Arc<Section> {
        &self.section
    }

    /// Cuts off everything from `to` on, and seals. Each step is durable before the next one begins: what is kept is
    /// synced; what goes is overwritten with zeros, so that a freed block that comes back holds no frame (I4); the file
    /// is truncated; the seal is written (defects 42, 45).
    ///
    /// `to` is the start of the first dropped item's frame: seals before it stay.
    ///
    /// Cancel safety: this is a step of a job that is behind a durable intent. Dropped by itself, the cut may be made
    /// without the seal.
    ///
    /// # Errors
    /// As [`Section::sync`]; a failure of the cut poisons the section.
    pub async fn cut(&self, to: Cursor) -> Result<(), Error> {
        self.section.cut_held(to).await
    }
}

impl Section {
    /// Makes everything durable and puts a seal behind it, which proves that; cuts off the zeros written ahead. Nothing
    /// when a seal is last already. It tries again for as long as something is appended in between.
    ///
    /// Cancel safety: dropped, the seal is there or not, and whatever has begun runs to its end.
    ///
    /// # Errors
    /// As [`sync`](Self::sync).
    pub async fn seal(&self) -> Result<(), Error> {
        while !self.try_seal().await? {}
        Ok(())
    }

    /// [`seal`](Self::seal) that gives up, with false, when something is appended in between.
    ///
    /// Cancel safety and errors: as [`seal`](Self::seal).
    pub async fn try_seal(&self) -> Result<bool, Error> {
        self.writable()?;
        self.log.sync().await?;
        // A seal that somebody else has put there meanwhile counts when it is durable.
        while self.progress.sealed() {
            if self.is_sealed() {
                return Ok(true);
            }
            self.log.sync().await?;
        }
        // Only zeros lie behind the last frame, so this needs no sync of its own: with or without it the seal is the end.
        let trim = |blob: Arc<dyn Blob>, len: u64, layout: &mut Ahead| {
            layout.trim(len);
            async move { if blob.len() > len { blob.resize(len).await } else { Ok(()) } }.boxed()
        };
        if !self.log.alone(trim).await? || !self.put_seal().await? {
            return Ok(false);
        }
        self.log.sync().await?;
        Ok(true)
    }

    /// [`Hold::cut`], for an owner whose hold is elsewhere.
    ///
    /// Cancel safety and errors: as [`Hold::cut`].
    pub async fn cut_held(&self, to: Cursor) -> Result<(), Error> {
        self.writable()?;
        self.log.sync_through(to.offset).await?;
        // A cut whose caller was dropped may still be under way; it has a place of its own.
        self.log.settle().await;
        self.progress.set_cutting(to);
        self.log.cut(to.offset, move |blob| cut_steps(blob, to.offset).boxed()).await?;
        self.seal().await
    }

    /// Makes durable what lies before `offset`, as [`sync`](Self::sync) does for all: a rewind first syncs what it
    /// keeps.
    ///
    /// Cancel safety and errors: as [`sync`](Self::sync).
    pub async fn sync_through(&self, offset: u64) -> Result<(), Error> {
        self.writable()?;
        Ok(self.log.sync_through(offset).await?)
    }
}

/// Takes away everything from `offset` on: zeros, durable; then the truncation, durable.
pub(crate) async fn cut_steps(blob: Arc<dyn Blob>, offset: u64) -> Result<(), StorageError> {
    if blob.len() <= offset {
        // Nothing there; but a length that an earlier, failed truncation has set may not be durable.
        return blob.sync().await;
    }
    write_zeros(blob.as_ref(), offset).await?;
    blob.sync().await?;
    blob.resize(offset).await?;
    blob.sync().await
}

/// Overwrites everything from `offset` to the end with zeros.
pub(crate) async fn write_zeros(blob: &dyn Blob, offset: u64) -> Result<(), StorageError> {
    let end = blob.len();
    let mut at = offset;
    while at < end {
        let len = (end - at).min(ZERO_CHUNK_BYTES);
        blob.write_at(at, zeros(len)).await?;
        at += len;
    }
    Ok(())
}
