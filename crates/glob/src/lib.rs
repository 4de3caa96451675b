//! A segmented, append-only log of values; each value one self-describing checksummed frame.
//!
//! ```text
//!  append ──▶ encode, compress, checksum (no lock) ──▶ frame completed under the section's lock ──▶ tail, in memory
//!  sync   ──▶ one write (zeros ahead in it) and one fdatasync, for all who ask at once
//!  get    ──▶ by location: tail, else the blob ──▶ header with offset, payload: checked; decompressed, bounded
//!  scan   ──▶ frames in order, 256 KiB at a time, without any index
//!  open   ──▶ manifest ──▶ clean: sections at first use
//!                     └──▶ not clean: survey ──▶ plan (pure) ──▶ carry out, each step durable
//!  prune, rewind, destroy ──▶ decided in the manifest, then done: atomic
//! ```
//!
//! ```
//! use std::sync::Arc;
//! use blob_runtime::MemoryStorage;
//! use futures::TryStreamExt;
//! use glob::{Config, Cursor, Glob};
//!
//! # futures::executor::block_on(async {
//! let glob = Glob::<String>::open(Arc::new(MemoryStorage::new()), Config::new("blocks")).await?;
//! let location = glob.append(7, &"a value".to_owned()).await?;
//! glob.sync(7).await?;
//! assert_eq!(glob.get(7, location).await?, "a value");
//! let all: Vec<_> = glob.scan(7, Cursor::START).try_collect().await?;
//! assert_eq!((all[0].position, all[0].location), (0, location));
//! glob.close().await?;
//! # Ok::<_, glob::Error>(()) }).unwrap();
//! ```
//!
//! # Reading order
//!
//! [`frame`] is the format. [`section`] is one section's log: append, read, seal, cut. [`recover`] is what an open after
//! a crash does with a section. [`RawGlob`] keeps many sections under a manifest of its own, and [`Glob`] gives them
//! types. An owner with a manifest of its own uses [`section`] and [`recover`] alone.
//!
//! # What is promised
//!
//! What a returned [`sync`](Glob::sync) covered is there after any crash; of the rest a prefix may be, batches whole or not
//! at all. Damage to what was durable is told, never cut off silently: see [`OnDamage`]. Among what stays undetectable is
//! rot in what the last sync of a section wrote, as long as nothing follows it: no append, no seal, no close; a torn tail
//! looks the same (`docs/crash-safety.md` has the whole list). What is dropped is reported, and moved to quarantine first when a whole frame is in it.

mod ahead;
mod compress;
mod config;
mod driver;
mod error;
pub mod frame;
mod glob;
mod location;
mod raw;
pub mod recover;
mod report;
mod scan;
pub mod section;
mod window;

pub use self::glob::Glob;
pub use blob_runtime::segmented::OnDamage;
pub use compress::{Compression, Packed, Packer};
pub use config::Config;
pub use error::Error;
pub use location::{Appended, Cursor, Location};
pub use raw::{RawGlob, Recovered};
pub use report::{RecoveryReport, SectionReport};
pub use scan::{RawScan, Scan, Scanned};
pub use section::{Expect, Frame};
