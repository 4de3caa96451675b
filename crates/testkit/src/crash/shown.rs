//! Reading a whole store, every way at once, and judging each thing read by itself.

use futures::{StreamExt, TryStreamExt};
use oversized::{Error, RawOversized};

use super::items::Id;
use super::live::{Busy, Machine};
use super::oracle::Promise;
use super::world::Shown;

impl Machine {
    /// The append that a record is of, when record and value are exactly that append's, and it lies in its section (P3).
    pub(super) fn judge(&self, section: u64, record: &[u8], value: Option<&[u8]>) -> Option<Id> {
        self.oracle().judge(section, record, value)
    }

    /// Everything the store shows: by replay of records, by replay with values, by position.
    pub(super) async fn shown(&self, store: &RawOversized, busy: &Busy<'_>) -> Result<Shown, Error> {
        let mut shown: Shown = store.sections().into_iter().map(|section| (section, Vec::new())).collect();
        let Some(first) = store.oldest_section() else { return Ok(shown) };
        let mut values = store.replay_values(first, 0);
        while let Some(entry) = values.try_next().await? {
            let ids = shown.entry(entry.section).or_default();
            if ids.len() as u64 != entry.position {
                self.broken(Promise::P3, format!("a replay of section {} jumps to {}", entry.section, entry.position));
            }
            if let Some(id) = self.judge(entry.section, &entry.record, Some(&entry.value)) {
                ids.push(id);
            }
        }
        let mut records = store.replay(first, 0);
        let mut again = Shown::new();
        while let Some(entry) = records.next().await {
            let entry = entry?;
            if let Some(id) = self.judge(entry.section, &entry.record, None) {
                again.entry(entry.section).or_default().push(id);
            }
        }
        if busy.is_alone() && !shown.iter().filter(|(_, ids)| !ids.is_empty()).eq(again.iter()) {
            self.broken(Promise::P3, format!("frames say {shown:?}, the index says {again:?}"));
        }
        for (section, ids) in &shown {
            let len = store.len(*section).await?;
            if busy.is_alone() && len != ids.len() as u64 {
                self.broken(Promise::P3, format!("section {section} says it has {len} entries and shows {ids:?}"));
            }
        }
        Ok(shown)
    }

    /// The entries of one section from a position on.
    pub(super) async fn shown_section(&self, store: &RawOversized, section: u64, from: u64) -> Result<Vec<Id>, Error> {
        let mut ids = Vec::new();
        let mut values = store.replay_values(section, from);
        while let Some(entry) = values.try_next().await? {
            if entry.section != section {
                break;
            }
            ids.extend(self.judge(section, &entry.record, Some(&entry.value)));
        }
        Ok(ids)
    }
}
