//! Descriptors: few of them, and none left.

use std::fs::File;

use blob_runtime::{FileStorage, Io, Operation, Storage};
use futures::executor::block_on;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::support::*;

fn limit_descriptors(soft: u64) {
    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(soft), maximum: hard }).unwrap();
}

/// A store of 10,000 sections on a system that allows 64 open files: every blob is written, synced, and read back.
#[test]
fn ten_thousand_blobs_under_a_limit_of_64_descriptors() {
    const BLOBS: u32 = 10_000;
    let Some(root) = child_root() else {
        let dir = tempfile::tempdir().unwrap();
        let test = "files::limits::ten_thousand_blobs_under_a_limit_of_64_descriptors";
        let (status, text) = in_child(test, dir.path(), |_| {});
        assert!(status.success(), "{text}");
        assert_eq!(files_in(&dir.path().join("p")).len(), BLOBS as usize);
        return;
    };
    limit_descriptors(64);
    let storage = FileStorage::open(root).unwrap();
    let blobs: Vec<_> =
        (0..BLOBS).map(|number| block_on(storage.open("p", &number.to_be_bytes(), &format())).unwrap()).collect();
    for (number, blob) in (0..BLOBS).zip(&blobs) {
        block_on(blob.write_at(0, vec![number.to_be_bytes().to_vec().into()])).unwrap();
        assert!(storage.open_files() <= 32, "{} files are open", storage.open_files());
    }
    for result in block_on(storage.sync_many(&blobs)) {
        result.unwrap();
    }
    for (number, blob) in (0..BLOBS).zip(&blobs) {
        assert_eq!(block_on(blob.read_at(0, 4)).unwrap(), number.to_be_bytes().as_slice());
    }
    assert_eq!(storage.open_files(), 32);
}

/// The rest of the program has taken every descriptor. Opening a blob says so; nothing is taken for missing, nothing is
/// changed, and once there are descriptors again it works, with the same storage.
#[test]
fn no_descriptor_left() {
    let Some(root) = child_root() else {
        let dir = tempfile::tempdir().unwrap();
        let storage = FileStorage::open(dir.path()).unwrap();
        block_on(open(&storage, "a").write_at_sync(0, bytes("abc"))).unwrap();
        drop(storage);
        let before = snapshot(dir.path());
        let (status, text) = in_child("files::limits::no_descriptor_left", dir.path(), |_| {});
        assert!(status.success(), "{text}");
        assert_eq!(snapshot(dir.path()), before);
        return;
    };
    limit_descriptors(64);
    let storage = FileStorage::builder(root).io(Io::Inline).open().unwrap();
    let mut taken = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }
    assert_io(block_on(storage.scan("p")), Operation::Open, EMFILE);
    assert_io(block_on(storage.open("p", b"a", &format())), Operation::Open, EMFILE);
    drop(taken);
    assert_eq!(scan(&storage), ["a"]);
    assert_eq!(read_all(open(&storage, "a").as_ref()), "abc");
}

/// A descriptor is missing while idle files of ours are open: one of them makes room.
#[test]
fn an_idle_file_makes_room_for_another() {
    let (_dir, root, watch) = watched();
    let storage = FileStorage::builder(&root).hook(watch.hook()).open().unwrap();
    let a = open(&storage, "a");
    block_on(a.write_at(0, bytes("abc"))).unwrap();
    watch.take();
    watch.fail_next("create p/62", EMFILE);
    let b = open(&storage, "b");
    assert_eq!(watch.take(), ["create p/62", "fdatasync p/61", "create p/62"]);
    assert_eq!((storage.open_files(), a.try_read_at(0, 3).is_none()), (1, true));
    assert_eq!(read_all(a.as_ref()), "abc");
    // Without an end to it, the error comes out, and the blob is not there.
    watch.fail_all("create p/63", EMFILE);
    assert_io(block_on(storage.open("p", b"c", &format())), Operation::Create, EMFILE);
    watch.heal();
    assert_eq!(scan(&storage), ["a", "b"]);
    drop(b);
}

/// Written, then closed to make room, with an error of the write-back in between that nobody would ever see: so it is
/// synced before. A file that has nothing unsynced is closed first.
#[test]
fn a_file_with_unsynced_writes_is_synced_before_it_is_closed() {
    for io in BOTH {
        let (_dir, root, watch) = watched();
        let storage = FileStorage::builder(&root).io(io).max_open_files(2).hook(watch.hook()).open().unwrap();
        let (a, b) = (open(&storage, "a"), open(&storage, "b"));
        block_on(a.write_at(0, bytes("aaa"))).unwrap();
        watch.take();
        let c = open(&storage, "c");
        assert_eq!(watch.take(), ["create p/63"], "b is clean and goes first");
        block_on(c.write_at(0, bytes("ccc"))).unwrap();
        watch.take();
        block_on(b.write_at(0, bytes("bbb"))).unwrap();
        let calls = watch.take();
        assert_eq!(calls[1..], ["open p/62", "write p/62 0+4099"]);
        assert!(["fdatasync p/61", "fdatasync p/63"].contains(&calls[0].as_str()), "{calls:?}");
        assert_eq!(storage.open_files(), 2);
        for (blob, content) in [(&a, "aaa"), (&b, "bbb"), (&c, "ccc")] {
            assert_eq!(read_all(blob.as_ref()), content);
        }
    }
}

/// One file may be open, and eight threads use eight blobs: whoever finds it in use waits, and nobody for ever.
#[test]
fn one_descriptor_for_all() {
    for io in BOTH {
        let dir = tempfile::tempdir().unwrap();
        let storage = FileStorage::builder(dir.path()).io(io).max_open_files(1).open().unwrap();
        std::thread::scope(|scope| {
            for number in 0..8_u8 {
                let storage = storage.clone();
                scope.spawn(move || {
                    let blob = block_on(storage.open("p", &[number], &format())).unwrap();
                    for offset in 0..25_u8 {
                        block_on(blob.write_at(u64::from(offset), vec![vec![number ^ offset].into()])).unwrap();
                        let read = block_on(blob.read_at(u64::from(offset), 1)).unwrap();
                        assert_eq!(read, [number ^ offset].as_slice());
                        assert!(storage.open_files() <= 1);
                    }
                    block_on(blob.sync()).unwrap();
                });
            }
        });
        for number in 0..8_u8 {
            let blob = block_on(storage.open("p", &[number], &format())).unwrap();
            assert_eq!(blob.len(), 25);
        }
    }
}

/// A handle that nobody has any more leaves its file closed, unless it has unsynced writes: the next handle syncs them.
#[test]
fn unsynced_writes_outlive_their_handle() {
    let (_dir, root, watch) = watched();
    let storage = FileStorage::builder(&root).hook(watch.hook()).open().unwrap();
    let a = open(&storage, "a");
    block_on(a.write_at_sync(0, bytes("abc"))).unwrap();
    drop(a);
    assert_eq!(storage.open_files(), 0);
    let a = open(&storage, "a");
    block_on(a.write_at(3, bytes("def"))).unwrap();
    drop(a);
    assert_eq!(storage.open_files(), 1);
    watch.take();
    block_on(open(&storage, "a").sync()).unwrap();
    assert_eq!(watch.take(), ["fdatasync p/61"]);
    assert_eq!(storage.open_files(), 0);
}
