//! A fixed workload with every kind of change, and a crash before every single step of it: of the workload, and of the
//! recovery that follows.

use std::sync::{Arc, Mutex};

use blob_runtime::sim::{self, Crash, Cut, Sim};
use futures::TryStreamExt;
use futures::future::{join, join_all};
use glob::{Config, Cursor, Error, RawGlob};

use crate::model::{Change, Model, Shown};

fn config() -> Config {
    Config::new("values").buffer_bytes(200).preallocate_bytes(600)
}

async fn append(glob: &RawGlob, model: &Mutex<Model>, section: u64, values: &[&str]) -> Result<(), Error> {
    let appended = glob.append_batch(section, values).await?;
    let items = appended.iter().zip(values).map(|(at, value)| (at.location, value.as_bytes().to_vec())).collect();
    model.lock().unwrap().appended(section, appended[0].position, items);
    Ok(())
}

async fn sync(glob: &RawGlob, model: &Mutex<Model>, section: u64) -> Result<(), Error> {
    let len = model.lock().unwrap().len(section);
    glob.sync(section).await?;
    model.lock().unwrap().acknowledged(section, len);
    Ok(())
}

async fn change(glob: &RawGlob, model: &Mutex<Model>, change: Change) -> Result<(), Error> {
    model.lock().unwrap().pending = Some(change);
    match change {
        Change::Prune(min) => drop(glob.prune(min).await?),
        Change::Remove(section) => drop(glob.remove_section(section).await?),
        Change::Rewind { section, len, all_later: true } => glob.rewind(section, len as u64).await?,
        Change::Rewind { section, len, all_later: false } => glob.rewind_section(section, len as u64).await?,
    }
    model.lock().unwrap().apply_pending();
    Ok(())
}

/// Appends, batches, group commits, rewinds into a batch and over sections, regrowth, a prune, a removal, a clean close.
async fn workload(sim: Sim, model: Arc<Mutex<Model>>) -> Result<(), Error> {
    let model = &*model;
    let glob = RawGlob::open(sim.storage(), config()).await?;
    append(&glob, model, 1, &["one"]).await?;
    sync(&glob, model, 1).await?;
    append(&glob, model, 1, &["two", "three", "four"]).await?;
    append(&glob, model, 2, &["x"]).await?;
    append(&glob, model, 1, &["five"]).await?;
    sync(&glob, model, 1).await?;
    append(&glob, model, 3, &["y", "z"]).await?;
    sync(&glob, model, 3).await?;
    append(&glob, model, 1, &["six", "seven"]).await?;
    change(&glob, model, Change::Rewind { section: 1, len: 3, all_later: true }).await?;
    append(&glob, model, 1, &["drei"]).await?;
    append(&glob, model, 2, &["x again", "and again"]).await?;
    sync(&glob, model, 2).await?;
    sync(&glob, model, 1).await?;
    glob.maintain().await?;
    change(&glob, model, Change::Rewind { section: 2, len: 1, all_later: false }).await?;
    append(&glob, model, 5, &["last"]).await?;
    sync(&glob, model, 5).await?;
    change(&glob, model, Change::Prune(2)).await?;
    change(&glob, model, Change::Remove(5)).await?;
    append(&glob, model, 2, &["end"]).await?;
    glob.close().await?;
    model.lock().unwrap().all_acknowledged();
    Ok(())
}

/// An append with its sync, at the same time as a rewind of its section: what the sync has acknowledged behind the cut may
/// not be cut off again by carrying the rewind out once more (I4, defect 35).
async fn race(sim: Sim, model: Arc<Mutex<Model>>) -> Result<(), Error> {
    let model = &*model;
    let glob = RawGlob::open(sim.storage(), config()).await?;
    append(&glob, model, 1, &["one", "two", "three", "four"]).await?;
    sync(&glob, model, 1).await?;
    // Larger than a buffer: some wait for room when the rewind begins, and go on in the middle of it.
    let large = "late".repeat(60);
    let late = join_all((0..5).map(|_| async {
        append(&glob, model, 1, &[&large]).await?;
        let (len, changes) = {
            let model = model.lock().unwrap();
            (model.len(1), model.changes)
        };
        glob.sync(1).await?;
        let mut model = model.lock().unwrap();
        // Unless the rewind has come in between, and has taken it along.
        if model.changes == changes {
            model.acknowledged(1, len);
        }
        Ok::<_, Error>(())
    }));
    let rewind = change(&glob, model, Change::Rewind { section: 1, len: 2, all_later: true });
    let (late, rewound) = join(late, rewind).await;
    rewound.and(late.into_iter().collect())
}

#[test]
fn a_crash_before_every_step_of_a_race() {
    for seed in sim::seeds(150).unwrap() {
        let mut step = 1;
        while !crash_in(race, seed, step, Crash::Power(Cut::LoseAll), &[]) {
            step += 1;
        }
    }
}

/// A section that rests is sealed by the sync of another one while it is appended to: a seal that came behind what is not
/// durable would prove what is not true, and make damage of a torn tail.
async fn race_with_a_seal(sim: Sim, model: Arc<Mutex<Model>>) -> Result<(), Error> {
    let model = &*model;
    let glob = RawGlob::open(sim.storage(), config()).await?;
    append(&glob, model, 1, &["one"]).await?;
    sync(&glob, model, 1).await?;
    append(&glob, model, 2, &["x"]).await?;
    let seal = sync(&glob, model, 2);
    let late = async {
        for n in 0..40 {
            append(&glob, model, 1, &["late", "later"]).await?;
            if n % 4 == 0 {
                glob.flush(1).await?;
            }
            sim.yield_now().await;
        }
        Ok::<_, Error>(())
    };
    // In this order an append that has waited for the zeros to be cut off goes on before the seal does.
    let (late, sealed) = join(late, seal).await;
    sealed.and(late)?;
    sync(&glob, model, 1).await
}

#[test]
fn a_crash_before_every_step_of_a_seal() {
    for seed in sim::seeds(60).unwrap() {
        let mut step = 1;
        while !crash_in(race_with_a_seal, seed, step, Crash::Power(Cut::Random), &[]) {
            step += 1;
        }
    }
}

async fn shown(glob: &RawGlob) -> Result<Shown, Error> {
    let mut shown = Shown::new();
    for section in glob.sections() {
        let frames: Vec<_> = glob.scan(section, Cursor::START).try_collect().await?;
        shown.insert(section, frames.into_iter().map(|frame| (frame.location, frame.value.into())).collect());
    }
    Ok(shown)
}

/// Opens, compares, and appends a little, so that a wrong length would be built upon.
async fn look(sim: Sim, model: Arc<Mutex<Model>>, case: String) -> Result<(), Error> {
    let glob = RawGlob::open(sim.storage(), config()).await?;
    let shown = shown(&glob).await?;
    model.lock().unwrap().recovered(&shown, &case);
    append(&glob, &model, 7, &["after"]).await?;
    sync(&glob, &model, 7).await
}

fn crash_at(seed: u64, step: u64, crash: Crash, then: &[(u64, Crash)]) -> bool {
    crash_in(workload, seed, step, crash, then)
}

/// Whether the work was through before the crash came.
fn crash_in<Fut>(
    work: impl Fn(Sim, Arc<Mutex<Model>>) -> Fut,
    seed: u64,
    step: u64,
    crash: Crash,
    then: &[(u64, Crash)],
) -> bool
where
    Fut: Future<Output = Result<(), Error>> + Send + 'static,
{
    sim::run(seed, async |sim| {
        let case = format!("seed {seed}, step {step}, {crash:?}, then {then:?}");
        let model = Arc::new(Mutex::new(Model::default()));
        sim.crash_at(step, crash);
        let ended = sim.life(work(sim.clone(), Arc::clone(&model))).await;
        assert!(matches!(ended, None | Some(Ok(()))), "{case}: {ended:?}");
        if sim.disarm() {
            sim.crash(crash);
        }
        for (step, crash) in then {
            sim.crash_at(*step, *crash);
            let ended = sim.life(look(sim.clone(), Arc::clone(&model), case.clone())).await;
            assert!(matches!(ended, None | Some(Ok(()))), "{case}: {ended:?}");
            sim.disarm();
        }
        let ended_last = sim.life(look(sim.clone(), Arc::clone(&model), case.clone())).await;
        assert!(matches!(ended_last, Some(Ok(()))), "{case}: {ended_last:?}");
        ended.is_some()
    })
}

/// Nothing of what was not synced survives, or all of it, or the process is only killed; before every step.
#[test]
fn a_crash_before_every_step() {
    for crash in [Crash::Power(Cut::LoseAll), Crash::Power(Cut::KeepAll), Crash::Kill] {
        let mut step = 1;
        while !crash_at(1, step, crash, &[]) {
            step += 1;
        }
        assert!(step > 150, "{step} steps");
    }
}

/// Any subset survives, torn or whole, before every step; with other orders of what runs side by side.
#[test]
fn a_crash_before_every_step_with_random_survivors() {
    for seed in sim::seeds(8).unwrap() {
        let mut step = 1;
        while !crash_at(seed, step, Crash::Power(Cut::Random), &[]) {
            step += 1;
        }
    }
}

/// Killed, which leaves everything in the page cache; then the power goes at every step of the recovery (defects 16, 32);
/// and once more in the recovery of that.
#[test]
fn a_crash_before_every_step_of_the_recovery() {
    let ends = [Crash::Power(Cut::LoseAll), Crash::Power(Cut::Random), Crash::Kill];
    for (n, step) in (1..260_u64).step_by(3).enumerate() {
        for recovery in (1..90).step_by(4) {
            let seed = step * 1000 + recovery;
            let first = if n % 2 == 0 { Crash::Kill } else { Crash::Power(Cut::Random) };
            let then = [(recovery, ends[n % 3]), (recovery / 2 + 1, Crash::Power(Cut::LoseAll))];
            crash_at(seed, step, first, &then);
        }
    }
}
