//! What the tests share: a small store on the simulated disk, its files as an image, and what it shows.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use blob_runtime::sim::{Crash, Cut, Sim};
use blob_runtime::{Salt, Storage};
use futures::TryStreamExt;
use oversized::{Config, Error, Located, OnDamage, Oversized};

pub(crate) type Store = Oversized<Located<u64>, Vec<u8>>;

pub(crate) const LOSE_ALL: Crash = Crash::Power(Cut::LoseAll);

/// The value that belongs to a record's data.
pub(crate) fn value(data: u64) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(data);
    let len = 10 + data as usize % 50;
    std::iter::repeat_with(|| rng.u8(..)).take(len).collect()
}

/// Small pages, an index after a few records, and one section open at a time where none is in use.
pub(crate) fn config() -> Config {
    Config::new("blocks").page_bytes(64).index_buffer_bytes(100).preallocate_bytes(0).open_sections(1)
}

pub(crate) async fn open(storage: Arc<dyn Storage>) -> Result<Store, Error> {
    Oversized::open(storage, config()).await
}

pub(crate) async fn open_with(storage: Arc<dyn Storage>, on_damage: OnDamage) -> Result<Store, Error> {
    Oversized::open(storage, config().on_damage(on_damage)).await
}

pub(crate) async fn append(store: &Store, section: u64, data: u64) -> Result<u64, Error> {
    Ok(store.append(section, Located::new(data), &value(data)).await?.position)
}

pub(crate) async fn fill(store: &Store, section: u64, data: std::ops::Range<u64>) {
    for data in data {
        append(store, section, data).await.unwrap();
    }
}

/// The data of a section's entries, each read one by one, its value compared; and again by both replays.
pub(crate) async fn shown(store: &Store, section: u64) -> Result<Vec<u64>, Error> {
    let mut all = Vec::new();
    for position in 0..store.len(section).await? {
        let record = store.get(section, position).await?;
        let (again, read) = store.read(section, position).await?;
        assert_eq!(again, record, "entry {position} of section {section}");
        assert_eq!(read, value(record.data), "entry {position} of section {section}");
        all.push(record.data);
    }
    let of_section = |entry_section: u64| futures::future::ready(Ok(entry_section == section));
    let replayed: Vec<u64> = store
        .replay(section, 0)
        .try_take_while(|entry| of_section(entry.section))
        .map_ok(|entry| entry.record.data)
        .try_collect()
        .await?;
    assert_eq!(replayed, all, "section {section}");
    let replayed: Vec<_> = store
        .replay_values(section, 0)
        .try_take_while(|entry| of_section(entry.section))
        .try_collect::<Vec<_>>()
        .await?;
    for (entry, data) in replayed.iter().zip(&all) {
        assert_eq!((entry.record.data, &entry.value), (*data, &value(*data)), "section {section}");
    }
    assert_eq!(replayed.len(), all.len(), "section {section}");
    Ok(all)
}

/// What all sections show.
pub(crate) async fn all_shown(store: &Store) -> Result<BTreeMap<u64, Vec<u64>>, Error> {
    let mut all = BTreeMap::new();
    for section in store.sections() {
        all.insert(section, shown(store, section).await?);
    }
    Ok(all)
}

/// Runs as a life of the machine; then the machine goes down.
pub(crate) async fn life<Fut>(sim: &Sim, crash: Crash, work: impl FnOnce(Sim) -> Fut) -> Fut::Output
where
    Fut: Future<Output: Send + 'static> + Send + 'static,
{
    let output = sim.life(work(sim.clone())).await.unwrap();
    sim.crash(crash);
    output
}

/// Every file of the disk, with its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image(pub(crate) BTreeMap<(String, Vec<u8>, Salt), Vec<u8>>);

impl Image {
    pub(crate) fn of(sim: &Sim) -> Self {
        let disk = sim.disk();
        let files = disk.files().into_iter().filter(|file| file.visible);
        Self(
            files
                .map(|file| {
                    let bytes = disk.visible(&file.partition, &file.name).unwrap();
                    ((file.partition.to_string(), file.name.to_vec(), file.salt), bytes)
                })
                .collect(),
        )
    }

    /// Puts the disk back as it was.
    pub(crate) fn restore(&self, sim: &Sim) {
        let disk = sim.disk();
        for file in disk.files() {
            while disk.remove(&file.partition, &file.name) {}
        }
        for ((partition, name, salt), bytes) in &self.0 {
            assert!(disk.put(partition, name, *salt, bytes.clone()));
        }
    }

    /// Whether these bytes, zeros left aside, are in a file of the quarantine.
    pub(crate) fn quarantine_has(&self, bytes: &[u8]) -> bool {
        bytes.iter().all(|byte| *byte == 0)
            || self.0.iter().any(|((partition, ..), file)| {
                partition.ends_with("-quarantine") && file.windows(bytes.len().max(1)).any(|part| part == bytes)
            })
    }
}

/// A store with 12 entries in section 1, some of them batches, and 3 in section 2, all durable; the index of section 1 is
/// written. Closed, or left by a power cut.
pub(crate) async fn build(sim: &Sim, closed: bool) -> BTreeMap<u64, Vec<u64>> {
    life(sim, LOSE_ALL, |sim| async move {
        let store = open(sim.storage()).await.unwrap();
        fill(&store, 1, 100..104).await;
        store.sync(1).await.unwrap();
        store.append_all(1, (104..107).map(|data| (Located::new(data), value(data)))).await.unwrap();
        fill(&store, 1, 107..110).await;
        store.sync(1).await.unwrap();
        fill(&store, 1, 110..112).await;
        fill(&store, 2, 200..202).await;
        store.sync_all().await.unwrap();
        fill(&store, 2, 202..203).await;
        store.sync(2).await.unwrap();
        let all = all_shown(&store).await.unwrap();
        if closed {
            store.close().await.unwrap();
        }
        all
    })
    .await
}
