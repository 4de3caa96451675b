//! The judge: it is told what was asked and what was answered, and says what may be found. It never asks the store.
//!
//! It keeps every world the store may be in. Usually that is one. A change of structure that has begun makes it two, with
//! the change and without, until the change returns; each answer of the store strikes out the worlds that do not fit it.
//! When none is left, a promise is broken.

use oversized::Error;

use super::items::{Id, Item};
use super::world::{Change, Entry, Shown, World};

mod poison;
mod told;

pub use super::promise::{Checked, Promise, Violation};
pub(super) use poison::Since;
use told::lens;

/// The worlds the store may be in, and what has come of them so far.
#[derive(Debug, Clone)]
pub struct Oracle {
    worlds: Vec<World>,
    items: Vec<Item>,
    /// Appends that a crash has lost.
    lost: Vec<bool>,
    next_change: u32,
    next_state: u32,
    now: u32,
    /// Changes whose futures were dropped, or that have failed: the next change that returns shows what came of them.
    dropped: Vec<u32>,
    ordered: bool,
    /// Blocks of a file's past may show: an append that was lost and never acknowledged may be back.
    stale: bool,
    /// Sections that have told of a failed sync, and were not opened anew since.
    poisoned: Vec<u64>,
    /// Sections that are being opened anew: what was not durable may be gone already.
    reopening: Vec<u64>,
    /// How often sections may have become others since: what was told of those before counts no more.
    renewals: u32,
    violation: Option<Violation>,
    /// What was asked and answered, when somebody wants to read it.
    story: Option<Vec<String>>,
    /// How often each promise was checked.
    pub checked: Checked,
    /// Operations of a life that have begun: for whoever looks from outside.
    pub turn: usize,
}

impl Oracle {
    /// Of a store that does not exist yet.
    pub fn new(ordered: bool, stale: bool) -> Self {
        Self {
            worlds: vec![World::default()],
            items: Vec::new(),
            lost: Vec::new(),
            next_change: 0,
            next_state: 0,
            now: 0,
            dropped: Vec::new(),
            ordered,
            stale,
            poisoned: Vec::new(),
            reopening: Vec::new(),
            renewals: 0,
            violation: None,
            story: None,
            checked: Checked::default(),
            turn: 0,
        }
    }

    /// The first broken promise.
    pub fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// Notes a broken promise; the first one counts.
    pub fn broken(&mut self, promise: Promise, what: impl Into<String>) {
        if self.violation.is_none() {
            let what = format!("{}; worlds: {}", what.into(), self);
            self.violation = Some(Violation { promise, what });
        }
    }

    /// From now on the story is written down.
    pub fn tell(&mut self) {
        self.story = Some(Vec::new());
    }

    /// Whether the story is written down.
    pub fn is_told(&self) -> bool {
        self.story.is_some()
    }

    /// A line of the story.
    pub fn note(&mut self, line: impl FnOnce(&Self) -> String) {
        if self.story.is_some() {
            let line = line(self);
            if let Some(story) = &mut self.story {
                story.push(line);
            }
        }
    }

    /// The story so far.
    pub fn story(&mut self) -> Vec<String> {
        self.story.take().unwrap_or_default()
    }

    /// The worlds that are left.
    pub fn worlds(&self) -> &[World] {
        &self.worlds
    }

    /// One of the worlds: for choosing what to ask next.
    pub fn any(&self) -> &World {
        // There is always one: a filter that leaves none is a violation, and changes nothing.
        &self.worlds[0]
    }

    /// Whether a change has begun, and may happen still.
    pub fn is_changing(&self) -> bool {
        self.worlds.iter().any(|world| !world.begun.is_empty())
    }

    /// Numbers for new appends.
    pub fn draw(&mut self, section: u64, lens: &[u32]) -> Vec<Id> {
        let first = self.items.len();
        self.items.extend(lens.iter().map(|len| Item { section, len: *len }));
        self.lost.resize(self.items.len(), false);
        (first..self.items.len()).map(|id| Id::try_from(id).unwrap_or(Id::MAX)).collect()
    }

    /// How many appends there were.
    pub fn drawn(&self) -> Id {
        Id::try_from(self.items.len()).unwrap_or(Id::MAX)
    }

    /// An append had begun when its process was killed: it may be there, as the last of its section.
    pub fn begun(&mut self, section: u64, ids: &[Id]) {
        let position = self.any().len(section) as u64;
        self.appended(section, position, ids);
    }

    /// The append of a number.
    pub fn item(&self, id: Id) -> Option<Item> {
        self.items.get(id as usize).copied()
    }

    /// Now: what was appended by now was appended before it.
    pub fn now(&self) -> u32 {
        self.now
    }

    /// A number for new bytes of the user's own.
    pub fn draw_state(&mut self) -> u32 {
        self.next_state += 1;
        self.next_state
    }

    /// The number of the user's own bytes that was drawn last.
    pub fn drawn_states(&self) -> u32 {
        self.next_state
    }

    /// Somebody else has drawn numbers for the user's own bytes up to this one.
    pub fn draw_states_to(&mut self, number: u32) {
        self.next_state = self.next_state.max(number);
    }

    /// An append was answered: these came to lie from `position` on.
    pub fn appended(&mut self, section: u64, position: u64, ids: &[Id]) {
        self.checked.count(Promise::P7);
        if self.reopening.contains(&section) {
            self.worlds.iter_mut().for_each(|world| world.reopened_to(section, position));
        }
        self.keep(
            Promise::P7,
            |world| world.len(section) as u64 == position && section >= world.pruned_to,
            || format!("appends {ids:?} to section {section} came to lie at {position}"),
        );
        let last = ids.len().saturating_sub(1);
        self.now += 1;
        let now = self.now;
        for world in &mut self.worlds {
            let entries = ids.iter().enumerate().map(|(n, id)| Entry { id: *id, when: now, joined: n < last });
            world.sections.entry(section).or_default().entries.extend(entries);
        }
        self.expand();
    }

    /// What of a section was appended until `when` is durable.
    pub fn acknowledged(&mut self, section: u64, when: u32) {
        for world in &mut self.worlds {
            if let Some(found) = world.sections.get_mut(&section) {
                let covered = found.entries.iter().take_while(|entry| entry.when <= when).count();
                found.synced = found.synced.max(covered);
            }
        }
        self.expand();
    }

    /// The store says that so many entries of a section are durable.
    pub fn durable(&mut self, section: u64, len: u64) {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        self.keep(
            Promise::P2,
            |world| world.len(section) >= len,
            || format!("{len} entries of section {section} are said to be durable"),
        );
        for world in &mut self.worlds {
            if let Some(found) = world.sections.get_mut(&section) {
                found.synced = found.synced.max(len);
            }
        }
        self.expand();
    }

    /// Everything is durable: a close has returned.
    pub fn all_durable(&mut self) {
        for world in &mut self.worlds {
            world.begun.clear();
            world.sections.values_mut().for_each(|section| section.synced = section.entries.len());
        }
        self.unify();
    }

    /// A change begins; answers its number.
    pub fn begin(&mut self, change: Change) -> u32 {
        self.next_change += 1;
        let number = self.next_change;
        self.worlds.iter_mut().for_each(|world| world.begun.push((number, change)));
        self.expand();
        number
    }

    /// A change has returned: it has happened.
    pub fn done(&mut self, number: u32) {
        self.checked.count(Promise::P6);
        // A section that was removed and made again is another one.
        self.poisoned.clear();
        self.renewals += 1;
        self.keep(
            Promise::P6,
            |world| world.begun.iter().all(|(begun, _)| *begun != number),
            || format!("change {number} has returned"),
        );
    }

    /// A change was refused: it has not happened, and will not.
    pub fn refused(&mut self, number: u32) {
        self.keep(
            Promise::P6,
            |world| world.begun.iter().any(|(begun, _)| *begun == number),
            || format!("change {number} was refused"),
        );
        for world in &mut self.worlds {
            world.begun.retain(|(begun, _)| *begun != number);
        }
        self.unify();
    }

    /// The future of a change was dropped, or it has failed: it may have happened, or happen until the next one ends.
    pub fn dropped(&mut self, number: u32) {
        self.dropped.push(number);
        // It may remove sections, which may be made again.
        self.poisoned.clear();
        self.renewals += 1;
    }

    /// Changes that were dropped by now.
    pub fn left_behind(&self) -> Vec<u32> {
        self.dropped.clone()
    }

    /// Changes that were dropped before one began that has ended now have happened or never will.
    pub fn settled(&mut self, before: &[u32]) {
        if before.is_empty() {
            return;
        }
        self.dropped.retain(|number| !before.contains(number));
        for world in &mut self.worlds {
            world.begun.retain(|(number, _)| !before.contains(number));
        }
        self.unify();
    }

    /// An entry was shown as durable.
    pub fn shown_durable(&mut self, section: u64, position: u64, id: Id) {
        let at = usize::try_from(position).unwrap_or(usize::MAX);
        for world in &mut self.worlds {
            if let Some(found) = world.sections.get_mut(&section)
                && found.entries.get(at).is_some_and(|entry| entry.id == id)
            {
                found.synced = found.synced.max(at + 1);
            }
        }
        self.expand();
    }

    /// An entry was read, while nothing was under way.
    pub fn seen_entry(&mut self, section: u64, position: u64, id: Id) {
        let at = usize::try_from(position).unwrap_or(usize::MAX);
        let there = |world: &World| {
            let found = world.sections.get(&section);
            found.and_then(|found| found.entries.get(at)).is_some_and(|entry| entry.id == id)
        };
        self.keep(Promise::P3, there, || format!("entry {position} of section {section} is append {id}"));
    }

    /// A reader beside shows this: as after a crash, and nothing comes of it.
    pub fn beside(&mut self, shown: &Shown) {
        self.checked.count(Promise::P2);
        let none = |_| false;
        self.keep(
            Promise::P2,
            |world| world.allows(shown, false, &none).is_ok(),
            || format!("a reader shows {}", lens(shown)),
        );
    }

    /// Everything that is there now, while nothing is under way.
    pub fn seen(&mut self, shown: &Shown) {
        self.checked.count(Promise::P3);
        self.keep(Promise::P3, |world| world.is_exactly(shown), || format!("shown: {}", lens(shown)));
    }

    /// What one section holds now.
    pub fn seen_section(&mut self, section: u64, from: usize, ids: &[Id]) {
        self.keep(
            Promise::P3,
            |world| {
                let entries = world.sections.get(&section).map_or(&[][..], |found| &found.entries[..]);
                let rest = entries.get(from..).unwrap_or_default();
                rest.iter().map(|entry| entry.id).eq(ids.iter().copied())
            },
            || format!("section {section} shows {ids:?} from {from} on"),
        );
    }

    /// A store was opened after a crash and shows this.
    pub fn recovered(&mut self, shown: &Shown, pruned_to: u64, state: u32) {
        for promise in [Promise::P1, Promise::P2, Promise::P3, Promise::P5, Promise::P6, Promise::P9] {
            self.checked.count(promise);
        }
        let (stale, ordered) = (self.stale, self.ordered);
        let lost = &self.lost;
        let was_lost = |id: Id| stale && lost.get(id as usize).copied().unwrap_or(false);
        let mut reasons = Vec::new();
        let mut fits = Vec::new();
        for world in &self.worlds {
            let told = if (world.pruned_to, world.state) != (pruned_to, state) {
                Err(format!("P6: pruned to {pruned_to}, state {state}"))
            } else {
                world.allows(shown, ordered, &was_lost)
            };
            match told {
                Ok(()) => fits.push(world.clone()),
                Err(reason) => reasons.push(reason),
            }
        }
        if fits.is_empty() {
            let promise = match reasons.first().map_or("", String::as_str) {
                reason if reason.starts_with("P1") => Promise::P1,
                reason if reason.starts_with("P2") => Promise::P2,
                _ => Promise::P6,
            };
            let what = format!("after an open: {}; shown: {}", reasons.join("; "), lens(shown));
            return self.broken(promise, what);
        }
        self.worlds = fits;
        for world in &self.worlds {
            for (section, model) in &world.sections {
                let ids = shown.get(section).map_or(&[][..], Vec::as_slice);
                for entry in model.entries.iter().filter(|entry| !ids.contains(&entry.id)) {
                    self.lost[entry.id as usize] = true;
                }
            }
        }
        self.worlds.iter_mut().for_each(|world| world.adopt(shown));
        self.dropped.clear();
        self.poisoned.clear();
        self.reopening.clear();
        self.unify();
    }

    /// A section is about to be opened anew, if it has failed; dropped, that may happen at its next use.
    pub fn reopening(&mut self, section: u64) {
        self.reopening.push(section);
    }

    /// A section was opened anew after a failed sync, and shows this.
    pub fn reopened(&mut self, section: u64, ids: &[Id]) {
        let fits = |world: &World| {
            let (entries, synced) = match world.sections.get(&section) {
                Some(found) => (&found.entries[..], found.synced),
                None => (&[][..], 0),
            };
            ids.len() >= synced
                && ids.len() <= entries.len()
                && entries.iter().zip(ids).all(|(entry, id)| entry.id == *id)
                && !ids.len().checked_sub(1).is_some_and(|last| entries[last].joined)
        };
        self.checked.count(Promise::P1);
        self.poisoned.retain(|other| *other != section);
        self.reopening.retain(|other| *other != section);
        self.renewals += 1;
        self.keep(Promise::P1, fits, || format!("section {section} was reopened and shows {ids:?}"));
        for world in &mut self.worlds {
            if let Some(found) = world.sections.get_mut(&section) {
                found.entries.truncate(ids.len());
            }
        }
        self.unify();
    }

    /// Whether an error is the right answer in one of the worlds.
    pub fn explains(&self, error: &Error) -> bool {
        match error {
            Error::Pruned { section, oldest } => {
                self.worlds.iter().any(|world| world.pruned_to == *oldest && section < oldest)
            }
            Error::SectionOutOfRange { section } => self.worlds.iter().any(|world| world.len(*section) == 0),
            Error::OutOfOrder { section, newest } => {
                self.ordered && newest > section && self.worlds.iter().any(|world| world.sections.contains_key(newest))
            }
            Error::ItemOutOfRange { section, position, len } => {
                position >= len && self.worlds.iter().any(|world| world.len(*section) as u64 == *len)
            }
            _ => false,
        }
    }

    /// Strikes out the worlds that do not fit.
    fn keep(&mut self, promise: Promise, fits: impl Fn(&World) -> bool, what: impl Fn() -> String) {
        if self.worlds.iter().any(&fits) {
            if self.worlds.len() > 1 {
                let before = self.worlds.len();
                self.worlds.retain(fits);
                let gone = before - self.worlds.len();
                if gone > 0 {
                    self.note(|_| format!("  {gone} worlds struck out: {}", what()));
                }
            }
        } else {
            self.broken(promise, what());
        }
    }

    /// Adds the worlds in which changes that have begun happen now.
    fn expand(&mut self) {
        if !self.is_changing() {
            return;
        }
        let mut at = 0;
        while let Some(world) = self.worlds.get(at) {
            let mut next = Vec::new();
            for (number, change) in &world.begun {
                if let Some(mut after) = world.after(*change) {
                    after.begun.retain(|(begun, _)| begun != number);
                    next.push(after);
                }
            }
            for after in next {
                if !self.worlds.contains(&after) {
                    self.worlds.push(after);
                }
            }
            at += 1;
        }
    }

    fn unify(&mut self) {
        let mut unique: Vec<World> = Vec::with_capacity(self.worlds.len());
        for world in self.worlds.drain(..) {
            if !unique.contains(&world) {
                unique.push(world);
            }
        }
        self.worlds = unique;
    }
}
