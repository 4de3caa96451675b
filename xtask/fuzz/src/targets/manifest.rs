//! The two slots of a manifest: found, settled on, changed, found again.

use std::sync::Arc;

use blob_runtime::manifest::{self, Finding, Manifest, NAME, SLOT_BYTES, State};
use blob_runtime::{Blob, Error, Format, Kind, MemoryStorage, Salt, Storage, StoreId, Want};
use bytes::Bytes;
use futures::executor::block_on;

use crate::input::{Input, expand};
use crate::reseal;

const PARTITION: &str = "fuzz-values";
pub(crate) const STORE: StoreId = StoreId(5);

pub(crate) fn format() -> Format {
    Format::new(Kind::MANIFEST, Want::Exactly(STORE)).salt(Salt(6))
}

/// `flags u8 │ the blob, without its zeros`. Bit 0: checksums are made anew.
///
/// # Panics
/// When a promise is broken.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let flags = input.u8();
    let mut bytes = expand(&mut input, 2 * SLOT_BYTES + 64);
    if flags & 1 != 0 {
        reseal::slots(&mut bytes, format().header(Salt(6)).binding(NAME));
    }
    if let Err(error) = block_on(look(bytes)) {
        let told = matches!(error, Error::Corrupt { .. } | Error::FormatMismatch { .. });
        assert!(told, "P12: a manifest answers {error}");
    }
}

async fn look(bytes: Vec<u8>) -> Result<(), Error> {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
    let blob: Arc<dyn Blob> = storage.open(PARTITION, NAME, &format()).await?;
    blob.write_at(0, vec![Bytes::from(bytes)]).await?;
    blob.sync().await?;
    drop(blob);
    let looked = manifest::look(&storage, PARTITION).await;
    let manifest = match manifest::find(&storage, PARTITION).await? {
        Finding::Missing => panic!("a manifest that is there is missing"),
        Finding::Damaged(damaged) => {
            assert!(!matches!(looked, Ok(Finding::Found(_))), "who only looks finds another");
            let fresh = State { pruned_to: 3, ..State::default() };
            let made = damaged.replace(STORE, fresh.clone()).await?;
            assert_eq!(made.state(), fresh, "P6: another state than was set");
            made
        }
        Finding::Found(found) => {
            let state = found.state().clone();
            let same = matches!(&looked, Ok(Finding::Found(other)) if other.state() == &state);
            assert!(same, "who only looks finds another");
            let settled = found.settle().await?;
            assert_eq!(settled.state(), state, "P6: settling changes the state");
            settled
        }
    };
    change(&storage, &manifest).await
}

async fn change(storage: &Arc<dyn Storage>, manifest: &Manifest) -> Result<(), Error> {
    for text in ["changed", "again"] {
        manifest.update(|state| state.user = Bytes::from_static(text.as_bytes())).await?;
    }
    let wanted = manifest.state();
    match manifest::find(storage, PARTITION).await? {
        Finding::Found(found) => assert_eq!(found.state(), &wanted, "P6: a change is undone"),
        other => panic!("P6: after a change there is {other:?}"),
    }
    Ok(())
}
