//! A crash-safe, segmented journal of pairs: one small fixed-size record and one large value per entry, in numbered sections
//! that can be pruned, rewound and replayed.
//!
//! ```text
//!  append ──▶ value encoded, compressed, checksummed (no lock) ──▶ section's lock: position, location, record ──▶ memory
//!  sync   ──▶ values: one write, one fdatasync, for all who ask at once                     ── acknowledged
//!  (now and then) checkpoint ──▶ index: pages of records whose values are durable
//!  get    ──▶ record: memory, or a cached page, decoded in place
//!  read   ──▶ record ──▶ its frame: one read; position, record and checksum must match
//!  replay ──▶ pages of the index in order; with values: frames in order, without the index
//!  open   ──▶ manifest ──▶ clean: sections at first use
//!                     └──▶ not clean: survey ──▶ plan (pure) ──▶ carry out, each step durable
//!  prune, rewind, destroy ──▶ decided in the manifest, then done: atomic
//! ```
//!
//! ```
//! use std::sync::Arc;
//! use blob_runtime::MemoryStorage;
//! use futures::TryStreamExt;
//! use oversized::{Config, Located, Oversized};
//!
//! // A height and a hash; the store adds where the value is.
//! type Block = Located<(u64, [u8; 32])>;
//!
//! # futures::executor::block_on(async {
//! let store = Oversized::<Block, Vec<u8>>::open(Arc::new(MemoryStorage::new()), Config::new("blocks")).await?;
//! let block = vec![7; 100_000];
//! let at = store.append(1, Located::new((42, [0xab; 32])), &block).await?;
//! store.sync(1).await?;
//!
//! let record = store.get(1, at.position).await?;
//! assert_eq!(record.data.0, 42);
//! assert_eq!(store.value_of(1, &record).await?, block);
//! let heights: Vec<u64> = store.replay(0, 0).map_ok(|entry| entry.record.data.0).try_collect().await?;
//! assert_eq!(heights, [42]);
//! store.close().await?;
//! # Ok::<_, oversized::Error>(()) }).unwrap();
//! ```
//!
//! # What a record is, and what a value
//!
//! [`Located<T>`] makes a record of any `T` of fixed size: an integer, `[u8; N]`, a tuple of up to six such, or a type of
//! your own with [`FixedSize`], [`Encode`] and [`Decode`]. A value is `Vec<u8>`, `Bytes`, `String`, `[u8; N]`, or
//! your own [`Value`]. Both are looked up by section and position: `append` answers the position, and entries of a section
//! are numbered from 0.
//!
//! | to | call |
//! |---|---|
//! | put in | [`append`](Oversized::append), [`append_all`](Oversized::append_all), [`append_at`](Oversized::append_at) |
//! | make durable | [`sync`](RawOversized::sync), [`sync_all`](RawOversized::sync_all), [`wait_durable`](RawOversized::wait_durable) |
//! | look up | [`get`](Oversized::get), [`read`](Oversized::read), [`read_many`](Oversized::read_many), [`partition_point`](Oversized::partition_point) |
//! | go through | [`replay`](Oversized::replay), [`replay_values`](Oversized::replay_values), [`tail`](Oversized::tail) |
//! | take away | [`prune`](RawOversized::prune), [`rewind`](RawOversized::rewind), [`remove_section`](RawOversized::remove_section), [`destroy`](RawOversized::destroy) |
//! | look after | [`recovery`](RawOversized::recovery), [`verify`](RawOversized::verify), [`reopen_section`](RawOversized::reopen_section), [`metrics`](RawOversized::metrics), [`close`](RawOversized::close) |
//!
//! Futures run on any executor. Every method says what happens when its future is dropped.
//!
//! [`FixedSize`]: blob_runtime::codec::FixedSize
//! [`Encode`]: blob_runtime::codec::Encode
//! [`Decode`]: blob_runtime::codec::Decode
//! [`Value`]: blob_runtime::codec::Value
//!
//! # Reading order
//!
//! `commit` has the whole order of durable writes in one place, and `recover` what an open does after a crash.
//! [`RawOversized`] keeps pairs of bytes; [`Oversized`] gives them types. What is promised, and why it holds, is in
//! `docs/crash-safety.md`.

mod bell;
mod budget;
mod commit;
mod config;
mod driver;
mod error;
mod index;
mod journal;
mod metrics;
mod raw;
mod record;
mod recover;
mod replay;
mod report;
mod section;
mod tail;
mod verify;

pub use blob_runtime::append::Spares;
pub use blob_runtime::segmented::{OnDamage, Opening};
pub use budget::BufferBudget;
pub use config::Config;
pub use error::Error;
pub use glob::recover::Case;
pub use glob::{Appended, Compression, Location, Packed, Packer};
pub use journal::Oversized;
pub use metrics::Metrics;
pub use paged_cache::{CacheStats, PageCache};
pub use raw::{RawOversized, RecordFn};
pub use record::{Entry, Locate, Located, Record, last_bytes};
pub use replay::{RawReplay, RawReplayValues, Replay, ReplayValues, WithValue};
pub use report::{IndexCase, RecoveryReport, SectionReport};
pub use tail::{RawTail, Tail, Until};
pub use verify::{Finding, Verify};
pub use {blob_runtime, bytes};

/// The program in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
