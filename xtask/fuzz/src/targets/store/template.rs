//! Stores that are made once, in every way of being left, to be changed by inputs.

use std::collections::BTreeMap;

use blob_runtime::Salt;
use blob_runtime::sim::{self, Crash, Cut, Sim};
use bytes::BufMut;
use fixed_journal::RawJournal;
use glob::RawGlob;
use oversized::{Compression, RawOversized, last_bytes};

use super::look::{JOURNAL_ITEM_BYTES, RECORD_BYTES, glob_config, journal_config, pair_config};

/// Which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Pair,
    Journal,
    Glob,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) partition: String,
    pub(crate) name: Vec<u8>,
    pub(crate) salt: Salt,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) type Files = Vec<File>;
/// What stands at each place: section and position.
pub(crate) type Values = BTreeMap<(u64, u64), Vec<u8>>;

/// A sound store.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    pub(crate) kind: Kind,
    pub(crate) files: Files,
    pub(crate) values: Values,
}

/// How a store is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Closed,
    Synced,
    /// Its machine fails behind a part of what was written.
    Torn,
}

/// All of them: each kind, left in each way; the pair also with compressed values.
pub(crate) fn make_all() -> Vec<Template> {
    let mut all = Vec::new();
    for left in [Left::Closed, Left::Synced, Left::Torn] {
        for kind in [Kind::Pair, Kind::Journal, Kind::Glob] {
            all.push(make(kind, left, false));
        }
    }
    all.push(make(Kind::Pair, Left::Closed, true));
    all.push(make(Kind::Pair, Left::Torn, true));
    all
}

/// The value at a place: in each section other bytes, of other lengths, some that compress.
fn value(section: u64, position: u64) -> Vec<u8> {
    let len = [5, 0, 90, 300, 17][usize::try_from(position % 5).unwrap_or(0)];
    let step = u8::try_from((section ^ position) % 3).unwrap_or(0) * 91;
    let first = u8::try_from((section.wrapping_mul(7) ^ position) % 256).unwrap_or(0);
    (0..len).scan(first, |byte, _| Some(std::mem::replace(byte, byte.wrapping_add(step)))).collect()
}

fn item(section: u64, position: u64) -> Vec<u8> {
    [section.to_be_bytes(), position.to_be_bytes()].concat()
}

fn make(kind: Kind, left: Left, compress: bool) -> Template {
    let (files, values) = sim::run(3, |sim| async move {
        let values = sim.life(fill(sim.clone(), kind, left, compress)).await.flatten().unwrap_or_default();
        match left {
            Left::Closed | Left::Synced => sim.crash(Crash::Power(Cut::KeepAll)),
            Left::Torn => sim.crash(Crash::Power(Cut::Subset(0b0101_1011))),
        }
        let files = sim.disk().files().into_iter().filter_map(|file| {
            let bytes = sim.disk().visible(&file.partition, &file.name)?;
            Some(File { partition: file.partition.to_string(), name: file.name.to_vec(), salt: file.salt, bytes })
        });
        (files.collect::<Files>(), values)
    });
    assert!(files.len() > 2 && !values.is_empty(), "a store to begin with could not be made");
    Template { kind, files, values }
}

/// Entries in three sections, synced in between; `None` when that fails.
async fn fill(sim: Sim, kind: Kind, left: Left, compress: bool) -> Option<Values> {
    let storage = sim.storage();
    let mut values = Values::new();
    let sections = [(1, 7), (2, 3), (u64::MAX, 2)];
    match kind {
        Kind::Pair => {
            let compression = if compress { Compression::Zstd { level: 1 } } else { Compression::None };
            let config = pair_config().compression(compression);
            let store = RawOversized::open(storage, config, RECORD_BYTES, last_bytes).await.ok()?;
            store.set_state("state".into()).await.ok()?;
            for (section, count) in sections {
                for position in 0..count {
                    let value = value(section, position);
                    let record = |position: u64, location: oversized::Location, buf: &mut Vec<u8>| {
                        buf.put_u32(u32::try_from(position).unwrap_or(0));
                        buf.put_u64(location.offset);
                        buf.put_u32(location.size);
                    };
                    store.append(section, &value, record).await.ok()?;
                    values.insert((section, position), value);
                    if position % 2 == 1 {
                        store.sync(section).await.ok()?;
                    }
                }
            }
            match left {
                Left::Closed => store.close().await.ok()?,
                Left::Synced => store.sync_all().await.ok()?,
                Left::Torn => {}
            }
        }
        Kind::Journal => {
            let item_bytes = u32::try_from(JOURNAL_ITEM_BYTES).ok();
            let store = RawJournal::open(storage, journal_config(), item_bytes).await.ok()?;
            for (section, count) in sections {
                for position in 0..count * 3 {
                    let item = item(section, position);
                    store.append(section, &item).await.ok()?;
                    values.insert((section, position), item);
                    if position % 4 == 1 {
                        store.sync(section).await.ok()?;
                    }
                }
            }
            match left {
                Left::Closed => store.close().await.ok()?,
                Left::Synced => store.sync_all().await.ok()?,
                Left::Torn => {}
            }
        }
        Kind::Glob => {
            let store = RawGlob::open(storage, glob_config()).await.ok()?;
            for (section, count) in sections {
                let batch: Vec<_> = (0..count).map(|position| value(section, position)).collect();
                store.append_batch(section, batch.get(..2)?).await.ok()?;
                store.sync(section).await.ok()?;
                for value in batch.get(2..)? {
                    store.append(section, value).await.ok()?;
                }
                values.extend((0..count).zip(batch).map(|(position, value)| ((section, position), value)));
            }
            match left {
                Left::Closed => store.close().await.ok()?,
                Left::Synced => store.sync_all().await.ok()?,
                Left::Torn => {}
            }
        }
    }
    Some(values)
}
