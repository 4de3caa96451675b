//! Changes of one blob, one after the other; futures that are dropped.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use super::*;
use blob_runtime::Error;
use blob_runtime::sim;
use futures::future::join3;

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Three changes are under way at once, through two handles. They take effect in the order of their first polls.
#[test]
fn changes_take_effect_in_the_order_of_their_first_polls() {
    for seed in 0..100 {
        sim::run(seed, async |sim| {
            let (one, two) = (durable(&sim, A, b"....").await, open(&sim, A).await);
            let (a, b, c) = join3(one.write_at(0, bytes(b"aaaa")), two.resize(3), one.write_at(2, bytes(b"cc"))).await;
            [a, b, c].into_iter().for_each(Result::unwrap);
            assert_eq!(content(&two).await, "aacc");
            assert_eq!(one.len(), 4);
        });
    }
}

/// Operations on different blobs end in any order.
#[test]
fn blobs_do_not_wait_for_each_other() {
    let mut orders = BTreeSet::new();
    for seed in 0..100 {
        orders.insert(sim::run(seed, async |sim| {
            let order = Arc::new(std::sync::Mutex::new(Vec::new()));
            let writes = [b"a", b"b", b"c"].map(|name| {
                let (inner, order) = (sim.clone(), Arc::clone(&order));
                sim.spawn(async move {
                    durable(&inner, name, b"x").await;
                    order.lock().unwrap().push(name[0]);
                })
            });
            futures::future::join_all(writes).await;
            order.lock().unwrap().clone()
        }));
    }
    assert_eq!(orders.len(), 6);
}

/// A write is dropped after so many polls. Before the first it has done nothing; from then on it runs to its end, and
/// the next change of the blob, through a handle opened later, waits for it.
#[test]
fn a_dropped_write_runs_to_its_end_before_the_next_change() {
    for seed in 0..40 {
        for polls in 0..8 {
            sim::run(seed, async |sim| {
                let blob = durable(&sim, A, b"....").await;
                {
                    let mut write = pin!(blob.write_at(0, bytes(b"aaaa")));
                    for _ in 0..polls {
                        if poll(write.as_mut()).is_ready() {
                            break;
                        }
                    }
                }
                drop(blob);
                let again = open(&sim, A).await;
                again.write_at(1, bytes(b"bb")).await.unwrap();
                let want = if polls == 0 { ".bb." } else { "abba" };
                assert_eq!(content(&again).await, want, "{polls} polls");
            });
        }
    }
}

/// A write with its sync is dropped; power is lost when the next operation of the blob has ended.
#[test]
fn a_dropped_write_with_sync_does_both() {
    for seed in 0..40 {
        sim::run(seed, async |sim| {
            let blob = durable(&sim, A, b"....").await;
            assert!(poll(pin!(blob.write_at_sync(0, bytes(b"aaaa"))).as_mut()).is_pending());
            blob.write_at(0, bytes(b"b")).await.unwrap();
            sim.crash(LOSE_ALL);
            assert_eq!(found(&sim, A).await.unwrap(), "aaaa");
        });
    }
}

/// A claim is dropped while a change is in flight. Whoever claims next waits for its end.
#[test]
fn a_claim_waits_for_dropped_changes() {
    for seed in 0..40 {
        sim::run(seed, async |sim| {
            let (storage, blob) = (sim.storage(), durable(&sim, A, b"..").await);
            let claim = storage.claim(P).await.unwrap();
            match storage.claim(P).await {
                Err(Error::Locked { what }) => assert_eq!(&*what, "partition p"),
                other => panic!("{other:?}"),
            }
            assert!(poll(pin!(blob.write_at(0, bytes(b"ab"))).as_mut()).is_pending());
            drop(claim);
            let _claim = storage.claim(P).await.unwrap();
            assert_eq!(content(&blob).await, "ab");
        });
    }
}

/// A crash ends a claim with the process that held it.
#[test]
fn a_claim_ends_with_its_life() {
    sim::run(1, async |sim| {
        let held = sim.storage().claim(P).await.unwrap();
        sim.crash(Crash::Kill);
        let again = sim.storage().claim(P).await.unwrap();
        drop(held);
        let second = sim.storage().claim(P).await;
        assert!(matches!(second, Err(Error::Locked { .. })), "{second:?}");
        drop(again);
    });
}

/// A future that is polled in a loop, without a return to the executor, comes to its end all the same.
#[test]
fn polling_in_a_loop_makes_progress() {
    sim::run(2, async |sim| {
        let blob = durable(&sim, A, b"....").await;
        let mut write = pin!(blob.write_at(0, bytes(b"abcd")));
        let polls = (1..1000).find(|_| match poll(write.as_mut()) {
            Poll::Ready(result) => {
                result.unwrap();
                true
            }
            Poll::Pending => false,
        });
        assert!(polls.is_some_and(|polls| polls > 1), "{polls:?}");
        assert_eq!(content(&blob).await, "abcd");
    });
}

/// A read beside a write sees old and new bytes, and none else. Over the seeds it sees a mix.
#[test]
fn a_read_beside_a_write_may_see_a_mix() {
    let mut seen = BTreeSet::new();
    for seed in 0..400 {
        seen.insert(sim::run(seed, async |sim| {
            let blob = durable(&sim, A, b"....").await;
            let (read, written) = futures::join!(blob.read_at(0, 4), blob.write_at(0, bytes(b"####")));
            written.unwrap();
            read.unwrap()
        }));
    }
    let seen: Vec<_> = seen.iter().map(|bytes| String::from_utf8_lossy(bytes)).collect();
    assert_eq!(seen, ["####", "###.", "##..", "#...", "...."]);
}

/// `try_read_at` answers at once, the truth, or not at all; both happen.
#[test]
fn try_read_at_answers_now_and_then() {
    sim::run(3, async |sim| {
        let blob = durable(&sim, A, b"hello").await;
        for _ in 0..100 {
            if let Some(read) = blob.try_read_at(1, 3) {
                assert_eq!(read.unwrap(), "ell");
            }
        }
        let past = std::iter::repeat_with(|| blob.try_read_at(3, 3)).flatten().next().unwrap();
        assert!(matches!(past, Err(Error::OutOfBounds { offset: 3, len: 3, blob_len: 5, .. })), "{past:?}");
        let counts = sim.counts();
        assert!(counts.quick_reads > 50 && counts.refused_reads > 10, "{counts:?}");
    });
}

#[test]
fn reads_are_whole_or_an_error() {
    sim::run(4, async |sim| {
        let blob = durable(&sim, A, b"hello").await;
        assert_eq!(blob.read_at(5, 0).await.unwrap(), "");
        for (offset, len) in [(5, 1), (6, 0), (0, 6), (u64::MAX, 1), (1, usize::MAX)] {
            match blob.read_at(offset, len).await {
                Err(Error::OutOfBounds { offset: at, len: of, blob_len: 5, .. }) => {
                    assert_eq!((at, of), (offset, len as u64));
                }
                other => panic!("{offset} {len}: {other:?}"),
            }
        }
    });
}

/// A length that no file has, and one that no memory has.
#[test]
fn absurd_lengths_are_refused() {
    sim::run(5, async |sim| {
        let blob = durable(&sim, A, b"hello").await;
        for result in [blob.resize(u64::MAX).await, blob.write_at(u64::MAX, bytes(b"x")).await] {
            assert!(matches!(result, Err(Error::TooLarge { .. })), "{result:?}");
        }
        for result in [blob.resize(1 << 50).await, blob.write_at(1 << 50, bytes(b"x")).await] {
            assert_eq!(result.unwrap_err().io_kind(), Some(std::io::ErrorKind::FileTooLarge));
        }
        assert_eq!(content(&blob).await, "hello");
    });
}
