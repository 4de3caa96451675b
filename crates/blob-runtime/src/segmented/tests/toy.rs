//! A small store of sections: a section is a blob of one-byte items from 1 to 254. A zero ends it, for bytes that were
//! lost read as zeros; [`ROT`] is an item that is damaged.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;

use crate::append::{Config, Log, Plain, Start};
use crate::error::Error;
use crate::header::{Format, Kind, Want};
use crate::manifest::Target;
use crate::name::{BlobId, StoreId};
use crate::quarantine;
use crate::queue::Queue;
use crate::sections::{parse_section_name, section_name};
use crate::segmented::{Damage, Driver, Fault, Look, OnDamage, Opening, Options, Segmented};
use crate::sim::Sim;
use crate::storage::{Blob, Storage};

pub(super) const PARTITION: &str = "toy";
pub(super) const ROT: u8 = 255;

pub(super) struct Toy {
    storage: Arc<dyn Storage>,
    store: StoreId,
    /// Whoever makes a section passes here on its way to the storage; a test holds it up by being in.
    pub(super) gate: Queue,
}

#[derive(Debug)]
pub(super) struct Section(Log);

pub(super) struct Found {
    blob: Arc<dyn Blob>,
    items: Bytes,
    look: Look,
}

pub(super) type Store = Segmented<Toy>;

/// What a store shows: what was pruned, the user's bytes, and each section's items.
pub(super) type Shown = (u64, Bytes, BTreeMap<u64, Vec<u8>>);

impl Section {
    pub(super) async fn append(&self, item: u8) -> Result<u64, Error> {
        let put = |offset, space: &mut crate::append::Space<'_>| {
            space.put(&[item]);
            offset
        };
        self.0.append(1, put).await
    }

    pub(super) async fn sync(&self) -> Result<(), Error> {
        self.0.sync().await
    }

    pub(super) async fn items(&self) -> Result<Vec<u8>, Error> {
        Ok(self.0.read_at(0, usize::try_from(self.0.len()).unwrap()).await?.into())
    }
}

impl Found {
    fn keep(&self) -> usize {
        match self.look {
            Look::Unclean(Some(target)) => self.items.len().min(usize::try_from(target.items).unwrap()),
            _ => self.items.len(),
        }
    }

    fn rotten(&self) -> Option<usize> {
        self.items[..self.keep()].iter().position(|item| *item == ROT)
    }
}

impl Toy {
    pub(super) fn new(storage: Arc<dyn Storage>, store: StoreId) -> Self {
        Self { storage, store, gate: Queue::new() }
    }

    async fn blob(&self, section: u64, create: bool) -> Result<Arc<dyn Blob>, Error> {
        let format = Format { create, ..Format::new(Kind::USER, Want::Exactly(self.store)) };
        self.storage.open(PARTITION, &section_name(section), &format).await
    }
}

#[async_trait]
impl Driver for Toy {
    type Section = Section;
    type Found = Found;
    type Error = Fault;

    async fn list(&self) -> Result<Vec<u64>, Fault> {
        Ok(self.storage.scan(PARTITION).await?.iter().filter_map(|name| parse_section_name(name)).collect())
    }

    async fn remove(&self, sections: &[u64]) -> Result<(), Fault> {
        let names: Vec<_> = sections.iter().map(|section| section_name(*section).to_vec()).collect();
        Ok(self.storage.remove(PARTITION, &names).await?)
    }

    async fn survey(&self, section: u64, look: Look, create: bool) -> Result<Found, Fault> {
        if create {
            drop(self.gate.enter().await);
        }
        let blob = self.blob(section, create).await?;
        let bytes = blob.read_at(0, usize::try_from(blob.len()).unwrap()).await?;
        let items = bytes.iter().position(|item| *item == 0).unwrap_or(bytes.len());
        Ok(Found { blob, items: bytes.slice(..items), look })
    }

    fn damage(&self, section: u64, found: &Found) -> Option<Damage> {
        let left_over = found.look == Look::Clean && found.blob.len() > found.items.len() as u64;
        // What a rewind keeps was durable before its intent.
        let short = matches!(found.look, Look::Unclean(Some(target)) if target.items > found.items.len() as u64);
        let offset = found.rotten().or((left_over || short).then_some(found.items.len()))? as u64;
        let (expected, found) = ("items to the end".into(), "something else".into());
        Some(Damage { error: Error::Corrupt { blob: id(section), offset, expected, found } })
    }

    async fn carry_out(&self, section: u64, found: Found) -> Result<(), Fault> {
        let mut keep = found.keep();
        if self.damage(section, &found).is_some() {
            keep = found.rotten().unwrap_or(keep);
            quarantine::copy(&self.storage, &found.blob, keep as u64, found.blob.len(), u64::MAX, "damage").await?;
        }
        let Found { blob, items, .. } = found;
        blob.write_header().await?;
        // Twice, so that the disk hears of it also when the cache shows this length already.
        blob.resize(blob.len() + 1).await?;
        blob.resize(keep as u64).await?;
        blob.write_at(0, vec![items.slice(..keep)]).await?;
        Ok(blob.sync().await?)
    }

    async fn attach(&self, _section: u64, found: Found) -> Result<Section, Fault> {
        let len = found.keep() as u64;
        Ok(Section(Log::new(found.blob, Plain, Start { len, durable: len }, Config::default())))
    }

    fn len(&self, section: &Section) -> u64 {
        section.0.len()
    }

    async fn hold(&self, section: &Arc<Section>) -> Box<dyn Any + Send> {
        Box::new(section.0.hold().await)
    }

    async fn target(&self, number: u64, section: &Section, items: u64) -> Result<Target, Fault> {
        section.0.sync_through(items).await?;
        Ok(Target { section: number, items, values_offset: 0 })
    }

    fn poison(&self, section: &Section) -> Option<Error> {
        section.0.poison_cause()
    }

    async fn retire(&self, section: &Section) {
        section.0.retire().await;
    }

    async fn cut(&self, section: &Section, items: u64) -> Result<(), Fault> {
        let steps = move |blob: Arc<dyn Blob>| {
            async move {
                blob.resize(items).await?;
                blob.sync().await
            }
            .boxed()
        };
        Ok(section.0.cut(items, steps).await?)
    }

    async fn seal(&self, section: &Section) -> Result<(), Fault> {
        section.0.settle().await;
        Ok(section.0.sync().await?)
    }
}

fn id(section: u64) -> BlobId {
    BlobId::new(&"".into(), PARTITION, &section_name(section)).unwrap()
}

pub(super) async fn open_with(storage: Arc<dyn Storage>, options: Options) -> Result<(Store, Opening), Fault> {
    let beneath = Arc::clone(&storage);
    Segmented::open(storage, PARTITION, &options, |store| Toy::new(beneath, store)).await
}

pub(super) async fn open(sim: &Sim) -> (Store, Opening) {
    open_with(sim.storage(), Options::default()).await.unwrap()
}

pub(super) fn truncate() -> Options {
    Options { on_damage: OnDamage::Truncate, ..Options::default() }
}

/// Sections 1 to 4 with the items 10, 11, 12, .. times their number, all durable; and a few bytes of the user's.
pub(super) async fn filled(sim: &Sim) -> Store {
    let (store, opening) = open(sim).await;
    assert!(opening.created);
    for section in 1..=4 {
        let open = store.writable(section).await.unwrap();
        for item in 0..5 {
            open.append(10 * u8::try_from(section).unwrap() + item).await.unwrap();
        }
        open.sync().await.unwrap();
    }
    store.set_state("vote".into()).await.unwrap();
    store
}

pub(super) async fn shown(store: &Store) -> Result<Shown, Fault> {
    let mut sections = BTreeMap::new();
    for section in store.table().sections() {
        sections.insert(section, store.existing(section).await?.items().await?);
    }
    Ok((store.pruned_to(), store.state(), sections))
}

/// A change of structure.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change {
    Prune,
    Rewind,
    RewindSection,
    RewindToNothing,
    Remove,
    SetState,
    Destroy,
}

impl Change {
    pub(super) const ALL: [Self; 7] = [
        Self::Prune,
        Self::Rewind,
        Self::RewindSection,
        Self::RewindToNothing,
        Self::Remove,
        Self::SetState,
        Self::Destroy,
    ];

    pub(super) async fn make(self, store: &Store) -> Result<(), Fault> {
        match self {
            Self::Prune => store.prune(3).await.map(drop),
            Self::Rewind => store.rewind(2, 3, true).await,
            Self::RewindSection => store.rewind(2, 3, false).await,
            Self::RewindToNothing => store.rewind(1, 0, true).await,
            Self::Remove => store.remove_section(3).await.map(drop),
            Self::SetState => store.set_state("other".into()).await,
            Self::Destroy => store.destroy().await,
        }
    }

    /// What the store shows when it was made.
    pub(super) fn after(self, (mut pruned_to, mut user, mut sections): Shown) -> Shown {
        match self {
            Self::Prune => {
                pruned_to = 3;
                sections.retain(|section, _| *section >= 3);
            }
            Self::Rewind | Self::RewindSection => {
                sections.entry(2).and_modify(|items| items.truncate(3));
                sections.retain(|section, _| *section <= 2 || matches!(self, Self::RewindSection));
            }
            Self::RewindToNothing => sections = BTreeMap::from([(1, Vec::new())]),
            Self::Remove => drop(sections.remove(&3)),
            Self::SetState => user = "other".into(),
            Self::Destroy => (pruned_to, user, sections) = Shown::default(),
        }
        (pruned_to, user, sections)
    }
}
