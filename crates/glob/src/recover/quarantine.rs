//! Bytes that are about to be cut away, kept elsewhere first.
//!
//! Each cut has two blobs in the quarantine partition: the bytes as they were, and a note in JSON that says what they
//! are. The note is written after the bytes are durable, so bytes without a note are an attempt that a crash cut short,
//! and are written again. Names hold section, offset, end and a number, so the same cut, carried out again after a crash,
//! finds its own copy and leaves it alone.

use std::ops::Range;
use std::sync::Arc;

use blob_runtime::{Blob, Error as StorageError, Format, Kind, Storage, StoreId, Want};
use bytes::{BufMut, Bytes};

use crate::error::Error;
use crate::window::CHUNK_BYTES;

/// Where bytes go before they are cut away.
#[derive(Debug, Clone)]
pub struct Quarantine {
    /// The storage.
    pub storage: Arc<dyn Storage>,
    /// The partition.
    pub partition: Arc<str>,
    /// The store they are of.
    pub store: StoreId,
    /// At most so many bytes of a cut are kept.
    pub limit_bytes: u64,
}

/// What a name ends with.
const BYTES: u8 = b'b';
const NOTE: u8 = b'n';
/// Different cuts of one range that are told apart, at most.
const MAX_COPIES: u32 = 1024;

impl Quarantine {
    /// Copies a range of a blob; durable, with its note, when this returns. Answers the name of the copy.
    ///
    /// Cancel safety: dropped, it is done again by the next recovery.
    ///
    /// # Errors
    /// [`Error::Storage`]; nothing was cut then.
    pub async fn keep(
        &self,
        blob: &Arc<dyn Blob>,
        section: u64,
        range: Range<u64>,
        reason: &str,
    ) -> Result<Vec<u8>, Error> {
        let format = Format::new(Kind::USER, Want::Exactly(self.store));
        for copy in 0..MAX_COPIES {
            let name = |ends: u8| {
                let mut name = Vec::with_capacity(8 * 3 + 4 + 1);
                name.put_u64(section);
                name.put_u64(range.start);
                name.put_u64(range.end);
                name.put_u32(copy);
                name.put_u8(ends);
                name
            };
            let bytes = name(BYTES);
            match self.storage.open(&self.partition, &name(NOTE), &format.clone().existing()).await {
                Ok(note) if !note.is_empty() => {
                    let kept = self.storage.open(&self.partition, &bytes, &format.clone().existing()).await?;
                    if is_copy(kept.as_ref(), blob.as_ref(), range.start).await? {
                        return Ok(bytes);
                    }
                    // Another cut of the same range, earlier in the blob's life.
                    continue;
                }
                Ok(_) | Err(StorageError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            let kept = self.storage.open(&self.partition, &bytes, &format).await?;
            let len = (range.end - range.start).min(self.limit_bytes);
            copy_bytes(blob.as_ref(), range.start, kept.as_ref(), len).await?;
            kept.resize(len).await?;
            kept.sync().await?;
            let note = self.storage.open(&self.partition, &name(NOTE), &format).await?;
            let text = note_text(blob, section, &range, len, reason);
            note.write_at(0, vec![text.clone()]).await?;
            note.resize(text.len() as u64).await?;
            note.sync().await?;
            tracing::warn!(
                section,
                start = range.start,
                end = range.end,
                kept = len,
                reason,
                "bytes moved to quarantine"
            );
            return Ok(bytes);
        }
        Err(Error::InvalidConfig {
            setting: "quarantine",
            reason: format!("it holds {MAX_COPIES} copies of one range; look at them and remove them"),
        })
    }
}

/// The note, one JSON object. All of its strings are made here, and have nothing in them that JSON escapes.
fn note_text(blob: &Arc<dyn Blob>, section: u64, range: &Range<u64>, kept: u64, reason: &str) -> Bytes {
    let plain = |text: &str| text.replace(['"', '\\'], "'").replace(char::is_control, " ");
    format!(
        concat!(
            "{{\"partition\":\"{}\",\"section\":{},\"offset\":{},\"end\":{},",
            "\"bytes_cut\":{},\"bytes_kept\":{},\"reason\":\"{}\"}}\n"
        ),
        plain(blob.id().partition()),
        section,
        range.start,
        range.end,
        range.end - range.start,
        kept,
        plain(reason),
    )
    .into()
}

/// Whether `kept` is what `blob` has from `offset` on, or had before a cut began to write zeros over it.
async fn is_copy(kept: &dyn Blob, blob: &dyn Blob, offset: u64) -> Result<bool, Error> {
    let mut at = 0;
    while at < kept.len() {
        let len = piece(kept.len() - at);
        let was = kept.read_at(at, len).await?;
        let is = blob.read_at(offset.saturating_add(at), len).await?;
        if was.iter().zip(&is).any(|(was, is)| was != is && *is != 0) {
            return Ok(false);
        }
        at += len as u64;
    }
    Ok(true)
}

async fn copy_bytes(from: &dyn Blob, offset: u64, to: &dyn Blob, len: u64) -> Result<(), Error> {
    let mut at = 0;
    while at < len {
        let bytes = from.read_at(offset.saturating_add(at), piece(len - at)).await?;
        let read = bytes.len() as u64;
        to.write_at(at, vec![bytes]).await?;
        at += read;
    }
    Ok(())
}

pub(super) fn piece(left: u64) -> usize {
    usize::try_from(left).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES))
}
