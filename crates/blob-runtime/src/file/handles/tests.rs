use std::sync::mpsc::{TryRecvError, channel};

use super::super::{Call, Event, FileStorage, Verdict};
use super::*;
use crate::{Format, Kind, Storage, StoreId, Want};
use bytes::Bytes;
use futures::executor::block_on;

fn storage(bound: usize) -> (tempfile::TempDir, FileStorage) {
    let dir = tempfile::tempdir().unwrap();
    let storage = FileStorage::builder(dir.path()).max_open_files(bound).open().unwrap();
    (dir, storage)
}

fn open(storage: &FileStorage, name: &[u8]) -> Arc<dyn crate::Blob> {
    let format = Format::new(Kind::USER, Want::Exactly(StoreId(1)));
    block_on(storage.open("p", name, &format)).unwrap()
}

fn inner(storage: &FileStorage, name: &[u8]) -> Arc<Inner> {
    storage.root.partition("p").live(name).unwrap()
}

/// The bound is one of descriptors: a slot that is in use outside of the ring counts, and whoever needs one waits until
/// it is given back.
#[test]
fn whoever_finds_no_slot_waits_for_one() {
    let (_dir, storage) = storage(1);
    let slot = storage.root.files.slot(&storage.root);
    assert!(storage.root.files.slot_at_once(&storage.root).is_none());
    let (done, wait_done) = channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            drop(storage.root.files.slot(&storage.root));
            done.send(()).unwrap();
        });
        while lock(&storage.root.files.slots.state).asleep == 0 {
            std::thread::yield_now();
        }
        assert_eq!(wait_done.try_recv(), Err(TryRecvError::Empty), "there is no second slot");
        drop(slot);
        wait_done.recv().unwrap();
    });
    assert_eq!(storage.open_files(), 0);
}

/// A read uses a file while it is taken out of the ring: it counts until the read has ended.
#[test]
fn a_file_in_use_counts_until_it_is_let_go() {
    let (_dir, storage) = storage(1);
    let _a = open(&storage, b"a");
    let reading = inner(&storage, b"a").file(&storage.root).unwrap();
    assert!(storage.root.files.close_one(&storage.root).is_some());
    assert_eq!((storage.open_files(), inner(&storage, b"a").is_open()), (1, false));
    drop(reading);
    assert_eq!(storage.open_files(), 0);
}

/// A change runs on the only open file: it is not closed under it, and its end lets the next one in.
#[test]
fn the_file_of_a_running_change_is_left_open() {
    let (_dir, storage) = storage(1);
    let a = open(&storage, b"a");
    let running = inner(&storage, b"a");
    let changing = running.begin().unwrap();
    assert!(storage.root.files.close_one(&storage.root).is_none());
    std::thread::scope(|scope| {
        let other = scope.spawn(|| open(&storage, b"b").len());
        while lock(&storage.root.files.slots.state).asleep == 0 {
            std::thread::yield_now();
        }
        assert!(running.is_open());
        drop(changing);
        storage.root.files.job_ended();
        assert_eq!(other.join().unwrap(), 0);
    });
    drop(a);
}

/// The second chance: a file that was used since the hand came by stays, and among the others one without unsynced
/// writes goes first.
#[test]
fn the_least_used_goes_first() {
    let (_dir, storage) = storage(3);
    let blobs = [b"a", b"b", b"c"].map(|name| open(&storage, name));
    let is_open = || [b"a", b"b", b"c"].map(|name| inner(&storage, name).is_open());
    for name in [b"a", b"b", b"c"] {
        inner(&storage, name).take_referenced();
    }
    block_on(blobs[0].write_at(0, vec![Bytes::from_static(b"x")])).unwrap();
    inner(&storage, b"a").take_referenced();
    assert!(inner(&storage, b"b").file_at_once().is_some());
    assert!(storage.root.files.close_one(&storage.root).is_some());
    assert_eq!(is_open(), [true, true, false], "a has unsynced writes, b was used");
    assert!(storage.root.files.close_one(&storage.root).is_some());
    assert_eq!(is_open(), [true, false, false], "b has been used only before");
    assert!(storage.root.files.close_one(&storage.root).is_some());
    assert_eq!(is_open(), [false; 3]);
    assert!(storage.root.files.close_one(&storage.root).is_none());
    assert_eq!(block_on(blobs[0].read_at(0, 1)).unwrap(), "x");
}

/// A thousand sections are filled under a bound of half as many files: one sync after the other to make room for each
/// would take a second. When a file had to be synced, some of those whose turn comes next are synced beside it, and
/// then closed without one.
#[test]
fn the_next_files_to_be_closed_are_synced_ahead() {
    for (io, wanted) in [(Io::Pool, [3, 3, 3, 6, 6, 6]), (Io::Inline, [1, 2, 3, 4, 5, 6])] {
        let dir = tempfile::tempdir().unwrap();
        let syncs = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&syncs);
        let hook = move |event: &Event<'_>| {
            counting.fetch_add(usize::from(matches!(event.call, Call::Fdatasync)), Ordering::SeqCst);
            Verdict::Proceed
        };
        let options = FileStorage::builder(dir.path()).io(io).hook(Arc::new(hook));
        let storage = options.max_open_files(2 * FILES_PER_SYNC_AHEAD).open().unwrap();
        let written = |number: u8| {
            let blob = open(&storage, &[number]);
            block_on(blob.write_at(0, vec![Bytes::from_static(b"x")])).unwrap();
            blob
        };
        let mut blobs: Vec<_> = (0..64).map(written).collect();
        assert_eq!(syncs.load(Ordering::SeqCst), 0);
        for (number, wanted) in (64..).zip(wanted) {
            blobs.push(written(number));
            while storage.root.files.ahead.load(Ordering::SeqCst) > 0 {
                std::thread::yield_now();
            }
            assert_eq!(syncs.load(Ordering::SeqCst), wanted, "{io:?}, {number}");
        }
        block_on(storage.sync_many(&blobs)).into_iter().for_each(Result::unwrap);
        assert_eq!(syncs.load(Ordering::SeqCst), blobs.len(), "each once");
    }
}

/// Blobs come and go without ever reaching the bound: what they leave in the ring does not add up.
#[test]
fn the_ring_does_not_grow() {
    let (_dir, storage) = storage(4);
    for number in 0..100_u8 {
        drop(open(&storage, &[number]));
        assert!(lock(&storage.root.files.ring).len() <= 2 * 4);
    }
    assert_eq!(storage.open_files(), 0);
}
