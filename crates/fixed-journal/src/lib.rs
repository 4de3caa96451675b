//! A segmented journal of fixed-size items.
//!
//! ```text
//!  append ──▶ section's stream of pages (paged-cache) ──▶ tail, in memory
//!  sync   ──▶ one write, one sync of one file, for all who ask at once
//!  get    ──▶ tail, or a cached page, decoded in place ──▶ the blob
//!  replay ──▶ sections in order, 256 KiB at a time, never flushing
//!  open   ──▶ manifest ──▶ clean: sections at first use
//!                     └──▶ not clean: every section recovered, made durable, reported
//!  prune, rewind, clear, destroy ──▶ decided in the manifest, then done: atomic
//! ```
//!
//! ```
//! use std::sync::Arc;
//! use blob_runtime::MemoryStorage;
//! use fixed_journal::{Config, Journal};
//! use futures::TryStreamExt;
//!
//! # futures::executor::block_on(async {
//! let storage = Arc::new(MemoryStorage::new());
//! let journal = Journal::<(u64, [u8; 32])>::open(storage, Config::new("heights")).await?;
//! let position = journal.append(7, &(1, [0xab; 32])).await?;
//! journal.sync(7).await?;
//! assert_eq!(journal.get(7, position).await?, (1, [0xab; 32]));
//! let all: Vec<_> = journal.replay(0, 0).try_collect().await?;
//! assert_eq!(all.len(), 1);
//! journal.close().await?;
//! # Ok::<_, fixed_journal::Error>(()) }).unwrap();
//! ```

mod config;
mod driver;
mod error;
mod journal;
mod raw;
mod replay;
mod report;
pub mod section;

pub use blob_runtime::segmented::OnDamage;
pub use config::Config;
pub use error::Error;
pub use journal::{Items, Journal};
pub use raw::RawJournal;
pub use replay::{Item, Replay};
pub use report::{Reason, Recovery, SectionRecovery};
