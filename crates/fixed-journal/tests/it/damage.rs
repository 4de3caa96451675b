//! Files changed behind the journal's back, with both settings of `on_damage`.

use std::sync::Arc;

use blob_runtime::sim;
use blob_runtime::{Blob, Format, Kind, MemoryStorage, Salt, Storage, StoreId, Want};
use bytes::Bytes;
use fixed_journal::{Config, Error, Journal, OnDamage, RawJournal, Reason};
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
            matches!(error.pages(), Some(paged_cache::Error::ChecksumMismatch { page: 2, offset: 128, .. })),
            "{error:?}"
        );
        assert_eq!((journal.get(1, 9).await.unwrap(), journal.get(1, 15).await.unwrap()), (9, 15));
    });
}

/// The file is cut at every length, after a close: damage every time, but where no page is left. After a crash what is left
/// is a prefix, and the next append goes on at the right position.
#[test]
fn a_file_cut_at_every_length() {
    block_on(async {
        for len in 0..20 * 64 {
            let storage = harmed(true, async |blob: Arc<dyn Blob>| blob.resize(len).await.unwrap()).await;
            let journal = Journal::<u64>::open(Arc::clone(&storage), config()).await.unwrap();
            let found = journal.len(1).await;
            if len == 0 {
                // A section without items looks the same.
                assert_eq!(found.unwrap(), 0);
            } else {
                let error = found.unwrap_err();
                assert!(matches!(error.storage(), Some(blob_runtime::Error::Corrupt { .. })), "{len}: {error:?}");
            }
            // Bytes that are missing count as zeros, and a checksum may end with some: with them a page is as it was.
            let mut read = len;
            let cut = async |blob: Arc<dyn Blob>| {
                let rest = usize::try_from(len.next_multiple_of(64) - len).unwrap();
                let rest = blob.read_at(len, rest).await.unwrap();
                read += rest.iter().take_while(|byte| **byte == 0).count() as u64;
                blob.resize(len).await.unwrap();
            };
            let storage = harmed(false, cut).await;
            let journal = Journal::<u64>::open(Arc::clone(&storage), config()).await.unwrap();
            // Every other page was synced with one item, in the first slot, before it was filled: when the second slot is
            // cut, that one counts. The others have one slot, and miss nothing but an empty one.
            let of_the_last = match (read % 64 >= 64 - 12, read / 64 % 2) {
                (false, _) => 0,
                (true, 0) => 1,
                (true, _) => 5,
            };
            let kept = read / 64 * 5 + of_the_last;
            assert_eq!(journal.len(1).await.unwrap(), kept, "{len}");
            if len % 64 != 0 && kept == len / 64 * 5 {
                let recovery = &journal.recovery().sections[0];
                assert!(matches!(recovery.reason, Reason::TornTail(_)), "{recovery:?}");
                assert_eq!((recovery.items, recovery.dropped_bytes), (kept, len % 64));
            }
            assert_eq!(journal.append(1, &7).await.unwrap(), kept);
        }
    });
}

/// Each byte of a section that was closed in order rots, one at a time: either the section is refused, or an item's read is,
/// or the byte was not used, and everything reads as it was. Never another item, and never fewer.
#[test]
fn each_byte_of_a_closed_section_rots() {
    block_on(async {
        let storage = harmed(true, async |_| {}).await;
        let format = Format::new(Kind::PAGED, Want::Default(StoreId(0)));
        let blob = storage.open("items", &1_u64.to_be_bytes(), &format).await.unwrap();
        let (mut refused, mut unread, mut unused) = (0, 0, 0);
        for at in 0..blob.len() {
            flip(&blob, at).await;
            let journal = Journal::<u64>::open(Arc::clone(&storage), config()).await.unwrap();
            match journal.len(1).await {
                Ok(len) => {
                    assert_eq!(len, 100, "byte {at}");
                    let mut errors = 0;
                    for position in 0..100 {
                        match journal.get(1, position).await {
                            Ok(item) => assert_eq!(item, position, "byte {at}"),
                            Err(error) => match error.pages() {
                                Some(paged_cache::Error::ChecksumMismatch { page, .. }) => {
                                    assert_eq!(*page, at / 64, "byte {at}");
                                    errors += 1;
                                }
                                _ => panic!("byte {at}: {error:?}"),
                            },
                        }
                    }
                    if errors > 0 {
                        unread += 1
                    } else {
                        unused += 1
                    }
                    // Of a page that is full nothing is unused but one slot.
                    assert!(errors > 0 || at % 64 >= 40, "byte {at} of page {} is not covered", at / 64);
                }
                Err(error) => {
                    let corrupt = matches!(error.storage(), Some(blob_runtime::Error::Corrupt { .. }));
                    assert!(corrupt && at >= 19 * 64, "byte {at}: {error:?}");
                    refused += 1;
                }
            }
            journal.close().await.unwrap();
            flip(&blob, at).await;
        }
        // The whole last page; of the others all but a slot.
        assert_eq!((refused, unread + unused), (64, 19 * 64));
        assert!(unused <= 19 * 12, "{unused}");
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

/// A journal that is only looked at was not closed in order, and ends in a torn tail. Its close is Ok, and changes no byte.
#[test]
fn a_reader_closes_a_torn_journal() {
    block_on(async {
        let storage = harmed(false, async |blob: Arc<dyn Blob>| blob.resize(19 * 64 + 7).await.unwrap()).await;
        let before = content(&storage).await;
        let reader = Journal::<u64>::open(Arc::clone(&storage), config().read_only(true)).await.unwrap();
        assert_eq!((reader.len(1).await.unwrap(), reader.get(1, 94).await.unwrap()), (95, 94));
        reader.close().await.unwrap();
        assert!(matches!(reader.len(1).await, Err(Error::Closed)));
        assert_eq!(content(&storage).await, before);
    });
}

/// A creation was cut short and has left a second file for a section's name. A reader of storage that may be written shows
/// the one with items, and removes nothing.
#[test]
fn a_reader_leaves_the_remnant_of_a_section() {
    sim::run(1, async |sim| {
        let journal = Journal::<u64>::open(sim.storage(), config()).await.unwrap();
        journal.append(1, &7).await.unwrap();
        journal.sync(1).await.unwrap();
        drop(journal);
        assert!(sim.disk().put("items", &1_u64.to_be_bytes(), Salt(1), Vec::new()));
        let files = sim.disk().files().len();
        let reader = Journal::<u64>::open(sim.storage(), config().read_only(true)).await.unwrap();
        assert_eq!(reader.last(1).await.unwrap(), Some(7));
        assert_eq!(sim.disk().files().len(), files);
        drop(reader);
        let journal = Journal::<u64>::open(sim.storage(), config()).await.unwrap();
        assert_eq!(journal.last(1).await.unwrap(), Some(7));
        assert_eq!(sim.disk().files().len(), files - 1, "a writer does");
    });
}

/// A journal that was not closed in order is only looked at: what its last sync wrote is shown, but nothing proves that it
/// is durable, and a reader makes nothing so.
#[test]
fn a_reader_takes_for_durable_only_what_is_proven() {
    block_on(async {
        let storage = harmed(false, async |_: Arc<dyn Blob>| {}).await;
        let reader = RawJournal::open(Arc::clone(&storage), config().read_only(true), None).await.unwrap();
        // The last page was written when the first 18, with 5 items each, were durable.
        assert_eq!((reader.len(1).await.unwrap(), reader.durable_len(1).await.unwrap()), (100, 90));
    });
}

/// The header of a section rots, and the journal is opened with another page size than it was written with. The pages say
/// which it was.
#[test]
fn the_page_size_of_a_lost_header_is_found() {
    sim::run(1, async |sim| {
        let journal = Journal::<u64>::open(sim.storage(), config()).await.unwrap();
        for number in 0..100 {
            journal.append(1, &number).await.unwrap();
        }
        journal.sync(1).await.unwrap();
        drop(journal);
        assert!(sim.disk().edit("items", &1_u64.to_be_bytes(), |bytes| bytes[..64].fill(0xA5)));
        let journal = Journal::<u64>::open(sim.storage(), config().page_bytes(256)).await.unwrap();
        let [section] = &journal.recovery().sections[..] else { panic!("{:?}", journal.recovery()) };
        assert_eq!((section.section, section.items, section.reason), (1, 100, Reason::Header));
        assert_eq!((journal.len(1).await.unwrap(), journal.get(1, 99).await.unwrap()), (100, 99));
        assert_eq!(journal.append(1, &100).await.unwrap(), 100);
        journal.close().await.unwrap();
        let journal = Journal::<u64>::open(sim.storage(), config()).await.unwrap();
        assert_eq!((journal.len(1).await.unwrap(), journal.get(1, 100).await.unwrap()), (101, 100));
    });
}
