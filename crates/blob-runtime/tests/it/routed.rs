//! [`Routed`] answers as one storage would, whatever its partitions are spread over.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use blob_runtime::{Blob, Claim, Error, Format, Kind, MemoryStorage, Routed, Storage, StoreId, Want};
use bytes::Bytes;
use futures::executor::block_on;
use proptest::prelude::*;

/// What one storage was asked to sync, call by call.
type Calls = Arc<Mutex<Vec<Vec<String>>>>;

/// Storage that notes what `sync_many` is asked for.
#[derive(Debug)]
struct Noted {
    inner: MemoryStorage,
    calls: Calls,
    /// Answers that are left out at the end.
    missing_answers: usize,
}

impl Noted {
    fn make(missing_answers: usize) -> (Arc<dyn Storage>, Calls) {
        let calls = Calls::default();
        (Arc::new(Self { inner: MemoryStorage::new(), calls: Arc::clone(&calls), missing_answers }), calls)
    }
}

#[async_trait]
impl Storage for Noted {
    async fn claim(&self, partition: &str) -> Result<Claim, Error> {
        self.inner.claim(partition).await
    }

    async fn open(&self, partition: &str, name: &[u8], format: &Format) -> Result<Arc<dyn Blob>, Error> {
        self.inner.open(partition, name, format).await
    }

    async fn remove(&self, partition: &str, names: &[Vec<u8>]) -> Result<(), Error> {
        self.inner.remove(partition, names).await
    }

    async fn remove_partition(&self, partition: &str) -> Result<(), Error> {
        self.inner.remove_partition(partition).await
    }

    async fn scan(&self, partition: &str) -> Result<Vec<Vec<u8>>, Error> {
        self.inner.scan(partition).await
    }

    async fn sync_many(&self, blobs: &[Arc<dyn Blob>]) -> Vec<Result<(), Error>> {
        self.calls.lock().unwrap().push(blobs.iter().map(|blob| blob.id().to_string()).collect());
        let mut answers = self.inner.sync_many(blobs).await;
        answers.truncate(blobs.len() - self.missing_answers.min(blobs.len()));
        answers
    }

    fn random(&self) -> Result<u64, Error> {
        self.inner.random()
    }
}

fn format() -> Format {
    Format::new(Kind::USER, Want::Exactly(StoreId(5)))
}

fn open(storage: &dyn Storage, partition: &str, name: &[u8]) -> Arc<dyn Blob> {
    block_on(storage.open(partition, name, &format())).unwrap()
}

/// Values on a large disk, index on a fast one: each blob is on its own disk and on no other.
#[test]
fn a_partition_is_where_it_was_sent() {
    let (fast, large) = (Arc::new(MemoryStorage::new()), Arc::new(MemoryStorage::new()));
    let storage = Routed::new(fast.clone()).partition("blocks-values", large.clone());
    drop(open(&storage, "blocks-index", b"i"));
    drop(open(&storage, "blocks-values", b"v"));
    let scan = |storage: &dyn Storage, partition| block_on(storage.scan(partition)).unwrap();
    assert_eq!(scan(fast.as_ref(), "blocks-index"), [b"i"]);
    assert_eq!(scan(large.as_ref(), "blocks-values"), [b"v"]);
    assert_eq!(scan(fast.as_ref(), "blocks-values"), [[0_u8; 0]; 0]);
    assert_eq!(scan(large.as_ref(), "blocks-index"), [[0_u8; 0]; 0]);

    // A claim is one of the partition's storage: whoever uses that one alone is kept out, too.
    let claim = block_on(storage.claim("blocks-values")).unwrap();
    match block_on(large.claim("blocks-values")) {
        Err(Error::Locked { what }) => assert_eq!(&*what, "partition blocks-values"),
        other => panic!("{other:?}"),
    }
    drop(block_on(fast.claim("blocks-values")).unwrap());
    drop(claim);

    block_on(storage.remove_partition("blocks-values")).unwrap();
    assert_eq!(scan(large.as_ref(), "blocks-values"), [[0_u8; 0]; 0]);
    assert_eq!(scan(fast.as_ref(), "blocks-index"), [b"i"]);
}

/// A setting that is read twice: the later one counts.
#[test]
fn the_last_route_counts() {
    let [a, b, c] = [(); 3].map(|()| Arc::new(MemoryStorage::new()) as Arc<dyn Storage>);
    let storage = Routed::new(Arc::clone(&a)).partition("p", Arc::clone(&b)).partition("p", Arc::clone(&c));
    assert!(Arc::ptr_eq(storage.route("p"), &c));
    assert!(Arc::ptr_eq(storage.route("q"), &a));
}

/// A sync of all sections must be one directory sync for each disk, not one for each blob: one call for each storage,
/// though two partitions lead to it.
#[test]
fn a_sync_of_many_is_one_call_for_each_storage() {
    let ((a, calls_of_a), (b, calls_of_b)) = (Noted::make(0), Noted::make(0));
    let storage = Routed::new(a).partition("b1", Arc::clone(&b)).partition("b2", b);
    let blobs: Vec<_> = ["b1", "a1", "b2", "a2", "b1"]
        .iter()
        .enumerate()
        .map(|(at, partition)| open(&storage, partition, &[u8::try_from(at).unwrap()]))
        .collect();
    // The answer of each must come back in its place: two of them were removed.
    block_on(storage.remove("a1", &[vec![1]])).unwrap();
    block_on(storage.remove("b1", &[vec![4]])).unwrap();
    let answers = block_on(storage.sync_many(&blobs));
    let removed: Vec<_> = answers
        .iter()
        .map(|answer| match answer {
            Ok(()) => None,
            Err(Error::Removed { blob }) => Some(blob.to_string()),
            Err(other) => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(removed, [None, Some("a1/01".into()), None, None, Some("b1/04".into())]);
    assert_eq!(*calls_of_a.lock().unwrap(), [["a1/01", "a2/03"]]);
    assert_eq!(*calls_of_b.lock().unwrap(), [["b1/00", "b2/02", "b1/04"]]);
}

/// A storage that answers for too few would shift every later answer to another blob.
#[test]
fn a_storage_that_answers_for_too_few_shifts_nothing() {
    let ((a, _), (b, _)) = (Noted::make(2), Noted::make(0));
    let storage = Routed::new(a).partition("b", b);
    let blobs: Vec<_> = [("a", b"1"), ("b", b"2"), ("a", b"3"), ("b", b"4")]
        .map(|(partition, name)| open(&storage, partition, name))
        .to_vec();
    block_on(storage.remove("a", &[b"3".to_vec()])).unwrap();
    block_on(storage.remove("b", &[b"2".to_vec()])).unwrap();
    let shown: Vec<_> = block_on(storage.sync_many(&blobs))
        .into_iter()
        .map(|answer| answer.map_err(|error| error.to_string()))
        .collect();
    assert_eq!(shown, [Ok(()), Err("blob b/32 was removed".into()), Err("blob a/33 was removed".into()), Ok(())]);
}

const PARTITIONS: [&str; 4] = ["a", "b", "c", "no good"];

#[derive(Debug, Clone)]
enum Op {
    Open { partition: usize, name: u8, create: bool, store: u64 },
    Write { handle: usize, offset: u16, parts: Vec<Vec<u8>>, sync: bool },
    Resize { handle: usize, len: u16 },
    Read { handle: usize, offset: u16, len: u16 },
    SyncMany { handles: Vec<usize> },
    Remove { partition: usize, names: Vec<u8> },
    RemovePartition { partition: usize },
    Scan { partition: usize },
    Claim { partition: usize },
    Unclaim { partition: usize },
}

fn op() -> impl Strategy<Value = Op> {
    let partition = 0..PARTITIONS.len();
    let parts = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..4);
    prop_oneof![
        4 => (partition.clone(), 0..4_u8, any::<bool>(), 1..3_u64)
            .prop_map(|(partition, name, create, store)| Op::Open { partition, name, create, store }),
        4 => (any::<usize>(), 0..300_u16, parts, any::<bool>())
            .prop_map(|(handle, offset, parts, sync)| Op::Write { handle, offset, parts, sync }),
        1 => (any::<usize>(), 0..300_u16).prop_map(|(handle, len)| Op::Resize { handle, len }),
        4 => (any::<usize>(), 0..300_u16, 0..100_u16)
            .prop_map(|(handle, offset, len)| Op::Read { handle, offset, len }),
        2 => prop::collection::vec(any::<usize>(), 0..8).prop_map(|handles| Op::SyncMany { handles }),
        1 => (partition.clone(), prop::collection::vec(0..4_u8, 0..3))
            .prop_map(|(partition, names)| Op::Remove { partition, names }),
        1 => partition.clone().prop_map(|partition| Op::RemovePartition { partition }),
        2 => partition.clone().prop_map(|partition| Op::Scan { partition }),
        1 => partition.clone().prop_map(|partition| Op::Claim { partition }),
        1 => partition.prop_map(|partition| Op::Unclaim { partition }),
    ]
}

/// A storage, its open handles in the order of opening, and its claims.
struct Side {
    storage: Arc<dyn Storage>,
    handles: Vec<Arc<dyn Blob>>,
    claims: BTreeMap<usize, Claim>,
}

impl Side {
    fn new(storage: impl Storage) -> Self {
        Self { storage: Arc::new(storage), handles: Vec::new(), claims: BTreeMap::new() }
    }

    fn handle(&self, at: usize) -> Option<&Arc<dyn Blob>> {
        self.handles.get(at.checked_rem(self.handles.len())?)
    }

    /// What the storage answers, as text: value or error, to the letter.
    fn answer(&mut self, op: &Op) -> String {
        block_on(self.run(op))
    }

    async fn run(&mut self, op: &Op) -> String {
        fn shown<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
            result.map_or_else(|error| error.to_string(), |value| format!("{value:?}"))
        }
        match op {
            Op::Open { partition, name, create, store } => {
                let format = Format { create: *create, ..Format::new(Kind::USER, Want::Exactly(StoreId(*store))) };
                match self.storage.open(PARTITIONS[*partition], &[*name], &format).await {
                    Err(error) => error.to_string(),
                    Ok(blob) => {
                        let answer = format!("{} {} {:?}", blob.id(), blob.len(), blob.header_state());
                        self.handles.push(blob);
                        answer
                    }
                }
            }
            Op::Write { handle, offset, parts, sync } => {
                let Some(blob) = self.handle(*handle) else { return String::new() };
                let parts = parts.iter().map(|part| Bytes::copy_from_slice(part)).collect();
                let offset = u64::from(*offset);
                shown(if *sync { blob.write_at_sync(offset, parts).await } else { blob.write_at(offset, parts).await })
            }
            Op::Resize { handle, len } => {
                let Some(blob) = self.handle(*handle) else { return String::new() };
                shown(blob.resize(u64::from(*len)).await)
            }
            Op::Read { handle, offset, len } => {
                let Some(blob) = self.handle(*handle) else { return String::new() };
                shown(blob.read_at(u64::from(*offset), usize::from(*len)).await)
            }
            Op::SyncMany { handles } => {
                let blobs: Vec<_> = handles.iter().filter_map(|at| self.handle(*at)).cloned().collect();
                self.storage.sync_many(&blobs).await.into_iter().map(shown).collect::<Vec<_>>().join(", ")
            }
            Op::Remove { partition, names } => {
                let names: Vec<_> = names.iter().map(|name| vec![*name]).collect();
                shown(self.storage.remove(PARTITIONS[*partition], &names).await)
            }
            Op::RemovePartition { partition } => shown(self.storage.remove_partition(PARTITIONS[*partition]).await),
            Op::Scan { partition } => shown(self.storage.scan(PARTITIONS[*partition]).await),
            Op::Claim { partition } => match self.storage.claim(PARTITIONS[*partition]).await {
                Err(error) => error.to_string(),
                Ok(claim) => {
                    let answer = claim.partition().to_owned();
                    self.claims.insert(*partition, claim);
                    answer
                }
            },
            Op::Unclaim { partition } => self.claims.remove(partition).is_some().to_string(),
        }
    }
}

proptest! {
    /// Whatever is done, in whatever order: no answer tells that there is more than one storage behind it.
    #[test]
    fn routed_answers_as_one_storage_would(ops in prop::collection::vec(op(), 1..80)) {
        let mut plain = Side::new(MemoryStorage::new());
        let elsewhere = Arc::new(MemoryStorage::new());
        let spread = Routed::new(Arc::new(MemoryStorage::new()))
            .partition("b", elsewhere.clone())
            .partition("c", elsewhere)
            .partition("no good", Arc::new(MemoryStorage::new()));
        let mut routed = Side::new(spread);
        for op in &ops {
            prop_assert_eq!(routed.answer(op), plain.answer(op), "{:?}", op);
        }
    }
}
