//! The store after its files were changed behind its back: a test for each row of what the reference does then. What was
//! acknowledged is refused or reported, never silently dropped; an index is made anew of the frames.

use std::collections::BTreeMap;

use blob_runtime::Operation;
use blob_runtime::sim::{self, Sim};
use futures::TryStreamExt;
use oversized::{Error, IndexCase, OnDamage};

use crate::common::{Image, LOSE_ALL, Store, all_shown, append, build, config, life, open, open_with, shown};

const INDEX: &str = "blocks-index";
const VALUES: &str = "blocks-values";
const HEADER: usize = 4096;

fn name(section: u64) -> [u8; 8] {
    section.to_be_bytes()
}

/// Builds the store, changes it, and gives it to `check`, closed and left.
fn changed(change: impl Fn(&Sim), check: impl AsyncFn(Sim, BTreeMap<u64, Vec<u64>>, bool)) {
    for closed in [true, false] {
        sim::run(7, async |sim| {
            let before = build(&sim, closed).await;
            change(&sim);
            check(sim, before, closed).await;
        });
    }
}

/// Everything is there, and the store goes on.
async fn whole(sim: Sim, before: BTreeMap<u64, Vec<u64>>) -> Vec<(u64, IndexCase)> {
    life(&sim, LOSE_ALL, |sim| async move {
        let store = open(sim.storage()).await.unwrap();
        assert_eq!(all_shown(&store).await.unwrap(), before);
        assert_eq!(append(&store, 1, 300).await.unwrap(), before[&1].len() as u64);
        store.sync(1).await.unwrap();
        let cases = store.recovery().sections.iter().map(|report| (report.section, report.index)).collect();
        store.close().await.unwrap();
        let store = open(sim.storage()).await.unwrap();
        assert_eq!(shown(&store, 1).await.unwrap().len(), before[&1].len() + 1);
        cases
    })
    .await
}

/// `Refuse` says where, and changes nothing; `Truncate` keeps `kept` entries of section 1, reports, puts what goes into
/// quarantine, and the store goes on at the right position.
async fn refused_or_cut(sim: Sim, before: BTreeMap<u64, Vec<u64>>, kept: usize) {
    let image = Image::of(&sim);
    life(&sim, LOSE_ALL, |sim| async move {
        let refused = async {
            let store = open_with(sim.storage(), OnDamage::Refuse).await?;
            store.len(1).await
        };
        let refused = refused.await.unwrap_err();
        assert!(matches!(&refused, Error::Corrupt { blob, .. } if blob.partition() == &VALUES.into()), "{refused:?}");
    })
    .await;
    assert!(Image::of(&sim) == image, "nothing was changed");
    life(&sim, LOSE_ALL, |sim| async move {
        let store = open_with(sim.storage(), OnDamage::Truncate).await.unwrap();
        let data = shown(&store, 1).await;
        if kept == 0 && matches!(data, Err(Error::SectionOutOfRange { section: 1 })) {
            return;
        }
        assert_eq!(data.unwrap(), before[&1][..kept]);
        assert_eq!(shown(&store, 2).await.unwrap(), before[&2], "the other section is whole");
        assert_eq!(append(&store, 1, 300).await.unwrap(), kept as u64);
        store.sync(1).await.unwrap();
        store.close().await.unwrap();
        let store = open(sim.storage()).await.unwrap();
        assert_eq!(shown(&store, 1).await.unwrap().len(), kept + 1);
    })
    .await;
}

/// Nothing proves that there were more, for an index whose last pages have no frames may be what a rewind has left: they are
/// dropped, and that is reported.
async fn dropped(sim: Sim, before: BTreeMap<u64, Vec<u64>>, kept: usize) {
    life(&sim, LOSE_ALL, |sim| async move {
        let store = open(sim.storage()).await.unwrap();
        if kept > 0 {
            assert_eq!(shown(&store, 1).await.unwrap(), before[&1][..kept]);
        }
        let report = store.recovery().sections.iter().find(|report| report.section == 1).unwrap();
        assert_eq!(report.entries, kept as u64);
        assert!(report.dropped_bytes > 0 || report.index == IndexCase::Cut, "{report:?}");
    })
    .await;
}

/// The values are cut in the middle of an entry, by a byte, to nothing, or are gone. After a close that is damage; in a store
/// that was left it is dropped and reported, unless the whole file is gone.
#[test]
fn values_are_cut() {
    let len = |sim: &Sim| sim.disk().visible(VALUES, &name(1)).unwrap().len();
    // Entry 6 begins behind those before it: a frame has 40 bytes, a record 20, the values their own length.
    let sizes: Vec<usize> = (100..112).map(|data| 60 + crate::common::value(data).len()).collect();
    let start = |entry: usize| HEADER + sizes[..entry].iter().sum::<usize>();
    for (to, kept) in [(start(2) + 10, 2), (start(7) + 10, 7), (start(8) - 1, 7), (start(11) + 1, 11), (HEADER + 3, 0)]
    {
        changed(
            |sim| {
                assert!(to < len(sim));
                assert!(sim.disk().edit(VALUES, &name(1), |bytes| bytes.truncate(to)));
            },
            async |sim, before, closed| match closed {
                true => refused_or_cut(sim, before, kept).await,
                false => dropped(sim, before, kept).await,
            },
        );
    }
    changed(
        |sim| assert!(sim.disk().remove(VALUES, &name(1))),
        async |sim, before, _| refused_or_cut(sim, before, 0).await,
    );
}

/// The index is cut to whole pages, in the middle of an entry, to less than one, to nothing, or is gone; its last page is
/// damaged, or one in the middle, or its header: it is made anew of the frames, with both ways of opening.
#[test]
fn the_index_is_damaged() {
    let page = 64;
    let cuts = [HEADER + 2 * page, HEADER + 2 * page + 30, HEADER + 10, HEADER, 1000, 0];
    for to in cuts {
        changed(
            |sim| assert!(sim.disk().edit(INDEX, &name(1), |bytes| bytes.truncate(to))),
            async |sim, before, _| drop(whole(sim, before).await),
        );
    }
    for at in [HEADER + 5, HEADER + 2 * page + 5, 3, 30] {
        changed(
            |sim| assert!(sim.disk().edit(INDEX, &name(1), |bytes| bytes[at] ^= 1)),
            async |sim, before, _| drop(whole(sim, before).await),
        );
    }
    changed(
        |sim| {
            let last = sim.disk().visible(INDEX, &name(1)).unwrap().len() - page;
            assert!(sim.disk().edit(INDEX, &name(1), |bytes| bytes[last] ^= 1));
        },
        async |sim, before, closed| {
            let cases = whole(sim, before).await;
            assert!(closed || cases.iter().any(|(section, _)| *section == 1), "{cases:?}");
        },
    );
    changed(|sim| assert!(sim.disk().remove(INDEX, &name(1))), async |sim, before, _| drop(whole(sim, before).await));
}

/// Values without index are of this store: they are adopted. One section, several with gaps, beside an index without an
/// entry.
#[test]
fn values_without_index() {
    sim::run(7, async |sim| {
        let before = life(&sim, LOSE_ALL, |sim| async move {
            let store = open(sim.storage()).await.unwrap();
            for section in [1, 2, 5, 9] {
                crate::common::fill(&store, section, 100 * section..100 * section + 12).await;
            }
            store.sync_all().await.unwrap();
            all_shown(&store).await.unwrap()
        })
        .await;
        for section in [1, 5, 9] {
            assert!(sim.disk().remove(INDEX, &name(section)));
        }
        assert!(sim.disk().edit(INDEX, &name(2), |bytes| bytes.truncate(HEADER)));
        whole(sim, before).await;
    });
}

/// Values of another store, or none at all, under a name that sorts among the sections: never adopted, moved to quarantine
/// and reported; of another store, told.
#[test]
fn values_of_another_store() {
    sim::run(7, async |sim| {
        let before = build(&sim, false).await;
        let salt = blob_runtime::Salt(0x1234_5678);
        assert!(sim.disk().put(VALUES, &name(7), salt, vec![0xab; 9000]));
        let kept = before.clone();
        let image = life(&sim, LOSE_ALL, |sim| async move {
            let store = open(sim.storage()).await.unwrap();
            assert_eq!(all_shown(&store).await.unwrap(), kept);
            let report = store.recovery().sections.iter().find(|report| report.section == 7).unwrap();
            assert_eq!((report.entries, report.quarantined_bytes), (0, 9000 - HEADER as u64));
            Image::of(&sim)
        })
        .await;
        assert!(image.quarantine_has(&vec![0xab; 9000 - HEADER]));
        // A whole file of another store: a header that verifies and says so.
        let foreign = sim::run(8, async |other| {
            build(&other, true).await;
            other.disk().visible(VALUES, &name(1)).unwrap()
        });
        let own =
            sim.disk().files().into_iter().find(|file| &*file.partition == VALUES && *file.name == name(2)).unwrap();
        assert!(sim.disk().put(VALUES, &name(2), own.salt, foreign));
        let before = Image::of(&sim);
        life(&sim, LOSE_ALL, |sim| async move {
            for on_damage in [OnDamage::Refuse, OnDamage::Truncate] {
                let error = open_with(sim.storage(), on_damage).await.unwrap_err();
                assert!(matches!(error, Error::FormatMismatch { .. }), "{error:?}");
            }
        })
        .await;
        assert!(Image::of(&sim) == before);
    });
}

/// Garbage behind the last value: dropped and reported when nothing says how long the section was; damage after a close,
/// which left a seal last. The next append begins where the last entry ended.
#[test]
fn garbage_behind_the_values() {
    changed(
        |sim| assert!(sim.disk().edit(VALUES, &name(2), |bytes| bytes.extend([0x5a; 333]))),
        async |sim, before, closed| {
            let image = Image::of(&sim);
            life(&sim, LOSE_ALL, |sim| async move {
                let opened = async {
                    let store = open_with(sim.storage(), OnDamage::Refuse).await?;
                    store.len(2).await
                };
                match opened.await {
                    Err(Error::Corrupt { .. }) => assert!(closed),
                    other => assert!(!closed && other.unwrap() == 3),
                }
            })
            .await;
            image.restore(&sim);
            life(&sim, LOSE_ALL, |sim| async move {
                let store = open_with(sim.storage(), OnDamage::Truncate).await.unwrap();
                assert_eq!(shown(&store, 2).await.unwrap(), before[&2]);
                if !closed {
                    let report = store.recovery().sections.iter().find(|report| report.section == 2).unwrap();
                    assert_eq!((report.entries, report.dropped_bytes), (3, 333));
                }
                assert_eq!(append(&store, 2, 300).await.unwrap(), 3);
                store.sync(2).await.unwrap();
            })
            .await;
        },
    );
}

/// Two sections are cut and two are whole: each is judged by itself.
#[test]
fn some_sections_are_cut() {
    sim::run(7, async |sim| {
        let before = life(&sim, LOSE_ALL, |sim| async move {
            let store = open(sim.storage()).await.unwrap();
            for section in 1..5 {
                crate::common::fill(&store, section, 100 * section..100 * section + 12).await;
            }
            store.close().await.unwrap();
            let store = open(sim.storage()).await.unwrap();
            all_shown(&store).await.unwrap()
        })
        .await;
        for section in [2, 4] {
            assert!(sim.disk().edit(VALUES, &name(section), |bytes| bytes.truncate(HEADER + 500)));
        }
        life(&sim, LOSE_ALL, |sim| async move {
            let store = open_with(sim.storage(), OnDamage::Truncate).await.unwrap();
            for section in [1, 3] {
                assert_eq!(shown(&store, section).await.unwrap(), before[&section]);
            }
            for section in [2, 4] {
                let kept = shown(&store, section).await.unwrap();
                assert!(kept.len() < 12 && kept == before[&section][..kept.len()], "{kept:?}");
                assert!(kept.len() > 3);
            }
        })
        .await;
    });
}

/// A read by a location that never was: size 0, smaller than a frame's head, off by one, a wrong offset, past the end, past
/// every end. An error, never a wrong value.
#[test]
fn wrong_locations() {
    sim::run(7, async |sim| {
        build(&sim, true).await;
        life(&sim, LOSE_ALL, |sim| async move {
            let store = open(sim.storage()).await.unwrap();
            let right = oversized::Record::value_location(&store.get(1, 3).await.unwrap());
            assert_eq!(store.get_value(1, right).await.unwrap(), crate::common::value(103));
            let wrong = [
                (right.offset, 0),
                (right.offset, 59),
                (right.offset, right.size - 1),
                (right.offset, right.size + 1),
                (right.offset + 1, right.size),
                (right.offset - 1, right.size),
                (1 << 40, right.size),
                (u64::MAX - 3, right.size),
                (u64::MAX, u32::MAX),
            ];
            for (offset, size) in wrong {
                let error = store.get_value(1, oversized::Location { offset, size }).await.unwrap_err();
                assert!(
                    matches!(
                        error,
                        Error::InvalidLocation { .. } | Error::ChecksumMismatch { .. } | Error::ValueTooLarge { .. }
                    ),
                    "{offset} {size}: {error:?}"
                );
            }
            let other = store.get(1, 4).await.unwrap();
            let forged =
                oversized::Record::with_location(oversized::Located::new(9), oversized::Record::value_location(&other));
            let error = store.value_of(1, &forged).await.unwrap_err();
            assert!(matches!(error, Error::InvalidLocation { section: 1, .. }), "{error:?}");
            for position in [12, u64::MAX] {
                let error = store.get(1, position).await.unwrap_err();
                assert!(matches!(error, Error::ItemOutOfRange { section: 1, len: 12, .. }), "{error:?}");
            }
        })
        .await;
    });
}

/// The index of a large section that was closed in order is lost. It is made anew at the first use, and that is told. Until
/// then, and in a reader, a replay takes the records from the frames in one pass: its reads grow with the section, not with
/// its square.
#[test]
fn a_large_section_whose_index_is_lost() {
    let reads = |entries: u64, read_only: bool| {
        sim::run(12, async move |sim| {
            life(&sim, LOSE_ALL, |sim| async move {
                let store = open(sim.storage()).await.unwrap();
                for data in 0..entries {
                    append(&store, 1, data).await.unwrap();
                }
                store.close().await.unwrap();
            })
            .await;
            assert!(sim.disk().remove("blocks-index", &1_u64.to_be_bytes()));
            life(&sim, LOSE_ALL, |sim| async move {
                let store = Store::open(sim.storage(), config().read_only(read_only)).await.unwrap();
                let before = sim.counts().performed(Operation::Read);
                let shown: Vec<u64> = store.replay(1, 0).map_ok(|entry| entry.record.data).try_collect().await.unwrap();
                assert_eq!(shown, (0..entries).collect::<Vec<_>>());
                let reads = sim.counts().performed(Operation::Read) - before;
                let reports = store.section_reports();
                assert_eq!(reports.len(), 1, "{reports:?}");
                assert_eq!((reports[0].section, reports[0].index), (1, IndexCase::Rebuilt));
                assert_eq!(reports[0].entries, entries);
                if !read_only {
                    store.close().await.unwrap();
                    assert!(sim.disk().visible("blocks-index", &1_u64.to_be_bytes()).unwrap().len() > 4096);
                    let store = open(sim.storage()).await.unwrap();
                    assert_eq!(store.get(1, entries - 1).await.unwrap().data, entries - 1);
                    assert_eq!(store.section_reports(), []);
                }
                reads
            })
            .await
        })
    };
    for read_only in [true, false] {
        let (small, large) = (reads(200, read_only), reads(2000, read_only));
        assert!(large < 40 + 12 * small, "{small} reads, then {large}");
    }
}
