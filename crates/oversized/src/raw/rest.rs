//! Work that is due: indexes to be written, sections to be sealed when newer ones have followed them.

use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

use super::RawOversized;
use crate::error::Error;

#[derive(Debug, Default)]
pub(super) struct Idle {
    /// The section that was appended to last.
    current: Option<u64>,
    resting: Vec<u64>,
}

impl RawOversized {
    /// Writes the index of every section for which that is due, and seals sections that newer ones have followed: work that
    /// is otherwise done by the appends and syncs that come to it.
    ///
    /// Cancel safety: safe; what has begun runs to its end with the next change of its section.
    ///
    /// # Errors
    /// As [`sync`](Self::sync).
    pub async fn maintain(&self) -> Result<(), Error> {
        self.store().guard(u64::MAX)?;
        for (_, open) in self.store().table().open() {
            if open.is_checkpoint_due() {
                self.store().enter().await?;
                match open.checkpoint().await {
                    Err(error) if !error.is_gone() => return Err(error),
                    _ => {}
                }
            }
        }
        while let Some(section) = self.next_idle() {
            if let Some(open) = self.store().table().get(section) {
                self.store().enter().await?;
                match open.try_seal().await {
                    Err(error) if !error.is_gone() => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Seals one section that rests; its failure is its own, and shows at its next use.
    pub(super) async fn seal_one(&self) {
        let Some(section) = self.next_idle() else { return };
        let Some(open) = self.store().table().get(section) else { return };
        if self.store().enter().await.is_ok()
            && let Err(error) = open.try_seal().await
        {
            tracing::warn!(section, %error, "a section that rests could not be sealed");
        }
    }

    /// A section that rests: durable, and not the newest any more.
    fn next_idle(&self) -> Option<u64> {
        let mut idle = self.idle();
        let table = self.store().table();
        let rests = |section: &u64| table.get(*section).is_none_or(|open| open.values.is_durable());
        let at = idle.resting.iter().position(rests)?;
        let section = idle.resting.swap_remove(at);
        self.0.resting.store(idle.resting.len(), Ordering::Release);
        Some(section)
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note_new(&self, section: u64) {
        let mut idle = self.idle();
        let before = idle.current.replace(section);
        idle.resting.extend(before.filter(|before| *before != section));
        self.0.resting.store(idle.resting.len(), Ordering::Release);
        drop(idle);
        self.0.bell.ring();
    }
}
