//! The simulated machine, by what its users can see: storage, crashes, faults, determinism.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod bugs;
mod crash;
mod determinism;
mod faults;
mod model;
mod names;
mod order;
mod raw;
mod tasks;

use std::sync::Arc;

use blob_runtime::sim::{Crash, Cut, Sim};
use blob_runtime::{Blob, Format, Kind, Storage, StoreId, Want};
use bytes::Bytes;

const P: &str = "p";
const A: &[u8] = b"a";
const LOSE_ALL: Crash = Crash::Power(Cut::LoseAll);
const HEADER: usize = blob_runtime::HEADER_BYTES;

fn format() -> Format {
    Format::new(Kind::USER, Want::Exactly(StoreId(1)))
}

fn bytes(bytes: &'static [u8]) -> Vec<Bytes> {
    vec![Bytes::from_static(bytes)]
}

async fn open(sim: &Sim, name: &[u8]) -> Arc<dyn Blob> {
    sim.storage().open(P, name, &format()).await.unwrap()
}

/// A blob that is on the disk with these bytes, header and name.
async fn durable(sim: &Sim, name: &[u8], content: &'static [u8]) -> Arc<dyn Blob> {
    let blob = open(sim, name).await;
    blob.write_at_sync(0, bytes(content)).await.unwrap();
    blob
}

async fn content(blob: &Arc<dyn Blob>) -> Bytes {
    blob.read_at(0, usize::try_from(blob.len()).unwrap()).await.unwrap()
}

/// What the next life finds under a name; `None` when the name is gone.
async fn found(sim: &Sim, name: &[u8]) -> Option<Bytes> {
    match sim.storage().open(P, name, &format().existing()).await {
        Ok(blob) => Some(content(&blob).await),
        Err(blob_runtime::Error::NotFound { .. }) => None,
        Err(other) => panic!("{other:?}"),
    }
}
