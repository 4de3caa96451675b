//! Files changed behind the journal's back, with both settings of `on_damage`.

use std::sync::Arc;

use blob_runtime::{Blob, Format, Kind, MemoryStorage, Storage, StoreId, Want};
use bytes::Bytes;
use fixed_journal::{Config, Error, Journal, OnDamage, Reason};
use futures::executor::block_on;

fn config() -> Config {
    Config::new("items").page_bytes(64)
}

/// 100 items of 8 bytes in section 1, 64 bytes a page, so 20 full pages; then changed by `harm`.
async fn harmed(closed: bool, harm: impl AsyncFnOnce(Arc<dyn Blob>)) -> Arc<dyn Storage> {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
    let journal = Journal::<u64>::open(Arc::clone(&storage), config()).await.unwrap();
    for number in 0..100 {
        journal.append(1, &number).await.unwrap();
        if number % 10 == 0 {
            journal.sync(1).await.unwrap();
        }
    }
    journal.sync(1).await.unwrap();
    if closed {
        journal.close().await.unwrap();
    }
    drop(journal);
    let format = Format::new(Kind::PAGED, Want::Default(StoreId(0))).unit(Want::Default(64));
    harm(storage.open("items", &1_u64.to_be_bytes(), &format).await.unwrap()).await;
    storage
}

async fn content(storage: &Arc<dyn Storage>) -> Bytes {
    let format = Format::new(Kind::PAGED, Want::Default(StoreId(0)));
    let blob = storage.open("items", &1_u64.to_be_bytes(), &format).await.unwrap();
    blob.read_at(0, usize::try_from(blob.len()).unwrap()).await.unwrap()
}

async fn flip(blob: &Arc<dyn Blob>, at: u64) {
    let byte = blob.read_at(at, 1).await.unwrap()[0] ^ 1;
    blob.write_at(at, vec![vec![byte].into()]).await.unwrap();
}

/// Bit rot in the last page of a journal that was closed in order: the reference takes it for a torn tail and drops
/// acknowledged items (its defect 7). Here it is refused and nothing is changed; or the valid prefix is kept, and the
/// rest is moved to quarantine first.
#[test]
fn rot_in_the_last_page_after_a_close() {
    block_on(async {
        let harm = async |blob: Arc<dyn Blob>| flip(&blob, 19 * 64 + 3).await;
        let storage = harmed(true, harm).await;
        let before = content(&storage).await;
        let journal = Journal::<u64>::open(Arc::clone(&storage), config()).await.unwrap();
        let error = journal.len(1).await.unwrap_err();
        assert!(
            matches!(error.storage(), Some(blob_runtime::Error::Corrupt { offset, .. }) if *offset == 19 * 64),
            "{error:?}"
        );
        assert!(
            journal
                .append(1, &0)
                .await
                .is_err_and(|error| matches!(error.storage(), Some(blob_runtime::Error::Corrupt { .. })))
        );
        journal.close().await.unwrap();
        assert_eq!(content(&storage).await, before, "nothing was changed");

        let reader = Journal::<u64>::open(Arc::clone(&storage), config().read_only(true)).await.unwrap();
        assert_eq!(
            (reader.len(1).await.unwrap(), reader.get(1, 94).await.unwrap()),
            (95, 94),
            "all that is sound is read"
        );

        let config = config().on_damage(OnDamage::Truncate);
        let journal = Journal::<u64>::open(Arc::clone(&storage), config).await.unwrap();
        assert_eq!(journal.len(1).await.unwrap(), 95);
        assert_eq!(journal.append(1, &7).await.unwrap(), 95);
        journal.close().await.unwrap();
        let kept = storage.scan("items-quarantine").await.unwrap();
        assert_eq!(kept.len(), 2, "the bytes and a note");
    });
}

/// A page below the floor rots: the open does not cut there, whoever reads it is told, and all others are read.
#[test]
fn rot_below_the_floor_is_told_and_not_cut() {
    block_on(async {
        let storage = harmed(false, async |blob: Arc<dyn Blob>| flip(&blob, 2 * 64).await).await;
        let journal = Journal::<u64>::open(Arc::clone(&storage), config()).await.unwrap();
        assert_eq!(journal.len(1).await.unwrap(), 100);
        let error = journal.get(1, 12).await.unwrap_err();
        assert!(
            matches!(error, Error::Pages(paged_cache::Error::ChecksumMismatch { page: 2, offset: 128, .. })),
            "{error:?}"
        );
        assert_eq!((journal.get(1, 9).await.unwrap(), journal.get(1, 15).await.unwrap()), (9, 15));
    });
}

/// The file is cut at every length, after a close: damage every time. After a crash what is left is a prefix, and the
/// next append goes on at the right position.
#[test]
fn a_file_cut_at_every_length() {
    block_on(async {
        for len in 0..20 * 64 {
            let storage = harmed(true, async |blob: Arc<dyn Blob>| blob.resize(len).await.unwrap()).await;
            let journal = Journal::<u64>::open(Arc::clone(&storage), config()).await.unwrap();
            let error = journal.len(1).await.map(drop);
            if len % 64 == 0 && len > 0 {
                // Whole pages, the last one full: nothing in the file tells that there were more.
                assert_eq!(journal.len(1).await.unwrap(), len / 64 * 5);
                continue;
            }
            if len > 0 {
                assert!(
                    matches!(
                        error.as_ref().map_err(|error| error.storage()),
                        Err(Some(blob_runtime::Error::Corrupt { .. }))
                    ),
                    "{len}: {error:?}"
                );
            }
            let storage = harmed(false, async |blob: Arc<dyn Blob>| blob.resize(len).await.unwrap()).await;
            let journal = Journal::<u64>::open(Arc::clone(&storage), config()).await.unwrap();
            assert_eq!(journal.len(1).await.unwrap(), len / 64 * 5);
            if len % 64 != 0 {
                let recovery = &journal.recovery().sections[0];
                assert!(matches!(recovery.reason, Reason::TornTail(_)), "{recovery:?}");
                assert_eq!((recovery.items, recovery.dropped_bytes), (len / 64 * 5, len % 64));
            }
            assert_eq!(journal.append(1, &7).await.unwrap(), len / 64 * 5);
        }
    });
}

/// Garbage behind the last page is dropped, made zeros first, and told.
#[test]
fn garbage_behind_the_end() {
    block_on(async {
        let garbage = async |blob: Arc<dyn Blob>| {
            let len = blob.len();
            blob.write_at(len, vec![vec![0xa5; 1000].into()]).await.unwrap();
        };
        let storage = harmed(false, garbage).await;
        let journal = Journal::<u64>::open(Arc::clone(&storage), config()).await.unwrap();
        assert_eq!(journal.len(1).await.unwrap(), 100);
        assert_eq!(journal.recovery().sections[0].dropped_bytes, 1000);
        journal.close().await.unwrap();
        let journal = Journal::<u64>::open(Arc::clone(&storage), config()).await.unwrap();
        assert!(journal.recovery().opening.clean && journal.recovery().sections.is_empty());
        assert_eq!(journal.last(1).await.unwrap(), Some(99));
    });
}

/// Sections and no manifest, or one with two bad slots: damage, never a journal that is new.
#[test]
fn a_manifest_that_is_gone() {
    block_on(async {
        for remove in [true, false] {
            let storage = harmed(true, async |_| {}).await;
            if remove {
                storage.remove("items", &[b"meta".to_vec()]).await.unwrap();
            } else {
                let format = Format::new(Kind::MANIFEST, Want::Default(StoreId(0)));
                let meta = storage.open("items", b"meta", &format).await.unwrap();
                flip(&meta, 9).await;
                flip(&meta, 4096 + 9).await;
            }
            let error = Journal::<u64>::open(Arc::clone(&storage), config()).await.unwrap_err();
            assert!(matches!(error.storage(), Some(blob_runtime::Error::Corrupt { .. })), "{error:?}");
            let config = config().on_damage(OnDamage::Truncate);
            let journal = Journal::<u64>::open(Arc::clone(&storage), config).await.unwrap();
            assert_eq!(journal.len(1).await.unwrap(), 100, "rebuilt, with the store the sections say");
        }
    });
}
