//! At the edges: very many sections, empty and largest values, records from the smallest to more than a page, readers
//! beside a writer, names and settings that cannot be.

use std::sync::Arc;

use blob_runtime::Operation;
use blob_runtime::sim::{self, Fault};
use blob_runtime::{FileStorage, MemoryStorage, Storage};
use futures::StreamExt;
use futures::executor::block_on;
use oversized::{BufferBudget, Config, Error, Located, Oversized, Record, Until};

use crate::common::{Image, LOSE_ALL, Store, all_shown, append, build, config, fill, life, open, shown, value};

/// 5,000 sections with 64 files open at most: written, synced together, closed, read again, pruned.
#[test]
fn five_thousand_sections_with_few_files() {
    let root = tempfile::tempdir().unwrap();
    let storage: Arc<dyn Storage> = Arc::new(FileStorage::builder(root.path()).max_open_files(40).open().unwrap());
    block_on(async {
        let store: Store = Oversized::open(Arc::clone(&storage), Config::new("blocks")).await.unwrap();
        for section in 0..5000 {
            append(&store, section * 3, section).await.unwrap();
        }
        store.sync_all().await.unwrap();
        assert_eq!(store.read(2997, 0).await.unwrap().1, value(999));
        store.close().await.unwrap();
        let store: Store = Oversized::open(storage, Config::new("blocks")).await.unwrap();
        assert_eq!(store.sections().len(), 5000);
        for section in (0..5000).step_by(7) {
            assert_eq!(store.read(section * 3, 0).await.unwrap().1, value(section));
        }
        assert!(store.prune(14_000).await.unwrap());
        assert_eq!(store.oldest_section(), Some(14_001));
        append(&store, 14_001, 77).await.unwrap();
        store.close().await.unwrap();
    });
}

/// Values of no bytes, of one, of the most there may be, and of one more.
#[test]
fn values_of_every_size() {
    block_on(async {
        let storage = Arc::new(MemoryStorage::new());
        let config = Config::new("blocks").max_value_bytes(100_000).value_buffer_bytes(1000);
        let store: Store = Oversized::open(storage, config).await.unwrap();
        for (position, len) in (0_u64..).zip([0, 1, 999, 1000, 1001, 99_999, 100_000, 0]) {
            store.append(1, Located::new(position), &vec![position as u8; len]).await.unwrap();
        }
        let refused = store.append(1, Located::new(9), &vec![0; 100_001]).await.unwrap_err();
        assert!(matches!(refused, Error::ValueTooLarge { len: 100_001, max: 100_000 }), "{refused:?}");
        assert_eq!(store.len(1).await.unwrap(), 8);
        for (position, len) in (0_u64..).zip([0, 1, 999, 1000, 1001, 99_999, 100_000, 0]) {
            assert_eq!(store.read(1, position).await.unwrap().1, vec![position as u8; len]);
        }
    });
}

/// A record that is nothing but its location, and one that is larger than a page of the index.
#[test]
fn records_of_every_size() {
    async fn round<T>(make: impl Fn(u64) -> T)
    where
        Located<T>: Record + PartialEq + std::fmt::Debug,
        T: Clone,
    {
        sim::run(5, async |sim| {
            let records: Vec<Located<T>> = (0..40).map(|n| Located::new(make(n))).collect();
            let expected = records.clone();
            life(&sim, LOSE_ALL, |sim| async move {
                let config = config().index_buffer_bytes(1000);
                let store: Oversized<Located<T>, Vec<u8>> = Oversized::open(sim.storage(), config).await.unwrap();
                for (n, record) in (0..).zip(records) {
                    store.append(1, record, &value(n)).await.unwrap();
                }
                store.sync(1).await.unwrap();
            })
            .await;
            life(&sim, LOSE_ALL, |sim| async move {
                let store: Oversized<Located<T>, Vec<u8>> = Oversized::open(sim.storage(), config()).await.unwrap();
                for (n, record) in (0..).zip(&expected) {
                    let (read, bytes) = store.read(1, n).await.unwrap();
                    assert_eq!(&read.clone().with_location(oversized::Location::default()), record);
                    assert_eq!(bytes, value(n));
                }
                assert_eq!(store.verify(..).count().await, 0);
                store.close().await.unwrap();
            })
            .await;
        });
    }
    block_on(async {
        round(|_| [0_u8; 0]).await;
        round(|n| [n as u8; 1]).await;
        round(|n| [n as u8; 40]).await;
        round(|n| [n as u8; 500]).await;
    });
}

/// A reader beside a writer: takes no lock, changes nothing, shows what was there, refuses every change, and says when the
/// writer has taken away what it looks at.
#[test]
fn a_reader_beside_a_writer() {
    sim::run(7, async |sim| {
        let before = build(&sim, false).await;
        life(&sim, LOSE_ALL, |sim| async move {
            let reader: Store = Oversized::open(sim.storage(), config().read_only(true)).await.unwrap();
            assert_eq!(all_shown(&reader).await.unwrap(), before, "an unclean store is recovered in memory");
            let writes = sim.counts().performed(blob_runtime::Operation::Write);
            for refused in [
                reader.append(1, Located::new(1), &vec![]).await.map(drop),
                reader.sync(1).await,
                reader.sync_all().await,
                reader.rewind(1, 1).await,
                reader.prune(2).await.map(drop),
                reader.remove_section(1).await.map(drop),
                reader.set_state("x".into()).await,
                reader.destroy().await,
            ] {
                assert!(matches!(refused, Err(Error::ReadOnly)), "{refused:?}");
            }
            assert_eq!(sim.counts().performed(blob_runtime::Operation::Write), writes);
            let writer = open(sim.storage()).await.unwrap();
            fill(&writer, 1, 300..310).await;
            writer.sync(1).await.unwrap();
            assert_eq!(shown(&reader, 1).await.unwrap(), before[&1], "what was there when it was opened");
            writer.rewind(1, 2).await.unwrap();
            let stale = reader.read(1, 8).await.unwrap_err();
            assert!(matches!(stale, Error::Stale { section: 1, .. }), "{stale:?}");
            assert_eq!(reader.read(1, 1).await.unwrap().1, value(101));
            writer.close().await.unwrap();
            let again: Store = Oversized::open(sim.storage(), config().read_only(true)).await.unwrap();
            assert_eq!(shown(&again, 1).await.unwrap(), [100, 101]);
            assert_eq!(again.unsynced_from(1).await.unwrap(), None);
        })
        .await;
    });
}

/// Names, sizes and settings that cannot be: said before anything is touched.
#[test]
fn settings_that_cannot_be() {
    block_on(async {
        let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
        let refused = [
            Config::new("blocks").page_bytes(100),
            Config::new("blocks").page_bytes(32),
            Config::new("blocks").value_buffer_bytes(0),
            Config::new("blocks").compression(oversized::Compression::Zstd { level: 99 }),
        ];
        for config in refused {
            let error = Store::open(Arc::clone(&storage), config).await.unwrap_err();
            assert!(matches!(error, Error::InvalidConfig { .. }), "{error:?}");
        }
        for name in ["", "a/b", "a.b", &"x".repeat(125)] {
            let error = Store::open(Arc::clone(&storage), Config::new(name)).await.unwrap_err();
            assert!(matches!(error, Error::InvalidConfig { setting: "name", .. }), "{name}: {error:?}");
        }
        let raw = oversized::RawOversized::open(Arc::clone(&storage), Config::new("blocks"), 11, oversized::last_bytes);
        assert!(matches!(raw.await.unwrap_err(), Error::InvalidConfig { setting: "record size", .. }));
        assert!(storage.scan("blocks-values").await.unwrap().is_empty());
        let store = Store::open(storage, Config::new("blocks")).await.unwrap();
        let large = store.set_state(vec![0; 2049].into()).await.unwrap_err();
        assert!(matches!(large.storage(), Some(blob_runtime::Error::TooLarge { .. })), "{large:?}");
        store.set_state(vec![7; 2048].into()).await.unwrap();
        assert_eq!(store.state(), vec![7; 2048]);
    });
}

/// A budget that two stores share: what they hold in memory together stays near it.
#[test]
fn a_shared_budget() {
    block_on(async {
        let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
        let budget = BufferBudget::new(20_000);
        let one: Store =
            Oversized::open(Arc::clone(&storage), Config::new("one").buffer_budget(budget.clone())).await.unwrap();
        let two: Store = Oversized::open(storage, Config::new("two").buffer_budget(budget.clone())).await.unwrap();
        let mut most = 0;
        for n in 0..2000 {
            let store = if n % 3 == 0 { &one } else { &two };
            store.append(n % 17, Located::new(n), &vec![n as u8; 300]).await.unwrap();
            most = most.max(budget.used_bytes());
        }
        assert!(most > 10_000 && most < 45_000, "{most}");
        one.sync_all().await.unwrap();
        two.sync_all().await.unwrap();
        assert!(budget.used_bytes() < 45_000);
        one.close().await.unwrap();
        two.close().await.unwrap();
        assert_eq!(budget.used_bytes(), 0);
    });
}

/// Sections go for as long as their last entry says so.
#[test]
fn prune_while() {
    block_on(async {
        let store = open(Arc::new(MemoryStorage::new())).await.unwrap();
        for section in 1..6 {
            fill(&store, section, section * 10..section * 10 + 3).await;
        }
        assert_eq!(store.prune_while(|_, last| last.data < 35).await.unwrap(), 4);
        assert_eq!(store.sections(), [4, 5]);
        assert_eq!(store.prune_while(|_, _| false).await.unwrap(), 4);
        assert_eq!(store.last(4).await.unwrap().unwrap().data, 42);
    });
}

/// A section of each height, and years of them: those that rest do not stay in memory. What is used again is opened again,
/// goes on where it was, and is followed by a tail as if it had been open all the time.
#[test]
fn sections_that_rest_are_closed() {
    block_on(async {
        let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
        let few = || Config::new("blocks").open_sections(8);
        let open = |store: &Store| (0..300).filter(|section| store.try_get(*section, 0).is_some()).count();
        let store: Store = Oversized::open(Arc::clone(&storage), few()).await.unwrap();
        append(&store, 0, 0).await.unwrap();
        let mut tail = store.tail(0, 0, Until::Durable);
        store.sync(0).await.unwrap();
        assert_eq!(tail.next().await.unwrap().unwrap().record.data, 0);
        for section in 1..300 {
            append(&store, section, section).await.unwrap();
            store.sync(section).await.unwrap();
        }
        assert!(open(&store) <= 20, "{} are open", open(&store));
        for section in 0..300 {
            assert_eq!(append(&store, section, 1000 + section).await.unwrap(), 1);
        }
        assert_eq!(open(&store), 300, "what is not durable stays");
        store.sync_all().await.unwrap();
        store.maintain().await.unwrap();
        assert!(open(&store) <= 9, "{} are open", open(&store));
        assert_eq!(tail.next().await.unwrap().unwrap().record.data, 1000);
        for section in 0..300 {
            assert_eq!(shown(&store, section).await.unwrap(), [section, 1000 + section]);
            assert!(open(&store) <= 20, "{} are open", open(&store));
        }
        store.rewind(17, 1).await.unwrap();
        assert_eq!(store.sections(), (0..18).collect::<Vec<_>>());
        assert_eq!(append(&store, 17, 2000).await.unwrap(), 1);
        store.sync(17).await.unwrap();
        assert_eq!(store.verify(..).count().await, 0);
        store.close().await.unwrap();
        let store: Store = Oversized::open(storage, few()).await.unwrap();
        assert!(store.recovery().opening.clean);
        assert_eq!(shown(&store, 17).await.unwrap(), [17, 2000]);
    });
}

/// A store that was closed in order and is only read closes the sections it has read, and stays clean: not a byte changes.
#[test]
fn a_reader_of_many_sections_changes_nothing() {
    sim::run(11, async |sim| {
        life(&sim, LOSE_ALL, |sim| async move {
            let store = open(sim.storage()).await.unwrap();
            for section in 0..50 {
                append(&store, section, section).await.unwrap();
            }
            store.close().await.unwrap();
        })
        .await;
        let before = Image::of(&sim);
        life(&sim, LOSE_ALL, |sim| async move {
            let store = open(sim.storage()).await.unwrap();
            for section in 0..50 {
                assert_eq!(store.read(section, 0).await.unwrap().1, value(section));
            }
            let open = (0..50).filter(|section| store.try_get(*section, 0).is_some()).count();
            assert!(open <= 3, "{open} are open");
        })
        .await;
        assert_eq!(Image::of(&sim), before);
    });
}

/// Thousands of sections with a record or two each: what they hold is given back, also by those that are far too small for
/// an index, also when it came into memory by reading.
#[test]
fn a_budget_for_small_sections() {
    block_on(async {
        let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
        let budget = BufferBudget::new(10_000);
        let config = || Config::new("blocks").buffer_budget(budget.clone()).open_sections(10_000);
        let store: Store = Oversized::open(Arc::clone(&storage), config()).await.unwrap();
        for n in 0..3000 {
            store.append(n, Located::new(n), &value(n)).await.unwrap();
            if n % 3 == 0 {
                store.sync(n).await.unwrap();
            }
            assert!(budget.used_bytes() <= 10_200, "{} at {n}", budget.used_bytes());
        }
        store.close().await.unwrap();
        let store: Store = Oversized::open(storage, config()).await.unwrap();
        for n in 0..3000 {
            assert_eq!(store.read(n, 0).await.unwrap().1, value(n));
        }
        let held = budget.used_bytes();
        assert!(held > 20_000, "{held}: they were read");
        store.append(5, Located::new(1), &value(1)).await.unwrap();
        assert!(budget.used_bytes() <= 10_200, "{}", budget.used_bytes());
        assert_eq!(store.read(2999, 0).await.unwrap().1, value(2999));
    });
}

/// Records that came into memory by reading a store that was closed in order are written to make room, by the first append.
/// The store is marked as in use before that: cut off there, it is not taken for clean.
#[test]
fn room_is_made_in_a_store_that_was_clean() {
    sim::run(14, async |sim| {
        life(&sim, LOSE_ALL, |sim| async move {
            let config = || Config::new("blocks").page_bytes(65536).preallocate_bytes(0);
            let store: Store = Oversized::open(sim.storage(), config()).await.unwrap();
            fill(&store, 1, 0..300).await;
            store.close().await.unwrap();
            let budget = BufferBudget::new(2000);
            let store: Store = Oversized::open(sim.storage(), config().buffer_budget(budget)).await.unwrap();
            assert_eq!(store.get(1, 7).await.unwrap().data, 7);
            sim.faults().inject(Fault::hang(Operation::Write).partition("blocks-index"));
            let first = sim.spawn({
                let store = store.clone();
                async move { append(&store, 2, 1).await }
            });
            for _ in 0..3000 {
                sim.yield_now().await;
            }
            assert!(!first.is_finished(), "the index is being written");
            let reader: Store = Oversized::open(sim.storage(), config().read_only(true)).await.unwrap();
            assert!(!reader.recovery().opening.clean);
            sim.faults().release();
            first.await.unwrap().unwrap();
            store.close().await.unwrap();
        })
        .await;
    });
}
