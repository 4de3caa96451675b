//! What a store holds: the model. And what a change of structure makes of it.

use std::collections::BTreeMap;

use super::items::Id;

/// An entry of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Which append it was.
    pub id: Id,
    /// When it was appended: later appends have larger numbers.
    pub when: u32,
    /// Its batch goes on in the next entry.
    pub joined: bool,
}

/// A section of the model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    /// What was appended since the last rewind, in order.
    pub entries: Vec<Entry>,
    /// So many of them were acknowledged as durable.
    pub synced: usize,
}

/// A change of structure, or of the user's own bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A section is cut to `len` entries, and with `all_later` the later ones go.
    Rewind {
        /// The section.
        section: u64,
        /// Entries that stay.
        len: usize,
        /// Whether later sections go.
        all_later: bool,
    },
    /// A section goes.
    Remove(u64),
    /// All sections below go, for good.
    Prune(u64),
    /// The user's own bytes become those of this number.
    State(u32),
    /// All goes.
    Destroy,
}

/// One state the store may be in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct World {
    /// By number.
    pub sections: BTreeMap<u64, Section>,
    /// Sections below are gone for good.
    pub pruned_to: u64,
    /// The number of the user's own bytes.
    pub state: u32,
    /// Changes that have begun, have not returned, and have not happened in this world.
    pub begun: Vec<(u32, Change)>,
}

/// What is found in a store: the numbers of the appends, by section.
pub type Shown = BTreeMap<u64, Vec<Id>>;

/// What of a world counts behind a crash: `pruned_to`, the state, and of each section how much was acknowledged and which
/// appends there are, each with whether its batch goes on.
pub(super) type AfterCrash = (u64, u32, Vec<(u64, usize, Vec<(Id, bool)>)>);

impl World {
    /// What counts behind a crash.
    pub(super) fn after_crash(&self) -> AfterCrash {
        let section = |(number, section): (&u64, &Section)| {
            let entries = section.entries.iter().map(|entry| (entry.id, entry.joined));
            (*number, section.synced, entries.collect::<Vec<_>>())
        };
        let some = |(_, section): &(&u64, &Section)| !section.entries.is_empty();
        (self.pruned_to, self.state, self.sections.iter().filter(some).map(section).collect())
    }

    /// Entries of a section; one that does not exist has none.
    pub fn len(&self, section: u64) -> usize {
        self.sections.get(&section).map_or(0, |found| found.entries.len())
    }

    /// Whether it holds no entry.
    pub fn is_empty(&self) -> bool {
        self.sections.values().all(|section| section.entries.is_empty())
    }

    /// The world behind a change; `None` when the change cannot happen in this one.
    pub fn after(&self, change: Change) -> Option<Self> {
        let mut world = self.clone();
        match change {
            Change::Rewind { section, len, all_later } => {
                if section < self.pruned_to || len > self.len(section) {
                    return None;
                }
                if let Some(found) = world.sections.get_mut(&section) {
                    found.entries.truncate(len);
                    // A rewind ends a batch, and what it keeps it makes durable.
                    if let Some(last) = found.entries.last_mut() {
                        last.joined = false;
                    }
                    found.synced = len;
                }
                if all_later {
                    world.sections.retain(|other, _| *other <= section);
                }
            }
            Change::Remove(section) => drop(world.sections.remove(&section)),
            Change::Prune(min) => {
                world.sections.retain(|other, _| *other >= min);
                world.pruned_to = world.pruned_to.max(min);
            }
            Change::State(number) => world.state = number,
            Change::Destroy => {
                world.sections.clear();
                world.pruned_to = 0;
                world.state = 0;
            }
        }
        Some(world)
    }

    /// Whether a store that shows this after a crash may have been this world: of each section a prefix, with all that was
    /// acknowledged, no batch in parts (P1, P2). `was_lost`: an append that an earlier crash has lost may be back.
    ///
    /// # Errors
    /// In words.
    pub fn allows(&self, shown: &Shown, ordered: bool, was_lost: &dyn Fn(Id) -> bool) -> Result<(), String> {
        for (section, ids) in shown {
            let none = Section::default();
            let model = self.sections.get(section).unwrap_or(&none);
            for (position, id) in ids.iter().enumerate() {
                let right = model.entries.get(position).map(|entry| entry.id);
                if right != Some(*id) && !(position >= model.synced && was_lost(*id)) {
                    return Err(format!("P2: section {section} shows append {id} at {position}, not {right:?}"));
                }
            }
            let last = ids.len().checked_sub(1).and_then(|last| model.entries.get(last));
            if last.is_some_and(|last| last.joined) {
                return Err(format!("P2: section {section} shows a part of a batch: {} entries", ids.len()));
            }
        }
        let len = |section: &u64| shown.get(section).map_or(0, Vec::len);
        for (section, model) in &self.sections {
            let found = len(section);
            if found < model.synced {
                return Err(format!("P1: section {section} shows {found} entries, {} are acknowledged", model.synced));
            }
            if ordered
                && found < model.entries.len()
                && let Some((later, _)) =
                    shown.range(section..).find(|(later, ids)| *later > section && !ids.is_empty())
            {
                return Err(format!("P2: ordered, and section {later} shows entries, section {section} is not whole"));
            }
        }
        Ok(())
    }

    /// Whether this is exactly what is shown.
    pub fn is_exactly(&self, shown: &Shown) -> bool {
        let some = |ids: &&Vec<Id>| !ids.is_empty();
        shown.values().filter(some).count() == self.sections.values().filter(|s| !s.entries.is_empty()).count()
            && self.sections.iter().all(|(section, model)| {
                let ids = shown.get(section).map_or(&[][..], Vec::as_slice);
                model.entries.iter().map(|entry| entry.id).eq(ids.iter().copied())
            })
    }

    /// A section that was being opened anew goes on at `position`: what lay behind was not durable, and is gone.
    pub fn reopened_to(&mut self, section: u64, position: u64) {
        let at = usize::try_from(position).unwrap_or(usize::MAX);
        if let Some(found) = self.sections.get_mut(&section) {
            let last = at.checked_sub(1).and_then(|last| found.entries.get(last));
            if found.synced <= at && !last.is_some_and(|last| last.joined) {
                found.entries.truncate(at);
            }
        }
    }

    /// Becomes what is shown, all of it durable.
    pub fn adopt(&mut self, shown: &Shown) {
        self.begun.clear();
        self.sections = shown
            .iter()
            .map(|(section, ids)| {
                let old = self.sections.get(section);
                let joined = |at: usize, id: Id| {
                    let entry = old.and_then(|old| old.entries.get(at));
                    entry.is_some_and(|entry| entry.id == id && entry.joined)
                };
                let entries =
                    ids.iter().enumerate().map(|(at, id)| Entry { id: *id, when: 0, joined: joined(at, *id) });
                (*section, Section { entries: entries.collect(), synced: ids.len() })
            })
            .collect();
    }
}
