//! Damage: a store that was worked with and left in order, or not, is changed behind its back, and opened.
//!
//! | what was done to it | what must hold |
//! |---|---|
//! | anything | no panic, an end, and no value that is not the append's (P3, P8); a reader reads |
//! | nothing that carries a right checksum | `Refuse`: told, and no byte changed, or everything acknowledged is there; of a store that was not closed all that is proven by what is left, and what is missing is reported (P4) |
//! | the same | `Truncate`: of each section a prefix; whatever is missing is reported (P4) |
//!
//! What is changed may carry a right checksum: then it is what some program might have written, and only P8 is promised.

mod edit;
mod proof;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use blob_runtime::sections::section_name;
use blob_runtime::sim::{self, Crash, Cut, Sim};
use fastrand::Rng;
use futures::{StreamExt, TryStreamExt};
use oversized::{Error, OnDamage, RawOversized, last_bytes};

use super::draw::Breadth;
use super::items;
use super::live::{Live, Machine};
use super::oracle::{Oracle, Promise};
use super::run::{Outcome, outcome};
use super::script::{Op, Script, Settings};
use super::world::Shown;

pub use edit::Edit;
use edit::{Files, files};
use proof::Proof;

/// How a damaged store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Refuse,
    Truncate,
    ReadOnly,
}

/// How a store was left before it was damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// In order.
    Closed,
    /// Its process was killed, and the next one has recovered and sealed it, and was killed too.
    Recovered,
    /// Behind the sync: its last frames are proven by nothing.
    AsItIs,
}

/// Runs one seed of the damage tier. Answers also what was done to the files.
pub fn damage(seed: u64) -> (Outcome, Vec<Edit>) {
    let oracle = Arc::new(Mutex::new(Oracle::new(false, false)));
    let (watched, edits) = (Arc::clone(&oracle), Arc::new(Mutex::new(Vec::new())));
    let made = Arc::clone(&edits);
    let ended = catch_unwind(AssertUnwindSafe(|| {
        sim::run(seed, |sim| async move {
            conduct(&sim, &watched, &made).await;
            (sim.digest(), sim.counts())
        })
    }));
    let edits = edits.lock().unwrap_or_else(PoisonError::into_inner).clone();
    (outcome(ended, &oracle), edits)
}

async fn conduct(sim: &Sim, oracle: &Arc<Mutex<Oracle>>, made: &Mutex<Vec<Edit>>) {
    let mut rng = Rng::with_seed(sim.seed() ^ 0x6461_6d61_6765);
    let mut script = Script::draw(sim.seed(), Breadth::Wide);
    // Its first life alone, without what opens the store again and again.
    let Some(mut life) = (!script.lives.is_empty()).then(|| script.lives.remove(0)) else { return };
    life.ops.truncate(16);
    // In two lives: what the files held between them may come back.
    let first: Vec<Op> = life.ops.drain(..life.ops.len() / 2).chain([Op::SyncAll]).collect();
    let machine = || Machine::new(sim.clone(), Arc::clone(oracle), script.record_bytes, false, false);
    let left = [Left::Closed, Left::Recovered, Left::AsItIs][rng.usize(0..3)];
    life.ops.push(Op::SyncAll);
    if left == Left::Closed {
        life.ops.push(Op::Reopen { close: true, settings: life.settings });
        life.ops.push(Op::Reopen { close: true, settings: life.settings });
    }
    sim.life(Live::run(machine(), life.settings, first, false)).await;
    sim.crash(Crash::Kill);
    let past = files(sim);
    sim.life(Live::run(machine(), life.settings, life.ops, false)).await;
    if left == Left::Recovered {
        sim.crash(Crash::Kill);
        sim.life(Live::run(machine(), Settings::PLAIN, Vec::new(), false)).await;
    }
    sim.crash(Crash::Power(Cut::KeepAll));
    let Some((model, synced)) = settled(oracle, left) else { return };
    let before = files(sim);
    let edits = edit::draw(&mut rng, &past, &before, sim);
    made.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&edits);
    let after = files(sim);
    if after == before {
        return;
    }
    let way = [Way::Refuse, Way::Truncate, Way::ReadOnly][rng.usize(0..3)];
    let case = Case { machine: machine(), way, left, model, synced, edits, past, before, after };
    sim.life(case.look()).await;
}

/// What the store held, when the oracle is sure; and of each section how many entries must be there. A sync that has failed
/// has left some that need not.
fn settled(oracle: &Mutex<Oracle>, left: Left) -> Option<(Shown, BTreeMap<u64, u64>)> {
    let oracle = oracle.lock().unwrap_or_else(PoisonError::into_inner);
    let [world] = oracle.worlds() else { return None };
    if oracle.violation().is_some() {
        return None;
    }
    let ids = |section: &super::Section| section.entries.iter().map(|entry| entry.id).collect();
    let due = |section: &super::Section| match left {
        Left::AsItIs => section.synced as u64,
        Left::Closed | Left::Recovered => section.entries.len() as u64,
    };
    let model = world.sections.iter().map(|(number, section)| (*number, ids(section))).collect();
    Some((model, world.sections.iter().map(|(number, section)| (*number, due(section))).collect()))
}

struct Case {
    machine: Machine,
    way: Way,
    left: Left,
    model: Shown,
    synced: BTreeMap<u64, u64>,
    edits: Vec<Edit>,
    past: Files,
    before: Files,
    after: Files,
}

impl Case {
    async fn look(self) {
        let settings = Settings::PLAIN;
        let on_damage = if self.way == Way::Truncate { OnDamage::Truncate } else { OnDamage::Refuse };
        let config = self.machine.config(&settings).on_damage(on_damage).read_only(self.way == Way::ReadOnly);
        let storage = self.machine.sim.storage();
        self.machine.oracle().checked.count(Promise::P4);
        let opened = RawOversized::open(storage, config, self.machine.record_bytes, last_bytes).await;
        match opened {
            Ok(store) => {
                let findings: Vec<_> = store.verify(..).collect().await;
                self.read(&store, !findings.is_empty()).await;
                if self.way == Way::ReadOnly {
                    self.unchanged("a reader");
                    return;
                }
                let _ = store.close().await;
            }
            Err(error) => self.refused(&error),
        }
    }

    /// A refusal has changed no byte, but that the manifest's slots were brought level.
    fn refused(&self, error: &Error) {
        if !is_told(error) {
            self.broken(Promise::P4, format!("damage is told as {error:?}"));
        }
        if self.way != Way::Truncate {
            self.unchanged("a refusal");
        }
    }

    fn unchanged(&self, who: &str) {
        let now = files(&self.machine.sim);
        let level = |files: &Files| -> Files {
            let own =
                |(key, _): &(&(String, Vec<u8>, u32), &Vec<u8>)| key.1 != b"meta" && !key.0.ends_with("-quarantine");
            files.iter().filter(own).map(|(key, bytes)| (key.clone(), bytes.clone())).collect()
        };
        // A header that was lost may be written again when what lies behind it proves it.
        if level(&now) != level(&self.after) {
            self.broken(Promise::P4, format!("{who} has changed bytes"));
        }
    }

    fn broken(&self, promise: Promise, what: String) {
        let (way, left, edits) = (self.way, self.left, &self.edits);
        self.machine.broken(promise, format!("{what}; {way:?}, {left:?}, {edits:?}"));
    }

    /// Every entry is right, or told to be wrong; none is missing without a word. `found`: a look at everything has said that
    /// something is not as it should be.
    async fn read(&self, store: &RawOversized, found: bool) {
        let forged = self.edits.iter().any(Edit::is_forged);
        // What cannot be known: that a file was there.
        let another_time = self.edits.iter().any(Edit::is_of_another_time);
        let blind = self.edits.iter().any(Edit::is_blind) || forged || another_time;
        // What old indexes say is no damage: every frame is there, and an index is made of them. One that knows of more than
        // there is now cannot be told from values that were cut off.
        let is_old = |section| Self::values_end(&self.past, section) <= Self::values_end(&self.before, section);
        let old_indexes = self.way != Way::ReadOnly && self.edits.iter().all(Edit::is_old_index);
        let mut lens = BTreeMap::new();
        for section in store.sections() {
            match store.len(section).await {
                Ok(len) => drop(lens.insert(section, len)),
                Err(error) if is_told(&error) => drop(lens.insert(section, u64::MAX)),
                Err(error) => self.broken(Promise::P4, format!("len answers {error:?}")),
            }
            let len = lens.get(&section).copied().unwrap_or(0);
            let due = self.synced.get(&section).copied().filter(|_| old_indexes && is_old(section)).unwrap_or(0);
            for position in 0..len.min(100) {
                match store.read(section, position).await {
                    Ok((record, value)) if !forged => {
                        self.judge((section, position), another_time, &record, &value);
                    }
                    Ok(_) => {}
                    Err(error) if position < due => {
                        self.broken(Promise::P4, format!("an entry whose frame is there is told as {error:?}"));
                    }
                    Err(error) if is_told(&error) => {}
                    Err(error) if forged => drop(error),
                    Err(error) => self.broken(Promise::P4, format!("a read answers {error:?}")),
                }
            }
            let _: Result<Vec<_>, _> = store.replay(section, 0).try_collect().await;
            let _: Result<Vec<_>, _> = store.replay_values(section, 0).try_collect().await;
        }
        let reports = store.section_reports();
        for (section, due) in &self.synced {
            let len = lens.get(section).copied().unwrap_or(0);
            if len >= *due || blind {
                continue;
            }
            let told = reports.iter().any(|report| report.section == *section);
            match self.way {
                Way::Truncate if told => {}
                // As a torn tail, which may be reported, or be zeros that say nothing.
                Way::Refuse | Way::Truncate
                    if self.is_unproven(*section, len) && (told || self.may_be_zeros(*section)) => {}
                // A reader is given what is sound, and tells when it is asked.
                Way::ReadOnly if found || self.is_unproven(*section, len) => {}
                _ => self.broken(Promise::P4, format!("section {section} has {len} of {due} entries")),
            }
        }
    }

    /// Whether nothing that is left proves the entry at `position`, and so those behind it: no frame that knew it to be
    /// durable, and no close in order.
    fn is_unproven(&self, section: u64, position: u64) -> bool {
        let proof = Proof::new(values(&self.before, section), values(&self.after, section));
        self.left != Left::Closed && proof.begin(position).is_none_or(|begin| proof.floor() <= begin)
    }

    /// Where the values of a section end.
    fn values_end(files: &Files, section: u64) -> usize {
        let values = values(files, section);
        Proof::new(values, values).end()
    }

    /// Whether the values of a section were made to end like a write that was cut off.
    fn may_be_zeros(&self, section: u64) -> bool {
        let of = |edit: &&Edit| edit.file.0 == "blocks-values" && edit.file.1[..] == section_name(section)[..];
        self.edits.iter().filter(of).any(Edit::is_like_a_torn_write)
    }

    /// An entry is the right one (at another time another one was), and its value is its own.
    fn judge(&self, (section, position): (u64, u64), another_time: bool, record: &[u8], value: &[u8]) {
        self.machine.oracle().checked.count(Promise::P3);
        let at = usize::try_from(position).unwrap_or(usize::MAX);
        let right = self.model.get(&section).and_then(|ids| ids.get(at)).copied();
        let id = items::id_of(record);
        let item = id.and_then(|id| self.machine.oracle().item(id));
        let sound = id.is_some()
            && (id == right || another_time)
            && item.is_some_and(|item| id.is_some_and(|id| items::value(id, item.len)[..] == *value));
        if !sound {
            self.broken(Promise::P3, format!("entry {position} of section {section} is append {id:?}, not {right:?}"));
        }
    }
}

/// The file of values of a section; nothing when there is none.
fn values(files: &Files, section: u64) -> &[u8] {
    let own = |(partition, name, _): &(String, Vec<u8>, u32)| {
        partition == "blocks-values" && name[..] == section_name(section)[..]
    };
    files.iter().find(|(key, _)| own(key)).map_or(&[], |(_, bytes)| bytes)
}

/// Whether an error says that something is wrong with what is on the disk.
fn is_told(error: &Error) -> bool {
    matches!(
        error,
        Error::Corrupt { .. }
            | Error::ChecksumMismatch { .. }
            | Error::FormatMismatch { .. }
            | Error::InvalidLocation { .. }
            | Error::SectionOutOfRange { .. }
            | Error::ItemOutOfRange { .. }
            | Error::ValueTooLarge { .. }
            | Error::Pruned { .. }
            | Error::Stale { .. }
    ) || error.storage().is_some()
}
