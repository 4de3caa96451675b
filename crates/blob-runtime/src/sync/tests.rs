//! Runs a scene in many orders of its threads; for the tests of what locks and wakes. See `docs/testing.md`.

use std::env;
use std::future::{Future, poll_fn};
use std::task::Poll;

use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler};
use shuttle::{Config, MaxSteps, Runner};

/// Orders by random walk, and as many with priorities that change at a few places (PCT), at each of its depths.
const ORDERS: usize = 1_000;
/// What PCT finds for certain, given enough orders, are faults that need this many steps in one order.
const DEPTHS: [usize; 2] = [2, 4];

/// Runs `scene` in a fixed number of orders, the same ones each time. One that fails is printed, and can be had again.
pub(crate) fn in_many_orders(scene: fn()) {
    let mut config = Config::new();
    config.stack_size = 1 << 18;
    // That every atomic is taken for sequentially consistent is said in the document.
    config.silence_warnings = true;
    // A scene takes some hundred steps: one that runs on is a loop.
    config.max_steps = MaxSteps::FailAfter(100_000);
    if let Ok(order) = env::var("ORDER") {
        Runner::new(ReplayScheduler::new_from_encoded(order.trim()), config).run(scene);
        return;
    }
    let (orders, seed) = (number("ORDERS", ORDERS), number("FIRST_SEED", 0) as u64);
    Runner::new(RandomScheduler::new_from_seed(seed, orders), config.clone()).run(scene);
    for depth in DEPTHS {
        Runner::new(PctScheduler::new_from_seed(seed, depth, orders), config.clone()).run(scene);
    }
}

fn number(variable: &str, otherwise: usize) -> usize {
    env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

/// A choice that belongs to the order, and comes back with it.
pub(crate) fn any_below(bound: usize) -> usize {
    thread_rng().gen_range(0..bound)
}

/// Drops the future when it has been polled that often and has not ended. It is polled when it is woken, never else.
pub(crate) async fn polled<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let mut left = polls;
    poll_fn(move |cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
