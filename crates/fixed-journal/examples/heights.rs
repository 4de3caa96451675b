//! Three items in files, made durable, read back.
//!
//! `cargo run -p fixed-journal --example heights [directory]`; without one a temporary directory is used. What it leaves
//! in an empty directory is explained byte by byte in `docs/format.md`.

use std::error::Error;
use std::sync::Arc;

use blob_runtime::FileStorage;
use fixed_journal::{Config, Journal};
use futures::TryStreamExt;
use futures::executor::block_on;

/// Height, and time in seconds.
type Block = (u64, u64);

fn main() -> Result<(), Box<dyn Error>> {
    let temporary = tempfile::tempdir()?;
    let root = std::env::args_os().nth(1).map_or_else(|| temporary.path().to_owned(), Into::into);
    block_on(async {
        let storage = Arc::new(FileStorage::open(&root)?);
        let journal = Journal::<Block>::open(storage, Config::new("heights")).await?;
        journal.append_all(7, &[(100, 1_700_000_000), (101, 1_700_000_012)]).await?;
        journal.sync(7).await?;
        let position = journal.append(7, &(102, 1_700_000_024)).await?;
        journal.sync(7).await?;
        println!("item {position} of section 7: {:?}", journal.get(7, position).await?);

        let all: Vec<_> = journal.replay(0, 0).try_collect().await?;
        println!("{} items in sections {:?}", all.len(), journal.sections());
        journal.close().await?;
        Ok(())
    })
}
