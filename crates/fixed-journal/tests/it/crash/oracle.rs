//! What was begun and what was acknowledged, and which stores may be found after a crash.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Section {
    /// The number of each item; an item's bytes are made of it.
    pub(super) items: Vec<u64>,
    pub(super) synced: usize,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Store {
    pub(super) sections: BTreeMap<u64, Section>,
    pub(super) pruned_to: u64,
}

#[derive(Debug, Default)]
pub(super) struct Oracle {
    pub(super) now: Store,
    /// What a change that was begun and has not returned makes of it.
    pub(super) after: Option<Store>,
    /// Sections below this may be gone.
    pub(super) pruning: u64,
    pub(super) next_item: u64,
    pub(super) epoch: u64,
    /// The journal takes no change until it is opened anew.
    pub(super) stuck: bool,
}

pub(super) type Shared = Arc<Mutex<Oracle>>;

#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) item_bytes: usize,
    pub(super) faults: bool,
}

pub(super) fn bytes(section: u64, item: u64, len: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(section << 32 | item);
    (0..len).map(|_| rng.u8(..)).collect()
}

/// What is there, by section.
pub(super) type Shown = BTreeMap<u64, Vec<Vec<u8>>>;

impl Store {
    /// Whether what is shown is this store: of each section a prefix with at least what was synced.
    pub(super) fn matches(&self, shown: &Shown, pruning: u64, settings: Settings) -> Result<(), String> {
        for (section, items) in shown {
            let Some(model) = self.sections.get(section) else {
                // A section that was made and never had a durable item may be there, empty.
                if items.is_empty() {
                    continue;
                }
                return Err(format!("section {section} should not be there"));
            };
            if items.len() > model.items.len() {
                return Err(format!(
                    "section {section} has {} items, {} were appended",
                    items.len(),
                    model.items.len()
                ));
            }
            for (position, (item, number)) in items.iter().zip(&model.items).enumerate() {
                if *item != bytes(*section, *number, settings.item_bytes) {
                    return Err(format!("section {section}: item {position} is another one"));
                }
            }
        }
        for (section, model) in &self.sections {
            let len = shown.get(section).map_or(0, Vec::len);
            if len < model.synced && *section >= pruning {
                return Err(format!("section {section} has {len} items, {} were acknowledged", model.synced));
            }
        }
        Ok(())
    }

    /// Takes over what is shown, all of it durable.
    pub(super) fn adopt(&mut self, shown: &Shown) {
        self.sections.retain(|section, _| shown.contains_key(section));
        for (section, items) in shown {
            let model = self.sections.entry(*section).or_default();
            model.items.truncate(items.len());
            model.synced = items.len();
        }
    }
}

impl Oracle {
    /// After an open: one of the stores that may be found.
    pub(super) fn opened(&mut self, shown: &Shown, pruned_to: u64, settings: Settings, case: &str) {
        let before = self.now.matches(shown, self.pruning, settings);
        let after = self.after.take().map(|after| (after.matches(shown, self.pruning, settings), after));
        match (before, after) {
            // When both fit, what is kept is the same.
            (_, Some((Ok(()), after))) => self.now = after,
            (Ok(()), _) => {}
            (Err(error), after) => {
                panic!(
                    "{case}: {error}; after: {:?}\nshown {:?}\nmodel {self:?}",
                    after.map(|after| after.0),
                    lens(shown)
                )
            }
        }
        self.now.adopt(shown);
        // A prune that had not returned was made or not, from now on for good.
        assert!(
            (self.now.pruned_to..=self.pruning.max(self.now.pruned_to)).contains(&pruned_to),
            "{case}: {pruned_to}"
        );
        self.now.pruned_to = pruned_to;
        self.pruning = pruned_to;
        self.stuck = false;
        self.epoch += 1;
    }
}

pub(super) fn lens(shown: &Shown) -> BTreeMap<u64, usize> {
    shown.iter().map(|(section, items)| (*section, items.len())).collect()
}
