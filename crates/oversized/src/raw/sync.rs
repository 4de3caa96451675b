//! Making entries durable, and the work that comes behind it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use blob_runtime::Error as StorageError;
use futures::{StreamExt, stream};

use super::{RawOversized, SYNC_CONCURRENCY};
use crate::error::Error;
use crate::section::Section;

impl RawOversized {
    /// Makes a section's entries durable, records and values, with at most one write and one sync of one file for all who
    /// ask at the same time. Those are the entries that the section has when this is called: entries that another task's
    /// [`reopen_section`](Self::reopen_section) has dropped before are not among them.
    ///
    /// Cancel safety: a sync that has begun runs to its end.
    ///
    /// # Errors
    /// [`Error::SectionOutOfRange`]; [`Error::Storage`] after a failed write: its bytes stay in memory, and the next sync
    /// tries again; [`Error::Poisoned`] after a failed sync, until [`reopen_section`](Self::reopen_section).
    pub async fn sync(&self, section: u64) -> Result<(), Error> {
        let open = self.store().existing(section).await?;
        self.sync_open(open).await?;
        if self.0.resting.load(Ordering::Acquire) > 0 {
            self.seal_one().await;
        }
        Ok(())
    }

    pub(super) async fn sync_open(&self, mut open: Arc<Section>) -> Result<(), Error> {
        if self.store().is_read_only() {
            return Err(Error::ReadOnly);
        }
        loop {
            open.check()?;
            if open.values.is_durable() && open.values.shut_reason().is_none() {
                return Ok(());
            }
            // Not beside a change that has failed: what it has decided would undo what is acknowledged here.
            self.store().enter().await?;
            match open.sync().await {
                // It was removed, or opened anew, meanwhile: opened anew after a failed sync, it may have lost what was to
                // be synced here.
                Err(error) if error.is_gone() => match open.poison_cause().filter(StorageError::is_sync_failure) {
                    Some(cause) => return Err(Error::poisoned(open.number(), &cause)),
                    None => open = self.store().existing(open.number()).await?,
                },
                result => {
                    self.0.bell.ring();
                    return result;
                }
            }
        }
    }

    /// Makes all entries durable, up to 16 sections side by side; the names of new sections with one sync of their
    /// directory, however many they are.
    ///
    /// Cancel safety: a sync that has begun runs to its end.
    ///
    /// # Errors
    /// As [`sync`](Self::sync), the first failure; the other sections are synced all the same.
    pub async fn sync_all(&self) -> Result<(), Error> {
        if self.store().is_read_only() {
            return Err(Error::ReadOnly);
        }
        // Asked of any section, it says whether the store is closed.
        self.store().guard(u64::MAX)?;
        let dirty: Vec<_> =
            self.store().table().open().into_iter().filter(|(_, open)| !open.values.is_durable()).collect();
        self.sync_files(&dirty).await?;
        let syncs = stream::iter(dirty).map(|(_, open)| async move { self.sync_open(open).await });
        let results: Vec<_> = syncs.buffer_unordered(SYNC_CONCURRENCY).collect().await;
        // Checked last: one that is being opened anew meanwhile is in neither list otherwise.
        self.store().check_recovered()?;
        results.into_iter().collect()
    }

    /// Writes what waits in several sections and syncs their files together, which the storage does better than one by
    /// one. What failed is not told here: the sync of each section comes behind, finds nothing left to do where all went
    /// well, and the failure where it did not.
    async fn sync_files(&self, sections: &[(u64, Arc<Section>)]) -> Result<(), Error> {
        if sections.len() < 2 {
            return Ok(());
        }
        self.store().enter().await?;
        let opened: Vec<_> = sections.iter().map(|(_, open)| Arc::clone(open)).collect();
        let writes = stream::iter(opened).map(|open| async move {
            let written = open.values.flush().await;
            written.is_ok().then(|| Arc::clone(open.values.blob()))
        });
        let blobs: Vec<_> = writes.buffer_unordered(SYNC_CONCURRENCY).filter_map(std::future::ready).collect().await;
        drop(self.store().driver().shared().storage.sync_many(&blobs).await);
        Ok(())
    }

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
    async fn seal_one(&self) {
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
}
