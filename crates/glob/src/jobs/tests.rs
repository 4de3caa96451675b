use std::sync::atomic::{AtomicU32, Ordering};

use futures::executor::block_on;
use futures::future::join;

use super::*;

/// The caller is dropped in the middle of the work: the next one to come finishes it before it begins its own.
#[test]
fn a_job_outlives_its_caller() {
    let jobs = Jobs::default();
    let steps = Arc::new(AtomicU32::new(0));
    let (open, gate) = oneshot::channel::<()>();
    let counted = Arc::clone(&steps);
    let left_behind = jobs.run(async move {
        counted.fetch_add(1, Ordering::Relaxed);
        gate.await.unwrap();
        counted.fetch_add(10, Ordering::Relaxed);
    });
    assert!(left_behind.now_or_never().is_none());
    assert_eq!(steps.load(Ordering::Relaxed), 1);
    let seen = Arc::clone(&steps);
    let mut next = jobs.run(async move { seen.load(Ordering::Relaxed) }).boxed();
    assert!((&mut next).now_or_never().is_none(), "waits for the one that has begun");
    open.send(()).unwrap();
    assert_eq!(block_on(next), Some(11));
    block_on(jobs.settle());
}

#[test]
fn a_job_that_has_not_begun_never_does() {
    let jobs = Jobs::default();
    let (open, gate) = oneshot::channel::<()>();
    assert!(jobs.run(gate).now_or_never().is_none());
    let begun = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&begun);
    assert!(jobs.run(async move { counted.fetch_add(1, Ordering::Relaxed) }).now_or_never().is_none());
    open.send(()).unwrap();
    assert_eq!(block_on(join(jobs.settle(), jobs.run(async { 5 }))).1, Some(5));
    assert_eq!(begun.load(Ordering::Relaxed), 0);
}

#[test]
fn a_job_that_is_given_up_is_dropped_with_what_it_holds() {
    let jobs = Jobs::default();
    let held = Arc::new(());
    let kept = Arc::clone(&held);
    let stuck = async move {
        futures::future::pending::<()>().await;
        drop(kept);
    };
    assert!(jobs.run(stuck).now_or_never().is_none());
    assert_eq!(Arc::strong_count(&held), 2);
    jobs.clear();
    assert_eq!(Arc::strong_count(&held), 1);
}
