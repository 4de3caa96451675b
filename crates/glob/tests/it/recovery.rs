//! The order in which a recovery makes its steps durable.

use blob_runtime::sim::{self, Crash, Cut, Sim};
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
