//! Partitions on several disks.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::join_all;

use crate::claims::Claim;
use crate::error::Error;
use crate::header::Format;
use crate::storage::{Blob, Storage};

/// Storage that keeps some partitions elsewhere, for example the values on a large disk and the index on a fast one.
///
/// Each partition is wholly in one storage, so every promise of [`Storage`] holds as it holds there. Clones share the
/// storages.
///
/// ```
/// use std::sync::Arc;
/// use blob_runtime::{MemoryStorage, Routed};
///
/// let fast = Arc::new(MemoryStorage::new());
/// let large = Arc::new(MemoryStorage::new());
/// let storage = Routed::new(fast).partition("blocks-values", large);
/// # drop(storage);
/// ```
#[derive(Debug, Clone)]
pub struct Routed {
    default: Arc<dyn Storage>,
    routes: BTreeMap<String, Arc<dyn Storage>>,
}

impl Routed {
    /// Keeps every partition in `default`.
    pub fn new(default: Arc<dyn Storage>) -> Self {
        Self { default, routes: BTreeMap::new() }
    }

    /// Keeps one partition in `storage`. A later call for the same partition replaces the earlier one. What the
    /// partition held elsewhere stays there, unseen.
    #[must_use]
    pub fn partition(mut self, partition: impl Into<String>, storage: Arc<dyn Storage>) -> Self {
        self.routes.insert(partition.into(), storage);
        self
    }

    /// The storage that keeps a partition.
    pub fn route(&self, partition: &str) -> &Arc<dyn Storage> {
        self.routes.get(partition).unwrap_or(&self.default)
    }
}

/// The blobs of one storage, and the place of each in the caller's list.
struct Group<'a> {
    storage: &'a Arc<dyn Storage>,
    places: Vec<usize>,
    blobs: Vec<Arc<dyn Blob>>,
}

impl Group<'_> {
    async fn sync(self) -> impl Iterator<Item = (usize, Result<(), Error>)> {
        let mut answers = self.storage.sync_many(&self.blobs).await;
        // A storage that answers for fewer blobs than it was asked about breaks its promise; ours is kept all the same.
        for blob in self.blobs.iter().skip(answers.len()) {
            answers.push(blob.sync().await);
        }
        self.places.into_iter().zip(answers)
    }
}

#[async_trait]
impl Storage for Routed {
    async fn claim(&self, partition: &str) -> Result<Claim, Error> {
        self.route(partition).claim(partition).await
    }

    async fn open(&self, partition: &str, name: &[u8], format: &Format) -> Result<Arc<dyn Blob>, Error> {
        self.route(partition).open(partition, name, format).await
    }

    async fn remove(&self, partition: &str, names: &[Vec<u8>]) -> Result<(), Error> {
        self.route(partition).remove(partition, names).await
    }

    async fn remove_partition(&self, partition: &str) -> Result<(), Error> {
        self.route(partition).remove_partition(partition).await
    }

    async fn scan(&self, partition: &str) -> Result<Vec<Vec<u8>>, Error> {
        self.route(partition).scan(partition).await
    }

    /// One call for each storage, side by side: they are on different disks.
    async fn sync_many(&self, blobs: &[Arc<dyn Blob>]) -> Vec<Result<(), Error>> {
        let mut groups: Vec<Group<'_>> = Vec::new();
        for (place, blob) in blobs.iter().enumerate() {
            let storage = self.route(blob.id().partition());
            let at = groups.iter().position(|group| Arc::ptr_eq(group.storage, storage));
            let found = at.and_then(|at| groups.get_mut(at));
            match found {
                Some(group) => {
                    group.places.push(place);
                    group.blobs.push(Arc::clone(blob));
                }
                None => groups.push(Group { storage, places: vec![place], blobs: vec![Arc::clone(blob)] }),
            }
        }
        let mut answers: Vec<_> = join_all(groups.into_iter().map(Group::sync)).await.into_iter().flatten().collect();
        answers.sort_unstable_by_key(|(place, _)| *place);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    fn random(&self) -> Result<u64, Error> {
        self.default.random()
    }
}
