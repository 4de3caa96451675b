//! The shared sync of a directory in many orders of threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use shuttle::thread;

use super::super::Dir;
use super::{failure, target};
use crate::error::Error;
use crate::sync::tests::{any_below, in_many_orders};

/// What the disk knows of a directory.
#[derive(Default)]
struct Disk {
    made: AtomicUsize,
    durable: AtomicUsize,
    syncs: AtomicUsize,
}

/// Each changes the directory and makes that durable: Ok only when a sync that began later has ended well. One sync may
/// fail: then there is no other one (I8), and everybody who waits is told.
#[test]
fn a_shared_sync_covers_every_change_before_it() {
    in_many_orders(|| {
        let (dir, disk) = (Arc::new(Dir::new()), Arc::new(Disk::default()));
        let fails = any_below(6);
        let part = || {
            let (dir, disk) = (Arc::clone(&dir), Arc::clone(&disk));
            move || {
                for _ in 0..2 {
                    let mine = disk.made.fetch_add(1, Ordering::SeqCst) + 1;
                    let generation = dir.changed();
                    let result = dir.ensure(generation, target, || {
                        let covers = disk.made.load(Ordering::SeqCst);
                        thread::yield_now();
                        if disk.syncs.fetch_add(1, Ordering::SeqCst) == fails {
                            return Err(failure());
                        }
                        disk.durable.fetch_max(covers, Ordering::SeqCst);
                        Ok(())
                    });
                    match result {
                        Ok(()) => assert!(disk.durable.load(Ordering::SeqCst) >= mine, "a sync that began too early"),
                        Err(error) => {
                            assert!(matches!(error, Error::Poisoned { .. } | Error::Io { .. }), "{error:?}");
                            assert!(dir.has_failed());
                        }
                    }
                }
            }
        };
        let threads = [thread::spawn(part()), thread::spawn(part()), thread::spawn(part())];
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let syncs = disk.syncs.load(Ordering::SeqCst);
        assert!(syncs <= 6.min(fails + 1), "{syncs} syncs, number {fails} failed");
    });
}
