//! The group commit in many orders of real threads, each blocked until it is woken: what no list of polls covers.

mod disk;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as Uninstrumented};

use futures::FutureExt;
use futures::future::BoxFuture;
use shuttle::future::block_on;
use shuttle::thread;

use self::disk::Disk;
use super::super::{Config, Layout, Linear, Log, Pending, Plain, Plan, Spares, Start};
use crate::error::{Error, Operation};
use crate::storage::Blob;
use crate::sync::tests::{any_below, in_many_orders, polled};

/// What the log should hold, told under the log's lock: so its order is the log's, and asking costs no step.
type Model = Arc<Uninstrumented<Vec<u8>>>;

/// The bytes as they are; cuts the model when the log is cut.
#[derive(Debug)]
struct Witness(Model);

impl Layout for Witness {
    fn plan(&mut self, pending: Pending) -> Plan {
        Plan { offset: pending.start, through: pending.end(), data: pending.parts }
    }

    fn cut(&mut self, len: u64) {
        self.0.lock().unwrap().truncate(usize::try_from(len).unwrap());
    }
}

impl Linear for Witness {}

#[derive(Clone)]
struct Scene {
    disk: Arc<Disk>,
    log: Log<Witness>,
    model: Model,
}

impl Scene {
    /// A disk with threads or without, buffers for all or for one append: the order says which.
    fn new() -> Self {
        let disk = Disk::new(any_below(2) == 0);
        let buffer_bytes = if any_below(2) == 0 { 100 } else { 2 };
        let config = Config { buffer_bytes, unsynced_bytes: u64::MAX, spares: Spares::new(64) };
        let model = Model::default();
        let blob: Arc<dyn Blob> = disk.clone();
        Self { log: Log::new(blob, Witness(Arc::clone(&model)), Start::default(), config), disk, model }
    }

    /// Appends two bytes; answers the offset behind them.
    async fn append(&self, byte: u8) -> Result<u64, Error> {
        self.log
            .append(2, |offset, space| {
                space.put(&[byte; 2]);
                let mut model = self.model.lock().unwrap();
                assert_eq!(offset, model.len() as u64, "an append in the wrong place");
                model.extend([byte; 2]);
                offset + 2
            })
            .await
    }

    /// Syncs. Ok must cover all that was appended before the call (P1).
    async fn sync(&self) -> Result<(), Error> {
        let refuses = self.log.poison_cause().is_some();
        let (cuts, target) = (self.log.cuts(), self.log.len());
        self.log.sync().await?;
        assert!(!refuses, "Ok from a log that takes no change (I8)");
        self.assert_durable(cuts, target);
        Ok(())
    }

    /// What lies before `target` would survive; unless it was cut off after `cuts` were counted.
    fn assert_durable(&self, cuts: u64, target: u64) {
        let durable = self.disk.durable();
        let model = self.model.lock().unwrap().clone();
        if cuts.is_multiple_of(2) && self.log.cuts() == cuts {
            let target = usize::try_from(target).unwrap();
            assert!(durable.len() >= target, "{} bytes are durable, {target} acknowledged", durable.len());
            assert_eq!(durable[..target], model[..target], "something else is durable");
        }
    }

    /// Starts a thread that acts in this scene.
    fn act(&self, part: impl FnOnce(&Self) + Send + 'static) -> thread::JoinHandle<()> {
        let scene = self.clone();
        thread::spawn(move || part(&scene))
    }

    /// Everybody has ended: a last sync, and the disk holds just what was appended.
    fn end(&self) {
        block_on(self.log.settle());
        block_on(self.sync()).unwrap();
        assert_eq!(self.disk.durable(), *self.model.lock().unwrap());
        assert_eq!(self.log.durable(), self.log.len());
        self.disk.rest();
    }
}

fn join(threads: impl IntoIterator<Item = thread::JoinHandle<()>>) {
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

fn assert_poisoned_by_a_sync(error: &Error) {
    let Error::Poisoned { source, .. } = error else { panic!("{error:?}") };
    assert!(matches!(&**source, Error::Io { operation: Operation::Sync, .. }), "{source:?}");
}

/// Three threads append and sync; each Ok covers what was appended before it, and nobody's sync is done for him twice.
#[test]
fn an_answered_sync_covers_what_was_appended_before() {
    in_many_orders(|| {
        let scene = Scene::new();
        let part = |byte: u8| {
            move |scene: &Scene| {
                for turn in 0..2 {
                    let end = block_on(scene.append(byte + turn)).unwrap();
                    block_on(scene.sync()).unwrap();
                    assert!(scene.log.durable() >= end);
                }
            }
        };
        join([scene.act(part(1)), scene.act(part(11)), scene.act(part(21))]);
        assert!(scene.disk.syncs() <= 6, "{} syncs for 6 calls", scene.disk.syncs());
        scene.end();
    });
}

/// One waits for his bytes to become durable and starts no sync; another's sync covers them. Whoever led it may be
/// dropped on the way: then the one who waits must be woken all the same, and drive it to its end.
#[test]
fn who_waits_for_durability_is_woken() {
    in_many_orders(|| {
        let scene = Scene::new();
        let end = block_on(scene.append(1)).unwrap();
        let waits = scene.act(move |scene| {
            let cuts = scene.log.cuts();
            block_on(scene.log.wait_durable(end)).unwrap();
            scene.assert_durable(cuts, end);
        });
        let dropped = scene.act(|scene| drop(block_on(polled(scene.sync(), any_below(3)))));
        let syncs = scene.act(|scene| {
            block_on(scene.append(2)).unwrap();
            block_on(scene.sync()).unwrap();
        });
        join([waits, dropped, syncs]);
        scene.end();
    });
}

/// Appends and syncs are dropped after some polls while others wait: those end, nothing acknowledged is missing, and
/// what was dropped before it appended is nowhere (P7).
#[test]
fn what_is_dropped_holds_nobody_up() {
    in_many_orders(|| {
        let scene = Scene::new();
        let dropped = scene.act(|scene| {
            for byte in [1, 2] {
                let before = scene.model.lock().unwrap().iter().filter(|found| **found == byte).count();
                let ended = block_on(polled(scene.append(byte), any_below(3))).is_some();
                let after = scene.model.lock().unwrap().iter().filter(|found| **found == byte).count();
                assert_eq!(after - before, if ended { 2 } else { 0 });
                drop(block_on(polled(scene.sync(), any_below(4))));
            }
        });
        let part = |byte: u8| {
            move |scene: &Scene| {
                block_on(scene.append(byte)).unwrap();
                block_on(scene.append(byte + 1)).unwrap();
                block_on(scene.sync()).unwrap();
            }
        };
        join([dropped, scene.act(part(11)), scene.act(part(21))]);
        scene.end();
    });
}

/// A sync fails, and the next one would say Ok: whoever waited for it is told, and from then on nobody gets Ok (I8).
#[test]
fn a_failed_sync_reaches_everybody_and_poisons() {
    in_many_orders(|| {
        let scene = Scene::new();
        scene.disk.fail_sync_after(any_below(3));
        let end = block_on(scene.append(99)).unwrap();
        let told = Arc::new(AtomicBool::new(false));
        let part = |byte: u8| {
            let told = Arc::clone(&told);
            move |scene: &Scene| {
                for turn in 0..2 {
                    let too_late = told.load(Ordering::SeqCst);
                    let result = block_on(async {
                        scene.append(byte + turn).await?;
                        scene.sync().await
                    });
                    let Err(error) = result else {
                        assert!(!too_late, "Ok behind a failure that others were told");
                        continue;
                    };
                    assert_poisoned_by_a_sync(&error);
                    told.store(true, Ordering::SeqCst);
                    assert_poisoned_by_a_sync(&block_on(scene.append(0)).unwrap_err());
                    assert_poisoned_by_a_sync(&block_on(scene.sync()).unwrap_err());
                }
            }
        };
        let dropped = scene.act(|scene| drop(block_on(polled(scene.sync(), any_below(3)))));
        let waits = scene.act(move |scene| match block_on(scene.log.wait_durable(end)) {
            Ok(()) => scene.assert_durable(0, end),
            Err(error) => assert_poisoned_by_a_sync(&error),
        });
        join([dropped, waits, scene.act(part(1)), scene.act(part(11))]);
        block_on(scene.log.settle());
        assert_eq!(scene.disk.changes_after_failure(), 0, "a change of a blob whose sync has failed");
        scene.disk.rest();
    });
}

/// A write fails and leaves a half. Whoever led it is told, whoever waited tries by itself, and nothing is lost.
#[test]
fn a_failed_write_is_tried_again() {
    in_many_orders(|| {
        let scene = Scene::new();
        scene.disk.fail_write_after(any_below(3));
        let errors = Arc::new(AtomicUsize::new(0));
        let part = |byte: u8| {
            let errors = Arc::clone(&errors);
            move |scene: &Scene| {
                for turn in 0..2 {
                    // Told at once when both buffers wait for a write that has failed; the sync tries again.
                    let _ = block_on(scene.append(byte + turn));
                    while let Err(error) = block_on(scene.sync()) {
                        assert!(matches!(error, Error::Io { operation: Operation::Write, .. }), "{error:?}");
                        errors.fetch_add(1, Ordering::SeqCst);
                    }
                }
            }
        };
        join([scene.act(part(1)), scene.act(part(11)), scene.act(part(21))]);
        assert!(errors.load(Ordering::SeqCst) <= 1, "one write has failed, and one led it");
        scene.end();
    });
}

fn steps(disk: Arc<dyn Blob>, len: u64) -> BoxFuture<'static, Result<(), Error>> {
    async move {
        disk.resize(len).await?;
        disk.sync().await
    }
    .boxed()
}

/// A cut beside appends and syncs, and dropped after some polls: what is appended behind it lies at the new end, and
/// nothing of what was cut off comes back (I4).
#[test]
fn a_cut_beside_appends_and_syncs() {
    in_many_orders(|| {
        let scene = Scene::new();
        let kept = block_on(scene.append(1)).unwrap();
        let cuts = scene.act(move |scene| match any_below(2) {
            0 => {
                block_on(scene.log.cut(kept, |disk| steps(disk, kept))).unwrap();
                assert_eq!(scene.log.cuts(), 2);
            }
            _ => drop(block_on(polled(scene.log.cut(kept, |disk| steps(disk, kept)), any_below(4)))),
        });
        let alone = scene.act(|scene| {
            // Not run while something is only in memory.
            let _ = block_on(scene.log.alone(|disk, len, _| steps(disk, len))).unwrap();
        });
        let part = |byte: u8| {
            move |scene: &Scene| {
                for turn in 0..2 {
                    block_on(scene.append(byte + turn)).unwrap();
                    block_on(scene.sync()).unwrap();
                }
            }
        };
        join([cuts, alone, scene.act(part(11)), scene.act(part(21))]);
        scene.end();
    });
}

/// Two keep appends out, one is dropped in line: whoever waits gets in, and nobody while one holds.
#[test]
fn a_hold_keeps_appends_out_and_lets_them_in() {
    in_many_orders(|| {
        let scene = Scene::new();
        let holds = |scene: &Scene| {
            let hold = block_on(scene.log.hold());
            let len = scene.log.len();
            thread::yield_now();
            assert_eq!(scene.log.len(), len, "an append under a hold");
            drop(hold);
        };
        let dropped = |scene: &Scene| drop(block_on(polled(scene.log.hold(), any_below(3))));
        let appends = |scene: &Scene| {
            block_on(scene.append(1)).unwrap();
            drop(block_on(polled(scene.append(2), any_below(3))));
            block_on(scene.append(3)).unwrap();
        };
        join([scene.act(holds), scene.act(dropped), scene.act(holds), scene.act(appends)]);
        scene.end();
    });
}

/// A log is taken out of use beside appends and syncs, one of them dropped. What has begun is over when that returns, so
/// another log can go on with the blob; everybody ends, and what was acknowledged is there.
#[test]
fn who_retires_has_the_blob_for_himself() {
    in_many_orders(|| {
        let scene = Scene::new();
        let end = block_on(scene.append(9)).unwrap();
        let closed = |error: &Error| assert!(matches!(error, Error::Closed), "{error:?}");
        let part = move |scene: &Scene| {
            for byte in [1, 2] {
                let result = block_on(async {
                    scene.append(byte).await?;
                    scene.sync().await
                });
                let _ = result.map_err(|error| closed(&error));
            }
        };
        let waits = scene.act(move |scene| {
            let _ = block_on(scene.log.wait_durable(end)).map_err(|error| closed(&error));
        });
        let dropped = scene.act(|scene| drop(block_on(polled(scene.sync(), any_below(3)))));
        let retires = scene.act(move |scene| {
            block_on(scene.log.retire());
            assert!(!scene.disk.is_running(), "something is under way");
            closed(&block_on(scene.append(0)).unwrap_err());
            closed(&block_on(scene.sync()).unwrap_err());
            let len = scene.disk.len();
            let blob: Arc<dyn Blob> = scene.disk.clone();
            let next = Log::new(blob, Plain, Start { len, durable: 0 }, Config::default());
            block_on(next.append(1, |_, space| space.put(b"x"))).unwrap();
            block_on(next.sync()).unwrap();
            let model = scene.model.lock().unwrap().clone();
            let written = usize::try_from(len).unwrap();
            assert_eq!(scene.disk.durable(), [&model[..written], b"x"].concat());
        });
        join([waits, dropped, retires, scene.act(part), scene.act(part)]);
        scene.disk.rest();
    });
}
