//! The same seed gives the same run; every way of surviving is reached.

use std::process::Command;

use super::*;
use blob_runtime::sim::{self, Counts, Fault};
use blob_runtime::{Error, Operation};

/// Tells the second process that it is one.
const CHILD: &str = "BLOB_RUNTIME_SIM_DIGEST";

/// Several tasks, all operations, faults and crashes. What fails, fails.
async fn workload(sim: Sim) -> (u64, Counts, usize) {
    let mut rng = sim.rng();
    sim.disk().set_stale(rng.bool());
    for operation in [Operation::Write, Operation::Sync, Operation::Resize, Operation::SyncDirectory, Operation::Create]
    {
        if rng.u8(..4) == 0 {
            sim.faults().rate(operation, 0.1);
        }
    }
    if rng.bool() {
        sim.faults().inject(Fault::misdirected_write().nth(rng.u64(1..10)));
    }
    for _ in 0..3 {
        let cut = if rng.bool() { Crash::Power(Cut::Random) } else { Crash::Kill };
        sim.crash_at(rng.u64(1..120), cut);
        let tasks = (0..3).map(|task| {
            let (sim, rng) = (sim.clone(), rng.fork());
            sim.clone().spawn(async move { operations(sim, rng, task).await.unwrap_or_default() })
        });
        futures::future::join_all(tasks.collect::<Vec<_>>()).await;
        sim.crash(Crash::Power(Cut::Random));
    }
    (sim.digest(), sim.counts(), sim.events().len())
}

async fn operations(sim: Sim, mut rng: fastrand::Rng, task: u8) -> Result<(), Error> {
    let storage = sim.storage();
    for _ in 0..12 {
        let name = [b'a' + rng.u8(..3)];
        let blob = storage.open(P, &name, &format()).await?;
        let _ = match rng.u8(..12) {
            0..=4 => {
                let data = Bytes::from(vec![task + 1; rng.usize(1..6000)]);
                blob.write_at(rng.u64(..8000), vec![data]).await
            }
            5 => blob.resize(rng.u64(..9000)).await,
            6 | 7 => blob.sync().await,
            8 => storage.sync_many(&[Arc::clone(&blob), blob]).await.pop().unwrap(),
            9 => storage.remove(P, &[name.to_vec()]).await,
            10 => storage.scan(P).await.map(drop),
            _ => blob.read_at(0, usize::try_from(blob.len()).unwrap()).await.map(drop),
        };
    }
    Ok(())
}

/// A digest that depended on an address, a hash seed or a thread would differ in another process, and a failing seed
/// could not be repeated.
#[test]
fn the_same_seed_has_the_same_digest_in_another_process() {
    let digests: Vec<u64> = (0..40).map(|seed| sim::run(seed, workload).0).collect();
    let line = format!("{CHILD} {digests:?}");
    if std::env::var_os(CHILD).is_some() {
        println!("\n{line}");
        return;
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sim::determinism::the_same_seed_has_the_same_digest_in_another_process", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let printed = String::from_utf8(child.stdout).unwrap();
    let found: Vec<&str> = printed.lines().filter(|found| found.starts_with(CHILD)).collect();
    assert_eq!(found, [line], "{}", String::from_utf8_lossy(&child.stderr));

    let mut different = digests.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), digests.len(), "seeds share digests");
}

/// Recording a failed run must not change it.
#[test]
fn recording_changes_nothing() {
    for seed in 0..10 {
        let plain = sim::run(seed, workload);
        let recorded = sim::run(seed, async |sim| {
            sim.record();
            workload(sim).await
        });
        assert_eq!((plain.0, plain.1), (recorded.0, recorded.1));
        assert_eq!(plain.2, 0);
        assert!(recorded.2 as u64 >= plain.1.steps, "{} events, {} steps", recorded.2, plain.1.steps);
    }
}

/// The user's own draws come from a stream of their own.
#[test]
fn drawing_numbers_changes_nothing_about_the_disk() {
    let digest = |draws: usize| {
        sim::run(5, async |sim| {
            for _ in 0..draws {
                let _ = sim.rng().u64(..);
            }
            operations(sim.clone(), fastrand::Rng::with_seed(1), 0).await.unwrap();
            sim.digest()
        })
    };
    assert_eq!(digest(0), digest(100));
}

/// What is written is part of the digest, not only where.
#[test]
fn other_bytes_have_another_digest() {
    let digest = |content: &'static [u8]| {
        sim::run(5, async |sim| {
            durable(&sim, A, content).await;
            sim.digest()
        })
    };
    assert_eq!(digest(b"one"), digest(b"one"));
    assert_ne!(digest(b"one"), digest(b"two"));
}

/// A simulated disk that never tears, or never loses a name, proves nothing about tears and names.
#[test]
fn every_way_of_surviving_is_reached() {
    let mut total = Counts::default();
    for seed in 0..800 {
        total += sim::run(seed, workload).1;
    }
    let missing: Vec<_> = total.ways.each().filter(|(_, count)| *count < 10).collect();
    assert_eq!(missing, [], "of {total:#?}");
    for operation in [
        Operation::Open,
        Operation::Create,
        Operation::CreateDirectory,
        Operation::List,
        Operation::Read,
        Operation::Write,
        Operation::Resize,
        Operation::Sync,
        Operation::SyncDirectory,
        Operation::Remove,
    ] {
        assert!(total.performed(operation) > 0, "{operation:?} of {total:#?}");
    }
    for operation in [Operation::Write, Operation::Sync, Operation::Resize, Operation::SyncDirectory, Operation::Create]
    {
        assert!(total.failed(operation) > 0, "{operation:?} of {total:#?}");
    }
    assert!(total.kills > 0 && total.power_cuts > 0);
}

#[test]
fn events_tell_what_happened() {
    let events = sim::run(1, async |sim| {
        let blob = open(&sim, A).await;
        sim.record();
        blob.write_at(3, bytes(b"xy")).await.unwrap();
        sim.faults().inject(Fault::eio(Operation::Sync));
        assert!(matches!(blob.sync().await, Err(Error::Io { operation: Operation::Sync, .. })));
        sim.crash(LOSE_ALL);
        sim.events().iter().map(ToString::to_string).collect::<Vec<_>>()
    });
    let want = [
        "     6 life 1: asked to write",
        "     7 life 1: write p/61",
        "     8 life 1: write p/61, 2 bytes at 3",
        "     9 life 1: told the end of write",
        "    10 life 1: asked to sync",
        "    11 life 1: sync p/61: failed",
        "    12 life 1: told the end of sync",
        "    12 life 1: crash: Power(LoseAll)",
    ];
    assert_eq!(events, want);
}
