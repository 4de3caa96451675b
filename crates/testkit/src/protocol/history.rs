//! What was done and acknowledged, and what of it an open must show. Taken from the calls alone, never from the disk.

use std::fmt;

use super::disk::small;
use super::world::SECTIONS;

/// A promise, as `docs/crash-safety.md` numbers them. P4 has two sides; P5 is each of the others behind a recovery that was
/// cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Promise {
    /// P1: what a sync covered is there.
    Durable,
    /// P2: what is there is a prefix of what was appended; batches are whole.
    Prefix,
    /// P3: an entry reads back with its own value.
    Intact,
    /// P4: damage below a proven floor is told, and nothing is changed then.
    Told,
    /// P4, the other side: what a crash leaves is no damage.
    NoFalseAlarm,
    /// P6: changes of structure and of the user's state are done or not, and not undone.
    Atomic,
    /// P9: what an open has shown stays.
    Shown,
}

impl Promise {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Durable, Self::Prefix, Self::Intact, Self::Told, Self::NoFalseAlarm, Self::Atomic, Self::Shown];

    /// Its number and name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Durable => "P1 durable",
            Self::Prefix => "P2 prefix",
            Self::Intact => "P3 intact",
            Self::Told => "P4 told",
            Self::NoFalseAlarm => "P4 no false alarm",
            Self::Atomic => "P6 atomic",
            Self::Shown => "P9 shown is durable",
        }
    }
}

/// A promise that was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Breach {
    /// Which.
    pub promise: Promise,
    /// An earlier recovery had been cut off: P5 is broken too.
    pub recovery_cut: bool,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.promise.name())?;
        if self.recovery_cut { f.write_str(", behind a recovery that was cut off (P5)") } else { Ok(()) }
    }
}

/// The items of a section.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Log {
    /// Numbers of the items, each with whether its batch goes on.
    pub(crate) items: Vec<(u8, bool)>,
    /// Items that a sync has acknowledged.
    pub(crate) synced: u8,
    /// Items that an open has shown.
    pub(crate) shown: u8,
}

/// One way the store may be.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Chronicle {
    pub(crate) sections: [Log; SECTIONS],
    pub(crate) pruned_to: u8,
    pub(crate) user: u8,
}

/// Media rot, and what it excuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Rot {
    /// In a frame of this section, with so many items before it; `None` anywhere else, where it excuses nothing.
    pub(crate) values: Option<(u8, u8)>,
    /// Something proves that the bytes were durable.
    pub(crate) proven: bool,
}

/// See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct History {
    pub(crate) now: Chronicle,
    /// The store after the change that is under way, or that has failed: until an open decides, both are right.
    pub(crate) after: Option<Chronicle>,
    /// The number of the next item.
    pub(crate) next_id: u8,
    /// Items that a finished change has removed, a bit each.
    pub(crate) removed: u32,
    pub(crate) rot: Option<Rot>,
    /// A recovery was cut off since the last one that ended.
    pub(crate) recovery_cut: bool,
}

/// What an open shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) sections: [Vec<Sight>; SECTIONS],
    pub(crate) pruned_to: u8,
    pub(crate) user: u8,
}

/// An entry, and what its value reads as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sight {
    pub(crate) id: u8,
    /// The value's number; `None` when it is a checksum error.
    pub(crate) value: Option<u8>,
}

impl Log {
    /// An open has shown so many items.
    fn settle(&mut self, items: u8) {
        self.items.truncate(usize::from(items));
        self.shown = items;
        self.synced = self.synced.min(items);
    }
}

impl Chronicle {
    /// With the section cut to its first items.
    pub(crate) fn rewind(&mut self, section: usize, items: u8) {
        let log = &mut self.sections[section];
        log.items.truncate(usize::from(items));
        // A batch ends where it is cut.
        if let Some((_, more)) = log.items.last_mut() {
            *more = false;
        }
        log.synced = items;
        log.shown = items;
    }
}

impl History {
    /// Appends items, of one batch, and numbers them.
    pub(crate) fn append(&mut self, section: usize, count: u8) -> Vec<(u8, bool)> {
        let items: Vec<_> = (0..count).map(|number| (self.next_id + number, number + 1 < count)).collect();
        self.next_id += count;
        self.now.sections[section].items.extend(&items);
        items
    }

    /// A sync has returned for the first items of a section.
    pub(crate) fn synced(&mut self, section: usize, items: u8) {
        let log = &mut self.now.sections[section];
        log.synced = log.synced.max(items);
    }

    /// A change of structure begins.
    pub(crate) fn begins(&mut self, change: impl FnOnce(&mut Chronicle)) {
        let mut after = self.now.clone();
        change(&mut after);
        self.after = Some(after);
    }

    /// It has returned, or somebody has seen that it has happened.
    pub(crate) fn happened(&mut self) {
        if let Some(after) = self.after.take() {
            for (before, after) in self.now.sections.iter().zip(&after.sections) {
                for (id, _) in before.items.iter().filter(|(id, _)| !after.items.iter().any(|(other, _)| other == id)) {
                    self.removed |= 1 << id;
                }
            }
            self.now = after;
        }
    }

    /// It has failed before it had begun.
    pub(crate) fn not_begun(&mut self) {
        self.after = None;
    }

    /// A section was opened anew and shows this.
    pub(crate) fn reopened(&mut self, section: usize, view: &View) -> Result<(), Promise> {
        let sights = &view.sections[section];
        self.allows_section(section, &self.now.sections[section], sights)?;
        self.now.sections[section].settle(small(sights.len()));
        Ok(())
    }

    /// An open has ended and shows this. Settles which way it went.
    pub(crate) fn opened(&mut self, view: &View) -> Result<(), Promise> {
        let candidates = std::iter::once(&self.now).chain(&self.after);
        let mut first = None;
        let mut settled = None;
        for candidate in candidates {
            match self.allows(candidate, view) {
                Ok(()) => {
                    settled = Some(candidate.clone());
                    break;
                }
                Err(promise) => first = first.or(Some(promise)),
            }
        }
        let Some(mut settled) = settled else {
            // With a change under way neither side of it is what shows.
            return Err(if self.after.is_some() { Promise::Atomic } else { first.unwrap_or(Promise::Prefix) });
        };
        for (log, sights) in settled.sections.iter_mut().zip(&view.sections) {
            log.settle(small(sights.len()));
        }
        // What a crash has lost is not marked as removed: if it comes back that breaks P2, not P6.
        self.now = settled;
        self.after = None;
        self.recovery_cut = false;
        Ok(())
    }

    fn allows(&self, candidate: &Chronicle, view: &View) -> Result<(), Promise> {
        if view.user != candidate.user || view.pruned_to != candidate.pruned_to {
            return Err(Promise::Atomic);
        }
        for (section, (log, sights)) in candidate.sections.iter().zip(&view.sections).enumerate() {
            self.allows_section(section, log, sights)?;
        }
        Ok(())
    }

    fn allows_section(&self, section: usize, log: &Log, sights: &[Sight]) -> Result<(), Promise> {
        for (number, sight) in sights.iter().enumerate() {
            match log.items.get(number) {
                Some((id, _)) if *id == sight.id => {}
                _ if self.removed & (1 << sight.id) != 0 => return Err(Promise::Atomic),
                _ => return Err(Promise::Prefix),
            }
            // A checksum error on rotten media is told.
            let wrong = sight.value != Some(sight.id) && !(sight.value.is_none() && self.rot.is_some());
            if wrong {
                return Err(Promise::Intact);
            }
        }
        let excused = match self.rot {
            Some(Rot { values: Some((rotten, items)), .. }) if usize::from(rotten) == section => items,
            _ => u8::MAX,
        };
        let (len, due) = (small(sights.len()), log.synced.max(log.shown));
        if len < due.min(excused) {
            return Err(if len < log.synced { Promise::Durable } else { Promise::Shown });
        }
        if len < due && self.rot.is_some_and(|rot| rot.proven) {
            return Err(Promise::Told);
        }
        if sights.len().checked_sub(1).and_then(|last| log.items.get(last)).is_some_and(|(_, more)| *more) {
            return Err(Promise::Prefix);
        }
        Ok(())
    }
}
