//! Named byte blobs in partitions, durable on request.
//!
//! ```text
//! a log above                 asks for a blob by partition and name
//!      │ Storage::open        the header is compared with what the caller expects, or made
//!      ▼
//! Arc<dyn Blob>               write_at, resize: one after the other, in the order in which they were first polled
//!      │ Blob::sync           bytes, length, header and name become durable together
//!      ▼
//! files, memory, simulated disk
//! ```
//!
//! Nothing here knows pages, frames or records. Where to begin: the promises in [`Storage`] and [`Blob`], then
//! [`Format`] and [`Header`], then [`Error`].
//!
//! ```
//! # fn main() -> Result<(), blob_runtime::Error> {
//! use std::sync::Arc;
//!
//! use blob_runtime::{Format, Kind, MemoryStorage, Storage, StoreId, Want};
//!
//! futures::executor::block_on(async {
//!     let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
//!     let store = StoreId(storage.random()?);
//!     let blob = storage.open("notes", b"first", &Format::new(Kind::USER, Want::Exactly(store))).await?;
//!     blob.write_at(0, vec!["durable ".into(), "bytes".into()]).await?;
//!     blob.sync().await?;
//!     assert_eq!(blob.read_at(8, 5).await?, "bytes");
//!     assert_eq!(storage.scan("notes").await?, [b"first"]);
//!     Ok(())
//! })
//! # }
//! ```

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
pub mod quarantine;
mod queue;
mod routed;
pub mod sections;
pub mod segmented;
pub mod sim;
mod storage;
mod sync;
mod twins;
mod yielding;

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
pub use routed::Routed;
pub use storage::{Blob, Change, MAX_BLOB_BYTES, Storage, check_len, check_read, end_of, read_at};
pub use twins::keep_one;
