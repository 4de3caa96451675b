//! `sync_many`.

use std::sync::Arc;
use std::task::Context;

use blob_runtime::{Blob, BulkSync, Error, FileStorage, Io, MemoryStorage, Operation, Storage, Target};
use futures::executor::block_on;
use futures::task::noop_waker_ref;

use super::support::*;

fn made(storage: &FileStorage, names: std::ops::Range<u8>) -> Vec<Arc<dyn Blob>> {
    let made = |number| {
        let blob = open(storage, &format!("{number:03}"));
        block_on(blob.write_at(0, bytes("abc"))).unwrap();
        blob
    };
    names.map(made).collect()
}

/// A thousand sections are synced: each file once, however often it is named, and the directory once for all.
#[test]
fn one_directory_sync_for_all() {
    for io in BOTH {
        let (_dir, root, watch) = watched();
        let storage = FileStorage::builder(&root).io(io).hook(watch.hook()).open().unwrap();
        let mut blobs = made(&storage, 0..50);
        blobs.push(open(&storage, "007"));
        blobs.push(block_on(storage.open("q", b"a", &format())).unwrap());
        watch.take();
        let results = block_on(storage.sync_many(&blobs));
        assert_eq!(results.len(), 52);
        results.into_iter().for_each(Result::unwrap);
        assert_eq!([watch.count("fdatasync p"), watch.count("fdatasync q")], [50, 1]);
        assert_eq!([watch.count("fsync p"), watch.count("fsync q"), watch.count("fsync .")], [1, 1, 1]);
        watch.take();
        block_on(storage.sync_many(&blobs)).into_iter().for_each(Result::unwrap);
        assert_eq!(watch.take(), [""; 0]);
        assert_eq!(block_on(storage.sync_many(&[])).len(), 0);
    }
}

/// Blobs of other storages are synced by themselves, each answer is in its place, and one failure is only its own.
#[test]
fn each_answer_in_its_place() {
    for io in BOTH {
        let (dir, root, watch) = watched();
        let storage = FileStorage::builder(&root).io(io).hook(watch.hook()).open().unwrap();
        let other = FileStorage::open(dir.path().join("other")).unwrap();
        let memory = MemoryStorage::new();
        let [a, b, c] = ["a", "b", "c"].map(|name| open(&storage, name));
        let foreign = open(&other, "d");
        let in_memory = block_on(memory.open("p", b"e", &format())).unwrap();
        block_on(storage.remove("p", &[b"c".to_vec()])).unwrap();
        watch.fail_next("fdatasync p/62", EIO);
        let blobs = [in_memory, a, Arc::clone(&b), c, Arc::clone(&b), foreign];
        let mut results = block_on(storage.sync_many(&blobs)).into_iter();
        let mut next = || results.next().unwrap();
        next().unwrap();
        next().unwrap();
        assert_io(next(), Operation::Sync, EIO);
        assert!(matches!(next(), Err(Error::Removed { .. })));
        assert_io(next(), Operation::Sync, EIO);
        next().unwrap();
        assert_poisoned(block_on(b.sync()), &Target::from(b.id()), Operation::Sync, EIO);
    }
}

/// A failed sync of the directory is the failure of every blob whose name needed it.
#[test]
fn a_failed_directory_sync_reaches_all() {
    for io in BOTH {
        let (_dir, root, watch) = watched();
        let storage = FileStorage::builder(&root).io(io).hook(watch.hook()).open().unwrap();
        let blobs = made(&storage, 0..20);
        watch.fail_next("fsync p", EIO);
        for result in block_on(storage.sync_many(&blobs)) {
            assert_io(result, Operation::SyncDirectory, EIO);
        }
        for blob in &blobs {
            let poisoned = block_on(blob.write_at(0, bytes("x")));
            assert_poisoned(poisoned, &Target::from(blob.id()), Operation::SyncDirectory, EIO);
        }
    }
}

/// One blob is being written, and hangs: the others are synced all the same, and that one when its turn comes.
#[test]
fn a_blob_that_is_busy_holds_up_nobody() {
    let (_dir, root, watch) = watched();
    let storage = FileStorage::builder(&root).io(Io::Pool).hook(watch.hook()).open().unwrap();
    let blobs = made(&storage, 0..20);
    let gate = watch.block_next("write p/303035");
    let mut context = Context::from_waker(noop_waker_ref());
    let mut write = blobs[5].write_at(0, bytes("late"));
    assert!(write.as_mut().poll(&mut context).is_pending());
    gate.wait_reached();
    watch.take();
    let mut all = storage.sync_many(&blobs);
    while watch.count("fsync .") == 0 {
        assert!(all.as_mut().poll(&mut context).is_pending(), "one of them cannot be synced yet");
        std::thread::yield_now();
    }
    assert_eq!([watch.count("fdatasync"), watch.count("fdatasync p/303035")], [19, 0]);
    gate.open();
    block_on(all).into_iter().for_each(Result::unwrap);
    block_on(write).unwrap();
    assert_eq!(watch.count("fdatasync p/303035"), 1);
}

/// Whether `syncfs` is used here is up to the kernel and the file system of the temporary directory.
#[cfg(target_os = "linux")]
fn has_trusted_syncfs(at: &std::path::Path) -> bool {
    let kind = rustix::fs::fstatfs(std::fs::File::open(at).unwrap()).unwrap().f_type;
    let release = rustix::system::uname().release().to_str().unwrap().to_owned();
    let version: Vec<u32> = release.split(['.', '-']).take(2).map(|part| part.parse().unwrap()).collect();
    [0xEF53, 0x5846_5342, 0x9123_683E].contains(&kind) && version >= vec![5, 17]
}

/// Above the threshold one `syncfs` stands for all, then one `fdatasync` of a written file; below, and where it cannot
/// be trusted, each blob by itself.
#[cfg(target_os = "linux")]
#[test]
fn the_whole_file_system_at_once() {
    for io in BOTH {
        let (dir, root, watch) = watched();
        let builder = FileStorage::builder(&root).io(io).hook(watch.hook());
        let storage = builder.bulk_sync(BulkSync::FileSystem { threshold: 10 }).open().unwrap();
        let blobs = made(&storage, 0..20);
        let new = open(&storage, "new");
        let all: Vec<_> = blobs.iter().cloned().chain([Arc::clone(&new)]).collect();
        watch.take();
        block_on(storage.sync_many(&all)).into_iter().for_each(Result::unwrap);
        let counts = || [watch.count("syncfs ."), watch.count("fdatasync"), watch.count("fsync")];
        if !has_trusted_syncfs(dir.path()) {
            println!("skipped: the_whole_file_system_at_once (needs Linux 5.17 and ext4, xfs or btrfs)");
            assert_eq!(counts(), [0, 21, 2]);
            return;
        }
        assert_eq!(counts(), [1, 1, 0]);
        assert_eq!(watch.count("write p/6e6577 0+4096"), 1, "a new blob has its header before");
        watch.take();
        block_on(storage.sync_many(&all)).into_iter().for_each(Result::unwrap);
        assert_eq!(watch.take(), [""; 0]);
        for blob in &blobs[..9] {
            block_on(blob.write_at(0, bytes("x"))).unwrap();
        }
        watch.take();
        block_on(storage.sync_many(&all)).into_iter().for_each(Result::unwrap);
        assert_eq!(counts(), [0, 9, 0], "too few of them have changed");
    }
}

/// A directory's sync has failed: its names are not known to be durable, and never will be by a later sync that says Ok. A
/// `syncfs` makes none of its blobs durable; those of other directories it does.
#[cfg(target_os = "linux")]
#[test]
fn the_whole_file_system_does_not_cover_a_directory_whose_sync_has_failed() {
    for (failing, target) in [("fsync p", "p"), ("fsync .", "the root")] {
        for io in BOTH {
            let (dir, root, watch) = watched();
            if !has_trusted_syncfs(dir.path()) {
                println!("skipped: the_whole_file_system_does_not_cover_a_directory_whose_sync_has_failed");
                return;
            }
            let builder = FileStorage::builder(&root).io(io).hook(watch.hook());
            let storage = builder.bulk_sync(BulkSync::FileSystem { threshold: 2 }).open().unwrap();
            let blobs = made(&storage, 0..5);
            watch.fail_next(failing, EIO);
            assert_io(block_on(blobs[0].sync()), Operation::SyncDirectory, EIO);
            watch.take();
            for (blob, result) in blobs.iter().zip(block_on(storage.sync_many(&blobs))).skip(1) {
                let Err(Error::Poisoned { source, .. }) = result else { panic!("{target}: {result:?}") };
                assert_io::<()>(Err((*source).clone()), Operation::SyncDirectory, EIO);
                let again = block_on(blob.write_at(0, bytes("x")));
                assert!(matches!(again, Err(Error::Poisoned { .. })), "{target}: {again:?}");
            }
            assert_eq!([watch.count("syncfs"), watch.count("fsync")], [0, 0], "{target}");
        }
    }
}

/// Its failure is the failed sync of every blob it stood for, and of their directory: nobody knows whose bytes it was.
#[cfg(target_os = "linux")]
#[test]
fn a_failed_sync_of_the_file_system_poisons_all() {
    for (call, target) in [("syncfs", "root"), ("fdatasync", "blob")] {
        let (dir, root, watch) = watched();
        if !has_trusted_syncfs(dir.path()) {
            println!("skipped: a_failed_sync_of_the_file_system_poisons_all (needs Linux 5.17 and ext4, xfs or btrfs)");
            return;
        }
        let builder = FileStorage::builder(&root).hook(watch.hook());
        let storage = builder.bulk_sync(BulkSync::FileSystem { threshold: 2 }).open().unwrap();
        let blobs = made(&storage, 0..5);
        watch.fail_next(call, EIO);
        for result in block_on(storage.sync_many(&blobs)) {
            assert_io(result, Operation::Sync, EIO);
        }
        watch.take();
        for (blob, result) in blobs.iter().zip(block_on(storage.sync_many(&blobs))) {
            assert_poisoned(result, &Target::from(blob.id()), Operation::Sync, EIO);
        }
        let created = block_on(storage.open("p", b"new", &format()));
        assert_poisoned(created, &Target::Partition("p".into()), Operation::Sync, EIO);
        assert_eq!(watch.take(), [""; 0], "{target}");
    }
}
