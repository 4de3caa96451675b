//! Every call, on memory and on files, across clean reopens.

use std::sync::Arc;

use blob_runtime::{FileStorage, MemoryStorage, Storage};
use futures::executor::block_on;
use futures::{StreamExt, TryStreamExt};
use oversized::{Appended, Config, Error, Located, Location, Oversized, Until};

type Store = Oversized<Located<u64>, Vec<u8>>;

fn value(seed: u64, len: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| rng.u8(..)).take(len).collect()
}

async fn open(storage: &Arc<dyn Storage>) -> Store {
    Oversized::open(Arc::clone(storage), Config::new("blocks")).await.unwrap()
}

/// Appends entries with these data, each with a value made of its data.
async fn fill(store: &Store, section: u64, data: std::ops::Range<u64>) -> Vec<Appended> {
    let mut all = Vec::new();
    for n in data {
        all.push(store.append(section, Located::new(n), &value(n, 100 + n as usize)).await.unwrap());
    }
    all
}

async fn check(store: &Store, section: u64, data: &[u64]) {
    assert_eq!(store.len(section).await.unwrap(), data.len() as u64);
    for (position, n) in (0..).zip(data) {
        let record = store.get(section, position).await.unwrap();
        assert_eq!(record.data, *n);
        assert_eq!(store.value_of(section, &record).await.unwrap(), value(*n, 100 + *n as usize));
        let (again, read) = store.read(section, position).await.unwrap();
        assert_eq!((again, read), (record, value(*n, 100 + *n as usize)));
    }
    let records: Vec<u64> = store
        .replay(section, 0)
        .try_take_while(|entry| futures::future::ready(Ok(entry.section == section)))
        .map_ok(|entry| entry.record.data)
        .try_collect()
        .await
        .unwrap();
    assert_eq!(records, data);
}

fn each_storage(test: impl Fn(Arc<dyn Storage>)) {
    test(Arc::new(MemoryStorage::new()));
    let root = tempfile::tempdir().unwrap();
    test(Arc::new(FileStorage::open(root.path()).unwrap()));
}

#[test]
fn entries_come_back_after_a_close() {
    each_storage(|storage| {
        block_on(async {
            let store = open(&storage).await;
            let appended = fill(&store, 3, 0..50).await;
            assert_eq!(appended[0], Appended { position: 0, location: Location { offset: 0, size: 160 } });
            assert_eq!(store.durable_len(3).await.unwrap(), 0);
            check(&store, 3, &(0..50).collect::<Vec<_>>()).await;
            store.sync(3).await.unwrap();
            assert_eq!(store.durable_len(3).await.unwrap(), 50);
            fill(&store, u64::MAX, 7..9).await;
            store.close().await.unwrap();
            assert!(matches!(store.get(3, 0).await, Err(Error::Closed)));
            let store = open(&storage).await;
            assert!(store.recovery().opening.clean);
            assert_eq!(store.sections(), [3, u64::MAX]);
            check(&store, 3, &(0..50).collect::<Vec<_>>()).await;
            check(&store, u64::MAX, &[7, 8]).await;
            fill(&store, 3, 50..60).await;
            check(&store, 3, &(0..60).collect::<Vec<_>>()).await;
            store.close().await.unwrap();
        });
    });
}

#[test]
fn rewinds_and_prunes() {
    each_storage(|storage| {
        block_on(async {
            let store = open(&storage).await;
            for section in 1..5 {
                fill(&store, section, 0..10).await;
            }
            store.sync_all().await.unwrap();
            store.rewind(3, 4).await.unwrap();
            assert_eq!(store.sections(), [1, 2, 3]);
            check(&store, 3, &[0, 1, 2, 3]).await;
            fill(&store, 3, 20..22).await;
            check(&store, 3, &[0, 1, 2, 3, 20, 21]).await;
            store.rewind_section(2, 0).await.unwrap();
            check(&store, 2, &[]).await;
            assert!(store.prune(2).await.unwrap());
            assert!(matches!(store.get(1, 0).await, Err(Error::Pruned { section: 1, oldest: 2 })));
            assert!(store.remove_section(2).await.unwrap());
            store.set_state("a vote".into()).await.unwrap();
            store.close().await.unwrap();
            let store = open(&storage).await;
            assert_eq!(store.sections(), [3]);
            assert_eq!(store.state(), "a vote");
            check(&store, 3, &[0, 1, 2, 3, 20, 21]).await;
            assert!(matches!(
                store.append(1, Located::new(1), &vec![]).await,
                Err(Error::Pruned { section: 1, oldest: 2 })
            ));
            store.destroy().await.unwrap();
            let store = open(&storage).await;
            assert!(store.recovery().opening.created);
            assert_eq!(store.sections(), [0_u64; 0]);
            store.close().await.unwrap();
        });
    });
}

/// A large section: the index is written by checkpoints on the way, and read by pages afterwards.
#[test]
fn an_index_is_written_on_the_way() {
    each_storage(|storage| {
        block_on(async {
            let config = || Config::new("blocks").index_buffer_bytes(2000).page_bytes(256);
            let store: Store = Oversized::open(Arc::clone(&storage), config()).await.unwrap();
            let data: Vec<u64> = (0..1000).collect();
            fill(&store, 1, 0..1000).await;
            check(&store, 1, &data).await;
            assert!(storage.scan("blocks-index").await.unwrap().len() == 1);
            let all: Vec<_> = store.replay_values(1, 990).try_collect().await.unwrap();
            assert_eq!(all.len(), 10);
            assert_eq!(all[3].value, value(993, 1093));
            assert_eq!(store.partition_point(1, |record| record.data < 700).await.unwrap(), 700);
            store.close().await.unwrap();
            let store: Store = Oversized::open(Arc::clone(&storage), config()).await.unwrap();
            check(&store, 1, &data).await;
            assert_eq!(store.verify(..).count().await, 0);
            let many = store.read_many(1, 10..500, 3000).await.unwrap();
            assert!(many.len() > 5 && many.len() < 40);
            assert_eq!(many[1].1, value(11, 111));
            store.close().await.unwrap();
        });
    });
}

/// A batch is one append; a wrong position appends nothing.
#[test]
fn batches_and_positions() {
    block_on(async {
        let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
        let store = open(&storage).await;
        let batch = (0..5).map(|n| (Located::new(n), value(n, 100 + n as usize)));
        let appended = store.append_all(1, batch).await.unwrap();
        assert_eq!(appended.iter().map(|appended| appended.position).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        for appended in &appended {
            assert_eq!(store.get(1, appended.position).await.unwrap(), {
                let record = store.get(1, appended.position).await.unwrap();
                assert_eq!(oversized::Record::value_location(&record), appended.location);
                record
            });
        }
        let wrong = store.append_at(1, 4, Located::new(9), &vec![1]).await.unwrap_err();
        assert!(matches!(wrong, Error::PositionMismatch { section: 1, expected: 4, found: 5 }), "{wrong:?}");
        store.append_at(1, 5, Located::new(5), &value(5, 105)).await.unwrap();
        store.append_with(1, &value(6, 106), Located::new).await.unwrap();
        check(&store, 1, &[0, 1, 2, 3, 4, 5, 6]).await;
    });
}

/// Sections are filled one after the other; when the newest has gone the one below takes appends again.
#[test]
fn an_ordered_store() {
    block_on(async {
        let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
        let store: Store = Oversized::open(storage, Config::new("raft").ordered(true)).await.unwrap();
        fill(&store, 1, 0..3).await;
        fill(&store, 2, 0..1).await;
        assert_eq!(store.durable_len(1).await.unwrap(), 3);
        let late = store.append(1, Located::new(9), &vec![]).await.unwrap_err();
        assert!(matches!(late, Error::OutOfOrder { section: 1, newest: 2 }), "{late:?}");
        let before = store.append(0, Located::new(9), &vec![]).await.unwrap_err();
        assert!(matches!(before, Error::OutOfOrder { section: 0, newest: 2 }), "{before:?}");
        store.rewind(1, 2).await.unwrap();
        store.append(1, Located::new(2), &value(2, 102)).await.unwrap();
        check(&store, 1, &[0, 1, 2]).await;
        store.close().await.unwrap();
    });
}

/// A tail sees what is there, then what comes, also in sections that are made later.
#[test]
fn a_tail_follows() {
    block_on(async {
        let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
        let store = open(&storage).await;
        fill(&store, 1, 0..3).await;
        let mut appended = store.tail(1, 1, Until::Appended);
        let mut durable = store.tail(1, 0, Until::Durable);
        assert_eq!(appended.next().await.unwrap().unwrap().record.data, 1);
        assert_eq!(appended.next().await.unwrap().unwrap().record.data, 2);
        assert!(futures::poll!(durable.next()).is_pending());
        assert!(futures::poll!(appended.next()).is_pending());
        store.sync(1).await.unwrap();
        assert_eq!(durable.next().await.unwrap().unwrap().record.data, 0);
        fill(&store, 4, 7..8).await;
        assert_eq!(appended.next().await.unwrap().unwrap().record.data, 7);
        store.rewind(1, 1).await.unwrap();
        let cut = durable.try_collect::<Vec<_>>().await.unwrap_err();
        assert!(matches!(cut, Error::Rewound { section: 1 }), "{cut:?}");
        let gone = appended.next().await.unwrap().unwrap_err();
        assert!(matches!(gone, Error::Rewound { section: 4 }), "{gone:?}");
        assert!(appended.next().await.is_none());
    });
}
