//! Random workloads on the simulated disk: power cuts, kills, failed operations and dropped futures, up to four lives one
//! after the other, against the model.
//!
//! Which seeds: see [`sim::seeds`]. A failure prints its seed.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;

use blob_runtime::sim::{self, Crash, Cut, Sim};
use blob_runtime::{Error as StorageError, Operation};
use futures::future::{join, join_all, poll_fn};
use futures::{StreamExt, TryStreamExt};
use glob::{Compression, Config, Cursor, Error, Expect, RawGlob};

use crate::model::{Change, Model, Shown};

const SECTIONS: [u64; 4] = [0, 1, 7, u64::MAX];
/// Seeds of a normal run.
const SEEDS: u64 = 1_500;

/// What the tasks of all lives share with the conductor.
#[derive(Clone)]
struct World {
    sim: Sim,
    model: Arc<Mutex<Model>>,
    rng: Arc<Mutex<fastrand::Rng>>,
    case: Arc<str>,
}

/// Why a life ends without a crash.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// It has done its operations, and was closed or not.
    Done,
    /// Something failed that only a new open settles.
    Failed,
}

fn config(rng: &mut fastrand::Rng) -> Config {
    let config = Config::new("values")
        .buffer_bytes(if rng.bool() { rng.usize(1..300) } else { rng.usize(300..3000) })
        .unsynced_bytes(rng.u64(500..5000))
        .preallocate_bytes(if rng.bool() { 0 } else { rng.u64(1000..9000) })
        .recovery_concurrency(rng.usize(1..4))
        .tag_bytes(8);
    if rng.bool() { config.compression(Compression::Zstd { level: 1 }) } else { config }
}

/// Polls a future at most so often, then drops it.
async fn dropped_after<T>(polls: u32, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

impl World {
    fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap()
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        draw(&mut self.rng.lock().unwrap())
    }

    fn value(&self) -> Vec<u8> {
        self.draw(|rng| {
            let len = match rng.u8(0..20) {
                0 => 0,
                1 => rng.usize(1000..6000),
                _ => rng.usize(1..200),
            };
            // Half of them compress.
            let word = rng.u64(..).to_be_bytes();
            let random = rng.bool();
            (0..len).map(|n| if random { rng.u8(..) } else { word[n % 8] }).collect()
        })
    }

    fn section(&self) -> u64 {
        let oldest = self.model().pruned_to;
        let from = SECTIONS.iter().position(|section| *section >= oldest).unwrap();
        SECTIONS[self.draw(|rng| rng.usize(from..SECTIONS.len()))]
    }

    async fn append(&self, glob: &RawGlob, section: u64, count: usize) -> Result<u64, Error> {
        let values: Vec<_> = (0..count).map(|_| self.value()).collect();
        let packed: Vec<_> = values.iter().map(|value| glob.packer().pack(value)).collect::<Result<_, _>>()?;
        let tag = |_: usize, position: u64, _: glob::Location, buf: &mut Vec<u8>| {
            buf.extend_from_slice(&position.to_be_bytes());
        };
        let appended = glob.append_batch_packed(section, &packed, tag).await?;
        let first = appended[0].position;
        drop(packed);
        let items = appended.iter().map(|at| at.location).zip(values).collect();
        self.model().appended(section, first, items);
        Ok(appended.last().unwrap().position)
    }

    /// Syncs a section; what was appended before is durable when it returns.
    async fn sync(&self, glob: &RawGlob, section: u64) -> Result<(), Error> {
        let len = self.model().len(section);
        glob.sync(section).await?;
        self.model().acknowledged(section, len);
        Ok(())
    }

    async fn sync_all(&self, glob: &RawGlob) -> Result<(), Error> {
        let lens: Vec<_> = SECTIONS.iter().map(|section| (*section, self.model().len(*section))).collect();
        glob.sync_all().await?;
        lens.into_iter().for_each(|(section, len)| self.model().acknowledged(section, len));
        Ok(())
    }

    async fn change(&self, glob: &RawGlob, change: Change) -> Result<(), Error> {
        // One that is left behind is settled before the next begins.
        assert_eq!(self.model().pending, None, "{}", self.case);
        self.model().pending = Some(change);
        let result = match change {
            Change::Prune(min) => glob.prune(min).await.map(|_| ()),
            Change::Remove(section) => glob.remove_section(section).await.map(|_| ()),
            Change::Rewind { section, len, all_later: true } => glob.rewind(section, len as u64).await,
            Change::Rewind { section, len, all_later: false } => glob.rewind_section(section, len as u64).await,
        };
        if result.is_ok() {
            self.model().apply_pending();
        }
        result
    }

    fn draw_change(&self) -> Change {
        let section = self.section();
        let len = self.model().len(section);
        match self.draw(|rng| rng.u8(0..10)) {
            0 => Change::Prune(self.draw(|rng| *rng.choice(&SECTIONS[..3]).unwrap())),
            1 => Change::Remove(section),
            kind => {
                let len = self.draw(|rng| rng.usize(0..=len));
                Change::Rewind { section, len, all_later: kind < 4 }
            }
        }
    }

    /// A change whose future was dropped has ended or not begun: the next call that changes anything sees to that.
    async fn settle(&self, glob: &RawGlob) -> Result<(), Error> {
        assert!(!glob.prune(0).await?);
        let mut lens = BTreeMap::new();
        for section in glob.sections() {
            lens.insert(section, usize::try_from(glob.len(section).await?).unwrap());
        }
        let mut model = self.model();
        if model.pending.is_some() {
            let before = Model { pending: None, ..model.clone() };
            let mut after = model.clone();
            after.apply_pending();
            *model = match (before.is_exactly(&lens), after.is_exactly(&lens)) {
                // It has ended or has failed: nobody was told that anything is durable.
                (true, true) => after.acknowledged_as(&before),
                (false, true) => after,
                (true, false) => before,
                (false, false) => panic!("{}: a change is half done: {lens:?} of {model:#?}", self.case),
            };
        }
        Ok(())
    }

    /// One operation.
    async fn step(&self, glob: &RawGlob) -> Result<(), Error> {
        let section = self.section();
        match self.draw(|rng| rng.u8(0..36)) {
            0..8 => self.append(glob, section, 1).await.map(|_| ()),
            8..11 => {
                let count = self.draw(|rng| rng.usize(2..5));
                self.append(glob, section, count).await.map(|_| ())
            }
            11..15 => match self.sync(glob, section).await {
                Err(Error::SectionOutOfRange { .. }) if self.model().len(section) == 0 => Ok(()),
                result => result,
            },
            15 => self.sync_all(glob).await,
            16..19 => {
                // Several at once, in two sections: one sync may cover many.
                let other = self.section();
                let tasks = (0..self.draw(|rng| rng.usize(2..5))).map(|n| async move {
                    let section = if n % 2 == 0 { section } else { other };
                    self.append(glob, section, 1).await?;
                    self.sync(glob, section).await
                });
                join_all(tasks).await.into_iter().collect()
            }
            19..22 => {
                let change = self.draw_change();
                self.change(glob, change).await
            }
            22 | 23 => {
                let change = self.draw_change();
                let polls = self.draw(|rng| rng.u32(0..30));
                let ended = dropped_after(polls, self.change(glob, change)).await;
                ended.unwrap_or(Ok(()))?;
                self.settle(glob).await
            }
            24 | 25 => {
                let polls = self.draw(|rng| rng.u32(0..6));
                let len = self.model().len(section);
                let ended = dropped_after(polls, self.append(glob, section, 2)).await;
                if ended.is_none() && self.model().len(section) != len {
                    panic!("{}: an append that was dropped has appended", self.case);
                }
                match ended.unwrap_or(Ok(0)) {
                    Ok(_) => dropped_after(polls, self.sync(glob, section)).await.unwrap_or(Ok(())).or_else(missing),
                    Err(error) => Err(error),
                }
            }
            26 => self.race(glob, section).await,
            27 => glob.maintain().await,
            28..31 => glob.flush(section).await.or_else(missing),
            31..34 => self.look(glob, section).await,
            _ => self.scan(glob, section).await,
        }
    }

    /// An append with its sync, at the same time as a rewind of its section.
    async fn race(&self, glob: &RawGlob, section: u64) -> Result<(), Error> {
        let len = self.model().len(section);
        if len == 0 {
            return Ok(());
        }
        let len = self.draw(|rng| rng.usize(0..len));
        let all_later = self.draw(|rng| rng.bool());
        let append = async {
            let position = self.append(glob, section, 1).await?;
            let items = usize::try_from(position).unwrap() + 1;
            glob.sync(section).await?;
            // It may have been cut off again by now: then the rewind is through, and has taken it along.
            let mut model = self.model();
            if model.len(section) >= items {
                model.acknowledged(section, items);
            }
            Ok(())
        };
        let rewind = async {
            self.model().pending = Some(Change::Rewind { section, len, all_later });
            let result = if all_later {
                glob.rewind(section, len as u64).await
            } else {
                glob.rewind_section(section, len as u64).await
            };
            if result.is_ok() {
                self.model().apply_pending();
            }
            result
        };
        let (rewound, appended) = if self.draw(|rng| rng.bool()) {
            join(rewind, append).await
        } else {
            let (appended, rewound) = join(append, rewind).await;
            (rewound, appended)
        };
        rewound?;
        appended
    }

    /// Looks at one value, and at what must not be found.
    async fn look(&self, glob: &RawGlob, section: u64) -> Result<(), Error> {
        let len = self.model().len(section);
        if len == 0 {
            return Ok(());
        }
        let at = self.draw(|rng| rng.usize(0..len));
        let item = self.model().sections[&section].items[at].clone();
        let tag = (at as u64).to_be_bytes();
        let frame =
            glob.get_frame(section, item.location, Expect { position: Some(at as u64), tag: Some(&tag) }).await?;
        assert_eq!(frame.value, item.value, "{}", self.case);
        assert_eq!(glob.locate(section, at as u64).await?.position, at as u64);
        assert_eq!(glob.len(section).await?, len as u64, "{}", self.case);
        let past = glob.locate(section, len as u64 + 1).await;
        assert!(matches!(past, Err(Error::ItemOutOfRange { .. } | Error::Storage { .. })), "{}: {past:?}", self.case);
        Ok(())
    }

    async fn scan(&self, glob: &RawGlob, section: u64) -> Result<(), Error> {
        let Ok(shown) = shown(glob, &[section]).await else { return Ok(()) };
        let own: Vec<_> = match self.model().sections.get(&section) {
            Some(own) => own.items.iter().map(|item| (item.location, item.value.clone())).collect(),
            None => Vec::new(),
        };
        assert_eq!(shown[&section], own, "{}: a scan of section {section}", self.case);
        Ok(())
    }

    /// One life: open, compare with the model, work, and perhaps close.
    async fn life(self) -> Result<End, Error> {
        let config = self.draw(config);
        let mut glob = RawGlob::open(self.sim.storage(), config).await?;
        let shown = shown(&glob, &glob.sections()).await?;
        self.model().recovered(&shown, &self.case);
        for _ in 0..self.draw(|rng| rng.u32(5..30)) {
            match self.step(&glob).await {
                Ok(()) => {}
                // A failed write: nothing is lost, and it is tried again.
                Err(error) if error.is_transient() => {
                    if self.model().pending.is_some() {
                        return Ok(End::Failed);
                    }
                }
                Err(Error::Poisoned { .. }) if self.model().pending.is_none() && self.draw(|rng| rng.bool()) => {
                    if self.reopen(&glob).await.is_err() {
                        return Ok(End::Failed);
                    }
                }
                Err(Error::Poisoned { .. } | Error::Unfinished { .. }) => return Ok(End::Failed),
                Err(error) => panic!("{}: {error:?}", self.case),
            }
            if self.draw(|rng| rng.u8(0..40)) == 0 {
                if glob.close().await.is_err() {
                    return Ok(End::Failed);
                }
                self.model().all_acknowledged();
                let config = self.draw(self::config);
                glob = RawGlob::open(self.sim.storage(), config).await?;
                assert!(glob.recovery().opening.clean, "{}: {:?}", self.case, glob.recovery());
                assert_eq!(glob.recovery().sections, [], "{}", self.case);
            }
        }
        if self.draw(|rng| rng.bool()) && glob.close().await.is_ok() {
            self.model().all_acknowledged();
            let closed = glob.append(0, b"").await.unwrap_err();
            assert!(matches!(closed, Error::Closed | Error::Pruned { .. }), "{}: {closed:?}", self.case);
        }
        Ok(End::Done)
    }

    /// Every section that a failed sync has poisoned is opened anew: it shows what was acknowledged, and what it shows is
    /// durable.
    async fn reopen(&self, glob: &RawGlob) -> Result<(), Error> {
        for section in glob.sections() {
            glob.reopen_section(section).await?;
            let shown = shown(glob, &[section]).await?;
            let mut model = self.model();
            let mut one = Model::default();
            one.sections.extend(model.sections.get(&section).map(|own| (section, own.clone())));
            let was_whole = one.is_exactly(&shown.iter().map(|(section, values)| (*section, values.len())).collect());
            if !was_whole {
                one.recovered(&shown, &self.case);
                model.sections.remove(&section);
                model.sections.extend(one.sections);
            }
        }
        Ok(())
    }
}

fn missing(error: Error) -> Result<(), Error> {
    match error {
        Error::SectionOutOfRange { .. } => Ok(()),
        other => Err(other),
    }
}

/// Everything the sections show, by scanning them; and by location too.
async fn shown(glob: &RawGlob, sections: &[u64]) -> Result<Shown, Error> {
    let mut shown = Shown::new();
    for section in sections {
        let frames: Vec<_> = glob.scan(*section, Cursor::START).try_collect().await?;
        for (n, frame) in frames.iter().enumerate() {
            assert_eq!((frame.position, &frame.tag[..]), (n as u64, &(n as u64).to_be_bytes()[..]));
        }
        shown.insert(*section, frames.into_iter().map(|frame| (frame.location, frame.value.into())).collect());
    }
    Ok(shown)
}

fn crash(rng: &mut fastrand::Rng) -> Crash {
    match rng.u8(0..8) {
        0 => Crash::Power(Cut::LoseAll),
        1 => Crash::Power(Cut::KeepAll),
        2 | 3 => Crash::Kill,
        _ => Crash::Power(Cut::Random),
    }
}

/// One seed: a chain of lives, then a last one that must open.
pub(crate) async fn chain(sim: Sim, with_faults: bool) {
    let mut rng = sim.rng();
    let case: Arc<str> = format!("seed {}, faults {with_faults}", sim.seed()).into();
    let world = World {
        sim: sim.clone(),
        model: Arc::default(),
        rng: Arc::new(Mutex::new(sim.rng())),
        case: Arc::clone(&case),
    };
    for _ in 0..rng.u32(1..5) {
        if with_faults {
            for operation in [Operation::Write, Operation::Sync, Operation::Resize, Operation::Remove, Operation::Read]
            {
                let rate = if rng.u8(0..3) == 0 { rng.f64() * 0.1 } else { 0.0 };
                sim.faults().rate(operation, rate);
            }
        }
        let steps = if rng.u8(0..3) == 0 { rng.u64(1..60) } else { rng.u64(1..1500) };
        sim.crash_at(steps, crash(&mut rng));
        match sim.life(world.clone().life()).await {
            // The machine went down in the middle.
            None | Some(Ok(_)) => {}
            Some(Err(error)) => {
                let storage = error.storage();
                let faulted =
                    with_faults && matches!(storage, Some(StorageError::Io { .. } | StorageError::Poisoned { .. }));
                assert!(faulted, "{case}: {error:?}");
            }
        }
        sim.disarm();
        sim.crash(crash(&mut rng));
        sim.faults().clear();
    }
    let last = sim.life(async move {
        let config = world.draw(config);
        let glob = RawGlob::open(world.sim.storage(), config).await?;
        let shown = shown(&glob, &glob.sections()).await?;
        world.model().recovered(&shown, &world.case);
        glob.append(u64::MAX, b"").await.map(|_| ()).or_else(|error| match error {
            Error::TagSize { .. } => Ok(()),
            other => Err(other),
        })?;
        glob.close().await
    });
    let last = last.await;
    assert!(matches!(last, Some(Ok(()))), "{case}: {last:?}");
}

/// No acknowledged value is lost, no wrong one is shown, no store is refused as damaged: power cuts and kills anywhere,
/// recovery included.
#[test]
fn random_workloads_with_crashes() {
    for seed in sim::seeds(SEEDS).unwrap() {
        sim::run(seed, |sim| chain(sim, false));
    }
}

/// The same with operations that fail: writes, syncs, truncations, removals, reads.
#[test]
fn random_workloads_with_crashes_and_failing_operations() {
    for seed in sim::seeds(SEEDS).unwrap() {
        sim::run(seed, |sim| chain(sim, true));
    }
}

/// A future of the stream is dropped, and the scan goes on where it was.
#[test]
fn a_scan_goes_on_after_a_dropped_next() {
    sim::run(1, async |sim| {
        let done = sim.life({
            let sim = sim.clone();
            async move {
                let glob = RawGlob::open(sim.storage(), Config::new("values").buffer_bytes(100)).await.unwrap();
                for n in 0..50_u8 {
                    glob.append(0, &[n; 50]).await.unwrap();
                }
                glob.sync(0).await.unwrap();
                let mut scan = glob.scan(0, Cursor::START);
                let mut seen = Vec::new();
                loop {
                    match dropped_after(1, scan.next()).await {
                        None => {}
                        Some(None) => break,
                        Some(Some(frame)) => seen.push(frame.unwrap().value[0]),
                    }
                }
                assert_eq!(seen, (0..50).collect::<Vec<_>>());
                assert_eq!(scan.at().position, 50);
            }
        });
        assert_eq!(done.await, Some(()));
    });
}
