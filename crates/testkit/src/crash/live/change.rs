//! Changes of structure.

use oversized::{Error, RawOversized};

use super::{Machine, Step, Stop};
use crate::crash::items;
use crate::crash::oracle::{Promise, Since};
use crate::crash::world::Change;

/// A change under way: dropped, it is left behind.
pub(super) struct Begun<'a> {
    machine: &'a Machine,
    number: u32,
    behind: Vec<u32>,
    since: Since,
    is_over: bool,
}

impl Begun<'_> {
    pub(super) fn done(mut self) -> Step {
        self.is_over = true;
        self.machine.check()?;
        let mut oracle = self.machine.oracle();
        oracle.done(self.number);
        oracle.settled(&self.behind);
        drop(oracle);
        self.machine.check()
    }

    /// It has failed: refused, or left undone by a fault.
    pub(super) fn failed(mut self, error: &Error, alone: bool, what: &str) -> Step {
        self.machine.note(|| format!("{what}: {error:?}"));
        self.machine.check()?;
        self.machine.note_poison(error, &self.since);
        if self.machine.oracle().explains(error) {
            self.is_over = true;
            self.machine.oracle().refused(self.number);
            return self.machine.check();
        }
        self.machine.explain(error, alone, what)
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if !self.is_over && self.machine.is_up() {
            self.machine.oracle().dropped(self.number);
        }
    }
}

impl Machine {
    pub(super) fn begin(&self, change: Change) -> Begun<'_> {
        let mut oracle = self.oracle();
        let behind = oracle.left_behind();
        let number = oracle.begin(change);
        let since = oracle.since();
        drop(oracle);
        Begun { machine: self, number, behind, since, is_over: false }
    }

    pub(super) async fn rewind(&self, store: &RawOversized, section: u64, back: usize, all_later: bool) -> Step {
        let busy = self.busy();
        let len = self.oracle().any().len(section).saturating_sub(back);
        let begun = self.begin(Change::Rewind { section, len, all_later });
        let result = match all_later {
            true => store.rewind(section, len as u64).await,
            false => store.rewind_section(section, len as u64).await,
        };
        match result {
            Ok(()) => begun.done(),
            Err(error) => begun.failed(&error, busy.was_alone(), "a rewind"),
        }
    }

    pub(super) async fn remove(&self, store: &RawOversized, section: u64) -> Step {
        let busy = self.busy();
        let begun = self.begin(Change::Remove(section));
        match store.remove_section(section).await {
            Ok(_) => begun.done(),
            Err(error) => begun.failed(&error, busy.was_alone(), "a removal"),
        }
    }

    pub(super) async fn prune(&self, store: &RawOversized, min: u64) -> Step {
        let busy = self.busy();
        let begun = self.begin(Change::Prune(min));
        match store.prune(min).await {
            Ok(_) => begun.done(),
            Err(error) => begun.failed(&error, busy.was_alone(), "a prune"),
        }
    }

    pub(super) async fn set_state(&self, store: &RawOversized) -> Step {
        let busy = self.busy();
        let number = self.oracle().draw_state();
        let begun = self.begin(Change::State(number));
        match store.set_state(items::state(number)).await {
            Ok(()) => {
                begun.done()?;
                if busy.is_alone() && items::state_number(&store.state()) != Some(number) {
                    self.broken(Promise::P6, "the user's own bytes are not those that were set");
                }
                self.check()
            }
            Err(error) => begun.failed(&error, busy.was_alone(), "set_state"),
        }
    }

    pub(super) async fn reopen_section(&self, store: &RawOversized, section: u64) -> Step {
        let busy = self.busy();
        self.oracle().reopening(section);
        match store.reopen_section(section).await {
            Ok(()) => {
                self.check()?;
                if !busy.is_alone() {
                    return Err(Stop::Reopen);
                }
                match self.shown_section(store, section, 0).await {
                    Ok(ids) => {
                        self.check()?;
                        if !busy.is_alone() {
                            return Err(Stop::Reopen);
                        }
                        self.oracle().reopened(section, &ids);
                        self.durable_len(&busy, store, section).await
                    }
                    Err(error) => {
                        self.explain(&error, busy.is_alone(), "a look at a section that was reopened")?;
                        Err(Stop::Reopen)
                    }
                }
            }
            Err(error) => {
                let right = self.oracle().explains(&error);
                self.explain(&error, busy.is_alone(), "reopen_section")?;
                // What it shows now was not seen: the whole store is looked at.
                if right { Ok(()) } else { Err(Stop::Reopen) }
            }
        }
    }
}
