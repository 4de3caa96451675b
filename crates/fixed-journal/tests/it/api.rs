//! What each call answers, and the errors it gives.

use std::sync::Arc;

use blob_runtime::{MemoryStorage, Storage};
use fixed_journal::{Config, Error, Item, Journal, RawJournal};
use futures::executor::block_on;
use futures::{FutureExt, StreamExt, TryStreamExt};

type Items = Journal<(u64, [u8; 5])>;

fn item(number: u64) -> (u64, [u8; 5]) {
    (number, [u8::try_from(number % 256).unwrap(); 5])
}

async fn open(storage: &Arc<dyn Storage>, config: Config) -> Items {
    Items::open(Arc::clone(storage), config).await.unwrap()
}

fn memory() -> Arc<dyn Storage> {
    Arc::new(MemoryStorage::new())
}

fn config() -> Config {
    Config::new("items").page_bytes(64)
}

async fn all(journal: &Items, section: u64, position: u64) -> Result<Vec<(u64, u64, u64)>, Error> {
    journal
        .replay(section, position)
        .map_ok(|Item { section, position, item }| (section, position, item.0))
        .try_collect()
        .await
}

/// Sparse sections from 0 to `u64::MAX`, appended in any order, read back in every way, over a reopen.
#[test]
fn sections_of_every_number() {
    block_on(async {
        let storage = memory();
        let sections = [0, 7, 1 << 40, u64::MAX - 1, u64::MAX];
        let journal = open(&storage, config()).await;
        assert!(journal.recovery().opening.created);
        for section in sections.iter().rev() {
            for number in 0..20 {
                assert_eq!(journal.append(*section, &item(number)).await.unwrap(), number);
            }
        }
        for round in 0..2 {
            let journal = if round == 0 { journal.clone() } else { open(&storage, config()).await };
            assert_eq!(journal.sections(), sections);
            assert_eq!((journal.oldest_section(), journal.newest_section()), (Some(0), Some(u64::MAX)));
            for section in sections {
                assert_eq!(journal.len(section).await.unwrap(), 20);
                assert_eq!(journal.bytes(section).await.unwrap(), 20 * 13);
                assert_eq!(journal.last(section).await.unwrap(), Some(item(19)));
                assert_eq!(journal.get_many(section, &[3, 0, 19]).await.unwrap(), [item(3), item(0), item(19)]);
                // The second time around it is in memory.
                assert_eq!(journal.get(section, 4).await.unwrap(), item(4));
            }
            let replayed = all(&journal, 7, 18).await.unwrap();
            let mut want = vec![(7, 18, 18), (7, 19, 19)];
            want.extend([1 << 40, u64::MAX - 1, u64::MAX].iter().flat_map(|s| (0..20).map(move |n| (*s, n, n))));
            assert_eq!(replayed, want);
            journal.sync_all().await.unwrap();
            journal.close().await.unwrap();
        }
    });
}

#[test]
fn errors_say_what_there_is() {
    block_on(async {
        let storage = memory();
        let journal = open(&storage, config()).await;
        journal.append(5, &item(0)).await.unwrap();
        let error = journal.get(5, 1).await.unwrap_err();
        assert!(matches!(error, Error::ItemOutOfRange { section: 5, position: 1, len: 1 }), "{error:?}");
        let error = journal.get(5, u64::MAX).await.unwrap_err();
        assert!(matches!(error, Error::ItemOutOfRange { position: u64::MAX, .. }), "{error:?}");
        for error in [
            journal.get(6, 0).await.map(drop).unwrap_err(),
            journal.sync(6).await.unwrap_err(),
            journal.len(6).await.map(drop).unwrap_err(),
            journal.last(6).await.map(drop).unwrap_err(),
            journal.rewind(6, 1).await.unwrap_err(),
            journal.rewind_section(6, 1).await.unwrap_err(),
        ] {
            assert!(matches!(error, Error::SectionOutOfRange { section: 6 }), "{error:?}");
        }
        let error = journal.rewind(5, 2).await.unwrap_err();
        assert!(matches!(error, Error::ItemOutOfRange { section: 5, position: 2, len: 1 }), "{error:?}");
        let error = journal.raw().append(5, &[1, 2]).await.unwrap_err();
        assert!(matches!(error, Error::ItemSize { expected: 13, found: 2 }), "{error:?}");
        let error = all(&journal, 5, 9).await.unwrap_err();
        assert!(matches!(error, Error::ItemOutOfRange { section: 5, position: 9, len: 1 }), "{error:?}");
        let error = journal.wait_durable(5, 2).await.unwrap_err();
        assert!(matches!(error, Error::ItemOutOfRange { position: 2, .. }), "{error:?}");
        assert_eq!(journal.last(5).await.unwrap(), Some(item(0)));
        let error = Journal::<[u8; 0]>::open(Arc::clone(&storage), config()).await.unwrap_err();
        assert!(matches!(error, Error::InvalidItemSize { item_bytes: 0 }), "{error:?}");
        let error = Items::open(memory(), Config::new("x").page_bytes(100)).await.unwrap_err();
        assert!(matches!(error.pages(), Some(paged_cache::Error::InvalidPageSize { page_bytes: 100 })), "{error:?}");
    });
}

/// A pruned section answers so to everything, also after the journal was opened anew (defect 22 of the reference).
#[test]
fn what_was_pruned_stays_pruned() {
    block_on(async {
        let storage = memory();
        let journal = open(&storage, config()).await;
        for section in 1..=4 {
            journal.append(section, &item(section)).await.unwrap();
        }
        assert!(journal.prune(3).await.unwrap());
        assert!(!journal.prune(2).await.unwrap());
        drop(journal);
        let journal = open(&storage, config()).await;
        assert!(!journal.prune(3).await.unwrap());
        assert_eq!(journal.sections(), [3, 4], "what was not synced is there all the same: memory is durable at once");
        for error in [
            journal.get(2, 0).await.map(drop).unwrap_err(),
            journal.append(2, &item(0)).await.map(drop).unwrap_err(),
            journal.last(2).await.map(drop).unwrap_err(),
            journal.len(2).await.map(drop).unwrap_err(),
            journal.rewind(2, 0).await.unwrap_err(),
            journal.try_get(2, 0).unwrap().map(drop).unwrap_err(),
        ] {
            assert!(matches!(error, Error::Pruned { section: 2, oldest: 3 }), "{error:?}");
        }
    });
}

/// A rewind to `u64::MAX` wraps around in the reference and removes everything (its defect 12).
#[test]
fn rewinds_of_every_kind() {
    block_on(async {
        let storage = memory();
        let journal = open(&storage, config()).await;
        for section in [1, 2, u64::MAX] {
            for number in 0..10 {
                journal.append(section, &item(number)).await.unwrap();
            }
        }
        journal.rewind(u64::MAX, 4).await.unwrap();
        assert_eq!(journal.sections(), [1, 2, u64::MAX]);
        assert_eq!(journal.len(u64::MAX).await.unwrap(), 4);
        journal.rewind_section(1, 3).await.unwrap();
        assert_eq!((journal.len(1).await.unwrap(), journal.len(2).await.unwrap()), (3, 10));
        assert_eq!(journal.append(1, &item(77)).await.unwrap(), 3);
        // A section that does not exist has no items; later ones go.
        journal.rewind(9, 0).await.unwrap();
        assert_eq!(journal.sections(), [1, 2]);
        journal.rewind_section(9, 0).await.unwrap();
        journal.rewind(2, 0).await.unwrap();
        assert_eq!(journal.last(2).await.unwrap(), None);
        assert_eq!(all(&journal, 0, 0).await.unwrap(), [(1, 0, 0), (1, 1, 1), (1, 2, 2), (1, 3, 77)]);
        journal.clear().await.unwrap();
        assert_eq!(journal.sections(), [] as [u64; 0]);
        assert_eq!(journal.append(1, &item(5)).await.unwrap(), 0);
        drop(journal);
        assert_eq!(
            all(&open(&storage, config()).await, 0, 0).await.unwrap(),
            [] as [(u64, u64, u64); 0],
            "not synced, and gone with the process"
        );
    });
}

#[test]
fn a_closed_journal_answers_closed_and_opens_clean() {
    block_on(async {
        let storage = memory();
        let journal = open(&storage, config()).await;
        journal.append(1, &item(5)).await.unwrap();
        let clone = journal.clone();
        journal.close().await.unwrap();
        journal.close().await.unwrap();
        for error in [
            clone.append(1, &item(0)).await.map(drop).unwrap_err(),
            clone.get(1, 0).await.map(drop).unwrap_err(),
            clone.sync_all().await.unwrap_err(),
            clone.prune(9).await.map(drop).unwrap_err(),
            clone.destroy().await.unwrap_err(),
        ] {
            assert!(matches!(error, Error::Closed), "{error:?}");
        }
        // The claim is free although `clone` lives on.
        let journal = open(&storage, config()).await;
        assert!(journal.recovery().opening.clean);
        assert_eq!(journal.get(1, 0).await.unwrap(), item(5));
        let error = Items::open(Arc::clone(&storage), config()).await.unwrap_err();
        assert!(matches!(error.storage(), Some(blob_runtime::Error::Locked { .. })), "{error:?}");
        journal.destroy().await.unwrap();
        assert!(matches!(journal.len(1).await, Err(Error::Closed)));
        assert_eq!(storage.scan("items").await.unwrap(), [] as [Vec<u8>; 0]);
        assert!(open(&storage, config()).await.recovery().opening.created);
    });
}

/// Opened with another page size, everything is there; with another item size, a typed error and no byte changed
/// (defects 8 and 29 of the reference).
#[test]
fn other_settings() {
    block_on(async {
        let storage = memory();
        let journal = open(&storage, config()).await;
        for number in 0..100 {
            journal.append(1, &item(number)).await.unwrap();
        }
        journal.close().await.unwrap();
        let other = open(&storage, Config::new("items").page_bytes(4096).buffer_bytes(10)).await;
        other.append(2, &item(0)).await.unwrap();
        assert_eq!(other.len(1).await.unwrap(), 100);
        other.append(1, &item(100)).await.unwrap();
        other.close().await.unwrap();
        let error = Journal::<u64>::open(Arc::clone(&storage), config()).await.unwrap().len(1).await.unwrap_err();
        let mismatch = error.storage();
        assert!(
            matches!(mismatch, Some(blob_runtime::Error::FormatMismatch { field: "item", expected, found, .. })
                if expected == "8" && found == "13"),
            "{error:?}"
        );
        let raw = RawJournal::open(Arc::clone(&storage), Config::new("items").read_only(true), None).await.unwrap();
        assert_eq!((raw.item_bytes(1).await.unwrap(), raw.len(1).await.unwrap()), (13, 101));
        let error = raw.append(1, &[0; 13]).await.unwrap_err();
        assert!(matches!(error, Error::ReadOnly), "{error:?}");
    });
}

#[test]
fn a_replay_ends_at_the_length_it_found_and_after_a_rewind() {
    block_on(async {
        let storage = memory();
        let journal = open(&storage, config()).await;
        for number in 0..50 {
            journal.append(1, &item(number)).await.unwrap();
        }
        journal.sync(1).await.unwrap();
        let mut replay = journal.replay(1, 0);
        assert_eq!(replay.next().await.unwrap().unwrap().item, item(0));
        journal.append(1, &item(50)).await.unwrap();
        assert_eq!(replay.by_ref().count().await, 49);
        assert!(replay.next().await.is_none());

        let mut replay = journal.replay(1, 0);
        journal.rewind(1, 10).await.unwrap();
        let first = replay.next().await.unwrap();
        // It had not begun to read, so it ends at the length it finds.
        assert_eq!(first.unwrap().item, item(0));
        assert_eq!(replay.count().await, 9);
        let mut pruned = journal.replay(1, 0);
        journal.prune(2).await.unwrap();
        let error = pruned.next().await.unwrap().unwrap_err();
        assert!(matches!(error, Error::Pruned { section: 1, oldest: 2 }), "{error:?}");
        assert!(pruned.next().await.is_none());
    });
}

/// An owner pushes into memory and says how far may be written: nothing behind that reaches the blob.
#[test]
fn push_and_flush_leave_the_order_to_the_owner() {
    block_on(async {
        let storage = memory();
        let journal = open(&storage, config()).await;
        journal.append(1, &item(0)).await.unwrap();
        for number in 1..10_u8 {
            let position = journal.push(1, &[number; 13]).unwrap().unwrap();
            assert_eq!(position, u64::from(number));
        }
        journal.flush(1, 4).await.unwrap();
        assert_eq!((journal.durable_len(1).await.unwrap(), journal.len(1).await.unwrap()), (4, 10));
        journal.wait_durable(1, 4).await.unwrap();
        assert!(journal.wait_durable(1, 5).now_or_never().is_none());
        drop(journal);
        assert_eq!(open(&storage, config()).await.len(1).await.unwrap(), 4);
    });
}

/// Steady appends and reads of items in memory go on without a wait.
#[test]
fn the_fast_paths_do_not_wait() {
    let storage = memory();
    let journal = block_on(open(&storage, config()));
    block_on(journal.append(1, &item(0))).unwrap();
    for number in 1..1000 {
        assert_eq!(journal.append(1, &item(number)).now_or_never().unwrap().unwrap(), number);
        assert_eq!(journal.try_get(1, number).unwrap().unwrap(), item(number));
    }
}

/// A section is poisoned, and its reopening fails too: it is not open then, and a sync of all sections must not pass it
/// over and say Ok (found by a simulation, seed 40074).
#[test]
fn a_sync_of_all_does_not_pass_over_a_section_that_could_not_be_reopened() {
    use blob_runtime::Operation;
    use blob_runtime::sim::{self, Fault};
    sim::run(1, async |sim| {
        let storage: Arc<dyn Storage> = sim.storage();
        let journal = open(&storage, config()).await;
        journal.append(1, &item(0)).await.unwrap();
        sim.faults().inject(Fault::eio(Operation::Sync));
        assert!(journal.sync(1).await.unwrap_err().is_sync_failure());
        sim.faults().inject(Fault::eio(Operation::Read));
        let failed = journal.reopen_section(1).await.unwrap_err();
        assert!(
            matches!(failed.storage(), Some(blob_runtime::Error::Io { operation: Operation::Read, .. })),
            "{failed:?}"
        );
        assert!(journal.sync_all().await.unwrap_err().is_sync_failure());
        journal.reopen_section(1).await.unwrap();
        journal.sync_all().await.unwrap();
        assert_eq!(journal.len(1).await.unwrap(), journal.durable_len(1).await.unwrap());
    });
}

/// A sync that is asked for while its section is opened anew after a failed one is told of that: what was appended may be
/// gone, and there is nothing left to do in the new section. A sync of all, too.
#[test]
fn a_sync_beside_a_section_that_is_opened_anew_is_told() {
    use blob_runtime::Operation;
    use blob_runtime::sim::{self, Fault};
    for all in [false, true] {
        sim::run(1, async |sim| {
            let storage: Arc<dyn Storage> = sim.storage();
            let journal = open(&storage, config()).await;
            journal.append(1, &item(0)).await.unwrap();
            journal.sync_all().await.unwrap();
            journal.append(1, &item(1)).await.unwrap();
            sim.faults().inject(Fault::eio(Operation::Sync));
            assert!(journal.sync(1).await.unwrap_err().is_sync_failure());
            sim.faults().inject(Fault::hang(Operation::Sync));
            let reopen = {
                let journal = journal.clone();
                sim.spawn(async move { journal.reopen_section(1).await })
            };
            for _ in 0..50 {
                sim.yield_now().await;
            }
            assert!(!reopen.is_finished());
            let sync = async |journal: &Items| match all {
                true => journal.sync_all().await,
                false => journal.sync(1).await,
            };
            let mut asked = std::pin::pin!(sync(&journal));
            let polled = futures::poll!(asked.as_mut());
            assert_eq!(polled.is_pending(), all);
            sim.faults().release();
            reopen.await.unwrap().unwrap();
            let told = match polled {
                std::task::Poll::Ready(told) => told,
                std::task::Poll::Pending => asked.await,
            };
            let told = told.unwrap_err();
            assert!(told.is_sync_failure(), "{told:?}");
            sync(&journal).await.unwrap();
        });
    }
}

/// A rewind or a removal is dropped at every poll, and nothing else runs. Who reads the section is told of it at most once.
#[test]
fn a_change_that_was_left_does_not_stand_in_the_way() {
    use blob_runtime::sim;
    for rewind in [true, false] {
        let ended = (0..200).any(|polls| {
            sim::run(polls, async |sim| {
                let journal = Items::open(sim.storage(), config()).await.unwrap();
                for number in 0..12 {
                    journal.append(1, &item(number)).await.unwrap();
                }
                journal.sync(1).await.unwrap();
                let change = async {
                    match rewind {
                        true => journal.rewind_section(1, 2).await,
                        false => journal.remove_section(1).await.map(drop),
                    }
                };
                let mut change = Box::pin(change);
                let mut ended = false;
                for _ in 0..polls {
                    ended = ended || change.as_mut().now_or_never().is_some();
                    sim.yield_now().await;
                }
                drop(change);
                for first in [true, false] {
                    match all(&journal, 1, 0).await {
                        Ok(items) => assert!([12, 2 * usize::from(rewind)].contains(&items.len()), "{items:?}"),
                        Err(Error::Rewound { .. } | Error::SectionOutOfRange { .. }) if first => {}
                        Err(error) => panic!("{error:?}"),
                    }
                }
                ended
            })
        });
        assert!(ended, "it was never through");
    }
}
