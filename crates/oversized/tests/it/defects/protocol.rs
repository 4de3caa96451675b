//! What an executable model found in drafts of the protocol (32 to 54), as far as it is the pair's.

use blob_runtime::Operation;
use blob_runtime::sections::section_name;
use blob_runtime::sim::{self, Crash, Cut, Fault};
use oversized::{Error, Located};

use crate::common::{LOSE_ALL, append, fill, life, open, shown, value};

const RANDOM: Crash = Crash::Power(Cut::Random);

/// 32, 47: killed behind a change of the manifest that is only in the page cache; the next open believes it, acts on it,
/// and the power is cut: what was acted upon is there, user state too.
#[test]
fn d32_evidence_in_the_page_cache() {
    for seed in 0..300 {
        sim::run(seed, async |sim| {
            life(&sim, LOSE_ALL, |sim| async move {
                let store = open(sim.storage()).await.unwrap();
                for section in 1..4 {
                    fill(&store, section, 0..6).await;
                }
                store.set_state("old".into()).await.unwrap();
                store.close().await.unwrap();
            })
            .await;
            sim.crash_at(20 + seed % 60, Crash::Kill);
            let work = sim.clone();
            let killed = sim.life(async move {
                let store = open(work.storage()).await.unwrap();
                store.set_state("new".into()).await.unwrap();
                store.prune(2).await.unwrap();
                store.rewind(2, 2).await.unwrap();
            });
            let _ended = killed.await;
            sim.disarm();
            let seen = life(&sim, RANDOM, |sim| async move {
                let store = open(sim.storage()).await.unwrap();
                let newest = store.newest_section().unwrap();
                let len = store.len(newest).await.unwrap();
                (store.state(), store.pruned_to(), store.sections(), len)
            })
            .await;
            life(&sim, LOSE_ALL, |sim| async move {
                let store = open(sim.storage()).await.unwrap();
                let newest = store.newest_section().unwrap();
                let len = store.len(newest).await.unwrap();
                assert_eq!((store.state(), store.pruned_to(), store.sections(), len), seen);
            })
            .await;
        });
    }
}

/// 35: an intent that was carried out does not run again over what was acknowledged since.
#[test]
fn d35_an_intent_runs_once() {
    for seed in 0..200 {
        sim::run(seed, async |sim| {
            life(&sim, RANDOM, |sim| async move {
                let store = open(sim.storage()).await.unwrap();
                fill(&store, 1, 0..6).await;
                fill(&store, 2, 0..3).await;
                store.sync_all().await.unwrap();
                store.rewind(1, 4).await.unwrap();
                fill(&store, 1, 4..9).await;
                fill(&store, 2, 10..12).await;
                store.sync_all().await.unwrap();
            })
            .await;
            life(&sim, LOSE_ALL, |sim| async move {
                let store = open(sim.storage()).await.unwrap();
                assert_eq!(shown(&store, 1).await.unwrap(), (0..9).collect::<Vec<_>>());
                assert_eq!(shown(&store, 2).await.unwrap(), [10, 11]);
            })
            .await;
        });
    }
}

/// 43, 50, 54: rewinds into a batch, twice to the same place, each cut off somewhere: what is kept of the batch is kept,
/// and no legal state is taken for damage.
#[test]
fn d43_rewinds_into_a_batch() {
    for seed in 0..400 {
        sim::run(seed, async |sim| {
            life(&sim, LOSE_ALL, |sim| async move {
                let store = open(sim.storage()).await.unwrap();
                fill(&store, 1, 0..2).await;
                store.append_all(1, (2..8).map(|data| (Located::new(data), value(data)))).await.unwrap();
                store.sync(1).await.unwrap();
            })
            .await;
            let mut len = 8;
            for round in 0..2 {
                sim.crash_at(30 + (seed * 7 + round * 13) % 80, RANDOM);
                let work = sim.clone();
                let rewound = sim.life(async move {
                    let store = open(work.storage()).await.unwrap();
                    store.rewind(1, 5.min(store.len(1).await.unwrap())).await.unwrap();
                });
                let ended = rewound.await.is_some();
                sim.disarm();
                sim.crash(RANDOM);
                len = life(&sim, RANDOM, |sim| async move {
                    let store = open(sim.storage()).await.unwrap();
                    let kept = shown(&store, 1).await.unwrap();
                    assert_eq!(kept, (0..kept.len() as u64).collect::<Vec<_>>());
                    assert!(kept.len() == 5 || kept.len() == 8 && !ended && len == 8, "{kept:?}");
                    kept.len()
                })
                .await;
            }
        });
    }
}

/// 46, 52: a clean store is only read, or written to for the first time, and cut off at every step: what a clean open
/// promises holds, and the next open does not take the store for clean when it was written to.
#[test]
fn d52_the_first_write_after_a_clean_open() {
    for seed in 0..300 {
        sim::run(seed, async |sim| {
            life(&sim, LOSE_ALL, |sim| async move {
                let store = open(sim.storage()).await.unwrap();
                fill(&store, 1, 0..9).await;
                store.close().await.unwrap();
            })
            .await;
            sim.crash_at(5 + seed % 60, RANDOM);
            let work = sim.clone();
            let acknowledged = sim.life(async move {
                let store = open(work.storage()).await.unwrap();
                assert_eq!(shown(&store, 1).await.unwrap().len(), 9);
                if seed % 2 == 0 {
                    fill(&store, 1, 9..16).await;
                    store.maintain().await.unwrap();
                    store.sync(1).await.unwrap();
                    return 16;
                }
                9
            });
            let acknowledged = acknowledged.await.unwrap_or(9);
            sim.disarm();
            sim.crash(RANDOM);
            life(&sim, LOSE_ALL, |sim| async move {
                let store = open(sim.storage()).await.unwrap();
                let kept = shown(&store, 1).await.unwrap();
                assert!(kept.len() >= acknowledged, "{kept:?}");
                assert_eq!(kept, (0..kept.len() as u64).collect::<Vec<_>>());
                store.close().await.unwrap();
            })
            .await;
        });
    }
}

/// I8, 39: a rewind fails at each of its steps: the store takes no change any more, tells why, and the next open shows it
/// wholly before or wholly after.
#[test]
fn a_rewind_that_fails() {
    let mut failures = 0;
    for operation in [Operation::Write, Operation::Sync, Operation::Resize, Operation::Remove, Operation::SyncDirectory]
    {
        for nth in 1..12 {
            sim::run(nth, async |sim| {
                let (failed, faulted) = life(&sim, LOSE_ALL, |sim| async move {
                    let store = open(sim.storage()).await.unwrap();
                    fill(&store, 1, 0..12).await;
                    fill(&store, 2, 0..3).await;
                    store.sync_all().await.unwrap();
                    let before = sim.counts().failed(operation);
                    sim.faults().inject(Fault::eio(operation).nth(nth));
                    let failed = store.rewind(1, 4).await.is_err();
                    let faulted = sim.counts().failed(operation) > before;
                    sim.faults().clear();
                    if failed {
                        let refused = append(&store, 1, 99).await.unwrap_err();
                        assert!(
                            matches!(
                                refused,
                                Error::Unfinished { .. } | Error::Poisoned { .. } | Error::Storage { .. }
                            ),
                            "{refused:?}"
                        );
                    }
                    (failed, faulted)
                })
                .await;
                assert!(!failed || faulted, "{operation:?} {nth}");
                failures += u32::from(failed);
                life(&sim, LOSE_ALL, |sim| async move {
                    let store = open(sim.storage()).await.unwrap();
                    let kept = shown(&store, 1).await.unwrap();
                    assert!(kept.len() == 4 || failed && kept.len() == 12, "{operation:?} {nth}: {kept:?}");
                    assert_eq!(store.sections().len(), if kept.len() == 4 { 1 } else { 2 }, "{operation:?} {nth}");
                })
                .await;
            });
        }
    }
    assert!(failures > 15, "{failures}");
}

/// P9: the sync of a rewind's truncation fails and the process is killed: the cache shows the short file of values, the disk
/// has the long one and nothing left to write. The next open sets the length again; without that a store that is closed
/// then ends, on the disk, with bytes behind its last seal, and is refused.
#[test]
fn a_truncation_whose_sync_fails_is_made_again() {
    sim::run(1, async |sim| {
        life(&sim, Crash::Kill, |sim| async move {
            let store = open(sim.storage()).await.unwrap();
            fill(&store, 1, 40..50).await;
            store.sync_all().await.unwrap();
            // The first sync of the values is that of the zeros.
            let fault =
                Fault::eio(Operation::Sync).blob("blocks-values", &section_name(1)).nth(2).survivors(Cut::LoseAll);
            sim.faults().inject(fault);
            let failed = store.rewind_section(1, 2).await.unwrap_err();
            assert!(matches!(failed, Error::Poisoned { .. } | Error::Unfinished { .. }), "{failed:?}");
            assert_eq!(sim.faults().armed(), 0, "it was the truncation's");
        })
        .await;
        life(&sim, LOSE_ALL, |sim| async move {
            let store = open(sim.storage()).await.unwrap();
            assert_eq!(shown(&store, 1).await.unwrap(), [40, 41]);
            append(&store, 1, 7).await.unwrap();
            store.close().await.unwrap();
        })
        .await;
        life(&sim, LOSE_ALL, |sim| async move {
            let store = open(sim.storage()).await.unwrap();
            assert_eq!(shown(&store, 1).await.unwrap(), [40, 41, 7]);
        })
        .await;
    });
}
