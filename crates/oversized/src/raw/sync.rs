//! Making entries durable, and the work that comes behind it.

use std::sync::Arc;

use blob_runtime::Error as StorageError;
use futures::{StreamExt, stream};

use super::{RawOversized, SYNC_CONCURRENCY};
use crate::error::Error;
use crate::metrics::add;
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
        if let Some(cause) = self.store().reopening(section) {
            return Err(Error::poisoned(section, &cause));
        }
        let open = self.existing(section).await?;
        self.sync_open(open).await
    }

    pub(super) async fn sync_open(&self, mut open: Arc<Section>) -> Result<(), Error> {
        if self.store().is_read_only() {
            return Err(Error::ReadOnly);
        }
        loop {
            open.check()?;
            if open.values.is_durable() && open.values.shut_reason().is_none() {
                // Also when nothing is left to be done: what was durable before a sync failed may be shown and not be there.
                if let Some(cause) = open.poison_cause().filter(StorageError::is_sync_failure) {
                    return Err(Error::poisoned(open.number(), &cause));
                }
                // A sync whose caller was dropped, or a checkpoint, has made it so.
                open.account();
                self.note_synced(open.number());
                return Ok(());
            }
            // Not beside a change that has failed: what it has decided would undo what is acknowledged here.
            self.store().enter().await?;
            match open.sync().await {
                // It was removed, or opened anew, meanwhile: opened anew after a failed sync, it may have lost what was to
                // be synced here.
                Err(error) if error.is_gone() => match open.poison_cause().filter(StorageError::is_sync_failure) {
                    Some(cause) => return Err(Error::poisoned(open.number(), &cause)),
                    None => open = self.existing(open.number()).await?,
                },
                result => {
                    if result.is_ok() {
                        open.count(|counters| add(&counters.syncs, 1));
                        self.note_synced(open.number());
                    }
                    self.bell().ring();
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
        let before = self.store().check_recovered();
        let dirty: Vec<_> =
            self.store().table().open().into_iter().filter(|(_, open)| !open.values.is_durable()).collect();
        self.sync_files(&dirty).await?;
        let syncs = stream::iter(dirty).map(|(_, open)| async move {
            match self.sync_open(open).await {
                // What is removed meanwhile has nothing that could become durable.
                Err(Error::Pruned { .. } | Error::SectionOutOfRange { .. }) => Ok(()),
                synced => synced,
            }
        });
        let results: Vec<_> = syncs.buffer_unordered(SYNC_CONCURRENCY).collect().await;
        // Checked first and last: one that is being opened anew then is not in the list.
        before.and(self.store().check_recovered())?;
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
    /// is otherwise done by the appends that come to it.
    ///
    /// Cancel safety: safe; what has begun runs to its end with the next change of its section.
    ///
    /// # Errors
    /// As [`sync`](Self::sync).
    pub async fn maintain(&self) -> Result<(), Error> {
        self.store().guard(u64::MAX)?;
        self.take_back_unborn().await;
        for (_, open) in self.store().table().open() {
            if open.is_checkpoint_due() {
                self.store().enter().await?;
                match open.checkpoint().await {
                    Err(error) if !error.is_gone() => return Err(error),
                    _ => {}
                }
            }
        }
        self.seal_all().await?;
        self.close_unused().await;
        Ok(())
    }
}
