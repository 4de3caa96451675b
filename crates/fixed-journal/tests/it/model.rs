//! Random operations against a plain map, in memory: what is read is always what was appended last.

use std::collections::BTreeMap;
use std::sync::Arc;

use blob_runtime::{MemoryStorage, Storage};
use fixed_journal::{Config, Error, Item, RawJournal};
use futures::TryStreamExt;
use futures::executor::block_on;
use paged_cache::PageCache;

struct World {
    rng: fastrand::Rng,
    storage: Arc<dyn Storage>,
    cache: PageCache,
    item_bytes: u32,
    journal: RawJournal,
    model: BTreeMap<u64, Vec<Vec<u8>>>,
    pruned_to: u64,
}

impl World {
    async fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
        let cache = PageCache::new(if rng.bool() { 50_000 } else { 0 });
        let item_bytes = rng.u32(1..200);
        let journal = open(&mut rng, &storage, &cache, item_bytes).await;
        Self { rng, storage, cache, item_bytes, journal, model: BTreeMap::new(), pruned_to: 0 }
    }

    fn item(&mut self) -> Vec<u8> {
        (0..self.item_bytes).map(|_| self.rng.u8(..)).collect()
    }

    async fn step(&mut self) {
        let section = self.rng.u64(0..6);
        match self.rng.u8(0..20) {
            0..8 => {
                let item = self.item();
                match self.journal.append(section, &item).await {
                    Ok(position) => {
                        let items = self.model.entry(section).or_default();
                        items.push(item);
                        assert_eq!(position + 1, items.len() as u64);
                    }
                    Err(Error::Pruned { oldest, .. }) => assert_eq!(oldest, self.pruned_to),
                    Err(error) => panic!("{error}"),
                }
            }
            8 => {
                let items: Vec<u8> = (0..self.rng.usize(0..30)).flat_map(|_| self.item()).collect();
                match self.journal.append_many(section, &items).await {
                    Ok(_) => {
                        let items = items.chunks(self.item_bytes as usize).map(<[u8]>::to_vec);
                        self.model.entry(section).or_default().extend(items);
                    }
                    Err(Error::Pruned { oldest, .. }) => assert_eq!(oldest, self.pruned_to),
                    Err(error) => panic!("{error}"),
                }
            }
            9 | 10 => match self.journal.sync(section).await {
                Ok(()) => assert!(self.model.contains_key(&section)),
                Err(Error::Pruned { .. }) => assert!(section < self.pruned_to),
                Err(Error::SectionOutOfRange { .. }) => assert!(!self.model.contains_key(&section)),
                Err(error) => panic!("{error}"),
            },
            11 => self.journal.sync_all().await.unwrap(),
            12 | 13 => {
                let len = self.model.get(&section).map_or(0, Vec::len);
                let items = self.rng.usize(0..=len);
                let all_later = self.rng.bool();
                let result = match all_later {
                    true => self.journal.rewind(section, items as u64).await,
                    false => self.journal.rewind_section(section, items as u64).await,
                };
                match result {
                    Ok(()) => {
                        if let Some(kept) = self.model.get_mut(&section) {
                            kept.truncate(items);
                        }
                        self.model.retain(|other, _| !all_later || *other <= section);
                    }
                    Err(Error::Pruned { .. }) => assert!(section < self.pruned_to),
                    Err(error) => panic!("{error}"),
                }
            }
            14 => {
                let min = self.rng.u64(0..3);
                let any = self.model.keys().any(|other| *other < min) && min > self.pruned_to;
                assert_eq!(self.journal.prune(min).await.unwrap(), any);
                self.pruned_to = self.pruned_to.max(min);
                self.model.retain(|other, _| *other >= min);
            }
            15 => match self.journal.remove_section(section).await {
                Ok(any) => assert_eq!(any, self.model.remove(&section).is_some()),
                Err(Error::Pruned { .. }) => assert!(section < self.pruned_to),
                Err(error) => panic!("{error}"),
            },
            16 => {
                self.journal.close().await.unwrap();
                self.journal = open(&mut self.rng, &self.storage, &self.cache, self.item_bytes).await;
                assert!(self.journal.recovery().opening.clean);
            }
            17 => {
                // Everything is synced, then the process is gone without a close.
                self.journal.sync_all().await.unwrap();
                drop(self.journal.clone());
                let gone = std::mem::replace(&mut self.journal, other().await);
                drop(gone);
                self.journal = open(&mut self.rng, &self.storage, &self.cache, self.item_bytes).await;
                assert_eq!(self.journal.recovery().sections, []);
            }
            18 if self.rng.u8(0..5) == 0 => {
                self.journal.clear().await.unwrap();
                self.model.clear();
            }
            _ => self.check(section).await,
        }
    }

    async fn check(&mut self, section: u64) {
        assert_eq!(self.journal.sections(), self.model.keys().copied().collect::<Vec<_>>());
        let len = self.model.get(&section).map_or(0, Vec::len);
        if len > 0 {
            let position = self.rng.usize(0..len);
            let got = self.journal.get(section, position as u64).await.unwrap();
            assert_eq!(got, self.model[&section][position]);
        }
        let from = self.rng.usize(0..=len);
        let replay: Vec<Item<_>> =
            self.journal.replay(section, from as u64).try_collect().await.unwrap_or_else(|error| {
                assert!(matches!(error, Error::Pruned { .. }), "{error}");
                assert!(section < self.pruned_to);
                Vec::new()
            });
        if section >= self.pruned_to {
            let want = self.model.range(section..).flat_map(|(of, items)| {
                let skip = if *of == section { from } else { 0 };
                items.iter().enumerate().skip(skip).map(move |(position, item)| (*of, position as u64, item))
            });
            let got = replay.iter().map(|item| (item.section, item.position, item.item.to_vec()));
            assert!(got.eq(want.map(|(of, position, item)| (of, position, item.clone()))));
        }
    }
}

async fn open(rng: &mut fastrand::Rng, storage: &Arc<dyn Storage>, cache: &PageCache, item_bytes: u32) -> RawJournal {
    let config = Config::new("items")
        .page_bytes(1 << rng.u32(6..=12))
        .page_cache(cache.clone())
        .buffer_bytes(rng.usize(1..2_000))
        .unsynced_bytes(rng.u64(1..5_000));
    RawJournal::open(Arc::clone(storage), config, Some(item_bytes)).await.unwrap()
}

async fn other() -> RawJournal {
    RawJournal::open(Arc::new(MemoryStorage::new()), Config::new("other"), Some(1)).await.unwrap()
}

#[test]
fn the_journal_agrees_with_a_map() {
    for seed in 0..150 {
        block_on(async {
            let mut world = World::new(seed).await;
            for _ in 0..200 {
                world.step().await;
            }
            for section in 0..6 {
                world.check(section).await;
            }
        });
    }
}
