//! Reads. They run beside changes, and wait for none.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::inner::{HEADER, Inner};
use super::root::Root;
use crate::error::{Error, Operation};
use crate::storage::check_read;

impl Inner {
    /// Reads exactly `len` bytes.
    pub(super) fn read(self: &Arc<Self>, root: &Root, offset: u64, len: usize) -> Result<Bytes, Error> {
        self.check_removed()?;
        if let Err(error) = check_read(&self.id, offset, len, self.len()) {
            // Beside a writer the blob may have grown.
            if !root.read_only {
                return Err(error);
            }
            let file = self.file(root)?;
            self.refresh_len(&file, 0);
            check_read(&self.id, offset, len, self.len())?;
        }
        if len == 0 {
            return Ok(Bytes::new());
        }
        let file = self.file(root)?;
        let buffer = root.buffers.take(len).map_err(|_| io::ErrorKind::OutOfMemory.into());
        let mut buffer = buffer.map_err(|source| self.io_error(Operation::Read, Some(offset), source))?;
        let read = root
            .sys
            .read(&file, &mut buffer, HEADER.saturating_add(offset), || self.path(&root.sys))
            .map_err(|source| self.io_error(Operation::Read, Some(offset), source))?;
        if read == len {
            return Ok(buffer.freeze());
        }
        // A resize that runs beside it, or a writer in another process, has cut the bytes off; otherwise somebody else.
        if root.read_only {
            self.refresh_len(&file, 0);
        }
        check_read(&self.id, offset, len, self.len())?;
        Err(self.io_error(Operation::Read, Some(offset), io::ErrorKind::UnexpectedEof.into()))
    }

    /// Reads what the page cache has, when the file is open.
    pub(super) fn read_at_once(&self, root: &Root, offset: u64, len: usize) -> Option<Result<Bytes, Error>> {
        if let Err(error) = self.check_removed() {
            return Some(Err(error));
        }
        if let Err(error) = check_read(&self.id, offset, len, self.len()) {
            return (!root.read_only).then_some(Err(error));
        }
        if len == 0 {
            return Some(Ok(Bytes::new()));
        }
        self.read_cached(root, offset, len).map(Ok)
    }

    fn read_cached(&self, root: &Root, offset: u64, len: usize) -> Option<Bytes> {
        if root.no_cached_reads.load(Ordering::Relaxed) {
            return None;
        }
        let file = self.file_at_once();
        let file = file.as_ref()?;
        // For want of memory the slow way answers.
        let mut buffer = root.buffers.take(len).ok()?;
        match root.sys.read_cached(file, &mut buffer, HEADER.saturating_add(offset), || self.path(&root.sys)) {
            Ok(all) => all.map(|()| buffer.freeze()),
            Err(_) => {
                root.no_cached_reads.store(true, Ordering::Relaxed);
                None
            }
        }
    }
}
