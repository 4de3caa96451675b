//! What each call does when nothing fails.

use std::sync::Arc;

use blob_runtime::codec::{CodecError, Value};
use blob_runtime::{Error as StorageError, Format, Kind, MemoryStorage, Storage, StoreId, Want};
use bytes::{Buf, BufMut, Bytes};
use futures::executor::block_on;
use futures::{StreamExt, TryStreamExt};
use glob::{Appended, Compression, Config, Cursor, Error, Expect, Glob, Location, RawGlob};

fn storage() -> Arc<dyn Storage> {
    Arc::new(MemoryStorage::new())
}

async fn open(storage: &Arc<dyn Storage>) -> RawGlob {
    RawGlob::open(Arc::clone(storage), Config::new("values")).await.unwrap()
}

async fn values(glob: &RawGlob, section: u64, from: Cursor) -> Vec<Bytes> {
    glob.scan(section, from).map_ok(|frame| frame.value).try_collect().await.unwrap()
}

#[test]
fn typed_values_come_back_as_they_were() {
    block_on(async {
        let storage = storage();
        let glob = Glob::<String>::open(Arc::clone(&storage), Config::new("values")).await.unwrap();
        let mut places = Vec::new();
        for n in 0..50_usize {
            let value = "value ".repeat(n);
            let section = [0, 7, u64::MAX][n % 3];
            places.push((section, glob.append(section, &value).await.unwrap(), value));
        }
        glob.sync_all().await.unwrap();
        for (section, location, value) in &places {
            assert_eq!(&glob.get(*section, *location).await.unwrap(), value);
            assert_eq!(glob.try_get(*section, *location).unwrap().unwrap(), *value);
            glob.wait_durable(*section, *location).await.unwrap();
        }
        assert_eq!(
            (glob.sections(), glob.oldest_section(), glob.newest_section()),
            (vec![0, 7, u64::MAX], Some(0), Some(u64::MAX))
        );
        assert_eq!((glob.len(7).await.unwrap(), glob.durable_len(7).await.unwrap()), (17, 17));
        let scanned: Vec<_> = glob.scan(7, Cursor::START).try_collect().await.unwrap();
        let own: Vec<_> = places.iter().filter(|(section, ..)| *section == 7).collect();
        assert_eq!(scanned.len(), own.len());
        for (n, (scanned, (_, location, value))) in scanned.iter().zip(&own).enumerate() {
            assert_eq!((scanned.position, &scanned.location, &scanned.value), (n as u64, location, value));
        }
        let from = scanned[4].next();
        let rest: Vec<_> = glob.scan(7, from).map_ok(|scanned| scanned.position).try_collect().await.unwrap();
        assert_eq!(rest, (5..17).collect::<Vec<_>>());
        let mixed = [own[3].1, own[4].1, own[5].1, own[0].1, own[0].1, own[16].1];
        let many = glob.get_many(7, &mixed).await.unwrap();
        let want = [3, 4, 5, 0, 0, 16].map(|n: usize| own[n].2.clone());
        assert_eq!(many, want);
        glob.close().await.unwrap();

        let glob = Glob::<String>::open(storage, Config::new("values")).await.unwrap();
        assert!(glob.recovery().opening.clean);
        for (section, location, value) in &places {
            assert_eq!(&glob.get(*section, *location).await.unwrap(), value);
        }
        assert_eq!(glob.locate(7, 5).await.unwrap(), from);
    });
}

/// A number below its limit.
#[derive(Debug, PartialEq)]
struct Small(u32);

impl Value for Small {
    type Cfg = u32;

    fn encoded_len(&self) -> usize {
        4
    }

    fn encode(&self, buf: &mut impl BufMut) {
        buf.put_u32(self.0);
    }

    fn decode(mut bytes: Bytes, max: &u32) -> Result<Self, CodecError> {
        if bytes.len() != 4 {
            return Err(CodecError::WrongLength { expected: 4, found: bytes.len() });
        }
        let value = bytes.get_u32();
        if value > *max { Err(CodecError::Invalid(format!("{value} is over {max}"))) } else { Ok(Self(value)) }
    }
}

/// The bytes are sound and the type refuses them: the error says where, and a scan ends with it.
#[test]
fn what_a_type_does_not_take_is_an_error_with_its_place() {
    block_on(async {
        let storage = storage();
        let config = |max: u32| Config::new("values").value_cfg(max);
        let glob = Glob::<Small>::open(Arc::clone(&storage), config(100)).await.unwrap();
        let places: Vec<_> = glob.append_batch(1, [Small(5), Small(500), Small(6)]).await.unwrap();
        let refused = glob.get(1, places[1].location).await.unwrap_err();
        assert!(
            matches!(&refused, Error::Codec { section: 1, location, source: CodecError::Invalid(_) } if *location == places[1].location),
            "{refused:?}"
        );
        let many = glob.get_many(1, &places.iter().map(|at| at.location).collect::<Vec<_>>()).await.unwrap_err();
        assert!(matches!(many, Error::Codec { .. }), "{many:?}");
        let mut scan = glob.scan(1, Cursor::START);
        assert_eq!(scan.next().await.unwrap().unwrap().value, Small(5));
        assert!(matches!(scan.next().await, Some(Err(Error::Codec { .. }))));
        assert!(scan.next().await.is_none(), "over after an error");
        glob.close().await.unwrap();
        let glob = Glob::<Small>::open(storage, config(1000)).await.unwrap();
        assert_eq!(glob.get(1, places[1].location).await.unwrap(), Small(500));
        let expect = Expect { position: Some(1), tag: None };
        assert_eq!(glob.get_expected(1, places[1].location, expect).await.unwrap(), Small(500));
        let other = glob.get_expected(1, places[0].location, expect).await.unwrap_err();
        assert!(matches!(other, Error::PositionMismatch { expected: 1, found: 0, .. }), "{other:?}");
    });
}

/// Every setting of compression and buffers opens what every other has written (P11).
#[test]
fn settings_may_change_from_open_to_open() {
    block_on(async {
        let storage = storage();
        let mut places = Vec::new();
        let settings: [fn(Config) -> Config; 5] = [
            |config| config.compression(Compression::Zstd { level: 3 }),
            |config| config.buffer_bytes(1),
            |config| config.compression(Compression::Zstd { level: -5 }).preallocate_bytes(0),
            |config| config.unsynced_bytes(1).recovery_concurrency(0),
            |config| config,
        ];
        for (n, setting) in settings.into_iter().enumerate() {
            let glob = RawGlob::open(Arc::clone(&storage), setting(Config::new("values"))).await.unwrap();
            for k in 0..20_u8 {
                let value = vec![k; usize::from(k) * 40];
                places.push((glob.append(3, &value).await.unwrap(), value));
            }
            for (appended, value) in &places {
                assert_eq!(glob.get(3, appended.location).await.unwrap(), value);
            }
            if n % 2 == 0 { glob.close().await.unwrap() } else { glob.sync(3).await.unwrap() }
        }
        let compressed = places.iter().filter(|(at, value)| (at.location.size as usize) < value.len()).count();
        assert!(compressed > 20, "{compressed} are smaller than their value");
    });
}

#[test]
fn limits_of_values() {
    block_on(async {
        let storage = storage();
        let config = || Config::new("values").max_value_bytes(10_000);
        let glob = RawGlob::open(Arc::clone(&storage), config()).await.unwrap();
        let empty = glob.append(0, b"").await.unwrap();
        let largest = glob.append(u64::MAX, &[7; 10_000]).await.unwrap();
        let refused = glob.append(0, &[7; 10_001]).await.unwrap_err();
        assert!(matches!(refused, Error::ValueTooLarge { len: 10_001, max: 10_000 }), "{refused:?}");
        let refused = glob.append_batch(0, &[vec![1; 5], vec![7; 10_001]]).await.unwrap_err();
        assert!(matches!(refused, Error::ValueTooLarge { .. }), "{refused:?}");
        assert_eq!(glob.append_batch(0, &[b""; 0]).await.unwrap(), []);
        assert_eq!((glob.len(0).await.unwrap(), glob.bytes(0).await.unwrap()), (1, 40));
        assert_eq!(glob.get(0, empty.location).await.unwrap(), "");
        glob.close().await.unwrap();
        // A lower limit refuses to read what is larger, and loses nothing.
        let glob = RawGlob::open(Arc::clone(&storage), config().max_value_bytes(100)).await.unwrap();
        let refused = glob.get(u64::MAX, largest.location).await.unwrap_err();
        assert!(matches!(refused, Error::ValueTooLarge { len: 10_000, max: 100 }), "{refused:?}");
        let refused = glob.scan(u64::MAX, Cursor::START).next().await.unwrap().unwrap_err();
        assert!(matches!(refused, Error::ValueTooLarge { len: 10_000, max: 100 }), "{refused:?}");
        glob.append(u64::MAX, b"more").await.unwrap();
        glob.sync(u64::MAX).await.unwrap();
        drop(glob);
        let glob = RawGlob::open(storage, config()).await.unwrap();
        assert_eq!(values(&glob, u64::MAX, Cursor::START).await, [&[7; 10_000][..], b"more"]);
    });
}

/// Sections that are not there, were pruned, or have fewer items: each says which (defects 12, 31).
#[test]
fn sections_and_items_out_of_range() {
    block_on(async {
        let storage = storage();
        let glob = open(&storage).await;
        let at = Location { offset: 0, size: 41 };
        let missing = [
            glob.sync(5).await.map(|()| 0),
            glob.len(5).await,
            glob.bytes(5).await,
            glob.get(5, at).await.map(|_| 0),
            glob.try_get(5, at).unwrap().map(|_| 0),
            glob.rewind(5, 1).await.map(|()| 0),
            glob.rewind_section(u64::MAX, u64::MAX).await.map(|()| 0),
            glob.wait_durable(5, at).await.map(|()| 0),
            glob.recover(5, Cursor::START).await.map(|_| 0),
            glob.scan(5, Cursor::START).next().await.unwrap().map(|_| 0),
            glob.flush(5).await.map(|()| 0),
            glob.reopen_section(5).await.map(|()| 0),
        ];
        for result in missing {
            assert!(matches!(result, Err(Error::SectionOutOfRange { section: 5 | u64::MAX })), "{result:?}");
        }
        glob.rewind(5, 0).await.unwrap();
        glob.rewind_section(5, 0).await.unwrap();
        assert!(!glob.remove_section(5).await.unwrap());
        assert!(glob.sections().is_empty(), "asking makes nothing");

        for section in [1, 2, 3, u64::MAX] {
            glob.append(section, b"x").await.unwrap();
        }
        let refused = glob.rewind(1, 2).await.unwrap_err();
        assert!(matches!(refused, Error::ItemOutOfRange { section: 1, position: 2, len: 1 }), "{refused:?}");
        assert_eq!(glob.sections(), [1, 2, 3, u64::MAX], "nothing was removed");
        glob.rewind(u64::MAX, 1).await.unwrap();
        assert_eq!(glob.sections(), [1, 2, 3, u64::MAX], "no section is above the last");
        assert!(glob.prune(3).await.unwrap());
        assert!(!glob.prune(3).await.unwrap() && !glob.prune(1).await.unwrap());
        glob.close().await.unwrap();
        let glob = open(&storage).await;
        assert_eq!(glob.sections(), [3, u64::MAX]);
        let pruned = [
            glob.append(2, b"x").await.map(|_| 0),
            glob.len(2).await,
            glob.sync(0).await.map(|()| 0),
            glob.get(1, at).await.map(|_| 0),
            glob.try_get(1, at).unwrap().map(|_| 0),
            glob.rewind(2, 0).await.map(|()| 0),
            glob.remove_section(2).await.map(|_| 0),
            glob.scan(2, Cursor::START).next().await.unwrap().map(|_| 0),
        ];
        for result in pruned {
            assert!(
                matches!(result, Err(Error::Pruned { oldest: 3, .. })),
                "also after a restart (defect 22): {result:?}"
            );
        }
        assert!(glob.remove_section(3).await.unwrap());
        assert_eq!(glob.append(3, b"anew").await.unwrap().position, 0);
        assert!(glob.prune(u64::MAX).await.unwrap());
        assert_eq!(glob.append(u64::MAX, b"y").await.unwrap().position, 1);
    });
}

/// A rewind goes into the middle of a batch and over later sections; what was kept stays, what comes next goes on there.
#[test]
fn a_rewind_cuts_and_goes_on() {
    block_on(async {
        let storage = storage();
        let glob = open(&storage).await;
        for section in 1..5 {
            glob.append_batch(section, &["a", "b", "c"]).await.unwrap();
        }
        glob.sync_all().await.unwrap();
        let dropped = glob.append(2, b"d").await.unwrap();
        glob.rewind(2, 2).await.unwrap();
        assert_eq!(glob.sections(), [1, 2]);
        let gone = glob.get(2, dropped.location).await.unwrap_err();
        assert!(matches!(gone, Error::InvalidLocation { .. }), "{gone:?}");
        assert_eq!(glob.append(2, b"e").await.unwrap().position, 2);
        glob.rewind_section(1, 0).await.unwrap();
        assert_eq!((glob.len(1).await.unwrap(), glob.sections()), (0, vec![1, 2]));
        assert_eq!(values(&glob, 1, Cursor::START).await, [""; 0]);
        assert_eq!(values(&glob, 2, Cursor::START).await, ["a", "b", "e"]);
        glob.sync_all().await.unwrap();
        drop(glob);
        let glob = open(&storage).await;
        assert!(!glob.recovery().opening.clean);
        assert_eq!((glob.sections(), glob.len(1).await.unwrap()), (vec![1, 2], 0));
        assert_eq!(values(&glob, 2, Cursor::START).await, ["a", "b", "e"]);
        // To where it is: nothing goes.
        glob.rewind(2, 3).await.unwrap();
        assert_eq!(glob.len(2).await.unwrap(), 3);
    });
}

/// A scan is under way while its section is cut, or pruned, or the store closed: one error says so, and it is over.
#[test]
fn a_scan_ends_when_its_section_changes_under_it() {
    block_on(async {
        let storage = storage();
        let glob = open(&storage).await;
        let fill = async |section| {
            for n in 0..20_u8 {
                glob.append(section, &[n; 50_000]).await.unwrap();
            }
        };
        let expect_end = async |mut scan: glob::RawScan, want: fn(&Error) -> bool| {
            let error = scan.next().await.unwrap().unwrap_err();
            assert!(want(&error), "{error:?}");
            assert!(scan.next().await.is_none());
        };
        fill(1).await;
        fill(2).await;
        let begun = async |section| {
            let mut scan = glob.scan(section, Cursor::START);
            scan.next().await.unwrap().unwrap();
            scan
        };
        let scan = begun(1).await;
        glob.append(1, b"later").await.unwrap();
        assert_eq!(scan.count().await, 19, "to the length it had when the scan came to it");
        let scan = begun(1).await;
        glob.rewind_section(1, 19).await.unwrap();
        expect_end(scan, |error| matches!(error, Error::Rewound { section: 1 })).await;
        let scan = begun(2).await;
        glob.rewind(1, 18).await.unwrap();
        expect_end(scan, |error| matches!(error, Error::Rewound { section: 2 })).await;
        let scan = begun(1).await;
        glob.prune(2).await.unwrap();
        expect_end(scan, |error| matches!(error, Error::Pruned { section: 1, oldest: 2 })).await;
        fill(2).await;
        let scan = begun(2).await;
        glob.close().await.unwrap();
        expect_end(scan, |error| matches!(error, Error::Closed)).await;
    });
}

#[test]
fn a_closed_store_is_closed_for_every_clone() {
    block_on(async {
        let storage = storage();
        let glob = open(&storage).await;
        let other = glob.clone();
        let at = glob.append(1, b"x").await.unwrap().location;
        let locked = RawGlob::open(Arc::clone(&storage), Config::new("values")).await.unwrap_err();
        assert!(matches!(locked, Error::Locked { .. }), "{locked:?}");
        glob.close().await.unwrap();
        other.close().await.unwrap();
        let closed = [
            other.append(1, b"x").await.map(|_| ()),
            other.append(9, b"x").await.map(|_| ()),
            other.sync(1).await,
            other.sync_all().await,
            other.get(1, at).await.map(|_| ()),
            other.try_get(1, at).unwrap().map(|_| ()),
            other.prune(1).await.map(|_| ()),
            other.rewind(1, 0).await,
            other.destroy().await,
            other.reopen_section(1).await,
            other.scan(1, Cursor::START).next().await.unwrap().map(|_| ()),
        ];
        for result in closed {
            assert!(matches!(result, Err(Error::Closed)), "{result:?}");
        }
        let glob = open(&storage).await;
        assert_eq!(glob.get(1, at).await.unwrap(), "x", "the claim was given back");
        // Looking changes nothing, nor does a sync of nothing: the store is clean as it is.
        glob.sync_all().await.unwrap();
        glob.sync(1).await.unwrap();
        glob.flush(1).await.unwrap();
        glob.maintain().await.unwrap();
        drop(glob);
        let glob = open(&storage).await;
        assert!(glob.recovery().opening.clean);
        glob.close().await.unwrap();
        assert!(open(&storage).await.recovery().opening.clean);
    });
}

#[test]
fn a_destroyed_store_is_gone() {
    block_on(async {
        let storage = storage();
        let glob = open(&storage).await;
        let store = glob.store_id();
        glob.append(1, b"x").await.unwrap();
        glob.sync(1).await.unwrap();
        glob.destroy().await.unwrap();
        let closed = glob.append(1, b"x").await.unwrap_err();
        assert!(matches!(closed, Error::Closed), "{closed:?}");
        assert_eq!(storage.scan("values").await.unwrap(), Vec::<Vec<u8>>::new());
        let glob = open(&storage).await;
        assert!(glob.recovery().opening.created);
        assert_ne!(glob.store_id(), store);
        assert!(glob.sections().is_empty());
    });
}

/// Opened with another tag size, over blobs of another kind, or of another store (P11): a typed error, and no byte
/// changed.
#[test]
fn what_is_of_another_format_is_refused() {
    block_on(async {
        let storage = storage();
        let tagged = || Config::new("values").tag_bytes(4);
        let glob = RawGlob::open(Arc::clone(&storage), tagged()).await.unwrap();
        let missing_tag = glob.append(1, b"x").await.unwrap_err();
        assert!(matches!(missing_tag, Error::TagSize { expected: 4, found: 0 }), "{missing_tag:?}");
        let put = |position: u64, location: Location, buf: &mut Vec<u8>| {
            assert_eq!((position, location), (0, Location { offset: 0, size: 45 }));
            buf.put_slice(b"TAGS");
        };
        let Appended { location, .. } = glob.append_tagged(1, b"x", put).await.unwrap();
        glob.close().await.unwrap();
        let of_partition = async |partition: &str| {
            let format = Format::new(Kind::VALUES, Want::Default(StoreId(0))).existing();
            let blob = storage.open(partition, &1_u64.to_be_bytes(), &format).await.unwrap();
            blob.read_at(0, usize::try_from(blob.len()).unwrap()).await.unwrap()
        };
        let before = of_partition("values").await;
        let wrong = RawGlob::open(Arc::clone(&storage), Config::new("values").tag_bytes(5)).await.unwrap();
        let error = wrong.get(1, location).await.unwrap_err();
        assert!(
            matches!(error.storage(), Some(StorageError::FormatMismatch { field: "unit", expected, found, .. }) if expected == "5" && found == "4"),
            "{error:?}"
        );
        assert!(matches!(error, Error::FormatMismatch { .. }));
        let error = wrong.append(1, b"x").await.unwrap_err();
        assert!(matches!(error, Error::FormatMismatch { .. }), "{error:?}");
        drop(wrong);
        assert_eq!(of_partition("values").await, before);
        let any = RawGlob::open(Arc::clone(&storage), Config::new("values")).await.unwrap();
        assert_eq!(any.get_frame(1, location, Expect::ANY).await.unwrap().tag, "TAGS", "without a wish: what is there");
        drop(any);

        let foreign = Format::new(Kind::PAGED, Want::Exactly(StoreId(1)));
        storage.open("pages", &1_u64.to_be_bytes(), &foreign).await.unwrap();
        let error = RawGlob::open(Arc::clone(&storage), Config::new("pages")).await.unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "sections and no manifest: {error:?}");
    });
}

#[test]
fn settings_that_cannot_be_are_refused_before_anything_is_touched() {
    let storage = storage();
    for config in
        [Config::new("values").compression(Compression::Zstd { level: 100 }), Config::new("values").buffer_bytes(0)]
    {
        let error = block_on(RawGlob::open(Arc::clone(&storage), config)).unwrap_err();
        assert!(matches!(error, Error::InvalidConfig { .. }), "{error:?}");
    }
    for name in ["", "a/b", &"x".repeat(128)] {
        let error = block_on(RawGlob::open(Arc::clone(&storage), Config::new(name))).unwrap_err();
        assert!(matches!(error.storage(), Some(StorageError::InvalidPartition { .. })), "{name:?}: {error:?}");
    }
    assert_eq!(block_on(storage.scan("values")).unwrap(), Vec::<Vec<u8>>::new());
}

/// Tasks on several threads append, sync, read, scan, seal and prune at once.
#[test]
fn threads_share_one_glob() {
    let storage = storage();
    let config = Config::new("values").buffer_bytes(500).compression(Compression::Zstd { level: 1 });
    let glob = block_on(RawGlob::open(Arc::clone(&storage), config)).unwrap();
    let threads: Vec<_> = (0..4_u64)
        .map(|thread| {
            let glob = glob.clone();
            std::thread::spawn(move || {
                block_on(async {
                    let mut mine = Vec::new();
                    for n in 0..200_u64 {
                        let section = 10 + (thread + n) % 3;
                        let value = format!("{thread} {n} ").repeat(20).into_bytes();
                        let at = glob.append(section, &value).await.unwrap();
                        if n % 5 == 0 {
                            glob.sync(section).await.unwrap();
                        }
                        if n % 50 == 0 {
                            glob.append(20 + thread, &value).await.unwrap();
                            glob.sync_all().await.unwrap();
                            glob.maintain().await.unwrap();
                        }
                        if n % 64 == 0 {
                            let _ = glob.prune(n / 64).await.unwrap();
                        }
                        mine.push((section, at, value));
                        let (section, at, value) = &mine[mine.len() / 2];
                        assert_eq!(glob.get(*section, at.location).await.unwrap(), value);
                        if n % 40 == 0 {
                            let positions: Vec<_> = glob
                                .scan(*section, Cursor::START)
                                .map_ok(|frame| frame.position)
                                .try_collect()
                                .await
                                .unwrap();
                            assert_eq!(positions, (0..positions.len() as u64).collect::<Vec<_>>());
                        }
                    }
                    mine
                })
            })
        })
        .collect();
    let all: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    block_on(glob.close()).unwrap();
    let glob = block_on(open(&storage));
    for (section, at, value) in all {
        let frame = block_on(glob.get_frame(section, at.location, Expect { position: Some(at.position), tag: None }));
        assert_eq!(frame.unwrap().value, value);
    }
}
