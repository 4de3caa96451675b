//! The contract suite over the backends that are at hand.

use std::sync::Arc;

use blob_runtime::{MemoryStorage, Routed, Storage, contract};
use futures::executor::block_on;

/// Runs the suite with a plain closure; only what that cannot show may be skipped.
fn passes(fresh: impl Fn() -> Arc<dyn Storage> + Send + Sync) {
    let report = block_on(contract::run(fresh)).unwrap_or_else(|violation| panic!("{violation}"));
    println!("{report}");
}

#[test]
fn memory() {
    passes(|| Arc::new(MemoryStorage::new()));
}

#[test]
fn routed() {
    passes(|| Arc::new(Routed::new(Arc::new(MemoryStorage::new()))));
}
