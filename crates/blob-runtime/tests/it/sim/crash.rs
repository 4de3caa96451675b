//! What survives, and what does not.

use std::collections::BTreeSet;

use super::*;
use blob_runtime::sim::{self, Granularity};
use blob_runtime::{Error, HeaderFault, HeaderState};

/// Power is lost after a sync has returned: bytes, length, header and name are there.
#[test]
fn what_was_synced_survives_every_cut() {
    for seed in 0..50 {
        for cut in [Cut::LoseAll, Cut::KeepAll, Cut::Random] {
            sim::run(seed, async |sim| {
                durable(&sim, A, b"hello").await;
                assert_eq!(sim.pending(), 0);
                sim.crash(Crash::Power(cut));
                let blob = sim.storage().open(P, A, &format().existing()).await.unwrap();
                assert_eq!(blob.header_state(), HeaderState::Sound);
                assert_eq!(content(&blob).await, "hello");
            });
        }
    }
}

/// A new blob is written, and power is lost before any sync. Every combination of what can survive, each by itself:
/// the partition, the name, the header, the bytes, and the lengths of both.
#[test]
fn a_new_blob_survives_in_every_part_by_itself() {
    let mut seen = BTreeSet::new();
    let pending = sim::run(1, async |sim| {
        open(&sim, A).await.write_at(0, bytes(b"xy")).await.unwrap();
        sim.pending()
    });
    assert_eq!(pending, 6, "mkdir, create, header and its length, bytes and their length");
    for bits in 0..1 << pending {
        seen.insert(sim::run(1, async |sim| {
            open(&sim, A).await.write_at(0, bytes(b"xy")).await.unwrap();
            sim.crash(Crash::Power(Cut::Subset(bits)));
            assert_eq!(sim.pending(), 0, "after a power cut nothing is pending");
            let found = sim.storage().open(P, A, &format().existing()).await;
            match found {
                Err(Error::NotFound { .. }) => "gone".into(),
                Ok(blob) => {
                    let state = match blob.header_state() {
                        HeaderState::Bad(HeaderFault::Zero) => "zero header",
                        HeaderState::Bad(other) => panic!("{other:?}"),
                        HeaderState::Sound => "sound",
                        HeaderState::New => "new",
                        other => panic!("{other:?}"),
                    };
                    format!("{state} {:?}", content(&blob).await)
                }
                Err(other) => panic!("{other:?}"),
            }
        }));
    }
    let want = [
        "gone",
        r#"new b"""#,
        r#"sound b"""#,
        r#"sound b"\0\0""#,
        r#"sound b"xy""#,
        r#"zero header b"""#,
        r#"zero header b"\0\0""#,
        r#"zero header b"xy""#,
    ];
    assert_eq!(seen.iter().map(String::as_str).collect::<Vec<_>>(), want);
}

/// A process is killed after a write that it did not sync. The next one sees the write, in the page cache, and a power
/// cut takes it away. Only a sync of the next one makes it stay.
#[test]
fn a_kill_leaves_writes_in_the_page_cache() {
    for (sync, want) in [(false, "old"), (true, "new")] {
        sim::run(3, async |sim| {
            let blob = durable(&sim, A, b"old").await;
            blob.write_at(0, bytes(b"new")).await.unwrap();
            sim.crash(Crash::Kill);
            let again = open(&sim, A).await;
            assert_eq!(content(&again).await, "new");
            if sync {
                again.sync().await.unwrap();
            }
            sim.crash(LOSE_ALL);
            assert_eq!(found(&sim, A).await.unwrap(), want);
        });
    }
}

/// A blob is created and written, the process is killed, and the next one finds the name, perhaps in the cache only.
/// Its first sync makes name and partition durable, too.
#[test]
fn the_name_of_a_found_blob_is_made_durable_with_its_first_sync() {
    sim::run(4, async |sim| {
        open(&sim, A).await.write_at(0, bytes(b"xy")).await.unwrap();
        sim.crash(Crash::Kill);
        let blob = sim.storage().open(P, A, &format().existing()).await.unwrap();
        blob.sync().await.unwrap();
        sim.crash(LOSE_ALL);
        assert_eq!(found(&sim, A).await.unwrap(), "xy");
    });
}

/// A process syncs one partition and makes another one, and is killed. What it knew of the root died with it: the next
/// process must sync the root again for the partition it finds.
#[test]
fn what_a_process_knew_of_the_root_dies_with_it() {
    sim::run(4, async |sim| {
        sim.storage().open("q", A, &format()).await.unwrap().sync().await.unwrap();
        open(&sim, A).await.write_at(0, bytes(b"xy")).await.unwrap();
        sim.crash(Crash::Kill);
        open(&sim, A).await.sync().await.unwrap();
        sim.crash(LOSE_ALL);
        assert_eq!(found(&sim, A).await.unwrap(), "xy");
    });
}

/// The data of a write survives a power cut and its length does not; then the length and not the data.
#[test]
fn length_and_data_are_lost_apart() {
    for (kept, want) in [(0, &b"old\0\0"[..]), (1, b"old")] {
        sim::run(5, async |sim| {
            durable(&sim, A, b"old").await.write_at(3, bytes(b"er")).await.unwrap();
            assert_eq!(sim.pending(), 2);
            sim.crash(Crash::Power(Cut::Only(kept)));
            assert_eq!(found(&sim, A).await.unwrap(), want);
        });
    }
}

/// With a granularity of 4096 bytes a write that lies in one block is there or it is not.
#[test]
fn a_block_is_not_torn_when_the_disk_writes_blocks() {
    let outcomes = |granularity| {
        let mut seen = BTreeSet::new();
        for seed in 0..300 {
            seen.insert(sim::run(seed, async |sim| {
                sim.disk().set_granularity(Some(granularity));
                durable(&sim, A, b"........").await.write_at(0, bytes(b"########")).await.unwrap();
                sim.crash(Crash::Power(Cut::Random));
                found(&sim, A).await.unwrap()
            }));
        }
        seen
    };
    assert_eq!(outcomes(Granularity::Block).len(), 2);
    assert_eq!(outcomes(Granularity::Sector).len(), 2);
    assert!(outcomes(Granularity::Byte).len() > 10);
}

/// A crash before each step of a first sync. Only the steps up to the root's sync matter: before it the blob can be
/// lost, behind it it cannot, also when the caller was never told.
#[test]
fn every_part_of_a_first_sync_can_be_the_last() {
    let mut outcomes = Vec::new();
    for step in 1..=10 {
        outcomes.push(sim::run(6, async |sim| {
            let blob = open(&sim, A).await;
            blob.write_at(0, bytes(b"xy")).await.unwrap();
            sim.crash_at(step, LOSE_ALL);
            let synced = sim.life(async move { blob.sync().await }).await;
            if let Some(result) = &synced {
                result.clone().unwrap();
                assert!(sim.disarm());
                sim.crash(LOSE_ALL);
            }
            (synced.is_some(), found(&sim, A).await.is_some())
        }));
    }
    // Issue, data, directory, root, completion: a crash before each of these; then the crash comes too late.
    let lost = [(false, false); 4];
    assert_eq!(outcomes[..4], lost);
    assert_eq!(outcomes[4], (false, true));
    assert!(outcomes[5..].iter().all(|outcome| *outcome == (true, true)));
}

/// A truncation and a growth that were not synced, in stale mode: the file's past shows where bytes were lost.
#[test]
fn stale_blocks_show_in_stale_mode_only() {
    for stale in [false, true] {
        let mut shown = 0;
        for seed in 0..100 {
            shown += sim::run(seed, async |sim| {
                sim.disk().set_stale(stale);
                let blob = durable(&sim, A, b"keepSECRET").await;
                blob.resize(4).await.unwrap();
                blob.sync().await.unwrap();
                blob.write_at(4, bytes(b"latest")).await.unwrap();
                sim.crash(Crash::Power(Cut::Random));
                let found = found(&sim, A).await.unwrap();
                let secret = found.iter().skip(4).any(|byte| b"SECRET".contains(byte));
                assert_eq!(secret, sim.counts().ways.stale > 0, "{found:?}");
                u64::from(secret)
            });
        }
        assert_eq!(shown > 0, stale, "{shown}");
    }
}

/// Old handles, of a machine that went down, answer that it is off, and change nothing.
#[test]
fn handles_of_an_old_life_are_closed() {
    for crash in [Crash::Kill, LOSE_ALL] {
        sim::run(7, async |sim| {
            let storage = sim.storage();
            let blob = durable(&sim, A, b"hello").await;
            sim.crash(crash);
            let closed = |result: Result<(), Error>| assert!(matches!(result, Err(Error::Closed)), "{result:?}");
            closed(blob.write_at(0, bytes(b"x")).await);
            closed(blob.resize(0).await);
            closed(blob.sync().await);
            closed(blob.write_at_sync(0, bytes(b"x")).await);
            closed(blob.write_header().await);
            closed(blob.read_at(0, 1).await.map(drop));
            closed(blob.try_read_at(0, 1).unwrap().map(drop));
            closed(storage.open(P, A, &format()).await.map(drop));
            closed(storage.remove(P, &[A.to_vec()]).await);
            closed(storage.remove_partition(P).await);
            closed(storage.scan(P).await.map(drop));
            closed(storage.claim(P).await.map(drop));
            closed(storage.random().map(drop));
            for result in storage.sync_many(&[blob]).await {
                closed(result);
            }
            assert_eq!(found(&sim, A).await.unwrap(), "hello");
        });
    }
}

/// Three crashes in a row: each judges what the life before it has left, and a power cut leaves nothing to judge.
#[test]
fn crashes_follow_one_another() {
    sim::run(8, async |sim| {
        durable(&sim, A, b"1").await.write_at(0, bytes(b"2")).await.unwrap();
        sim.crash(Crash::Kill);
        open(&sim, A).await.write_at(1, bytes(b"3")).await.unwrap();
        sim.crash(Crash::Kill);
        assert_eq!(sim.pending(), 3);
        assert_eq!(found(&sim, A).await.unwrap(), "23");
        sim.crash(Crash::Power(Cut::First(1)));
        assert_eq!(found(&sim, A).await.unwrap(), "2");
        sim.crash(LOSE_ALL);
        assert_eq!(found(&sim, A).await.unwrap(), "2");
        assert_eq!((sim.crashes(), sim.counts().kills, sim.counts().power_cuts), (4, 2, 2));
    });
}

/// The header is the first thing a new blob gets, and it is lost alone: the bytes behind it are still there.
#[test]
fn a_header_can_be_lost_alone() {
    sim::run(9, async |sim| {
        open(&sim, A).await.write_at(0, bytes(b"xy")).await.unwrap();
        let header =
            sim.disk().pending().iter().position(|pending| {
                pending.effect == blob_runtime::sim::PendingEffect::Write { offset: 0, len: HEADER }
            });
        sim.crash(Crash::Power(Cut::AllBut(header.unwrap())));
        let blob = sim.storage().open(P, A, &format().existing()).await.unwrap();
        assert_eq!(blob.header_state(), HeaderState::Bad(HeaderFault::Zero));
        assert_eq!(content(&blob).await, "xy");
        // The first change writes it anew.
        blob.write_at(2, bytes(b"z")).await.unwrap();
        blob.sync().await.unwrap();
        sim.crash(LOSE_ALL);
        let blob = open(&sim, A).await;
        assert_eq!((blob.header_state(), content(&blob).await), (HeaderState::Sound, Bytes::from_static(b"xyz")));
    });
}
