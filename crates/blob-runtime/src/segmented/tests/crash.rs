//! Crashes before every step of every change, in what carries it on, and of the first write after a clean close.

use std::sync::Arc;

use super::toy::{Change, Shown, Store, filled, open, open_with, shown};
use crate::segmented::{Fault, Options};
use crate::sim::{self, Crash, Cut, Sim};
use crate::sync::Mutex;

const CRASHES: [Crash; 4] =
    [Crash::Kill, Crash::Power(Cut::LoseAll), Crash::Power(Cut::KeepAll), Crash::Power(Cut::Random)];

/// Opens, now and then with a crash in the middle, up to three times over.
async fn recovered(sim: &Sim, rng: &mut fastrand::Rng) -> Store {
    for _ in 0..rng.usize(0..4) {
        sim.crash_at(rng.u64(1..60), CRASHES[rng.usize(0..CRASHES.len())]);
        let storage = sim.storage();
        let opened = sim.life(async move { open_with(storage, Options::default()).await.map(drop) }).await;
        assert!(matches!(opened, None | Some(Ok(()))), "seed {}: {opened:?}", sim.seed());
        if sim.disarm() {
            sim.crash(Crash::Kill);
        }
    }
    open(sim).await.0
}

/// Whether the change ended before the crash.
async fn crashed(sim: &Sim, change: Change, crash: Crash, step: u64) -> bool {
    let case = format!("{change:?}, {crash:?}, seed {}, step {step}", sim.seed());
    let mut rng = sim.rng();
    let store = filled(sim).await;
    let before = shown(&store).await.unwrap();
    let after = change.after(before.clone());
    sim.crash_at(step, crash);
    let ended = sim.life(async move { change.make(&store).await }).await;
    if sim.disarm() {
        sim.crash(Crash::Power(Cut::LoseAll));
    }
    if let Some(result) = &ended {
        assert!(matches!(result, Ok(())), "{case}: {result:?}");
    }
    let store = recovered(sim, &mut rng).await;
    let found = shown(&store).await.unwrap();
    assert!(found == after || ended.is_none() && found == before, "{case}: {found:?}");
    // What is shown is durable (P9), and nothing that was decided before is carried out again over what comes now.
    drop(store);
    sim.crash(Crash::Power(Cut::LoseAll));
    let (store, opening) = open(sim).await;
    assert_eq!((shown(&store).await.unwrap(), opening.resumed), (found.clone(), None), "{case}, again");
    let section = store.writable(4).await.unwrap();
    section.append(99).await.unwrap();
    section.sync().await.unwrap();
    drop((section, store));
    sim.crash(Crash::Power(Cut::LoseAll));
    let mut grown = found;
    grown.2.entry(4).or_default().push(99);
    assert_eq!(shown(&open(sim).await.0).await.unwrap(), grown, "{case}, grown");
    ended.is_some()
}

/// Power goes or the process is killed before every step of every change, and again in what carries it on: the change is
/// wholly done or wholly not, and done once it has returned (P6, P5).
#[test]
fn every_change_is_wholly_done_or_wholly_not() {
    for change in Change::ALL {
        for crash in CRASHES {
            for seed in 0..4 {
                for step in 1.. {
                    if sim::run(seed, async |sim| crashed(&sim, change, crash, step).await) {
                        break;
                    }
                }
            }
        }
    }
}

/// The store was closed in order, and the first thing after the next open is an append. Before any byte of it can reach
/// the disk the manifest says dirty: otherwise what a crash leaves of it would be judged as damage.
#[test]
fn the_first_write_after_a_clean_close() {
    for crash in CRASHES {
        for seed in 0..20 {
            for step in 1.. {
                let ended = sim::run(seed, async |sim| {
                    let case = format!("{crash:?}, seed {seed}, step {step}");
                    let store = filled(&sim).await;
                    let before = shown(&store).await.unwrap();
                    store.close().await.unwrap();
                    let (store, opening) = open(&sim).await;
                    assert!(opening.clean);
                    sim.crash_at(step, crash);
                    let work = async move {
                        let section = store.writable(2).await?;
                        for item in 100..110 {
                            section.append(item).await?;
                        }
                        section.sync().await?;
                        Ok::<_, Fault>(())
                    };
                    let ended = sim.life(work).await;
                    if sim.disarm() {
                        sim.crash(Crash::Power(Cut::LoseAll));
                    }
                    let (store, opening) = open(&sim).await;
                    let found = shown(&store).await.unwrap_or_else(|fault| panic!("{case}: {fault}"));
                    let grown: Vec<u8> = before.2[&2].iter().copied().chain(100..110).collect();
                    assert!(grown.starts_with(&found.2[&2]), "{case}: {found:?}");
                    assert!(found.2[&2].len() >= if ended.is_some() { 15 } else { 5 }, "{case}: {found:?}");
                    assert!(!opening.clean || found == before, "{case}: not a clean store");
                    ended.is_some()
                });
                if ended {
                    break;
                }
            }
        }
    }
}

/// A task appends to a section and syncs while that is rewound. What it was told is durable, and came behind the cut, is
/// not cut off by carrying the rewind out again (I4).
#[test]
fn appends_beside_a_rewind() {
    for seed in 0..60 {
        for step in 1.. {
            let ended = sim::run(seed, async |sim| {
                let case = format!("seed {seed}, step {step}");
                let store = filled(&sim).await;
                let acknowledged = Arc::new(Mutex::new(Vec::new()));
                // Through a section that it got before the rewind began, as a handle of a layer above may.
                let (noted, section) = (Arc::clone(&acknowledged), store.writable(2).await.unwrap());
                sim.crash_at(step, Crash::Power(Cut::LoseAll));
                drop(sim.spawn(async move {
                    for item in 100..108 {
                        let position = section.append(item).await?;
                        section.sync().await?;
                        noted.lock().unwrap().push((position, item));
                    }
                    Ok::<_, Fault>(())
                }));
                let ended = sim.life(async move { store.rewind(2, 3, true).await }).await;
                if sim.disarm() {
                    sim.crash(Crash::Power(Cut::LoseAll));
                }
                let (_, _, sections): Shown = shown(&open(&sim).await.0).await.unwrap();
                for (position, item) in acknowledged.lock().unwrap().iter() {
                    // One that took an old item's place came behind the cut. The others stand behind the old items, and
                    // went with them or stayed with them.
                    let position = usize::try_from(*position).unwrap();
                    let there = sections[&2].get(position) == Some(item);
                    let cut = position >= 5 && sections[&2].get(3) != Some(&23);
                    assert!(there || cut, "{case}: item {item} at {position} is gone: {sections:?}");
                }
                ended.is_some()
            });
            if ended {
                break;
            }
        }
    }
}

/// A rewind keeps items that nobody has synced yet. They are durable before the intent is: the open that carries it on after
/// a crash takes for damage what is missing before its target.
#[test]
fn what_a_rewind_keeps_is_durable_before_its_intent() {
    for crash in CRASHES {
        for seed in 0..4 {
            for step in 1.. {
                let ended = sim::run(seed, async |sim| {
                    let case = format!("{crash:?}, seed {seed}, step {step}");
                    let store = filled(&sim).await;
                    let (_, _, before) = shown(&store).await.unwrap();
                    let section = store.writable(2).await.unwrap();
                    for item in [25, 26] {
                        section.append(item).await.unwrap();
                    }
                    sim.crash_at(step, crash);
                    let ended = sim.life(async move { store.rewind(2, 6, true).await }).await;
                    if sim.disarm() {
                        sim.crash(Crash::Power(Cut::LoseAll));
                    }
                    assert!(matches!(ended, None | Some(Ok(()))), "{case}: {ended:?}");
                    let opened = open_with(sim.storage(), Options::default()).await;
                    let (store, _) = opened.unwrap_or_else(|fault| panic!("{case}: {fault}"));
                    let (_, _, found) = shown(&store).await.unwrap();
                    let all = [20, 21, 22, 23, 24, 25, 26];
                    let whole = found.len() == 2 && found[&1] == before[&1] && found[&2] == all[..6];
                    let prefix = found.len() == 4 && found[&2].len() >= 5 && all.starts_with(&found[&2]);
                    assert!(whole || ended.is_none() && prefix, "{case}: {found:?}");
                    ended.is_some()
                });
                if ended {
                    break;
                }
            }
        }
    }
}
