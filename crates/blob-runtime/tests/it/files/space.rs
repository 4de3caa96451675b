//! A full disk, and files that others have cut.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::process::Command;

use blob_runtime::{Error, FileStorage, HeaderState, Operation, Storage};
use bytes::Bytes;
use futures::executor::block_on;

use super::support::*;

/// A file system of 64 KiB, unmounted when dropped.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(at: &'a Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs"]).arg(at);
        let mounted = is_root() && mount.status().is_ok_and(|status| status.success());
        mounted.then_some(Self(at))
    }

    /// Waits until no more than `bytes` are taken: with `Io::Pool`, removed files are closed, and their space is free, a
    /// moment after the removal has returned.
    fn wait_until_taken(&self, bytes: u64) {
        let taken = || {
            let disk = rustix::fs::statvfs(self.0).unwrap();
            (disk.f_blocks - disk.f_bfree) * disk.f_frsize
        };
        while taken() > bytes {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

/// The disk is full in the middle of a write, which the file system cuts short. The error is returned, the length is
/// what the file really has, bytes outside of the write are untouched, and with room again the same write succeeds.
#[test]
fn no_space_left() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(dir.path()) else {
        println!("skipped: no_space_left (needs root, to mount a tmpfs)");
        return;
    };
    for io in BOTH {
        let storage = FileStorage::builder(dir.path()).io(io).open().unwrap();
        let blob = open(&storage, "a");
        let ballast = open(&storage, "ballast");
        block_on(ballast.write_at(0, vec![Bytes::from(vec![1; 16 * 1024])])).unwrap();
        block_on(blob.write_at(0, bytes("abc"))).unwrap();
        let large = Bytes::from(vec![2; 60 * 1024]);
        assert_io(block_on(blob.write_at(3, vec![large.clone()])), Operation::Write, ENOSPC);
        let file = &files_in(&dir.path().join("p"))[0];
        assert_eq!(blob.len(), file.metadata().unwrap().len() - HEADER);
        assert!((3..60 * 1024).contains(&blob.len()), "{}", blob.len());
        let there = read_all(blob.as_ref());
        assert!(there.starts_with(b"abc") && there[3..].iter().all(|byte| *byte == 2));
        // A new blob has no room for its header; it is as new as before.
        let late = open(&storage, "late");
        assert_io(block_on(late.sync()), Operation::Write, ENOSPC);

        block_on(storage.remove("p", &[b"ballast".to_vec()])).unwrap();
        block_on(blob.resize(3)).unwrap();
        disk.wait_until_taken(2 * HEADER);
        let large = large.slice(..32 * 1024);
        block_on(blob.write_at_sync(3, vec![large.clone()])).unwrap();
        assert_eq!(read_all(blob.as_ref())[3..], large);
        assert_eq!(late.header_state(), HeaderState::New);
        block_on(late.sync()).unwrap();
        assert_eq!(open(&storage, "late").header_state(), HeaderState::Sound);
        block_on(storage.remove_partition("p")).unwrap();
        disk.wait_until_taken(0);
    }
}

/// No room for a directory entry.
#[test]
fn no_space_for_a_name() {
    let (_dir, root, watch) = watched();
    let storage = FileStorage::builder(&root).hook(watch.hook()).open().unwrap();
    watch.fail_next("mkdir p", ENOSPC);
    assert_io(block_on(storage.open("p", b"a", &format())), Operation::CreateDirectory, ENOSPC);
    watch.fail_next("create p/61", ENOSPC);
    assert_io(block_on(storage.open("p", b"a", &format())), Operation::Create, ENOSPC);
    assert_eq!((scan(&storage), files_in(&root.join("p"))), (vec![], vec![]));
    block_on(open(&storage, "a").sync()).unwrap();
}

/// A listing fails. Taken for an empty directory it would make every blob a missing one, and the next step a deletion.
#[test]
fn a_failed_listing_is_no_empty_partition() {
    let (_dir, root, watch) = watched();
    drop(open(&FileStorage::open(&root).unwrap(), "a"));
    let storage = FileStorage::builder(&root).hook(watch.hook()).open().unwrap();
    watch.fail_all("list p", EIO);
    assert_io(block_on(storage.scan("p")), Operation::List, EIO);
    assert_io(block_on(storage.open("p", b"a", &format())), Operation::List, EIO);
    assert_io(block_on(storage.remove_partition("p")), Operation::List, EIO);
    assert_io(storage.foreign("p"), Operation::List, EIO);
    watch.heal();
    assert_eq!(scan(&storage), ["a"]);
}

/// Somebody cuts a file behind our back: reads say that bytes are missing, others go on, and nothing panics.
#[test]
fn a_file_that_was_cut_by_somebody_else() {
    for io in BOTH {
        let dir = tempfile::tempdir().unwrap();
        let storage = FileStorage::builder(dir.path()).io(io).open().unwrap();
        let blob = open(&storage, "a");
        block_on(blob.write_at_sync(0, bytes("abcdef"))).unwrap();
        let path = files_in(&dir.path().join("p")).remove(0);
        OpenOptions::new().write(true).open(&path).unwrap().set_len(HEADER + 2).unwrap();
        assert!(blob.try_read_at(0, 6).is_none(), "left to a read that can say why");
        match block_on(blob.read_at(0, 6)) {
            Err(Error::Io { operation: Operation::Read, offset: Some(0), source, .. }) => {
                assert_eq!(source.kind(), io::ErrorKind::UnexpectedEof);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(block_on(blob.read_at(0, 2)).unwrap(), "ab");
        block_on(blob.write_at_sync(2, bytes("xyz"))).unwrap();
        assert_eq!(block_on(blob.read_at(0, 5)).unwrap(), "abxyz");
        drop(blob);
        OpenOptions::new().write(true).open(&path).unwrap().set_len(9).unwrap();
        let blob = open(&storage, "a");
        let short = blob_runtime::HeaderFault::Short { file_bytes: 9 };
        assert_eq!((blob.header_state(), blob.len()), (HeaderState::Bad(short), 0));
        // A sync before it is decided what the blob is leaves it as it is; a change makes it whole again.
        block_on(blob.sync()).unwrap();
        assert_eq!(path.metadata().unwrap().len(), 9);
        block_on(blob.write_at(0, bytes("new"))).unwrap();
        assert_eq!(open(&storage, "a").header_state(), HeaderState::Sound);
        assert_eq!(read_all(blob.as_ref()), "new");
    }
}

/// Somebody removes, or replaces, a file that was closed to make room: it is not taken for the blob.
#[test]
fn a_file_that_was_replaced_by_somebody_else() {
    let dir = tempfile::tempdir().unwrap();
    let storage = FileStorage::builder(dir.path()).max_open_files(1).open().unwrap();
    let blob = open(&storage, "a");
    block_on(blob.write_at_sync(0, bytes("abc"))).unwrap();
    let _other = open(&storage, "b");
    let path = files_in(&dir.path().join("p")).remove(0);
    let aside = dir.path().join("p/aside");
    std::fs::rename(&path, &aside).unwrap();
    assert_io(block_on(blob.read_at(0, 3)), Operation::Open, 2);
    std::fs::copy(&aside, &path).unwrap();
    match block_on(blob.read_at(0, 3)) {
        Err(Error::Unexpected { path, found: "file that was put in its place" }) => {
            assert_eq!(*path, *blob.id().to_string());
        }
        other => panic!("{other:?}"),
    }
    std::fs::rename(&aside, &path).unwrap();
    assert_eq!(read_all(blob.as_ref()), "abc");
}

/// A page that is in the cache is read without a thread hop; nothing else is answered that way.
#[cfg(target_os = "linux")]
#[test]
fn what_the_page_cache_has_is_read_at_once() {
    for io in BOTH {
        let (_dir, root, watch) = watched();
        let storage = FileStorage::builder(&root).io(io).max_open_files(1).hook(watch.hook()).open().unwrap();
        let blob = open(&storage, "a");
        let content: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        block_on(blob.write_at(0, vec![content.clone().into()])).unwrap();
        for (offset, len) in [(0, 1), (0, 100_000), (4095, 4098), (99_999, 1), (100_000, 0)] {
            let read = blob.try_read_at(offset as u64, len).expect("it was just written").unwrap();
            assert_eq!(read, &content[offset..offset + len]);
        }
        match blob.try_read_at(99_999, 2) {
            Some(Err(Error::OutOfBounds { offset: 99_999, len: 2, blob_len: 100_000, .. })) => {}
            other => panic!("{other:?}"),
        }
        // An error is left to a read that can say more.
        watch.fail_next("read p/61", EIO);
        assert!(blob.try_read_at(0, 1).is_none());
        // A file that is not open would have to be opened.
        let other = open(&storage, "b");
        assert!(blob.try_read_at(0, 1).is_none());
        assert_eq!(read_all(blob.as_ref()), content);
        drop(other);
        // Where the call does not exist it is not tried again.
        watch.fail_next("read p/61", 95);
        assert!(blob.try_read_at(0, 1).is_none());
        watch.take();
        assert!(blob.try_read_at(0, 1).is_none());
        assert_eq!(watch.take(), [""; 0]);
        block_on(storage.remove("p", &[b"a".to_vec()])).unwrap();
        assert!(matches!(blob.try_read_at(0, 1), Some(Err(Error::Removed { .. }))));
    }
}

/// Several handles are one blob: one length, one order, one header.
#[test]
fn handles_share_one_blob() {
    let dir = tempfile::tempdir().unwrap();
    let storage = FileStorage::open(dir.path()).unwrap();
    let (one, two) = (open(&storage, "a"), open(&storage, "a"));
    assert_eq!(one.header(), two.header());
    block_on(one.write_at(0, bytes("abc"))).unwrap();
    block_on(two.write_at(3, bytes("def"))).unwrap();
    assert_eq!((one.len(), read_all(one.as_ref())), (6, "abcdef".into()));
    let other = blob_runtime::Format { store: blob_runtime::Want::Exactly(blob_runtime::StoreId(8)), ..format() };
    match block_on(storage.open("p", b"a", &other)) {
        Err(Error::FormatMismatch { field: "store id", .. }) => {}
        found => panic!("{found:?}"),
    }
    // A blob that has not been written yet is already of its first handle's format.
    let _new = open(&storage, "new");
    match block_on(storage.open("p", b"new", &other)) {
        Err(Error::FormatMismatch { field: "store id", .. }) => {}
        found => panic!("{found:?}"),
    }
}
