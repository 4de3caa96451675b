//! What a glob must show: computed from what was asked and acknowledged, never from what the store says.

use std::collections::BTreeMap;

use glob::Location;

/// What was appended to a section since its last completed rewind.
#[derive(Debug, Clone, Default)]
pub(crate) struct Section {
    pub(crate) items: Vec<Item>,
    /// So many of them were acknowledged as durable.
    pub(crate) acked: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) value: Vec<u8>,
    pub(crate) location: Location,
    /// Whether a recovery may end behind it: it is the last of its batch.
    pub(crate) ends_batch: bool,
}

/// A change of structure that was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Prune(u64),
    Rewind { section: u64, len: usize, all_later: bool },
    Remove(u64),
}

/// A whole glob.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    pub(crate) sections: BTreeMap<u64, Section>,
    pub(crate) pruned_to: u64,
    /// Begun and not known to have ended: it is wholly there or not at all.
    pub(crate) pending: Option<Change>,
    /// Counts the changes that have ended.
    pub(crate) changes: u64,
}

/// What a glob shows: the values of each section that has any.
pub(crate) type Shown = BTreeMap<u64, Vec<(Location, Vec<u8>)>>;

impl Model {
    pub(crate) fn len(&self, section: u64) -> usize {
        self.sections.get(&section).map_or(0, |section| section.items.len())
    }

    /// Items were appended, the first at this position.
    pub(crate) fn appended(&mut self, section: u64, position: u64, values: Vec<(Location, Vec<u8>)>) {
        let position = usize::try_from(position).unwrap();
        // An append that finds fewer items comes behind a rewind that is through, though its caller does not know yet.
        if position < self.len(section) {
            self.apply_pending();
        }
        assert_eq!(position, self.len(section), "section {section}: positions are consecutive");
        let count = values.len();
        let items = values.into_iter().enumerate().map(|(n, (location, value))| Item {
            value,
            location,
            ends_batch: n + 1 == count,
        });
        self.sections.entry(section).or_default().items.extend(items);
    }

    /// The first `len` items of a section are durable.
    pub(crate) fn acknowledged(&mut self, section: u64, len: usize) {
        if let Some(section) = self.sections.get_mut(&section) {
            section.acked = section.acked.max(len.min(section.items.len()));
        }
    }

    pub(crate) fn all_acknowledged(&mut self) {
        self.sections.values_mut().for_each(|section| section.acked = section.items.len());
    }

    /// The same, with no more acknowledged than in the other.
    pub(crate) fn acknowledged_as(mut self, other: &Self) -> Self {
        for (section, own) in &mut self.sections {
            own.acked = own.acked.min(other.sections.get(section).map_or(0, |other| other.acked));
        }
        self
    }

    pub(crate) fn apply_pending(&mut self) {
        self.changes += u64::from(self.pending.is_some());
        match self.pending.take() {
            None => {}
            Some(Change::Prune(min)) => {
                self.pruned_to = self.pruned_to.max(min);
                self.sections.retain(|section, _| *section >= min);
            }
            Some(Change::Remove(section)) => {
                self.sections.remove(&section);
            }
            Some(Change::Rewind { section, len, all_later }) => {
                if all_later {
                    self.sections.retain(|other, _| *other <= section);
                }
                if let Some(kept) = self.sections.get_mut(&section) {
                    kept.items.truncate(len);
                    kept.acked = kept.items.len();
                    // A seal ends the batch that was cut.
                    if let Some(last) = kept.items.last_mut() {
                        last.ends_batch = true;
                    }
                }
            }
        }
    }

    /// Whether these lengths are exactly the model's, sections without items left aside.
    pub(crate) fn is_exactly(&self, lens: &BTreeMap<u64, usize>) -> bool {
        let own =
            self.sections.iter().map(|(section, state)| (*section, state.items.len())).filter(|(_, len)| *len > 0);
        own.eq(lens.iter().map(|(section, len)| (*section, *len)).filter(|(_, len)| *len > 0))
    }

    /// Whether a store that was opened after a crash may show this; why not, otherwise.
    fn allows(&self, shown: &Shown) -> Result<(), String> {
        for (section, values) in shown {
            let Some(own) = self.sections.get(section) else {
                if values.is_empty() {
                    continue;
                }
                return Err(format!("section {section} with {} items was never there", values.len()));
            };
            let len = values.len();
            if len < own.acked {
                return Err(format!("section {section} shows {len} items, {} were acknowledged", own.acked));
            }
            if len > own.items.len() {
                return Err(format!("section {section} shows {len} items, {} were appended", own.items.len()));
            }
            if len > 0 && !own.items[len - 1].ends_batch {
                return Err(format!("section {section} shows {len} items: a part of a batch"));
            }
            for (position, ((location, value), item)) in values.iter().zip(&own.items).enumerate() {
                if (value, location) != (&item.value, &item.location) {
                    return Err(format!("section {section}, item {position}: another value, or another place"));
                }
            }
        }
        let lost = self.sections.iter().find(|(section, own)| own.acked > 0 && !shown.contains_key(section));
        match lost {
            Some((section, own)) => Err(format!("section {section} is gone, {} items were acknowledged", own.acked)),
            None => Ok(()),
        }
    }

    /// Takes over what a store shows that was opened after a crash; panics when it must not be.
    pub(crate) fn recovered(&mut self, shown: &Shown, case: &str) {
        let mut after = self.clone();
        after.apply_pending();
        let before = Self { pending: None, ..self.clone() };
        *self = match (after.allows(shown), before.allows(shown)) {
            (Ok(()), _) if self.pending.is_none() || !shown_fits_before_only(&before, &after, shown) => after,
            (_, Ok(())) => before,
            (Err(after_why), Err(before_why)) => panic!(
                "{case}: not what must be shown\n  if {:?} is done: {after_why}\n  if not: {before_why}\n  model {self:#?}",
                self.pending
            ),
            (Ok(()), Err(_)) => after,
        };
        // What is shown is durable (P9).
        for (section, own) in &mut self.sections {
            own.items.truncate(shown.get(section).map_or(0, Vec::len));
            own.acked = own.items.len();
        }
        self.sections.retain(|_, own| !own.items.is_empty());
    }
}

/// Both fit, and more is shown than the change leaves: it was not done.
fn shown_fits_before_only(before: &Model, after: &Model, shown: &Shown) -> bool {
    after.allows(shown).is_err() && before.allows(shown).is_ok()
}
