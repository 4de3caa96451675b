//! Rot, and blocks that come back (34, 38, 40, 41, 44).

use blob_runtime::manifest;
use blob_runtime::sections::section_name;
use blob_runtime::sim::{self, Crash, Cut};
use futures::TryStreamExt;
use oversized::{Error, OnDamage};

use crate::common::{LOSE_ALL, append, build, fill, life, open, open_with, shown, value};

const VALUES: &str = "blocks-values";
const INDEX: &str = "blocks-index";

/// 34: one slot of the manifest rots, either one, after any change: neither an old state nor an old intent comes back.
#[test]
fn d34_a_slot_of_the_manifest_rots() {
    for slot in 0..2 {
        for changes in 0..4 {
            sim::run(changes, async |sim| {
                life(&sim, LOSE_ALL, |sim| async move {
                    let store = open(sim.storage()).await.unwrap();
                    fill(&store, 1, 0..8).await;
                    fill(&store, 2, 0..8).await;
                    store.sync_all().await.unwrap();
                    store.set_state("first".into()).await.unwrap();
                    store.rewind(1, 5).await.unwrap();
                    fill(&store, 1, 5..7).await;
                    store.sync_all().await.unwrap();
                    for n in 0..changes {
                        store.set_state(format!("state {n}").into()).await.unwrap();
                    }
                })
                .await;
                assert!(sim.disk().edit(VALUES, manifest::NAME, |bytes| bytes[4096 + slot * 4096 + 60] ^= 4));
                life(&sim, LOSE_ALL, |sim| async move {
                    let store = open(sim.storage()).await.unwrap();
                    assert_eq!(shown(&store, 1).await.unwrap(), [0, 1, 2, 3, 4, 5, 6]);
                    assert_eq!(store.sections(), [1]);
                    let expected = if changes == 0 { "first".to_owned() } else { format!("state {}", changes - 1) };
                    assert_eq!(store.state(), expected);
                    assert!(store.recovery().opening.manifest_faults[slot].is_some());
                })
                .await;
            });
        }
    }
}

/// 38, 48: a rewind, regrowth, and a block of the file's past comes back with an old frame or an old page in it: nothing of
/// it verifies where it would count, and what was acknowledged stays.
#[test]
fn d38_stale_blocks() {
    for seed in 0..300 {
        sim::run(seed, async |sim| {
            sim.disk().set_stale(true);
            let synced = life(&sim, Crash::Power(Cut::Random), |sim| async move {
                let store = open(sim.storage()).await.unwrap();
                fill(&store, 1, 0..12).await;
                store.sync(1).await.unwrap();
                store.rewind(1, 3).await.unwrap();
                fill(&store, 1, 3..3 + seed % 5).await;
                store.sync(1).await.unwrap();
                fill(&store, 1, 20..30).await;
                3 + seed % 5
            })
            .await;
            life(&sim, LOSE_ALL, |sim| async move {
                let store = open(sim.storage()).await.unwrap();
                let kept = shown(&store, 1).await.unwrap();
                assert_eq!(kept[..synced as usize], (0..synced).collect::<Vec<_>>()[..]);
                let more: Vec<u64> = (20..30).collect();
                assert_eq!(kept[synced as usize..], more[..kept.len() - synced as usize]);
            })
            .await;
        });
    }
}

/// Puts the index of section 1 back as it was before a rewind; its last entries are right again, for the same records lie
/// at the same places as then. Answers with what the section holds now.
async fn stale_index(sim: &sim::Sim, closed: bool) -> Vec<u64> {
    let stale = life(sim, LOSE_ALL, |sim| async move {
        let store = open(sim.storage()).await.unwrap();
        fill(&store, 1, 0..50).await;
        store.close().await.unwrap();
        sim.disk().visible(INDEX, &section_name(1)).unwrap()
    })
    .await;
    // As many bytes as went, the rewind's seal and all (one value is 40 bytes shorter), so the last ones lie where they lay.
    let regrown: Vec<u64> = (80..95).chain([55]).chain(46..50).collect();
    let holds = (0..30).chain(regrown.iter().copied()).collect();
    life(sim, LOSE_ALL, |sim| async move {
        let store = open(sim.storage()).await.unwrap();
        let last = store.get(1, 49).await.unwrap();
        store.rewind_section(1, 30).await.unwrap();
        for data in regrown {
            append(&store, 1, data).await.unwrap();
        }
        assert_eq!(store.get(1, 49).await.unwrap(), last, "the last entry is the same as before");
        match closed {
            true => store.close().await.unwrap(),
            false => store.sync(1).await.unwrap(),
        }
    })
    .await;
    assert!(sim.disk().edit(INDEX, &section_name(1), |bytes| *bytes = stale.clone()));
    holds
}

/// 48: the index is as it was before a rewind, and its last entries are right again. What tells that the others are not is
/// each of them against its own frame.
#[test]
fn d48_the_last_entry_of_a_stale_index_is_right() {
    sim::run(3, async |sim| {
        let holds = stale_index(&sim, false).await;
        life(&sim, LOSE_ALL, |sim| async move {
            let store = open(sim.storage()).await.unwrap();
            assert_eq!(shown(&store, 1).await.unwrap(), holds);
        })
        .await;
    });
}

/// The same in a store that was closed, where only the last entry is looked at: no value is wrong, for each is read with
/// the record in its frame, and `verify` finds the entries that are.
#[test]
fn d48_a_stale_index_of_a_closed_store() {
    sim::run(3, async |sim| {
        let holds = stale_index(&sim, true).await;
        life(&sim, LOSE_ALL, |sim| async move {
            let store = open(sim.storage()).await.unwrap();
            let mut told = 0;
            for (position, data) in (0..).zip(&holds) {
                match store.read(1, position).await {
                    Ok((record, read)) => assert_eq!((record.data, read), (*data, value(*data)), "entry {position}"),
                    Err(Error::Corrupt { .. } | Error::InvalidLocation { .. }) => told += 1,
                    Err(error) => panic!("entry {position}: {error:?}"),
                }
            }
            assert!(told > 0, "the index is not that of these values");
            let findings: Vec<_> = store.verify(..).try_collect().await.unwrap();
            assert!(!findings.is_empty());
        })
        .await;
    });
}

/// 41: one bit of a section rots that was synced many times: it is damage, not a torn tail that takes all that follows; in
/// what nothing proves, the last sync, it is dropped, reported, and kept in quarantine.
#[test]
fn d41_one_bit() {
    let mut told = 0;
    for entry in 0..10_usize {
        sim::run(7, async |sim| {
            life(&sim, LOSE_ALL, |sim| async move {
                let store = open(sim.storage()).await.unwrap();
                for data in 0..10 {
                    append(&store, 1, data).await.unwrap();
                    store.sync(1).await.unwrap();
                }
            })
            .await;
            let offset: usize = (0..entry as u64).map(|data| 60 + crate::common::value(data).len()).sum();
            assert!(sim.disk().edit(VALUES, &1_u64.to_be_bytes(), |bytes| bytes[4096 + offset + 62] ^= 1));
            let refused = life(&sim, LOSE_ALL, |sim| async move {
                match open(sim.storage()).await {
                    Err(Error::Corrupt { offset: at, .. }) => {
                        assert_eq!(at, offset as u64);
                        true
                    }
                    Ok(store) => {
                        // In what the index has: told when it is read.
                        let read = store.read(1, entry as u64).await;
                        match read {
                            Err(Error::ChecksumMismatch { offset: at, .. }) => {
                                assert_eq!(at, offset as u64);
                                true
                            }
                            Err(Error::ItemOutOfRange { len: 9, .. }) => {
                                let report = &store.recovery().sections[0];
                                assert!(report.dropped_bytes > 0, "{report:?}");
                                false
                            }
                            other => panic!("{other:?}"),
                        }
                    }
                    Err(error) => panic!("{error:?}"),
                }
            })
            .await;
            assert_eq!(refused, entry < 9, "entry {entry}");
            told += u32::from(refused);
        });
    }
    assert_eq!(told, 9);
}

/// 44: a seal rots, in the middle of a section or at its end: nothing before it is lost.
#[test]
fn d44_a_seal_rots() {
    for at_end in [true, false] {
        sim::run(7, async |sim| {
            let before = build(&sim, true).await;
            let len = sim.disk().visible(VALUES, &1_u64.to_be_bytes()).unwrap().len();
            if !at_end {
                life(&sim, LOSE_ALL, |sim| async move {
                    let store = open(sim.storage()).await.unwrap();
                    append(&store, 1, 500).await.unwrap();
                    store.sync(1).await.unwrap();
                })
                .await;
            }
            assert!(sim.disk().edit(VALUES, &1_u64.to_be_bytes(), |bytes| bytes[len - 20] ^= 1));
            life(&sim, LOSE_ALL, |sim| async move {
                let refused = async {
                    let store = open(sim.storage()).await?;
                    store.len(1).await
                };
                let refused = refused.await.unwrap_err();
                assert!(matches!(refused, Error::Corrupt { .. }), "{refused:?}");
            })
            .await;
            life(&sim, LOSE_ALL, |sim| async move {
                let store = open_with(sim.storage(), OnDamage::Truncate).await.unwrap();
                assert_eq!(shown(&store, 1).await.unwrap(), before[&1], "nothing before the seal is lost");
            })
            .await;
        });
    }
}
