//! A journal of block heights and hashes, a section for every 1,000: appended, looked up, rewound after a fork, pruned.
//!
//! `cargo run --release --example heights [directory]`; without one a temporary directory is used.

use std::error::Error;
use std::sync::Arc;

use blob_runtime::FileStorage;
use fixed_journal::{Config, Item, Journal};
use futures::TryStreamExt;
use futures::executor::block_on;

/// A height and a hash.
type Block = (u64, [u8; 32]);

fn main() -> Result<(), Box<dyn Error>> {
    let temporary = tempfile::tempdir()?;
    let root = std::env::args_os().nth(1).map_or_else(|| temporary.path().to_owned(), Into::into);
    block_on(async {
        let storage = Arc::new(FileStorage::open(&root)?);
        let journal = Journal::<Block>::open(storage, Config::new("heights")).await?;
        println!("opened: {:?}", journal.recovery().opening);
        let next = match journal.newest_section() {
            Some(section) => section * 1_000 + journal.len(section).await?,
            None => 0,
        };
        for height in next..next + 4_500 {
            journal.append(height / 1_000, &(height, [7; 32])).await?;
        }
        journal.sync_all().await?;
        println!("sections {:?}", journal.sections());

        // A fork: everything from the 200th item of the newest section on goes, atomically.
        let newest = journal.newest_section().unwrap_or(0);
        journal.rewind(newest, 200).await?;
        println!("last after the rewind: {:?}", journal.last(newest).await?.map(|block| block.0));
        journal.prune(newest.saturating_sub(2)).await?;
        let left: Vec<Item<Block>> = journal.replay(0, 0).try_collect().await?;
        println!("{} blocks are left, from height {:?} on", left.len(), left.first().map(|first| first.item.0));
        journal.close().await?;
        Ok(())
    })
}
