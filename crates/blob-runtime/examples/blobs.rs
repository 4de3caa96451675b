//! The lowest layer alone: a named blob in a directory, written, synced, and read back after a reopen.
//!
//! `cargo run --release --example blobs [directory]`; without one a temporary directory is used.

use std::error::Error;

use blob_runtime::{FileStorage, Format, Kind, Storage, StoreId, Want};
use bytes::Bytes;
use futures::executor::block_on;

fn main() -> Result<(), Box<dyn Error>> {
    let temporary = tempfile::tempdir()?;
    let root = std::env::args_os().nth(1).map_or_else(|| temporary.path().to_owned(), Into::into);
    block_on(async {
        let storage = FileStorage::open(&root)?;
        let claim = storage.claim("greetings").await?;
        let format = Format::new(Kind::USER, Want::Default(StoreId(storage.random()?)));
        let blob = storage.open("greetings", b"hello", &format).await?;
        blob.resize(0).await?;
        blob.write_at_sync(0, vec![Bytes::from("hello, "), Bytes::from("disk")]).await?;
        println!("wrote {} durable bytes of {}", blob.len(), blob.id());
        drop((blob, claim, storage));

        // As after a restart: what was synced is there.
        let storage = FileStorage::open(&root)?;
        for name in storage.scan("greetings").await? {
            let blob = storage.open("greetings", &name, &format.clone().existing()).await?;
            let text = blob.read_at(0, usize::try_from(blob.len())?).await?;
            println!("{}: {}", blob.id(), String::from_utf8_lossy(&text));
        }
        Ok(())
    })
}
