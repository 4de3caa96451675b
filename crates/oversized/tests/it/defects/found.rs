//! Defects of earlier versions of this crate that were found by reading it, beside the numbered ones.

use blob_runtime::sim::{self, Fault};
use blob_runtime::{Operation, sections::section_name};
use futures::StreamExt;
use oversized::{Error, Located, OnDamage, Oversized, PageCache};

use crate::common::{Image, LOSE_ALL, Store, append, build, config, fill, life, open, open_with, shown, value};

const INDEX: &str = "blocks-index";
const VALUES: &str = "blocks-values";

/// The index cannot be written, and its buffer is full; then there is room again. What the failed write had left in memory
/// was never written, so every later append answered the old failure.
#[test]
fn room_for_the_index_again() {
    for buffer in [95, 100, 130, 256] {
        sim::run(1, async |sim| {
            life(&sim, LOSE_ALL, |sim| async move {
                let store: Store = Oversized::open(sim.storage(), config().index_buffer_bytes(buffer)).await.unwrap();
                sim.faults().inject(Fault::enospc(Operation::Write).partition(INDEX).always());
                let mut data = 0;
                let refused = loop {
                    match append(&store, 1, data).await {
                        Ok(_) => data += 1,
                        Err(error) => break error,
                    }
                };
                assert!(matches!(refused, Error::Storage { .. }), "{refused:?}");
                sim.faults().clear();
                fill(&store, 1, data..data + 40).await;
                store.sync(1).await.unwrap();
                assert_eq!(shown(&store, 1).await.unwrap(), (0..data + 40).collect::<Vec<_>>());
            })
            .await;
        });
    }
}

/// Recovery keeps a prefix of damaged values, and there is no room in quarantine: nothing is changed, of the index either,
/// whose records were cut off before.
#[test]
fn quarantine_comes_before_every_cut() {
    sim::run(9, async |sim| {
        build(&sim, true).await;
        let cut = 4096 + (100..107).map(|data| 60 + value(data).len()).sum::<usize>() + 10;
        assert!(sim.disk().edit(VALUES, &section_name(1), |bytes| bytes.truncate(cut)));
        let before = Image::of(&sim);
        let index = before.0.iter().find(|((partition, ..), _)| partition == INDEX).unwrap().1.clone();
        sim.faults().inject(Fault::enospc(Operation::Write).partition("blocks-values-quarantine").always());
        life(&sim, LOSE_ALL, |sim| async move {
            let store = open_with(sim.storage(), OnDamage::Truncate).await.unwrap();
            let failed = store.len(1).await.unwrap_err();
            assert!(failed.to_string().contains("quarantine"), "{failed}");
        })
        .await;
        let of = |image: &Image, partition: &str| -> Vec<Vec<u8>> {
            image.0.iter().filter(|((other, ..), _)| other == partition).map(|(_, bytes)| bytes.clone()).collect()
        };
        let after = Image::of(&sim);
        assert_eq!(of(&after, INDEX), of(&before, INDEX), "the index is as it was");
        assert_eq!(of(&after, VALUES)[0], of(&before, VALUES)[0], "the values are as they were");
        sim.faults().clear();
        life(&sim, LOSE_ALL, |sim| async move {
            let store = open_with(sim.storage(), OnDamage::Truncate).await.unwrap();
            assert_eq!(store.len(1).await.unwrap(), 7);
        })
        .await;
        assert!(Image::of(&sim).quarantine_has(&index[4096..]), "the records that went are in quarantine");
    });
}

/// An older copy of an index is put in the place of the newer one, of the same section: each of its pages verifies, and its
/// records are of entries that a rewind has taken back. They were believed; the frames say otherwise.
#[test]
fn the_index_of_another_time() {
    for closed in [true, false] {
        sim::run(3, async |sim| {
            let old = life(&sim, LOSE_ALL, |sim| async move {
                let store = open(sim.storage()).await.unwrap();
                fill(&store, 1, 0..40).await;
                store.close().await.unwrap();
                sim.disk().visible(INDEX, &section_name(1)).unwrap()
            })
            .await;
            life(&sim, LOSE_ALL, |sim| async move {
                let store = open(sim.storage()).await.unwrap();
                store.rewind_section(1, 3).await.unwrap();
                fill(&store, 1, 500..540).await;
                match closed {
                    true => store.close().await.unwrap(),
                    false => store.sync(1).await.unwrap(),
                }
            })
            .await;
            assert!(sim.disk().edit(INDEX, &section_name(1), |bytes| *bytes = old.clone()));
            life(&sim, LOSE_ALL, |sim| async move {
                let store = open(sim.storage()).await.unwrap();
                let expected: Vec<u64> = (0..3).chain(500..540).collect();
                assert_eq!(shown(&store, 1).await.unwrap(), expected);
                store.maintain().await.unwrap();
                fill(&store, 1, 540..550).await;
                store.sync(1).await.unwrap();
                assert_eq!(shown(&store, 1).await.unwrap().len(), 53);
            })
            .await;
        });
    }
}

/// The index's fsync fails, and a task opens the section anew, which drops what is only in memory, while another task's
/// sync is under way. That one took the new section, found nothing left to do, and answered Ok.
#[test]
fn a_sync_beside_a_section_that_is_opened_anew() {
    let mut told = 0;
    for seed in 0..200 {
        sim::run(seed, async |sim| {
            told += life(&sim, LOSE_ALL, |sim| async move {
                let config = config().index_buffer_bytes(4096);
                let store: Store = Oversized::open(sim.storage(), config).await.unwrap();
                fill(&store, 1, 0..6).await;
                fill(&store, 2, 0..1).await;
                store.sync_all().await.unwrap();
                // The section rests, and is sealed: its index is written first.
                sim.faults().inject(Fault::hang(Operation::Write).partition(INDEX));
                sim.faults().inject(Fault::eio(Operation::Sync).partition(INDEX));
                let other = {
                    let store = store.clone();
                    sim.spawn(async move {
                        if store.maintain().await.is_err() {
                            store.reopen_section(1).await.unwrap();
                        }
                    })
                };
                for _ in 0..30 + seed % 20 {
                    sim.yield_now().await;
                }
                sim.faults().inject(Fault::hang(Operation::Write).partition(VALUES));
                let ahead = {
                    let store = store.clone();
                    sim.spawn(async move {
                        append(&store, 1, 6).await?;
                        store.sync(1).await
                    })
                };
                for _ in 0..10 {
                    sim.yield_now().await;
                }
                let at = append(&store, 1, 7).await;
                let mut own = std::pin::pin!(store.sync(1));
                let begun = futures::poll!(own.as_mut());
                for _ in 0..seed % 7 {
                    sim.yield_now().await;
                }
                sim.faults().release();
                other.await.unwrap();
                let synced = match begun {
                    std::task::Poll::Ready(synced) => synced,
                    std::task::Poll::Pending => own.await,
                };
                let kept = shown(&store, 1).await.unwrap();
                drop(ahead.await.unwrap());
                if at.is_ok() && synced.is_ok() {
                    assert!(kept.contains(&7), "seed {seed}: {kept:?}");
                }
                u32::from(synced.is_err())
            })
            .await;
        });
    }
    assert!(told > 0, "no sync met a section that was opened anew");
}

/// A sync of an index has failed, and its section is poisoned: a rewind of it is refused before anything is decided. It was
/// decided first, which stopped the whole store.
#[test]
fn a_rewind_of_a_section_whose_index_is_poisoned() {
    sim::run(1, async |sim| {
        life(&sim, LOSE_ALL, |sim| async move {
            let store = open(sim.storage()).await.unwrap();
            for section in 1..4 {
                fill(&store, section, 0..3).await;
            }
            store.sync_all().await.unwrap();
            sim.faults().inject(Fault::eio(Operation::Sync).partition(INDEX));
            let mut data = 3;
            let poisoned = loop {
                match append(&store, 1, data).await {
                    Ok(_) => data += 1,
                    Err(error) => break error,
                }
            };
            assert!(matches!(poisoned, Error::Poisoned { section: 1, .. }), "{poisoned:?}");
            let refused = store.rewind(1, 2).await.unwrap_err();
            assert!(matches!(refused, Error::Poisoned { section: 1, .. }), "{refused:?}");
            assert_eq!(store.sections(), [1, 2, 3]);
            fill(&store, 3, 3..5).await;
            store.sync(3).await.unwrap();
            store.reopen_section(1).await.unwrap();
            store.rewind(1, 2).await.unwrap();
            assert_eq!((store.sections(), shown(&store, 1).await.unwrap()), (vec![1], vec![0, 1]));
        })
        .await;
    });
}

/// A page of the index ends inside of a batch, and a later frame of that batch rots: all of it was durable when the page was
/// written (I1), so it is damage. It was taken for a batch that had never been whole, and half of it was shown.
#[test]
fn the_index_ends_inside_of_a_batch() {
    sim::run(5, async |sim| {
        life(&sim, LOSE_ALL, |sim| async move {
            let store = open(sim.storage()).await.unwrap();
            fill(&store, 1, 0..2).await;
            store.append_all(1, (2..12).map(|data| (Located::new(data), value(data)))).await.unwrap();
            store.sync(1).await.unwrap();
            store.maintain().await.unwrap();
        })
        .await;
        // The header, and whole pages; the last of them is cut off.
        assert!(sim.disk().edit(INDEX, &section_name(1), |bytes| bytes.truncate(4096 + 2 * 64)));
        let at = 4096 + (0..9).map(|data| 60 + value(data).len()).sum::<usize>() + 20;
        assert!(sim.disk().edit(VALUES, &section_name(1), |bytes| bytes[at] ^= 1));
        let before = Image::of(&sim);
        life(&sim, LOSE_ALL, |sim| async move {
            let refused = open(sim.storage()).await.unwrap_err();
            assert!(matches!(refused, Error::Corrupt { .. }), "{refused:?}");
        })
        .await;
        assert!(Image::of(&sim) == before, "Refuse changes nothing");
        life(&sim, LOSE_ALL, |sim| async move {
            let store = open_with(sim.storage(), OnDamage::Truncate).await.unwrap();
            assert_eq!(shown(&store, 1).await.unwrap(), [0, 1], "the batch goes whole");
        })
        .await;
    });
}

/// A rewind into a batch leaves an index that ends inside of it as well, with a seal behind: that is not damage, neither
/// then nor when more has been appended.
#[test]
fn a_rewind_into_a_batch_is_no_damage() {
    for keep in 2..12 {
        for more in [0, 1, 5] {
            sim::run(5, async |sim| {
                life(&sim, LOSE_ALL, |sim| async move {
                    let store = open(sim.storage()).await.unwrap();
                    fill(&store, 1, 0..2).await;
                    store.append_all(1, (2..12).map(|data| (Located::new(data), value(data)))).await.unwrap();
                    store.sync(1).await.unwrap();
                    store.maintain().await.unwrap();
                    store.rewind_section(1, keep).await.unwrap();
                    fill(&store, 1, 20..20 + more).await;
                    store.sync(1).await.unwrap();
                })
                .await;
                life(&sim, LOSE_ALL, |sim| async move {
                    let store = open(sim.storage()).await.unwrap();
                    assert_eq!(shown(&store, 1).await.unwrap(), (0..keep).chain(20..20 + more).collect::<Vec<_>>());
                })
                .await;
            });
        }
    }
}

/// A checkpoint was begun by an append that was dropped, and its fsync fails during the close: the close says so. It wrote
/// `clean` over it, and the next open took each page of the index for durable.
#[test]
fn a_close_over_a_checkpoint_that_fails() {
    let mut told = 0;
    for (before, polls) in (1..6).flat_map(|before| (1..12).map(move |polls| (before, polls))) {
        sim::run(2, async |sim| {
            told += life(&sim, LOSE_ALL, |sim| async move {
                let config = config().checkpoint_bytes(200).index_buffer_bytes(4096);
                let store: Store = Oversized::open(sim.storage(), config).await.unwrap();
                fill(&store, 1, 0..before).await;
                sim.faults().inject(Fault::eio(Operation::Sync).partition(INDEX));
                {
                    let mut append = std::pin::pin!(append(&store, 1, before));
                    for _ in 0..polls {
                        if futures::poll!(append.as_mut()).is_ready() {
                            break;
                        }
                        sim.yield_now().await;
                    }
                }
                let armed = sim.faults().armed();
                match store.close().await {
                    Ok(()) => assert_eq!(sim.faults().armed(), armed, "{before} before, {polls} polls"),
                    Err(error) => {
                        assert!(matches!(error, Error::Poisoned { section: 1, .. }), "{error:?}");
                        return 1;
                    }
                }
                0
            })
            .await;
        });
    }
    assert!(told > 0, "no close met the failure");
}

/// `verify` runs beside everything that changes a sound store: it told of files that were missing, of records that
/// differed, of a slot of the manifest that did not verify.
#[test]
fn a_verify_beside_changes_finds_nothing() {
    for seed in 0..300 {
        sim::run(seed, async |sim| {
            life(&sim, LOSE_ALL, |sim| async move {
                let store = open(sim.storage()).await.unwrap();
                for section in 1..4 {
                    fill(&store, section, 0..20).await;
                }
                store.sync_all().await.unwrap();
                let looks = {
                    let store = store.clone();
                    sim.spawn(async move {
                        let mut all = Vec::new();
                        for _ in 0..4 {
                            all.extend(store.verify(..).collect::<Vec<_>>().await);
                        }
                        all
                    })
                };
                for round in 0..6 {
                    store.set_state(format!("{round}").into()).await.unwrap();
                    let section = 1 + (seed + round) % 3;
                    match (seed + round) % 4 {
                        0 => drop(store.remove_section(section).await.unwrap()),
                        1 => {
                            let len = store.len(section).await.unwrap();
                            store.rewind_section(section, len.min(3)).await.unwrap();
                        }
                        _ => store.maintain().await.unwrap(),
                    }
                    fill(&store, section, 100 * round..100 * round + 15).await;
                    store.sync(section).await.unwrap();
                }
                for found in looks.await.unwrap() {
                    match found {
                        Err(Error::Rewound { .. }) => {}
                        other => panic!("seed {seed}: {other:?}"),
                    }
                }
            })
            .await;
        });
    }
}

/// A sync fails inside of a rewind, and the section is poisoned with nothing left to be synced: its next sync answered Ok.
#[test]
fn a_sync_of_a_poisoned_section_with_nothing_to_do() {
    sim::run(1, async |sim| {
        life(&sim, LOSE_ALL, |sim| async move {
            let store = open(sim.storage()).await.unwrap();
            fill(&store, 1, 0..3).await;
            store.sync(1).await.unwrap();
            sim.faults().inject(Fault::eio(Operation::Sync).blob(VALUES, &section_name(1)));
            let failed = store.rewind_section(1, 2).await.unwrap_err();
            assert!(matches!(failed, Error::Poisoned { section: 1, .. }), "{failed:?}");
            let told = store.sync(1).await;
            assert!(matches!(told, Err(Error::Poisoned { section: 1, .. })), "{told:?}");
        })
        .await;
    });
}

/// A reader beside a writer that rewinds, removes and prunes: whatever it meets of that, at the first use of a section too,
/// is [`Error::Stale`]. It answered what the storage said of a file that was gone, or shorter (seeds 143071 and 169251 of
/// the crash suite).
#[test]
fn a_reader_beside_changes_is_stale() {
    let mut stale = 0;
    for seed in 0..400 {
        stale += sim::run(seed, async |sim| {
            life(&sim, LOSE_ALL, |sim| async move {
                let store = open(sim.storage()).await.unwrap();
                for section in 1..4 {
                    fill(&store, section, 0..20).await;
                }
                store.sync_all().await.unwrap();
                let reads = {
                    let storage = sim.storage();
                    sim.spawn(async move {
                        let mut stale = 0;
                        for _ in 0..4 {
                            let reader: Result<Store, _> =
                                Oversized::open(storage.clone(), config().read_only(true)).await;
                            let mut errors = Vec::new();
                            let reader = match reader {
                                Ok(reader) => reader,
                                Err(error) => panic!("an open for reading: {error:?}"),
                            };
                            for section in reader.sections() {
                                errors.extend(shown(&reader, section).await.err());
                                let many = reader.read_many(section, 0..3, 1000).await;
                                errors
                                    .extend(many.err().filter(|error| !matches!(error, Error::ItemOutOfRange { .. })));
                            }
                            let mut looks = reader.verify(..);
                            while let Some(found) = looks.next().await {
                                errors.extend(found.err());
                            }
                            for error in errors {
                                match error {
                                    Error::Stale { .. } => stale += 1,
                                    // At the first use of a section of which nothing is left.
                                    Error::SectionOutOfRange { .. } => {}
                                    other => panic!("seed {seed}: {other:?}"),
                                }
                            }
                        }
                        stale
                    })
                };
                for round in 0..4 {
                    let section = 1 + (seed + round) % 3;
                    let changed = match (seed / 3 + round) % 4 {
                        0 => store.remove_section(section).await.map(drop),
                        1 => store.rewind(section, 0).await,
                        2 => store.prune(section).await.map(drop),
                        _ => store.rewind_section(section, 1).await,
                    };
                    match changed {
                        Ok(()) => {}
                        Err(Error::Pruned { .. } | Error::SectionOutOfRange { .. } | Error::ItemOutOfRange { .. }) => {}
                        Err(error) => panic!("seed {seed}: {error:?}"),
                    }
                }
                reads.await.unwrap()
            })
            .await
        });
    }
    assert!(stale > 0, "no reader met a change");
}

/// A page of the index rots while the store is open. An entry in it is found by way of the frames, from the last sound page
/// on: each such read went through all headers from the section's start.
#[test]
fn an_entry_of_a_rotten_page_is_found_from_the_page_before() {
    sim::run(4, async |sim| {
        let store = || config().page_cache(PageCache::new(0)).max_value_bytes(100_000);
        let value = |data: u64| vec![data as u8; 100_000];
        life(&sim, LOSE_ALL, |sim| async move {
            let store: Store = Oversized::open(sim.storage(), store()).await.unwrap();
            for data in 0..120 {
                store.append(1, Located::new(data), &value(data)).await.unwrap();
            }
            store.close().await.unwrap();
        })
        .await;
        life(&sim, LOSE_ALL, |sim| async move {
            let store: Store = Oversized::open(sim.storage(), store()).await.unwrap();
            assert_eq!(store.len(1).await.unwrap(), 120);
            // 40 bytes of data a page, 20 a record: entries 100 to 103 are in two of them.
            assert!(sim.disk().edit(INDEX, &section_name(1), |bytes| {
                for page in 50..52 {
                    bytes[4096 + page * 64] ^= 1;
                }
            }));
            for position in 99..105 {
                let before = sim.counts().performed(Operation::Read);
                assert_eq!(store.get(1, position).await.unwrap().data, position);
                let reads = sim.counts().performed(Operation::Read) - before;
                assert!(reads <= 12, "entry {position}: {reads} reads");
            }
        })
        .await;
    });
}

/// A removal fails in the middle, and the section is out of use with entries that were never synced: a sync of all found
/// nothing to do and answered Ok (seed 3362894 of the crash suite).
#[test]
fn a_sync_of_all_behind_a_removal_that_failed() {
    sim::run(1, async |sim| {
        life(&sim, LOSE_ALL, |sim| async move {
            let store = open(sim.storage()).await.unwrap();
            fill(&store, 1, 0..3).await;
            sim.faults().inject(Fault::eio(Operation::Remove));
            store.remove_section(1).await.unwrap_err();
            let told = store.sync_all().await;
            assert!(matches!(told, Err(Error::Unfinished { .. })), "{told:?}");
        })
        .await;
    });
}
