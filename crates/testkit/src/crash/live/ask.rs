//! Reading: by position, by replay, by tails, everything.

use std::pin::pin;

use futures::{StreamExt, TryStreamExt};
use oversized::{Error, RawOversized, Until, last_bytes};

use super::{Busy, Machine, Step};
use crate::crash::items::Id;
use crate::crash::oracle::Promise;
use crate::crash::world::Shown;

impl Machine {
    /// The position so far from the end, in one of the worlds.
    fn position(&self, section: u64, back: usize) -> Option<u64> {
        self.oracle().any().len(section).checked_sub(back + 1).map(|position| position as u64)
    }

    /// Where the last so many entries begin.
    fn from(&self, section: u64, back: usize) -> u64 {
        self.oracle().any().len(section).saturating_sub(back) as u64
    }

    pub(super) async fn read(&self, store: &RawOversized, section: u64, back: usize) -> Step {
        let busy = self.busy();
        let Some(position) = self.position(section, back) else {
            let beyond = self.from(section, 0);
            return match store.get(section, beyond).await {
                Ok(_) if busy.is_alone() => {
                    self.broken(Promise::P3, format!("section {section} has an entry {beyond}"));
                    self.check()
                }
                Ok(_) => self.check(),
                Err(error) => self.explain(&error, busy.is_alone(), "a read of nothing"),
            };
        };
        let read = async {
            let quick = store.try_get_with(section, position, <[u8]>::to_vec);
            let record = store.get(section, position).await?;
            let (again, value) = store.read(section, position).await?;
            let id = self.judge(section, &again, Some(&value));
            if busy.is_alone() {
                let same = record == again && quick.is_none_or(|quick| quick.is_ok_and(|quick| quick == again));
                let by_record = store.value_of(section, &record).await;
                let by_place = store.get_value(section, last_bytes(&record).unwrap_or_default()).await;
                for other in [by_record, by_place] {
                    let is_other = match other {
                        // A change has begun, and has taken away what was there.
                        Err(Error::InvalidLocation { .. }) if !busy.is_alone() => false,
                        other => other? != value,
                    };
                    if is_other || !same {
                        self.broken(Promise::P3, format!("entry {position} of section {section} reads in two ways"));
                    }
                }
            }
            Ok(id)
        };
        match read.await {
            Ok(Some(id)) if busy.is_alone() => {
                self.check()?;
                self.oracle().seen_entry(section, position, id);
                self.check()
            }
            Ok(_) => self.check(),
            Err(error) => self.explain(&error, busy.is_alone(), "a read"),
        }
    }

    pub(super) async fn read_many(&self, store: &RawOversized, section: u64, back: usize, max_bytes: usize) -> Step {
        let busy = self.busy();
        let from = self.from(section, back);
        let to = from + back as u64;
        match store.read_many(section, from..to, max_bytes).await {
            Ok(read) => {
                let mut bytes = 0;
                for (n, (record, value)) in read.iter().enumerate() {
                    bytes += value.len();
                    let Some(id) = self.judge(section, record, Some(value)) else { break };
                    if busy.is_alone() && self.is_up() {
                        self.oracle().seen_entry(section, from + n as u64, id);
                    }
                }
                if bytes > max_bytes && read.len() > 1 {
                    self.broken(Promise::P13, format!("read_many of {max_bytes} bytes answers {bytes}"));
                }
                self.check()
            }
            Err(error) => self.explain(&error, busy.is_alone(), "read_many"),
        }
    }

    pub(super) async fn replay(&self, store: &RawOversized, section: u64, back: usize, values: bool) -> Step {
        let busy = self.busy();
        let from = self.from(section, back);
        match self.replayed(store, section, from, values).await {
            Ok(shown) => self.compare(&busy, section, from, &shown),
            Err(error) => self.explain(&error, busy.is_alone(), "a replay"),
        }
    }

    async fn replayed(&self, store: &RawOversized, section: u64, from: u64, values: bool) -> Result<Shown, Error> {
        let mut shown = Shown::new();
        let mut note = |at: u64, position: u64, id: Option<Id>| {
            let ids = shown.entry(at).or_default();
            let first = if at == section { from } else { 0 };
            if first + ids.len() as u64 != position {
                self.broken(Promise::P3, format!("a replay of section {at} jumps to {position}"));
            }
            ids.extend(id);
        };
        if values {
            let mut entries = store.replay_values(section, from);
            while let Some(entry) = entries.try_next().await? {
                let id = self.judge(entry.section, &entry.record, Some(&entry.value));
                note(entry.section, entry.position, id);
            }
        } else {
            let mut entries = store.replay(section, from);
            while let Some(entry) = entries.try_next().await? {
                let id = self.judge(entry.section, &entry.record, None);
                note(entry.section, entry.position, id);
            }
        }
        Ok(shown)
    }

    fn compare(&self, busy: &Busy<'_>, section: u64, from: u64, shown: &Shown) -> Step {
        self.check()?;
        if busy.is_alone() {
            let mut oracle = self.oracle();
            let sections: Vec<u64> = oracle.any().sections.keys().copied().filter(|other| *other >= section).collect();
            for other in sections {
                let first = if other == section { usize::try_from(from).unwrap_or(usize::MAX) } else { 0 };
                oracle.seen_section(other, first, shown.get(&other).map_or(&[][..], Vec::as_slice));
            }
        }
        self.check()
    }

    /// Follows a section, until the store ends.
    pub(super) async fn tail(self, store: RawOversized, section: u64, back: usize, durable: bool) {
        let from = self.from(section, back);
        let until = if durable { Until::Durable } else { Until::Appended };
        let mut tail = pin!(store.tail(section, from, until));
        drop(store);
        let mut at = (section, from);
        while let Some(entry) = tail.next().await {
            if self.check().is_err() {
                return;
            }
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    // A change may have come and gone while it waited.
                    if !matches!(error, Error::Closed) {
                        let _ = self.explain(&error, false, "a tail");
                    }
                    return;
                }
            };
            if entry.section > at.0 && entry.position == 0 {
                at = (entry.section, 0);
            }
            if (entry.section, entry.position) != at {
                let what = format!("a tail jumps from {at:?} to {:?}", (entry.section, entry.position));
                self.broken(Promise::P3, what);
                return;
            }
            at.1 += 1;
            let Some(id) = self.judge(entry.section, &entry.record, None) else { return };
            if durable && self.is_up() {
                let mut oracle = self.oracle();
                oracle.checked.count(Promise::P1);
                oracle.shown_durable(entry.section, entry.position, id);
            }
        }
    }

    pub(super) async fn verify(&self, store: &RawOversized) -> Step {
        let busy = self.busy();
        let mut findings = pin!(store.verify(..));
        loop {
            match findings.next().await {
                None => return self.check(),
                Some(Ok(finding)) => {
                    if busy.is_alone() {
                        self.broken(Promise::P4, format!("verify finds {finding:?} in a store without damage"));
                    }
                    self.check()?;
                }
                Some(Err(error)) => return self.explain(&error, busy.is_alone(), "verify"),
            }
        }
    }

    /// Everything, compared with the model.
    pub(super) async fn look(&self, store: &RawOversized) -> Step {
        let behind = self.oracle().left_behind();
        if !behind.is_empty() {
            // A change that was left behind ends with the next.
            let number = self.oracle().draw_state();
            let begun = self.begin(crate::crash::world::Change::State(number));
            match store.set_state(crate::crash::items::state(number)).await {
                Ok(()) => begun.done()?,
                Err(error) => return begun.failed(&error, false, "set_state"),
            }
        }
        let busy = self.busy();
        match self.shown(store, &busy).await {
            Ok(shown) => {
                self.check()?;
                if busy.is_alone() {
                    self.oracle().seen(&shown);
                }
                self.check()
            }
            Err(error) => self.explain(&error, busy.is_alone(), "a look at everything"),
        }
    }
}
