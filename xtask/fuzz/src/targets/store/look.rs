//! Opens a store of any files, reads all of it in every way, changes it, closes it, and opens it again.

use std::sync::Arc;

use blob_runtime::sim::{Crash, Cut, Sim};
use bytes::BufMut;
use fixed_journal::RawJournal;
use futures::{StreamExt, TryStreamExt};
use glob::{Cursor, RawGlob};
use oversized::{OnDamage, PageCache, RawOversized, last_bytes};

use super::template::{Kind, Template, Values};

/// Bytes of a record of the pair: a number, and the location.
pub(super) const RECORD_BYTES: usize = 4 + 12;
/// Bytes of an item of the journal.
pub(super) const JOURNAL_ITEM_BYTES: usize = 16;
/// The largest value that is read.
const MAX_VALUE_BYTES: u32 = 64 << 10;
/// Steps of the disk from an open to the close: these stores are small.
const MAX_STEPS: u64 = 20_000;
/// Sections and entries of each that are looked at one by one.
const MAX_LOOKS: u64 = 40;

/// How a store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Refuse,
    Truncate,
    ReadOnly,
}

impl Way {
    fn on_damage(self) -> OnDamage {
        if self == Self::Truncate { OnDamage::Truncate } else { OnDamage::Refuse }
    }
}

/// What is opened, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    pub(super) kind: Kind,
    pub(super) way: Way,
    /// What every value must be that is read: nobody has made checksums anew.
    pub(super) sound: Option<&'static Template>,
    /// The power is cut behind the first look.
    pub(super) cut_power: bool,
}

pub(super) fn pair_config() -> oversized::Config {
    oversized::Config::new("blocks")
        .page_bytes(64)
        .page_cache(PageCache::new(64 << 10))
        .value_buffer_bytes(4096)
        .index_buffer_bytes(40)
        .checkpoint_bytes(300)
        .preallocate_bytes(0)
        .max_value_bytes(MAX_VALUE_BYTES)
}

pub(super) fn journal_config() -> fixed_journal::Config {
    fixed_journal::Config::new("blocks").page_bytes(128).page_cache(PageCache::new(64 << 10)).buffer_bytes(4096)
}

pub(super) fn glob_config() -> glob::Config<()> {
    glob::Config::new("blocks").buffer_bytes(4096).preallocate_bytes(4096).max_value_bytes(MAX_VALUE_BYTES)
}

/// Looks, twice.
pub(super) async fn look(sim: &Sim, case: Case) {
    let mut shown: Option<Values> = None;
    for _ in 0..2 {
        let before = sim.steps();
        let seen = sim.life(visit(sim.clone(), case, shown.is_some())).await.flatten();
        let steps = sim.steps() - before;
        assert!(steps <= MAX_STEPS, "P13: an open and a look took {steps} steps of the disk");
        if let (Some(before), Some(now)) = (&shown, &seen) {
            for (place, value) in before {
                assert!(now.get(place).is_none_or(|other| other == value), "P3: {place:?} is another value now");
            }
        }
        shown = shown.or(seen);
        sim.crash(if case.cut_power { Crash::Power(Cut::LoseAll) } else { Crash::Kill });
    }
}

/// One open with all that follows; `None` when it is refused.
async fn visit(sim: Sim, case: Case, again: bool) -> Option<Values> {
    match case.kind {
        Kind::Pair => pair(sim, case, again).await,
        Kind::Journal => journal(sim, case, again).await,
        Kind::Glob => globs(sim, case, again).await,
    }
}

/// A value in few words.
fn told(value: &[u8]) -> String {
    format!("{} bytes with checksum {:08x}", value.len(), crc32fast::hash(value))
}

/// What is read where, judged.
struct Judge {
    case: Case,
    values: Values,
}

impl Judge {
    fn new(case: Case) -> Self {
        Self { case, values: Values::new() }
    }

    fn see(&mut self, place: (u64, u64), value: &[u8]) {
        if let Some(template) = self.case.sound {
            let right = template.values.get(&place).map(|value| &value[..]);
            assert!(right == Some(value), "P3: {place:?} is {}, not {}", told(value), right.map_or("".into(), told));
        }
        if let Some(same) = self.values.insert(place, value.to_vec()) {
            let (now, then) = (|| told(value), || told(&same));
            assert!(same == value, "P3: {place:?} is {}, and was {} when it was read in another way", now(), then());
        }
    }
}

async fn pair(sim: Sim, case: Case, again: bool) -> Option<Values> {
    let config = pair_config().on_damage(case.way.on_damage()).read_only(case.way == Way::ReadOnly);
    let store = RawOversized::open(sim.storage(), config, RECORD_BYTES, last_bytes).await.ok()?;
    let mut judge = Judge::new(case);
    for section in store.sections().into_iter().take(8) {
        let len = store.len(section).await.unwrap_or(3);
        for position in (0..len.min(MAX_LOOKS)).chain([len.saturating_sub(1), u64::MAX]) {
            if let Ok((record, value)) = store.read(section, position).await {
                judge.see((section, position), &value);
                drop(store.value_of(section, &record).await);
            }
            drop(store.get(section, position).await);
        }
        drop(store.read_many(section, 0..len.min(9), 1000).await);
        let _: Result<Vec<_>, _> = store.replay(section, 0).try_collect().await;
        let mut replay = store.replay_values(section, 0);
        while let Some(Ok(entry)) = replay.next().await {
            judge.see((entry.section, entry.position), &entry.value);
        }
    }
    let findings = store.verify(..).count().await;
    assert!(findings <= 20_000, "P13: {findings} findings");
    if case.way != Way::ReadOnly && again {
        let record = |_: u64, location: oversized::Location, buf: &mut Vec<u8>| {
            buf.put_u32(0);
            buf.put_u64(location.offset);
            buf.put_u32(location.size);
        };
        for section in [1, 5] {
            drop(store.append(section, b"appended", record).await);
            drop(store.sync(section).await);
        }
        drop(store.rewind_section(2, 1).await);
        drop(store.sync_all().await);
        drop(store.maintain().await);
        drop(store.prune(2).await);
    }
    drop(store.close().await);
    Some(judge.values)
}

async fn journal(sim: Sim, case: Case, again: bool) -> Option<Values> {
    let config = journal_config().on_damage(case.way.on_damage()).read_only(case.way == Way::ReadOnly);
    let item_bytes = u32::try_from(JOURNAL_ITEM_BYTES).ok().filter(|_| case.sound.is_some() || !again);
    let store = RawJournal::open(sim.storage(), config, item_bytes).await.ok()?;
    let mut judge = Judge::new(case);
    for section in store.sections().into_iter().take(8) {
        let len = store.len(section).await.unwrap_or(3);
        for position in (0..len.min(MAX_LOOKS)).chain([len.saturating_sub(1), u64::MAX]) {
            if let Ok(item) = store.get(section, position).await {
                judge.see((section, position), &item);
            }
        }
        let positions: Vec<u64> = (0..len.min(9)).rev().collect();
        drop(store.get_many(section, &positions).await);
        drop(store.last(section).await);
        let mut replay = store.replay(section, 0);
        while let Some(Ok(item)) = replay.next().await {
            judge.see((item.section, item.position), &item.item);
        }
    }
    if case.way != Way::ReadOnly && again {
        for section in [1, 5] {
            drop(store.append(section, &[7; JOURNAL_ITEM_BYTES]).await);
            drop(store.sync(section).await);
        }
        drop(store.rewind_section(2, 1).await);
        drop(store.sync_all().await);
        drop(store.prune(2).await);
    }
    drop(store.close().await);
    Some(judge.values)
}

async fn globs(sim: Sim, case: Case, again: bool) -> Option<Values> {
    let config = glob_config().on_damage(case.way.on_damage()).read_only(case.way == Way::ReadOnly);
    let store = RawGlob::open(Arc::clone(&sim.storage()) as _, config).await.ok()?;
    let mut judge = Judge::new(case);
    for section in store.sections().into_iter().take(8) {
        let mut scan = store.scan(section, Cursor::START);
        while let Some(Ok(frame)) = scan.next().await {
            judge.see((section, frame.position), &frame.value);
            if let Ok(value) = store.get(section, frame.location).await {
                judge.see((section, frame.position), &value);
            }
        }
        let len = store.len(section).await.unwrap_or(3);
        for position in [0, len / 2, len, u64::MAX] {
            drop(store.locate(section, position).await);
        }
    }
    if case.way != Way::ReadOnly && again {
        for section in [1, 5] {
            drop(store.append(section, b"appended").await);
            drop(store.sync(section).await);
        }
        drop(store.rewind_section(2, 1).await);
        drop(store.sync_all().await);
        drop(store.prune(2).await);
    }
    drop(store.close().await);
    Some(judge.values)
}
