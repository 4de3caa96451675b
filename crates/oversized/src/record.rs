//! What an entry is: a small record of fixed size that says where its value is.

use blob_runtime::codec::{CodecError, Decode, Encode, FixedSize};
use bytes::{Buf, BufMut};
use glob::Location;

/// The user's fixed-size part of an entry. It has room for the location of the value, which the store fills in.
///
/// Its encoding is what lies in the index, and in the frame of its value: so the index can be rebuilt from the values alone.
pub trait Record: FixedSize + Encode + Decode + Clone + Send + Sync + 'static {
    /// Where the value is; whatever, for a record that was not appended yet.
    fn value_location(&self) -> Location;

    /// The record, with this location in it.
    #[must_use]
    fn with_location(self, location: Location) -> Self;
}

/// A ready-made [`Record`] of any fixed-size `T`: its encoding is that of `T`, then 12 bytes of location.
///
/// ```
/// use oversized::{Located, Record};
///
/// let record = Located::new((7_u64, [0xab_u8; 32]));
/// assert_eq!(record.data.0, 7);
/// assert_eq!(record.value_location(), oversized::Location::default());
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Located<T> {
    /// The user's own data.
    pub data: T,
    location: Location,
}

impl<T> Located<T> {
    /// A record that was not appended yet.
    pub fn new(data: T) -> Self {
        Self { data, location: Location::default() }
    }
}

impl<T> From<T> for Located<T> {
    fn from(data: T) -> Self {
        Self::new(data)
    }
}

impl<T: FixedSize> FixedSize for Located<T> {
    const SIZE: usize = T::SIZE + Location::SIZE;
}

impl<T: Encode> Encode for Located<T> {
    fn encode(&self, buf: &mut impl BufMut) {
        self.data.encode(buf);
        self.location.encode(buf);
    }
}

impl<T: Decode> Decode for Located<T> {
    fn decode(buf: &mut impl Buf) -> Result<Self, CodecError> {
        Ok(Self { data: T::decode(buf)?, location: Location::decode(buf)? })
    }
}

impl<T: FixedSize + Encode + Decode + Clone + Send + Sync + 'static> Record for Located<T> {
    fn value_location(&self) -> Location {
        self.location
    }

    fn with_location(self, location: Location) -> Self {
        Self { location, ..self }
    }
}

/// A record with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<R> {
    /// The section.
    pub section: u64,
    /// The entry's number in its section, from 0.
    pub position: u64,
    /// The record.
    pub record: R,
}

/// Reads the location out of an encoded record. For a store whose records are only bytes: the typed face has one made of
/// its record's type, and [`last_bytes`] fits every [`Located`].
pub type Locate = fn(&[u8]) -> Option<Location>;

/// The location in the last 12 bytes of a record, where [`Located`] has it.
pub fn last_bytes(record: &[u8]) -> Option<Location> {
    let at = record.len().checked_sub(Location::SIZE)?;
    Location::decode(&mut record.get(at..)?).ok()
}

/// The location as the type says.
pub(crate) fn of_type<R: Record>(record: &[u8]) -> Option<Location> {
    let mut rest = record;
    let decoded = R::decode(&mut rest).ok()?;
    rest.is_empty().then(|| decoded.value_location())
}
