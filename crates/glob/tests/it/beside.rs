//! Calls beside others that are not polled, in the order that could do harm.

use std::sync::Arc;
use std::task::Poll;

use blob_runtime::append::Config as LogConfig;
use blob_runtime::append::Spares;
use blob_runtime::sim::{self, Sim};
use blob_runtime::{Format, Kind, Storage, StoreId, Want};
use futures::{FutureExt, TryStreamExt};
use glob::section::{Section, Settings};
use glob::{Compression, Config, Cursor, Error, Packer, RawGlob, recover};

const NAME: [u8; 8] = 1_u64.to_be_bytes();

/// A section of three values, each synced, behind which zeros are written ahead.
async fn with_zeros_ahead(sim: &Sim) -> (Arc<Packer>, Arc<Section>) {
    let packer = Arc::new(Packer::new(Compression::None, 1000));
    let settings = Settings {
        log: LogConfig { buffer_bytes: 300, unsynced_bytes: u64::MAX, spares: Spares::new(1 << 20) },
        preallocate_bytes: 1 << 16,
        packer: Arc::clone(&packer),
        read_only: false,
    };
    let format = Format::new(Kind::VALUES, Want::Exactly(StoreId(1))).unit(Want::Exactly(0));
    let blob = sim.storage().open("values", &NAME, &format).await.unwrap();
    let section = Arc::new(Section::create(1, blob, settings).unwrap());
    for _ in 0..3 {
        section.append(&packer.pack(b"early").unwrap(), |_, _, _| {}).await.unwrap();
        section.sync().await.unwrap();
    }
    assert!(section.blob().len() > section.bytes(), "zeros lie ahead");
    (packer, section)
}

/// While the zeros written ahead are cut off for a seal, and whoever seals is not polled, others append and sync: until
/// there are zeros again, or just so often that the next sync, the seal's own, would write some. A seal with zeros behind
/// it is not the end of its blob, and a store that was closed with one is refused as damaged.
#[test]
fn no_zeros_lie_behind_a_seal() {
    let mut sealed_at_once = 0;
    for appends in 1..6 {
        sim::run(appends, async |sim| {
            let (packer, section) = with_zeros_ahead(&sim).await;
            let mut seal = Box::pin(section.try_seal());
            assert!(futures::poll!(&mut seal).is_pending());
            for _ in 0..appends {
                section.append(&packer.pack(b"late").unwrap(), |_, _, _| {}).await.unwrap();
                section.sync().await.unwrap();
            }
            sealed_at_once += u32::from(seal.await.unwrap());
            section.seal().await.unwrap();
            assert!(section.is_sealed());
            assert_eq!(section.blob().len(), section.bytes(), "after {appends} appends");
            assert_eq!(section.len(), 3 + appends);
            assert!(recover::sealed_end(section.blob()).await.unwrap().is_some());
        });
    }
    assert!((1..5).contains(&sealed_at_once), "{sealed_at_once}: some gave way to zeros, some had none before them");
}

/// A section at rest is sealed; while the zeros written ahead are cut off an append comes, and gets in before the seal. A
/// seal behind it would say of what is only in memory that it is durable; and to try for as long as appends go on would
/// keep up the sync that seals. So it is given up; the next one comes through.
#[test]
fn a_seal_gives_way_to_an_append() {
    for seed in 0..20 {
        sim::run(seed, async |sim| {
            let (packer, section) = with_zeros_ahead(&sim).await;
            let mut seal = Box::pin(section.try_seal());
            assert!(futures::poll!(&mut seal).is_pending());
            let packed = packer.pack(b"late").unwrap();
            let mut late = Box::pin(section.append(&packed, |_, _, _| {}));
            let mut appended = None;
            let sealed = loop {
                if appended.is_none()
                    && let Poll::Ready(at) = futures::poll!(&mut late)
                {
                    appended = Some(at.unwrap().position);
                }
                if let Poll::Ready(sealed) = futures::poll!(&mut seal) {
                    break sealed.unwrap();
                }
                sim.yield_now().await;
            };
            assert_eq!((appended, sealed, section.is_sealed()), (Some(3), false, false), "seed {seed}");
            assert_eq!((section.len(), section.durable_len()), (4, 3), "seed {seed}");
            assert!(section.try_seal().await.unwrap());
            assert_eq!((section.is_sealed(), section.durable_len()), (true, 4), "seed {seed}");
        });
    }
}

/// A rewind or a removal is dropped at every poll, and nothing else runs. Who reads the section is told of it at most once: a
/// scan was told each time, for nobody carried the change on.
#[test]
fn a_change_that_was_left_does_not_stand_in_the_way() {
    for rewind in [true, false] {
        let ended = (0..200).any(|polls| {
            sim::run(polls, async |sim| {
                let glob = RawGlob::open(sim.storage(), Config::new("values")).await.unwrap();
                for value in [b"first", b"other", b"third"] {
                    glob.append(1, value).await.unwrap();
                }
                glob.sync(1).await.unwrap();
                let change = async {
                    match rewind {
                        true => glob.rewind_section(1, 1).await,
                        false => glob.remove_section(1).await.map(drop),
                    }
                };
                let mut change = Box::pin(change);
                let mut ended = false;
                for _ in 0..polls {
                    ended = ended || change.as_mut().now_or_never().is_some();
                    sim.yield_now().await;
                }
                drop(change);
                let located = glob.locate(1, 0).await;
                assert!(matches!(located, Ok(_) | Err(Error::SectionOutOfRange { .. })), "{located:?}");
                for first in [true, false] {
                    let scanned: Result<Vec<_>, Error> = glob.scan(1, Cursor::START).try_collect().await;
                    match scanned {
                        Ok(frames) => assert!(frames.len() == 3 || rewind && frames.len() == 1, "{frames:?}"),
                        Err(Error::SectionOutOfRange { .. }) => assert!(!rewind),
                        Err(error) => assert!(first && matches!(error, Error::Rewound { .. }), "{error:?}"),
                    }
                }
                ended
            })
        });
        assert!(ended, "it was never through");
    }
}

/// A prune, or a removal, is dropped half-way; then everything is synced. What goes is no failure of that.
#[test]
fn a_sync_of_all_behind_a_change_that_was_left() {
    for polls in 0..40 {
        sim::run(polls, async |sim| {
            let glob = RawGlob::open(sim.storage(), Config::new("values")).await.unwrap();
            for section in [1, 2] {
                glob.append(section, b"value").await.unwrap();
            }
            let mut prune = Box::pin(glob.prune(2));
            for _ in 0..polls {
                if prune.as_mut().now_or_never().is_some() {
                    break;
                }
                sim.yield_now().await;
            }
            drop(prune);
            glob.sync_all().await.unwrap();
            assert!(glob.durable_len(2).await.unwrap() == 1);
        });
    }
}

/// A reader was opened before the writer: what is unlike a store that was closed is no damage then.
#[test]
fn a_reader_that_recovers_beside_a_writer() {
    sim::run(1, async |sim| {
        let glob = RawGlob::open(sim.storage(), Config::new("values")).await.unwrap();
        glob.append(1, b"value").await.unwrap();
        glob.close().await.unwrap();
        let reader = RawGlob::open(sim.storage(), Config::new("values").read_only(true)).await.unwrap();
        let glob = RawGlob::open(sim.storage(), Config::new("values")).await.unwrap();
        glob.append(1, b"more").await.unwrap();
        glob.sync(1).await.unwrap();
        let looked = reader.recover(1, Cursor::START).await;
        assert!(matches!(&looked, Err(Error::Stale { .. })), "{looked:?}");
    });
}
