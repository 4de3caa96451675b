//! Random runs against a model of what may be there after a crash.
//!
//! The model knows one blob's bytes at its last good sync and every change since. After a power cut each byte must be
//! one of those; what no change has touched must be as it was synced.

use std::sync::Mutex;

use super::*;
use blob_runtime::Error;
use blob_runtime::sim::{self, Bug};

/// Offsets stay below this.
const SPAN: usize = 3 * 4096;

#[derive(Default)]
struct Model {
    /// At the last good sync, or as a power cut has left it.
    base: Vec<u8>,
    /// Changes since: from, to, and what may be there since (0: what was lost reads as zeros where the file has grown).
    changes: Vec<(usize, usize, u8)>,
    /// Lengths that the file may have.
    lens: Vec<usize>,
    /// Old and new length of writes that may be in flight: a crash can leave them anywhere in between.
    in_flight: Vec<(usize, usize)>,
    /// As the process sees it.
    visible: Vec<u8>,
    /// Whether a sync has ever returned Ok.
    synced: bool,
}

impl Model {
    /// What is visible now is there, whatever happens.
    fn settle(&mut self) {
        self.base.clone_from(&self.visible);
        self.changes.clear();
        self.lens = vec![self.visible.len()];
        self.in_flight.clear();
    }

    fn write(&mut self, at: usize, len: usize, byte: u8) {
        let (old, end) = (self.visible.len(), at + len);
        self.visible.resize(old.max(end), 0);
        self.visible[at..end].fill(byte);
        self.changes.push((at, end, byte));
        if end > old {
            self.changes.push((old, end, 0));
            // A growth whose truncation before it was lost does not make the file shorter.
            let longer: Vec<_> = self.lens.iter().map(|len| end.max(*len)).collect();
            self.lens.extend(longer);
            self.in_flight.push((old, end));
        }
    }

    fn resize(&mut self, len: usize) {
        self.changes.push((len.min(self.visible.len()), SPAN, 0));
        self.visible.resize(len, 0);
        self.lens.push(len);
    }

    fn check(&self, found: &[u8]) -> Result<(), String> {
        let between = |(old, new): &(usize, usize)| (*old..*new).contains(&found.len());
        if !self.lens.contains(&found.len()) && !self.in_flight.iter().any(between) {
            return Err(format!("length {} is none of {:?} and {:?}", found.len(), self.lens, self.in_flight));
        }
        for (at, byte) in found.iter().enumerate() {
            let changed = |(from, to, may): &(usize, usize, u8)| may == byte && (*from..*to).contains(&at);
            if self.base.get(at).copied().unwrap_or(0) != *byte && !self.changes.iter().any(changed) {
                return Err(format!("byte {byte} at {at} was neither synced nor written"));
            }
        }
        Ok(())
    }
}

/// One life: random changes through two handles, with some futures dropped. The model hears of each change when it is
/// issued, and of a sync when it has returned.
async fn life(sim: Sim, model: Arc<Mutex<Model>>) -> Result<(), String> {
    let mut rng = sim.rng();
    let handles = [open(&sim, A).await, open(&sim, A).await];
    let text = |error: Error| error.to_string();
    for _ in 0..rng.usize(..12) {
        let blob = &handles[rng.usize(..2)];
        match rng.u8(..8) {
            0..=3 => {
                let (at, len, byte) = (rng.usize(..SPAN / 2), rng.usize(1..SPAN / 2), rng.u8(1..));
                model.lock().unwrap().write(at, len, byte);
                let write = blob.write_at(at as u64, vec![vec![byte; len].into()]);
                if rng.u8(..4) == 0 {
                    // Begun and dropped: it lands before the next change.
                    futures::future::select(write, Box::pin(sim.yield_now())).await;
                } else {
                    write.await.map_err(text)?;
                    model.lock().unwrap().in_flight.clear();
                }
            }
            4 => {
                let len = rng.usize(..SPAN);
                model.lock().unwrap().resize(len);
                blob.resize(len as u64).await.map_err(text)?;
                model.lock().unwrap().in_flight.clear();
            }
            5 | 6 => {
                blob.sync().await.map_err(text)?;
                let mut model = model.lock().unwrap();
                model.settle();
                model.synced = true;
            }
            _ => {
                // Nothing is under way once a change that came later has returned.
                blob.write_at(0, Vec::new()).await.map_err(text)?;
                if content(blob).await != model.lock().unwrap().visible {
                    return Err("a read is not what was written".into());
                }
            }
        }
    }
    Ok(())
}

fn run(seed: u64, bug: Option<Bug>) -> Result<u64, String> {
    sim::run(seed, async |sim| {
        if let Some(bug) = bug {
            sim.plant(bug);
        }
        let mut rng = sim.rng();
        let model = Arc::new(Mutex::new(Model { lens: vec![0], ..Model::default() }));
        for _ in 0..3 {
            sim.crash_at(rng.u64(1..80), if rng.bool() { Crash::Kill } else { Crash::Power(Cut::Random) });
            if let Some(result) = sim.life(life(sim.clone(), Arc::clone(&model))).await {
                result?;
            }
            sim.crash(Crash::Power(Cut::Random));
            let found = found(&sim, A).await;
            let mut model = model.lock().unwrap();
            if found.is_none() && model.synced {
                return Err("a synced blob is gone".into());
            }
            let found = found.unwrap_or_default();
            model.check(&found)?;
            model.visible = found.into();
            model.settle();
        }
        Ok(sim.steps())
    })
}

/// Thousands of crashes at random steps: what was synced is there, and nothing is there that was never written.
#[test]
fn no_crash_shows_what_cannot_be() {
    for seed in 0..2000 {
        let steps = run(seed, None).unwrap_or_else(|problem| panic!("seed {seed}: {problem}"));
        assert!(steps > 0);
    }
}

/// The model is of use: it finds each mistake a backend can make here.
#[test]
fn the_model_finds_planted_bugs() {
    for bug in [
        Bug::ForgetDirectorySync,
        Bug::ForgetRootSync,
        Bug::ForgetDataSync,
        Bug::LateWriteAfterDrop,
        Bug::UnorderedChanges,
        Bug::ShortRead,
    ] {
        let found = (0..500).find_map(|seed| run(seed, Some(bug)).err());
        assert!(found.is_some(), "{bug:?} is not found");
    }
}
