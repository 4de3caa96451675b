//! Names: partitions, blobs, and how both are spelled as paths.
//!
//! ```text
//! <root>/<partition>/<hex of the blob's name>.<salt as 8 hex digits>
//! ```
//!
//! The salt is drawn when a blob is created and lives and dies with its directory entry, so that bytes of an earlier
//! life of the same name never verify. It stays out of logs and errors: whoever knows it could forge a frame inside a value.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::error::Error;

#[cfg(test)]
mod tests;

/// The longest blob name in bytes: its hex, a dot and the salt's 8 digits fit the 255 bytes of a file name
/// (`NAME_MAX`, `limits.h`).
pub const MAX_NAME_BYTES: usize = (255 - 1 - SALT_DIGITS) / 2;

/// The longest partition name in bytes.
pub const MAX_PARTITION_BYTES: usize = 128;

/// The lock file lies beside the partitions, also where names that differ only in case are the same.
const RESERVED: &str = "LOCK";

const SALT_DIGITS: usize = 8;

/// A number drawn at random when a blob is created. Its `Debug` does not show it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Salt(pub u32);

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(..)")
    }
}

/// Which store a blob belongs to: drawn at random when the store is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(pub u64);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The place of a blob: partition and name, and for messages the root they are in. Cheap to clone.
#[derive(Clone)]
pub struct BlobId(Arc<Place>);

struct Place {
    root: Arc<str>,
    partition: Arc<str>,
    name: Box<[u8]>,
}

impl BlobId {
    /// Checks both names. `root` is only shown in messages; empty for storage without one.
    ///
    /// # Errors
    /// [`Error::InvalidPartition`], [`Error::InvalidName`].
    pub fn new(root: &Arc<str>, partition: &str, name: &[u8]) -> Result<Self, Error> {
        check_partition(partition)?;
        check_name(name)?;
        Ok(Self(Arc::new(Place { root: Arc::clone(root), partition: partition.into(), name: name.into() })))
    }

    /// The partition's name.
    pub fn partition(&self) -> &Arc<str> {
        &self.0.partition
    }

    /// The blob's name.
    pub fn name(&self) -> &[u8] {
        &self.0.name
    }
}

impl PartialEq for BlobId {
    fn eq(&self, other: &Self) -> bool {
        self.0.partition == other.0.partition && self.0.name == other.0.name
    }
}

impl Eq for BlobId {}

impl Hash for BlobId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.partition.hash(state);
        self.0.name.hash(state);
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.root.is_empty() {
            write!(f, "{}/", self.0.root)?;
        }
        write!(f, "{}/{}", self.0.partition, Hex(&self.0.name))
    }
}

impl fmt::Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlobId({self})")
    }
}

/// Bytes as lower-case hex.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Checks a partition's name: `[A-Za-z0-9_-]{1,128}` and not `LOCK`, before any path is built from it.
///
/// # Errors
/// [`Error::InvalidPartition`].
pub fn check_partition(partition: &str) -> Result<(), Error> {
    let reason = if partition.is_empty() {
        "it is empty"
    } else if partition.eq_ignore_ascii_case(RESERVED) {
        "it is the name of the lock file"
    } else if partition.len() > MAX_PARTITION_BYTES {
        "it is too long"
    } else if !partition.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
        "it has a character that is not allowed"
    } else {
        return Ok(());
    };
    Err(Error::InvalidPartition { partition: partition.to_owned(), reason })
}

/// Checks a blob's name: 1 to [`MAX_NAME_BYTES`] bytes.
///
/// # Errors
/// [`Error::InvalidName`].
pub fn check_name(name: &[u8]) -> Result<(), Error> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err(Error::InvalidName { len: name.len() });
    }
    Ok(())
}

/// The file name of a blob: hex of its name, a dot, the salt as 8 hex digits.
pub fn file_name(name: &[u8], salt: Salt) -> String {
    format!("{}.{:08x}", Hex(name), salt.0)
}

/// Takes a file name apart. `None` when it is not of the form [`file_name`] makes, to the letter.
pub fn parse_file_name(file: &str) -> Option<(Vec<u8>, Salt)> {
    let (hex, digits) = file.split_once('.')?;
    if digits.len() != SALT_DIGITS || hex.len() % 2 != 0 {
        return None;
    }
    let lower_hex = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !lower_hex(hex) || !lower_hex(digits) {
        return None;
    }
    let name: Vec<u8> =
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect::<Option<_>>()?;
    check_name(&name).ok()?;
    Some((name, Salt(u32::from_str_radix(digits, 16).ok()?)))
}
