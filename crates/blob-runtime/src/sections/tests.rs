use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use bytes::Bytes;
use futures::FutureExt;
use futures::executor::block_on;
use futures::future::join_all;

use super::*;
use crate::{Kind, MemoryStorage, StoreId, Want};

fn format() -> Format {
    Format::new(Kind::USER, Want::Exactly(StoreId(1)))
}

async fn keep(blob: Arc<dyn Blob>) -> Result<Arc<dyn Blob>, Error> {
    Ok(blob)
}

fn sections(storage: &MemoryStorage) -> Sections<Arc<dyn Blob>> {
    Sections::new(Arc::new(storage.clone()), "p")
}

#[test]
fn sections_are_made_found_listed_and_removed() {
    let storage = MemoryStorage::new();
    let made = sections(&storage);
    for section in [u64::MAX, 0, 7] {
        let blob = block_on(made.open(section, &format(), keep)).unwrap().unwrap();
        block_on(blob.write_at(0, vec![Bytes::copy_from_slice(&section.to_be_bytes())])).unwrap();
    }
    block_on(storage.open("p", b"meta", &format())).unwrap();

    let found = sections(&storage);
    assert!(found.table().is_empty());
    let listing = block_on(found.load()).unwrap();
    assert_eq!(listing, Listing { sections: vec![0, 7, u64::MAX], others: vec![b"meta".to_vec()] });
    assert_eq!((found.table().oldest(), found.table().newest(), found.table().len()), (Some(0), Some(u64::MAX), 3));
    assert!(found.table().open().is_empty(), "listed, not opened");
    let blob = block_on(found.open(u64::MAX, &format().existing(), keep)).unwrap().unwrap();
    assert_eq!(block_on(blob.read_at(0, 8)).unwrap(), u64::MAX.to_be_bytes()[..]);
    assert!(block_on(found.open(3, &format().existing(), keep)).unwrap().is_none());
    assert_eq!(found.table().sections(), [0, 7, u64::MAX], "asking makes nothing");

    block_on(found.remove(&[0, u64::MAX, 99])).unwrap();
    assert!(matches!(block_on(blob.read_at(0, 8)), Err(Error::Removed { .. })));
    assert_eq!(block_on(found.load()).unwrap().sections, [7]);
    assert_eq!(found.table().sections(), [7]);
}

#[test]
fn what_was_pruned_stays_pruned() {
    let sections = sections(&MemoryStorage::new());
    sections.guard(0).unwrap();
    sections.set_pruned_to(5);
    sections.set_pruned_to(3);
    assert_eq!(sections.guard(4), Err(Pruned { section: 4, oldest: 5 }));
    sections.guard(5).unwrap();
    sections.set_pruned_to(u64::MAX);
    sections.guard(u64::MAX).unwrap();
}

/// Of many that ask at once one opens. When that one fails or is dropped, the next one tries.
#[test]
fn a_section_is_opened_once() {
    let table: Table<u32> = Table::new();
    table.know(&[1]);
    let runs = AtomicUsize::new(0);
    let gate = Mutex::new(Vec::new());
    let slow = |_added| async {
        runs.fetch_add(1, Ordering::Relaxed);
        let (open, wait) = futures::channel::oneshot::channel::<Result<u32, &'static str>>();
        gate.lock().unwrap().push(open);
        wait.await.unwrap()
    };
    let ask = || table.get_or_init(1, false, slow).boxed_local();
    let (mut a, mut b, mut c, mut d) = (ask(), ask(), ask(), ask());
    for waiting in [&mut a, &mut b, &mut c, &mut d] {
        assert!(waiting.now_or_never().is_none());
    }
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    drop(a);
    assert!((&mut b).now_or_never().is_none());
    assert_eq!(runs.load(Ordering::Relaxed), 2);
    gate.lock().unwrap().pop().unwrap().send(Err("disk")).unwrap();
    assert_eq!(b.now_or_never().unwrap(), Err("disk"));
    assert!((&mut c).now_or_never().is_none());
    gate.lock().unwrap().pop().unwrap().send(Ok(5)).unwrap();
    assert_eq!(c.now_or_never().unwrap().unwrap().as_deref(), Some(&5));
    assert_eq!(d.now_or_never().unwrap().unwrap().as_deref(), Some(&5));
    assert_eq!(runs.load(Ordering::Relaxed), 3);
    assert_eq!(table.close(1).as_deref(), Some(&5));
    assert!(table.contains(1) && table.get(1).is_none());
}

/// A section that could not be made does not exist; one that was there before still does.
#[test]
fn a_failed_creation_leaves_nothing_behind() {
    let table: Table<u32> = Table::new();
    let fail = |_added| async { Err::<u32, _>("disk") };
    assert_eq!(block_on(table.get_or_init(1, true, fail)), Err("disk"));
    assert!(table.is_empty());
    {
        let mut dropped =
            table.get_or_init(1, true, |_added| futures::future::pending::<Result<u32, &str>>()).boxed_local();
        assert!((&mut dropped).now_or_never().is_none());
        assert!(table.contains(1));
    }
    assert!(table.is_empty());
    table.know(&[1]);
    assert_eq!(block_on(table.get_or_init(1, true, fail)), Err("disk"));
    assert!(table.contains(1));
}

/// Removed while somebody opens it: the one who waited looks again and does not revive the old one.
#[test]
fn a_section_removed_meanwhile_is_looked_up_anew() {
    let table: Table<u32> = Table::new();
    table.know(&[1]);
    let entered = futures::channel::oneshot::channel::<()>();
    let (open, wait) = entered;
    let wait = Mutex::new(Some(wait));
    let mut first = table
        .get_or_init(1, false, |_added| {
            let wait = wait.lock().unwrap().take();
            async {
                wait.unwrap().await.unwrap();
                Ok::<_, ()>(1)
            }
        })
        .boxed_local();
    let mut second = table.get_or_init(1, false, |_added| async { Ok::<_, ()>(2) }).boxed_local();
    assert!((&mut first).now_or_never().is_none());
    assert!((&mut second).now_or_never().is_none());
    table.forget(1);
    drop(open);
    drop(first);
    assert_eq!(second.now_or_never(), Some(Ok(None)));
}

/// The table against a plain map, over every chunk boundary, in any order.
#[test]
fn the_table_agrees_with_a_map() {
    for seed in 0..20 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let table: Table<u64> = Table::new();
        let mut model = BTreeMap::new();
        for step in 0..2_000_u64 {
            let section = if seed % 2 == 0 { step } else { rng.u64(0..600) };
            let old = if seed % 3 == 0 { rng.u64(0..=step) } else { section };
            match rng.u32(0..10) {
                0..6 => {
                    let made = block_on(table.get_or_init(section, true, |_added| async { Ok::<_, ()>(step) }))
                        .unwrap()
                        .unwrap();
                    assert_eq!(*made, *model.entry(section).or_insert(step));
                }
                6 => assert_eq!(table.forget(old).map(|kept| *kept), model.remove(&old)),
                7 => assert_eq!(
                    table.replace(old, Arc::new(step)).map(|kept| *kept),
                    model.get_mut(&old).map(|kept| std::mem::replace(kept, step))
                ),
                _ => assert_eq!(table.get(old).map(|kept| *kept), model.get(&old).copied()),
            }
        }
        assert_eq!(table.sections(), model.keys().copied().collect::<Vec<_>>());
        assert_eq!(table.len(), model.len());
        assert_eq!(table.oldest(), model.keys().next().copied());
        assert_eq!(table.newest(), model.keys().next_back().copied());
        let open: Vec<_> = table.open().into_iter().map(|(section, kept)| (section, *kept)).collect();
        assert_eq!(open, model.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn a_listing_does_not_disturb_what_is_open() {
    let table: Table<u32> = Table::new();
    block_on(table.get_or_init(500, true, |_added| async { Ok::<_, ()>(1) })).unwrap();
    let listed: Vec<u64> = (0..1000).rev().chain([3, 3]).collect();
    table.know(&listed);
    assert_eq!(table.sections(), (0..1000).collect::<Vec<_>>());
    assert_eq!(table.get(500).as_deref(), Some(&1));
}

#[test]
fn many_tasks_share_one_table() {
    let storage = MemoryStorage::new();
    let sections = Arc::new(sections(&storage));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let sections = Arc::clone(&sections);
            std::thread::spawn(move || {
                block_on(join_all((0..300).map(|section| {
                    let sections = Arc::clone(&sections);
                    async move { sections.open(section, &format(), keep).await.unwrap().unwrap() }
                })))
            })
        })
        .collect();
    let all: Vec<Vec<_>> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    for section in 0..300 {
        assert!(all.iter().all(|blobs| Arc::ptr_eq(&blobs[section], &all[0][section])), "one for all: {section}");
    }
}

/// A section is removed while somebody makes it: what was made is of a blob that is gone, so it is made again, and what
/// is handed out is what the table has.
#[test]
fn a_section_removed_while_it_is_made_is_made_again() {
    let table: Table<usize> = Table::new();
    let runs = AtomicUsize::new(0);
    let gates = Mutex::new(Vec::new());
    let init = |_added| {
        let (open, wait) = futures::channel::oneshot::channel::<()>();
        gates.lock().unwrap().push(open);
        let run = runs.fetch_add(1, Ordering::Relaxed);
        async move {
            wait.await.unwrap();
            Ok::<_, ()>(run)
        }
    };
    let mut made = table.get_or_init(1, true, init).boxed_local();
    assert!((&mut made).now_or_never().is_none());
    table.forget(1);
    gates.lock().unwrap().pop().unwrap().send(()).unwrap();
    assert!((&mut made).now_or_never().is_none(), "once more");
    gates.lock().unwrap().pop().unwrap().send(()).unwrap();
    let made = made.now_or_never().unwrap().unwrap().unwrap();
    assert_eq!(*made, 1);
    assert!(Arc::ptr_eq(&made, &table.get(1).unwrap()));
}

/// A rewind removed a section while an append was making it: the row went first, the append made it again, and then the
/// rewind removed the new file under it. While a turn is held nobody makes the section; whoever waited looks again.
#[test]
fn nobody_makes_a_section_while_its_turn_is_held() {
    let table: Table<u32> = Table::new();
    table.know(&[1]);
    let turn = block_on(table.turn(1)).unwrap();
    assert!(block_on(table.turn(2)).is_none());
    let runs = AtomicUsize::new(0);
    let init = |added| {
        runs.fetch_add(1, Ordering::Relaxed);
        async move { Ok::<_, ()>(u32::from(added)) }
    };
    let mut making = table.get_or_init(1, true, init).boxed_local();
    assert!((&mut making).now_or_never().is_none());
    assert_eq!(runs.load(Ordering::Relaxed), 0);
    table.forget(1);
    drop(turn);
    // It is made as a new one.
    assert_eq!(*block_on(making).unwrap().unwrap(), 1);
    assert_eq!(table.sections(), [1]);
}
