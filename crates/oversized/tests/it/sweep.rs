//! Everything that can be done to a small store's files from outside: every byte flipped, every file cut at every length,
//! removed, swapped with every other. `Refuse` changes nothing, `Truncate` keeps a prefix and puts the rest into quarantine,
//! nothing panics, and no value is wrong.

use std::collections::BTreeMap;

use blob_runtime::sim::{self, Sim};
use futures::{StreamExt, TryStreamExt};
use oversized::{Error, OnDamage};

use crate::common::{Image, LOSE_ALL, build, life, open_with};

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Everything is there.
    Whole,
    /// The store does not open.
    Refused,
    /// Something is missing, and it is told when it is read.
    Told,
    /// A tail that nothing proves was dropped and reported.
    Dropped,
}

/// Opens what is there, and checks what must hold whatever was done to it.
async fn attempt(sim: &Sim, on_damage: OnDamage, before: &BTreeMap<u64, Vec<u64>>, what: &str) -> Outcome {
    let image = Image::of(sim);
    let (outcome, refused) = life(sim, LOSE_ALL, |sim| {
        let (before, what) = (before.clone(), what.to_owned());
        async move {
            let store = match open_with(sim.storage(), on_damage).await {
                Ok(store) => store,
                Err(error) => {
                    let told = matches!(error, Error::Corrupt { .. } | Error::FormatMismatch { .. });
                    assert!(told, "{what}: {error:?}");
                    return (Outcome::Refused, error.to_string());
                }
            };
            let (mut outcome, mut dropped) = (Outcome::Whole, false);
            for (section, data) in &before {
                if !store.sections().contains(section) {
                    dropped = true;
                    continue;
                }
                // One by one: what is sound can be read whatever lies beside it.
                let len = match store.len(*section).await {
                    Ok(len) => len,
                    Err(Error::Corrupt { .. } | Error::FormatMismatch { .. }) => {
                        outcome = Outcome::Told;
                        continue;
                    }
                    // Its values were gone, and now it is.
                    Err(Error::SectionOutOfRange { .. }) if on_damage == OnDamage::Truncate => {
                        dropped = true;
                        continue;
                    }
                    Err(error) => panic!("{what}: {error:?}"),
                };
                assert!(len <= data.len() as u64, "{what}: more than there was");
                if len < data.len() as u64 {
                    dropped = true;
                }
                for position in 0..len {
                    match store.read(*section, position).await {
                        Ok((record, value)) => {
                            assert_eq!(record.data, data[position as usize], "{what}: a wrong record");
                            assert_eq!(value, crate::common::value(record.data), "{what}: a wrong value");
                        }
                        Err(Error::ChecksumMismatch { .. } | Error::Corrupt { .. } | Error::InvalidLocation { .. }) => {
                            outcome = Outcome::Told;
                        }
                        Err(error) => panic!("{what}: {error:?}"),
                    }
                }
            }
            if dropped && outcome == Outcome::Whole {
                outcome = Outcome::Dropped;
            }
            let findings: Vec<_> = store.verify(..).try_collect().await.unwrap();
            let told = outcome == Outcome::Told;
            assert!(!told || !findings.is_empty(), "{what}: read as damaged, and verify finds nothing");
            if on_damage == OnDamage::Truncate && !told {
                // It goes on where it ends, also after another restart.
                let ends: Vec<_> = store.sections();
                for section in ends {
                    let appended = crate::common::append(&store, section, 77).await;
                    appended.unwrap_or_else(|error| panic!("{what}: section {section}: {error:?}"));
                }
                store.sync_all().await.unwrap();
            }
            (outcome, String::new())
        }
    })
    .await;
    if on_damage == OnDamage::Refuse && matches!(outcome, Outcome::Refused | Outcome::Told) {
        told_to_a_reader(sim, what).await;
    }
    if outcome == Outcome::Refused {
        let after = Image::of(sim);
        let changed: Vec<_> =
            after.0.iter().filter(|(key, bytes)| image.0.get(*key) != Some(bytes)).map(|(key, _)| name(key)).collect();
        assert!(
            changed.is_empty() && after.0.len() == image.0.len(),
            "{what}: refused ({refused}), and {changed:?} was changed"
        );
    }
    outcome
}

/// What a writer is refused for a reader is told: by the open, or by whoever looks at everything.
async fn told_to_a_reader(sim: &Sim, what: &str) {
    let what = what.to_owned();
    life(sim, LOSE_ALL, |sim| async move {
        let Ok(store) = crate::common::Store::open(sim.storage(), crate::common::config().read_only(true)).await else {
            return;
        };
        let findings: Vec<_> = store.verify(..).collect().await;
        assert!(!findings.is_empty(), "{what}: a reader is told nothing");
    })
    .await;
}

/// Does `change` to the image of the store, in both conditions and both ways of opening; counts the outcomes.
fn sweep(closed: bool, changes: impl Fn(&Image) -> Vec<(String, Image)>) -> BTreeMap<(bool, &'static str), u32> {
    sim::run(1, async |sim| {
        let before = build(&sim, closed).await;
        assert_eq!(before.values().map(Vec::len).sum::<usize>(), 15);
        let image = Image::of(&sim);
        let mut outcomes = BTreeMap::new();
        for (what, changed) in changes(&image) {
            for on_damage in [OnDamage::Refuse, OnDamage::Truncate] {
                changed.restore(&sim);
                let what = format!("{what}, closed: {closed}, {on_damage:?}");
                let outcome = attempt(&sim, on_damage, &before, &what).await;
                let name = match outcome {
                    Outcome::Whole => "whole",
                    Outcome::Refused => "refused",
                    Outcome::Told => "told",
                    Outcome::Dropped => "dropped",
                };
                *outcomes.entry((on_damage == OnDamage::Refuse, name)).or_default() += 1;
                if closed && on_damage == OnDamage::Refuse {
                    // Section 2 is small and has no index: when its one file is gone nothing tells that it was there.
                    let vanished = what.starts_with("blocks-values/Some(2): removed");
                    assert_eq!(outcome == Outcome::Dropped, vanished, "{what}: nothing is dropped silently");
                }
            }
        }
        outcomes
    })
}

fn name(key: &(String, Vec<u8>, blob_runtime::Salt)) -> String {
    format!("{}/{:?}", key.0, key.1.last())
}

#[test]
fn every_byte_flipped() {
    for closed in [true, false] {
        let outcomes = sweep(closed, |image| {
            let mut changes = Vec::new();
            for (key, bytes) in &image.0 {
                for at in 0..bytes.len() {
                    // What is only zeros up to the next block is looked at here and there.
                    if bytes[at] == 0
                        && bytes[at..bytes.len().min(at + 64)].iter().all(|byte| *byte == 0)
                        && at % 61 != 0
                    {
                        continue;
                    }
                    let mut changed = image.clone();
                    changed.0.get_mut(key).unwrap()[at] ^= 1 << (at % 8);
                    changes.push((format!("{}: byte {at}", name(key)), changed));
                }
            }
            changes
        });
        eprintln!("closed: {closed}: {outcomes:?}");
        assert!(
            outcomes[&(true, if closed { "told" } else { "refused" })] > 50 && outcomes[&(true, "whole")] > 100,
            "{outcomes:?}"
        );
    }
}

#[test]
fn every_file_cut_at_every_length() {
    for closed in [true, false] {
        let outcomes = sweep(closed, |image| {
            let mut changes = Vec::new();
            for (key, bytes) in &image.0 {
                for len in (0..bytes.len()).filter(|len| {
                    let dense = *len >= 4096 && key.1 != b"meta";
                    dense || len % 97 == 0
                }) {
                    let mut changed = image.clone();
                    changed.0.get_mut(key).unwrap().truncate(len);
                    changes.push((format!("{}: cut to {len}", name(key)), changed));
                }
            }
            changes
        });
        eprintln!("closed: {closed}: {outcomes:?}");
        assert!(
            outcomes.get(&(true, "refused")).unwrap_or(&0) + outcomes.get(&(true, "told")).unwrap_or(&0) > 5,
            "{outcomes:?}"
        );
    }
}

#[test]
fn every_file_removed_or_swapped() {
    for closed in [true, false] {
        let outcomes = sweep(closed, |image| {
            let mut changes = Vec::new();
            let keys: Vec<_> = image.0.keys().cloned().collect();
            for key in &keys {
                let mut changed = image.clone();
                changed.0.remove(key);
                changes.push((format!("{}: removed", name(key)), changed));
                for other in keys.iter().filter(|other| *other > key) {
                    // The contents change places; or the names do, with their salts.
                    let mut changed = image.clone();
                    changed.0.insert(key.clone(), image.0[other].clone());
                    changed.0.insert(other.clone(), image.0[key].clone());
                    changes.push((format!("{} and {}: contents swapped", name(key), name(other)), changed));
                    let mut changed = image.clone();
                    changed.0.remove(key);
                    changed.0.remove(other);
                    changed.0.insert((key.0.clone(), key.1.clone(), other.2), image.0[other].clone());
                    changed.0.insert((other.0.clone(), other.1.clone(), key.2), image.0[key].clone());
                    changes.push((format!("{} and {}: files swapped", name(key), name(other)), changed));
                }
            }
            changes
        });
        eprintln!("closed: {closed}: {outcomes:?}");
        assert!(
            outcomes.get(&(true, "refused")).unwrap_or(&0) + outcomes.get(&(true, "told")).unwrap_or(&0) > 5,
            "{outcomes:?}"
        );
    }
}
