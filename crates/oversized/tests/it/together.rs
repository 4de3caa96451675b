//! Many at once: tasks that append, sync, read, tail and prune over several sections, on several executors.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use blob_runtime::{FileStorage, Storage};
use futures::StreamExt;
use futures::executor::block_on;
use futures::future::BoxFuture;
use oversized::{BufferBudget, Config, Error, Located, Oversized, Until};

use crate::common::{Store, value};

const SECTIONS: u64 = 5;
const ROUNDS: u64 = 60;

/// Appends, now and then syncs, and reads back what it appended.
async fn writer(store: Store, number: u64, appended: Arc<AtomicU64>) {
    for round in 0..ROUNDS {
        let section = 10 + (number + round) % SECTIONS;
        let data = number * 1000 + round;
        let at = match store.append(section, Located::new(data), &value(data)).await {
            Ok(at) => at,
            Err(Error::Pruned { .. }) => continue,
            Err(error) => panic!("{error:?}"),
        };
        appended.fetch_add(1, Ordering::Relaxed);
        if round % 5 == number % 5 {
            match store.sync(section).await {
                Ok(()) => match store.durable_len(section).await {
                    Ok(durable) => assert!(durable > at.position),
                    Err(Error::Pruned { .. }) => continue,
                    Err(error) => panic!("{error:?}"),
                },
                Err(Error::Pruned { .. }) => continue,
                Err(error) => panic!("{error:?}"),
            }
        }
        match store.read(section, at.position).await {
            Ok((record, read)) => assert_eq!((record.data, read), (data, value(data))),
            Err(Error::Pruned { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// Follows one section to its end, and sees every position once, in order.
async fn follower(store: Store, section: u64, until: Until, stop: Arc<AtomicU64>) -> u64 {
    let mut tail = store.tail(section, 0, until);
    let mut seen = 0;
    while let Some(entry) = tail.next().await {
        let entry = match entry {
            Ok(entry) => entry,
            Err(Error::Closed | Error::Pruned { .. }) => break,
            Err(error) => panic!("{error:?}"),
        };
        if entry.section != section {
            break;
        }
        assert_eq!(entry.position, seen);
        seen += 1;
        if stop.load(Ordering::Relaxed) == 1 && seen == store.len(section).await.unwrap_or(seen) {
            break;
        }
    }
    seen
}

/// The whole scene; `spawn` starts a task of the executor that is tried.
async fn scene(storage: Arc<dyn Storage>, spawn: &dyn Fn(BoxFuture<'static, ()>) -> BoxFuture<'static, ()>) {
    let config = || {
        let budget = BufferBudget::new(4000);
        Config::new("blocks").page_bytes(256).index_buffer_bytes(400).value_buffer_bytes(500).buffer_budget(budget)
    };
    let store: Store = Oversized::open(Arc::clone(&storage), config()).await.unwrap();
    for section in 10..10 + SECTIONS {
        let data = 9000 + section;
        store.append(section, Located::new(data), &value(data)).await.unwrap();
    }
    let (appended, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut tasks = Vec::new();
    for number in 0..7 {
        tasks.push(spawn(Box::pin(writer(store.clone(), number, Arc::clone(&appended)))));
    }
    let followers = [(11, Until::Appended), (12, Until::Durable)].map(|(section, until)| {
        let (store, stop) = (store.clone(), Arc::clone(&stop));
        spawn(Box::pin(async move { assert!(follower(store, section, until, stop).await > 0) }))
    });
    let pruner = {
        let store = store.clone();
        spawn(Box::pin(async move {
            for _ in 0..20 {
                store.maintain().await.unwrap();
            }
            store.prune(11).await.unwrap();
            store.set_state("pruned".into()).await.unwrap();
        }))
    };
    for task in tasks {
        task.await;
    }
    pruner.await;
    stop.store(1, Ordering::Relaxed);
    let last = 9999;
    for section in [11, 12] {
        store.append(section, Located::new(last), &value(last)).await.unwrap();
    }
    store.sync_all().await.unwrap();
    for follower in followers {
        follower.await;
    }
    assert_eq!(appended.load(Ordering::Relaxed) + 7, {
        let mut kept = 0;
        for section in 11..10 + SECTIONS {
            kept += store.len(section).await.unwrap();
        }
        // Those of the pruned section, as far as they were appended before it went.
        let pruned = appended.load(Ordering::Relaxed) + 6 - kept;
        assert!(pruned <= 7 * ROUNDS / SECTIONS + 7, "{pruned}");
        kept + pruned + 1
    });
    let before: Vec<_> = all(&store).await;
    store.close().await.unwrap();
    drop(store);
    let store: Store = Oversized::open(storage, config()).await.unwrap();
    assert_eq!(store.sections(), (11..10 + SECTIONS).collect::<Vec<_>>());
    assert_eq!(store.state(), "pruned");
    assert_eq!(all(&store).await, before);
    assert_eq!(store.verify(..).count().await, 0);
    store.close().await.unwrap();
}

async fn all(store: &Store) -> Vec<(u64, Vec<u64>)> {
    let mut all = Vec::new();
    for section in store.sections() {
        all.push((section, crate::common::shown(store, section).await.unwrap()));
    }
    all
}

fn files() -> (tempfile::TempDir, Arc<dyn Storage>) {
    let root = tempfile::tempdir().unwrap();
    let storage = FileStorage::open(root.path()).unwrap();
    (root, Arc::new(storage))
}

#[test]
fn on_tokio() {
    let (_root, storage) = files();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(3).build().unwrap();
    let handle = runtime.handle().clone();
    runtime.block_on(scene(storage, &|task| {
        let task = handle.spawn(task);
        Box::pin(async move { task.await.unwrap() })
    }));
}

#[test]
fn on_smol() {
    let (_root, storage) = files();
    smol::block_on(scene(storage, &|task| Box::pin(smol::spawn(task))));
}

/// No executor at all: each task on a thread of its own, driven by `block_on`.
#[test]
fn on_threads() {
    let (_root, storage) = files();
    block_on(scene(storage, &|task| {
        let (done, wait) = futures::channel::oneshot::channel();
        std::thread::spawn(move || {
            block_on(task);
            done.send(()).unwrap();
        });
        Box::pin(async move { wait.await.unwrap() })
    }));
}

/// One fsync answers many who ask at once.
#[test]
fn group_commit() {
    use blob_runtime::Operation;
    use blob_runtime::sim::{self, Fault};
    sim::run(3, async |sim| {
        crate::common::life(&sim, crate::common::LOSE_ALL, |sim| async move {
            let store: Store = Oversized::open(sim.storage(), Config::new("blocks")).await.unwrap();
            crate::common::append(&store, 1, 0).await.unwrap();
            store.sync(1).await.unwrap();
            let before = sim.counts().performed(Operation::Sync);
            // The first sync is slow: all others come while it runs.
            sim.faults().inject(Fault::hang(Operation::Sync));
            let tasks: Vec<_> = (0..64)
                .map(|data| {
                    let store = store.clone();
                    sim.spawn(async move {
                        crate::common::append(&store, 1, data).await.unwrap();
                        store.sync(1).await.unwrap();
                    })
                })
                .collect();
            for _ in 0..1000 {
                sim.yield_now().await;
            }
            sim.faults().release();
            for task in tasks {
                task.await.unwrap();
            }
            let syncs = sim.counts().performed(Operation::Sync) - before;
            assert!(syncs <= 2, "{syncs}");
            assert_eq!(store.durable_len(1).await.unwrap(), 65);
        })
        .await;
    });
}
