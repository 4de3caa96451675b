//! The order in which a recovery makes its steps durable.

use blob_runtime::Operation;
use blob_runtime::sim::{self, Crash, Cut, Fault, Sim};
use bytes::Bytes;
use futures::TryStreamExt;
use glob::{Config, Cursor, RawGlob};

use crate::faults::life;

const LOSE_ALL: Crash = Crash::Power(Cut::LoseAll);

async fn open(sim: &Sim) -> RawGlob {
    RawGlob::open(sim.storage(), Config::new("values").preallocate_bytes(0)).await.unwrap()
}

async fn values(glob: &RawGlob) -> Vec<Bytes> {
    glob.scan(1, Cursor::START).map_ok(|frame| frame.value).try_collect().await.unwrap()
}

/// The sync of a rewind's truncation fails, and the process is killed: the cache shows the short file, the disk has the long
/// one and nothing left to write. The length is set again, and synced; without that the store that is closed then ends, on
/// the disk, with bytes behind its last seal.
#[test]
fn the_length_of_a_truncation_whose_sync_has_failed_is_set_again() {
    sim::run(1, async |sim| {
        life(&sim, Crash::Kill, |sim| async move {
            let glob = open(&sim).await;
            glob.append(1, b"zero").await.unwrap();
            glob.append(1, &[1; 600]).await.unwrap();
            glob.sync(1).await.unwrap();
            // The first sync is that of the zeros.
            let fault = Fault::eio(Operation::Sync).blob("values", &1_u64.to_be_bytes()).nth(2).survivors(Cut::LoseAll);
            sim.faults().inject(fault);
            let failed = glob.rewind(1, 1).await.unwrap_err();
            assert!(failed.storage().is_some_and(|error| error.is_sync_failure()), "{failed:?}");
            assert_eq!(sim.faults().armed(), 0);
        })
        .await;
        let file = |sim: &Sim| sim.disk().files().into_iter().find(|file| *file.name == 1_u64.to_be_bytes()).unwrap();
        assert!(file(&sim).durable_len > 4096 + 600, "the disk has the long file");
        life(&sim, LOSE_ALL, |sim| async move {
            let glob = open(&sim).await;
            assert_eq!(values(&glob).await, ["zero"]);
            glob.append(1, b"more").await.unwrap();
            glob.close().await.unwrap();
        })
        .await;
        assert!(file(&sim).durable_len < 4096 + 600);
        life(&sim, LOSE_ALL, |sim| async move {
            assert_eq!(values(&open(&sim).await).await, ["zero", "more"]);
        })
        .await;
    });
}

/// A power cut tears a hole: the second of three frames is lost, the third is there, and is cut off with the tail. Regrowth
/// puts frames of the same sizes in the same places, and another cut loses the last of them: its block comes back with what
/// it held before the truncation. It was overwritten with zeros, durably, so what comes back is no frame (I4).
#[test]
fn a_block_that_a_recovery_has_freed_comes_back_without_a_frame() {
    let mut holes = 0;
    for seed in 0..600 {
        sim::run(seed, async |sim| {
            sim.disk().set_stale(true);
            life(&sim, Crash::Power(Cut::Random), |sim| async move {
                let glob = open(&sim).await;
                glob.append(1, b"zero").await.unwrap();
                glob.sync(1).await.unwrap();
                // 100 bytes with its header; then the one that must not come back.
                glob.append(1, &[1; 60]).await.unwrap();
                glob.flush(1).await.unwrap();
                glob.append(1, b"doomed!").await.unwrap();
                glob.flush(1).await.unwrap();
            })
            .await;
            let hole = life(&sim, Crash::Power(Cut::Random), |sim| async move {
                let glob = open(&sim).await;
                let shown = values(&glob).await;
                if shown.len() > 1 || glob.recovery().sections.iter().all(|section| section.quarantined_bytes == 0) {
                    return false;
                }
                // The seal has 40, this one 60: the next frame is where the doomed one was, with its number.
                glob.append(1, &[2; 20]).await.unwrap();
                glob.sync(1).await.unwrap();
                assert_eq!(glob.append(1, b"another").await.unwrap().position, 2);
                glob.flush(1).await.unwrap();
                true
            })
            .await;
            holes += u32::from(hole);
            if hole {
                life(&sim, LOSE_ALL, |sim| async move {
                    let shown = values(&open(&sim).await).await;
                    assert_eq!(shown[..2], [&b"zero"[..], &[2; 20]], "seed {seed}");
                    assert!(shown[2..].iter().all(|value| value == "another"), "seed {seed}: {shown:?}");
                })
                .await;
            }
        });
    }
    assert!(holes > 20, "{holes} holes");
}
