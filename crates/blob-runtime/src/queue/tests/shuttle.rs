//! Tickets and claims in many orders of real threads, each blocked until it is woken.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use shuttle::future::block_on;
use shuttle::thread;

use super::super::Queue;
use crate::claims::Claims;
use crate::error::Error;
use crate::sync::tests::{any_below, in_many_orders, polled};

/// One is in at a time, and whoever is dropped in line, let in or not, holds nobody up.
#[test]
fn one_at_a_time_and_nobody_is_forgotten() {
    in_many_orders(|| {
        let (queue, inside) = (Queue::new(), Arc::new(AtomicUsize::new(0)));
        let enters = |patience: Option<usize>| {
            let (queue, inside) = (queue.clone(), Arc::clone(&inside));
            move || {
                for _ in 0..2 {
                    let ticket = match patience {
                        Some(polls) => block_on(polled(queue.enter(), any_below(polls))),
                        None => Some(block_on(queue.enter())),
                    };
                    if ticket.is_some() {
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two are in");
                        thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                }
            }
        };
        let threads = [None, None, Some(3)].map(|patience| thread::spawn(enters(patience)));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(!queue.is_busy(), "everybody has left");
    });
}

/// A claim is given up while a change still runs; whoever claims next waits for its end, or is dropped while he waits
/// (P10).
#[test]
fn a_claim_waits_for_what_had_begun() {
    in_many_orders(|| {
        let claims = Claims::new();
        let activity = claims.begin(&"p".into());
        let ends = thread::spawn(move || drop(activity));
        let dropped = {
            let claims = claims.clone();
            thread::spawn(move || drop(block_on(polled(claims.claim("p"), any_below(3)))))
        };
        let claims_it = {
            let claims = claims.clone();
            thread::spawn(move || {
                let claim = loop {
                    match block_on(claims.claim("p")) {
                        Ok(claim) => break claim,
                        Err(error) => assert!(matches!(error, Error::Locked { .. }), "{error:?}"),
                    }
                    thread::yield_now();
                };
                assert_eq!(claims.active("p"), 0, "what an earlier holder began still runs");
                drop(claim);
            })
        };
        [ends, dropped, claims_it].into_iter().for_each(|thread| thread.join().unwrap());
        drop(block_on(claims.claim("p")).unwrap());
    });
}
