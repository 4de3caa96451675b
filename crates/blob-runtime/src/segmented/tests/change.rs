//! Changes of structure that are dropped, that fail, and that meet other users of the store.

use std::sync::Arc;

use super::toy::{Change, PARTITION, filled, open, open_with, shown};
use crate::error::{Error, Operation};
use crate::manifest::{Intent, Target};
use crate::sections::section_name;
use crate::segmented::{Fault, Options};
use crate::sim::{self, Crash, Cut, Fault as DiskFault};
use crate::storage::Storage;

/// The caller of a change loses interest after every number of polls: what follows sees it wholly made or not begun, and
/// nothing of it lands later (P7).
#[test]
fn a_change_is_dropped_after_every_number_of_polls() {
    for change in Change::ALL {
        for polls in 0..40 {
            for seed in 0..3 {
                sim::run(seed, async |sim| {
                    let case = format!("{change:?}, {polls} polls, seed {seed}");
                    let store = filled(&sim).await;
                    let before = shown(&store).await.unwrap();
                    let mut dropped = Box::pin(change.make(&store));
                    let mut ended = false;
                    for _ in 0..polls {
                        if futures::poll!(&mut dropped).is_ready() {
                            ended = true;
                            break;
                        }
                        sim.yield_now().await;
                    }
                    drop(dropped);
                    let after = change.after(before.clone());
                    if matches!(change, Change::Destroy) {
                        // What has begun goes on with the close, or with the next open.
                        store.close().await.unwrap();
                        drop(store);
                        let found = shown(&open(&sim).await.0).await.unwrap();
                        assert!(found == after || !ended && found == before, "{case}: {found:?}");
                        return;
                    }
                    // The next change waits for it.
                    let section = store.writable(4).await.unwrap();
                    section.append(99).await.unwrap();
                    let found = shown(&store).await.unwrap();
                    let [before, after] = [before, after].map(|mut shown| {
                        shown.2.entry(4).or_default().push(99);
                        shown
                    });
                    assert!(found == after || !ended && found == before, "{case}: {found:?}");
                    section.sync().await.unwrap();
                    drop((section, store));
                    sim.crash(Crash::Power(Cut::LoseAll));
                    assert_eq!(shown(&open(&sim).await.0).await.unwrap(), found, "{case}, after a crash");
                });
            }
        }
    }
}

/// A rewind opens a section that is not open, and is dropped while it does. Whoever reads that section is behind it in the
/// line, and need not wait for the next change to get it out of the way: there may be none.
#[test]
fn a_section_is_read_behind_a_rewind_that_was_dropped_while_it_opened_it() {
    for polls in 0..40 {
        sim::run(polls, async |sim| {
            filled(&sim).await.close().await.unwrap();
            let store = open(&sim).await.0;
            let mut dropped = Box::pin(store.rewind(2, 1, false));
            for _ in 0..polls {
                if futures::poll!(&mut dropped).is_ready() {
                    break;
                }
                sim.yield_now().await;
            }
            drop(dropped);
            let read = store.existing(2).await.unwrap().items().await.unwrap();
            assert_eq!(read[0], 20, "{polls} polls");
        });
    }
}

/// One of several handles closes the store, while a change is under way that nobody waits for any more: the change ends,
/// everything is sealed, every handle answers `Closed`, and the store can be opened again although they live on.
#[test]
fn a_close_is_for_all_clones() {
    for polls in 0..20 {
        sim::run(polls, async |sim| {
            let store = filled(&sim).await;
            let before = shown(&store).await.unwrap();
            store.existing(1).await.unwrap().append(15).await.unwrap();
            let held = store.existing(1).await.unwrap();
            let mut dropped = Box::pin(store.prune(2));
            for _ in 0..polls {
                if futures::poll!(&mut dropped).is_ready() {
                    break;
                }
                sim.yield_now().await;
            }
            drop(dropped);
            let clone = store.clone();
            store.close().await.unwrap();
            clone.close().await.unwrap();
            let answers = [
                clone.prune(9).await.map(drop).unwrap_err(),
                clone.rewind(2, 0, true).await.unwrap_err(),
                clone.remove_section(2).await.map(drop).unwrap_err(),
                clone.set_state("x".into()).await.unwrap_err(),
                clone.section(2).await.map(drop).unwrap_err(),
                clone.writable(2).await.map(drop).unwrap_err(),
                clone.reopen_section(2).await.unwrap_err(),
                clone.destroy().await.unwrap_err(),
            ];
            assert!(answers.iter().all(|fault| matches!(fault, Fault::Closed)), "{answers:?}");
            assert!(clone.try_writable(2).is_none());
            let error = held.append(16).await.unwrap_err();
            assert!(matches!(error, Error::Closed), "{error:?}");
            let (again, opening) = open(&sim).await;
            assert!(opening.clean && opening.resumed.is_none(), "{opening:?}");
            let found = shown(&again).await.unwrap();
            let mut with_append = before.clone();
            with_append.2.get_mut(&1).unwrap().push(15);
            let mut pruned = with_append.clone();
            pruned.0 = 2;
            pruned.2.remove(&1);
            assert!(found == pruned || polls == 0 && found == with_append, "{polls} polls: {found:?}");
        });
    }
}

/// A step behind the durable intent of a rewind fails. The rewind is neither done nor undone now, so nothing more may be
/// changed; reading goes on; the next open carries it to its end.
#[test]
fn a_failure_behind_a_durable_intent() {
    let target = Target { section: 2, items: 3, values_offset: 0 };
    let rewinds = [(true, Intent::Rewind(target)), (false, Intent::RewindSection(target))];
    for (all_later, intent) in rewinds {
        for operation in [Operation::Remove, Operation::Resize, Operation::Sync] {
            if operation == Operation::Remove && !all_later {
                continue;
            }
            sim::run(1, async |sim| {
                let case = format!("{intent:?}, {operation:?} fails");
                let store = filled(&sim).await;
                let before = shown(&store).await.unwrap();
                let fault = match operation {
                    Operation::Remove => DiskFault::eio(operation),
                    _ => DiskFault::eio(operation).blob(PARTITION, &section_name(2)),
                };
                sim.faults().inject(fault);
                let failure = store.rewind(2, 3, all_later).await.unwrap_err();
                assert!(matches!(failure, Fault::Storage(Error::Io { .. } | Error::Poisoned { .. })), "{failure:?}");
                let refusals = [
                    store.writable(1).await.map(drop).unwrap_err(),
                    store.prune(2).await.map(drop).unwrap_err(),
                    store.rewind(1, 0, true).await.unwrap_err(),
                    store.remove_section(1).await.map(drop).unwrap_err(),
                    store.set_state("x".into()).await.unwrap_err(),
                    store.reopen_section(2).await.unwrap_err(),
                    store.destroy().await.unwrap_err(),
                    store.enter().await.unwrap_err(),
                ];
                assert!(refusals.iter().all(|fault| matches!(fault, Fault::Unfinished { .. })), "{case}: {refusals:?}");
                assert!(store.try_writable(1).is_none(), "{case}");
                assert_eq!(store.existing(1).await.unwrap().items().await.unwrap(), before.2[&1], "{case}");
                let closed = store.close().await.unwrap_err();
                assert!(!matches!(closed, Fault::Closed), "{case}: {closed:?}");
                drop(store);
                let (store, opening) = open(&sim).await;
                assert_eq!((opening.clean, opening.resumed), (false, Some(intent)), "{case}");
                let change = if all_later { Change::Rewind } else { Change::RewindSection };
                assert_eq!(shown(&store).await.unwrap(), change.after(before), "{case}");
                store.writable(2).await.unwrap().append(1).await.unwrap();
            });
        }
    }
}

/// A sync of one section fails, and the page cache holds bytes as clean that are not on the disk. The section takes no
/// change until it is opened anew: then what it shows is durable, and whoever still holds the old one cannot write. The
/// other sections do not notice.
#[test]
fn a_poisoned_section_is_opened_anew() {
    for seed in 0..40 {
        sim::run(seed, async |sim| {
            let case = format!("seed {seed}");
            let store = filled(&sim).await;
            let old = store.writable(2).await.unwrap();
            store.reopen_section(2).await.unwrap();
            assert!(Arc::ptr_eq(&old, &store.writable(2).await.unwrap()), "one that takes changes is left as it is");
            for item in 25..29 {
                old.append(item).await.unwrap();
            }
            sim.faults().inject(DiskFault::eio(Operation::Sync).blob(PARTITION, &section_name(2)));
            let error = old.sync().await.unwrap_err();
            assert!(matches!(error, Error::Poisoned { .. }), "{case}: {error:?}");
            let error = store.writable(2).await.unwrap().append(1).await.unwrap_err();
            assert!(matches!(error, Error::Poisoned { .. }), "{case}: {error:?}");
            let other = store.writable(3).await.unwrap();
            other.append(35).await.unwrap();
            other.sync().await.unwrap();

            store.reopen_section(2).await.unwrap();
            let new = store.writable(2).await.unwrap();
            assert!(!Arc::ptr_eq(&old, &new), "{case}");
            let items = new.items().await.unwrap();
            let all: Vec<u8> = (20..29).collect();
            assert!(items.len() >= 5 && all.starts_with(&items), "{case}: {items:?}");
            let disk = sim.disk().visible(PARTITION, &section_name(2));
            for failure in [old.append(1).await.map(drop), old.sync().await] {
                let error = failure.unwrap_err();
                assert!(matches!(error, Error::Poisoned { .. } | Error::Closed), "{case}: {error:?}");
            }
            assert_eq!(sim.disk().visible(PARTITION, &section_name(2)), disk, "{case}: the old one has written");
            drop((old, new, other, store));
            sim.crash(Crash::Power(Cut::LoseAll));
            let sections = shown(&open(&sim).await.0).await.unwrap().2;
            assert_eq!((&sections[&2], &sections[&3][..]), (&items, &[30, 31, 32, 33, 34, 35][..]), "{case}");
        });
    }
}

/// Whoever still holds a section that was pruned, removed or rewound away gets an error, and makes no file again.
#[test]
fn a_section_that_is_gone_takes_nothing() {
    for change in [Change::Prune, Change::Rewind, Change::Remove] {
        sim::run(1, async |sim| {
            let store = filled(&sim).await;
            let number = if matches!(change, Change::Prune) { 1 } else { 3 };
            let held = store.writable(number).await.unwrap();
            held.append(9).await.unwrap();
            change.make(&store).await.unwrap();
            for failure in [held.append(1).await.map(drop), held.sync().await] {
                let error = failure.unwrap_err();
                assert!(matches!(error, Error::Closed), "{change:?}: {error:?}");
            }
            assert_eq!(sim.disk().visible(PARTITION, &section_name(number)), None, "{change:?}");
            drop((held, store));
            let files = sim.storage().scan(PARTITION).await.unwrap();
            assert!(!files.contains(&section_name(number).to_vec()), "{change:?}: {files:?}");
        });
    }
}

/// A second writer gets `Locked` and changes nothing; when the first has closed, or its handles are gone, it may.
#[test]
fn one_writer_at_a_time() {
    sim::run(1, async |sim| {
        let store = filled(&sim).await;
        let clone = store.clone();
        let fault = open_with(sim.storage(), Options::default()).await.map(drop).unwrap_err();
        assert!(matches!(fault, Fault::Storage(Error::Locked { .. })), "{fault:?}");
        drop(store);
        let fault = open_with(sim.storage(), Options::default()).await.map(drop).unwrap_err();
        assert!(matches!(fault, Fault::Storage(Error::Locked { .. })), "{fault:?}");
        drop(clone);
        open(&sim).await;
    });
}
