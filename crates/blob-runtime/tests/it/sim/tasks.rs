//! Tasks, lives, and how a run ends.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use blob_runtime::sim::{self, Fault};
use blob_runtime::{Error, Operation};

/// A crash drops every task of the life: none of them runs on, and their handles say so.
#[test]
fn a_crash_drops_all_tasks() {
    sim::run(1, async |sim| {
        let turns = Arc::new(AtomicU64::new(0));
        let handles: Vec<_> = (0..5)
            .map(|_| {
                let (sim, turns) = (sim.clone(), Arc::clone(&turns));
                sim.clone().spawn(async move {
                    loop {
                        turns.fetch_add(1, Ordering::Relaxed);
                        sim.yield_now().await;
                    }
                })
            })
            .collect::<Vec<blob_runtime::sim::JoinHandle<()>>>();
        for _ in 0..20 {
            sim.yield_now().await;
        }
        sim.crash(Crash::Kill);
        assert_eq!(Arc::strong_count(&turns), 1, "dropped at once");
        let before = turns.load(Ordering::Relaxed);
        for handle in handles {
            assert!(handle.is_finished());
            assert_eq!(handle.await, None);
        }
        sim.yield_now().await;
        assert_eq!(turns.load(Ordering::Relaxed), before);
        assert!(before > 0);
    });
}

/// A task crashes its own machine and goes on to its end in the same poll: the crash came first.
#[test]
fn what_a_task_does_behind_a_crash_does_not_count() {
    sim::run(2, async |sim| {
        let inner = sim.clone();
        let ended = sim.life(async move {
            let old = inner.storage();
            inner.crash(Crash::Kill);
            // It still has the storage of its own life, and reaches nothing of the next one.
            assert!(old.random().is_ok());
            let late = inner.spawn(async { 1 });
            assert!(late.is_finished());
            5
        });
        assert_eq!(ended.await, None);
        assert_eq!(sim.crashes(), 1);
        assert_eq!(sim.life(async { 5 }).await, Some(5));
    });
}

/// A crash strikes within an operation: the task never hears of it, however it handles errors.
#[test]
fn a_task_of_a_crashed_life_sees_no_error() {
    for step in 1..30 {
        sim::run(3, async |sim| {
            sim.crash_at(step, LOSE_ALL);
            let inner = sim.clone();
            let ended = sim.life(async move {
                let blob = durable(&inner, A, b"hello").await;
                inner.storage().scan(P).await.unwrap();
                inner.storage().remove(P, &[A.to_vec()]).await.unwrap();
                let _claim = inner.storage().claim(P).await.unwrap();
                blob.len()
            });
            assert_eq!(ended.await.is_none(), sim.crashes() == 1);
        });
    }
}

/// The conductor itself works on the storage when a crash strikes. It outlives the machine, so it is told.
#[test]
fn the_conductor_is_told_that_the_machine_is_off() {
    for step in 1..=3 {
        sim::run(3, async |sim| {
            let blob = durable(&sim, A, b"hello").await;
            sim.crash_at(step, LOSE_ALL);
            let result = blob.write_at(0, bytes(b"x")).await;
            assert!(matches!(result, Err(Error::Closed)), "{result:?}");
            assert_eq!(sim.crashes(), 1);
            assert_eq!(found(&sim, A).await.unwrap(), "hello");
        });
    }
}

/// Stores take their storage to any executor, and a test its handle of the run.
#[test]
fn handles_may_go_anywhere() {
    fn goes<T: Send + Sync>() {}
    goes::<Sim>();
    goes::<blob_runtime::sim::SimStorage>();
    goes::<blob_runtime::sim::JoinHandle<u8>>();
    goes::<blob_runtime::sim::Faults>();
    goes::<blob_runtime::sim::RawDisk>();
}

#[test]
fn an_aborted_task_is_dropped_and_what_it_began_goes_on() {
    sim::run(4, async |sim| {
        let blob = durable(&sim, A, b"....").await;
        sim.faults().inject(Fault::hang(Operation::Write));
        let task = sim.spawn({
            let blob = Arc::clone(&blob);
            async move { blob.write_at(0, bytes(b"abcd")).await }
        });
        for _ in 0..50 {
            sim.yield_now().await;
        }
        task.abort();
        assert!(task.is_finished());
        assert!(task.await.is_none());
        sim.faults().release();
        blob.sync().await.unwrap();
        assert_eq!(content(&blob).await, "abcd");
    });
}

/// A dropped handle lets its task run on; a dropped `life` takes its task with it.
#[test]
fn a_task_outlives_its_handle_and_not_its_life() {
    sim::run(5, async |sim| {
        let (inner, done) = (sim.clone(), Arc::new(AtomicU64::new(0)));
        let mark = Arc::clone(&done);
        drop(sim.spawn(async move {
            inner.yield_now().await;
            mark.store(1, Ordering::Relaxed);
        }));
        while done.load(Ordering::Relaxed) == 0 {
            sim.yield_now().await;
        }

        let held = Arc::new(());
        let of_task = Arc::clone(&held);
        let life = sim.life(async move {
            let _held = of_task;
            std::future::pending::<()>().await;
        });
        futures::future::select(Box::pin(life), Box::pin(sim.yield_now())).await;
        assert_eq!(Arc::strong_count(&held), 1);
    });
}

/// A crash that is planned can be called off, and strikes just before the step it is planned for.
#[test]
fn a_planned_crash() {
    sim::run(6, async |sim| {
        assert!(!sim.disarm());
        sim.crash_at(1, Crash::Kill);
        assert!(sim.disarm());
        let blob = durable(&sim, A, b"x").await;
        let before = sim.steps();
        sim.crash_at(3, Crash::Kill);
        let write = sim.life(async move { blob.write_at(0, bytes(b"y")).await }).await;
        assert!(write.is_none());
        assert_eq!(sim.steps() - before, 2, "issued and performed, not completed");
        assert_eq!(found(&sim, A).await.unwrap(), "y");
        assert!(!sim.disarm());
    });
}

/// A test that waits for what never comes must end, and say with which seed.
#[test]
#[should_panic(expected = "deadlock in the simulation with seed 77: nothing is ready and the conductor has not ended")]
fn a_deadlock_ends_the_run() {
    sim::run(77, async |_sim| std::future::pending::<()>().await);
}

#[test]
#[should_panic(expected = "1 operations hang by an injected fault")]
fn a_deadlock_says_what_hangs() {
    sim::run(78, async |sim| {
        sim.faults().inject(Fault::hang(Operation::Open));
        open(&sim, A).await;
    });
}

#[test]
#[should_panic(expected = "a task failed")]
fn a_panic_of_a_task_ends_the_run() {
    sim::run(79, async |sim| {
        drop(sim.spawn(async { panic!("a task failed") }));
        std::future::pending::<()>().await;
    });
}

/// What outlives a run holds nothing but itself: the tasks are gone.
#[test]
fn tasks_end_with_the_run() {
    let held = Arc::new(());
    let (of_task, sim) = (Arc::clone(&held), sim::run(7, async |sim| sim));
    drop(sim);
    let sim = sim::run(8, async |sim| {
        drop(sim.spawn(async move {
            let _held = of_task;
            std::future::pending::<()>().await;
        }));
        sim.yield_now().await;
        sim
    });
    assert_eq!(Arc::strong_count(&held), 1);
    assert_eq!(sim.seed(), 8);
}

/// Runs nest, and run side by side in threads, without a share in each other.
#[test]
fn runs_are_apart() {
    let digest = || {
        sim::run(9, async |sim| {
            durable(&sim, A, b"hello").await;
            sim.digest()
        })
    };
    let alone = digest();
    let nested = sim::run(9, async |sim| {
        assert_eq!(digest(), alone);
        durable(&sim, A, b"hello").await;
        sim.digest()
    });
    assert_eq!(nested, alone);
    let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(digest)).collect();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap() == alone));
}
