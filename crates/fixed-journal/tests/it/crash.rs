//! Random lives on the simulated disk: appends, syncs, reads, rewinds, prunes and reopenings, with crashes at any step,
//! also inside a recovery, failed writes and syncs, and dropped futures.
//!
//! The oracle is the log of what was begun and what was acknowledged, never the recovered journal. For each section it
//! knows what was appended since the last completed rewind, and how much of that was acknowledged as durable. A change of
//! structure that was begun and has not returned leaves two stores that may be found: wholly before and wholly after.

mod oracle;

use std::collections::BTreeMap;
use std::sync::Arc;

use blob_runtime::sim::{self, Crash, Cut, Fault, Sim};
use blob_runtime::{Operation, Storage};
use fixed_journal::{Config, Error, Item, RawJournal};
use futures::TryStreamExt;
use paged_cache::PageCache;

use self::oracle::{Settings, Shared, Shown, bytes, lens};

const SECTIONS: u64 = 4;

async fn shown(journal: &RawJournal) -> Result<Shown, Error> {
    let mut shown: Shown = journal.sections().into_iter().map(|section| (section, Vec::new())).collect();
    let first = journal.oldest_section().unwrap_or(0);
    let all: Vec<Item<_>> = journal.replay(first, 0).try_collect().await?;
    for Item { section, position, item } in all {
        let items = shown.entry(section).or_default();
        assert_eq!(items.len() as u64, position);
        items.push(item.to_vec());
    }
    for (section, items) in &shown {
        assert_eq!(journal.len(*section).await?, items.len() as u64);
        if let Some(last) = items.last() {
            assert_eq!(&journal.get(*section, items.len() as u64 - 1).await?, last);
        }
    }
    Ok(shown)
}

struct Life {
    sim: Sim,
    rng: fastrand::Rng,
    oracle: Shared,
    settings: Settings,
    case: String,
    journal: RawJournal,
}

async fn open(sim: &Sim, rng: &mut fastrand::Rng, settings: Settings) -> Result<RawJournal, Error> {
    let storage: Arc<dyn Storage> = sim.storage();
    let config = Config::new("items")
        .page_bytes(1 << rng.u32(6..=8))
        .page_cache(PageCache::new(if rng.bool() { 4_000 } else { 0 }))
        .buffer_bytes(rng.usize(1..300))
        .unsynced_bytes(rng.u64(1..600))
        .recovery_concurrency(rng.usize(1..4));
    RawJournal::open(storage, config, Some(u32::try_from(settings.item_bytes).unwrap())).await
}

/// Opens and checks. A fault may strike the open: then it is tried again, until it comes through.
async fn start(sim: Sim, mut rng: fastrand::Rng, oracle: Shared, settings: Settings, case: String) -> Life {
    loop {
        match open(&sim, &mut rng, settings).await {
            Ok(journal) => {
                let found = match shown(&journal).await {
                    Ok(found) => found,
                    Err(error) if settings.faults && error.storage().is_some() => {
                        drop(journal);
                        continue;
                    }
                    Err(error) => panic!("{case}: {error}"),
                };
                oracle.lock().unwrap().opened(&found, journal.pruned_to(), settings, &case);
                return Life { sim, rng, oracle, settings, case, journal };
            }
            // A task that still syncs holds a handle, and that the claim.
            Err(error) if matches!(error.storage(), Some(blob_runtime::Error::Locked { .. })) => {
                assert!(sim.steps() < 1_000_000, "{case}: the claim is never given up");
                sim.yield_now().await;
            }
            Err(error) if settings.faults => {
                let storage = error.storage().unwrap_or_else(|| panic!("{case}: {error}"));
                assert!(
                    matches!(storage, blob_runtime::Error::Io { .. } | blob_runtime::Error::Poisoned { .. }),
                    "{case}: {error:?}"
                );
                // A directory that failed to sync stays poisoned for the life of the process.
                if matches!(storage, blob_runtime::Error::Poisoned { .. }) {
                    sim.crash(Crash::Kill);
                    sim.yield_now().await;
                }
            }
            Err(error) => panic!("{case}: {error:?}"),
        }
    }
}

impl Life {
    async fn reopen(self) -> Self {
        let Self { sim, rng, oracle, settings, case, journal } = self;
        drop(journal);
        start(sim, rng, oracle, settings, case).await
    }

    /// An error is only right while faults are drawn.
    fn expect_fault(&self, error: &Error, what: &str) {
        assert!(self.settings.faults, "{}: {what}: {error:?}", self.case);
        let told = match error {
            Error::Unfinished { .. } => true,
            other => {
                matches!(other.storage(), Some(blob_runtime::Error::Io { .. } | blob_runtime::Error::Poisoned { .. }))
            }
        };
        assert!(told, "{}: {what}: {error:?}", self.case);
    }

    async fn append(&mut self) {
        let section = self.rng.u64(0..SECTIONS);
        let count = if self.rng.u8(0..4) == 0 { self.rng.usize(0..5) } else { 1 };
        let first = {
            let mut oracle = self.oracle.lock().unwrap();
            oracle.next_item += count as u64;
            oracle.next_item - count as u64
        };
        let numbers: Vec<u64> = (first..first + count as u64).collect();
        let data: Vec<u8> =
            numbers.iter().flat_map(|number| bytes(section, *number, self.settings.item_bytes)).collect();
        let (oracle, journal) = (Arc::clone(&self.oracle), self.journal.clone());
        let mut work = Box::pin(async move {
            let result = journal.append_many(section, &data).await;
            if let Ok(position) = result {
                let mut oracle = oracle.lock().unwrap();
                let items = &mut oracle.now.sections.entry(section).or_default().items;
                assert_eq!(items.len() as u64, position);
                items.extend(numbers);
            }
            result
        });
        let drop_after = if self.rng.u8(0..6) == 0 { self.rng.u8(0..4) } else { u8::MAX };
        for _ in 0..drop_after {
            if let std::task::Poll::Ready(result) = futures::poll!(&mut work) {
                match result {
                    Ok(_) => {}
                    Err(Error::Pruned { oldest, .. }) => {
                        assert_eq!(oldest, self.oracle.lock().unwrap().now.pruned_to, "{}", self.case);
                    }
                    Err(error) => self.expect_fault(&error, "append"),
                }
                return;
            }
            self.sim.yield_now().await;
        }
    }

    /// Syncs a section, or all; what it covers was there when it was called.
    fn sync(&mut self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let section = self.rng.u64(0..SECTIONS);
        let all = self.rng.u8(0..4) == 0;
        let (journal, oracle) = (self.journal.clone(), Arc::clone(&self.oracle));
        let (settings, case) = (self.settings, self.case.clone());
        async move {
            let covered: BTreeMap<u64, usize> = {
                let oracle = oracle.lock().unwrap();
                let of = |number: &u64| all || *number == section;
                oracle.now.sections.iter().filter(|(number, _)| of(number)).map(|(n, s)| (*n, s.items.len())).collect()
            };
            let epoch = oracle.lock().unwrap().epoch;
            let result = if all { journal.sync_all().await } else { journal.sync(section).await };
            let mut oracle = oracle.lock().unwrap();
            match result {
                Ok(()) if oracle.epoch == epoch => {
                    for (number, len) in covered {
                        if let Some(section) = oracle.now.sections.get_mut(&number) {
                            section.synced = section.synced.max(len);
                        }
                    }
                }
                Ok(()) | Err(Error::Pruned { .. } | Error::SectionOutOfRange { .. } | Error::Closed) => {}
                Err(error) if oracle.epoch != epoch || settings.faults => drop(error),
                Err(error) => panic!("{case}: sync: {error:?}"),
            }
        }
    }

    /// A change of structure: either it was made or not, until it has returned.
    async fn restructure(&mut self) {
        let section = self.rng.u64(0..SECTIONS);
        let kind = self.rng.u8(0..6);
        let before = self.oracle.lock().unwrap().now.clone();
        let len = before.sections.get(&section).map_or(0, |found| found.items.len());
        let keep = self.rng.usize(0..=len);
        let min = self.rng.u64(0..2);
        let mut after = before.clone();
        match kind {
            0..=3 => {
                if let Some(found) = after.sections.get_mut(&section) {
                    found.items.truncate(keep);
                    // What a rewind keeps is made durable by it.
                    found.synced = if keep < len { keep } else { found.synced };
                }
                if kind < 2 {
                    after.sections.retain(|other, _| *other <= section);
                }
            }
            4 => drop(after.sections.remove(&section)),
            _ => after.sections.retain(|other, _| *other >= min),
        }
        {
            let mut oracle = self.oracle.lock().unwrap();
            oracle.epoch += 1;
            match kind {
                5 => {
                    after = before.clone();
                    oracle.pruning = oracle.pruning.max(min);
                }
                _ => oracle.after = Some(after.clone()),
            }
        }
        let journal = self.journal.clone();
        let mut work = Box::pin(async move {
            match kind {
                0 | 1 => journal.rewind(section, keep as u64).await,
                2 | 3 => journal.rewind_section(section, keep as u64).await,
                4 => journal.remove_section(section).await.map(drop),
                _ => journal.prune(min).await.map(drop),
            }
        });
        let drop_after = if self.rng.u8(0..4) == 0 { self.rng.u8(0..30) } else { u8::MAX };
        let mut result = None;
        for _ in 0..drop_after {
            if let std::task::Poll::Ready(ready) = futures::poll!(&mut work) {
                result = Some(ready);
                break;
            }
            self.sim.yield_now().await;
        }
        if result.is_none() && drop_after == u8::MAX {
            result = Some((&mut work).await);
        }
        drop(work);
        self.oracle.lock().unwrap().epoch += 1;
        match result {
            Some(Ok(())) => {
                let mut oracle = self.oracle.lock().unwrap();
                oracle.after = None;
                if kind == 5 {
                    oracle.now.pruned_to = oracle.now.pruned_to.max(min);
                    oracle.now.sections.retain(|other, _| *other >= min);
                } else {
                    oracle.now = after;
                }
            }
            Some(Err(Error::Pruned { .. })) => {
                let mut oracle = self.oracle.lock().unwrap();
                assert!(section < oracle.now.pruned_to, "{}", self.case);
                oracle.after = None;
            }
            Some(Err(error)) => {
                self.expect_fault(&error, "restructure");
                self.oracle.lock().unwrap().stuck = true;
            }
            // Dropped in the middle: only the next open tells.
            None => self.oracle.lock().unwrap().stuck = true,
        }
    }

    async fn read(&self) {
        let epoch = self.oracle.lock().unwrap().epoch;
        match shown(&self.journal).await {
            Ok(shown) => {
                let oracle = self.oracle.lock().unwrap();
                if oracle.epoch == epoch {
                    let want: Shown = oracle
                        .now
                        .sections
                        .iter()
                        .map(|(section, found)| {
                            let items = found.items.iter().map(|item| bytes(*section, *item, self.settings.item_bytes));
                            (*section, items.collect())
                        })
                        .collect();
                    let shown: Shown = shown
                        .into_iter()
                        .filter(|(section, items)| !items.is_empty() || want.contains_key(section))
                        .collect();
                    assert_eq!(lens(&shown), lens(&want), "{}", self.case);
                    assert!(shown == want, "{}: other items than were appended", self.case);
                }
            }
            Err(Error::Pruned { .. } | Error::Rewound { .. } | Error::SectionOutOfRange { .. }) => {}
            Err(error) => self.expect_fault(&error, "read"),
        }
    }

    async fn run(mut self) {
        for _ in 0..self.rng.usize(5..40) {
            if self.oracle.lock().unwrap().stuck {
                self = self.reopen().await;
            }
            if self.settings.faults && self.rng.u8(0..8) == 0 {
                let operation =
                    [Operation::Write, Operation::Write, Operation::Sync, Operation::Resize, Operation::Read];
                let fault = Fault::eio(operation[self.rng.usize(0..operation.len())]).nth(self.rng.u64(1..6));
                self.sim.faults().inject(fault);
            }
            match self.rng.u8(0..20) {
                0..9 => self.append().await,
                9..12 => self.sync().await,
                12 => {
                    let sync = self.sync();
                    drop(self.sim.spawn(sync));
                }
                13..16 => self.restructure().await,
                16 => self.read().await,
                17 => {
                    self.oracle.lock().unwrap().epoch += 1;
                    match self.journal.close().await {
                        Ok(()) => {
                            let mut oracle = self.oracle.lock().unwrap();
                            for section in oracle.now.sections.values_mut() {
                                section.synced = section.items.len();
                            }
                        }
                        Err(error) => self.expect_fault(&error, "close"),
                    }
                    self = self.reopen().await;
                }
                18 => {
                    let section = self.rng.u64(0..SECTIONS);
                    let epoch = {
                        let mut oracle = self.oracle.lock().unwrap();
                        oracle.epoch += 1;
                        oracle.epoch
                    };
                    match self.journal.reopen_section(section).await {
                        Ok(()) => {
                            let len = usize::try_from(self.journal.len(section).await.unwrap_or(0)).unwrap();
                            let durable = self.journal.durable_len(section).await.unwrap_or(0);
                            let mut oracle = self.oracle.lock().unwrap();
                            assert_eq!(oracle.epoch, epoch);
                            // A sync that began meanwhile covers what the section has now.
                            oracle.epoch += 1;
                            if let Some(found) = oracle.now.sections.get_mut(&section) {
                                assert!((found.synced..=found.items.len()).contains(&len), "{}", self.case);
                                found.items.truncate(len);
                                found.synced = found.synced.max(usize::try_from(durable).unwrap());
                            }
                        }
                        Err(Error::Pruned { .. } | Error::SectionOutOfRange { .. }) => {}
                        Err(error) => {
                            self.expect_fault(&error, "reopen_section");
                            self.oracle.lock().unwrap().stuck = true;
                        }
                    }
                }
                _ => self = self.reopen().await,
            }
        }
    }
}

fn seed(seed: u64) {
    sim::run(seed, async |sim| {
        let mut rng = sim.rng();
        let oracle = Shared::default();
        let settings = Settings { item_bytes: rng.usize(1..120), faults: rng.bool() };
        let case = format!("seed {seed}, {settings:?}");
        for _ in 0..rng.usize(1..4) {
            let crash = match rng.u8(0..6) {
                0 | 1 => Crash::Kill,
                2 => Crash::Power(Cut::LoseAll),
                3 => Crash::Power(Cut::KeepAll),
                _ => Crash::Power(Cut::Random),
            };
            sim.crash_at(rng.u64(1..250), crash);
            let (life, lived, shared) = (sim.clone(), rng.fork(), Arc::clone(&oracle));
            let case = case.clone();
            sim.life(async move { start(life, lived, shared, settings, case).await.run().await }).await;
            if sim.disarm() {
                sim.crash(crash);
            }
        }
        sim.faults().clear();
        let rest = Settings { faults: false, ..settings };
        let last = start(sim.clone(), rng.fork(), Arc::clone(&oracle), rest, format!("{case}, at rest")).await;
        // A second open changes nothing of what is shown (P9).
        sim.crash(Crash::Power(Cut::LoseAll));
        drop(last);
        start(sim.clone(), rng, oracle, rest, format!("{case}, again")).await;
    });
}

/// Which seeds: see [`sim::seeds`].
#[test]
fn nothing_acknowledged_is_lost() {
    sim::seeds(3000).unwrap().for_each(seed);
}
