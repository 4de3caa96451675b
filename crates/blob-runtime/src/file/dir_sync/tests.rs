#[cfg(shuttle)]
mod shuttle;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::channel;

use super::*;

fn target() -> Target {
    Target::Partition("p".into())
}

fn failure() -> Error {
    Error::io(Operation::SyncDirectory, target(), None, io::ErrorKind::StorageFull.into())
}

/// Syncs and counts.
fn ensure(dir: &Dir, generation: u64, syncs: &AtomicUsize) -> Result<(), Error> {
    dir.ensure(generation, target, || {
        syncs.fetch_add(1, Ordering::Relaxed);
        Ok(())
    })
}

/// Killed between a change and the sync: what an earlier process did is unknown, so the first who needs it syncs, and
/// nobody after that.
#[test]
fn what_is_unknown_is_synced_once() {
    let (dir, syncs) = (Dir::new(), AtomicUsize::new(0));
    assert!(!dir.is_durable(UNKNOWN));
    ensure(&dir, UNKNOWN, &syncs).unwrap();
    ensure(&dir, UNKNOWN, &syncs).unwrap();
    assert_eq!(syncs.load(Ordering::Relaxed), 1);
    let (one, two) = (dir.changed(), dir.changed());
    assert!(UNKNOWN < one && one < two && !dir.is_durable(one));
    // A sync covers all changes before it.
    ensure(&dir, one, &syncs).unwrap();
    assert!(dir.is_durable(two));
    assert_eq!(syncs.load(Ordering::Relaxed), 2);
    let three = dir.changed();
    dir.made_anew();
    assert!(dir.is_durable(three));
}

/// A change that is made while a sync runs may have missed it: it waits for the next. All that have come by then share
/// that one.
#[test]
fn those_who_come_during_a_sync_share_the_next() {
    let (dir, syncs) = (Arc::new(Dir::new()), Arc::new(AtomicUsize::new(0)));
    let (started, wait_started) = channel();
    let (finish, wait_finish) = channel::<()>();
    let first = {
        let dir = Arc::clone(&dir);
        let generation = dir.changed();
        std::thread::spawn(move || {
            dir.ensure(generation, target, || {
                started.send(()).unwrap();
                wait_finish.recv().unwrap();
                Ok(())
            })
        })
    };
    wait_started.recv().unwrap();
    let followers: Vec<_> = (0..8)
        .map(|_| {
            let (dir, syncs) = (Arc::clone(&dir), Arc::clone(&syncs));
            let generation = dir.changed();
            std::thread::spawn(move || ensure(&dir, generation, &syncs))
        })
        .collect();
    assert_eq!(syncs.load(Ordering::Relaxed), 0, "the first one still runs");
    finish.send(()).unwrap();
    first.join().unwrap().unwrap();
    for follower in followers {
        follower.join().unwrap().unwrap();
    }
    assert_eq!(syncs.load(Ordering::Relaxed), 1);
    assert!(dir.is_durable(dir.latest()));
}

/// A failed sync reaches those who waited for it and all that come later, and is never tried again; what was durable
/// before stays so.
#[test]
fn a_failure_is_final() {
    let (dir, syncs) = (Dir::new(), AtomicUsize::new(0));
    ensure(&dir, UNKNOWN, &syncs).unwrap();
    dir.check(target).unwrap();
    let generation = dir.changed();
    assert!(matches!(dir.ensure(generation, target, || Err(failure())), Err(Error::Io { .. })));
    for result in [ensure(&dir, generation, &syncs), dir.check(target)] {
        let Err(Error::Poisoned { target: poisoned, source }) = result else { panic!("{result:?}") };
        assert_eq!((poisoned, source.io_kind()), (target(), Some(io::ErrorKind::StorageFull)));
    }
    ensure(&dir, UNKNOWN, &syncs).unwrap();
    assert_eq!(syncs.load(Ordering::Relaxed), 1);
}

/// The directory cannot be opened to be synced, for want of a descriptor: nothing was lost, and the next attempt counts.
#[test]
fn a_sync_that_was_not_begun_is_no_failed_one() {
    let (dir, syncs) = (Dir::new(), AtomicUsize::new(0));
    let no_descriptor = Error::io(Operation::Open, target(), None, Errno::MFILE.into());
    match dir.ensure(UNKNOWN, target, || Err(no_descriptor)) {
        Err(Error::Io { operation: Operation::Open, source, .. }) => {
            assert_eq!(source.raw_os_error(), Some(Errno::MFILE.raw_os_error()));
        }
        other => panic!("{other:?}"),
    }
    dir.check(target).unwrap();
    ensure(&dir, UNKNOWN, &syncs).unwrap();
    assert_eq!(syncs.load(Ordering::Relaxed), 1);
}

/// A hook panics in a sync: nobody waits for its end for ever, and nobody takes it for a good one.
#[test]
fn a_panic_is_a_failure() {
    let dir = Dir::new();
    let panicking = || dir.ensure(UNKNOWN, target, || panic!("on purpose"));
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(panicking)).unwrap_err();
    assert_eq!(caught.downcast_ref(), Some(&"on purpose"));
    match ensure(&dir, UNKNOWN, &AtomicUsize::new(0)) {
        Err(Error::Poisoned { target: poisoned, .. }) => assert_eq!(poisoned, target()),
        other => panic!("{other:?}"),
    }
}

/// The directory above may belong to somebody else, or be on a medium that takes no writes: that is no reason to refuse
/// a root that is there. Any other failure is.
#[test]
fn a_directory_above_that_cannot_be_synced() {
    use super::super::hook::{Event, Verdict};
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir(&root).unwrap();
    let refusing = |errno: Errno| {
        Sys::new(std::path::PathBuf::new(), Some(Arc::new(move |_: &Event<'_>| Verdict::Fail(errno.into()))))
    };
    for errno in [Errno::ACCESS, Errno::PERM, Errno::ROFS, Errno::INVAL] {
        make_root(&refusing(errno), &root).unwrap();
    }
    match make_root(&refusing(Errno::IO), &root) {
        Err(Error::Io { operation: Operation::SyncDirectory, target: Target::Path(path), source, .. }) => {
            assert_eq!((Path::new(&*path), source.raw_os_error()), (dir.path(), Some(Errno::IO.raw_os_error())));
        }
        other => panic!("{other:?}"),
    }
    fs::write(dir.path().join("file"), "").unwrap();
    match make_root(&Sys::new(std::path::PathBuf::new(), None), &dir.path().join("file/below")) {
        Err(Error::Io { operation: Operation::Inspect, source, .. }) => {
            assert_eq!(source.kind(), io::ErrorKind::NotADirectory);
        }
        other => panic!("{other:?}"),
    }
}
