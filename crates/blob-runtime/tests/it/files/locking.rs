//! One writer at a time.

use std::task::{Context, Poll};

use blob_runtime::{Error, FileStorage, Io, Storage};
use futures::executor::block_on;
use futures::task::noop_waker_ref;

use super::support::*;

/// Two processes that open one store cut off each other's tails. The second is refused and changes no byte, and may
/// have the store when the first is gone.
#[test]
fn a_second_process_is_locked_out_and_changes_nothing() {
    const TEST: &str = "files::locking::a_second_process_is_locked_out_and_changes_nothing";
    if let Some(root) = child_root() {
        let shown = root.to_string_lossy().into_owned();
        match FileStorage::open(root) {
            Err(Error::Locked { what }) => assert_eq!(*what, *shown),
            other => panic!("expected the root to be locked, found {other:?}"),
        }
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let storage = FileStorage::open(dir.path()).unwrap();
    let blob = open(&storage, "a");
    block_on(blob.write_at(0, bytes("abc"))).unwrap();
    let before = snapshot(dir.path());
    let (status, text) = in_child(TEST, dir.path(), |_| {});
    assert!(status.success(), "{text}");
    assert_eq!(snapshot(dir.path()), before);
    // A handle alone keeps the lock as well.
    drop(storage);
    let (status, text) = in_child(TEST, dir.path(), |_| {});
    assert!(status.success(), "{text}");
    drop(blob);
    let (status, text) = in_child(TEST, dir.path(), |_| {});
    assert!(text.contains("expected the root to be locked, found Ok") && !status.success(), "{text}");
}

/// The same within a process: `flock` is between open files, not between processes.
#[test]
fn a_second_storage_in_the_same_process_is_locked_out() {
    let dir = tempfile::tempdir().unwrap();
    let storage = FileStorage::open(dir.path()).unwrap();
    for what in ["the storage", "a claim"] {
        let claim = block_on(storage.claim("p")).unwrap();
        let clone = (what == "the storage").then(|| storage.clone());
        assert!(matches!(FileStorage::open(dir.path()), Err(Error::Locked { .. })), "{what}");
        drop((claim, clone));
    }
    drop(storage);
    drop(FileStorage::open(dir.path()).unwrap());
}

/// The writer is dropped with a write under way. Were the lock released now, the write would land in the next one's
/// store. The lock is kept until the job has ended, and the next writer sees all of it.
#[test]
fn the_lock_lasts_until_the_last_job_has_ended() {
    let (_dir, root, watch) = watched();
    let storage = FileStorage::builder(&root).io(Io::Pool).hook(watch.hook()).open().unwrap();
    let blob = open(&storage, "a");
    let gate = watch.block_next("write p/61");
    let mut write = blob.write_at(0, bytes("late"));
    assert!(write.as_mut().poll(&mut Context::from_waker(noop_waker_ref())).is_pending());
    gate.wait_reached();
    drop(write);
    drop((blob, storage));
    assert!(matches!(FileStorage::open(&root), Err(Error::Locked { .. })));
    gate.open();
    let storage = open_when_unlocked(&root);
    assert_eq!(read_all(open(&storage, "a").as_ref()), "late");
}

/// A claim is dropped with a write under way: the next claim waits for its end.
#[test]
fn a_claim_waits_for_what_had_begun() {
    let (_dir, root, watch) = watched();
    let storage = FileStorage::builder(&root).io(Io::Pool).hook(watch.hook()).open().unwrap();
    let claim = block_on(storage.claim("p")).unwrap();
    match block_on(storage.claim("p")) {
        Err(Error::Locked { what }) => assert_eq!(&*what, "partition p"),
        other => panic!("{other:?}"),
    }
    let blob = open(&storage, "a");
    let gate = watch.block_next("write p/61");
    let mut write = blob.write_at(0, bytes("late"));
    let mut context = Context::from_waker(noop_waker_ref());
    assert!(write.as_mut().poll(&mut context).is_pending());
    gate.wait_reached();
    drop((write, claim));
    let mut next = storage.claim("p");
    assert!(matches!(next.as_mut().poll(&mut context), Poll::Pending), "the write has not ended");
    gate.open();
    drop(block_on(next).unwrap());
    assert_eq!(read_all(blob.as_ref()), "late");
}
