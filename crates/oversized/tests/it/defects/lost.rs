//! Loss or replacement of acknowledged data (1 to 17).

use blob_runtime::sim::{self, Crash, Cut, Fault, Sim};
use blob_runtime::{MemoryStorage, Operation};
use oversized::{Error, OnDamage, Oversized};

use crate::common::{Image, LOSE_ALL, Store, append, build, config, fill, life, open, open_with, shown};

const RANDOM: Crash = Crash::Power(Cut::Random);

/// What is shown of section 1, in a life of its own; what it shows stays.
async fn after(sim: &Sim) -> Vec<u64> {
    let first = life(sim, LOSE_ALL, |sim| async move {
        let store = open(sim.storage()).await.unwrap();
        if store.sections().is_empty() { Vec::new() } else { shown(&store, 1).await.unwrap() }
    })
    .await;
    let again = life(sim, LOSE_ALL, |sim| async move {
        let store = open(sim.storage()).await.unwrap();
        if store.sections().is_empty() { Vec::new() } else { shown(&store, 1).await.unwrap() }
    })
    .await;
    assert_eq!(first, again, "what a writer's open shows is durable");
    first
}

/// 1, 42, 45, 49: a rewind, then appends over the freed range, then a power cut in which anything may survive. An old entry
/// never shows another record's value, and what the rewind took stays away.
#[test]
fn d01_rewind_append_power_cut() {
    for seed in 0..300 {
        sim::run(seed, async |sim| {
            let synced = life(&sim, RANDOM, |sim| async move {
                let store = open(sim.storage()).await.unwrap();
                fill(&store, 1, 0..12).await;
                store.sync(1).await.unwrap();
                store.rewind(1, seed % 12).await.unwrap();
                fill(&store, 1, 50..50 + seed % 7).await;
                if seed % 3 == 0 {
                    store.sync(1).await.unwrap();
                    return seed % 12 + seed % 7;
                }
                seed % 12
            })
            .await;
            let expected: Vec<u64> = (0..seed % 12).chain(50..50 + seed % 7).collect();
            let kept = after(&sim).await;
            assert!(kept.len() as u64 >= synced && kept == expected[..kept.len()], "{kept:?} of {expected:?}");
        });
    }
}

/// 2, 53: the same through recovery's own truncation, which is cut short itself, up to three times.
#[test]
fn d02_recovery_is_cut_short() {
    for seed in 0..300 {
        sim::run(seed, async |sim| {
            life(&sim, RANDOM, |sim| async move {
                let store = open(sim.storage()).await.unwrap();
                fill(&store, 1, 0..6).await;
                store.sync(1).await.unwrap();
                fill(&store, 1, 6..20).await;
            })
            .await;
            let mut rng = sim.rng();
            for _ in 0..3 {
                sim.crash_at(rng.u64(1..40), RANDOM);
                let storage = sim.clone();
                let opened = sim.life(async move {
                    let store = open(storage.storage()).await.unwrap();
                    fill(&store, 1, 90..92).await;
                });
                let _ended = opened.await;
                sim.disarm();
            }
            sim.crash(LOSE_ALL);
            let kept = after(&sim).await;
            let first = kept.iter().take_while(|data| **data < 20).count();
            assert!(first >= 6 && kept[..first] == (0..first as u64).collect::<Vec<_>>()[..], "{kept:?}");
            assert!(kept[first..].iter().all(|data| [90, 91].contains(data)), "{kept:?}");
        });
    }
}

/// 3, 4, 5: pages of the index that are filled, replayed and rewound into, each write of them torn: no synced entry goes.
#[test]
fn d03_pages_are_torn() {
    for seed in 0..300 {
        sim::run(seed, async |sim| {
            let synced = life(&sim, RANDOM, |sim| async move {
                let store = open(sim.storage()).await.unwrap();
                let mut len = 0;
                for round in 0..3 {
                    fill(&store, 1, len..len + 1 + (seed + round) % 9).await;
                    len += 1 + (seed + round) % 9;
                    store.sync(1).await.unwrap();
                    assert_eq!(shown(&store, 1).await.unwrap().len() as u64, len, "a replay flushes nothing");
                    if seed % 2 == 0 && len > 2 {
                        len -= 2;
                        store.rewind(1, len).await.unwrap();
                    }
                    store.maintain().await.unwrap();
                }
                fill(&store, 1, len..len + 4).await;
                len
            })
            .await;
            let kept = after(&sim).await;
            assert!(kept.len() as u64 >= synced, "{kept:?}");
            assert_eq!(kept, (0..kept.len() as u64).collect::<Vec<_>>());
        });
    }
}

/// 6, P12: one read fails while the store is recovered: that error is returned, nothing is cut, and the next try shows all.
#[test]
fn d06_a_read_fails_in_recovery() {
    let mut failed = 0;
    for nth in 1..30 {
        sim::run(7, async |sim| {
            let before = build(&sim, false).await;
            let image = Image::of(&sim);
            let hit = life(&sim, LOSE_ALL, |sim| async move {
                sim.faults().inject(Fault::eio(Operation::Read).nth(nth));
                let opened = open(sim.storage()).await;
                let hit = sim.counts().failed(Operation::Read) > 0;
                if let Err(error) = opened {
                    assert!(hit && error.is_transient(), "{error:?}");
                    return true;
                }
                false
            })
            .await;
            if hit {
                failed += 1;
                let after = Image::of(&sim);
                for (key, bytes) in &image.0 {
                    assert!(after.0[key].len() >= bytes.len(), "read {nth}: {key:?} was cut");
                }
            }
            assert_eq!(after(&sim).await, before[&1]);
        });
    }
    assert!(failed > 5, "{failed}");
}

/// 8: opened with other pages, buffers and compression, also larger and smaller: everything is there.
#[test]
fn d08_other_settings() {
    sim::run(7, async |sim| {
        let before = build(&sim, true).await;
        for page_bytes in [64, 128, 4096, 65_536] {
            let before = before.clone();
            life(&sim, RANDOM, |sim| async move {
                let config = config().page_bytes(page_bytes).index_buffer_bytes(page_bytes as usize);
                let config = config.compression(oversized::Compression::Zstd { level: 3 }).value_buffer_bytes(64);
                let store: Store = Oversized::open(sim.storage(), config).await.unwrap();
                let data = shown(&store, 1).await.unwrap();
                assert_eq!(data[..12], before[&1]);
                fill(&store, 1, 400..410).await;
                store.sync(1).await.unwrap();
            })
            .await;
        }
        assert_eq!(after(&sim).await.len(), 12 + 40);
    });
}

/// 11: the listing of a directory fails: that is an error, never an empty store.
#[test]
fn d11_a_listing_fails() {
    for nth in 1..4 {
        for closed in [true, false] {
            sim::run(7, async |sim| {
                let before = build(&sim, closed).await;
                let image = Image::of(&sim);
                life(&sim, LOSE_ALL, |sim| async move {
                    sim.faults().inject(Fault::eio(Operation::List).nth(nth));
                    if let Err(error) = open(sim.storage()).await {
                        assert!(error.is_transient(), "{error:?}");
                    }
                })
                .await;
                sim.faults().clear();
                for key in image.0.keys() {
                    assert!(Image::of(&sim).0.contains_key(key), "{key:?} is gone");
                }
                assert_eq!(after(&sim).await, before[&1]);
            });
        }
    }
}

/// 12: a rewind in the highest section removes no other.
#[test]
fn d12_rewind_of_the_highest_section() {
    sim::run(7, async |sim| {
        life(&sim, LOSE_ALL, |sim| async move {
            let store = open(sim.storage()).await.unwrap();
            for section in [0, 1, u64::MAX - 1, u64::MAX] {
                fill(&store, section, 0..3).await;
            }
            store.sync_all().await.unwrap();
            store.rewind(u64::MAX, 1).await.unwrap();
            assert_eq!(store.sections(), [0, 1, u64::MAX - 1, u64::MAX]);
            assert_eq!(shown(&store, u64::MAX).await.unwrap(), [0]);
            assert!(store.prune(u64::MAX).await.unwrap());
            assert_eq!(store.sections(), [u64::MAX]);
            fill(&store, u64::MAX, 5..6).await;
            store.sync(u64::MAX).await.unwrap();
        })
        .await;
        life(&sim, LOSE_ALL, |sim| async move {
            let store = open(sim.storage()).await.unwrap();
            assert_eq!(shown(&store, u64::MAX).await.unwrap(), [0, 5]);
            let pruned = store.append(0, oversized::Located::new(1), &vec![]).await.unwrap_err();
            assert!(matches!(pruned, Error::Pruned { section: 0, oldest: u64::MAX }), "{pruned:?}");
        })
        .await;
    });
}

/// 14, 15: every call is polled a number of times and dropped; whatever had begun runs to its end, also in a store that is
/// opened right behind, and nothing is doubled or missing.
#[test]
fn d14_dropped_calls() {
    for polls in 0..40 {
        sim::run(polls, async |sim| {
            life(&sim, LOSE_ALL, |sim| async move {
                let store = open(sim.storage()).await.unwrap();
                let mut expected = Vec::new();
                for round in 0..8_u64 {
                    let before = store.sections().first().map(|_| ());
                    let len = if before.is_some() { store.len(1).await.unwrap() } else { 0 };
                    {
                        let store = &store;
                        let call = async move {
                            append(store, 1, len).await?;
                            match round % 4 {
                                0 => store.sync(1).await,
                                1 => store.rewind(1, len.saturating_sub(2)).await,
                                2 => store.maintain().await,
                                _ => store.sync_all().await,
                            }
                        };
                        let mut call = std::pin::pin!(call);
                        for _ in 0..polls {
                            if futures::poll!(call.as_mut()).is_ready() {
                                break;
                            }
                            sim.yield_now().await;
                        }
                    }
                    // The next call waits for what had begun.
                    append(&store, 1, 1000 + round).await.unwrap();
                    store.rewind_section(1, store.len(1).await.unwrap() - 1).await.unwrap();
                    let data = shown(&store, 1).await.unwrap();
                    assert_eq!(data, (0..data.len() as u64).collect::<Vec<_>>(), "polls {polls}, round {round}");
                    expected = data;
                }
                store.sync_all().await.unwrap();
                let close = store.close();
                drop(futures::future::FutureExt::now_or_never(close));
                store.close().await.unwrap();
                drop(store);
                let store = open(sim.storage()).await.unwrap();
                assert_eq!(shown(&store, 1).await.unwrap(), expected);
            })
            .await;
        });
    }
}

/// 16: killed with writes in the page cache; what the next open shows is durable before it returns.
#[test]
fn d16_killed_then_power_cut() {
    for seed in 0..200 {
        sim::run(seed, async |sim| {
            life(&sim, Crash::Kill, |sim| async move {
                let store = open(sim.storage()).await.unwrap();
                fill(&store, 1, 0..3).await;
                store.sync(1).await.unwrap();
                fill(&store, 1, 3..9).await;
                // Written, not synced.
                sim.faults().inject(Fault::eio(Operation::Sync).always());
                drop(store.sync(1).await);
            })
            .await;
            sim.faults().clear();
            let kept = after(&sim).await;
            assert!(kept.len() >= 3 && kept == (0..kept.len() as u64).collect::<Vec<_>>(), "{kept:?}");
        });
    }
}

/// 17, P10: a second writer gets `Locked`, from every side, and changes nothing.
#[test]
fn d17_two_writers() {
    futures::executor::block_on(async {
        let storage = std::sync::Arc::new(MemoryStorage::new());
        let store = open(storage.clone()).await.unwrap();
        fill(&store, 1, 0..3).await;
        for on_damage in [OnDamage::Refuse, OnDamage::Truncate] {
            let locked = open_with(storage.clone(), on_damage).await.unwrap_err();
            assert!(matches!(locked, Error::Locked { .. }), "{locked:?}");
        }
        let alone = glob::RawGlob::open(storage.clone(), glob::Config::new("blocks-values")).await.unwrap_err();
        assert!(matches!(alone, glob::Error::Locked { .. }), "{alone:?}");
        let journal =
            fixed_journal::RawJournal::open(storage.clone(), fixed_journal::Config::new("blocks-index"), Some(20));
        let index = journal.await.unwrap_err();
        assert!(matches!(index.storage(), Some(blob_runtime::Error::Locked { .. })), "{index:?}");
        fill(&store, 1, 3..4).await;
        store.sync(1).await.unwrap();
        store.close().await.unwrap();
        let store = open(storage).await.unwrap();
        assert_eq!(shown(&store, 1).await.unwrap(), [0, 1, 2, 3]);
    });
}
