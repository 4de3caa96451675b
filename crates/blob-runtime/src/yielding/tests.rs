use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Wake};

use super::*;

/// Counts how often it is woken.
#[derive(Default)]
struct Calls(AtomicU32);

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Giving way is one return to the executor, which is asked to come back.
#[test]
fn giving_way_is_one_poll() {
    let mut given = Box::pin(yield_now());
    let calls = Arc::new(Calls::default());
    let waker = Arc::clone(&calls).into();
    let mut cx = Context::from_waker(&waker);
    assert!(given.as_mut().poll(&mut cx).is_pending());
    assert_eq!(calls.0.load(Ordering::Relaxed), 1);
    assert!(given.as_mut().poll(&mut cx).is_ready());
}
