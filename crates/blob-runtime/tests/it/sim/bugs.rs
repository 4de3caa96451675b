//! Each planted bug has its symptom, and only with it.

use super::*;
use blob_runtime::sim::{self, Bug, Fault};
use blob_runtime::{Error, HeaderState, Operation};
use futures::FutureExt;

/// Runs the scenario without the bug and with it, over some seeds: never the symptom, then at least once.
fn shows(bug: Bug, scenario: impl AsyncFn(Sim) -> bool) {
    let count = |plant: bool| {
        let run = |seed: u64| {
            sim::run(seed, async |sim: Sim| {
                if plant {
                    sim.plant(bug);
                }
                scenario(sim).await
            })
        };
        (0..40).filter(|seed| run(*seed)).count()
    };
    assert_eq!(count(false), 0, "{bug:?}: shows without the bug");
    assert!(count(true) > 0, "{bug:?}: does not show");
}

#[test]
fn forgotten_syncs_lose_what_they_forget() {
    let lost = async |sim: Sim| {
        durable(&sim, A, b"x").await;
        sim.crash(LOSE_ALL);
        found(&sim, A).await.is_none()
    };
    shows(Bug::ForgetDirectorySync, lost);
    shows(Bug::ForgetRootSync, lost);
    shows(Bug::ForgetDataSync, async |sim: Sim| {
        durable(&sim, A, b"x").await;
        sim.crash(LOSE_ALL);
        found(&sim, A).await.unwrap() != "x"
    });
    shows(Bug::ForgetHeader, async |sim: Sim| {
        durable(&sim, A, b"x").await;
        sim.crash(LOSE_ALL);
        open(&sim, A).await.header_state() != HeaderState::Sound
    });
    shows(Bug::ForgetRemovalSync, async |sim: Sim| {
        durable(&sim, A, b"x").await;
        sim.storage().remove(P, &[A.to_vec()]).await.unwrap();
        sim.crash(LOSE_ALL);
        found(&sim, A).await.is_some()
    });
}

#[test]
fn a_forgotten_failure_lets_the_retry_say_ok() {
    shows(Bug::ForgetPoison, async |sim: Sim| {
        let blob = durable(&sim, A, b"x").await;
        blob.write_at(0, bytes(b"y")).await.unwrap();
        sim.faults().inject(Fault::eio(Operation::Sync).survivors(Cut::LoseAll));
        assert!(matches!(blob.sync().await, Err(Error::Io { .. })));
        match blob.sync().await {
            Ok(()) => {
                sim.crash(LOSE_ALL);
                assert_eq!(found(&sim, A).await.unwrap(), "x");
                true
            }
            Err(Error::Poisoned { .. }) => false,
            Err(other) => panic!("{other:?}"),
        }
    });
}

#[test]
fn changes_that_pass_each_other() {
    shows(Bug::LateWriteAfterDrop, async |sim: Sim| {
        let blob = durable(&sim, A, b"..").await;
        assert!(blob.write_at(0, bytes(b"aa")).now_or_never().is_none());
        blob.write_at(0, bytes(b"b")).await.unwrap();
        for _ in 0..50 {
            sim.yield_now().await;
        }
        content(&blob).await != "ba"
    });
    shows(Bug::UnorderedChanges, async |sim: Sim| {
        let blob = durable(&sim, A, b"..").await;
        let (one, two) = futures::join!(blob.write_at(0, bytes(b"aa")), blob.write_at(0, bytes(b"bb")));
        [one, two].into_iter().for_each(Result::unwrap);
        content(&blob).await != "bb"
    });
}

#[test]
fn reads_and_claims_that_lie() {
    shows(Bug::ShortRead, async |sim: Sim| {
        let blob = durable(&sim, A, b"hello").await;
        blob.read_at(0, 5).await.unwrap().len() != 5
    });
    shows(Bug::IgnoreClaim, async |sim: Sim| {
        let storage = sim.storage();
        let _claim = storage.claim(P).await.unwrap();
        match storage.claim(P).await {
            Ok(_) => true,
            Err(Error::Locked { .. }) => false,
            Err(other) => panic!("{other:?}"),
        }
    });
}
