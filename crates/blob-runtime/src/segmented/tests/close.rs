//! Ends of a store that meet other work, or something half done.

use std::sync::Arc;

use futures::FutureExt;

use super::damage::raw;
use super::toy::{Change, PARTITION, Shown, Store, Toy, filled, open, open_with, shown};
use crate::error::{Error, Operation};
use crate::manifest;
use crate::sections::section_name;
use crate::segmented::{Fault, Options, Segmented};
use crate::sim::{self, Crash, Cut, Fault as DiskFault, Sim};
use crate::storage::Storage;
use crate::sync::{Mutex, lock};

fn read_only() -> Options {
    Options { read_only: true, ..Options::default() }
}

/// The first append to a clean store is dropped while `dirty` is being made durable, and the store is closed. A close that
/// looks at the manifest before that has ended takes the store for clean, and leaves it dirty behind.
#[test]
fn a_close_waits_for_a_change_of_the_manifest() {
    for polls in 0..30 {
        for seed in 0..4 {
            sim::run(seed, async |sim| {
                let store = filled(&sim).await;
                let before = shown(&store).await.unwrap();
                store.close().await.unwrap();
                let (store, opening) = open(&sim).await;
                assert!(opening.clean);
                let mut dropped = Box::pin(store.writable(2));
                for _ in 0..polls {
                    if futures::poll!(&mut dropped).is_ready() {
                        break;
                    }
                    sim.yield_now().await;
                }
                drop(dropped);
                store.close().await.unwrap();
                let (store, opening) = open(&sim).await;
                assert!(opening.clean, "{polls} polls, seed {seed}: {opening:?}");
                assert_eq!(shown(&store).await.unwrap(), before, "{polls} polls, seed {seed}");
            });
        }
    }
}

/// `dirty` cannot be written: nobody changes anything of the store, but what its manifest says now is open. The close does
/// not answer that all is in order, and the next open settles it.
#[test]
fn a_close_over_a_poisoned_manifest_tells() {
    for operation in [Operation::Write, Operation::Sync] {
        for (nth, seed) in [(1, 1), (1, 2), (2, 3)] {
            sim::run(seed, async |sim| {
                let store = filled(&sim).await;
                let before = shown(&store).await.unwrap();
                store.close().await.unwrap();
                let (store, _) = open(&sim).await;
                sim.faults().inject(DiskFault::eio(operation).blob(PARTITION, manifest::NAME).nth(nth));
                let refused = store.writable(2).await.map(drop).unwrap_err();
                assert!(matches!(refused, Fault::Storage(Error::Poisoned { .. })), "{refused:?}");
                for _ in 0..2 {
                    let told = store.close().await.unwrap_err();
                    assert!(matches!(told, Fault::Storage(Error::Poisoned { .. })), "{told:?}");
                }
                assert_eq!(shown(&open(&sim).await.0).await.unwrap(), before);
            });
        }
    }
}

/// Sections are being made, by several callers in line for the same one, while the store is destroyed; the first in line
/// may lose interest. Whichever comes first, nothing is left behind: a section's file beside no manifest would be damage
/// for the next open.
#[test]
fn a_destroy_leaves_nothing_of_sections_that_are_being_made() {
    let (mut made, mut refused) = (0, 0);
    for seed in 0..400 {
        sim::run(seed, async |sim| {
            let store = filled(&sim).await;
            let mut rng = sim.rng();
            let mut first = Box::pin(store.writable(9));
            for _ in 0..rng.u8(0..12) {
                if futures::poll!(&mut first).is_ready() {
                    break;
                }
                sim.yield_now().await;
            }
            let makers = [9, 9, 10].map(|section| {
                let (store, sim, wait) = (store.clone(), sim.clone(), rng.u8(0..6));
                sim.clone().spawn(async move {
                    for _ in 0..wait {
                        sim.yield_now().await;
                    }
                    store.writable(section).await?.append(1).await?;
                    Ok::<_, Fault>(())
                })
            });
            let destroyed = {
                let (store, sim, wait) = (store.clone(), sim.clone(), rng.u8(0..6));
                sim.clone().spawn(async move {
                    for _ in 0..wait {
                        sim.yield_now().await;
                    }
                    store.destroy().await
                })
            };
            sim.yield_now().await;
            drop(first);
            for maker in makers {
                match maker.await.unwrap() {
                    Ok(()) => made += 1,
                    Err(Fault::Closed | Fault::Storage(Error::Closed | Error::Removed { .. })) => refused += 1,
                    Err(other) => panic!("seed {seed}: {other:?}"),
                }
            }
            destroyed.await.unwrap().unwrap();
            assert_eq!(sim.storage().scan(PARTITION).await.unwrap(), [b""; 0], "seed {seed}");
            let (store, opening) = open(&sim).await;
            assert!(opening.created, "seed {seed}: {opening:?}");
            assert_eq!(shown(&store).await.unwrap(), Default::default(), "seed {seed}");
        });
    }
    assert!(made > 50 && refused > 50, "{made} were made, {refused} were refused");
}

/// Ends of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Close,
    Destroy,
}

impl End {
    async fn make(self, store: &Store) -> Result<(), Fault> {
        match self {
            Self::Close => store.close().await,
            Self::Destroy => store.destroy().await,
        }
    }

    /// After it the next open finds `left`, or that the store is gone; in particular no file of a section that was being
    /// made stays behind.
    async fn check(self, sim: &Sim, left: &Shown) {
        let files = sim.storage().scan(PARTITION).await.unwrap();
        let (store, opening) = open(sim).await;
        let found = shown(&store).await.unwrap();
        match self {
            Self::Close => {
                assert!(opening.clean, "{opening:?}");
                assert_eq!(found, *left);
                assert_eq!(files.len(), left.2.len() + 1, "the sections and the manifest: {files:?}");
            }
            Self::Destroy => {
                assert!(opening.created, "{opening:?}");
                assert_eq!(found, Default::default());
                assert_eq!(files, [b""; 0]);
            }
        }
    }
}

/// Until nobody gets any further.
async fn stand_still(sim: &Sim) {
    for _ in 0..200 {
        sim.yield_now().await;
    }
}

/// A section is being made, and its making has not reached the storage yet, when the store ends. An end that does not wait
/// for it is over before the file is made: one that stays in a store that is gone, or that nobody has sealed.
#[test]
fn an_end_waits_for_a_section_that_is_being_made() {
    for end in [End::Close, End::Destroy] {
        sim::run(1, async |sim| {
            let store = filled(&sim).await;
            let mut left = shown(&store).await.unwrap();
            let ends = Arc::new(Mutex::new(Vec::new()));
            let held = store.driver().gate.enter().await;
            let maker = {
                let (store, ends) = (store.clone(), Arc::clone(&ends));
                sim.spawn(async move {
                    let refused = store.writable(9).await.map(drop).unwrap_err();
                    lock(&ends).push("the making");
                    refused
                })
            };
            stand_still(&sim).await;
            let ended = {
                let (store, ends) = (store.clone(), Arc::clone(&ends));
                sim.spawn(async move {
                    end.make(&store).await.unwrap();
                    lock(&ends).push("the store");
                })
            };
            stand_still(&sim).await;
            drop(held);
            let refused = maker.await.unwrap();
            assert!(matches!(refused, Fault::Closed), "{end:?}: {refused:?}");
            ended.await.unwrap();
            assert_eq!(*lock(&ends), ["the making", "the store"], "{end:?}");
            // It was made, and nothing was ever appended to it.
            left.2.insert(9, Vec::new());
            end.check(&sim, &left).await;
        });
    }
}

/// Two want to make the same section. The first has begun when the store ends, and loses interest; the other, who had
/// waited behind it, is first in line now. It is not for the end to wait for that one, which begins anew, behind the end's
/// own place in the line: it is refused.
#[test]
fn an_end_refuses_who_is_in_line_to_make_a_section() {
    for end in [End::Close, End::Destroy] {
        sim::run(1, async |sim| {
            let store = filled(&sim).await;
            let left = shown(&store).await.unwrap();
            let held = store.driver().gate.enter().await;
            let mut first = Box::pin(store.writable(9));
            assert!(futures::poll!(&mut first).is_pending());
            let second = {
                let store = store.clone();
                sim.spawn(async move { store.writable(9).await.map(drop) })
            };
            stand_still(&sim).await;
            let ended = {
                let store = store.clone();
                sim.spawn(async move { end.make(&store).await })
            };
            stand_still(&sim).await;
            drop(first);
            stand_still(&sim).await;
            drop(held);
            let refused = second.await.unwrap().unwrap_err();
            assert!(matches!(refused, Fault::Closed), "{end:?}: {refused:?}");
            ended.await.unwrap().unwrap();
            end.check(&sim, &left).await;
        });
    }
}

/// A section is removed while somebody makes it, and the making comes through first. Whoever has asked for it would get one
/// that takes nothing any more; he waits for the removal, and gets one that does.
#[test]
fn a_section_that_is_removed_meanwhile_is_not_handed_out() {
    sim::run(1, async |sim| {
        let store = filled(&sim).await;
        let held = store.driver().gate.enter().await;
        let maker = {
            let (store, sim) = (store.clone(), sim.clone());
            sim.clone().spawn(async move {
                let section = store.writable(9).await?;
                stand_still(&sim).await;
                Ok::<_, Fault>(section.append(91).await?)
            })
        };
        stand_still(&sim).await;
        let removed = {
            let store = store.clone();
            sim.spawn(async move { store.remove_section(9).await })
        };
        stand_still(&sim).await;
        drop(held);
        removed.await.unwrap().unwrap();
        let appended = maker.await.unwrap();
        assert!(matches!(appended, Ok(0)), "{appended:?}");
        assert_eq!(shown(&store).await.unwrap().2[&9], [91]);
    });
}

/// The last sync of a section fails, and it is the one of the close: that answers the failure, and does not say clean.
/// What comes back is a prefix, and no damage.
#[test]
fn a_close_whose_seal_fails_is_not_clean() {
    for seed in 0..20 {
        sim::run(seed, async |sim| {
            let store = filled(&sim).await;
            let section = store.writable(2).await.unwrap();
            section.append(25).await.unwrap();
            sim.faults().inject(DiskFault::eio(Operation::Sync).blob(PARTITION, &section_name(2)));
            let told = store.close().await.unwrap_err();
            assert!(matches!(told, Fault::Storage(Error::Poisoned { .. })), "seed {seed}: {told:?}");
            let (store, opening) = open(&sim).await;
            assert!(!opening.clean, "seed {seed}: {opening:?}");
            let items = shown(&store).await.unwrap().2[&2].clone();
            assert!([20, 21, 22, 23, 24, 25].starts_with(&items) && items.len() >= 5, "seed {seed}: {items:?}");
        });
    }
}

/// A sync of a section has failed, and so has opening it anew: nothing of it is open when the store is closed. A close that
/// looks at open sections only says clean over bytes that the page cache alone has; the power goes, and they are missed.
#[test]
fn a_close_recovers_a_section_that_could_not_be_reopened() {
    for recovers in [true, false] {
        for seed in 0..20 {
            sim::run(seed, async |sim| {
                let case = format!("seed {seed}, {recovers}");
                let store = filled(&sim).await;
                let section = store.writable(2).await.unwrap();
                section.append(25).await.unwrap();
                let fails = || DiskFault::eio(Operation::Sync).blob(PARTITION, &section_name(2));
                sim.faults().inject(fails());
                let error = section.sync().await.unwrap_err();
                assert!(matches!(error, Error::Poisoned { .. }), "{case}: {error:?}");
                sim.faults().inject(fails());
                let error = store.reopen_section(2).await.unwrap_err();
                assert!(matches!(error, Fault::Storage(Error::Io { operation: Operation::Sync, .. })), "{error:?}");
                if !recovers {
                    sim.faults().inject(fails());
                }
                let closed = store.close().await;
                match &closed {
                    Ok(()) => assert!(recovers, "{case}"),
                    Err(Fault::Storage(Error::Io { operation: Operation::Sync, .. })) => assert!(!recovers, "{case}"),
                    Err(other) => panic!("{case}: {other:?}"),
                }
                let (store, opening) = open(&sim).await;
                assert_eq!(opening.clean, recovers, "{case}");
                let found = shown(&store).await.unwrap();
                let items = &found.2[&2];
                assert!([20, 21, 22, 23, 24, 25].starts_with(items) && items.len() >= 5, "{case}: {items:?}");
                drop((section, store));
                sim.crash(Crash::Power(Cut::LoseAll));
                assert_eq!(shown(&open(&sim).await.0).await.unwrap(), found, "{case}: what was shown is durable");
            });
        }
    }
}

/// The process is killed before every step of a destroy, and somebody looks without the right to write: the store is
/// wholly there or wholly gone, as the next writer will find it, and looking changes no byte.
#[test]
fn a_reader_of_a_half_destroyed_store() {
    let (mut there, mut gone) = (0, 0);
    for step in 1.. {
        let ended = sim::run(step, async |sim| {
            let store = filled(&sim).await;
            let before = shown(&store).await.unwrap();
            sim.crash_at(step, Crash::Kill);
            let ended = sim.life(async move { store.destroy().await }).await.is_some();
            if sim.disarm() {
                sim.crash(Crash::Kill);
            }
            let disk = raw(&sim);
            // Also of a storage that may be written.
            let (reader, opening) = open_with(sim.storage(), read_only()).await.unwrap();
            let found = shown(&reader).await.unwrap();
            assert_eq!(opening.resumed, None, "step {step}");
            assert!(raw(&sim) == disk, "step {step}: a byte was changed");
            if found == before {
                there += 1;
                assert!(!opening.created && !ended, "step {step}: {opening:?}");
            } else {
                gone += 1;
                assert_eq!(found, Default::default(), "step {step}");
                assert!(opening.created, "step {step}: {opening:?}");
            }
            let refused = reader.writable(2).await.map(drop).unwrap_err();
            assert!(matches!(refused, Fault::ReadOnly), "step {step}: {refused:?}");
            drop(reader);
            assert_eq!(shown(&open(&sim).await.0).await.unwrap(), found, "step {step}: the writer");
            ended
        });
        if ended {
            break;
        }
    }
    assert!(there > 0 && gone > 3, "{there} there, {gone} gone");
}

/// Somebody has looked at a store that was not closed in order, and is done: his close is Ok and changes no byte, and is
/// the end of his handles only.
#[test]
fn a_reader_closes_an_unclean_store() {
    sim::run(1, async |sim| {
        let store = filled(&sim).await;
        let before = shown(&store).await.unwrap();
        let disk = raw(&sim);
        let (reader, opening) = open_with(sim.storage().read_only(), read_only()).await.unwrap();
        assert!(!opening.clean);
        assert_eq!(shown(&reader).await.unwrap(), before);
        reader.close().await.unwrap();
        reader.clone().close().await.unwrap();
        let closed = reader.existing(2).await.map(drop).unwrap_err();
        assert!(matches!(closed, Fault::Closed), "{closed:?}");
        assert!(raw(&sim) == disk, "a byte was changed");
        Change::Prune.make(&store).await.unwrap();
    });
}

/// A partition's name is as long as one can be, and that of its quarantine could not be made: told when the store is
/// opened, with nothing made, not when something has to be saved.
#[test]
fn a_name_whose_quarantine_has_none() {
    sim::run(1, async |sim| {
        for (len, fits) in [(117, true), (118, false), (128, false)] {
            let (storage, partition) = (sim.storage(), "p".repeat(len));
            let beneath: Arc<dyn Storage> = sim.storage();
            let opened =
                Segmented::open(storage, &partition, &Options::default(), |store| Toy::new(beneath, store)).await;
            match opened {
                Ok(_) => assert!(fits, "{len}"),
                Err(Fault::Storage(Error::InvalidPartition { .. })) => {
                    assert!(!fits, "{len}");
                    assert_eq!(sim.storage().scan(&partition).await.unwrap(), [b""; 0]);
                    assert!(sim.storage().claim(&partition).now_or_never().is_none_or(|claim| claim.is_ok()));
                }
                Err(other) => panic!("{len}: {other:?}"),
            }
        }
    });
}

/// A creation was cut short and has left a second file of the manifest's name. A reader of a storage that may be written
/// takes the one that verifies, and leaves the other; the next writer removes it.
#[test]
fn a_reader_leaves_the_remnant_of_a_manifest() {
    sim::run(1, async |sim| {
        let store = filled(&sim).await;
        let before = shown(&store).await.unwrap();
        store.close().await.unwrap();
        let put = sim.disk().put(PARTITION, manifest::NAME, crate::name::Salt(1), Vec::new());
        assert!(put);
        let files = sim.disk().files().len();
        let (reader, _) = open_with(sim.storage(), read_only()).await.unwrap();
        assert_eq!(shown(&reader).await.unwrap(), before);
        assert!(!reader.is_stale().await.unwrap());
        assert_eq!(sim.disk().files().len(), files, "nothing was removed");
        drop(reader);
        assert_eq!(shown(&open(&sim).await.0).await.unwrap(), before);
        assert_eq!(sim.disk().files().len(), files - 1);
    });
}
