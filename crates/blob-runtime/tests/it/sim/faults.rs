//! Operations that fail, hang, go astray or find no space.

use super::*;
use blob_runtime::sim::{self, Fault};
use blob_runtime::{Error, HeaderState, Operation, Target};
use std::io::ErrorKind;

/// fsync fails once and drops the dirty pages; the retry would say Ok and the data would be lost. So the blob refuses
/// every change, through all handles, and reads go on.
#[test]
fn a_failed_sync_poisons_every_handle_until_the_blob_is_opened_anew() {
    for seed in 0..20 {
        sim::run(seed, async |sim| {
            let (blob, second) = (durable(&sim, A, b"old").await, open(&sim, A).await);
            blob.write_at(0, bytes(b"new")).await.unwrap();
            sim.faults().inject(Fault::eio(Operation::Sync).survivors(Cut::LoseAll));
            match blob.sync().await {
                Err(Error::Io { operation: Operation::Sync, target: Target::Blob(id), source, .. }) => {
                    assert_eq!((&id, source.raw_os_error()), (blob.id(), Some(5)));
                }
                other => panic!("{other:?}"),
            }
            for handle in [&blob, &second] {
                for result in [
                    handle.sync().await,
                    handle.write_at(0, bytes(b"x")).await,
                    handle.resize(0).await,
                    handle.write_at_sync(0, bytes(b"x")).await,
                    handle.write_header().await,
                ] {
                    match result {
                        Err(Error::Poisoned { target: Target::Blob(id), source }) => {
                            assert_eq!(&id, blob.id());
                            assert!(matches!(&*source, Error::Io { operation: Operation::Sync, .. }), "{source:?}");
                        }
                        other => panic!("{other:?}"),
                    }
                }
                assert_eq!(content(handle).await, "new", "the cache still shows it");
            }

            // Opened anew: a sync says Ok and proves nothing.
            let anew = open(&sim, A).await;
            anew.sync().await.unwrap();
            assert_eq!(sim.disk().durable(P, A).unwrap()[HEADER..], *b"old");
            // Written again, the same bytes reach the disk.
            anew.write_at_sync(0, bytes(b"new")).await.unwrap();
            assert_eq!(sim.disk().durable(P, A).unwrap()[HEADER..], *b"new");
            let old = blob.sync().await;
            assert!(matches!(old, Err(Error::Poisoned { .. })), "a handle from before stays poisoned: {old:?}");
        });
    }
}

/// The header of a new blob is dropped by a failed sync and looks sound in the cache. `write_header` brings it to disk.
#[test]
fn a_header_that_only_the_cache_holds_can_be_written_again() {
    sim::run(1, async |sim| {
        let blob = open(&sim, A).await;
        blob.write_at(0, bytes(b"x")).await.unwrap();
        sim.faults().inject(Fault::eio(Operation::Sync).survivors(Cut::LoseAll));
        assert!(matches!(blob.sync().await, Err(Error::Io { .. })));
        let anew = open(&sim, A).await;
        assert_eq!(anew.header_state(), HeaderState::Sound);
        anew.write_at_sync(0, bytes(b"x")).await.unwrap();
        assert!(sim.disk().durable(P, A).unwrap()[..36].iter().all(|byte| *byte == 0));
        anew.write_header().await.unwrap();
        anew.sync().await.unwrap();
        sim.crash(LOSE_ALL);
        let blob = open(&sim, A).await;
        assert_eq!((blob.header_state(), content(&blob).await), (HeaderState::Sound, Bytes::from_static(b"x")));
    });
}

/// A failed sync leaves any subset on the disk; which one can be said.
#[test]
fn a_failed_sync_may_have_written_anything() {
    let run = |survivors| {
        sim::run(2, async |sim| {
            let blob = durable(&sim, A, b"....").await;
            blob.write_at(0, bytes(b"a")).await.unwrap();
            blob.write_at(2, bytes(b"b")).await.unwrap();
            sim.faults().inject(Fault::eio(Operation::Sync).survivors(survivors));
            assert!(matches!(blob.sync().await, Err(Error::Io { .. })));
            assert_eq!(sim.pending(), 0);
            sim.crash(Crash::Power(Cut::KeepAll));
            found(&sim, A).await.unwrap()
        })
    };
    let survivors = [Cut::LoseAll, Cut::Only(0), Cut::Only(1), Cut::KeepAll];
    assert_eq!(survivors.map(run), ["....", "a...", "..b.", "a.b."]);
}

/// EIO or ENOSPC on a write: each byte of its range is old or new, the others as they were, and a retry works.
#[test]
fn a_failed_write_loses_nothing() {
    for seed in 0..60 {
        sim::run(seed, async |sim| {
            let blob = durable(&sim, A, b"0123456789").await;
            sim.faults().inject(Fault::enospc(Operation::Write));
            match blob.write_at(4, bytes(b"abcdefghij")).await {
                Err(error @ Error::Io { operation: Operation::Write, offset: Some(4), .. }) => {
                    assert_eq!(error.io_kind(), Some(ErrorKind::StorageFull));
                    assert!(!error.is_sync_failure());
                }
                other => panic!("{other:?}"),
            }
            let after = content(&blob).await;
            assert_eq!(after[..4], *b"0123");
            for (at, byte) in after.iter().enumerate().skip(4) {
                assert!([b"0123456789----"[at], b"....abcdefghij"[at]].contains(byte), "{after:?}");
            }
            blob.write_at_sync(4, bytes(b"abcdefghij")).await.unwrap();
            sim.crash(LOSE_ALL);
            assert_eq!(found(&sim, A).await.unwrap(), "0123abcdefghij");
        });
    }
}

/// The disk is full: a write lands up to what fits, says ENOSPC, and succeeds when there is space again.
#[test]
fn a_write_lands_as_far_as_the_space_reaches() {
    sim::run(3, async |sim| {
        let blob = durable(&sim, A, b"0123").await;
        sim.faults().space(Some(HEADER as u64 + 6));
        let error = blob.write_at(2, bytes(b"abcdefgh")).await.unwrap_err();
        assert_eq!(error.io_kind(), Some(ErrorKind::StorageFull));
        assert_eq!(content(&blob).await, "01abcd");
        let error = blob.resize(20).await.unwrap_err();
        assert_eq!(error.io_kind(), Some(ErrorKind::StorageFull));
        assert_eq!(blob.len(), 6);
        blob.write_at(0, bytes(b"zz")).await.unwrap();

        sim.storage().remove(P, &[b"none".to_vec()]).await.unwrap();
        blob.resize(1).await.unwrap();
        assert_eq!(sim.disk().used_bytes(), HEADER as u64 + 1);
        sim.faults().space(None);
        blob.write_at(1, bytes(b"more than would fit")).await.unwrap();
        assert_eq!(content(&blob).await, "zmore than would fit");
    });
}

/// ENOSPC for the header of a new blob: it is still due, and goes with the next change.
#[test]
fn a_header_that_found_no_space_is_written_later() {
    sim::run(4, async |sim| {
        let blob = open(&sim, A).await;
        sim.faults().space(Some(100));
        match blob.write_at(0, bytes(b"x")).await {
            Err(Error::Io { operation: Operation::Write, offset: None, .. }) => {}
            other => panic!("{other:?}"),
        }
        assert_eq!((blob.len(), sim.disk().used_bytes()), (0, 100));
        sim.faults().clear();
        blob.write_at_sync(0, bytes(b"x")).await.unwrap();
        sim.crash(LOSE_ALL);
        let blob = open(&sim, A).await;
        assert_eq!((blob.header_state(), content(&blob).await), (HeaderState::Sound, Bytes::from_static(b"x")));
    });
}

/// One transient EIO in each thing an open does: it is told, nothing is changed, and a later try works.
#[test]
fn an_open_that_fails_can_be_tried_again() {
    for operation in [Operation::Open, Operation::CreateDirectory, Operation::Create] {
        sim::run(5, async |sim| {
            sim.faults().inject(Fault::error(operation, ErrorKind::PermissionDenied));
            match sim.storage().open(P, A, &format()).await {
                Err(error @ Error::Io { operation: failed, .. }) => {
                    assert_eq!((failed, error.io_kind()), (operation, Some(ErrorKind::PermissionDenied)));
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(sim.disk().files(), []);
            durable(&sim, A, b"x").await;
        });
    }
    sim::run(6, async |sim| {
        durable(&sim, A, b"x").await;
        sim.faults().inject(Fault::eio(Operation::Read).times(2));
        for _ in 0..2 {
            let error = sim.storage().open(P, A, &format()).await.unwrap_err();
            assert!(matches!(error, Error::Io { operation: Operation::Read, .. }), "{error:?}");
        }
        assert_eq!(found(&sim, A).await.unwrap(), "x");
        sim.faults().inject(Fault::eio(Operation::List));
        let error = sim.storage().scan(P).await.unwrap_err();
        assert!(matches!(error, Error::Io { operation: Operation::List, .. }), "{error:?}");
        assert_eq!(sim.storage().scan(P).await.unwrap(), [A]);
    });
}

/// While a read fault is armed `try_read_at` does not answer, so that the fault cannot be passed by.
#[test]
fn a_read_fault_meets_the_next_read() {
    sim::run(7, async |sim| {
        let blob = durable(&sim, A, b"hello").await;
        sim.faults().inject(Fault::eio(Operation::Read));
        for _ in 0..20 {
            assert!(blob.try_read_at(0, 5).is_none());
        }
        match blob.read_at(1, 2).await {
            Err(Error::Io { operation: Operation::Read, offset: Some(1), .. }) => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(sim.faults().armed(), 0);
        assert_eq!(blob.read_at(1, 2).await.unwrap(), "el");
    });
}

/// A removal fails between two names: one is gone, one is there, and nothing says that either is durable.
#[test]
fn a_removal_may_stop_half_way() {
    sim::run(8, async |sim| {
        durable(&sim, A, b"a").await;
        durable(&sim, b"b", b"b").await;
        sim.faults().inject(Fault::eio(Operation::Remove).nth(2));
        let names = [A.to_vec(), b"b".to_vec()];
        match sim.storage().remove(P, &names).await {
            Err(Error::Io { operation: Operation::Remove, target: Target::Blob(id), .. }) => {
                assert_eq!(id.name(), b"b")
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(sim.storage().scan(P).await.unwrap(), [b"b"]);
        assert_eq!(sim.disk().files().iter().filter(|file| file.durable).count(), 2);
        sim.storage().remove(P, &names).await.unwrap();
        sim.crash(LOSE_ALL);
        assert_eq!(sim.disk().files(), []);
    });
}

/// A sync hangs. Others go on; what it covers is not durable; released, it ends.
#[test]
fn an_operation_can_hang() {
    sim::run(9, async |sim| {
        let blob = durable(&sim, A, b"old").await;
        let other = durable(&sim, b"b", b"old").await;
        blob.write_at(0, bytes(b"new")).await.unwrap();
        sim.faults().inject(Fault::hang(Operation::Sync).blob(P, A));
        let hanging = sim.spawn({
            let blob = Arc::clone(&blob);
            async move { blob.sync().await }
        });
        for _ in 0..10 {
            other.write_at_sync(0, bytes(b"new")).await.unwrap();
        }
        assert!(!hanging.is_finished());
        assert_eq!(sim.disk().durable(P, A).unwrap()[HEADER..], *b"old");
        sim.faults().release();
        hanging.await.unwrap().unwrap();
        assert_eq!(sim.disk().durable(P, A).unwrap()[HEADER..], *b"new");
    });
}

/// A crash while an operation hangs.
#[test]
fn what_hangs_dies_with_the_process() {
    sim::run(10, async |sim| {
        let blob = durable(&sim, A, b"old").await;
        sim.faults().inject(Fault::hang(Operation::Resize));
        let hanging = sim.spawn(async move { blob.resize(0).await });
        for _ in 0..50 {
            sim.yield_now().await;
        }
        sim.crash(LOSE_ALL);
        assert!(hanging.await.is_none());
        sim.faults().release();
        assert_eq!(found(&sim, A).await.unwrap(), "old");
    });
}

/// A write goes to the wrong place: the cache shows it, its sync says Ok, and after a power cut it is not there, while
/// another place has its bytes.
#[test]
fn a_misdirected_write_is_seen_after_a_power_cut_only() {
    let mut elsewhere = 0;
    for seed in 0..40 {
        elsewhere += sim::run(seed, async |sim| {
            let blob = durable(&sim, A, &[b'.'; 2000]).await;
            durable(&sim, b"b", &[b'.'; 2000]).await;
            sim.faults().inject(Fault::misdirected_write());
            blob.write_at_sync(0, bytes(&[b'#'; 100])).await.unwrap();
            assert_eq!(content(&blob).await[..100], [b'#'; 100]);
            assert_eq!(sim.counts().ways.astray, 1);
            sim.crash(LOSE_ALL);
            let files = [A, b"b"].map(|name| sim.disk().visible(P, name).unwrap());
            let hits: Vec<_> = files.iter().flat_map(|bytes| bytes.iter().position(|byte| *byte == b'#')).collect();
            assert!(hits.len() <= 1 && hits.iter().all(|hit| hit % 512 == 0), "{hits:?}");
            hits.len()
        });
    }
    assert!(elsewhere > 20, "{elsewhere}");
}

/// Bits rot on the disk, in the header as anywhere.
#[test]
fn a_bit_rots() {
    sim::run(11, async |sim| {
        let blob = durable(&sim, A, b"hello").await;
        assert!(sim.faults().rot(P, A, HEADER + 1, 2));
        assert_eq!(content(&blob).await, "hallo");
        assert!(!sim.faults().rot(P, A, HEADER + 5, 0));
        assert!(!sim.faults().rot(P, b"none", 0, 0));
        assert!(sim.faults().rot(P, A, 3, 7));
        sim.crash(LOSE_ALL);
        let blob = open(&sim, A).await;
        assert!(matches!(blob.header_state(), HeaderState::Bad(blob_runtime::HeaderFault::Checksum { .. })));
        assert_eq!(content(&blob).await, "hallo");
    });
}
