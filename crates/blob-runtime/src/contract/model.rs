//! Long runs of random operations, against plain bytes in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::try_join_all;

use super::case::{Case, Stop, Verdict, cases, format, noise, refused};
use super::order::Change;
use crate::error::Error;
use crate::storage::{Blob, Storage};

cases! {
    READ_WHOLE "random operations, several blobs and handles" random;
    OPEN_CREATE "random operations, opened again now and then" random_reopen;
    DURABLE "random operations, all synced, a power cut now and then" random_cut;
    ORDER "many blobs, readers and writers side by side" side_by_side;
}

const NAMES: [&[u8]; 3] = [b"x", b"y", b"z"];

/// What happens to the storage now and then.
#[derive(Clone, Copy, PartialEq)]
enum Event {
    None,
    Reopen,
    PowerCut,
}

async fn random(case: &Case<'_>) -> Verdict {
    runs(case, Event::None).await
}

async fn random_reopen(case: &Case<'_>) -> Verdict {
    runs(case, Event::Reopen).await
}

async fn random_cut(case: &Case<'_>) -> Verdict {
    runs(case, Event::PowerCut).await
}

async fn runs(case: &Case<'_>, event: Event) -> Verdict {
    const SEEDS: u64 = 6;
    const STEPS: usize = 120;
    let mut storage = case.fresh().await?;
    for seed in 0..SEEDS {
        let mut run = Run::new(storage, seed);
        for step in 0..STEPS {
            let doing = format!("seed {seed}, step {step}");
            run.step(case, &doing).await?;
            if event != Event::None && run.rng.u8(..20) == 0 {
                run = run.event(case, event).await?;
            }
        }
        run.check_all(case, &format!("seed {seed}, at the end")).await?;
        storage = run.storage;
    }
    Ok(())
}

/// A blob of the model, and a handle or two.
#[derive(Default)]
struct Known {
    content: Vec<u8>,
    handles: Vec<Arc<dyn Blob>>,
}

/// Which partition, and the name.
type Place = (usize, &'static [u8]);

struct Run {
    storage: Arc<dyn Storage>,
    partitions: [String; 2],
    model: BTreeMap<Place, Known>,
    rng: fastrand::Rng,
}

impl Run {
    /// In partitions of its own.
    fn new(storage: Arc<dyn Storage>, seed: u64) -> Self {
        let partitions = ["a", "b"].map(|partition| format!("model-{partition}-{seed}"));
        Self { storage, partitions, model: BTreeMap::new(), rng: fastrand::Rng::with_seed(seed) }
    }

    fn partition(&self, partition: usize) -> &str {
        self.partitions.get(partition).map_or("", String::as_str)
    }

    fn place(&mut self) -> Place {
        let name = NAMES.get(self.rng.usize(..NAMES.len())).copied().unwrap_or_default();
        (self.rng.usize(..self.partitions.len()), name)
    }

    async fn step(&mut self, case: &Case<'_>, doing: &str) -> Verdict {
        let place = self.place();
        let (partition, name) = (self.partition(place.0).to_owned(), place.1);
        let partition = partition.as_str();
        match self.rng.u8(..20) {
            0..2 => {
                let blob = case.open(&self.storage, partition, name).await?;
                let known = self.model.entry(place).or_default();
                case.content(&format!("{doing}: opened"), blob.as_ref(), &known.content).await?;
                known.handles.push(blob);
            }
            2 => {
                case.remove(&self.storage, partition, &[name]).await?;
                self.forget(case, doing, |gone| gone == place).await?;
            }
            3 => {
                if self.rng.u8(..4) == 0 {
                    let gone = case.ends(doing, self.storage.remove_partition(partition)).await?;
                    case.ok(doing, gone)?;
                    self.forget(case, doing, |(of, _)| of == place.0).await?;
                }
            }
            4 => {
                case.same(doing, self.names(place.0), case.scan(&self.storage, partition).await?)?;
            }
            5 => self.sync_all(case, doing).await?,
            6 => {
                let opened = case.ends(doing, self.storage.open(partition, name, &format().existing())).await?;
                match self.model.get(&place) {
                    Some(known) => case.content(doing, case.ok(doing, opened)?.as_ref(), &known.content).await?,
                    None => refused!(case, doing, opened, Error::NotFound { .. })?,
                }
            }
            7..11 => self.read(case, doing, place).await?,
            _ => {
                let change = Change::random(&mut self.rng);
                let blob = self.handle(case, place).await?;
                let changed = case.ends(doing, change.on(blob.as_ref())).await?;
                case.ok(doing, changed)?;
                let known = self.model.entry(place).or_default();
                known.content = change.of(&known.content);
                case.same(doing, known.content.len() as u64, blob.len())?;
            }
        }
        Ok(())
    }

    /// Any handle of a blob, opened now when there is none.
    async fn handle(&mut self, case: &Case<'_>, place: Place) -> Result<Arc<dyn Blob>, Stop> {
        if self.model.get(&place).is_none_or(|known| known.handles.is_empty()) {
            let blob = case.open(&self.storage, self.partition(place.0), place.1).await?;
            self.model.entry(place).or_default().handles.push(blob);
        }
        let known = self.model.entry(place).or_default();
        let at = self.rng.usize(..known.handles.len());
        known.handles.get(at).cloned().ok_or_else(|| case.wrong("the suite itself", "a handle", "none"))
    }

    async fn read(&mut self, case: &Case<'_>, doing: &str, place: Place) -> Verdict {
        let blob = self.handle(case, place).await?;
        let known = self.model.entry(place).or_default();
        let (from, len) = (self.rng.usize(..16_000), self.rng.usize(..9_000));
        let doing = format!("{doing}: reading {len} bytes at {from}");
        let read = case.ends(&doing, blob.read_at(from as u64, len)).await?;
        match known.content.get(from..from + len) {
            Some(expected) => case.bytes(&doing, expected, &case.ok(&doing, read)?),
            None => refused!(case, &doing, read, Error::OutOfBounds { .. }),
        }
    }

    /// Blobs that were removed: their handles say so.
    async fn forget(&mut self, case: &Case<'_>, doing: &str, gone: impl Fn(Place) -> bool) -> Verdict {
        let places: Vec<_> = self.model.keys().copied().filter(|place| gone(*place)).collect();
        for place in places {
            for handle in self.model.remove(&place).unwrap_or_default().handles {
                let read = case.ends(doing, handle.read_at(0, 0)).await?;
                refused!(case, &format!("{doing}: reading a removed blob"), read, Error::Removed { .. })?;
            }
        }
        Ok(())
    }

    async fn sync_all(&mut self, case: &Case<'_>, doing: &str) -> Verdict {
        let mut blobs = Vec::new();
        for place in self.model.keys().copied().collect::<Vec<_>>() {
            blobs.push(self.handle(case, place).await?);
        }
        for answer in case.sync_many(doing, &self.storage, &blobs).await? {
            case.ok(&format!("{doing}: a sync of many"), answer)?;
        }
        Ok(())
    }

    async fn event(mut self, case: &Case<'_>, event: Event) -> Result<Self, Stop> {
        self.sync_all(case, "before the event").await?;
        self.model.values_mut().for_each(|known| known.handles.clear());
        let storage = match event {
            Event::PowerCut => case.power_cut(self.storage).await?,
            Event::Reopen | Event::None => case.reopen(self.storage).await?,
        };
        let run = Self { storage, ..self };
        run.check_all(case, "after the event").await?;
        Ok(run)
    }

    fn names(&self, partition: usize) -> Vec<Vec<u8>> {
        self.model.keys().filter(|(of, _)| *of == partition).map(|(_, name)| name.to_vec()).collect()
    }

    async fn check_all(&self, case: &Case<'_>, doing: &str) -> Verdict {
        for (at, partition) in self.partitions.iter().enumerate() {
            case.same(doing, self.names(at), case.scan(&self.storage, partition).await?)?;
        }
        for ((partition, name), known) in &self.model {
            let blob = case.existing(&self.storage, self.partition(*partition), name).await?;
            case.content(doing, blob.as_ref(), &known.content).await?;
        }
        Ok(())
    }
}

/// Tasks on many blobs at once, and a reader beside each writer: nobody sees another's bytes, or half a record.
async fn side_by_side(case: &Case<'_>) -> Verdict {
    const BLOBS: u64 = 24;
    const RECORDS: u64 = 12;
    const RECORD: usize = 700;
    let storage = case.fresh().await?;
    let record = |blob: u64, at: u64| noise(blob * 1_000 + at, RECORD);
    try_join_all((0..BLOBS).map(|number| {
        let storage = &storage;
        async move {
            let partition = if number % 2 == 0 { "model-even" } else { "model-odd" };
            let name = format!("task-{number}");
            let blob = case.open(storage, partition, name.as_bytes()).await?;
            for at in 0..RECORDS {
                let doing = format!("task {number}, record {at}");
                let offset = at * RECORD as u64;
                let write = blob.write_at(offset, vec![Bytes::from(record(number, at))]);
                let reads = async {
                    for before in 0..at {
                        let read = case.read(&doing, blob.as_ref(), before * RECORD as u64, RECORD).await?;
                        case.bytes(&doing, &record(number, before), &read)?;
                    }
                    Ok::<_, Stop>(())
                };
                let (written, read) = futures::join!(case.ends(&doing, write), reads);
                case.ok(&doing, written?)?;
                read?;
                if at % 4 == 3 {
                    case.sync(blob.as_ref()).await?;
                }
            }
            let all: Vec<u8> = (0..RECORDS).flat_map(|at| record(number, at)).collect();
            case.content(&format!("task {number}, all records"), blob.as_ref(), &all).await
        }
    }))
    .await
    .map(drop)
}
