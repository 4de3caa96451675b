//! Random lives of one stream on the simulated disk: appends, flushes, syncs, cuts, reads and reopenings with other page
//! and buffer sizes, with crashes at any step, also inside a recovery, failed operations, and dropped futures.
//!
//! The oracle is the log of what was appended and what was acknowledged, never the recovered stream. Appends are noted in
//! the moment they are made, so it knows every byte. A cut that was begun and has not ended leaves anything from its
//! target to the old length.

mod life;
mod oracle;

use std::sync::Arc;

use blob_runtime::sim::{self, Crash, Cut};

use self::life::{NAME, PARTITION, Settings, start};
use self::oracle::Shared;

fn seed(seed: u64) {
    sim::run(seed, async |sim| {
        let mut rng = sim.rng();
        let oracle = Shared::default();
        let settings = Settings { faults: rng.bool() };
        let case = format!("seed {seed}, {settings:?}");
        for _ in 0..rng.usize(1..5) {
            let crash = match rng.u8(0..6) {
                0 | 1 => Crash::Kill,
                2 => Crash::Power(Cut::LoseAll),
                3 => Crash::Power(Cut::KeepAll),
                _ => Crash::Power(Cut::Random),
            };
            // Often within the next recovery, and the one after.
            let within = if rng.bool() { 30 } else { 250 };
            sim.crash_at(rng.u64(1..within), crash);
            let (life, lived, shared) = (sim.clone(), rng.fork(), Arc::clone(&oracle));
            let case = case.clone();
            sim.life(async move { start(life, lived, shared, settings, case).await.run().await }).await;
            if sim.disarm() {
                sim.crash(crash);
            }
        }
        sim.faults().clear();
        let rest = Settings { faults: false };
        let last = start(sim.clone(), rng.fork(), Arc::clone(&oracle), rest, format!("{case}, at rest")).await;
        drop(last);
        sim.crash(Crash::Power(Cut::LoseAll));
        // What was shown is durable, and a second open changes nothing (P9).
        let before = sim.disk().visible(PARTITION, NAME);
        assert!(before.is_some(), "{case}");
        drop(start(sim.clone(), rng, oracle, Settings { faults: false }, format!("{case}, again")).await);
        assert!(before == sim.disk().visible(PARTITION, NAME), "{case}: a second open has changed the file");
    });
}

/// Which seeds: see [`sim::seeds`].
#[test]
fn nothing_acknowledged_is_lost() {
    sim::seeds(600).unwrap().for_each(seed);
}
