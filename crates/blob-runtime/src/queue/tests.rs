#[cfg(shuttle)]
mod shuttle;

use super::*;
use futures::executor::block_on;
use futures::task::noop_waker_ref;
use std::pin::pin;

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(noop_waker_ref()))
}

#[test]
fn first_come_first_served() {
    let queue = Queue::new();
    let first = queue.try_enter().unwrap();
    assert!(queue.try_enter().is_none());
    let (mut b, mut c) = (queue.enter(), queue.enter());
    // The order is the one of the first polls, not of the calls.
    assert!(poll(&mut c).is_pending());
    assert!(poll(&mut b).is_pending());
    drop(first);
    assert!(poll(&mut b).is_pending());
    let Poll::Ready(ticket) = poll(&mut c) else { panic!("c is first") };
    assert!(queue.try_enter().is_none(), "b waits, nobody may pass it");
    drop(ticket);
    assert!(poll(&mut b).is_ready());
    assert!(!queue.is_busy());
}

#[test]
fn a_dropped_waiter_gives_up_its_place_whether_let_in_or_not() {
    let queue = Queue::new();
    let first = queue.try_enter().unwrap();
    let (mut b, mut c, mut d) = (queue.enter(), queue.enter(), queue.enter());
    for waiter in [&mut b, &mut c, &mut d] {
        assert!(poll(waiter).is_pending());
    }
    drop(c);
    drop(first);
    // b has been let in but never polled again: its place goes on to d.
    drop(b);
    assert!(poll(&mut d).is_ready());
    assert!(!queue.is_busy());
}

#[test]
fn threads_exclude_each_other() {
    let queue = Queue::new();
    let count = Arc::new(Mutex::new((0_u32, 0_u32)));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (queue, count) = (queue.clone(), Arc::clone(&count));
            std::thread::spawn(move || {
                for _ in 0..500 {
                    block_on(async {
                        let ticket = pin!(queue.enter()).await;
                        lock(&count).0 += 1;
                        assert_eq!(lock(&count).0, 1, "two are in");
                        lock(&count).1 += 1;
                        lock(&count).0 -= 1;
                        drop(ticket);
                    });
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(*lock(&count), (0, 2000));
}
