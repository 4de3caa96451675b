//! Two values in files, made durable, read back by place and in order.
//!
//! `cargo run -p glob --example blocks [directory]`; without one a temporary directory is used. What it leaves in an
//! empty directory is explained byte by byte in `docs/format.md`.

use std::error::Error;
use std::sync::Arc;

use blob_runtime::FileStorage;
use futures::TryStreamExt;
use futures::executor::block_on;
use glob::{Config, Cursor, Glob};

fn main() -> Result<(), Box<dyn Error>> {
    let temporary = tempfile::tempdir()?;
    let root = std::env::args_os().nth(1).map_or_else(|| temporary.path().to_owned(), Into::into);
    block_on(async {
        let storage = Arc::new(FileStorage::open(&root)?);
        let glob = Glob::<String>::open(storage, Config::new("blocks")).await?;
        glob.append(7, &"a small block".to_owned()).await?;
        glob.sync(7).await?;
        let location = glob.append(7, &"the next".to_owned()).await?;
        glob.sync(7).await?;
        println!("{location} of section 7: {:?}", glob.get(7, location).await?);

        let all: Vec<_> = glob.scan(7, Cursor::START).try_collect().await?;
        println!("{} values in section 7", all.len());
        glob.close().await?;
        Ok(())
    })
}
