//! Blobs that come, go and come again; partitions; two files of one name; readers.

use super::*;
use blob_runtime::sim::{self, Fault};
use blob_runtime::{Error, HeaderState, Operation, Salt, Target};
use futures::FutureExt;

/// A removal has returned: no crash brings the blob back, and its handles know.
#[test]
fn a_removal_that_returned_is_durable() {
    for seed in 0..40 {
        sim::run(seed, async |sim| {
            let storage = sim.storage();
            let (a, b) = (durable(&sim, A, b"a").await, durable(&sim, b"b", b"b").await);
            let before = sim.counts().performed(Operation::SyncDirectory);
            storage.remove(P, &[A.to_vec(), b"gone".to_vec(), b"b".to_vec()]).await.unwrap();
            assert_eq!(sim.counts().performed(Operation::SyncDirectory) - before, 1, "one sync for all of them");
            for result in [a.write_at(0, bytes(b"x")).await, a.sync().await, b.read_at(0, 1).await.map(drop)] {
                assert!(matches!(result, Err(Error::Removed { .. })), "{result:?}");
            }
            sim.crash(LOSE_ALL);
            assert_eq!(sim.storage().scan(P).await.unwrap(), Vec::<Vec<u8>>::new());
        });
    }
}

/// A blob is removed and its name taken again at once: a fresh life, with a salt of its own.
#[test]
fn a_name_that_comes_again_is_a_new_blob() {
    sim::run(1, async |sim| {
        let old = durable(&sim, A, b"old").await;
        sim.storage().remove(P, &[A.to_vec()]).await.unwrap();
        let new = open(&sim, A).await;
        assert_eq!((new.len(), new.header_state()), (0, HeaderState::New));
        assert_ne!(new.header().salt, old.header().salt);
        new.write_at_sync(0, bytes(b"new")).await.unwrap();
        sim.crash(LOSE_ALL);
        assert_eq!(found(&sim, A).await.unwrap(), "new");
    });
}

/// A process is killed between an unlink and the directory's sync. The next one creates the name anew and is hit by a
/// power cut at any step: never do both files come back with content.
#[test]
fn a_removal_is_durable_before_the_name_is_created_again() {
    for seed in 0..20 {
        for step in 1..14 {
            sim::run(seed, async |sim| {
                durable(&sim, A, b"old").await;
                sim.faults().inject(Fault::hang(Operation::SyncDirectory));
                // With the sync hanging, the unlink is all that happens.
                let (removing, task) = (sim.clone(), sim.clone());
                let removal = task.spawn(async move { removing.storage().remove(P, &[A.to_vec()]).await });
                while sim.disk().visible(P, A).is_some() {
                    sim.yield_now().await;
                }
                sim.crash(Crash::Kill);
                sim.faults().clear();
                assert!(removal.await.is_none());

                sim.crash_at(step, Crash::Power(Cut::Random));
                let creating = sim.clone();
                sim.life(async move { durable(&creating, A, b"new").await }).await;
                sim.crash(Crash::Power(Cut::Random));
                let files = sim.disk().files();
                assert!(files.len() <= 1, "{files:?}");
            });
        }
    }
}

/// A removal finds nothing, as a killed process has just taken the name away: it is durable only with a sync.
#[test]
fn a_removal_of_what_is_not_there_is_durable_too() {
    sim::run(2, async |sim| {
        durable(&sim, A, b"old").await;
        sim.faults().inject(Fault::hang(Operation::SyncDirectory));
        let (removing, task) = (sim.clone(), sim.clone());
        drop(task.spawn(async move { removing.storage().remove(P, &[A.to_vec()]).await }));
        while sim.disk().visible(P, A).is_some() {
            sim.yield_now().await;
        }
        sim.crash(Crash::Kill);
        sim.faults().clear();
        sim.storage().remove(P, &[A.to_vec()]).await.unwrap();
        sim.crash(LOSE_ALL);
        assert_eq!(found(&sim, A).await, None);
    });
}

#[test]
fn a_removed_partition_stays_away() {
    sim::run(3, async |sim| {
        let blob = durable(&sim, A, b"old").await;
        sim.storage().remove_partition(P).await.unwrap();
        assert!(matches!(blob.sync().await, Err(Error::Removed { .. })));
        sim.storage().remove_partition(P).await.unwrap();
        assert_eq!(sim.storage().scan(P).await.unwrap(), Vec::<Vec<u8>>::new());
        sim.crash(LOSE_ALL);
        assert_eq!(sim.disk().files(), []);
        durable(&sim, A, b"new").await;
        sim.crash(LOSE_ALL);
        assert_eq!(found(&sim, A).await.unwrap(), "new");
    });
}

#[test]
fn names_are_checked_and_listed_in_order() {
    sim::run(4, async |sim| {
        let storage = sim.storage();
        for name in [&b"b"[..], b"a", b"\xff", b"ab"] {
            drop(open(&sim, name).await);
        }
        assert_eq!(storage.scan(P).await.unwrap(), [&b"a"[..], b"ab", b"b", b"\xff"]);
        assert_eq!(storage.scan("other").await.unwrap(), Vec::<Vec<u8>>::new());
        let error = storage.open("a/b", A, &format()).await.unwrap_err();
        assert!(matches!(error, Error::InvalidPartition { .. }), "{error:?}");
        let error = storage.open(P, b"", &format()).await.unwrap_err();
        assert!(matches!(error, Error::InvalidName { len: 0 }), "{error:?}");
        let error = storage.open(P, b"none", &format().existing()).await.unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    });
}

/// A creation costs no sync of its own; the first sync of many new blobs costs one of the directory and one of the
/// root.
#[test]
fn many_new_blobs_share_the_syncs_of_their_names() {
    for seed in 0..20 {
        sim::run(seed, async |sim| {
            let storage = sim.storage();
            let mut blobs = Vec::new();
            for name in 0..10 {
                blobs.push(open(&sim, &[name]).await);
            }
            blobs.push(Arc::clone(&blobs[3]));
            blobs.push(open(&sim, &[4]).await);
            assert_eq!(sim.counts().performed(Operation::SyncDirectory), 0);
            for result in storage.sync_many(&blobs).await {
                result.unwrap();
            }
            let counts = sim.counts();
            assert_eq!((counts.performed(Operation::Sync), counts.performed(Operation::SyncDirectory)), (10, 2));
            sim.crash(LOSE_ALL);
            assert_eq!(sim.storage().scan(P).await.unwrap().len(), 10);
        });
    }
}

/// Answers come in the order of the blobs, those of other storages among them.
#[test]
fn sync_many_answers_in_order() {
    sim::run(5, async |sim| {
        let memory = blob_runtime::MemoryStorage::new();
        let foreign = memory.open(P, A, &format()).await.unwrap();
        let (a, b, c) = (open(&sim, b"a").await, open(&sim, b"b").await, open(&sim, b"c").await);
        sim.storage().remove(P, &[b"b".to_vec()]).await.unwrap();
        sim.faults().inject(Fault::eio(Operation::Sync).blob(P, b"c"));
        let answers = sim.storage().sync_many(&[c, foreign, b, a]).await;
        let texts = answers.iter().map(|answer| match answer {
            Ok(()) => "ok",
            Err(Error::Io { operation: Operation::Sync, .. }) => "io",
            Err(Error::Removed { .. }) => "removed",
            Err(other) => panic!("{other:?}"),
        });
        assert_eq!(texts.collect::<Vec<_>>(), ["io", "ok", "removed", "ok"]);
    });
}

/// Two calls that sync the same blobs the other way round must not wait for each other for ever.
#[test]
fn calls_of_sync_many_do_not_lock_each_other_out() {
    for seed in 0..40 {
        sim::run(seed, async |sim| {
            let (storage, a, b) = (sim.storage(), open(&sim, b"a").await, open(&sim, b"b").await);
            let there = [Arc::clone(&a), Arc::clone(&b)];
            let back = [b, a];
            let (one, two) = futures::join!(storage.sync_many(&there), storage.sync_many(&back));
            one.into_iter().chain(two).for_each(Result::unwrap);
        });
    }
}

/// Two files of one name: the one that holds nothing is the remnant of a creation cut short. It is removed, durably.
#[test]
fn of_two_files_the_one_with_content_stays() {
    for (first, second) in [(1, 2), (2, 1)] {
        sim::run(6, async |sim| {
            let blob = durable(&sim, A, b"content").await;
            let bytes = sim.disk().visible(P, A).unwrap();
            let salt = blob.header().salt;
            sim.disk().remove(P, A);
            // The sound file sorts before the remnant, then behind it.
            let (sound, remnant) = (Salt(first), Salt(second));
            let header = blob_runtime::Header { salt: sound, ..*blob.header() };
            let mut sound_bytes = header.encode();
            sound_bytes.extend_from_slice(&bytes[HEADER..]);
            assert_ne!(salt, sound);
            assert!(sim.disk().put(P, A, sound, sound_bytes));
            assert!(sim.disk().put(P, A, remnant, vec![0; HEADER + 9]));
            sim.crash(Crash::Kill);

            let reader = sim.storage().read_only().open(P, A, &format()).await.unwrap();
            assert_eq!(content(&reader).await, "content");
            assert_eq!(sim.disk().files().len(), 2, "a reader removes nothing");

            let blob = open(&sim, A).await;
            assert_eq!((content(&blob).await, blob.header().salt), (Bytes::from_static(b"content"), sound));
            sim.crash(LOSE_ALL);
            let left: Vec<_> = sim.disk().files().into_iter().map(|file| file.salt).collect();
            assert_eq!(left, [sound]);
        });
    }
}

#[test]
fn two_files_with_content_are_damage_and_nothing_is_changed() {
    sim::run(7, async |sim| {
        let blob = durable(&sim, A, b"content").await;
        let header = blob_runtime::Header { salt: Salt(1), ..*blob.header() };
        let mut other = header.encode();
        other.extend_from_slice(b"other");
        sim.disk().put(P, A, Salt(1), other);
        let before = sim.disk().files();
        match sim.storage().open(P, A, &format()).await {
            Err(Error::Corrupt { expected, found, .. }) => {
                assert_eq!(expected, "one file of this name");
                assert!(found.contains("file 1 of 2") && found.contains("file 2 of 2"), "{found}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(sim.disk().files(), before);

        // A probe that knows what is valid decides otherwise.
        let probe = |blob: Arc<dyn Blob>| async move { Ok(blob.read_at(0, 5).await? == "other") }.boxed();
        let blob = sim.storage().open(P, A, &format().probe(Arc::new(probe))).await.unwrap();
        assert_eq!(content(&blob).await, "other");
        assert_eq!(sim.disk().files().len(), 1);
    });
}

/// A reader beside the writer: it sees what the writer does, takes no claim and changes nothing.
#[test]
fn a_read_only_view_changes_nothing() {
    sim::run(8, async |sim| {
        let _claim = sim.storage().claim(P).await.unwrap();
        let blob = durable(&sim, A, b"hello").await;
        let view = sim.storage().read_only();
        let reader = view.open(P, A, &format()).await.unwrap();
        blob.write_at(0, bytes(b"j")).await.unwrap();
        assert_eq!(content(&reader).await, "jello");
        let digest = sim.disk().files();

        let refused = |result: Result<(), Error>, wanted: Operation| match result {
            Err(Error::ReadOnly { operation, .. }) => assert_eq!(operation, wanted),
            other => panic!("{wanted}: {other:?}"),
        };
        refused(reader.write_at(0, bytes(b"x")).await, Operation::Write);
        refused(reader.write_at_sync(0, bytes(b"x")).await, Operation::Write);
        refused(reader.write_header().await, Operation::Write);
        refused(reader.resize(0).await, Operation::Resize);
        refused(reader.sync().await, Operation::Sync);
        refused(view.sync_many(&[Arc::clone(&reader)]).await.remove(0), Operation::Sync);
        refused(view.open(P, b"new", &format()).await.map(drop), Operation::Create);
        refused(view.remove(P, &[A.to_vec()]).await, Operation::Remove);
        refused(view.remove_partition(P).await, Operation::Remove);
        refused(view.claim(P).await.map(drop), Operation::Lock);
        let missing = view.open(P, b"new", &format().existing()).await;
        assert!(matches!(missing, Err(Error::NotFound { .. })), "{missing:?}");
        assert_eq!(sim.disk().files(), digest);
    });
}

/// Handles of one blob share what its header will be, before it is in the file.
#[test]
fn a_header_that_is_not_yet_written_binds_all_handles() {
    sim::run(9, async |sim| {
        let storage = sim.storage();
        let one = storage.open(P, A, &format().item(Want::Exactly(8))).await.unwrap();
        let other = storage.open(P, A, &format().item(Want::Exactly(9))).await;
        match other {
            Err(Error::FormatMismatch { field: "item", expected, found, .. }) => {
                assert_eq!((&*expected, &*found), ("9", "8"));
            }
            other => panic!("{other:?}"),
        }
        let two = storage.open(P, A, &format()).await.unwrap();
        assert_eq!((two.header(), two.header_state()), (one.header(), HeaderState::New));
        two.sync().await.unwrap();
        let three = storage.open(P, A, &format()).await.unwrap();
        assert_eq!((three.header(), three.header_state()), (one.header(), HeaderState::Sound));
    });
}

/// A directory's sync fails. The removal is not known to be durable, so no name comes or goes until the next life.
#[test]
fn a_failed_directory_sync_poisons_creation_and_removal() {
    for seed in 0..20 {
        sim::run(seed, async |sim| {
            let storage = sim.storage();
            let kept = durable(&sim, b"kept", b"1").await;
            durable(&sim, A, b"old").await;
            sim.faults().inject(Fault::eio(Operation::SyncDirectory));
            match storage.remove(P, &[A.to_vec()]).await {
                Err(Error::Io { operation: Operation::SyncDirectory, target, .. }) => {
                    assert_eq!(target, Target::Partition(P.into()));
                }
                other => panic!("{other:?}"),
            }
            let poisoned = |result: Result<(), Error>| match result {
                Err(error @ Error::Poisoned { .. }) => {
                    assert!(error.is_sync_failure());
                    assert_eq!(
                        error.to_string(),
                        "partition p is poisoned by a failed sync; open it anew to see what is durable"
                    );
                }
                other => panic!("{other:?}"),
            };
            poisoned(storage.open(P, A, &format()).await.map(drop));
            poisoned(storage.remove(P, &[b"kept".to_vec()]).await);
            poisoned(storage.remove_partition(P).await);
            // What has its name on the disk goes on, and other partitions do.
            kept.write_at_sync(0, bytes(b"2")).await.unwrap();
            drop(storage.open("other", A, &format()).await.unwrap());

            sim.crash(Crash::Kill);
            durable(&sim, A, b"new").await;
            sim.crash(LOSE_ALL);
            assert_eq!(
                (found(&sim, A).await.unwrap(), found(&sim, b"kept").await.unwrap()),
                ("new".into(), "2".into())
            );
        });
    }
}

/// A new blob's data is synced, its directory is not: the blob itself is poisoned, also for the handles it has.
#[test]
fn a_first_sync_whose_directory_sync_fails_poisons_the_blob() {
    for (nth, target) in [(1, Target::Partition(P.into())), (2, Target::Path("the simulated root".into()))] {
        sim::run(10, async |sim| {
            let blob = open(&sim, A).await;
            sim.faults().inject(Fault::eio(Operation::SyncDirectory).nth(nth));
            match blob.sync().await {
                Err(Error::Io { operation: Operation::SyncDirectory, target: hit, .. }) => assert_eq!(hit, target),
                other => panic!("{other:?}"),
            }
            let again = blob.sync().await;
            assert!(matches!(again, Err(Error::Poisoned { .. })), "{again:?}");
            // Opened anew it is as a blob fresh, but its name cannot become durable in this life.
            let anew = open(&sim, A).await;
            anew.write_at(0, bytes(b"x")).await.unwrap();
            let sync = anew.sync().await;
            assert!(matches!(sync, Err(Error::Poisoned { target: Target::Partition(_), .. })), "{sync:?}");
        });
    }
}
