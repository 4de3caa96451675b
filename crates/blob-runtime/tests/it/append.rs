//! The append machinery on the simulated disk: crashes, failures and dropped futures.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use blob_runtime::append::{Config, Log, Plain, Spares, Start};
use blob_runtime::sim::{self, Crash, Cut, Fault, Sim};
use blob_runtime::{Blob, Error, Format, Kind, Operation, Storage, StoreId, Want};
use futures::FutureExt;
use futures::future::join_all;

fn format() -> Format {
    Format::new(Kind::USER, Want::Exactly(StoreId(1)))
}

async fn blob(sim: &Sim) -> Result<Arc<dyn Blob>, Error> {
    sim.storage().open("log", b"a", &format()).await
}

fn config(buffer_bytes: usize) -> Config {
    Config { buffer_bytes, unsynced_bytes: 200, spares: Spares::new(1 << 16) }
}

/// The byte at each offset, whoever appends it: so any prefix can be checked.
fn bytes(from: u64, len: usize) -> Vec<u8> {
    (from..from + len as u64).map(|at| u8::try_from(at % 251 + 1).unwrap()).collect()
}

async fn put(log: &Log, len: usize) -> Result<u64, Error> {
    log.append(len, |offset, space| {
        space.put(&bytes(offset, len));
        offset + len as u64
    })
    .await
}

/// Appends and syncs by several tasks, with drops; every sync that returns is noted as durable.
async fn workload(sim: Sim, durable: Arc<AtomicU64>) -> Result<(), Error> {
    let log = Log::new(blob(&sim).await?, Plain, Start::default(), config(40));
    let tasks: Vec<_> = (0..3)
        .map(|task| {
            let (log, durable, sim) = (log.clone(), Arc::clone(&durable), sim.clone());
            sim.clone().spawn(async move {
                let mut rng = fastrand::Rng::with_seed(sim.seed() * 3 + task);
                for _ in 0..6 {
                    let end = put(&log, rng.usize(1..30)).await?;
                    match rng.u8(0..4) {
                        0 => {}
                        1 => {
                            // Loses interest in the middle.
                            let mut sync = Box::pin(log.sync());
                            for _ in 0..rng.u8(0..4) {
                                if futures::poll!(&mut sync).is_ready() {
                                    break;
                                }
                                sim.yield_now().await;
                            }
                        }
                        _ => {
                            log.sync().await?;
                            assert!(log.durable() >= end);
                            durable.fetch_max(log.durable(), Ordering::SeqCst);
                        }
                    }
                    durable.fetch_max(log.durable(), Ordering::SeqCst);
                    let at = rng.u64(0..end);
                    assert_eq!(log.read_at(at, 1).await?, bytes(at, 1), "reads go on, wherever the byte is");
                }
                Ok::<_, Error>(())
            })
        })
        .collect();
    for task in tasks {
        if let Some(result) = task.await {
            result?;
        }
    }
    Ok(())
}

/// What survived: at least what was durable, and those bytes as they were.
async fn check(sim: &Sim, durable: u64, case: &str) {
    let blob = match sim.storage().open("log", b"a", &format().existing()).await {
        Ok(blob) => blob,
        Err(Error::NotFound { .. }) if durable == 0 => return,
        Err(error) => panic!("{case}: {error}"),
    };
    assert!(blob.len() >= durable, "{case}: {} of {durable} bytes", blob.len());
    let found = blob.read_at(0, usize::try_from(durable).unwrap()).await.unwrap();
    assert_eq!(found, bytes(0, found.len()), "{case}");
}

/// A crash before every step: whatever `durable` had said is there, byte for byte (P1, I5).
#[test]
fn what_the_floor_says_survives_every_crash() {
    for seed in 0..40 {
        for crash in [Crash::Power(Cut::Random), Crash::Power(Cut::LoseAll), Crash::Kill] {
            for step in (1..).step_by(3) {
                let struck = sim::run(seed, async |sim| {
                    let durable = Arc::new(AtomicU64::new(0));
                    sim.crash_at(step, crash);
                    let ended = sim.life(workload(sim.clone(), Arc::clone(&durable))).await;
                    if let Some(ended) = ended {
                        ended.unwrap();
                    }
                    let struck = !sim.disarm();
                    sim.crash(Crash::Power(Cut::LoseAll));
                    check(&sim, durable.load(Ordering::SeqCst), &format!("seed {seed}, step {step}, {crash:?}")).await;
                    struck
                });
                if !struck {
                    break;
                }
            }
        }
    }
}

/// Writes fail, now and then or for long: nothing is lost, nothing is doubled, and when it is over one sync brings all.
#[test]
fn failed_writes_lose_nothing() {
    for seed in 0..300 {
        sim::run(seed, async |sim| {
            let log = Log::new(blob(&sim).await.unwrap(), Plain, Start::default(), config(40));
            sim.faults().rate(Operation::Write, 0.5);
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut end = 0;
            for _ in 0..30 {
                match put(&log, rng.usize(1..20)).await {
                    Ok(now) => end = now,
                    Err(Error::Io { operation: Operation::Write, .. }) => {
                        assert_eq!(log.len(), end, "it has not begun")
                    }
                    Err(error) => panic!("{error}"),
                }
                if rng.u8(0..3) == 0 {
                    match log.sync().await {
                        Ok(()) => assert_eq!(log.durable(), end),
                        Err(Error::Io { operation: Operation::Write, .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
                let at = rng.u64(0..=end);
                let len = usize::try_from(end - at).unwrap();
                assert_eq!(log.read_at(at, len).await.unwrap(), bytes(at, len));
            }
            sim.faults().clear();
            log.sync().await.unwrap();
            sim.crash(Crash::Power(Cut::LoseAll));
            check(&sim, end, &format!("seed {seed}")).await;
        });
    }
}

/// A sync fails while many wait for it and more come: all are told, and what had been durable before still is.
#[test]
fn a_failed_sync_reaches_everyone() {
    for seed in 0..100 {
        sim::run(seed, async |sim| {
            let log = Log::new(blob(&sim).await.unwrap(), Plain, Start::default(), config(1 << 16));
            put(&log, 10).await.unwrap();
            log.sync().await.unwrap();
            sim.faults().inject(Fault::eio(Operation::Sync).survivors(Cut::LoseAll));
            let tasks: Vec<_> = (0..64)
                .map(|_| {
                    let log = log.clone();
                    sim.spawn(async move {
                        put(&log, 3).await?;
                        log.sync().await
                    })
                })
                .collect();
            for result in join_all(tasks).await {
                let error = result.unwrap().unwrap_err();
                assert!(matches!(error, Error::Poisoned { .. }), "{error:?}");
            }
            assert!(matches!(log.sync().await, Err(Error::Poisoned { .. })));
            assert_eq!(log.durable(), 10);
            sim.crash(Crash::Power(Cut::KeepAll));
            check(&sim, 10, &format!("seed {seed}")).await;
        });
    }
}

/// 64 tasks append and sync while one sync hangs: they gather behind it, and one more does for all.
#[test]
fn many_tasks_share_one_sync() {
    for seed in 0..20 {
        sim::run(seed, async |sim| {
            let log = Log::new(blob(&sim).await.unwrap(), Plain, Start::default(), config(1 << 16));
            log.sync().await.unwrap();
            let before = sim.counts().performed(Operation::Sync);
            sim.faults().inject(Fault::hang(Operation::Sync));
            let arrived = Arc::new(AtomicU64::new(0));
            let tasks: Vec<_> = (0..64)
                .map(|_| {
                    let (log, arrived) = (log.clone(), Arc::clone(&arrived));
                    sim.spawn(async move {
                        let end = put(&log, 5).await.unwrap();
                        let mut sync = Box::pin(log.sync());
                        assert!(futures::poll!(&mut sync).is_pending());
                        arrived.fetch_add(1, Ordering::SeqCst);
                        sync.await.unwrap();
                        assert!(log.durable() >= end);
                    })
                })
                .collect();
            while arrived.load(Ordering::SeqCst) < 64 {
                sim.yield_now().await;
            }
            sim.faults().release();
            join_all(tasks).await;
            assert_eq!(
                sim.counts().performed(Operation::Sync) - before,
                2,
                "the one that hung, and one for all the others"
            );
        });
    }
}

/// Every future of a log is dropped after every number of polls, while other tasks wait for the same bytes; then
/// everything goes on as if it had ended or not begun (P7).
#[test]
fn every_future_is_dropped_after_every_number_of_polls() {
    for kind in 0..6 {
        for polls in 0..8 {
            for seed in 0..10 {
                sim::run(seed, async |sim| {
                    let case = format!("kind {kind}, {polls} polls, seed {seed}");
                    let log = Log::new(blob(&sim).await.unwrap(), Plain, Start::default(), config(16));
                    put(&log, 10).await.unwrap();
                    log.sync().await.unwrap();
                    put(&log, 10).await.unwrap();
                    put(&log, 12).await.unwrap();
                    let before = log.len();
                    let mut future = match kind {
                        0 => put(&log, 9).map(drop).boxed(),
                        1 => log.sync().map(drop).boxed(),
                        2 => log.flush().map(drop).boxed(),
                        3 => log.wait_durable(before).map(drop).boxed(),
                        4 => log.read_at(0, 25).map(drop).boxed(),
                        _ => {
                            let steps = |blob: Arc<dyn Blob>| {
                                async move {
                                    blob.resize(5).await?;
                                    blob.sync().await
                                }
                                .boxed()
                            };
                            log.cut(5, steps).map(drop).boxed()
                        }
                    };
                    for _ in 0..polls {
                        if futures::poll!(&mut future).is_ready() {
                            break;
                        }
                        sim.yield_now().await;
                    }
                    drop(future);
                    log.settle().await;
                    let len = log.len();
                    let allowed: &[u64] = match kind {
                        0 => &[before, before + 9],
                        5 => &[before, 5],
                        _ => &[before],
                    };
                    assert!(allowed.contains(&len), "{case}: {len}");
                    let end = put(&log, 7).await.unwrap();
                    assert_eq!(end, len + 7, "{case}");
                    log.sync().await.unwrap();
                    assert_eq!(
                        log.read_at(0, usize::try_from(end).unwrap()).await.unwrap(),
                        bytes(0, usize::try_from(end).unwrap()),
                        "{case}"
                    );
                    sim.crash(Crash::Power(Cut::LoseAll));
                    check(&sim, end, &case).await;
                });
            }
        }
    }
}
