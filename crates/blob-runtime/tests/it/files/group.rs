//! Many writers, each of which makes its own append durable, and how many syncs they take.

use blob_runtime::FileStorage;
use blob_runtime::append::{Config, Log, Plain, Start};
use futures::executor::block_on;
use futures::future::join_all;

use super::support::*;

const WRITERS: usize = 16;
const ROUNDS: usize = 10;

/// Futures on one thread. Where the disk's calls block that thread nobody could come while a sync runs, and each writer
/// made one of its own.
#[test]
fn writers_on_one_thread_share_their_syncs() {
    for io in BOTH {
        let (_dir, root, watch) = watched();
        let storage = FileStorage::builder(&root).io(io).hook(watch.hook()).open().unwrap();
        let log = Log::new(open(&storage, "a"), Plain, Start::default(), Config::default());
        block_on(log.sync()).unwrap();
        watch.take();
        let writers = (0..WRITERS).map(|_| async {
            for _ in 0..ROUNDS {
                let end = log.append(3, |offset, space| {
                    space.put(b"abc");
                    offset + 3
                });
                let end = end.await.unwrap();
                log.sync().await.unwrap();
                assert!(log.durable() >= end);
            }
        });
        block_on(join_all(writers));
        let syncs = watch.count("fdatasync");
        assert!(syncs <= ROUNDS + 2, "{io:?}: {syncs} syncs for {WRITERS} writers, {ROUNDS} times");
    }
}
