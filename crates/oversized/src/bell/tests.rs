//! Orders in which two who ring and one who listens can come.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::task::noop_waker;
use shuttle::sync::atomic::{AtomicU64, Ordering};
use shuttle::thread;

use super::Bell;

/// Orders tried, by random walk: the whole tree is too large, and the one of the fault comes up every few hundred.
const ORDERS: usize = 20_000;

/// A tail listens, looks, finds nothing, and waits, while others append to this section and to another one. A ring for the
/// other section falls between the two halves of `listen`: the append to this section, which comes behind the look, must
/// still end the wait.
#[test]
fn no_ring_is_missed() {
    let scene = || {
        let bell = Arc::new(Bell::default());
        let appended = Arc::new(AtomicU64::new(0));
        let another = {
            let bell = Arc::clone(&bell);
            thread::spawn(move || bell.ring())
        };
        let this = {
            let (bell, appended) = (Arc::clone(&bell), Arc::clone(&appended));
            thread::spawn(move || {
                appended.store(1, Ordering::SeqCst);
                bell.ring();
            })
        };
        let mut listen = pin!(bell.listen());
        let seen = appended.load(Ordering::SeqCst);
        another.join().unwrap();
        this.join().unwrap();
        // It had looked before the append: the ring that came with that must end its wait.
        if seen == 0 {
            let waker = noop_waker();
            let woken = listen.as_mut().poll(&mut Context::from_waker(&waker));
            assert_eq!(woken, Poll::Ready(()), "a change behind the look, and nobody is woken");
        }
    };
    shuttle::check_random(scene, ORDERS);
}
