//! A glob of blocks on real files: appended with one sync a commit, read by location, scanned, rewound after a fork,
//! pruned, and opened again.
//!
//! ```sh
//! cargo run --example values
//! ```

use std::sync::Arc;

use blob_runtime::file::FileStorage;
use futures::TryStreamExt;
use futures::executor::block_on;
use glob::{Compression, Config, Cursor, Glob};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = tempfile::tempdir()?;
    let config = || Config::new("blocks").compression(Compression::Zstd { level: 3 });
    block_on(async {
        let glob = Glob::<String>::open(Arc::new(FileStorage::open(root.path())?), config()).await?;
        for height in 0..300_u64 {
            // A section is an epoch of 100 blocks.
            let location = glob.append(height / 100, &format!("block {height}, ").repeat(50)).await?;
            glob.sync(height / 100).await?;
            if height == 150 {
                println!("block 150 is {location} of section 1, of {} bytes", glob.get(1, location).await?.len());
            }
        }

        // A batch is recovered whole or not at all.
        let fork = ["fork a".to_owned(), "fork b".to_owned()];
        let appended = glob.append_batch(3, &fork).await?;
        println!("the fork begins at item {} of section 3", appended[0].position);
        // The fork lost: everything behind block 250 goes, atomically and durably.
        glob.rewind(2, 51).await?;
        // The first epoch is no longer needed.
        glob.prune(1).await?;
        glob.close().await?;
        drop(glob);

        let glob = Glob::<String>::open(Arc::new(FileStorage::open(root.path())?), config()).await?;
        for section in glob.sections() {
            let blocks: Vec<_> = glob.scan(section, Cursor::START).try_collect().await?;
            let bytes = glob.bytes(section).await?;
            println!(
                "section {section}: {} blocks in {bytes} bytes, clean: {}",
                blocks.len(),
                glob.recovery().opening.clean
            );
        }
        assert_eq!(glob.sections(), [1, 2]);
        glob.destroy().await?;
        Ok(())
    })
}
