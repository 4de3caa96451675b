//! What the oracle says of itself, and of one thing that was read.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::{Oracle, Promise};
use crate::crash::items::{self, Id};
use crate::crash::world::{Shown, World};

impl Oracle {
    /// A number for all that counts behind a crash: equal for oracles that will say the same of whatever is found then.
    pub fn digest(&self) -> u64 {
        let mut worlds: Vec<_> = self.worlds.iter().map(World::after_crash).collect();
        worlds.sort_unstable();
        worlds.dedup();
        let lost = if self.stale { &self.lost[..] } else { &[] };
        let mut hasher = DefaultHasher::new();
        (worlds, &self.items, lost, self.next_state, self.violation.is_some()).hash(&mut hasher);
        hasher.finish()
    }

    /// The append that a record is of, when record and value are exactly that append's, and it lies in its section (P3).
    pub(in crate::crash) fn judge(&mut self, section: u64, record: &[u8], value: Option<&[u8]>) -> Option<Id> {
        self.checked.count(Promise::P3);
        let Some(id) = items::id_of(record) else {
            self.broken(Promise::P3, format!("a record of section {section} is nobody's: {record:02x?}"));
            return None;
        };
        let Some(item) = self.item(id).filter(|item| item.section == section) else {
            self.broken(Promise::P3, format!("section {section} shows append {id}, which is not of it"));
            return None;
        };
        if value.is_some_and(|value| items::value(id, item.len) != value) {
            self.broken(Promise::P3, format!("the value of append {id} in section {section} is another one"));
            return None;
        }
        Some(id)
    }
}

pub(super) fn lens(shown: &Shown) -> String {
    let of = |(section, ids): (&u64, &Vec<Id>)| format!("{section}: {ids:?}");
    format!("{{{}}}", shown.iter().map(of).collect::<Vec<_>>().join(", "))
}

impl fmt::Display for Oracle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, world) in self.worlds.iter().enumerate() {
            let or = if n > 0 { " or " } else { "" };
            write!(f, "{or}pruned to {}, state {}", world.pruned_to, world.state)?;
            for (section, model) in &world.sections {
                write!(f, ", {section}: [")?;
                for (at, entry) in model.entries.iter().enumerate() {
                    let bar = if at == model.synced { "| " } else { "" };
                    let joined = if entry.joined { "+" } else { " " };
                    write!(f, "{bar}{}{joined}", entry.id)?;
                }
                write!(f, "]")?;
            }
            if !world.begun.is_empty() {
                write!(f, ", begun {:?}", world.begun)?;
            }
        }
        Ok(())
    }
}
