//! Four entries in files: one alone, a batch of two, and one whose value is compressed.
//!
//! `cargo run -p oversized --example pairs [directory]`; without one a temporary directory is used. What it leaves in an
//! empty directory is explained byte by byte in `docs/format.md`.

use std::error::Error;
use std::sync::Arc;

use blob_runtime::FileStorage;
use futures::TryStreamExt;
use futures::executor::block_on;
use oversized::{Compression, Config, Located, Oversized};

/// A height, and where its block is.
type Block = Located<u64>;

fn main() -> Result<(), Box<dyn Error>> {
    let temporary = tempfile::tempdir()?;
    let root = std::env::args_os().nth(1).map_or_else(|| temporary.path().to_owned(), Into::into);
    block_on(async {
        let storage = Arc::new(FileStorage::open(&root)?);
        // Pages of 64 bytes, so that four records are worth an index.
        let config = Config::new("pairs").page_bytes(64).compression(Compression::Zstd { level: 3 });
        let pairs = Oversized::<Block, String>::open(storage, config).await?;

        pairs.append(7, Block::new(100), &"genesis".to_owned()).await?;
        pairs.sync(7).await?;
        let batch = [(Block::new(101), "left".to_owned()), (Block::new(102), "right".to_owned())];
        pairs.append_all(7, batch).await?;
        let last = pairs.append(7, Block::new(103), &"ab".repeat(100)).await?;
        pairs.sync(7).await?;
        println!("{} of section 7: {}", last.position, last.location);

        let all: Vec<_> = pairs.replay_values(0, 0).try_collect().await?;
        println!("{} entries in section 7, {:?} first", all.len(), all.first().map(|first| &first.value));
        pairs.close().await?;
        Ok(())
    })
}
