use std::os::fd::AsFd;
use std::path::Path;

use super::*;

fn root(path: &Path) -> File {
    File::open(path).unwrap()
}

fn shown() -> Arc<str> {
    "the root".into()
}

#[track_caller]
fn assert_locked(result: Result<RootLock, Error>) {
    match result {
        Err(Error::Locked { what }) => assert_eq!(&*what, "the root"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let first = take(root(dir.path()).as_fd(), &shown()).unwrap();
    assert_locked(take(root(dir.path()).as_fd(), &shown()));
    drop(first);
    drop(take(root(dir.path()).as_fd(), &shown()).unwrap());
}

/// Another thread starts a process: until that calls `exec` it has a copy of the descriptor.
#[test]
fn a_copy_of_the_descriptor_keeps_nothing_locked() {
    let dir = tempfile::tempdir().unwrap();
    let first = take(root(dir.path()).as_fd(), &shown()).unwrap();
    let copy = first.0.try_clone().unwrap();
    assert_locked(take(root(dir.path()).as_fd(), &shown()));
    drop(first);
    let second = take(root(dir.path()).as_fd(), &shown()).unwrap();
    drop(copy);
    assert_locked(take(root(dir.path()).as_fd(), &shown()));
    drop(second);
}

/// Somebody deletes the lock file to get at a store that is in use: the one who holds the old file keeps writing. The
/// next holder has the new file, which the path leads to, and the old one cannot be taken again.
#[test]
fn a_lock_file_that_is_not_the_one_at_the_path_does_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let old = take(root(dir.path()).as_fd(), &shown()).unwrap();
    std::fs::rename(dir.path().join(LOCK), dir.path().join("old")).unwrap();
    let new = take(root(dir.path()).as_fd(), &shown()).unwrap();
    assert!(!same_file(&stat(dir.path()), &old.0.metadata().unwrap()));
    assert!(same_file(&stat(dir.path()), &new.0.metadata().unwrap()));
    assert_locked(take(root(dir.path()).as_fd(), &shown()));
}

fn stat(dir: &Path) -> rustix::fs::Stat {
    rustix::fs::statat(root(dir), LOCK, AtFlags::SYMLINK_NOFOLLOW).unwrap()
}

/// A race: between the open and the lock the file is replaced, and its new life is locked by somebody else as well. The
/// lock that comes out is on the file at the path; when it is replaced again and again there is none.
#[test]
fn a_lock_file_that_is_replaced_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let replace = || {
        std::fs::write(dir.path().join("next"), "").unwrap();
        std::fs::rename(dir.path().join("next"), dir.path().join(LOCK)).unwrap();
    };
    let mut attempts = 0;
    let held = take_between(root(dir.path()).as_fd(), &shown(), || {
        attempts += 1;
        match attempts {
            1 => replace(),
            2 => std::fs::remove_file(dir.path().join(LOCK)).unwrap(),
            _ => {}
        }
    });
    assert!(same_file(&stat(dir.path()), &held.unwrap().0.metadata().unwrap()));
    assert_eq!(attempts, 3);
    attempts = 0;
    assert_locked(take_between(root(dir.path()).as_fd(), &shown(), || {
        attempts += 1;
        replace();
    }));
    assert_eq!(attempts, ATTEMPTS);
}

#[test]
fn what_is_no_regular_file_is_no_lock() {
    let dir = tempfile::tempdir().unwrap();
    for found in ["directory", "fifo"] {
        let path = dir.path().join(LOCK);
        match found {
            "directory" => std::fs::create_dir(&path).unwrap(),
            _ => assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success()),
        }
        match take(root(dir.path()).as_fd(), &shown()) {
            Err(Error::Unexpected { path, found: kind }) => assert_eq!((&*path, kind), ("the root/LOCK", found)),
            other => panic!("{other:?}"),
        }
        std::fs::rename(&path, dir.path().join(found)).unwrap();
    }
}
