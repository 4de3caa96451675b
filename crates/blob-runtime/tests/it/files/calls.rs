//! Which system calls are made, and in which order.

use blob_runtime::{FileStorage, Storage};
use futures::executor::block_on;

use super::support::*;

/// A commit that costs a sync too many is slow; one that forgets a directory loses the blob. The first commit of a new
/// blob makes file, directory and root durable; each later one is one write and one sync.
#[test]
fn the_calls_of_a_durable_append() {
    for io in BOTH {
        let (_dir, root, watch) = watched();
        let storage = FileStorage::builder(&root).io(io).hook(watch.hook()).open().unwrap();
        let parent = root.parent().unwrap().parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
        assert_eq!(watch.take(), [format!("fsync {parent}"), "mkdir .".into(), "fsync ..".into()]);
        let blob = open(&storage, "a");
        assert_eq!(watch.take(), ["mkdir p", "create p/61"]);
        block_on(blob.write_at_sync(0, bytes("abc"))).unwrap();
        assert_eq!(watch.take(), ["write p/61 0+4099", "fdatasync p/61", "fsync p", "fsync ."]);
        block_on(blob.write_at_sync(3, bytes("de"))).unwrap();
        assert_eq!(watch.take(), ["write p/61 4099+2", "fdatasync p/61"]);
        // Its parts apart make the same calls.
        block_on(blob.write_at(5, bytes("f"))).unwrap();
        block_on(blob.sync()).unwrap();
        assert_eq!(watch.take(), ["write p/61 4101+1", "fdatasync p/61"]);
        // Nothing was changed since, so there is nothing to sync.
        block_on(blob.sync()).unwrap();
        assert_eq!(watch.take(), [""; 0]);
        // A second new blob needs its directory again, the root not.
        let second = open(&storage, "b");
        block_on(second.write_at_sync(0, bytes("x"))).unwrap();
        assert_eq!(watch.take(), ["create p/62", "write p/62 0+4097", "fdatasync p/62", "fsync p"]);
        // A second new partition needs both.
        let third = block_on(storage.open("q", b"c", &format())).unwrap();
        block_on(third.sync()).unwrap();
        assert_eq!(
            watch.take(),
            ["mkdir q", "create q/63", "write q/63 0+4096", "fdatasync q/63", "fsync q", "fsync ."]
        );
        assert_eq!(read_all(blob.as_ref()), "abcdef");
    }
}

/// A new blob whose first write starts behind its beginning gets its header in a write of its own.
#[test]
fn the_header_goes_before_what_does_not_touch_it() {
    let (_dir, root, watch) = watched();
    let storage = FileStorage::builder(&root).hook(watch.hook()).open().unwrap();
    let (a, b, c) = (open(&storage, "a"), open(&storage, "b"), open(&storage, "c"));
    watch.take();
    block_on(a.write_at(10, bytes("x"))).unwrap();
    assert_eq!(watch.take(), ["write p/61 0+4096", "write p/61 4106+1"]);
    assert_eq!((a.len(), read_all(a.as_ref()).as_ref()), (11, &b"\0\0\0\0\0\0\0\0\0\0x"[..]));
    watch.take();
    block_on(b.resize(5)).unwrap();
    assert_eq!(watch.take(), ["write p/62 0+4096", "resize p/62 4101"]);
    // No bytes, no change: not of the length either.
    block_on(c.write_at(10, Vec::new())).unwrap();
    assert_eq!((watch.take(), c.len()), (vec![], 0));
    block_on(c.write_header()).unwrap();
    block_on(c.write_header()).unwrap();
    assert_eq!(watch.take(), ["write p/63 0+4096"; 2]);
}

/// Killed between an unlink and the directory's sync: the unlink is seen, and a power cut takes it back. A blob that was
/// created meanwhile would then find the old file beside it. So the first creation in a directory that was found waits
/// for one sync of it; and what is found is made durable by its first sync, up to the root.
#[test]
fn what_an_earlier_process_left_is_made_durable_once() {
    let (_dir, root, watch) = watched();
    drop(open(&FileStorage::open(&root).unwrap(), "old"));
    let storage = FileStorage::builder(&root).hook(watch.hook()).open().unwrap();
    assert_eq!(watch.take(), ["fsync .."]);
    let new = open(&storage, "new");
    assert_eq!(watch.take(), ["list p", "fsync p", "create p/6e6577"]);
    drop(open(&storage, "next"));
    assert_eq!(watch.take(), ["create p/6e657874"]);
    let old = open(&storage, "old");
    assert_eq!(watch.take(), ["open p/6f6c64", "read p/6f6c64 0+4096"]);
    block_on(old.write_at_sync(0, bytes("x"))).unwrap();
    // The name is one of those the sync before the creation has covered.
    assert_eq!(watch.take(), ["write p/6f6c64 0+4097", "fdatasync p/6f6c64", "fsync ."]);
    block_on(new.sync()).unwrap();
    assert_eq!(watch.take(), ["write p/6e6577 0+4096", "fdatasync p/6e6577", "fsync p"]);
    drop((storage, new, old));

    // Nothing of ours is unsynced, but what an earlier process has written may be: one sync, then no more.
    let storage = FileStorage::builder(&root).hook(watch.hook()).open().unwrap();
    let old = open(&storage, "old");
    watch.take();
    block_on(old.sync()).unwrap();
    block_on(old.sync()).unwrap();
    assert_eq!(watch.take(), ["fdatasync p/6f6c64", "fsync p", "fsync ."]);
}

/// A blob is created, its handle dropped, and opened again: it is no longer new to its handle, and its name is as little
/// durable as before.
#[test]
fn the_name_of_a_blob_that_is_opened_again_is_still_to_be_made_durable() {
    let (_dir, root, watch) = watched();
    let storage = FileStorage::builder(&root).hook(watch.hook()).open().unwrap();
    block_on(open(&storage, "a").sync()).unwrap();
    for unsynced in [false, true] {
        let name = if unsynced { "b" } else { "c" };
        let blob = open(&storage, name);
        if unsynced {
            block_on(blob.write_at(0, bytes("x"))).unwrap();
        }
        drop(blob);
        watch.take();
        block_on(open(&storage, name).write_at_sync(0, bytes("abc"))).unwrap();
        assert_eq!(watch.count("fsync p"), 1);
    }
}

/// Killed between `mkdir` and the sync of the directory above: nobody would ever make it durable. Each directory is
/// synced before the next is made in it, and the first that was found is made durable as well.
#[test]
fn missing_directories_are_made_durable_one_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("a/b/c");
    let watch = Watch::new(&root);
    let above = dir.path().parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
    let found = dir.path().file_name().unwrap().to_string_lossy().into_owned();
    drop(FileStorage::builder(&root).hook(watch.hook()).open().unwrap());
    let wanted =
        [&format!("fsync {above}"), "mkdir a", &format!("fsync {found}"), "mkdir ..", "fsync a", "mkdir .", "fsync .."];
    assert_eq!(watch.take(), wanted);
}

/// The sync of the directory above fails after `mkdir`. Left there, the new directory would be taken for a durable one
/// by the next attempt.
#[test]
fn a_root_that_is_not_durable_is_not_left_behind() {
    let (_dir, root, watch) = watched();
    watch.fail_next("fsync ..", EIO);
    assert_io(FileStorage::builder(&root).hook(watch.hook()).open(), blob_runtime::Operation::SyncDirectory, EIO);
    assert!(!root.exists());
    drop(FileStorage::builder(&root).hook(watch.hook()).open().unwrap());
    assert!(root.is_dir());
}

/// Many blobs are removed with one sync of the directory, and a partition with one of the root.
#[test]
fn the_calls_of_a_removal() {
    for io in BOTH {
        let (_dir, root, watch) = watched();
        let storage = FileStorage::builder(&root).io(io).hook(watch.hook()).open().unwrap();
        let blobs: Vec<_> = ["a", "b", "c"].map(|name| open(&storage, name)).into();
        watch.take();
        block_on(storage.remove("p", &[b"b".to_vec(), b"a".to_vec(), b"b".to_vec(), b"none".to_vec()])).unwrap();
        assert_eq!(watch.take(), ["unlink p/61", "unlink p/62", "fsync p"]);
        assert_eq!(scan(&storage), ["c"]);
        for blob in &blobs[..2] {
            match block_on(blob.read_at(0, 0)) {
                Err(blob_runtime::Error::Removed { blob: removed }) => assert_eq!(&removed, blob.id()),
                other => panic!("{other:?}"),
            }
        }
        block_on(storage.remove_partition("p")).unwrap();
        assert_eq!(watch.take(), ["unlink p/63", "rmdir p", "fsync ."]);
        assert!(!root.join("p").exists());
        assert_eq!(scan(&storage), [""; 0]);
        // Made again, it is new: nothing in it waits for a sync.
        drop(open(&storage, "a"));
        assert_eq!(watch.take(), ["mkdir p", "create p/61"]);
    }
}

/// A hook plants a bug: a call that is not made and counts as done. What stands in for its result is what the hook's
/// docs say, so that a test can trust the bug it has planted.
#[test]
fn a_skipped_call_counts_as_done() {
    let (_dir, root, watch) = watched();
    let storage = FileStorage::builder(&root).hook(watch.hook()).open().unwrap();
    let blob = open(&storage, "a");
    block_on(blob.write_at_sync(0, bytes("abc"))).unwrap();
    watch.skip_next("write p/61");
    block_on(blob.write_at(0, bytes("xyz"))).unwrap();
    assert_eq!(read_all(blob.as_ref()), "abc");
    watch.skip_next("read p/61");
    assert_eq!(read_all(blob.as_ref()), "\0\0\0");
    watch.skip_next("resize p/61");
    block_on(blob.resize(1)).unwrap();
    let file = files_in(&root.join("p")).remove(0);
    assert_eq!((blob.len(), file.metadata().unwrap().len()), (1, HEADER + 3));
    for call in ["open p/61", "fdatasync", "fsync", "unlink"] {
        watch.skip_next(call);
    }
    block_on(blob.sync()).unwrap();
    block_on(storage.remove("p", &[b"a".to_vec()])).unwrap();
    assert!(file.exists());
    drop((storage, blob));
    let storage = open_when_unlocked(&root);
    assert_eq!(read_all(open(&storage, "a").as_ref()), "abc");
}
