//! What a child says: a line before each operation, and one behind it.

use std::collections::BTreeMap;
use std::fmt;

use crate::crash::items::Id;
use crate::crash::oracle::{Oracle, Promise};
use crate::crash::world::Change;

/// A line. `thread`: who of the child's threads; each does one thing at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Note {
    /// The store is open.
    Opened,
    /// An append, alone or as a batch, begins.
    Append { thread: usize, section: u64, lens: Vec<u32> },
    /// It has returned.
    Appended { thread: usize, position: u64 },
    /// A sync begins, of one section or of all.
    Sync { thread: usize, section: Option<u64> },
    /// It has returned.
    Synced { thread: usize },
    /// A change of structure begins.
    Change { thread: usize, change: Change },
    /// It has returned.
    Changed { thread: usize },
    /// Everything is durable.
    Closed,
    /// The child is at the point where it is to be killed.
    At { name: String },
    /// Something was answered that is wrong in any case.
    Failed { what: String },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened => write!(f, "opened"),
            Self::Append { thread, section, lens } => {
                write!(f, "append {thread} {section}")?;
                lens.iter().try_for_each(|len| write!(f, " {len}"))
            }
            Self::Appended { thread, position } => write!(f, "appended {thread} {position}"),
            Self::Sync { thread, section: Some(section) } => write!(f, "sync {thread} {section}"),
            Self::Sync { thread, section: None } => write!(f, "sync-all {thread}"),
            Self::Synced { thread } => write!(f, "synced {thread}"),
            Self::Change { thread, change } => match change {
                Change::Rewind { section, len, all_later } => {
                    write!(f, "rewind {thread} {section} {len} {}", u8::from(*all_later))
                }
                Change::Remove(section) => write!(f, "remove {thread} {section}"),
                Change::Prune(min) => write!(f, "prune {thread} {min}"),
                Change::State(number) => write!(f, "state {thread} {number}"),
                Change::Destroy => write!(f, "destroy {thread}"),
            },
            Self::Changed { thread } => write!(f, "changed {thread}"),
            Self::Closed => write!(f, "closed"),
            Self::At { name } => write!(f, "at {name}"),
            Self::Failed { what } => write!(f, "failed {what}"),
        }
    }
}

impl Note {
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "opened" => return Some(Self::Opened),
            "closed" => return Some(Self::Closed),
            "at" => return Some(Self::At { name: rest.into() }),
            "failed" => return Some(Self::Failed { what: rest.into() }),
            _ => {}
        }
        let numbers: Vec<u64> = rest.split_whitespace().map(|word| word.parse().ok()).collect::<Option<_>>()?;
        let (thread, numbers) = numbers.split_first()?;
        let thread = usize::try_from(*thread).ok()?;
        let small = |number: &u64| u32::try_from(*number).ok();
        Some(match (word, numbers) {
            ("append", [section, lens @ ..]) => {
                Self::Append { thread, section: *section, lens: lens.iter().map(small).collect::<Option<_>>()? }
            }
            ("appended", [position]) => Self::Appended { thread, position: *position },
            ("sync", [section]) => Self::Sync { thread, section: Some(*section) },
            ("sync-all", []) => Self::Sync { thread, section: None },
            ("synced", []) => Self::Synced { thread },
            ("rewind", [section, len, all_later]) => {
                let (len, all_later) = (usize::try_from(*len).ok()?, *all_later == 1);
                Self::Change { thread, change: Change::Rewind { section: *section, len, all_later } }
            }
            ("remove", [section]) => Self::Change { thread, change: Change::Remove(*section) },
            ("prune", [min]) => Self::Change { thread, change: Change::Prune(*min) },
            ("state", [number]) => Self::Change { thread, change: Change::State(small(number)?) },
            ("destroy", []) => Self::Change { thread, change: Change::Destroy },
            ("changed", []) => Self::Changed { thread },
            _ => return None,
        })
    }
}

/// What each thread is at.
#[derive(Debug)]
enum Open {
    Append { section: u64, ids: Vec<Id> },
    Sync { section: Option<u64>, when: u32 },
    Change { number: u32 },
}

/// Keeps what has begun, and tells the oracle.
#[derive(Debug, Default)]
pub(super) struct Ledger(BTreeMap<usize, Open>);

impl Ledger {
    /// Enters a line; whether it acknowledges something.
    pub(super) fn enter(&mut self, note: Note, oracle: &mut Oracle) -> bool {
        let ended = match &note {
            Note::Appended { thread, .. } | Note::Synced { thread } | Note::Changed { thread } => self.0.remove(thread),
            _ => None,
        };
        match (note, ended) {
            (Note::Append { thread, section, lens }, _) => {
                let ids = oracle.draw(section, &lens);
                self.0.insert(thread, Open::Append { section, ids });
            }
            (Note::Sync { thread, section }, _) => {
                self.0.insert(thread, Open::Sync { section, when: oracle.now() });
            }
            (Note::Change { thread, change }, _) => {
                if let Change::State(number) = change {
                    oracle.draw_states_to(number);
                }
                let number = oracle.begin(change);
                self.0.insert(thread, Open::Change { number });
            }
            (Note::Appended { position, .. }, Some(Open::Append { section, ids })) => {
                oracle.appended(section, position, &ids);
                return true;
            }
            (Note::Synced { .. }, Some(Open::Sync { section, when })) => {
                let all = || oracle.worlds().iter().flat_map(|world| world.sections.keys().copied()).collect();
                let sections: Vec<u64> = section.map_or_else(all, |section| vec![section]);
                sections.into_iter().for_each(|section| oracle.acknowledged(section, when));
                return true;
            }
            (Note::Changed { .. }, Some(Open::Change { number })) => {
                oracle.done(number);
                return true;
            }
            (Note::Closed, _) => {
                oracle.all_durable();
                return true;
            }
            (Note::Opened | Note::At { .. }, _) => {}
            (Note::Failed { what }, _) => oracle.broken(Promise::P12, what),
            (note, _) => oracle.broken(Promise::P8, format!("{note} ends nothing")),
        }
        false
    }

    /// The child is dead. What it had begun may have happened: an append is the last of its section then.
    pub(super) fn killed(self, oracle: &mut Oracle) {
        for open in self.0.into_values() {
            if let Open::Append { section, ids } = open {
                oracle.begun(section, &ids);
            }
        }
    }
}

#[cfg(test)]
mod tests;
