//! The order of a change, and the index that goes rather than being patched (I2): what a crash alone does not show, but a
//! crash and something else does.

use blob_runtime::sections::section_name;
use blob_runtime::sim::{self, Crash, Cut, Fault, Granularity};
use blob_runtime::{Operation, manifest};
use oversized::{Error, IndexCase, Located, OnDamage, Oversized};

use crate::common::{LOSE_ALL, Store, append, config, fill, life, open, open_with, shown, value};

const INDEX: &str = "blocks-index";
const VALUES: &str = "blocks-values";

/// The sections whose values are there.
fn sections_on(sim: &sim::Sim) -> Vec<u64> {
    let files = sim.disk().files().into_iter().filter(|file| file.visible && &*file.partition == VALUES);
    let mut sections: Vec<u64> =
        files.filter_map(|file| blob_runtime::sections::parse_section_name(&file.name)).collect();
    sections.sort_unstable();
    sections
}

/// A process is killed in a rewind over later sections, and then the manifest rots, with the rewind's intent in it: what is
/// left is rebuilt of the files. The later sections go from the newest down, so that is the beginning of what was written.
/// From the oldest up there would be a gap in it.
#[test]
fn a_rewind_takes_the_newest_section_first() {
    let mut between = 0;
    for step in 1.. {
        let ended = sim::run(step, async |sim| {
            life(&sim, LOSE_ALL, |sim| async move {
                let store = open(sim.storage()).await.unwrap();
                for section in 1..6 {
                    fill(&store, section, 0..3).await;
                }
                store.close().await.unwrap();
            })
            .await;
            sim.crash_at(step, Crash::Kill);
            let work = sim.clone();
            let rewound = sim.life(async move {
                let store = open(work.storage()).await.unwrap();
                store.rewind(1, 2).await.unwrap();
            });
            let ended = rewound.await.is_some();
            sim.disarm();
            sim.crash(Crash::Kill);
            assert!(sim.disk().edit(VALUES, manifest::NAME, |bytes| bytes[4096..].fill(0)));
            let left = sections_on(&sim);
            between += u32::from((2..5).contains(&left.len()));
            life(&sim, LOSE_ALL, |sim| async move {
                let store = open_with(sim.storage(), OnDamage::Truncate).await.unwrap();
                assert_eq!(store.sections(), (1..=left.len() as u64).collect::<Vec<_>>(), "step {step}");
            })
            .await;
            ended
        });
        if ended {
            break;
        }
    }
    assert!(between > 0, "no kill came between two removals");
}

/// The header of an index rots in a store that was left: the index goes when the store is opened, durably, and what it said
/// is in the frames. It must not stay to be found again by every open, nor to be believed when more has been cut and
/// appended.
#[test]
fn an_index_that_cannot_be_used_goes_when_the_store_is_opened() {
    sim::run(1, async |sim| {
        life(&sim, LOSE_ALL, |sim| async move {
            let store = open(sim.storage()).await.unwrap();
            fill(&store, 1, 0..4).await;
            fill(&store, 2, 0..1).await;
            store.sync_all().await.unwrap();
            // The first section rests, and is sealed; its index is worth a page.
            store.maintain().await.unwrap();
        })
        .await;
        assert!(sim.disk().edit(INDEX, &section_name(1), |bytes| bytes[9] ^= 1));
        for again in [false, true] {
            life(&sim, LOSE_ALL, |sim| async move {
                let store = open(sim.storage()).await.unwrap();
                let reports = store.section_reports();
                let rebuilt = reports.iter().any(|report| report.index == IndexCase::Rebuilt);
                assert_eq!(rebuilt, !again, "{reports:?}");
                assert_eq!(shown(&store, 1).await.unwrap(), [0, 1, 2, 3]);
            })
            .await;
            assert_eq!(sim.disk().visible(INDEX, &section_name(1)), None);
        }
    });
}

/// An older index is put in the place of the newer one, of a store that was closed: it is not used, and stays until there is
/// a new one. A rewind cut the values alone, and the store was closed: the index that was left spoke of values that were
/// gone, and the next open refused the store as damaged.
#[test]
fn a_rewind_of_a_section_whose_index_is_not_used() {
    sim::run(1, async |sim| {
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
            fill(&store, 1, 500..560).await;
            store.close().await.unwrap();
        })
        .await;
        assert!(sim.disk().edit(INDEX, &section_name(1), |bytes| *bytes = old));
        life(&sim, LOSE_ALL, |sim| async move {
            let store = open(sim.storage()).await.unwrap();
            store.rewind_section(1, 0).await.unwrap();
            store.close().await.unwrap();
        })
        .await;
        life(&sim, LOSE_ALL, |sim| async move {
            let store = open(sim.storage()).await.unwrap();
            assert_eq!(shown(&store, 1).await.unwrap(), [0_u64; 0]);
        })
        .await;
    });
}

/// A section of 10 entries with an index of all of them; the disk is full for the index, so that what is appended is in
/// memory and in the frames. A rewind to between the two cannot write what it keeps: the index goes (I2).
async fn rewind_without_room(sim: &sim::Sim) -> Store {
    let store = open(sim.storage()).await.unwrap();
    fill(&store, 1, 0..10).await;
    store.sync(1).await.unwrap();
    store.maintain().await.unwrap();
    sim.faults().inject(Fault::enospc(Operation::Write).partition(INDEX).always());
    let mut data = 10;
    while append(&store, 1, data).await.is_ok() {
        data += 1;
    }
    assert!(data > 14, "{data}");
    assert!(sim.disk().visible(INDEX, &section_name(1)).is_some());
    store.rewind_section(1, 12).await.unwrap();
    store
}

/// ... and is not used further: what it holds of the entries that are gone would be written at the next checkpoint, in the
/// place of those that came after.
#[test]
fn an_index_that_cannot_be_cut_is_not_used() {
    sim::run(1, async |sim| {
        life(&sim, LOSE_ALL, |sim| async move {
            let store = rewind_without_room(&sim).await;
            sim.faults().clear();
            fill(&store, 1, 50..60).await;
            store.sync(1).await.unwrap();
            store.maintain().await.unwrap();
            assert_eq!(shown(&store, 1).await.unwrap(), (0..12).chain(50..60).collect::<Vec<_>>());
        })
        .await;
        life(&sim, LOSE_ALL, |sim| async move {
            let store = open(sim.storage()).await.unwrap();
            assert_eq!(shown(&store, 1).await.unwrap(), (0..12).chain(50..60).collect::<Vec<_>>());
        })
        .await;
    });
}

/// ... nor left on the disk: another rewind would not cut it, and after a close it would speak of values that are gone.
#[test]
fn an_index_that_cannot_be_cut_does_not_stay() {
    sim::run(1, async |sim| {
        life(&sim, LOSE_ALL, |sim| async move {
            let store = rewind_without_room(&sim).await;
            assert_eq!(sim.disk().visible(INDEX, &section_name(1)), None);
            store.rewind_section(1, 0).await.unwrap();
            store.close().await.unwrap();
        })
        .await;
        sim.faults().clear();
        life(&sim, LOSE_ALL, |sim| async move {
            let store = open(sim.storage()).await.unwrap();
            assert_eq!(shown(&store, 1).await.unwrap(), [0_u64; 0]);
        })
        .await;
    });
}

/// An append gets in before the seal of a section at rest, while the zeros written ahead are cut off. A seal behind it would
/// go to the disk with it; of the two the power cut may leave the seal alone. It says that what is gone was durable, and is
/// believed.
#[test]
fn a_seal_beside_an_append_and_a_power_cut() {
    for step in 1.. {
        let ended = (0..30).fold(true, |all_ended, seed| {
            let ended = sim::run(seed, async |sim| {
                sim.disk().set_granularity(Some(Granularity::Sector));
                sim.crash_at(step, Crash::Power(Cut::Random));
                let work = sim.clone();
                let large = vec![7; 3000];
                let ended = sim.life(async move {
                    let config = config().preallocate_bytes(1 << 16).index_buffer_bytes(4096);
                    let store: Store = Oversized::open(work.storage(), config).await.unwrap();
                    for data in 0..3 {
                        append(&store, 1, data).await.unwrap();
                        store.sync(1).await.unwrap();
                    }
                    fill(&store, 2, 0..1).await;
                    // The seal waits for its truncation, and the append behind it.
                    work.faults().inject(Fault::hang(Operation::Resize).partition(VALUES));
                    let armed = work.faults().armed();
                    let mut seal = Box::pin(store.maintain());
                    let mut late = Box::pin(store.append(1, Located::new(3), &large));
                    while work.faults().armed() == armed {
                        assert!(futures::poll!(&mut seal).is_pending());
                        work.yield_now().await;
                    }
                    assert!(futures::poll!(&mut late).is_pending());
                    work.faults().release();
                    let mut appended = false;
                    loop {
                        appended = appended || futures::poll!(&mut late).is_ready();
                        if futures::poll!(&mut seal).is_ready() {
                            break;
                        }
                        work.yield_now().await;
                    }
                    assert!(appended);
                    store.sync(1).await.unwrap();
                });
                let ended = ended.await.is_some();
                sim.disarm();
                sim.crash(Crash::Power(Cut::Random));
                sim.faults().clear();
                life(&sim, LOSE_ALL, |sim| async move {
                    let store = open(sim.storage()).await.unwrap();
                    let len = match store.sections().contains(&1) {
                        true => store.len(1).await.unwrap(),
                        false => 0,
                    };
                    for position in 0..len {
                        let (record, read) = store.read(1, position).await.unwrap();
                        let expected = if position == 3 { vec![7; 3000] } else { value(position) };
                        assert_eq!((record.data, read), (position, expected), "step {step}, seed {seed}");
                    }
                    assert!(!ended || len == 4, "step {step}, seed {seed}: {len}");
                })
                .await;
                ended
            });
            all_ended && ended
        });
        if ended {
            break;
        }
    }
}

/// A sync fails, and while a task opens the section anew another one asks for a sync: what it has appended may be gone, so
/// it is told of the failure. It waited for the new section, found nothing left to do there, and answered Ok.
#[test]
fn a_sync_that_is_asked_for_while_its_section_is_opened_anew() {
    for all in [false, true] {
        sim::run(1, async |sim| {
            life(&sim, LOSE_ALL, |sim| async move {
                let store = open(sim.storage()).await.unwrap();
                fill(&store, 1, 0..3).await;
                store.sync_all().await.unwrap();
                append(&store, 1, 3).await.unwrap();
                // With this a sync of all is still under way when the section is there again.
                append(&store, 2, 0).await.unwrap();
                sim.faults().inject(Fault::eio(Operation::Sync).partition(VALUES).survivors(Cut::LoseAll));
                let failed = store.sync(1).await.unwrap_err();
                assert!(matches!(failed, Error::Poisoned { section: 1, .. }), "{failed:?}");
                sim.faults().inject(Fault::hang(Operation::Sync).partition(VALUES));
                let reopen = {
                    let store = store.clone();
                    sim.spawn(async move { store.reopen_section(1).await })
                };
                for _ in 0..50 {
                    sim.yield_now().await;
                }
                assert!(!reopen.is_finished());
                let sync = async |store: &Store| if all { store.sync_all().await } else { store.sync(1).await };
                let mut asked = std::pin::pin!(sync(&store));
                let polled = futures::poll!(asked.as_mut());
                assert_eq!(polled.is_pending(), all);
                sim.faults().release();
                reopen.await.unwrap().unwrap();
                let told = match polled {
                    std::task::Poll::Ready(told) => told,
                    std::task::Poll::Pending => asked.await,
                };
                assert!(matches!(told, Err(Error::Poisoned { .. } | Error::Storage { .. })), "{told:?}");
                assert_eq!(shown(&store, 1).await.unwrap()[..3], [0, 1, 2]);
                sync(&store).await.unwrap();
            })
            .await;
        });
    }
}
