//! What the store keeps of a file beside its bytes.

use std::path::Path;
use std::sync::Arc;

use blob_runtime::codec::{CodecError, Decode, Encode, FixedSize};
use blob_runtime::{FileStorage, Io};
use bytes::{Buf, BufMut, Bytes};
use futures::executor::block_on;
use oversized::{Config, Error, Located, Oversized};

use crate::options::Options;

/// The largest file that is taken, in bytes. A file is read whole.
pub(crate) const MAX_FILE_BYTES: u32 = 1 << 30;

/// What is kept of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileRecord {
    /// Of the path below the root.
    pub(crate) path_hash: u128,
    /// Kind and permissions, as `stat(2)` has them.
    pub(crate) mode: u32,
    /// Time of the last modification in nanoseconds since 1970.
    pub(crate) modified: i64,
    /// Length in bytes.
    pub(crate) len: u64,
}

type Fields = (u128, u32, i64, u64);

impl FixedSize for FileRecord {
    const SIZE: usize = Fields::SIZE;
}

impl Encode for FileRecord {
    fn encode(&self, buf: &mut impl BufMut) {
        (self.path_hash, self.mode, self.modified, self.len).encode(buf);
    }
}

impl Decode for FileRecord {
    fn decode(buf: &mut impl Buf) -> Result<Self, CodecError> {
        let (path_hash, mode, modified, len) = Fields::decode(buf)?;
        Ok(Self { path_hash, mode, modified, len })
    }
}

/// A store of files.
pub(crate) type Store = Oversized<Located<FileRecord>, Bytes>;

/// Opens the store in a directory. Its writers have threads of their own, so system calls are made on them.
pub(crate) fn open(root: &Path, options: &Options) -> Result<Store, Error> {
    let storage = FileStorage::builder(root).io(Io::Inline).open()?;
    let config = Config::new("files").compression(options.compression).max_value_bytes(MAX_FILE_BYTES);
    block_on(Store::open(Arc::new(storage), config))
}

/// Bytes of all values as they are stored, with their frames.
pub(crate) fn stored_bytes(store: &Store) -> Result<u64, Error> {
    store.sections().into_iter().map(|section| block_on(store.value_bytes(section))).sum()
}
