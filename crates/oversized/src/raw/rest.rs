//! Sections that newer ones have followed: when they are durable they are sealed, by whoever has the time for it.
//!
//! Never by a sync: that waits for its own section only.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::RawOversized;
use crate::error::Error;
use crate::section::Section;

/// Sections closed by one who opens another, at most: more than one, so that their number falls.
const CLOSED_AT_ONCE: usize = 2;
/// Sections looked at for that, at most.
const LOOKED_AT: usize = 32;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Resting {
    sets: Mutex<Sets>,
    /// Whether any waits for its sync; so that most syncs need no lock.
    waiting: AtomicBool,
}

#[derive(Debug, Default)]
struct Sets {
    /// The section that was begun last.
    current: Option<u64>,
    /// Not the newest any more, and not known to be durable.
    waiting: BTreeSet<u64>,
    /// Not the newest any more, and durable when they were looked at last.
    ready: BTreeSet<u64>,
}

impl Resting {
    fn change<T>(&self, change: impl FnOnce(&mut Sets) -> T) -> T {
        let mut sets: MutexGuard<'_, Sets> = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut sets);
        self.waiting.store(!sets.waiting.is_empty(), Ordering::Release);
        changed
    }
}

impl RawOversized {
    /// The first entry of a section was appended.
    pub(super) fn note_new(&self, section: u64) {
        let is_durable = |before: u64| self.store().table().get(before).is_none_or(|open| open.values.is_durable());
        let pruned_to = self.store().pruned_to();
        self.0.resting.change(|sets| {
            sets.waiting.remove(&section);
            sets.ready.remove(&section);
            while sets.waiting.first().is_some_and(|oldest| *oldest < pruned_to) {
                sets.waiting.pop_first();
            }
            if let Some(before) = sets.current.replace(section).filter(|before| *before != section) {
                // What is synced from here on takes note of it itself.
                sets.waiting.insert(before);
                if is_durable(before) {
                    sets.waiting.remove(&before);
                    sets.ready.insert(before);
                }
            }
        });
    }

    /// A sync of the section has ended well.
    pub(super) fn note_synced(&self, section: u64) {
        if !self.0.resting.waiting.load(Ordering::Acquire) {
            return;
        }
        self.0.resting.change(|sets| {
            if sets.waiting.remove(&section) {
                sets.ready.insert(section);
            }
        });
    }

    /// Seals one section that rests; its failure is its own, and shows at its next use.
    pub(super) async fn seal_one(&self) {
        let Some(section) = self.next_ready() else { return };
        if let Err(error) = self.seal_resting(section).await {
            tracing::warn!(section, %error, "a section that rests could not be sealed");
        }
    }

    /// Seals all sections that rest and are durable.
    pub(super) async fn seal_all(&self) -> Result<(), Error> {
        // Those whose sync somebody else has made: a checkpoint, a write that has grown too long.
        let table = self.store().table();
        let waiting: Vec<u64> = self.0.resting.change(|sets| sets.waiting.iter().copied().collect());
        for section in waiting {
            if table.get(section).is_none_or(|open| open.values.is_durable()) {
                self.note_synced(section);
            }
        }
        while let Some(section) = self.next_ready() {
            match self.seal_resting(section).await {
                Err(error) if !error.is_gone() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    async fn seal_resting(&self, section: u64) -> Result<(), Error> {
        let Some(open) = self.store().table().get(section) else { return Ok(()) };
        if !self.rests(&open) {
            return Ok(());
        }
        self.store().enter().await?;
        // A seal would make it one of those that are there.
        if open.is_untouched() {
            return Ok(());
        }
        open.try_seal().await.map(drop)
    }

    /// Closes sections that were not used for a while when too many are open. `seal`: those that are durable and not sealed
    /// are sealed first, one of them; otherwise this does no I/O.
    pub(super) async fn close_some(&self, seal: bool) {
        let mut seals = usize::from(seal);
        for _ in 0..CLOSED_AT_ONCE {
            let Some(open) = self.next_unused(seals > 0) else { return };
            let section = open.number();
            // One that is used after all stays, and the hand comes by again.
            let mut stays = Stays { store: self, section: Some(section) };
            // It may have been appended to since.
            if !open.values.is_sealed() {
                if seals == 0 {
                    continue;
                }
                seals -= 1;
                if let Err(error) = self.seal_resting(section).await {
                    tracing::warn!(section, %error, "a section that rests could not be sealed");
                }
            }
            drop(open);
            if matches!(self.store().close_idle(section).await, Ok(true)) {
                stays.section = None;
            }
        }
    }

    /// Closes all sections that are too many and were not used for a while.
    pub(super) async fn close_unused(&self) {
        // Twice around the clock: the first time takes the marks away.
        let rounds = 2 * self.open_count() / CLOSED_AT_ONCE + 2;
        for _ in 0..rounds {
            if self.open_count() <= self.0.open_sections {
                return;
            }
            self.close_some(true).await;
        }
    }

    fn open_count(&self) -> usize {
        self.store().driver().clock().len()
    }

    /// The next section that was not used since the hand of the clock came by, if there are too many; it is off the clock.
    fn next_unused(&self, unsealed: bool) -> Option<Arc<Section>> {
        if self.store().is_read_only() {
            return None;
        }
        let mut clock = self.store().driver().clock();
        for _ in 0..LOOKED_AT {
            if clock.len() <= self.0.open_sections {
                return None;
            }
            let section = clock.pop_front()?;
            let Some(open) = self.store().table().get(section) else { continue };
            let may_go = open.is_at_rest() || unsealed && open.values.is_durable() && open.poison_cause().is_none();
            if !open.used.swap(false, Ordering::Relaxed) && may_go {
                return Some(open);
            }
            clock.push_back(section);
        }
        None
    }

    /// Whether it is durable still; when more was appended, that is synced first, by its own sync.
    fn rests(&self, open: &Section) -> bool {
        if open.values.is_durable() {
            return true;
        }
        self.0.resting.change(|sets| sets.waiting.insert(open.number()));
        false
    }

    fn next_ready(&self) -> Option<u64> {
        self.0.resting.change(|sets| sets.ready.pop_first())
    }
}

/// A section that was taken off the clock: unless it was closed it comes back, also when whoever took it is dropped.
struct Stays<'a> {
    store: &'a RawOversized,
    section: Option<u64>,
}

impl Drop for Stays<'_> {
    fn drop(&mut self) {
        if let Some(section) = self.section {
            self.store.store().driver().clock().push_back(section);
        }
    }
}
