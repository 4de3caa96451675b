//! Things in the way: links, directories, and files of others.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use blob_runtime::{Error, FileStorage, Storage, StoreId, parse_file_name};
use futures::executor::block_on;

use super::support::*;

#[track_caller]
fn assert_unexpected<T: std::fmt::Debug>(result: Result<T, Error>, wanted_path: &str, wanted: &str) {
    match result {
        Err(Error::Unexpected { path, found }) => assert_eq!((&*path, found), (wanted_path, wanted)),
        other => panic!("expected a {wanted} at {wanted_path}, found {other:?}"),
    }
}

fn make(kind: &str, at: &Path, target: &Path) {
    match kind {
        "symbolic link" => symlink(target, at).unwrap(),
        "directory" => std::fs::create_dir(at).unwrap(),
        "fifo" => assert!(std::process::Command::new("mkfifo").arg(at).status().unwrap().success()),
        other => panic!("{other}"),
    }
}

/// Directories and files are for their owner alone, and names are as the format says.
#[test]
fn layout_and_permissions() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("made/here");
    let storage = FileStorage::open(&root).unwrap();
    block_on(open(&storage, "a").sync()).unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
    let file = files_in(&root.join("p")).remove(0);
    let modes = [dir.path().join("made"), root.clone(), root.join("p"), root.join("LOCK"), file.clone()];
    assert_eq!(modes.map(|path| mode(&path)), [0o700, 0o700, 0o700, 0o600, 0o600]);
    let (name, salt) = parse_file_name(file.file_name().unwrap().to_str().unwrap()).unwrap();
    assert_eq!((name, salt), (b"a".to_vec(), open(&storage, "a").header().salt));
    assert_eq!(storage.root(), root);
}

/// A link in a blob's place may lead anywhere, a directory would block the open, a fifo would hang it. Each is refused
/// by its kind, also by `scan`: leaving it out would look like a missing section. Nothing is changed.
#[test]
fn a_blob_that_is_no_regular_file() {
    for io in BOTH {
        for kind in ["symbolic link", "directory", "fifo"] {
            let dir = tempfile::tempdir().unwrap();
            let root = dir.path().join("root");
            let target = dir.path().join("victim");
            std::fs::write(&target, "precious").unwrap();
            drop(open(&FileStorage::open(&root).unwrap(), "b"));
            make(kind, &root.join("p/61.0000000a"), &target);
            let before = snapshot(dir.path());
            let shown = format!("{}/p/61", root.display());
            // Opened for writing, and beside a writer.
            for read_only in [false, true] {
                let storage = FileStorage::builder(&root).io(io).read_only(read_only).open().unwrap();
                assert_unexpected(block_on(storage.scan("p")), &shown, kind);
                assert_unexpected(block_on(storage.open("p", b"a", &format())), &shown, kind);
                let existing = format().existing();
                assert_eq!(block_on(storage.open("p", b"b", &existing)).unwrap().len(), 0, "others go on");
                if !read_only {
                    assert_unexpected(block_on(storage.remove("p", &[b"a".to_vec()])), &shown, kind);
                    assert_unexpected(block_on(storage.remove_partition("p")), &shown, kind);
                }
            }
            assert_eq!(snapshot(dir.path()), before);
            // Moved away, it is gone for the storage that was open all the time.
            let storage = FileStorage::builder(&root).io(io).open().unwrap();
            assert_unexpected(block_on(storage.scan("p")), &shown, kind);
            std::fs::rename(root.join("p/61.0000000a"), dir.path().join("away")).unwrap();
            assert_eq!(scan(&storage), ["b"]);
        }
    }
}

/// The link is put there while the storage runs: where a blob is opened again, and where one is created.
#[test]
fn a_link_that_is_planted_while_the_storage_runs() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    let target = dir.path().join("victim");
    std::fs::write(&target, "precious").unwrap();
    let storage = FileStorage::builder(&root).max_open_files(1).open().unwrap();
    let blob = open(&storage, "a");
    block_on(blob.write_at_sync(0, bytes("abc"))).unwrap();
    let _other = open(&storage, "b");
    let file = files_in(&root.join("p")).remove(0);
    std::fs::rename(&file, dir.path().join("aside")).unwrap();
    symlink(&target, &file).unwrap();
    assert_unexpected(block_on(blob.read_at(0, 1)), &blob.id().to_string(), "symbolic link");
    assert_unexpected(block_on(blob.write_at(0, bytes("x"))), &blob.id().to_string(), "symbolic link");
    // A salt that is asked for makes a name that can be foreseen.
    symlink(&target, root.join("p/63.00000007")).unwrap();
    let salted = format().salt(blob_runtime::Salt(7));
    let shown = format!("{}/p/63", root.display());
    assert_unexpected(block_on(storage.open("p", b"c", &salted)), &shown, "symbolic link");
    // The partition itself.
    std::fs::rename(root.join("p"), dir.path().join("p")).unwrap();
    symlink(dir.path().join("p"), root.join("p")).unwrap();
    let shown = format!("{}/p", root.display());
    assert_unexpected(block_on(storage.open("p", b"d", &format())), &shown, "symbolic link");
    assert_eq!(std::fs::read(&target).unwrap(), b"precious");
}

/// A link, or a file, in the place of a partition or of the lock, and a file in that of the root.
#[test]
fn a_partition_that_is_no_directory() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    std::fs::create_dir(&root).unwrap();
    let elsewhere = dir.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, root.join("p")).unwrap();
    std::fs::write(root.join("q"), "notes").unwrap();
    for read_only in [false, true] {
        let storage = FileStorage::builder(&root).read_only(read_only).open().unwrap();
        for (partition, found) in [("p", "symbolic link"), ("q", "file")] {
            let shown = format!("{}/{partition}", root.display());
            assert_unexpected(block_on(storage.scan(partition)), &shown, found);
            assert_unexpected(block_on(storage.open(partition, b"a", &format())), &shown, found);
            assert_unexpected(storage.foreign(partition), &shown, found);
            if !read_only {
                assert_unexpected(block_on(storage.remove_partition(partition)), &shown, found);
            }
        }
    }
    assert_eq!(files_in(&elsewhere), Vec::<std::path::PathBuf>::new());
    assert_eq!(std::fs::read(root.join("q")).unwrap(), b"notes");
    std::fs::remove_file(root.join("LOCK")).unwrap();
    symlink(&elsewhere, root.join("LOCK")).unwrap();
    assert_unexpected(FileStorage::open(&root), &format!("{}/LOCK", root.display()), "symbolic link");
    assert_unexpected(FileStorage::open(root.join("q")), &root.join("q").to_string_lossy(), "file");
}

/// Files of others are left alone and shown: names that are not of our form to the letter, directories, and whatever
/// else; and they keep the directory when the partition goes.
#[test]
fn foreign_files_are_left_alone() {
    for io in BOTH {
        let dir = tempfile::tempdir().unwrap();
        let storage = FileStorage::builder(dir.path()).io(io).open().unwrap();
        let p = dir.path().join("p");
        drop(open(&storage, "a"));
        std::fs::create_dir(p.join("lost+found")).unwrap();
        for name in ["61.0000000A", "61.0000000a.bak", "6.0000000a", ".0000000a", "README", "61"] {
            std::fs::write(p.join(name), name).unwrap();
        }
        let foreign: Vec<_> =
            ["lost+found", "61.0000000A", "61.0000000a.bak", "6.0000000a", ".0000000a", "README", "61"]
                .map(|name| p.join(name))
                .into();
        let sorted = |mut paths: Vec<std::path::PathBuf>| {
            paths.sort();
            paths
        };
        assert_eq!(sorted(storage.foreign("p").unwrap()), sorted(foreign.clone()));
        assert_eq!(scan(&storage), ["a"]);
        assert_eq!(storage.foreign("q").unwrap(), Vec::<std::path::PathBuf>::new());
        block_on(storage.remove_partition("p")).unwrap();
        assert_eq!(files_in(&p), sorted(foreign.clone()));
        for path in &foreign[1..] {
            assert_eq!(std::fs::read_to_string(path).unwrap(), path.file_name().unwrap().to_str().unwrap());
        }
        drop(open(&storage, "a"));
        assert_eq!(scan(&storage), ["a"]);
    }
}

/// Names that would lead out of the root are refused before any path is built.
#[test]
fn names_that_are_none() {
    let dir = tempfile::tempdir().unwrap();
    let storage = FileStorage::open(dir.path()).unwrap();
    let before = snapshot(dir.path());
    for partition in ["", "..", "a/b", "a.b"] {
        let refused = [
            block_on(storage.open(partition, b"a", &format())).map(drop),
            block_on(storage.scan(partition)).map(drop),
            block_on(storage.claim(partition)).map(drop),
            block_on(storage.remove(partition, &[])),
            block_on(storage.remove_partition(partition)),
            storage.foreign(partition).map(drop),
        ];
        for result in refused {
            assert!(matches!(&result, Err(Error::InvalidPartition { partition: named, .. }) if named == partition));
        }
    }
    assert!(matches!(block_on(storage.open("p", b"", &format())), Err(Error::InvalidName { len: 0 })));
    assert!(matches!(block_on(storage.remove("p", &[vec![0; 300]])), Err(Error::InvalidName { len: 300 })));
    let longest = [0xAB; blob_runtime::MAX_NAME_BYTES];
    block_on(block_on(storage.open("p", &longest, &format())).unwrap().sync()).unwrap();
    assert_eq!(block_on(storage.scan("p")).unwrap(), [longest.to_vec()]);
    block_on(storage.remove_partition("p")).unwrap();
    assert_eq!(snapshot(dir.path()), before);
}

/// The salt would let a value forge frames: it is in no error and no debug output.
#[test]
fn the_salt_is_not_told() {
    let (_dir, root, watch) = watched();
    let storage = FileStorage::builder(&root).hook(watch.hook()).open().unwrap();
    let salt = blob_runtime::Salt(0xFEED_BEE5);
    let blob = block_on(storage.open("p", b"a", &format().salt(salt))).unwrap();
    let mut told = vec![format!("{blob:?} {storage:?} {:?}", blob.header())];
    watch.fail_next("fdatasync", EIO);
    told.push(format!("{0:?} {0}", block_on(blob.sync()).unwrap_err()));
    let other = blob_runtime::Format { store: blob_runtime::Want::Exactly(StoreId(8)), ..format() };
    told.push(format!("{0:?} {0}", block_on(storage.open("p", b"a", &other)).unwrap_err()));
    for text in told {
        let text = text.to_lowercase();
        assert!(!text.contains("feedbee5") && !text.contains(&salt.0.to_string()), "{text}");
    }
}
