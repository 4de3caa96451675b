//! Named byte blobs in partitions, durable on request.

pub mod append;
pub mod buffer;
mod claims;
pub mod codec;
pub mod contract;
mod error;
#[cfg(unix)]
pub mod file;
mod header;
pub mod manifest;
mod memory;
mod name;
mod queue;
mod routed;
pub mod sections;
pub mod sim;
mod storage;
mod twins;

pub use claims::{Activity, Claim, Claims};
pub use error::{Error, Operation, Target};
#[cfg(unix)]
pub use file::{BulkSync, FileStorage, Io};
pub use header::{
    Binding, Format, HEADER_BYTES, Header, HeaderFault, HeaderState, Kind, Probe, RawHeader, VERSION, Want,
};
pub use memory::MemoryStorage;
pub use name::{
    BlobId, MAX_NAME_BYTES, MAX_PARTITION_BYTES, Salt, StoreId, check_name, check_partition, file_name, parse_file_name,
};
pub use queue::{Enter, Queue, Ticket};
pub use storage::{Blob, MAX_BLOB_BYTES, Storage, check_len, check_read, end_of};
pub use twins::keep_one;
