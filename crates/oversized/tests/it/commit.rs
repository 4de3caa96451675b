//! What a commit costs, counted; and what a failure of it leaves.

use blob_runtime::Operation;
use blob_runtime::sim::{self, Cut, Fault};
use oversized::{Config, Error, Located, Oversized};

use crate::common::{LOSE_ALL, Store, append, fill, life, open, shown};

/// A commit is one write and one sync of one file, also while the index is there; the reference needs two syncs.
#[test]
fn a_commit_is_one_write_and_one_sync() {
    sim::run(1, async |sim| {
        life(&sim, LOSE_ALL, |sim| async move {
            let store: Store = Oversized::open(sim.storage(), Config::new("blocks")).await.unwrap();
            for n in 0..20 {
                let before = sim.counts();
                append(&store, 1, n).await.unwrap();
                let appended = sim.counts();
                assert_eq!(
                    appended.steps == before.steps,
                    n > 0,
                    "the first append makes `dirty` durable, the others do nothing"
                );
                store.sync(1).await.unwrap();
                let after = sim.counts();
                let performed = |operation| after.performed(operation) - appended.performed(operation);
                let counts = [Operation::Write, Operation::Sync, Operation::SyncDirectory, Operation::Resize];
                if n > 0 {
                    assert_eq!(counts.map(performed), [1, 1, 0, 0], "commit {n}");
                }
            }
            assert!(
                sim.disk().files().iter().all(|file| &*file.partition != "blocks-index"),
                "a small section has no index"
            );
            store.close().await.unwrap();
            assert!(sim.disk().files().iter().all(|file| &*file.partition != "blocks-index"));
        })
        .await;
    });
}

/// A checkpoint syncs the index once, however many records it writes.
#[test]
fn a_large_checkpoint_costs_no_more_syncs() {
    let syncs = [500, 30_000].map(|entries| {
        sim::run(1, async |sim| {
            life(&sim, LOSE_ALL, |sim| async move {
                let config = Config::new("blocks").index_buffer_bytes(8 << 20).metrics(true);
                let store: Store = Oversized::open(sim.storage(), config).await.unwrap();
                fill(&store, 1, 0..entries).await;
                append(&store, 2, 0).await.unwrap();
                store.sync_all().await.unwrap();
                let before = sim.counts().performed(Operation::Sync);
                // Seals the lower section, behind a checkpoint.
                store.maintain().await.unwrap();
                let syncs = sim.counts().performed(Operation::Sync) - before;
                let metrics = store.metrics().unwrap();
                assert_eq!((metrics.checkpoints, metrics.seals), (1, 1));
                store.close().await.unwrap();
                syncs
            })
            .await
        })
    });
    assert_eq!(syncs[0], syncs[1]);
}

/// A checkpoint comes behind: the values are durable before the index is written (I1). Cut off at any step, the index
/// never has an entry whose value is not there.
#[test]
fn the_index_comes_behind_the_values() {
    for step in 1..200 {
        let over = sim::run(step, async |sim| {
            let work = async |sim: sim::Sim| {
                let store = open(sim.storage()).await.unwrap();
                fill(&store, 1, 0..20).await;
                store.sync(1).await.unwrap();
            };
            sim.crash_at(step, sim::Crash::Power(Cut::Random));
            let ended = sim.life(Box::pin(work(sim.clone()))).await.is_some();
            sim.disarm();
            let sim = sim.clone();
            let shown = life(&sim.clone(), LOSE_ALL, |sim| async move {
                let store = open(sim.storage()).await.unwrap();
                if store.sections().is_empty() { Vec::new() } else { shown(&store, 1).await.unwrap() }
            })
            .await;
            let expected: Vec<u64> = (0..shown.len() as u64).collect();
            assert_eq!(shown, expected, "step {step}: a prefix");
            assert!(!ended || shown.len() == 20, "step {step}: all was acknowledged");
            ended
        });
        if over {
            assert!(step > 40, "the run has more steps than {step}");
            return;
        }
    }
    panic!("the run has no end");
}

/// The sync of the values fails once; the next would say Ok, and the data would be lost (defects 13, 33). The section
/// refuses every change until it is reopened, and then shows what is durable.
#[test]
fn a_failed_sync_poisons() {
    for survivors in [Cut::LoseAll, Cut::KeepAll, Cut::Random] {
        for seed in 0..20 {
            sim::run(seed, async |sim| {
                let kept = life(&sim, LOSE_ALL, |sim| async move {
                    let store = open(sim.storage()).await.unwrap();
                    fill(&store, 1, 0..3).await;
                    store.sync(1).await.unwrap();
                    fill(&store, 2, 0..1).await;
                    fill(&store, 1, 3..5).await;
                    let fault = Fault::eio(Operation::Sync).blob("blocks-values", &1_u64.to_be_bytes());
                    sim.faults().inject(fault.survivors(survivors));
                    let failed = store.sync(1).await.unwrap_err();
                    assert!(matches!(failed, Error::Poisoned { section: 1, .. }), "{failed:?}");
                    for _ in 0..2 {
                        let refused = store.sync(1).await.unwrap_err();
                        assert!(matches!(refused, Error::Poisoned { section: 1, .. }), "{refused:?}");
                        let refused = append(&store, 1, 9).await.unwrap_err();
                        assert!(matches!(refused, Error::Poisoned { section: 1, .. }), "{refused:?}");
                    }
                    let refused = store.rewind(1, 1).await.unwrap_err();
                    assert!(matches!(refused, Error::Poisoned { section: 1, .. }), "{refused:?}");
                    assert_eq!(store.get(1, 4).await.unwrap().data, 4, "what is in memory is read on");
                    store.sync(2).await.unwrap();
                    store.reopen_section(1).await.unwrap();
                    let kept = shown(&store, 1).await.unwrap();
                    assert!((3..=5).contains(&kept.len()), "{kept:?}");
                    append(&store, 1, kept.len() as u64).await.unwrap();
                    store.sync(1).await.unwrap();
                    kept.len() as u64 + 1
                })
                .await;
                life(&sim, LOSE_ALL, |sim| async move {
                    let store = open(sim.storage()).await.unwrap();
                    assert_eq!(shown(&store, 1).await.unwrap(), (0..kept).collect::<Vec<_>>());
                    assert_eq!(shown(&store, 2).await.unwrap(), [0]);
                })
                .await;
            });
        }
    }
}

/// The sync of the index fails: any failed sync poisons (I8). What was acknowledged is in the values.
#[test]
fn a_failed_sync_of_the_index_poisons_too() {
    for seed in 0..20 {
        sim::run(seed, async |sim| {
            life(&sim, LOSE_ALL, |sim| async move {
                let store = open(sim.storage()).await.unwrap();
                fill(&store, 1, 0..3).await;
                store.sync(1).await.unwrap();
                sim.faults().inject(Fault::eio(Operation::Sync).partition("blocks-index"));
                let mut data = 3;
                let failed = loop {
                    match append(&store, 1, data).await {
                        Ok(_) => data += 1,
                        Err(error) => break error,
                    }
                };
                assert!(matches!(failed, Error::Poisoned { section: 1, .. }), "{failed:?}");
                let refused = store.sync(1).await.unwrap_err();
                assert!(matches!(refused, Error::Poisoned { section: 1, .. }), "{refused:?}");
                store.reopen_section(1).await.unwrap();
                let kept = shown(&store, 1).await.unwrap();
                assert_eq!(kept, (0..kept.len() as u64).collect::<Vec<_>>());
                // Five records make one due; it runs beside the appends.
                assert!((5..=data).contains(&(kept.len() as u64)), "a checkpoint has made five durable: {kept:?}");
                store.close().await.unwrap();
            })
            .await;
        });
    }
}

/// No room on the disk for the index: nothing is refused until there is none in memory either, and nothing is lost
/// (defect 37). A rewind to before what the failed writes may have left, and the index does not point past the values.
#[test]
fn no_room_for_the_index() {
    for seed in 0..20 {
        sim::run(seed, async |sim| {
            life(&sim, LOSE_ALL, |sim| async move {
                let store = open(sim.storage()).await.unwrap();
                fill(&store, 1, 0..3).await;
                sim.faults().inject(Fault::enospc(Operation::Write).partition("blocks-index").always());
                let mut data = 3;
                let refused = loop {
                    match append(&store, 1, data).await {
                        Ok(_) => data += 1,
                        Err(error) => break error,
                    }
                };
                assert!(refused.is_transient(), "{refused:?}");
                assert_eq!(data, 10, "twice 100 bytes of records of 20");
                store.sync(1).await.unwrap();
                assert_eq!(shown(&store, 1).await.unwrap(), (0..data).collect::<Vec<_>>());
                store.rewind(1, 2).await.unwrap();
                sim.faults().clear();
                fill(&store, 1, 20..30).await;
                store.sync(1).await.unwrap();
            })
            .await;
            life(&sim, LOSE_ALL, |sim| async move {
                let store = open(sim.storage()).await.unwrap();
                let expected: Vec<u64> = (0..2).chain(20..30).collect();
                assert_eq!(shown(&store, 1).await.unwrap(), expected);
                store.close().await.unwrap();
            })
            .await;
        });
    }
}

/// The disk is full in the middle of a batch (defect 51): the append is whole or not begun, and a later sync writes it.
#[test]
fn no_room_in_the_middle_of_a_batch() {
    for seed in 0..50 {
        sim::run(seed, async |sim| {
            let shown = life(&sim, sim::Crash::Power(Cut::Random), |sim| async move {
                let store = open(sim.storage()).await.unwrap();
                fill(&store, 1, 0..2).await;
                store.sync(1).await.unwrap();
                let batch = (2..8).map(|data| (Located::new(data), crate::common::value(data)));
                store.append_all(1, batch).await.unwrap();
                sim.faults().inject(Fault::enospc(Operation::Write).partition("blocks-values"));
                let full = store.sync(1).await.unwrap_err();
                assert!(full.is_transient(), "{full:?}");
                fill(&store, 1, 8..9).await;
                if seed % 2 == 0 {
                    store.sync(1).await.unwrap();
                    return 9;
                }
                2
            })
            .await;
            life(&sim, LOSE_ALL, |sim| async move {
                let store = open(sim.storage()).await.unwrap();
                let kept = crate::common::shown(&store, 1).await.unwrap();
                assert_eq!(kept, (0..kept.len() as u64).collect::<Vec<_>>());
                assert!(
                    kept.len() >= shown && (kept.len() <= 2 || kept.len() >= 8),
                    "the batch whole or not: {kept:?}"
                );
            })
            .await;
        });
    }
}

/// Every count of the metrics, beside the operations of the disk; and nothing is counted unless it is asked for.
#[test]
fn metrics() {
    sim::run(13, async |sim| {
        life(&sim, LOSE_ALL, |sim| async move {
            let silent = open(sim.storage()).await.unwrap();
            assert_eq!(silent.metrics(), None);
            silent.close().await.unwrap();
            let config = Config::new("blocks").page_bytes(64).metrics(true).preallocate_bytes(0);
            let store: Store = Oversized::open(sim.storage(), config).await.unwrap();
            // The first sync of a file has its name to see to, too.
            append(&store, 1, 0).await.unwrap();
            store.sync(1).await.unwrap();
            store.append_all(1, (1..4).map(|data| (Located::new(data), vec![0; 10]))).await.unwrap();
            let before = sim.counts().performed(Operation::Sync);
            let (one, two) = futures::join!(store.sync(1), store.sync(1));
            assert!(one.is_ok() && two.is_ok());
            store.sync(1).await.unwrap();
            assert_eq!(sim.counts().performed(Operation::Sync) - before, 1);
            let metrics = store.metrics().unwrap();
            assert_eq!((metrics.sections, metrics.open_sections), (1, 1));
            assert_eq!((metrics.appends, metrics.appended_bytes), (4, store.value_bytes(1).await.unwrap()));
            assert_eq!((metrics.syncs, metrics.value_syncs), (3, 2), "of the two who asked at once one led");
            assert_eq!((metrics.checkpoints, metrics.seals), (0, 0));

            append(&store, 2, 5).await.unwrap();
            store.maintain().await.unwrap();
            let metrics = store.metrics().unwrap();
            assert_eq!((metrics.checkpoints, metrics.seals, metrics.value_syncs), (1, 1, 3));
            store.get(1, 0).await.unwrap();
            let reads = store.metrics().unwrap().cache;
            // Looked for in memory first, then read.
            assert_eq!(reads.hits + reads.misses, metrics.cache.hits + metrics.cache.misses + 2);
            store.rewind_section(1, 2).await.unwrap();
            assert!(store.prune(2).await.unwrap());
            assert!(!store.prune(2).await.unwrap());
            let metrics = store.metrics().unwrap();
            assert_eq!((metrics.rewinds, metrics.prunes, metrics.sections), (1, 1, 1));
            assert_eq!((metrics.recovered_sections, metrics.dropped_bytes, metrics.quarantined_bytes), (0, 0, 0));
        })
        .await;
    });
}
