//! Futures that are dropped, after any number of polls.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use blob_runtime::{Blob, Error, FileStorage, HeaderState, Io, Storage};
use bytes::Bytes;
use futures::executor::block_on;
use futures::task::noop_waker_ref;

use super::support::*;

type Change<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>;

/// A future that a caller loses interest in: never polled, or polled this often, with the job let run in between or
/// not.
#[derive(Debug, Clone, Copy)]
struct Polls {
    count: usize,
    wait_between: bool,
}

impl Polls {
    fn all() -> impl Iterator<Item = Self> {
        (0..4).flat_map(|count| [false, true].map(|wait_between| Self { count, wait_between }))
    }

    /// Answers whether it came to its end.
    fn spend<T>(self, future: impl Future<Output = T>) -> bool {
        let mut future = std::pin::pin!(future);
        let (waker, woken) = flag_waker();
        for at in 0..self.count {
            if at > 0 && self.wait_between {
                woken.wait();
            }
            if future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                return true;
            }
        }
        false
    }
}

/// A waker that a thread can wait for.
struct Woken(std::sync::Mutex<bool>, std::sync::Condvar);

impl Woken {
    fn wait(&self) {
        let mut woken = self.0.lock().unwrap();
        while !*woken {
            woken = self.1.wait(woken).unwrap();
        }
        *woken = false;
    }
}

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }
}

fn flag_waker() -> (Waker, Arc<Woken>) {
    let woken = Arc::new(Woken(std::sync::Mutex::new(false), std::sync::Condvar::new()));
    (Waker::from(Arc::clone(&woken)), woken)
}

/// What may be dropped, and the content of a blob of `old` bytes when it has begun.
type Case = (&'static str, fn(&Arc<dyn Blob>) -> Change<'_>, &'static str);

const CASES: [Case; 6] = [
    ("write_at", |blob| blob.write_at(2, bytes("NEW")), "olNEW"),
    ("resize down", |blob| blob.resize(1), "o"),
    ("resize up", |blob| blob.resize(5), "old\0\0"),
    ("sync", |blob| blob.sync(), "old"),
    ("write_at_sync", |blob| blob.write_at_sync(0, bytes("N")), "Nld"),
    ("write_header", |blob| blob.write_header(), "old"),
];

/// A dropped write lands after the retry, over newer bytes: the classic. Here a dropped change has either not begun, or
/// is done before the next one of its blob begins; and the next one finds exactly that.
#[test]
fn a_dropped_change_has_not_begun_or_is_done_before_the_next() {
    for io in BOTH {
        for (name, change, after) in CASES {
            for polls in Polls::all() {
                for reopen in [false, true] {
                    let dir = tempfile::tempdir().unwrap();
                    let storage = FileStorage::builder(dir.path()).io(io).open().unwrap();
                    let blob = open(&storage, "a");
                    block_on(blob.write_at(0, bytes("old"))).unwrap();
                    let ended = polls.spend(change(&blob));
                    let blob = if reopen { open(&storage, "a") } else { blob };
                    // Whatever had begun is behind this one.
                    block_on(blob.write_at(6, bytes("x"))).unwrap();
                    let begun = polls.count > 0;
                    assert!(begun || !ended);
                    let mut wanted = if begun { after } else { "old" }.as_bytes().to_vec();
                    wanted.resize(6, 0);
                    wanted.push(b'x');
                    assert_eq!(read_all(blob.as_ref()), wanted, "{name}, {io:?}, {polls:?}");
                }
            }
        }
    }
}

/// The same while another change runs: the dropped one waits in the queue, and gives its place up.
#[test]
fn a_change_that_is_dropped_in_the_queue_has_done_nothing() {
    for (name, change, _) in CASES {
        let (_dir, root, watch) = watched();
        let storage = FileStorage::builder(&root).io(Io::Pool).hook(watch.hook()).open().unwrap();
        let blob = open(&storage, "a");
        block_on(blob.write_at(0, bytes("old"))).unwrap();
        let gate = watch.block_next("write p/61");
        let mut context = Context::from_waker(noop_waker_ref());
        let mut first = blob.write_at(0, bytes("OLD"));
        assert!(first.as_mut().poll(&mut context).is_pending());
        gate.wait_reached();
        let mut dropped = change(&blob);
        let mut last = blob.write_at(3, bytes("!"));
        for _ in 0..3 {
            assert!(dropped.as_mut().poll(&mut context).is_pending());
            assert!(last.as_mut().poll(&mut context).is_pending());
        }
        drop((dropped, first));
        gate.open();
        block_on(last).unwrap();
        assert_eq!(read_all(blob.as_ref()), "OLD!", "{name}");
    }
}

/// Changes take effect in the order of their first polls, through whichever handle, also when all but the last are
/// dropped right after it.
#[test]
fn the_order_is_that_of_the_first_polls() {
    for io in BOTH {
        let dir = tempfile::tempdir().unwrap();
        let storage = FileStorage::builder(dir.path()).io(io).open().unwrap();
        let handles = [open(&storage, "a"), open(&storage, "a")];
        let mut context = Context::from_waker(noop_waker_ref());
        let mut writes: Vec<_> = (0..20_u8)
            .map(|number| handles[usize::from(number % 2)].write_at(0, vec![Bytes::from(vec![number; 100])]))
            .collect();
        // Polled in another order than they were made in.
        writes.reverse();
        let mut ready = 0;
        for write in &mut writes {
            ready += usize::from(write.as_mut().poll(&mut context).is_ready());
        }
        match io {
            Io::Inline => assert_eq!(ready, 20),
            _ => {
                block_on(futures::future::join_all(writes.into_iter().skip(ready))).into_iter().for_each(Result::unwrap)
            }
        }
        assert_eq!(read_all(handles[0].as_ref()), vec![0; 100]);
    }
}

/// `open` is dropped: the blob is there and empty, or it is not; the next open works, and finds no second file.
#[test]
fn a_dropped_open() {
    for io in BOTH {
        for polls in Polls::all() {
            let dir = tempfile::tempdir().unwrap();
            let storage = FileStorage::builder(dir.path()).io(io).open().unwrap();
            let format = format();
            polls.spend(storage.open("p", b"a", &format));
            let blob = open(&storage, "a");
            assert_eq!((blob.header_state(), blob.len()), (HeaderState::New, 0), "{io:?}, {polls:?}");
            block_on(blob.write_at_sync(0, bytes("abc"))).unwrap();
            assert_eq!(files_in(&dir.path().join("p")).len(), 1);
            polls.spend(storage.open("p", b"a", &format));
            assert_eq!(read_all(open(&storage, "a").as_ref()), "abc");
        }
    }
}

/// `remove` and `remove_partition` are dropped: the blob is as it was, or gone for good; a new one of its name is not
/// removed by what comes late.
#[test]
fn a_dropped_removal() {
    for io in BOTH {
        for polls in Polls::all() {
            for whole in [false, true] {
                let dir = tempfile::tempdir().unwrap();
                let storage = FileStorage::builder(dir.path()).io(io).open().unwrap();
                let names = ["a", "b"].map(|name| name.as_bytes().to_vec());
                let old = ["a", "b"].map(|name| open(&storage, name));
                block_on(old[0].write_at_sync(0, bytes("old"))).unwrap();
                block_on(storage.scan("p")).unwrap();
                let ended = match whole {
                    false => polls.spend(storage.remove("p", &names)),
                    true => polls.spend(storage.remove_partition("p")),
                };
                let new = open(&storage, "a");
                let is_removed = matches!(block_on(old[0].read_at(0, 0)), Err(Error::Removed { .. }));
                assert!(is_removed || !ended);
                assert!(is_removed == (polls.count > 0), "{io:?}, {polls:?}, {whole}");
                assert_eq!(new.len(), if is_removed { 0 } else { 3 });
                block_on(new.write_at_sync(0, bytes("new"))).unwrap();
                // A removal of the partition is at its end, too.
                drop(block_on(storage.claim("p")).unwrap());
                assert_eq!(read_all(new.as_ref()), "new");
                assert_eq!(scan(&storage), if is_removed { vec!["a"] } else { vec!["a", "b"] });
            }
        }
    }
}

/// `sync_many`, reads, a scan and a claim are dropped: nothing is left taken, and what follows works.
#[test]
fn everything_else_that_may_be_dropped() {
    for io in BOTH {
        for polls in Polls::all() {
            let dir = tempfile::tempdir().unwrap();
            let storage = FileStorage::builder(dir.path()).io(io).open().unwrap();
            let blobs: Vec<_> = (0..40_u8).map(|n| open(&storage, &format!("{n}"))).collect();
            for blob in &blobs {
                block_on(blob.write_at(0, bytes("abc"))).unwrap();
            }
            polls.spend(storage.sync_many(&blobs));
            polls.spend(blobs[0].read_at(0, 3));
            polls.spend(storage.scan("p"));
            let ended = polls.spend(storage.claim("p"));
            assert!(!ended || polls.count > 0);
            let claim = block_on(storage.claim("p")).unwrap();
            for (blob, result) in blobs.iter().zip(block_on(storage.sync_many(&blobs))) {
                result.unwrap();
                block_on(blob.write_at_sync(3, bytes("def"))).unwrap();
                assert_eq!(read_all(blob.as_ref()), "abcdef");
            }
            drop(claim);
        }
    }
}

/// Dropped while nobody else waits, a job on the pool still ends: the storage can be opened again, and has the write.
#[test]
fn a_dropped_write_of_a_dropped_storage_lands_before_the_next_open() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..50_u8 {
        let storage = open_when_unlocked(dir.path());
        let blob = open(&storage, "a");
        let mut write = blob.write_at(0, vec![vec![round].into()]);
        match write.as_mut().poll(&mut Context::from_waker(noop_waker_ref())) {
            Poll::Ready(result) => result.unwrap(),
            Poll::Pending => {}
        }
        drop(write);
        drop((storage, blob));
        let storage = open_when_unlocked(dir.path());
        assert_eq!(read_all(open(&storage, "a").as_ref()), vec![round]);
    }
}
