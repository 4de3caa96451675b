//! A stream of checksummed pages over one file: appended, made durable, read in place, and replayed after a restart.
//!
//! `cargo run --release --example stream [directory]`; without one a temporary directory is used.

use std::error::Error;

use blob_runtime::append::Config;
use blob_runtime::{FileStorage, Format, Kind, Storage, StoreId, Want};
use futures::executor::block_on;
use paged_cache::{PageCache, Paged, Survey};

fn main() -> Result<(), Box<dyn Error>> {
    let temporary = tempfile::tempdir()?;
    let root = std::env::args_os().nth(1).map_or_else(|| temporary.path().to_owned(), Into::into);
    block_on(async {
        for run in 1..=2 {
            let storage = FileStorage::open(&root)?;
            let claim = storage.claim("streams").await?;
            let format = Format::new(Kind::PAGED, Want::Default(StoreId(storage.random()?))).unit(Want::Default(4096));
            let blob = storage.open("streams", b"numbers", &format).await?;
            // Whatever the last run has left: made durable as it is shown, and torn ends cut off.
            let survey = Survey::new(blob, None).await?.carry_out(u64::MAX).await?;
            let len = survey.len();
            let paged = Paged::new(survey, len, &PageCache::default(), Config::default());
            println!("run {run}: {len} bytes, {} of them in full pages", paged.geometry().full_pages(len) * 4072);
            for number in 0..10_000_u64 {
                paged.append(8, |_, space| space.put(&number.to_be_bytes())).await?;
            }
            paged.sync().await?;
            let at = len + 8 * 4321;
            println!("at {at}: {:?}", paged.read_at(at, 8).await?.as_ref());
            let (mut replay, mut sum) = (paged.replay(0)?, 0_usize);
            while let Some(piece) = replay.next().await? {
                sum += piece.len();
            }
            println!("replayed {sum} bytes, {} durable", paged.durable());
            drop(claim);
        }
        Ok(())
    })
}
