//! An append-only stream of bytes, cut into checksummed pages, read through a shared page cache.
//!
//! ```text
//!  append ──▶ tail ──▶ planner (flush) ──▶ pages ──▶ blob ──▶ sync
//!                      full pages any time, the last one only with a sync,
//!                      beside the slot that is durable
//!  read   ──▶ tail, or the page that is not full ──▶ cache ──▶ blob, verified
//!  replay ──▶ 256 KiB of pages at a time, verified, past the cache
//!  open   ──▶ survey: last valid page ──▶ its floor ──▶ verify forward ──▶ carry out
//! ```
//!
//! Every page ends with two slots of 12 bytes that say how much of it counts, each with a checksum that knows its store,
//! its blob and its page number. A page that grows is written again beside the slot that is durable, so that a torn
//! write leaves what was acknowledged. See [`Paged`] and [`Survey`].
//!
//! ```
//! use blob_runtime::append::Config;
//! use blob_runtime::{Format, Kind, MemoryStorage, Storage, StoreId, Want};
//! use paged_cache::{PageCache, Paged, Survey};
//!
//! # futures::executor::block_on(async {
//! let storage = MemoryStorage::new();
//! let format = Format::new(Kind::PAGED, Want::Exactly(StoreId(1))).unit(Want::Default(4096));
//! let blob = storage.open("stream", b"0", &format).await?;
//! let cache = PageCache::default();
//! let survey = Survey::new(blob, None).await?.carry_out(u64::MAX).await?;
//! let len = survey.len();
//! let paged = Paged::new(survey, len, &cache, Config::default());
//! paged.append(5, |_, space| space.put(b"hello")).await?;
//! paged.sync().await?;
//! assert_eq!(&paged.read_at(1, 3).await?[..], b"ell");
//! # Ok::<_, paged_cache::Error>(()) }).unwrap();
//! ```

mod cache;
mod error;
mod flush;
mod geometry;
mod page;
mod physical;
mod recover;
mod replay;
mod seal;
mod shorten;
mod writer;

pub use cache::{CacheStats, PageCache};
pub use error::Error;
pub use geometry::{DEFAULT_PAGE_BYTES, Geometry, MAX_PAGE_BYTES, MIN_PAGE_BYTES, Place};
pub use recover::{Ended, Judge, Survey};
pub use replay::Replay;
pub use writer::Paged;
