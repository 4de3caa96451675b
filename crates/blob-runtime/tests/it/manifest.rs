//! The manifest on the simulated disk: every crash point of every change, kills before power cuts, a rotted slot, failed
//! syncs.
//!
//! The states of a run are numbered; a change to state `n` says so in the user's bytes. The oracle knows which change was
//! begun and which was acknowledged (returned, or shown by an open that settled): whatever happens, the next open shows
//! a state from the last acknowledged one to the last one begun.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use blob_runtime::manifest::{self, Condition, Finding, Intent, Manifest, NAME, State, Target};
use blob_runtime::sim::{self, Crash, Cut, Fault, Sim};
use blob_runtime::{Error, Operation, Storage, StoreId};

const STORE: StoreId = StoreId(7);
const CHANGES: u64 = 4;

/// Every field moves with the number, so that a mixture of two states is none of them.
fn state(number: u64) -> State {
    let target = Target { section: number, items: number * 10, values_offset: number * 100 };
    State {
        pruned_to: number,
        condition: if number.is_multiple_of(2) { Condition::Clean } else { Condition::Dirty },
        intent: match number % 4 {
            0 => None,
            1 => Some(Intent::Rewind(target)),
            2 => Some(Intent::RewindSection(target)),
            _ => Some(Intent::Destroy),
        },
        user: number.to_string().repeat(300).into_bytes().into(),
    }
}

#[derive(Debug, Default)]
struct Oracle {
    begun: AtomicU64,
    acknowledged: AtomicU64,
}

impl Oracle {
    fn begin(&self, number: u64) {
        self.begun.store(number, Ordering::SeqCst);
    }

    fn acknowledge(&self, number: u64) {
        assert!(number >= self.acknowledged.load(Ordering::SeqCst));
        self.acknowledged.store(number, Ordering::SeqCst);
    }

    /// What an open may show.
    fn check(&self, shown: &State, case: &str) -> u64 {
        let number = shown.pruned_to;
        assert_eq!(shown, &state(number), "{case}: a state that never was");
        let (low, high) = (self.acknowledged.load(Ordering::SeqCst), self.begun.load(Ordering::SeqCst));
        assert!((low..=high).contains(&number), "{case}: state {number} of {low}..={high}");
        number
    }
}

fn storage(sim: &Sim) -> Arc<dyn Storage> {
    sim.storage()
}

async fn changes(storage: Arc<dyn Storage>, oracle: Arc<Oracle>) -> Result<(), Error> {
    oracle.begin(1);
    let manifest = Manifest::create(&storage, "p", STORE, state(1)).await?;
    oracle.acknowledge(1);
    for number in 2..=CHANGES {
        oracle.begin(number);
        manifest.update(|current| *current = state(number)).await?;
        oracle.acknowledge(number);
    }
    Ok(())
}

/// Opens and settles; what is shown then is acknowledged. `None` when there is nothing yet.
async fn open(storage: Arc<dyn Storage>, oracle: Arc<Oracle>, case: String) -> Result<Option<Manifest>, Error> {
    match manifest::find(&storage, "p").await? {
        Finding::Found(found) => {
            oracle.check(found.state(), &case);
            let settled = found.settle().await?;
            oracle.acknowledge(settled.state().pruned_to);
            Ok(Some(settled))
        }
        finding => {
            assert_eq!(oracle.acknowledged.load(Ordering::SeqCst), 0, "{case}: {finding:?}");
            Ok(None)
        }
    }
}

/// After everything: what is shown stays, also with either slot rotted.
async fn check_rest(sim: &Sim, oracle: &Arc<Oracle>, case: &str) {
    let Some(settled) = open(storage(sim), Arc::clone(oracle), case.to_owned()).await.unwrap() else { return };
    let number = settled.state().pruned_to;
    for slot in [0, 1] {
        let byte = 4096 + slot * 4096 + 100;
        assert!(sim.faults().rot("p", NAME, byte, 3));
        let again = open(storage(sim), Arc::clone(oracle), format!("{case}, slot {slot} rotted")).await.unwrap();
        assert_eq!(again.expect("it was there").state().pruned_to, number, "{case}");
    }
}

/// The lives of one run: each is struck at its own step.
fn chain(seed: u64, strikes: &[(u64, Crash)]) -> bool {
    sim::run(seed, async |sim| {
        let oracle = Arc::new(Oracle::default());
        let case = format!("seed {seed}, strikes {strikes:?}");
        for (life, (step, crash)) in strikes.iter().enumerate() {
            sim.crash_at(*step, *crash);
            let ended = match life {
                0 => sim.life(changes(storage(&sim), Arc::clone(&oracle))).await.map(|ended| ended.unwrap()),
                _ => {
                    let opened = sim.life(open(storage(&sim), Arc::clone(&oracle), case.clone())).await;
                    opened.map(|opened| drop(opened.unwrap()))
                }
            };
            if ended.is_some() && sim.disarm() {
                // This life has fewer steps: there is nothing left to strike here or later.
                sim.crash(Crash::Power(Cut::Random));
                check_rest(&sim, &oracle, &case).await;
                return false;
            }
        }
        sim.crash(Crash::Power(Cut::Random));
        check_rest(&sim, &oracle, &case).await;
        true
    })
}

#[test]
fn a_power_cut_before_every_step_of_every_change() {
    for cut in [Cut::Random, Cut::LoseAll, Cut::KeepAll] {
        for seed in 0..10 {
            let steps = (1..).take_while(|step| chain(seed, &[(*step, Crash::Power(cut))])).count();
            assert!(steps > 30, "{steps}");
        }
    }
}

/// The process is killed: what it wrote shows and is on no disk. The next open believes only what it has made durable
/// itself, and crashes on the way too, before every step (defects 32, 46 and 47).
#[test]
fn a_kill_before_every_step_then_a_crash_before_every_step_of_the_open() {
    for seed in 0..40 {
        for first in 1.. {
            let mut struck = false;
            for second in 1.. {
                let reached = chain(seed, &[(first, Crash::Kill), (second, Crash::Power(Cut::Random))]);
                struck |= reached;
                if !reached {
                    break;
                }
            }
            chain(seed, &[(first, Crash::Kill), (u64::from(u32::MAX), Crash::Kill)]);
            if !struck {
                break;
            }
        }
    }
}

#[test]
fn three_crashes_in_a_row() {
    let mut rng = fastrand::Rng::with_seed(5);
    let mut struck = 0;
    for seed in 0..1500 {
        let mut crash = || if rng.bool() { Crash::Kill } else { Crash::Power(Cut::Random) };
        let crashes = [crash(), crash(), crash()];
        let steps = [rng.u64(1..80), rng.u64(1..25), rng.u64(1..25)];
        struck += usize::from(chain(seed, &[(steps[0], crashes[0]), (steps[1], crashes[1]), (steps[2], crashes[2])]));
    }
    assert!(struck > 200, "{struck}");
}

/// A sync fails, in each place, and leaves in the cache what is not on the disk. The change is reported as failed and no
/// other is taken; whatever the next open settles on stays, after a power cut too (defects 13, 33 and 47).
#[test]
fn a_failed_sync_in_each_place() {
    for operation in [Operation::Sync, Operation::SyncDirectory] {
        for survivors in [Cut::LoseAll, Cut::KeepAll, Cut::Random] {
            for seed in 0..6 {
                for nth in 1..=2 * CHANGES {
                    let case = format!("{operation:?} {nth}, {survivors:?}, seed {seed}");
                    sim::run(seed, async |sim| {
                        let oracle = Arc::new(Oracle::default());
                        sim.faults().inject(Fault::eio(operation).nth(nth).survivors(survivors));
                        let failed = sim.life(changes(storage(&sim), Arc::clone(&oracle))).await.unwrap();
                        if sim.faults().armed() == 0 {
                            let error = failed.unwrap_err();
                            assert!(error.is_sync_failure(), "{case}: {error:?}");
                        }
                        sim.faults().clear();
                        if operation == Operation::SyncDirectory {
                            // That poisons the partition for this process.
                            sim.crash(Crash::Kill);
                        }
                        // The same process opens it again: the cache shows what the failed sync did not write.
                        open(storage(&sim), Arc::clone(&oracle), case.clone()).await.unwrap();
                        sim.crash(Crash::Power(Cut::LoseAll));
                        check_rest(&sim, &oracle, &case).await;
                    });
                }
            }
        }
    }
}

#[test]
fn a_failed_change_lets_no_other_be_made() {
    sim::run(1, async |sim| {
        let storage = storage(&sim);
        let manifest = Manifest::create(&storage, "p", STORE, state(1)).await.unwrap();
        sim.faults().inject(Fault::enospc(Operation::Write));
        let error = manifest.update(|current| *current = state(2)).await.unwrap_err();
        assert!(matches!(error, Error::Poisoned { .. }), "{error:?}");
        let error = manifest.update(|current| *current = state(3)).await.unwrap_err();
        assert!(matches!(error, Error::Poisoned { .. }), "{error:?}");
        assert_eq!(manifest.state(), state(1));
    });
}

/// The caller loses interest after every number of polls: the change is then wholly made or not begun, the next change
/// waits for it, and no slot is ever bad.
#[test]
fn a_change_is_dropped_after_every_number_of_polls() {
    for polls in 0..12 {
        for seed in 0..20 {
            sim::run(seed, async |sim| {
                let storage = storage(&sim);
                let manifest = Manifest::create(&storage, "p", STORE, state(1)).await.unwrap();
                let mut dropped = Box::pin(manifest.update(|current| *current = state(2)));
                for _ in 0..polls {
                    if futures::poll!(&mut dropped).is_ready() {
                        break;
                    }
                    sim.yield_now().await;
                }
                drop(dropped);
                manifest.quiesce().await;
                let seen = manifest.state().pruned_to;
                assert!(seen == 1 && polls == 0 || seen == 2 && polls > 0, "{seen} after {polls} polls");
                manifest.update(|current| *current = state(3)).await.unwrap();
                sim.crash(Crash::Power(Cut::LoseAll));
                let storage = self::storage(&sim);
                let Finding::Found(found) = manifest::find(&storage, "p").await.unwrap() else { panic!("gone") };
                assert_eq!((found.state(), found.faults()), (&state(3), [None, None]));
            });
        }
    }
}

/// Many tasks change it at once: each change is made on what the one before has left.
#[test]
fn changes_of_many_tasks_are_made_one_after_the_other() {
    for seed in 0..20 {
        sim::run(seed, async |sim| {
            let storage = storage(&sim);
            let manifest = Manifest::create(&storage, "p", STORE, State::default()).await.unwrap();
            let order = Arc::new(Mutex::new(Vec::new()));
            let tasks: Vec<_> = (0..8_u64)
                .map(|_| {
                    let (manifest, order) = (manifest.clone(), Arc::clone(&order));
                    sim.spawn(async move {
                        manifest
                            .update(|state| {
                                state.pruned_to += 1;
                                order.lock().unwrap().push(state.pruned_to);
                            })
                            .await
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap().unwrap();
            }
            assert_eq!(*order.lock().unwrap(), (1..=8).collect::<Vec<_>>());
            assert_eq!((manifest.state().pruned_to, manifest.generation()), (8, 9));
        });
    }
}
