//! Failed syncs, of files and of directories, and failed reads and writes, which are not as bad.

use blob_runtime::{Change, Error, FileStorage, HeaderState, Operation, Storage, Target};
use futures::executor::block_on;

use super::support::*;

fn partition() -> Target {
    Target::Partition("p".into())
}

/// `fdatasync` fails once: the kernel has dropped the dirty pages and marks them clean, so the next one would say Ok
/// over lost data. No change is taken until the blob is opened anew; reads go on; the sync is not tried again.
#[test]
fn a_failed_sync_poisons_and_a_new_open_starts_afresh() {
    for io in BOTH {
        let (_dir, root, watch) = watched();
        let storage = FileStorage::builder(&root).io(io).hook(watch.hook()).open().unwrap();
        let blob = open(&storage, "a");
        block_on(blob.write_at(0, bytes("abc"))).unwrap();
        watch.fail_next("fdatasync p/61", EIO);
        let target = Target::from(blob.id());
        assert_io(block_on(blob.sync()), Operation::Sync, EIO);
        watch.take();
        let (again, second) = (block_on(blob.sync()), block_on(blob.write_at(0, bytes("x"))));
        assert!(again.as_ref().unwrap_err().is_sync_failure());
        for result in [again, second, block_on(blob.resize(0)), block_on(blob.write_header())] {
            assert_poisoned(result, &target, Operation::Sync, EIO);
        }
        assert_poisoned(block_on(blob.write_at_sync(0, bytes("x"))), &target, Operation::Sync, EIO);
        assert_eq!(watch.take(), [""; 0], "a poisoned blob makes no calls");
        assert_eq!(read_all(blob.as_ref()), "abc");

        let fresh = open(&storage, "a");
        assert_eq!((fresh.header_state(), fresh.len()), (HeaderState::Sound, 3));
        block_on(fresh.write_at_sync(3, bytes("def"))).unwrap();
        assert_eq!(read_all(fresh.as_ref()), "abcdef");
        assert_poisoned(block_on(blob.sync()), &target, Operation::Sync, EIO);
        // Both handles learn of a removal.
        block_on(storage.remove("p", &[b"a".to_vec()])).unwrap();
        for handle in [&blob, &fresh] {
            assert!(matches!(block_on(handle.read_at(0, 1)), Err(Error::Removed { .. })));
        }
    }
}

/// A write fails before the sync: the sync is not reached, nothing is poisoned, and the same call may be made again.
#[test]
fn a_failed_write_loses_nothing() {
    for io in BOTH {
        let (_dir, root, watch) = watched();
        let storage = FileStorage::builder(&root).io(io).hook(watch.hook()).open().unwrap();
        let blob = open(&storage, "a");
        watch.fail_next("write p/61", ENOSPC);
        let failed = block_on(blob.write_at_sync(0, bytes("abc")));
        assert!(!failed.as_ref().unwrap_err().is_sync_failure());
        assert_io(failed, Operation::Write, ENOSPC);
        assert_eq!((blob.len(), blob.header_state()), (0, HeaderState::New));
        block_on(blob.write_at_sync(0, bytes("abc"))).unwrap();
        watch.fail_next("write p/61", EIO);
        assert_io(block_on(blob.write_at(1, bytes("xyz"))), Operation::Write, EIO);
        watch.fail_next("resize p/61", EIO);
        assert_io(block_on(blob.resize(1)), Operation::Resize, EIO);
        assert_eq!(blob.len(), 3);
        watch.fail_next("read p/61", EIO);
        assert_io(block_on(blob.read_at(0, 3)), Operation::Read, EIO);
        assert_eq!(read_all(blob.as_ref()), "abc");
    }
}

/// Of changes in a row the one that fails is the last, and what it fails with is what it would fail with alone: a sync
/// poisons, a write does not.
#[test]
fn a_failure_ends_changes_in_a_row() {
    for io in BOTH {
        let (_dir, root, watch) = watched();
        let storage = FileStorage::builder(&root).io(io).hook(watch.hook()).open().unwrap();
        let blob = open(&storage, "a");
        block_on(blob.write_at_sync(0, bytes("abc"))).unwrap();
        let row = || vec![Change::Write(3, bytes("d")), Change::Sync, Change::Resize(2), Change::Sync];
        watch.fail_next("write p/61", EIO);
        watch.take();
        assert_io(block_on(blob.change_all(row())), Operation::Write, EIO);
        assert_eq!(watch.take(), ["write p/61 4099+1"]);
        watch.fail_next("fdatasync p/61", EIO);
        assert_io(block_on(blob.change_all(row())), Operation::Sync, EIO);
        assert_eq!(watch.take(), ["write p/61 4099+1", "fdatasync p/61"]);
        assert_poisoned(block_on(blob.change_all(row())), &Target::from(blob.id()), Operation::Sync, EIO);
        assert_eq!(watch.take(), [""; 0], "a poisoned blob makes no calls");
        assert_eq!(read_all(blob.as_ref()), "abcd");
    }
}

/// A signal comes: the call is made again, for all but syncs.
#[test]
fn interrupted_calls_are_made_again() {
    let (_dir, root, watch) = watched();
    let storage = FileStorage::builder(&root).hook(watch.hook()).open().unwrap();
    let blob = open(&storage, "a");
    for call in ["write p/61", "resize p/61", "read p/61"] {
        watch.fail_next(call, EINTR);
    }
    block_on(blob.write_at(0, bytes("abcd"))).unwrap();
    block_on(blob.resize(3)).unwrap();
    assert_eq!(read_all(blob.as_ref()), "abc");
    assert_eq!([watch.count("write"), watch.count("resize"), watch.count("read")], [2, 2, 2]);
    watch.fail_next("fdatasync p/61", EINTR);
    assert_io(block_on(blob.sync()), Operation::Sync, EINTR);
    assert_eq!(watch.count("fdatasync"), 1);
}

/// A file is synced because it must be closed, and that fails. Nobody waits for it; but nothing that was written since
/// the last good sync may be taken for durable, so the blob learns of it.
#[test]
fn a_failed_sync_of_an_evicted_file_poisons_its_blob() {
    for io in BOTH {
        let (_dir, root, watch) = watched();
        let storage = FileStorage::builder(&root).io(io).max_open_files(1).hook(watch.hook()).open().unwrap();
        let a = open(&storage, "a");
        block_on(a.write_at(0, bytes("abc"))).unwrap();
        watch.fail_next("fdatasync p/61", EIO);
        let b = open(&storage, "b");
        assert_poisoned(block_on(a.sync()), &Target::from(a.id()), Operation::Sync, EIO);
        assert_poisoned(block_on(a.write_at(0, bytes("x"))), &Target::from(a.id()), Operation::Sync, EIO);
        assert_eq!(read_all(a.as_ref()), "abc");
        block_on(b.write_at_sync(0, bytes("other blobs go on"))).unwrap();
        let a = open(&storage, "a");
        block_on(a.write_at_sync(0, bytes("xyz"))).unwrap();
        assert_eq!(watch.count("fdatasync p/61"), 2, "the failed sync was not tried again");
    }
}

/// The sync of a directory fails: names in it may never be durable. Creation and removal are refused from then on, and
/// every sync that needs the directory; a blob that was durable before goes on.
#[test]
fn a_failed_sync_of_a_directory_poisons_the_partition() {
    for io in BOTH {
        let (_dir, root, watch) = watched();
        let storage = FileStorage::builder(&root).io(io).hook(watch.hook()).open().unwrap();
        let old = open(&storage, "old");
        block_on(old.write_at_sync(0, bytes("abc"))).unwrap();
        let (new, other) = (open(&storage, "new"), open(&storage, "other"));
        block_on(new.write_at(0, bytes("x"))).unwrap();
        watch.fail_next("fsync p", EIO);
        assert_io(block_on(new.sync()), Operation::SyncDirectory, EIO);
        watch.take();
        assert_poisoned(block_on(new.write_at(0, bytes("y"))), &Target::from(new.id()), Operation::SyncDirectory, EIO);
        assert_poisoned(block_on(other.sync()), &partition(), Operation::SyncDirectory, EIO);
        let created = block_on(storage.open("p", b"newer", &format()));
        assert_poisoned(created, &partition(), Operation::SyncDirectory, EIO);
        let removed = block_on(storage.remove("p", &[b"old".to_vec()]));
        assert_poisoned(removed, &partition(), Operation::SyncDirectory, EIO);
        assert_poisoned(block_on(storage.remove_partition("p")), &partition(), Operation::SyncDirectory, EIO);
        // Opened anew it takes changes; its name is as unknown as before.
        let new = open(&storage, "new");
        block_on(new.write_at(0, bytes("y"))).unwrap();
        assert_poisoned(block_on(new.sync()), &partition(), Operation::SyncDirectory, EIO);
        assert_eq!([watch.count("fsync"), watch.count("create"), watch.count("unlink")], [0, 0, 0]);
        block_on(old.write_at_sync(0, bytes("xyz"))).unwrap();
        block_on(storage.open("q", b"a", &format())).unwrap();
        assert_eq!(scan(&storage), ["new", "old", "other"]);
    }
}

/// A removal whose sync fails: the name may come back with a power cut, so it is not created again over it.
#[test]
fn a_removal_that_is_not_durable_is_not_followed_by_a_creation() {
    let (_dir, root, watch) = watched();
    let storage = FileStorage::builder(&root).hook(watch.hook()).open().unwrap();
    block_on(open(&storage, "a").sync()).unwrap();
    watch.fail_next("fsync p", EIO);
    assert_io(block_on(storage.remove("p", &[b"a".to_vec()])), Operation::SyncDirectory, EIO);
    let created = block_on(storage.open("p", b"a", &format()));
    assert_poisoned(created, &partition(), Operation::SyncDirectory, EIO);
    drop(storage);
    let storage = FileStorage::open(&root).unwrap();
    assert_eq!(scan(&storage), [""; 0]);
    assert_eq!(open(&storage, "a").header_state(), HeaderState::New);
}

/// An unlink fails in the middle of a removal: what was removed is durable, the rest is there and goes on.
#[test]
fn a_removal_that_stops_half_way() {
    let (_dir, root, watch) = watched();
    let storage = FileStorage::builder(&root).hook(watch.hook()).open().unwrap();
    let blobs = ["a", "b", "c"].map(|name| open(&storage, name));
    watch.take();
    watch.fail_next("unlink p/62", EIO);
    assert_io(block_on(storage.remove_partition("p")), Operation::Remove, EIO);
    assert_eq!(watch.take(), ["unlink p/61", "unlink p/62", "fsync p"]);
    assert_eq!(scan(&storage), ["b", "c"]);
    assert!(matches!(block_on(blobs[0].sync()), Err(Error::Removed { .. })));
    for blob in &blobs[1..] {
        block_on(blob.write_at_sync(0, bytes("abc"))).unwrap();
    }
}
