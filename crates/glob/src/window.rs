//! Reading forward in large pieces.

use std::sync::Arc;

use blob_runtime::append::Log;
use blob_runtime::{Blob, Error as StorageError, read_at};
use bytes::Bytes;

use crate::ahead::Ahead;

/// Bytes read at a time.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;

/// A piece of a blob or log, moved forward as needed.
#[derive(Debug)]
pub(crate) struct Window {
    source: Source,
    start: u64,
    bytes: Bytes,
}

#[derive(Debug)]
enum Source {
    Blob(Arc<dyn Blob>),
    Log(Log<Ahead>),
}

impl Window {
    pub(crate) fn of_blob(blob: Arc<dyn Blob>) -> Self {
        Self { source: Source::Blob(blob), start: 0, bytes: Bytes::new() }
    }

    pub(crate) fn of_log(log: Log<Ahead>) -> Self {
        Self { source: Source::Log(log), start: 0, bytes: Bytes::new() }
    }

    /// What is there from `offset` on, without looking at anything behind `end`: at least `want` bytes, fewer only when
    /// it ends there, more when they are at hand. Memory: the larger of `want` and [`CHUNK_BYTES`].
    pub(crate) async fn at(&mut self, offset: u64, want: usize, end: u64) -> Result<&[u8], StorageError> {
        self.at_by(offset, want, end, CHUNK_BYTES).await
    }

    /// [`at`](Self::at) that reads `piece` bytes at a time.
    pub(crate) async fn at_by(
        &mut self,
        offset: u64,
        want: usize,
        end: u64,
        piece: usize,
    ) -> Result<&[u8], StorageError> {
        let left = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX);
        let want = want.min(left);
        let skip = offset.checked_sub(self.start).and_then(|skip| usize::try_from(skip).ok());
        let at_hand = skip.and_then(|skip| self.bytes.len().checked_sub(skip)).unwrap_or(0);
        if at_hand < want {
            // The old piece is given back before the new one is taken.
            self.bytes = Bytes::new();
            self.bytes = self.source.read(offset, want.max(piece).min(left)).await?;
            self.start = offset;
        }
        let skip = usize::try_from(offset.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let bytes = self.bytes.get(skip..).unwrap_or_default();
        Ok(bytes.get(..left).unwrap_or(bytes))
    }
}

impl Source {
    async fn read(&self, offset: u64, len: usize) -> Result<Bytes, StorageError> {
        match self {
            Self::Blob(blob) => read_at(blob.as_ref(), offset, len).await,
            Self::Log(log) => log.read_at(offset, len).await,
        }
    }
}
