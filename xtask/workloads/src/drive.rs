//! The loop that puts an engine through a workload, and what of it is timed.

use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::outcome::{Io, Latencies, Outcome, nanos};
use crate::program::Phase;
use crate::values::mix;
use crate::workload::{Action, Shape, UNSYNCED};
use crate::{Engine, Opener, Place, Result, Run, Values, Workload, Writers, process};

#[cfg(test)]
mod tests;

/// Commits before the timed ones: files exist, and what grows has grown, when the clock starts.
const WARM_UP: u64 = 64;
/// Lookups of a record timed together: one takes no longer than looking at the clock.
const BATCH: u64 = 64;
/// How long a replay is repeated, at least.
const REPLAY_FOR: Duration = Duration::from_millis(200);

/// What one process is to do.
#[derive(Debug, Clone)]
pub struct Job {
    /// The engine's name, for the result.
    pub engine: String,
    /// The workload.
    pub workload: Workload,
    /// The store's directory, which exists.
    pub directory: PathBuf,
    /// Which part of it.
    pub phase: Phase,
}

/// How a run ended.
#[derive(Debug)]
pub enum Ended {
    /// The store is made.
    Prepared,
    /// The store is made, and the process must end at once, without closing it.
    Unclean,
    /// It was measured.
    Measured(Box<Outcome>),
}

/// Runs one phase of a workload.
///
/// # Errors
/// What the engine fails with, and anything read that is not what was written.
pub async fn drive<O: Opener>(opener: &O, job: &Job) -> Result<Ended> {
    let action = job.workload.action;
    if job.phase == Phase::Prepare {
        if !action.needs_store() {
            return Ok(Ended::Prepared);
        }
        let mut engine = opener.open(&job.directory).await?;
        return prepare(&mut engine, &job.workload).await?.finish(engine).await;
    }
    Measured { job, values: Values::new(job.workload.shape.value_bytes) }.run(opener).await
}

/// How a prepared store is left.
enum Leave {
    Close,
    Running,
}

impl Leave {
    async fn finish<E: Engine>(self, engine: E) -> Result<Ended> {
        match self {
            Self::Close => engine.close().await.map(|()| Ended::Prepared),
            Self::Running => {
                // No destructor may close it.
                std::mem::forget(engine);
                Ok(Ended::Unclean)
            }
        }
    }
}

async fn prepare<E: Engine>(engine: &mut E, workload: &Workload) -> Result<Leave> {
    let shape = workload.shape;
    let values = Values::new(shape.value_bytes);
    engine.append(Run::new(values, shape.items, 0..shape.sections, 0..shape.items)).await?;
    engine.sync().await?;
    if workload.action != (Action::Reopen { clean: false }) {
        return Ok(Leave::Close);
    }
    let last = shape.sections.saturating_sub(1)..shape.sections;
    engine.append(Run::new(values, shape.items, last, shape.items..shape.items + UNSYNCED)).await?;
    Ok(Leave::Running)
}

/// The part that is measured.
struct Measured<'a> {
    job: &'a Job,
    values: Values,
}

/// The clock and the kernel's counts at the beginning of the measured part.
struct Started {
    at: Instant,
    io: Io,
}

/// What was measured, before it is told with all around it.
struct Figures {
    operations: u64,
    elapsed: Duration,
    final_sync: Duration,
    latencies: Option<Latencies>,
    peak_memory_bytes: u64,
    io: Io,
}

fn start() -> Result<Started> {
    let io = process::io()?;
    process::mark("begin");
    Ok(Started { at: Instant::now(), io })
}

impl Started {
    /// Ends the measured part.
    fn end(self, operations: u64) -> Result<Figures> {
        let elapsed = self.at.elapsed();
        process::mark("end");
        Ok(Figures {
            operations,
            elapsed,
            final_sync: Duration::ZERO,
            latencies: None,
            peak_memory_bytes: process::peak_memory_bytes()?,
            io: process::io()?.since(self.io),
        })
    }
}

impl Figures {
    fn with_times(self, times: Vec<u64>) -> Self {
        Self { latencies: Latencies::new(times), ..self }
    }
}

impl Measured<'_> {
    async fn run<O: Opener>(&self, opener: &O) -> Result<Ended> {
        let Workload { action, operations, .. } = self.job.workload;
        if let Action::Reopen { .. } = action {
            return self.reopen(opener).await;
        }
        let mut engine = opener.open(&self.job.directory).await?;
        let figures = match action {
            Action::Commit => self.commit(&mut engine, operations).await?,
            Action::Writers(count) => self.write_together(&mut engine, count).await?,
            Action::Append => self.append(&mut engine).await?,
            Action::Load | Action::Size => self.load(&mut engine).await?,
            Action::Read => self.read(&mut engine, operations).await?,
            Action::Entry => self.entry(&mut engine, operations).await?,
            Action::ReplayEntries => self.replay_entries(&mut engine).await?,
            Action::ReplayValues => self.replay_values(&mut engine).await?,
            Action::Prune(min) => self.prune(&mut engine, min).await?,
            Action::Reopen { .. } => return Err("a reopening is measured apart".into()),
        };
        engine.close().await?;
        self.outcome(figures)
    }

    async fn reopen<O: Opener>(&self, opener: &O) -> Result<Ended> {
        let Shape { sections, items, .. } = self.shape();
        let last = Place { section: sections - 1, position: items - 1 };
        let started = start()?;
        let mut engine = opener.open(&self.job.directory).await?;
        engine.entry(last).await?;
        let figures = started.end(1)?;
        self.check_some(&mut engine).await?;
        engine.close().await?;
        self.outcome(figures)
    }

    fn shape(&self) -> Shape {
        self.job.workload.shape
    }

    fn whole(&self) -> Run {
        Run::new(self.values, self.shape().items, 0..self.shape().sections, 0..self.shape().items)
    }

    fn outcome(&self, figures: Figures) -> Result<Ended> {
        let Workload { id, action, .. } = &self.job.workload;
        let shape = self.shape();
        let logical_bytes = match action {
            Action::Commit | Action::Writers(_) => Shape { sections: 1, items: figures.operations, ..shape },
            _ => shape,
        }
        .logical_bytes();
        Ok(Ended::Measured(Box::new(Outcome {
            engine: self.job.engine.clone(),
            workload: id.clone(),
            operations: figures.operations,
            value_bytes: figures.operations.saturating_mul(shape.value_bytes),
            logical_bytes,
            elapsed_ns: nanos(figures.elapsed),
            final_sync_ns: nanos(figures.final_sync),
            latencies: figures.latencies,
            peak_memory_bytes: figures.peak_memory_bytes,
            io: figures.io,
            disk: process::disk(&self.job.directory)?,
        })))
    }

    async fn commit<E: Engine>(&self, engine: &mut E, operations: u64) -> Result<Figures> {
        let mut items = Run::new(self.values, 0, 0..1, 0..WARM_UP + operations);
        let mut times = Vec::with_capacity(usize::try_from(operations)?);
        for item in items.by_ref().take(usize::try_from(WARM_UP)?) {
            engine.commit(item).await?;
        }
        let started = start()?;
        for item in items {
            let at = Instant::now();
            engine.commit(item).await?;
            times.push(nanos(at.elapsed()));
        }
        Ok(started.end(operations)?.with_times(times))
    }

    async fn write_together<E: Engine>(&self, engine: &mut E, count: u64) -> Result<Figures> {
        let each = self.job.workload.operations / count.max(1);
        engine.write_together(Writers { count: 1, first: 0, each: WARM_UP, values: self.values }).await?;
        let started = start()?;
        let times = engine.write_together(Writers { count, first: WARM_UP, each, values: self.values }).await?;
        Ok(started.end(count * each)?.with_times(times))
    }

    async fn append<E: Engine>(&self, engine: &mut E) -> Result<Figures> {
        let started = start()?;
        engine.append(self.whole()).await?;
        let appended = started.at.elapsed();
        engine.sync().await?;
        let figures = started.end(self.shape().total_items())?;
        Ok(Figures { elapsed: appended, final_sync: figures.elapsed.saturating_sub(appended), ..figures })
    }

    async fn load<E: Engine>(&self, engine: &mut E) -> Result<Figures> {
        let started = start()?;
        engine.append(self.whole()).await?;
        engine.sync().await?;
        started.end(self.shape().total_items())
    }

    async fn read<E: Engine>(&self, engine: &mut E, operations: u64) -> Result<Figures> {
        for item in self.whole() {
            let place = Place { section: item.section, position: item.position };
            let mut same = false;
            engine.read(place, |id, value| same = id == item.id && value == item.value).await?;
            if !same {
                return Err(wrong(place));
            }
        }
        let mut times = Vec::with_capacity(usize::try_from(operations)?);
        let started = start()?;
        for operation in 0..operations {
            let (place, wanted) = self.draw(operation);
            let mut found = None;
            let at = Instant::now();
            engine
                .read(place, |id, value| {
                    // What is behind a lazy form is there only when its bytes are asked for.
                    black_box((value.first(), value.last()));
                    found = Some(id);
                })
                .await?;
            times.push(nanos(at.elapsed()));
            if found != Some(wanted) {
                return Err(wrong(place));
            }
        }
        Ok(started.end(operations)?.with_times(times))
    }

    async fn entry<E: Engine>(&self, engine: &mut E, operations: u64) -> Result<Figures> {
        for item in self.whole() {
            let place = Place { section: item.section, position: item.position };
            if engine.entry(place).await? != item.id {
                return Err(wrong(place));
            }
        }
        let batches = operations / BATCH;
        let mut times = Vec::with_capacity(usize::try_from(batches)?);
        let started = start()?;
        for batch in 0..batches {
            let places: Vec<_> = (0..BATCH).map(|at| self.draw(batch * BATCH + at)).collect();
            let mut sum = 0_u64;
            let at = Instant::now();
            for (place, _) in &places {
                sum = sum.wrapping_add(engine.entry(*place).await?);
            }
            times.push(nanos(at.elapsed()) / BATCH);
            if sum != places.iter().fold(0_u64, |sum, (_, id)| sum.wrapping_add(*id)) {
                return Err("the wrong records came back".into());
            }
        }
        Ok(started.end(batches * BATCH)?.with_times(times))
    }

    async fn replay_entries<E: Engine>(&self, engine: &mut E) -> Result<Figures> {
        let mut check = Replayed::default();
        engine.replay_entries(|id| check.see(id)).await?;
        check.expect(self.shape())?;
        let (mut passes, mut sum) = (0, 0_u64);
        let started = start()?;
        while started.at.elapsed() < REPLAY_FOR {
            engine.replay_entries(|id| sum = sum.wrapping_add(id)).await?;
            passes += 1;
        }
        black_box(sum);
        started.end(passes * self.shape().total_items())
    }

    async fn replay_values<E: Engine>(&self, engine: &mut E) -> Result<Figures> {
        let mut check = Replayed::default();
        let mut wrong = None;
        engine
            .replay_values(|id, value| {
                check.see(id);
                if value != self.values.of(id) {
                    wrong = Some(id);
                }
            })
            .await?;
        check.expect(self.shape())?;
        if let Some(id) = wrong {
            return Err(format!("a wrong value came back for item {id}").into());
        }
        let (mut passes, mut sum) = (0, 0_u64);
        let started = start()?;
        while started.at.elapsed() < REPLAY_FOR {
            engine
                .replay_values(|id, value| {
                    let byte = value.last().copied().unwrap_or_default();
                    sum = sum.wrapping_add(id).wrapping_add(u64::from(byte));
                })
                .await?;
            passes += 1;
        }
        black_box(sum);
        started.end(passes * self.shape().total_items())
    }

    async fn prune<E: Engine>(&self, engine: &mut E, min: u64) -> Result<Figures> {
        let started = start()?;
        engine.prune(min).await?;
        let figures = started.end(min)?;
        engine.entry(Place { section: min, position: 0 }).await?;
        if engine.entry(Place { section: min - 1, position: 0 }).await.is_ok() {
            return Err("a dropped section is still there".into());
        }
        Ok(figures)
    }

    /// The first and last items of some sections.
    async fn check_some<E: Engine>(&self, engine: &mut E) -> Result<()> {
        let Shape { sections, items, .. } = self.shape();
        for section in [0, sections / 2, sections - 1] {
            for position in [0, items - 1] {
                let item = Run::new(self.values, items, section..section + 1, position..position + 1).next();
                let item = item.ok_or("an empty store cannot be checked")?;
                let place = Place { section, position };
                let mut same = false;
                engine.read(place, |id, value| same = id == item.id && value == item.value).await?;
                if !same {
                    return Err(wrong(place));
                }
            }
        }
        Ok(())
    }

    /// A place drawn by a number, and the record there.
    fn draw(&self, number: u64) -> (Place, u64) {
        let id = mix(!number) % self.shape().total_items().max(1);
        (Place { section: id / self.shape().items, position: id % self.shape().items }, id)
    }
}

fn wrong(place: Place) -> crate::Error {
    format!("section {} did not give back what was appended at {}", place.section, place.position).into()
}

/// What a replay handed on.
#[derive(Default)]
struct Replayed {
    count: u64,
    out_of_order: u64,
}

impl Replayed {
    fn see(&mut self, id: u64) {
        if id != self.count {
            self.out_of_order += 1;
        }
        self.count += 1;
    }

    fn expect(&self, shape: Shape) -> Result<()> {
        let Self { count, out_of_order } = self;
        if *count == shape.total_items() && *out_of_order == 0 {
            return Ok(());
        }
        Err(format!("a replay gave {count} items, {out_of_order} of them out of order").into())
    }
}
