use super::*;
use std::future::poll_fn;
use std::sync::atomic::AtomicUsize;

use crate::yielding::yield_now;

/// Polls all that is ready, the conductor excepted, until nothing is.
fn run_dry(executor: &Executor) {
    while let Some(next) = executor.next() {
        if let Next::Slot(kind, slot) = next {
            executor.poll(kind, slot);
        }
        executor.sweep();
    }
}

/// Drops leave a mark.
struct Mark(Arc<AtomicUsize>);

impl Drop for Mark {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_job_is_polled_when_it_is_issued_and_a_task_when_it_is_drawn() {
    let executor = Executor::new(1);
    let polls = Arc::new(AtomicUsize::new(0));
    let count = |weight| {
        let polls = Arc::clone(&polls);
        Box::pin(async move {
            polls.fetch_add(weight, Ordering::Relaxed);
            yield_now().await;
            polls.fetch_add(weight, Ordering::Relaxed);
        })
    };
    executor.spawn(Kind::Task, 1, count(1));
    assert_eq!(polls.load(Ordering::Relaxed), 0);
    executor.spawn(Kind::Job, 1, count(100));
    assert_eq!(polls.load(Ordering::Relaxed), 100);
    executor.nudge();
    assert_eq!(polls.load(Ordering::Relaxed), 200, "a nudge lets a job go on, never a task");
    executor.nudge();
    run_dry(&executor);
    assert_eq!(polls.load(Ordering::Relaxed), 202);
}

/// A task that is woken twice is polled once; one that nobody wakes is not polled.
#[test]
fn a_task_is_polled_as_often_as_it_is_woken() {
    let executor = Executor::new(1);
    let (polls, waker) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(None)));
    let (of_task, kept) = (Arc::clone(&polls), Arc::clone(&waker));
    executor.spawn(
        Kind::Task,
        1,
        Box::pin(poll_fn(move |cx| {
            of_task.fetch_add(1, Ordering::Relaxed);
            *lock(&kept) = Some(cx.waker().clone());
            Poll::Pending
        })),
    );
    run_dry(&executor);
    run_dry(&executor);
    assert_eq!(polls.load(Ordering::Relaxed), 1);
    let woken: Waker = lock(&waker).clone().unwrap();
    woken.wake_by_ref();
    woken.wake();
    run_dry(&executor);
    assert_eq!(polls.load(Ordering::Relaxed), 2);
}

/// A life ends while its tasks wait, while one of them is being polled, and while one is ready.
#[test]
fn what_belongs_to_a_life_goes_with_it() {
    let executor = Arc::new(Executor::new(1));
    let drops = Arc::new(AtomicUsize::new(0));
    for kind in [Kind::Task, Kind::Job] {
        let mark = Mark(Arc::clone(&drops));
        executor.spawn(
            kind,
            1,
            Box::pin(async move {
                let _mark = mark;
                std::future::pending::<()>().await;
            }),
        );
    }
    let (mark, weak) = (Mark(Arc::clone(&drops)), Arc::downgrade(&executor));
    executor.spawn(
        Kind::Task,
        1,
        Box::pin(async move {
            let _mark = mark;
            let executor = weak.upgrade().unwrap();
            assert!(!executor.is_doomed());
            executor.begin_life(2);
            assert!(executor.is_doomed());
            executor.sweep();
            std::future::pending::<()>().await;
        }),
    );
    let mark = Mark(Arc::clone(&drops));
    executor.spawn(Kind::Task, 2, Box::pin(async move { drop(mark) }));
    run_dry(&executor);
    assert_eq!(drops.load(Ordering::Relaxed), 4);
    assert!(!executor.is_doomed());
}

/// A slot is used again. A waker and an id of the task that had it before must not reach the new one wrongly.
#[test]
fn an_old_id_does_not_abort_the_next_task_of_its_slot() {
    let executor = Executor::new(1);
    let drops = Arc::new(AtomicUsize::new(0));
    let forever = |mark: Mark| {
        Box::pin(async move {
            let _mark = mark;
            std::future::pending::<()>().await;
        })
    };
    let first = executor.spawn(Kind::Task, 1, forever(Mark(Arc::clone(&drops))));
    executor.abort(first);
    assert_eq!(drops.load(Ordering::Relaxed), 1);
    let second = executor.spawn(Kind::Task, 1, forever(Mark(Arc::clone(&drops))));
    assert_eq!(second.slot, first.slot);
    executor.abort(first);
    run_dry(&executor);
    assert_eq!(drops.load(Ordering::Relaxed), 1);
    executor.abort(second);
    assert_eq!(drops.load(Ordering::Relaxed), 2);
}

#[test]
fn every_order_of_three_tasks_is_drawn() {
    let mut orders = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let executor = Executor::new(seed);
        let order = Arc::new(Mutex::new(Vec::new()));
        for task in 0..3 {
            let order = Arc::clone(&order);
            executor.spawn(Kind::Task, 1, Box::pin(async move { lock(&order).push(task) }));
        }
        run_dry(&executor);
        orders.insert(lock(&order).clone());
    }
    assert_eq!(orders.len(), 6);
}

#[test]
fn a_reply_comes_or_its_end_is_told() {
    let mut cx = Context::from_waker(Waker::noop());
    let (sender, receiver) = reply();
    assert_eq!(receiver.poll(&mut cx), Poll::Pending);
    assert!(!receiver.is_over());
    sender.send(5);
    assert!(receiver.is_over());
    assert_eq!(receiver.poll(&mut cx), Poll::Ready(Some(5)));

    let (sender, receiver) = reply::<u8>();
    drop(sender);
    assert_eq!(receiver.poll(&mut cx), Poll::Ready(None));
}
