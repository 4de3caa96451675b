//! Unsynced state adopted, stores that do not open, and integrity (18 to 31).

use blob_runtime::sim::{self, Crash, Cut};
use oversized::{Compression, Error, Located, OnDamage, Oversized};

use crate::common::{Image, LOSE_ALL, Store, append, build, config, fill, life, open, open_with, shown};

const RANDOM: Crash = Crash::Power(Cut::Random);

/// 18, 19: never synced, rewound while in memory, then a power cut of which anything may survive: an entry is shown with
/// its value or not at all.
#[test]
fn d18_no_entry_without_its_value() {
    for seed in 0..300 {
        sim::run(seed, async |sim| {
            let work = sim.clone();
            let ended = sim.life(async move {
                let sim = work;
                let store = open(sim.storage()).await.unwrap();
                fill(&store, 1, 0..8).await;
                if seed % 2 == 0 {
                    store.rewind(1, 4).await.unwrap();
                    fill(&store, 1, 4..10).await;
                }
                store.maintain().await.unwrap();
                sim.crash_at(1 + seed % 20, RANDOM);
                drop(store.sync(1).await);
            });
            let _ended = ended.await;
            sim.disarm();
            sim.crash(RANDOM);
            life(&sim, LOSE_ALL, |sim| async move {
                let store = open(sim.storage()).await.unwrap();
                if store.sections().contains(&1) {
                    let kept = shown(&store, 1).await.unwrap();
                    assert_eq!(kept, (0..kept.len() as u64).collect::<Vec<_>>());
                }
            })
            .await;
        });
    }
}

/// 20: a page in the middle of the index rots after the open: its entries are read from their frames, one by one and by a
/// replay; verify tells.
#[test]
fn d20_a_hole_in_the_index() {
    use futures::TryStreamExt;
    sim::run(7, async |sim| {
        // In two lives: a page of the first is below the floor of the second, so no open looks at it.
        for data in [0..12, 12..24] {
            life(&sim, LOSE_ALL, |sim| async move {
                let store = open(sim.storage()).await.unwrap();
                fill(&store, 1, data).await;
                store.close().await.unwrap();
            })
            .await;
        }
        assert!(sim.disk().edit("blocks-index", &1_u64.to_be_bytes(), |bytes| bytes[4096 + 64 + 5] ^= 1));
        life(&sim, LOSE_ALL, |sim| async move {
            let store = open(sim.storage()).await.unwrap();
            assert_eq!(shown(&store, 1).await.unwrap(), (0..24).collect::<Vec<_>>());
            let findings: Vec<_> = store.verify(..).try_collect().await.unwrap();
            assert!(!findings.is_empty());
            for finding in &findings {
                assert!(matches!(&finding.error, Error::Corrupt { offset: 64, .. }), "{finding:?}");
            }
        })
        .await;
    });
}

/// 21, 24: cut off at every step of the creation of a store and its first section, in every way: it opens, and goes on.
#[test]
fn d21_creation_is_cut_short() {
    for step in 1..80 {
        for crash in [RANDOM, LOSE_ALL, Crash::Power(Cut::KeepAll), Crash::Kill] {
            sim::run(step, async |sim| {
                sim.crash_at(step, crash);
                let work = sim.clone();
                let ended = sim.life(async move {
                    let store = open(work.storage()).await.unwrap();
                    fill(&store, 1, 0..7).await;
                    store.sync(1).await.unwrap();
                });
                let ended = ended.await.is_some();
                sim.disarm();
                life(&sim, LOSE_ALL, |sim| async move {
                    let store = open(sim.storage()).await.unwrap();
                    let kept = if store.sections().is_empty() { Vec::new() } else { shown(&store, 1).await.unwrap() };
                    assert_eq!(kept, (0..kept.len() as u64).collect::<Vec<_>>(), "step {step}");
                    assert!(!ended || kept.len() == 7);
                    append(&store, 1, kept.len() as u64).await.unwrap();
                    store.sync(1).await.unwrap();
                })
                .await;
            });
        }
    }
}

/// 23, 25, P6: a prune, a removal and a destruction are cut off at every step: whole, or not at all; a number is not used
/// again by halves.
#[test]
fn d23_removals_are_cut_short() {
    for step in 1..60 {
        for what in 0..4 {
            sim::run(step, async |sim| {
                life(&sim, LOSE_ALL, |sim| async move {
                    let store = open(sim.storage()).await.unwrap();
                    for section in 1..5 {
                        fill(&store, section, 0..8).await;
                    }
                    store.close().await.unwrap();
                })
                .await;
                let work = sim.clone();
                sim.crash_at(step + 30, RANDOM);
                let ended = sim.life(async move {
                    let store = open(work.storage()).await.unwrap();
                    match what {
                        0 => drop(store.prune(3).await.unwrap()),
                        1 => drop(store.remove_section(3).await.unwrap()),
                        2 => store.rewind(2, 3).await.unwrap(),
                        _ => store.destroy().await.unwrap(),
                    }
                });
                let ended = ended.await.is_some();
                sim.disarm();
                life(&sim, LOSE_ALL, |sim| async move {
                    let store = open(sim.storage()).await.unwrap();
                    let sections = store.sections();
                    let before = [1, 2, 3, 4];
                    match what {
                        0 => {
                            let pruned = store.pruned_to() == 3;
                            assert!(pruned || store.pruned_to() == 0 && !ended);
                            assert_eq!(sections, if pruned { &before[2..] } else { &before[..] });
                        }
                        1 => assert!(sections == [1, 2, 4] || !ended && sections == before, "{sections:?}"),
                        2 => {
                            let rewound = sections == [1, 2];
                            assert!(rewound || !ended && sections == before, "{sections:?}");
                            assert_eq!(shown(&store, 2).await.unwrap().len(), if rewound { 3 } else { 8 });
                        }
                        _ => assert!(sections.is_empty() || !ended && sections == before, "{sections:?}"),
                    }
                    for section in sections.into_iter().filter(|section| what != 2 || *section != 2) {
                        assert_eq!(shown(&store, section).await.unwrap(), (0..8).collect::<Vec<_>>());
                    }
                })
                .await;
            });
        }
    }
}

/// 28, 29: a smaller limit refuses to read what is larger, before anything is allocated; another compression reads all;
/// another record size is told, and no byte is changed.
#[test]
fn d28_limits_and_sizes() {
    sim::run(7, async |sim| {
        life(&sim, LOSE_ALL, |sim| async move {
            let config = config().compression(Compression::Zstd { level: 1 });
            let store: Store = Oversized::open(sim.storage(), config).await.unwrap();
            store.append(1, Located::new(1), &vec![7; 100_000]).await.unwrap();
            assert!(store.value_bytes(1).await.unwrap() < 1000, "it was compressed");
            store.close().await.unwrap();
        })
        .await;
        let image = Image::of(&sim);
        life(&sim, LOSE_ALL, |sim| async move {
            let small: Store = Oversized::open(sim.storage(), config().max_value_bytes(99_999)).await.unwrap();
            let refused = small.read(1, 0).await.unwrap_err();
            assert!(matches!(refused, Error::ValueTooLarge { len: 100_000, max: 99_999 }), "{refused:?}");
            let refused = small.append(1, Located::new(1), &vec![7; 100_000]).await.unwrap_err();
            assert!(matches!(refused, Error::ValueTooLarge { len: 100_000, max: 99_999 }), "{refused:?}");
            drop(small);
            let store = open(sim.storage()).await.unwrap();
            assert_eq!(store.read(1, 0).await.unwrap().1, vec![7; 100_000]);
            drop(store);
            let other = Oversized::<Located<u32>, Vec<u8>>::open(sim.storage(), config()).await.unwrap();
            let refused = other.len(1).await.unwrap_err();
            assert!(matches!(refused, Error::FormatMismatch { .. }), "{refused:?}");
        })
        .await;
        assert!(Image::of(&sim) == image);
    });
}

/// 9, 10: an index or values of another store in the place of one's own: told, and nothing is removed or cut.
#[test]
fn d09_parts_of_two_stores() {
    let other = sim::run(99, async |sim| {
        build(&sim, true).await;
        Image::of(&sim)
    });
    for partition in ["blocks-index", "blocks-values"] {
        for closed in [true, false] {
            sim::run(7, async |sim| {
                build(&sim, closed).await;
                let mut mixed = Image::of(&sim);
                mixed.0.retain(|(of, name, _), _| of != partition || name == b"meta");
                let foreign = other.0.iter().filter(|((of, name, _), _)| of == partition && name != b"meta");
                mixed.0.extend(foreign.map(|(key, bytes)| (key.clone(), bytes.clone())));
                mixed.restore(&sim);
                for on_damage in [OnDamage::Refuse, OnDamage::Truncate] {
                    life(&sim, LOSE_ALL, |sim| async move {
                        let told = async {
                            let store = open_with(sim.storage(), on_damage).await?;
                            store.len(1).await
                        };
                        let told = told.await.unwrap_err();
                        assert!(matches!(told, Error::FormatMismatch { .. }), "{told:?}");
                    })
                    .await;
                    assert!(Image::of(&sim) == mixed, "{partition}: nothing was changed");
                }
            });
        }
    }
}

/// 31: a sync of what is not there is an error; positions at the end of the numbers do not overflow; a cached entry is not
/// shown after a rewind.
#[test]
fn d31_edges() {
    sim::run(7, async |sim| {
        life(&sim, LOSE_ALL, |sim| async move {
            let store = open(sim.storage()).await.unwrap();
            let unknown = store.sync(9).await.unwrap_err();
            assert!(matches!(unknown, Error::SectionOutOfRange { section: 9 }), "{unknown:?}");
            fill(&store, 1, 0..30).await;
            store.sync(1).await.unwrap();
            assert_eq!(shown(&store, 1).await.unwrap().len(), 30);
            assert!(store.try_get(1, 20).is_some());
            store.rewind(1, 10).await.unwrap();
            assert_eq!(store.try_get(1, 20), None);
            let gone = store.get(1, 20).await.unwrap_err();
            assert!(matches!(gone, Error::ItemOutOfRange { section: 1, position: 20, len: 10 }), "{gone:?}");
            fill(&store, 1, 70..90).await;
            assert_eq!(store.get(1, 20).await.unwrap().data, 80);
            for position in [30, u64::MAX / 20, u64::MAX] {
                let gone = store.get(1, position).await.unwrap_err();
                assert!(matches!(gone, Error::ItemOutOfRange { len: 30, .. }), "{gone:?}");
                let gone = store.rewind(1, position.max(31)).await.unwrap_err();
                assert!(matches!(gone, Error::ItemOutOfRange { len: 30, .. }), "{gone:?}");
            }
            let missing = store.rewind(5, 1).await.unwrap_err();
            assert!(matches!(missing, Error::SectionOutOfRange { section: 5 }), "{missing:?}");
            store.rewind(5, 0).await.unwrap();
            store.rewind_section(7, 0).await.unwrap();
            assert_eq!(store.sections(), [1]);
        })
        .await;
    });
}
