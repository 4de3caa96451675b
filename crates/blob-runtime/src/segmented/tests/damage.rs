//! Damage, with both settings, and stores that are only read: what is changed, to the byte.

use std::collections::BTreeMap;

use super::toy::{Change, PARTITION, ROT, filled, open, open_with, shown, truncate};
use crate::error::Error;
use crate::header::HEADER_BYTES;
use crate::manifest::{self, Intent};
use crate::quarantine;
use crate::sections::section_name;
use crate::segmented::{Fault, Options};
use crate::sim::{self, Crash, Cut, Sim};
use crate::storage::Storage;

/// Every file, as the process sees it.
pub(super) fn raw(sim: &Sim) -> BTreeMap<(String, Vec<u8>), Vec<u8>> {
    let files = sim.disk().files().into_iter().filter(|file| file.visible);
    files
        .map(|file| {
            let bytes = sim.disk().visible(&file.partition, &file.name).unwrap();
            ((file.partition.to_string(), file.name.to_vec()), bytes)
        })
        .collect()
}

/// An item of a section rots.
fn rot(sim: &Sim, section: u64, item: usize) {
    let edited = sim.disk().edit(PARTITION, &section_name(section), |bytes| bytes[HEADER_BYTES + item] = ROT);
    assert!(edited);
}

fn is_damage(fault: &Fault, at: u64) -> bool {
    matches!(fault, Fault::Storage(Error::Corrupt { offset, .. }) if *offset == at)
}

/// An acknowledged item of one section rots before an unclean stop, while a rewind over other sections is decided and not
/// done. The open is refused, and neither the rewind nor anything else changes a byte (P4). When told to, it keeps what
/// comes before the damage, moves the rest to quarantine, and carries the rewind out.
#[test]
fn damage_after_an_unclean_stop() {
    for seed in 0..10 {
        sim::run(seed, async |sim| {
            let store = filled(&sim).await;
            store.close().await.unwrap();
            let storage: std::sync::Arc<dyn Storage> = sim.storage();
            let manifest::Finding::Found(found) = manifest::find(&storage, PARTITION).await.unwrap() else { panic!() };
            let target = manifest::Target { section: 2, items: 3, values_offset: 0 };
            let intent = Some(Intent::Rewind(target));
            found.settle().await.unwrap().update(|state| state.intent = intent).await.unwrap();
            rot(&sim, 1, 2);
            // What the rewind has doomed is not judged.
            rot(&sim, 2, 4);
            rot(&sim, 3, 0);
            let before = raw(&sim);
            for _ in 0..2 {
                let fault = open_with(sim.storage(), Options::default()).await.map(drop).unwrap_err();
                assert!(is_damage(&fault, 2), "{fault:?}");
                assert!(raw(&sim) == before, "a byte was changed");
            }
            let (store, opening) = open_with(sim.storage(), truncate()).await.unwrap();
            assert_eq!(opening.resumed, intent);
            let want = BTreeMap::from([(1, vec![10, 11]), (2, vec![20, 21, 22])]);
            assert_eq!(shown(&store).await.unwrap().2, want);
            let quarantine = quarantine::partition_of(PARTITION);
            let kept = sim.storage().scan(&quarantine).await.unwrap();
            assert_eq!(kept.len(), 2, "the bytes and a note: {kept:?}");
            let bytes = sim.disk().visible(&quarantine, &kept[0]).unwrap();
            assert_eq!(bytes[HEADER_BYTES..], [ROT, 13, 14]);
            drop(store);
            sim.crash(Crash::Power(Cut::LoseAll));
            assert_eq!(shown(&open(&sim).await.0).await.unwrap().2, want);
            assert_eq!(sim.disk().durable(&quarantine, &kept[0]).unwrap(), bytes, "durable before the cut");
        });
    }
}

/// Rot in a section of a store that was closed in order: it is met at the section's first use, again and again, while all
/// others are used. No byte of it is changed, until the store is opened with the setting that cuts.
#[test]
fn damage_after_a_clean_close() {
    sim::run(1, async |sim| {
        filled(&sim).await.close().await.unwrap();
        rot(&sim, 2, 1);
        let before = sim.disk().visible(PARTITION, &section_name(2));
        let (store, opening) = open(&sim).await;
        assert!(opening.clean);
        for _ in 0..2 {
            let faults = [
                store.section(2).await.map(drop).unwrap_err(),
                store.writable(2).await.map(drop).unwrap_err(),
                store.rewind(2, 0, false).await.unwrap_err(),
            ];
            assert!(faults.iter().all(|fault| is_damage(fault, 1)), "{faults:?}");
        }
        store.writable(3).await.unwrap().append(35).await.unwrap();
        store.close().await.unwrap();
        assert_eq!(sim.disk().visible(PARTITION, &section_name(2)), before);

        let (reader, _) = open_with(sim.storage(), Options { read_only: true, ..Options::default() }).await.unwrap();
        assert_eq!(reader.existing(1).await.unwrap().items().await.unwrap(), [10, 11, 12, 13, 14]);
        assert_eq!(sim.disk().visible(PARTITION, &section_name(2)), before);

        let (store, _) = open_with(sim.storage(), truncate()).await.unwrap();
        assert_eq!(store.existing(2).await.unwrap().items().await.unwrap(), [20]);
        assert_eq!(store.existing(3).await.unwrap().items().await.unwrap(), [30, 31, 32, 33, 34, 35]);
        assert_eq!(sim.storage().scan(&quarantine::partition_of(PARTITION)).await.unwrap().len(), 2);
        store.close().await.unwrap();
        assert_eq!(open(&sim).await.0.existing(2).await.unwrap().items().await.unwrap(), [20]);
    });
}

/// A reader beside a writer, and after a crash in the middle of every change: it takes no lock, changes no byte, and shows
/// the change wholly or not at all, as the next writer will.
#[test]
fn reading_only_changes_nothing() {
    let read_only = Options { read_only: true, ..Options::default() };
    for change in [Change::Prune, Change::Rewind, Change::RewindSection, Change::RewindToNothing] {
        for step in 1.. {
            let ended = sim::run(step, async |sim| {
                let case = format!("{change:?}, step {step}");
                let store = filled(&sim).await;
                let before = shown(&store).await.unwrap();
                let beside = open_with(sim.storage().read_only(), read_only.clone()).await.unwrap().0;
                assert_eq!(shown(&beside).await.unwrap(), before, "{case}, beside the writer");
                let after = change.after(before.clone());
                sim.crash_at(step, Crash::Kill);
                let ended = sim.life(async move { change.make(&store).await }).await;
                sim.disarm();
                if ended.is_some() {
                    assert!(beside.is_stale().await.unwrap(), "{case}: the reader is told");
                    sim.crash(Crash::Kill);
                }
                let disk = raw(&sim);
                let (reader, opening) = open_with(sim.storage().read_only(), read_only.clone()).await.unwrap();
                assert_eq!((opening.clean, opening.resumed), (false, None), "{case}");
                for section in reader.table().sections() {
                    reader.existing(section).await.unwrap_or_else(|fault| panic!("{case}: {fault}"));
                }
                let refusals = [
                    reader.prune(9).await.map(drop).unwrap_err(),
                    reader.rewind(2, 0, true).await.unwrap_err(),
                    reader.remove_section(2).await.map(drop).unwrap_err(),
                    reader.set_state("x".into()).await.unwrap_err(),
                    reader.writable(2).await.map(drop).unwrap_err(),
                    reader.reopen_section(2).await.unwrap_err(),
                    reader.destroy().await.unwrap_err(),
                ];
                assert!(refusals.iter().all(|fault| matches!(fault, Fault::ReadOnly)), "{case}: {refusals:?}");
                let found = shown(&reader).await.unwrap();
                assert!(found == before || found == after, "{case}: {found:?}");
                assert!(raw(&sim) == disk, "{case}: a byte was changed");
                let writer = shown(&open(&sim).await.0).await.unwrap();
                assert_eq!(writer, found, "{case}: the writer shows the same");
                ended.is_some()
            });
            if ended {
                break;
            }
        }
    }
}
