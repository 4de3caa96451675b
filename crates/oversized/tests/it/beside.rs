//! Calls beside changes of structure: what each of them answers, and that none hangs.

use std::pin::pin;
use std::sync::Arc;

use blob_runtime::sim::{self, Fault, Sim};
use blob_runtime::{MemoryStorage, Operation, Storage};
use bytes::BufMut;
use futures::executor::block_on;
use futures::{FutureExt, StreamExt, TryStreamExt};
use oversized::{BufferBudget, Config, Error, Located, Oversized, Record, Until};

use crate::common::{LOSE_ALL, Store, append, config, fill, life, open, shown, value};

/// A tail has shown two entries of a section; that is removed, made anew, and longer than before. What the tail would show
/// next is not what follows on what it has shown.
#[test]
fn a_tail_in_a_section_that_is_made_anew() {
    block_on(async {
        let store = open(Arc::new(MemoryStorage::new())).await.unwrap();
        for until in [Until::Appended, Until::Durable] {
            fill(&store, 1, 10..12).await;
            store.sync(1).await.unwrap();
            let mut tail = store.tail(1, 0, until);
            assert_eq!(tail.next().await.unwrap().unwrap().record.data, 10);
            assert_eq!(tail.next().await.unwrap().unwrap().record.data, 11);
            assert!(tail.next().now_or_never().is_none());
            assert!(store.remove_section(1).await.unwrap());
            fill(&store, 1, 20..25).await;
            store.sync(1).await.unwrap();
            let told = tail.next().await.unwrap().unwrap_err();
            assert!(matches!(told, Error::Rewound { section: 1 }), "{told:?}");
            assert!(tail.next().await.is_none());
            store.remove_section(1).await.unwrap();
        }
    });
}

/// Lets everything run that can.
async fn settle(sim: &Sim) {
    for _ in 0..3000 {
        sim.yield_now().await;
    }
}

/// Appends that come to nothing: for a position that is not the first, with a record of a wrong size. No section is made by
/// them, and in a store that is filled in order the one below takes appends as before.
#[test]
fn an_append_that_fails_makes_no_section() {
    block_on(async {
        for ordered in [false, true] {
            let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
            let config = || Config::new("blocks").ordered(ordered);
            let store: Store = Oversized::open(Arc::clone(&storage), config()).await.unwrap();
            append(&store, 8, 1).await.unwrap();
            let refused = store.append_at(9, 3, Located::new(2), &value(2)).await.unwrap_err();
            assert!(matches!(refused, Error::PositionMismatch { section: 9, expected: 3, found: 0 }), "{refused:?}");
            assert_eq!(store.sections(), [8]);
            let refused = store.raw().append(9, b"value", |_, _, record| record.put_slice(b"short")).await.unwrap_err();
            assert!(matches!(refused, Error::RecordSize { expected: 20, found: 5 }), "{refused:?}");
            assert_eq!(store.sections(), [8]);
            assert_eq!(append(&store, 8, 2).await.unwrap(), 1, "it takes appends still");
            assert_eq!(store.append_at(9, 0, Located::new(3), &value(3)).await.unwrap().position, 0);
            store.close().await.unwrap();
            let store: Store = Oversized::open(storage, config()).await.unwrap();
            assert_eq!((shown(&store, 8).await.unwrap(), shown(&store, 9).await.unwrap()), (vec![1, 2], vec![3]));
        }
    });
}

/// An append that makes a section and comes to nothing is dropped at every point: while the section is made, and while it is
/// taken back. Nobody is left who takes it back then; it is not there all the same, for all who read, follow and look.
#[test]
fn a_section_that_is_half_taken_back_is_not_there() {
    let mut is_over = false;
    for polls in 0..200 {
        is_over |= sim::run(polls, async |sim| {
            life(&sim, LOSE_ALL, move |sim| async move {
                let store = open(sim.storage()).await.unwrap();
                fill(&store, 1, 0..3).await;
                let mut tail = store.tail(2, 0, Until::Appended);
                let raw = store.raw().clone();
                let mut failing = Box::pin(raw.append(2, b"value", |_, _, record| record.put_slice(b"short")));
                let mut done = false;
                for _ in 0..polls {
                    done = done || failing.as_mut().now_or_never().is_some();
                    assert!(tail.next().now_or_never().is_none());
                    sim.yield_now().await;
                }
                drop(failing);
                assert_eq!((store.sections(), store.newest_section()), (vec![1], Some(1)));
                let replayed: Vec<_> = store.replay(1, 0).try_collect().await.unwrap();
                let valued: Vec<_> = store.replay_values(1, 0).try_collect().await.unwrap();
                assert_eq!((replayed.len(), valued.len()), (3, 3));
                let of_it: Vec<_> = store.replay(2, 0).try_collect().await.unwrap();
                assert!(of_it.is_empty());
                let findings: Vec<_> = store.verify(..).try_collect().await.unwrap();
                assert!(findings.is_empty(), "{findings:?}");
                assert_eq!(append(&store, 2, 7).await.unwrap(), 0);
                assert_eq!(tail.next().await.unwrap().unwrap().record.data, 7);
                assert_eq!(shown(&store, 2).await.unwrap(), [7]);
                done
            })
            .await
        });
    }
    assert!(is_over, "it was never through");
}

/// The budget is used up, and the write that makes room hangs: the append that waits for it is dropped. The section it was
/// to begin is not there, and the one below takes appends.
#[test]
fn an_append_that_is_dropped_makes_no_section() {
    sim::run(3, async |sim| {
        life(&sim, LOSE_ALL, |sim| async move {
            let config = Config::new("blocks").buffer_budget(BufferBudget::new(100)).preallocate_bytes(0);
            let store: Store = Oversized::open(sim.storage(), config).await.unwrap();
            append(&store, 8, 49).await.unwrap();
            sim.faults().inject(Fault::hang(Operation::Write).partition("blocks-values"));
            {
                let next = value(49);
                let mut dropped = pin!(store.append(9, Located::new(49), &next));
                for _ in 0..200 {
                    assert!(dropped.as_mut().now_or_never().is_none());
                    sim.yield_now().await;
                }
            }
            assert_eq!(store.sections(), [8]);
            sim.faults().release();
            assert_eq!(append(&store, 8, 50).await.unwrap(), 1);
            assert_eq!(append(&store, 9, 51).await.unwrap(), 0);
            assert_eq!(store.sections(), [8, 9]);
            store.close().await.unwrap();
        })
        .await;
    });
}

/// A rewind has overwritten what goes with zeros, and hangs before it is cut off. Whoever reads it meanwhile is told of the
/// rewind, or waits for its end: nothing is damaged.
#[test]
fn reads_beside_the_zeros_of_a_rewind() {
    sim::run(4, async |sim| {
        life(&sim, LOSE_ALL, |sim| async move {
            let store = open(sim.storage()).await.unwrap();
            fill(&store, 1, 0..12).await;
            store.sync(1).await.unwrap();
            let eighth = store.get(1, 8).await.unwrap();
            sim.faults().inject(Fault::hang(Operation::Resize).partition("blocks-values"));
            let rewind = sim.spawn({
                let store = store.clone();
                async move { store.rewind_section(1, 2).await }
            });
            settle(&sim).await;
            let many = sim.spawn({
                let store = store.clone();
                async move { store.read_many(1, 0..12, usize::MAX).await }
            });
            let reads = [
                sim.spawn({
                    let store = store.clone();
                    async move { store.get_value(1, eighth.value_location()).await.map(drop) }
                }),
                sim.spawn({
                    let store = store.clone();
                    async move { store.value_of(1, &eighth).await.map(drop) }
                }),
            ];
            settle(&sim).await;
            sim.faults().release();
            rewind.await.unwrap().unwrap();
            assert_eq!(many.await.unwrap().unwrap().len(), 2, "it waits for what goes, and reads what stays");
            for read in reads {
                let gone = read.await.unwrap().unwrap_err();
                assert!(matches!(gone, Error::InvalidLocation { section: 1, .. }), "{gone:?}");
            }
            assert_eq!(shown(&store, 1).await.unwrap(), [0, 1]);
        })
        .await;
    });
}

/// While a prune is under way the next section is begun, in order, and everything is synced: what goes is nobody's failure.
#[test]
fn calls_beside_a_prune() {
    for sync in [false, true] {
        sim::run(5, async |sim| {
            life(&sim, LOSE_ALL, |sim| async move {
                let store: Store = Oversized::open(sim.storage(), config().ordered(!sync)).await.unwrap();
                append(&store, 7, 1).await.unwrap();
                append(&store, 8, 2).await.unwrap();
                sim.faults().inject(Fault::hang(Operation::Remove).partition("blocks-values"));
                let prune = sim.spawn({
                    let store = store.clone();
                    async move { store.prune(if sync { 8 } else { 9 }).await }
                });
                settle(&sim).await;
                assert_eq!(store.pruned_to(), if sync { 8 } else { 9 });
                let beside = sim.spawn({
                    let store = store.clone();
                    async move { if sync { store.sync_all().await } else { append(&store, 9, 3).await.map(drop) } }
                });
                settle(&sim).await;
                sim.faults().release();
                assert!(prune.await.unwrap().unwrap());
                let answer = beside.await.unwrap();
                assert!(answer.is_ok(), "{answer:?}");
                assert_eq!(store.sections(), [if sync { 8 } else { 9 }]);
                if sync {
                    assert_eq!(store.durable_len(8).await.unwrap(), 1);
                }
            })
            .await;
        });
    }
}

/// One waits for an entry to be durable while that goes: by a prune, by a removal, by a rewind behind which the section
/// grows past the same offset.
#[test]
fn waiting_for_an_entry_that_goes() {
    block_on(async {
        let store = open(Arc::new(MemoryStorage::new())).await.unwrap();
        for section in [1, 2, 3, 4, 5] {
            fill(&store, section, 0..6).await;
        }
        let mut waits: Vec<_> = (1..6).map(|section| Box::pin(store.wait_durable(section, 5))).collect();
        for wait in &mut waits {
            assert!(wait.now_or_never().is_none());
        }
        store.prune(2).await.unwrap();
        store.remove_section(2).await.unwrap();
        for section in [3, 4] {
            store.rewind_section(section, 0).await.unwrap();
            store.append(section, Located::new(7), &vec![7; 100_000]).await.unwrap();
        }
        fill(&store, 4, 1..7).await;
        store.sync_all().await.unwrap();
        let mut answers = Vec::new();
        for wait in waits {
            answers.push(wait.await);
        }
        assert!(matches!(answers[0], Err(Error::Pruned { section: 1, oldest: 2 })), "{answers:?}");
        assert!(matches!(answers[1], Err(Error::SectionOutOfRange { section: 2 })), "{answers:?}");
        assert!(matches!(answers[2], Err(Error::ItemOutOfRange { section: 3, position: 5, len: 1 })), "{answers:?}");
        assert!(matches!(answers[3], Err(Error::Rewound { section: 4 })), "{answers:?}");
        assert!(answers[4].is_ok(), "{answers:?}");
        // A cut behind the entry does not touch it.
        append(&store, 5, 6).await.unwrap();
        append(&store, 5, 7).await.unwrap();
        let mut wait = Box::pin(store.wait_durable(5, 6));
        assert!((&mut wait).now_or_never().is_none());
        store.rewind_section(5, 7).await.unwrap();
        assert!(wait.await.is_ok());
    });
}

/// The sync of an index fails while more is appended: its section takes no sync any more. Who waits for that to become
/// durable is told.
#[test]
fn waiting_in_a_section_whose_index_has_failed() {
    sim::run(6, async |sim| {
        life(&sim, LOSE_ALL, |sim| async move {
            let store: Store = Oversized::open(sim.storage(), config().index_buffer_bytes(10_000)).await.unwrap();
            append(&store, 1, 0).await.unwrap();
            store.sync(1).await.unwrap();
            // An index is worth a page: the seal of the resting section makes one. Its write hangs, and then its sync fails.
            fill(&store, 1, 1..9).await;
            store.sync(1).await.unwrap();
            append(&store, 2, 0).await.unwrap();
            sim.faults().inject(Fault::hang(Operation::Write).partition("blocks-index"));
            sim.faults().inject(Fault::eio(Operation::Sync).partition("blocks-index"));
            let maintain = sim.spawn({
                let store = store.clone();
                async move { store.maintain().await }
            });
            settle(&sim).await;
            append(&store, 1, 9).await.unwrap();
            let mut tail = store.tail(1, 9, Until::Durable);
            let tail = sim.spawn(async move { tail.next().await });
            let wait = sim.spawn({
                let store = store.clone();
                async move { store.wait_durable(1, 9).await }
            });
            settle(&sim).await;
            assert!(!wait.is_finished() && !tail.is_finished());
            sim.faults().release();
            let failed = maintain.await.unwrap().unwrap_err();
            assert!(matches!(failed, Error::Poisoned { section: 1, .. }), "{failed:?}");
            settle(&sim).await;
            assert!(wait.is_finished() && tail.is_finished(), "they wait for what no sync will make durable");
            let told = wait.await.unwrap().unwrap_err();
            assert!(matches!(told, Error::Poisoned { section: 1, .. }), "{told:?}");
            let told = tail.await.unwrap().unwrap().unwrap_err();
            assert!(matches!(told, Error::Poisoned { section: 1, .. }), "{told:?}");
        })
        .await;
    });
}

/// A sync of one section begins, its caller is dropped, and the writes end all the same. The budget takes note of that.
#[test]
fn the_budget_of_a_sync_that_was_dropped() {
    sim::run(8, async |sim| {
        life(&sim, LOSE_ALL, |sim| async move {
            let budget = BufferBudget::new(100_000);
            let store: Store =
                Oversized::open(sim.storage(), Config::new("blocks").buffer_budget(budget.clone())).await.unwrap();
            store.append(1, Located::new(1), &vec![7; 5000]).await.unwrap();
            assert!(budget.used_bytes() > 5000);
            assert!(store.sync(1).now_or_never().is_none());
            store.wait_durable(1, 0).await.unwrap();
            store.sync(1).await.unwrap();
            assert_eq!(budget.used_bytes(), 20, "its record");
        })
        .await;
    });
}

/// A section rests, and its disk hangs. A sync of another one does not wait for it.
#[test]
fn a_sync_waits_for_its_own_section_only() {
    sim::run(9, async |sim| {
        life(&sim, LOSE_ALL, |sim| async move {
            let store = open(sim.storage()).await.unwrap();
            append(&store, 1, 1).await.unwrap();
            store.sync(1).await.unwrap();
            append(&store, 2, 2).await.unwrap();
            sim.faults().inject(Fault::hang(Operation::Sync).blob("blocks-values", &1_u64.to_be_bytes()).always());
            let other = sim.spawn({
                let store = store.clone();
                async move { store.sync(2).await }
            });
            settle(&sim).await;
            assert!(other.is_finished(), "it waits for section 1");
            other.await.unwrap().unwrap();
            sim.faults().clear();
            // The work is done by who has the time for it: a seal is one write and one sync.
            let before = sim.counts();
            store.maintain().await.unwrap();
            let after = sim.counts();
            let performed = |operation| after.performed(operation) - before.performed(operation);
            assert_eq!([Operation::Write, Operation::Sync].map(performed), [1, 1]);
            store.maintain().await.unwrap();
            assert_eq!(sim.counts().steps, after.steps);
        })
        .await;
    });
}

/// A store is destroyed twice, and closed: both say that it is gone. A removal fails half-way: every call says so, and the
/// store is not kept locked by the handles that are left; the next open carries the removal on.
#[test]
fn destroyed_again() {
    sim::run(10, async |sim| {
        life(&sim, LOSE_ALL, |sim| async move {
            let store = open(sim.storage()).await.unwrap();
            fill(&store, 1, 0..3).await;
            store.sync(1).await.unwrap();
            let clone = store.clone();
            store.destroy().await.unwrap();
            assert!(clone.destroy().await.is_ok());
            assert!(clone.close().await.is_ok());
            let refused = append(&clone, 1, 1).await;
            assert!(matches!(refused, Err(Error::Closed)), "{refused:?}");

            let store = open(sim.storage()).await.unwrap();
            fill(&store, 1, 0..3).await;
            store.sync(1).await.unwrap();
            sim.faults().inject(Fault::eio(Operation::Remove).partition("blocks-values"));
            let failed = store.destroy().await.unwrap_err();
            assert!(matches!(failed, Error::Storage { .. }), "{failed:?}");
            for again in [store.destroy().await.unwrap_err(), store.close().await.unwrap_err()] {
                assert_eq!(again.to_string(), failed.to_string());
            }
            let next = open(sim.storage()).await.unwrap();
            assert!(next.recovery().opening.created);
            assert!(next.sections().is_empty());
            next.close().await.unwrap();
            // A destroy of a store that was closed comes too late.
            let late = next.destroy().await;
            assert!(matches!(late, Err(Error::Closed)), "{late:?}");
        })
        .await;
    });
}
