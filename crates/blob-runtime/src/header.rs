//! The first 4096 bytes of every file, and what a caller expects of them.
//!
//! ```text
//!  0  8  magic "OVRSIZED"        16  4  item: paged: item size, 0 for a plain byte stream
//!  8  2  format version, 1       20  8  store id
//! 10  2  kind                    28  4  salt, as in the file's name
//! 12  4  unit                    32  4  CRC-32 of bytes 0..32          the rest: zero
//! ```
//!
//! All integers are big-endian. Logical offset 0 of a blob is byte 4096 of its file, so that pages stay aligned to the
//! file system's blocks. CRC-32 is the one of IEEE 802.3.

use std::fmt;
use std::sync::Arc;

use bytes::{Buf, BufMut};
use crc32fast::Hasher;
use futures::future::BoxFuture;

use crate::error::Error;
use crate::name::{BlobId, Salt, StoreId};
use crate::storage::Blob;

#[cfg(test)]
mod tests;

/// Bytes a header takes at the start of a file.
pub const HEADER_BYTES: usize = 4096;
/// The version of the format this crate reads and writes.
pub const VERSION: u16 = 1;

const MAGIC: [u8; 8] = *b"OVRSIZED";
/// Bytes the header's checksum covers.
const COVERED_BYTES: usize = 8 + 2 + 2 + 4 + 4 + 8 + 4;
const ENCODED_BYTES: usize = COVERED_BYTES + 4;
const _: () = assert!(COVERED_BYTES == 32 && ENCODED_BYTES <= HEADER_BYTES);

/// What a blob holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(pub u16);

impl Kind {
    /// Checksummed pages.
    pub const PAGED: Self = Self(1);
    /// Frames, each with one value.
    pub const VALUES: Self = Self(2);
    /// The two slots of a manifest.
    pub const MANIFEST: Self = Self(3);
    /// The first of the kinds that are the user's own.
    pub const USER: Self = Self(0x8000);
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::PAGED => f.write_str("1 (paged)"),
            Self::VALUES => f.write_str("2 (values)"),
            Self::MANIFEST => f.write_str("3 (manifest)"),
            Self(other) => write!(f, "{other}"),
        }
    }
}

/// A blob's header: what it says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header {
    /// What the blob holds.
    pub kind: Kind,
    /// Paged: physical page size in bytes. Values: tag size in bytes.
    pub unit: u32,
    /// Paged: item size in bytes, 0 for a plain byte stream.
    pub item: u32,
    /// The store the blob belongs to.
    pub store: StoreId,
    /// The salt, as in the file's name.
    pub salt: Salt,
}

/// Why bytes are no header. A header that was never synced may be any of these after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderFault {
    /// The file ends inside the header.
    Short {
        /// The file's length in bytes.
        file_bytes: u64,
    },
    /// All covered bytes are zero.
    Zero,
    /// The checksum does not match.
    Checksum {
        /// The checksum of the bytes.
        expected: u32,
        /// The checksum in the header.
        found: u32,
    },
}

impl fmt::Display for HeaderFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { file_bytes } => write!(f, "a file of {file_bytes} bytes"),
            Self::Zero => f.write_str("zeros"),
            Self::Checksum { expected, found } => write!(f, "checksum {found:08x} where the bytes make {expected:08x}"),
        }
    }
}

/// What was found where the header should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderState {
    /// The blob was created by this process and nothing was written yet. The header goes with the first change.
    New,
    /// The header verifies.
    Sound,
    /// The header does not verify; [`Blob::header`] is what the caller's format makes of it, and is written with the
    /// first change. Whoever opened it decides first whether anything behind it verifies.
    Bad(HeaderFault),
}

/// Parsed bytes whose checksum matched, not yet compared with what the caller expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawHeader {
    magic: [u8; 8],
    version: u16,
    header: Header,
}

impl Header {
    /// The header's bytes, [`HEADER_BYTES`] long.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.put_slice(&MAGIC);
        bytes.put_u16(VERSION);
        bytes.put_u16(self.kind.0);
        bytes.put_u32(self.unit);
        bytes.put_u32(self.item);
        bytes.put_u64(self.store.0);
        bytes.put_u32(self.salt.0);
        bytes.put_u32(crc32fast::hash(&bytes));
        bytes.resize(HEADER_BYTES, 0);
        bytes
    }

    /// What every checksum inside the blob starts from, so that bytes of another blob, another store, or an earlier
    /// life of the same name never verify.
    pub fn binding(&self, name: &[u8]) -> Binding {
        let mut crc = Hasher::new();
        crc.update(&self.store.0.to_be_bytes());
        crc.update(&self.kind.0.to_be_bytes());
        crc.update(name);
        crc.update(&self.salt.0.to_be_bytes());
        Binding(crc.finalize())
    }
}

impl RawHeader {
    /// Parses the start of a file. `file_bytes` is the file's whole length, `start` its first bytes.
    ///
    /// # Errors
    /// [`HeaderFault`] when the checksum does not match.
    pub fn decode(start: &[u8], file_bytes: u64) -> Result<Self, HeaderFault> {
        let Some((mut covered, mut check)) =
            start.get(..ENCODED_BYTES).and_then(|bytes| bytes.split_at_checked(COVERED_BYTES))
        else {
            return Err(HeaderFault::Short { file_bytes });
        };
        if file_bytes < HEADER_BYTES as u64 {
            return Err(HeaderFault::Short { file_bytes });
        }
        let (expected, found) = (crc32fast::hash(covered), check.get_u32());
        if expected != found {
            let zero = found == 0 && covered.iter().all(|byte| *byte == 0);
            return Err(if zero { HeaderFault::Zero } else { HeaderFault::Checksum { expected, found } });
        }
        let mut magic = [0; 8];
        covered.copy_to_slice(&mut magic);
        let version = covered.get_u16();
        let header = Header {
            kind: Kind(covered.get_u16()),
            unit: covered.get_u32(),
            item: covered.get_u32(),
            store: StoreId(covered.get_u64()),
            salt: Salt(covered.get_u32()),
        };
        Ok(Self { magic, version, header })
    }

    /// Yields the header when it is what `format` expects of the file with this salt in its name.
    ///
    /// # Errors
    /// [`Error::FormatMismatch`] names the first field that differs.
    pub fn check(self, blob: &BlobId, named: Salt, format: &Format) -> Result<Header, Error> {
        let mismatch = |field: &'static str, expected: String, found: String| {
            Err(Error::FormatMismatch { blob: blob.clone(), field, expected, found })
        };
        let header = self.header;
        if self.magic != MAGIC {
            return mismatch(
                "magic",
                format!("{:?}", MAGIC.escape_ascii().to_string()),
                self.magic.escape_ascii().to_string(),
            );
        }
        if self.version != VERSION {
            return mismatch("version", VERSION.to_string(), self.version.to_string());
        }
        if header.kind != format.kind {
            return mismatch("kind", format.kind.to_string(), header.kind.to_string());
        }
        if let Some(expected) = format.store.differs(header.store) {
            return mismatch("store id", expected.to_string(), header.store.to_string());
        }
        if header.salt != named {
            return mismatch(
                "salt",
                "the one in the file's name".into(),
                "another: the file was renamed or copied".into(),
            );
        }
        if format.salt.is_some_and(|salt| salt != header.salt) {
            return mismatch("salt", "the one of the blob it belongs to".into(), "another".into());
        }
        if let Some(expected) = format.unit.differs(header.unit) {
            return mismatch("unit", expected.to_string(), header.unit.to_string());
        }
        if let Some(expected) = format.item.differs(header.item) {
            return mismatch("item", expected.to_string(), header.item.to_string());
        }
        Ok(header)
    }
}

/// The start of every checksum inside a blob; see [`Header::binding`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Binding(u32);

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Binding(..)")
    }
}

impl Binding {
    /// A CRC-32 that has taken in where its bytes belong.
    pub fn hasher(self) -> Hasher {
        Hasher::new_with_initial(self.0)
    }
}

/// What a caller expects of a field of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want<T> {
    /// A found blob must say this, and a new one will.
    Exactly(T),
    /// A found blob may say anything; a new one will say this.
    Default(T),
}

impl<T: Copy + PartialEq> Want<T> {
    /// What a new blob says.
    pub fn value(self) -> T {
        match self {
            Self::Exactly(value) | Self::Default(value) => value,
        }
    }

    fn differs(self, found: T) -> Option<T> {
        match self {
            Self::Exactly(expected) if expected != found => Some(expected),
            _ => None,
        }
    }
}

/// Tells whether a blob holds anything of its kind that verifies (any page, frame or slot); see [`Format::probe`].
pub type Probe = Arc<dyn Fn(Arc<dyn Blob>) -> BoxFuture<'static, Result<bool, Error>> + Send + Sync>;

/// What a caller expects of a blob, and makes of a new one.
#[derive(Clone)]
pub struct Format {
    /// What it holds.
    pub kind: Kind,
    /// Paged: physical page size in bytes. Values: tag size in bytes.
    pub unit: Want<u32>,
    /// Paged: item size in bytes.
    pub item: Want<u32>,
    /// The store it belongs to.
    pub store: Want<StoreId>,
    /// The salt it must have; a new blob gets it. `None`: drawn at random.
    pub salt: Option<Salt>,
    /// Whether a missing blob is created; otherwise it is [`Error::NotFound`].
    pub create: bool,
    /// Only to be looked at: nothing on disk is changed by the open, also where two files bear the name.
    pub look_only: bool,
    /// Asked when two files bear the blob's name: the one without anything valid is the remnant of a creation that a
    /// crash cut short and is removed; when both have something, that is [`Error::Corrupt`]. `None`: any byte that is
    /// not zero counts as valid.
    pub probe: Option<Probe>,
}

impl Format {
    /// A format of this kind and store, created when missing: unit and item 0 and of no concern, salt drawn at random.
    pub fn new(kind: Kind, store: Want<StoreId>) -> Self {
        Self {
            kind,
            unit: Want::Default(0),
            item: Want::Default(0),
            store,
            salt: None,
            create: true,
            look_only: false,
            probe: None,
        }
    }

    /// Sets what is expected of `unit`.
    #[must_use]
    pub fn unit(self, unit: Want<u32>) -> Self {
        Self { unit, ..self }
    }

    /// Sets what is expected of `item`.
    #[must_use]
    pub fn item(self, item: Want<u32>) -> Self {
        Self { item, ..self }
    }

    /// Sets the salt the blob must have.
    #[must_use]
    pub fn salt(self, salt: Salt) -> Self {
        Self { salt: Some(salt), ..self }
    }

    /// Only a blob that is there: a missing one is [`Error::NotFound`].
    #[must_use]
    pub fn existing(self) -> Self {
        Self { create: false, ..self }
    }

    /// Only to be looked at, see [`look_only`](Self::look_only); a missing one is [`Error::NotFound`].
    #[must_use]
    pub fn look_only(self) -> Self {
        Self { create: false, look_only: true, ..self }
    }

    /// Sets how two files of one name are told apart.
    #[must_use]
    pub fn probe(self, probe: Probe) -> Self {
        Self { probe: Some(probe), ..self }
    }

    /// The header of a new blob with this salt.
    pub fn header(&self, salt: Salt) -> Header {
        Header { kind: self.kind, unit: self.unit.value(), item: self.item.value(), store: self.store.value(), salt }
    }

    /// What a backend makes of a file it found: its header and how sound that is.
    ///
    /// `start` holds the file's first bytes, at least [`HEADER_BYTES`] of them when it has that many.
    ///
    /// # Errors
    /// [`Error::FormatMismatch`] when the header verifies and says something else.
    pub fn read_header(
        &self,
        blob: &BlobId,
        named: Salt,
        start: &[u8],
        file_bytes: u64,
    ) -> Result<(Header, HeaderState), Error> {
        if self.salt.is_some_and(|salt| salt != named) {
            return Err(Error::FormatMismatch {
                blob: blob.clone(),
                field: "salt",
                expected: "the one of the blob it belongs to".into(),
                found: "another".into(),
            });
        }
        match RawHeader::decode(start, file_bytes) {
            Ok(raw) => Ok((raw.check(blob, named, self)?, HeaderState::Sound)),
            Err(_) if file_bytes == 0 => Ok((self.header(named), HeaderState::New)),
            Err(fault) => Ok((self.header(named), HeaderState::Bad(fault))),
        }
    }
}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Format")
            .field("kind", &self.kind)
            .field("unit", &self.unit)
            .field("item", &self.item)
            .field("store", &self.store)
            .field("salt", &self.salt)
            .field("create", &self.create)
            .finish_non_exhaustive()
    }
}
