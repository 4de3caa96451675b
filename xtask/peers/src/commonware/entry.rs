//! The entry of both versions of commonware-storage: a number, and where the value is.

use commonware_codec::{Error, FixedSize, Read, ReadExt, Write};
use commonware_runtime::BufMut;
use commonware_storage::journal::segmented::oversized::Record;

use super::Buf;

/// An item's number, and the place of its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The item's number.
    pub(crate) id: u64,
    /// Where its value begins.
    pub(crate) offset: u64,
    /// The value's length, checksum included.
    pub(crate) size: u32,
}

impl Entry {
    /// One whose value has no place yet.
    pub(crate) fn new(id: u64) -> Self {
        Self { id, offset: 0, size: 0 }
    }
}

impl Write for Entry {
    fn write(&self, buf: &mut impl BufMut) {
        self.id.write(buf);
        self.offset.write(buf);
        self.size.write(buf);
    }
}

impl Read for Entry {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        Ok(Self { id: u64::read(buf)?, offset: u64::read(buf)?, size: u32::read(buf)? })
    }
}

impl FixedSize for Entry {
    const SIZE: usize = u64::SIZE + u64::SIZE + u32::SIZE;
}

impl Record for Entry {
    fn value_location(&self) -> (u64, u32) {
        (self.offset, self.size)
    }

    fn with_location(self, offset: u64, size: u32) -> Self {
        Self { offset, size, ..self }
    }
}
