//! The API in one walk: a block store on real files that appends with one sync a commit, reads, follows, rewinds after a
//! fork, prunes, and is opened again.
//!
//! ```sh
//! cargo run --example block_store
//! ```

use std::sync::Arc;

use blob_runtime::FileStorage;
use futures::executor::block_on;
use futures::{StreamExt, TryStreamExt};
use oversized::{Compression, Config, Error, Located, Oversized, Until};

/// Height and hash; the store adds where the block is.
type Header = Located<(u64, [u8; 32])>;
type Blocks = Oversized<Header, Vec<u8>>;

/// A section is an epoch of 100 blocks.
const EPOCH: u64 = 100;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = tempfile::tempdir()?;
    let config = || Config::new("blocks").ordered(true).compression(Compression::Zstd { level: 3 });
    block_on(async {
        let blocks = Blocks::open(Arc::new(FileStorage::open(root.path())?), config()).await?;
        // Whoever follows sees each block when it is durable.
        let mut durable = blocks.tail(0, 0, Until::Durable);
        for height in 0..350_u64 {
            let section = height / EPOCH;
            blocks.append(section, Header::new((height, hash(height))), &block(height)).await?;
            blocks.sync(section).await?;
            assert_eq!(durable.try_next().await?.map(|entry| entry.record.data.0), Some(height));
        }
        drop(durable);

        // By position: the header alone, or both. By height: a binary search.
        let header = blocks.get(2, 17).await?;
        let (again, body) = blocks.read(2, 17).await?;
        assert_eq!((header, &body), (again, &block(217)));
        let found = blocks.partition_point(2, |header| header.data.0 < 250).await?;
        println!("block 217 has {} bytes; block 250 is entry {found} of section 2", body.len());

        // A batch is recovered whole or not at all; a position that is taken refuses.
        let fork = (350..353).map(|height| (Header::new((height, hash(height + 1000))), block(height)));
        blocks.append_all(3, fork).await?;
        let taken = blocks.append_at(3, 52, Header::new((352, hash(352))), &block(352)).await;
        assert!(matches!(taken, Err(Error::PositionMismatch { expected: 52, found: 53, .. })));
        // The fork lost: back to block 320, atomically. The first epoch is not needed any more. A word for later.
        blocks.rewind(3, 21).await?;
        blocks.prune(1).await?;
        blocks.set_state("finalized: 320".into()).await?;
        blocks.close().await?;
        drop(blocks);

        let blocks = Blocks::open(Arc::new(FileStorage::open(root.path())?), config()).await?;
        let heights: Vec<u64> = blocks.replay(1, 0).map_ok(|entry| entry.record.data.0).try_collect().await?;
        assert_eq!(heights, (100..=320).collect::<Vec<_>>());
        assert_eq!(blocks.verify(..).count().await, 0);
        println!("opened again: sections {:?}, {} blocks, {:?}", blocks.sections(), heights.len(), blocks.state());
        blocks.destroy().await?;
        Ok(())
    })
}

/// Stands for a hash.
fn hash(height: u64) -> [u8; 32] {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&height.to_be_bytes());
    hash
}

fn block(height: u64) -> Vec<u8> {
    format!("block {height}, ").repeat(50).into_bytes()
}
