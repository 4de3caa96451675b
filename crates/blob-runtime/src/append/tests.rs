mod cuts;
mod script;
#[cfg(shuttle)]
mod shuttle;

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;

use futures::executor::block_on;
use futures::future::join_all;
use futures::task::noop_waker_ref;

use self::script::{Call, Script};
use super::*;
use crate::error::{Operation, Target};

fn config(buffer_bytes: usize) -> Config {
    Config { buffer_bytes, unsynced_bytes: u64::MAX, spares: Spares::new(1 << 20) }
}

fn log(buffer_bytes: usize) -> (Script, Log) {
    let script = Script::default();
    let log = Log::new(script.blob(), Plain, Start::default(), config(buffer_bytes));
    (script, log)
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(noop_waker_ref()))
}

/// Appends without waiting: there is room.
fn put(log: &Log, bytes: &[u8]) -> u64 {
    log.append(bytes.len(), |offset, space| {
        space.put(bytes);
        offset
    })
    .now_or_never()
    .unwrap()
    .unwrap()
}

fn eio(operation: Operation) -> Error {
    Error::io(operation, Target::Path("script".into()), None, io::Error::from_raw_os_error(5))
}

#[test]
fn an_append_is_memory_and_a_sync_is_one_call() {
    let (script, log) = log(100);
    assert_eq!((put(&log, b"abc"), put(&log, b"de")), (0, 3));
    assert_eq!(script.calls(), []);
    let mut sync = pin!(log.sync());
    assert!(poll(sync.as_mut()).is_pending());
    assert_eq!(script.calls(), [Call::WriteSync(0, b"abcde".to_vec())]);
    assert_eq!((log.written(), log.durable()), (0, 0), "not before the sync has returned");
    assert_eq!(&block_on(log.read_at(1, 3)).unwrap()[..], b"bcd", "in flight, still readable");
    script.end(Ok(()));
    assert!(matches!(poll(sync.as_mut()), Poll::Ready(Ok(()))));
    assert_eq!((log.written(), log.durable(), log.pending_bytes()), (5, 5, 0));
    assert_eq!(&block_on(log.read_at(1, 3)).unwrap()[..], b"bcd", "from the blob");
    assert_eq!(block_on(log.sync()).map_err(|e| e.to_string()), Ok(()));
    assert_eq!(script.calls().len(), 1, "nothing to do, nothing done");
}

/// A frame that claims a floor above the truth makes recovery take a torn tail for damage: what an append is told is
/// durable is what a sync has returned for, and a cut lowers it.
#[test]
fn an_append_is_told_what_is_durable() {
    let (script, log) = log(100);
    script.answer_at_once();
    let told = || {
        log.append(1, |_, space| {
            space.put(b"x");
            space.durable()
        })
        .now_or_never()
        .unwrap()
        .unwrap()
    };
    assert_eq!((told(), told()), (0, 0));
    block_on(log.flush()).unwrap();
    assert_eq!(told(), 0, "written is not durable");
    block_on(log.sync()).unwrap();
    assert_eq!((told(), told()), (3, 3));
    block_on(log.cut(1, |_| async { Ok(()) }.boxed())).unwrap();
    assert_eq!(told(), 1);
}

#[test]
fn reads_join_what_is_in_the_blob_with_what_is_in_memory() {
    let (script, log) = log(100);
    script.answer_at_once();
    put(&log, b"abc");
    block_on(log.sync()).unwrap();
    put(&log, b"def");
    for start in 0..6_usize {
        for to in start..=6 {
            let (from, len) = (start as u64, to - start);
            let want = &b"abcdef"[start..to];
            assert_eq!(&block_on(log.read_at(from, len)).unwrap()[..], want, "{from}..{to}");
            assert_eq!(&log.try_read_at(from, len).unwrap().unwrap()[..], want, "{from}..{to}");
        }
    }
    let error = block_on(log.read_at(5, 2)).unwrap_err();
    assert!(matches!(error, Error::OutOfBounds { offset: 5, len: 2, blob_len: 6, .. }), "{error:?}");
}

/// 64 tasks append and sync at once: the first leads, and all others share the second sync.
#[test]
fn many_syncs_at_once_are_two() {
    let (script, log) = log(1 << 20);
    let mut tasks: Vec<_> = (0..64_u8)
        .map(|task| {
            let log = log.clone();
            Box::pin(async move {
                log.append(1, |_, space| space.put(&[task])).await?;
                log.sync().await
            })
        })
        .collect();
    tasks.iter_mut().for_each(|task| assert!(poll(task.as_mut()).is_pending()));
    script.end(Ok(()));
    assert!(matches!(poll(tasks[0].as_mut()), Poll::Ready(Ok(()))));
    tasks[1..].iter_mut().for_each(|task| assert!(poll(task.as_mut()).is_pending()));
    let written: Vec<u8> = (1..64).collect();
    assert_eq!(script.calls(), [Call::WriteSync(0, vec![0]), Call::WriteSync(1, written)]);
    script.end(Ok(()));
    for task in &mut tasks[1..] {
        assert!(matches!(poll(task.as_mut()), Poll::Ready(Ok(()))));
    }
    assert_eq!(log.durable(), 64);
}

/// The sync fails once, and a retry would say Ok over bytes that never reached the disk (defect 13 of the reference):
/// the leader, everyone who waits and everyone who comes gets the error, and no second sync is tried.
#[test]
fn a_failed_sync_reaches_every_follower_and_poisons() {
    let (script, log) = log(100);
    put(&log, b"abc");
    let mut leader = pin!(log.sync());
    assert!(poll(leader.as_mut()).is_pending());
    put(&log, b"def");
    let mut follower = pin!(log.sync());
    let mut waiter = pin!(log.wait_durable(6));
    assert!(poll(follower.as_mut()).is_pending());
    assert!(poll(waiter.as_mut()).is_pending());
    script.end(Err(eio(Operation::Sync)));
    for result in [poll(leader.as_mut()), poll(follower.as_mut()), poll(waiter.as_mut())] {
        let Poll::Ready(Err(Error::Poisoned { source, .. })) = result else { panic!("{result:?}") };
        assert!(matches!(&*source, Error::Io { operation: Operation::Sync, .. }), "{source:?}");
    }
    assert_eq!((log.durable(), script.calls().len()), (0, 1));
    let refused = block_on(log.append(1, |_, space| space.put(b"x"))).unwrap_err();
    assert!(matches!(refused, Error::Poisoned { .. }), "{refused:?}");
    assert!(matches!(block_on(log.sync()), Err(Error::Poisoned { .. })));
    assert!(matches!(block_on(log.flush()), Err(Error::Poisoned { .. })));
    let cut = block_on(log.cut(0, |_| async { Ok(()) }.boxed()));
    assert!(matches!(cut, Err(Error::Poisoned { .. })), "{cut:?}");
    assert_eq!(&block_on(log.read_at(0, 6)).unwrap()[..], b"abcdef", "reads go on");
    assert_eq!(script.calls().len(), 1);
}

/// A write fails with no space left. The leader is told, the follower tries by itself and is told, nothing is lost, and
/// the next sync writes the same bytes to the same place.
#[test]
fn a_failed_write_loses_nothing() {
    let (script, log) = log(100);
    put(&log, b"abc");
    let mut leader = pin!(log.sync());
    let mut follower = pin!(log.sync());
    assert!(poll(leader.as_mut()).is_pending());
    assert!(poll(follower.as_mut()).is_pending());
    script.end(Err(eio(Operation::Write)));
    let Poll::Ready(Err(Error::Io { operation: Operation::Write, .. })) = poll(leader.as_mut()) else {
        panic!("the leader gets the error of its write");
    };
    assert!(poll(follower.as_mut()).is_pending(), "its own retry");
    assert_eq!(script.calls(), [Call::WriteSync(0, b"abc".to_vec()), Call::WriteSync(0, b"abc".to_vec())]);
    script.end(Err(eio(Operation::Write)));
    assert!(matches!(poll(follower.as_mut()), Poll::Ready(Err(Error::Io { operation: Operation::Write, .. }))));
    assert_eq!((log.written(), log.durable(), log.len()), (0, 0, 3));
    put(&log, b"de");
    script.answer_at_once();
    block_on(log.sync()).unwrap();
    assert_eq!(script.calls()[2], Call::WriteSync(0, b"abcde".to_vec()));
    assert_eq!(log.durable(), 5);
}

/// A full buffer is written while appends go on in the other one; only when that is full too does an append wait, and
/// after a failed write it is refused instead, having done nothing.
#[test]
fn two_buffers_then_waiting_then_refusal() {
    let (script, log) = log(4);
    put(&log, b"abc");
    put(&log, b"de");
    assert_eq!(script.calls(), [Call::Write(0, b"abc".to_vec())], "the full one is on its way");
    put(&log, b"fg");
    let mut waits = pin!(log.append(1, |offset, space| {
        space.put(b"h");
        offset
    }));
    assert!(poll(waits.as_mut()).is_pending());
    assert_eq!((log.len(), log.pending_bytes()), (7, 7));
    script.end(Ok(()));
    assert!(matches!(poll(waits.as_mut()), Poll::Ready(Ok(7))));
    assert_eq!(script.calls()[1..], [Call::Write(3, b"defg".to_vec())]);
    script.end(Err(eio(Operation::Write)));
    // Nobody has noticed the failure yet; whoever needs room does.
    put(&log, b"ij");
    let refused = block_on(log.append(2, |_, space| space.put(b"kl"))).unwrap_err();
    assert!(matches!(refused, Error::Io { operation: Operation::Write, .. }), "{refused:?}");
    assert_eq!(log.len(), 10);
    script.answer_at_once();
    block_on(log.sync()).unwrap();
    assert_eq!(script.calls()[2..], [Call::WriteSync(3, b"defghij".to_vec())]);
    assert_eq!(log.durable(), 10);
    put(&log, b"klmnop");
    assert_eq!(log.pending_bytes(), 6, "larger than a buffer, taken whole");
}

/// While a sync is under way appends go on in four buffers, with the one that it writes; one write takes the others then.
#[test]
fn appends_go_on_beside_a_sync() {
    let (script, log) = log(4);
    put(&log, b"abc");
    let mut sync = pin!(log.sync());
    assert!(poll(sync.as_mut()).is_pending());
    for bytes in [b"def", b"ghi", b"jkl", b"mno"] {
        put(&log, bytes);
    }
    let mut waits = pin!(log.append(2, |_, space| space.put(b"pq")));
    assert!(poll(waits.as_mut()).is_pending());
    assert_eq!((log.len(), log.pending_bytes()), (15, 15));
    assert!(log.look_with(4, 4, |_, bytes| bytes.is_none()).unwrap(), "it lies in two buffers");
    assert_eq!(&log.read_tail(2, 12).unwrap().1[..], b"cdefghijklmn");
    script.end(Ok(()));
    assert!(matches!(poll(waits.as_mut()), Poll::Ready(Ok(()))));
    assert!(matches!(poll(sync.as_mut()), Poll::Ready(Ok(()))));
    assert_eq!(script.calls(), [Call::WriteSync(0, b"abc".to_vec()), Call::Write(3, b"defghijklmno".to_vec())]);
    assert_eq!((log.durable(), log.written(), log.len()), (3, 3, 17));
}

/// A sync that is over, and that nobody has polled since, is noticed with the next buffer: what has come meanwhile is on
/// its way before all buffers are full.
#[test]
fn a_sync_that_is_over_is_noticed_by_the_next_buffer() {
    let (script, log) = log(4);
    put(&log, b"abc");
    let mut sync = Box::pin(log.sync());
    assert!(poll(sync.as_mut()).is_pending());
    drop(sync);
    put(&log, b"def");
    put(&log, b"ghi");
    script.end(Ok(()));
    put(&log, b"jkl");
    assert_eq!(script.calls(), [Call::WriteSync(0, b"abc".to_vec()), Call::Write(3, b"defghi".to_vec())]);
    assert_eq!((log.durable(), log.written(), log.len()), (3, 3, 12));
    script.end(Ok(()));
    // The same of a write; it would have to be waited for.
    put(&log, b"mno");
    assert_eq!(script.calls()[2..], [Call::Write(9, b"jkl".to_vec())]);
    assert_eq!((log.written(), log.len()), (9, 15));
}

/// As much waits beside a sync that fails: it is poison, as without.
#[test]
fn a_sync_that_fails_beside_appends() {
    let (script, log) = log(4);
    put(&log, b"abc");
    let mut sync = pin!(log.sync());
    assert!(poll(sync.as_mut()).is_pending());
    put(&log, b"defg");
    put(&log, b"hijk");
    script.end(Err(eio(Operation::Sync)));
    assert!(matches!(poll(sync.as_mut()), Poll::Ready(Err(Error::Poisoned { .. }))));
    let refused = block_on(log.append(1, |_, space| space.put(b"l"))).unwrap_err();
    assert!(matches!(refused, Error::Poisoned { .. }), "{refused:?}");
    assert_eq!((log.durable(), log.len()), (0, 11));
}

/// Every caller is dropped after the job has begun: the job is still the log's, and the next one to come finishes it
/// before it begins its own. Nothing is written twice.
#[test]
fn a_job_outlives_its_callers() {
    let (script, log) = log(100);
    put(&log, b"abc");
    {
        let mut sync = pin!(log.sync());
        assert!(poll(sync.as_mut()).is_pending());
    }
    put(&log, b"d");
    let mut next = pin!(log.sync());
    assert!(poll(next.as_mut()).is_pending());
    assert_eq!(script.calls().len(), 1, "waits for the one that has begun");
    script.end(Ok(()));
    assert!(poll(next.as_mut()).is_pending());
    assert_eq!(script.calls(), [Call::WriteSync(0, b"abc".to_vec()), Call::WriteSync(3, b"d".to_vec())]);
    script.end(Ok(()));
    assert!(matches!(poll(next.as_mut()), Poll::Ready(Ok(()))));
}

#[test]
fn an_append_that_is_dropped_while_it_waits_has_appended_nothing() {
    let (script, log) = log(2);
    put(&log, b"ab");
    put(&log, b"cd");
    {
        let mut waits = pin!(log.append(2, |_, space| space.put(b"xx")));
        assert!(poll(waits.as_mut()).is_pending());
    }
    script.answer_at_once();
    script.end(Ok(()));
    block_on(log.sync()).unwrap();
    assert_eq!(log.len(), 4);
    assert_eq!(script.calls(), [Call::Write(0, b"ab".to_vec()), Call::WriteSync(2, b"cd".to_vec())]);
}

/// Index entries may not reach the file before the values they point to are durable (I1): a sync with a limit writes
/// nothing behind it.
#[test]
fn a_limit_holds_back_what_lies_behind_it() {
    let (script, log) = log(100);
    script.answer_at_once();
    put(&log, b"abcdef");
    block_on(log.sync_through(4)).unwrap();
    assert_eq!((log.written(), log.durable(), log.len()), (4, 4, 6));
    assert_eq!(&block_on(log.read_at(2, 4)).unwrap()[..], b"cdef");
    block_on(log.sync_through(3)).unwrap();
    block_on(log.sync()).unwrap();
    assert_eq!(script.calls(), [Call::WriteSync(0, b"abcd".to_vec()), Call::WriteSync(4, b"ef".to_vec())]);
}

#[test]
fn a_long_run_is_synced_on_the_way() {
    let script = Script::default();
    script.answer_at_once();
    let log = Log::new(script.blob(), Plain, Start::default(), Config { unsynced_bytes: 5, ..config(2) });
    for byte in b"abcdefghij" {
        put(&log, &[*byte]);
    }
    let calls = script.calls();
    let syncs = calls.iter().filter(|call| matches!(call, Call::WriteSync(..))).count();
    assert_eq!((calls.len(), syncs), (4, 1), "{calls:?}");
    assert_eq!(log.durable(), 6);
}

/// A blob nobody has written to becomes durable by its first sync; and bytes that were found are synced once.
#[test]
fn the_first_sync_is_never_left_out() {
    let (script, empty) = log(100);
    script.answer_at_once();
    block_on(empty.sync()).unwrap();
    block_on(empty.sync()).unwrap();
    assert_eq!(script.calls(), [Call::Sync]);
    let script = Script::default();
    script.answer_at_once();
    let found = Log::new(script.blob(), Plain, Start { len: 9, durable: 4 }, config(100));
    assert_eq!(found.durable(), 4);
    block_on(found.sync()).unwrap();
    assert_eq!((found.durable(), script.calls()), (9, vec![Call::Sync]));
}

#[test]
fn waiting_for_durability_starts_nothing_and_sees_everything() {
    let (script, log) = log(100);
    put(&log, b"abc");
    let mut waits = pin!(log.wait_durable(3));
    assert!(poll(waits.as_mut()).is_pending());
    assert_eq!(script.calls(), []);
    let error = block_on(log.wait_durable(4)).unwrap_err();
    assert!(matches!(error, Error::OutOfBounds { offset: 4, blob_len: 3, .. }), "{error:?}");
    {
        // The one who started the sync is dropped; the one who waits drives it.
        let mut sync = pin!(log.sync());
        assert!(poll(sync.as_mut()).is_pending());
    }
    assert!(poll(waits.as_mut()).is_pending());
    script.end(Ok(()));
    assert!(matches!(poll(waits.as_mut()), Poll::Ready(Ok(()))));
    block_on(log.wait_durable(1)).unwrap();
    for _ in 0..100 {
        put(&log, b"x");
        assert!(log.wait_durable(log.len()).now_or_never().is_none());
    }
    assert_eq!(lock(&log.0.state).waiting.len(), 0, "who gave up is not kept");
}

/// The log is dropped while its write is under way: the write ends by itself and tells nobody.
#[test]
fn a_dropped_log_leaves_no_cycle() {
    let (script, log) = log(100);
    put(&log, b"abc");
    let mut sync = Box::pin({
        let log = log.clone();
        async move { log.sync().await }
    });
    assert!(poll(sync.as_mut()).is_pending());
    let weak = Arc::downgrade(&log.0);
    drop((sync, log));
    assert!(weak.upgrade().is_none());
    script.end(Ok(()));
}

/// The sums of threads that append and sync at once come out right, and every byte is where its offset says.
#[test]
fn threads_share_one_log() {
    let (script, log) = log(64);
    script.answer_at_once();
    let threads: Vec<_> = (0..4_u8)
        .map(|thread| {
            let log = log.clone();
            std::thread::spawn(move || {
                block_on(async {
                    for _ in 0..200 {
                        let offset = log
                            .append(8, |offset, space| {
                                space.put(&[thread; 8]);
                                offset
                            })
                            .await
                            .unwrap();
                        log.sync().await.unwrap();
                        assert!(log.durable() >= offset + 8);
                        assert_eq!(&log.read_at(offset, 8).await.unwrap()[..], &[thread; 8]);
                    }
                });
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!((log.len(), log.durable()), (6400, 6400));
    block_on(join_all((0..4).map(|_| log.settle())));
}

/// Every write fails, and every failed sync has frozen what was being filled: appends are refused before memory grows
/// without bound.
#[test]
fn memory_is_bounded_while_writes_fail() {
    let (script, log) = log(10);
    script.answer_at_once();
    let mut refused = 0;
    for _ in 0..50 {
        match block_on(log.append(8, |_, space| space.put(&[7; 8]))) {
            Ok(()) => {}
            Err(Error::Io { operation: Operation::Write, .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
        script.fail_next(eio(Operation::Write));
        assert!(matches!(block_on(log.sync()), Err(Error::Io { operation: Operation::Write, .. })));
        assert!(log.pending_bytes() <= 20, "{}", log.pending_bytes());
    }
    assert!(refused > 40, "{refused}");
    block_on(log.sync()).unwrap();
    assert_eq!((log.durable(), log.pending_bytes()), (log.len(), 0));
}

/// An append that waits for a hold is polled once and then left alone: whoever holds next does not stand behind it.
#[test]
fn an_append_that_is_not_polled_keeps_nobody_out() {
    let (_script, log) = log(100);
    let hold = log.hold().now_or_never().unwrap();
    let mut waits = pin!(log.append(1, |offset, space| {
        space.put(b"x");
        offset
    }));
    assert!(poll(waits.as_mut()).is_pending());
    drop(hold);
    let again = log.hold().now_or_never().expect("nobody holds it");
    assert!(poll(waits.as_mut()).is_pending(), "held again");
    drop(again);
    assert!(matches!(poll(waits.as_mut()), Poll::Ready(Ok(0))));
}
