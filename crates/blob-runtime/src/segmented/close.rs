//! The end of a store, for now or for good.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::{StreamExt, stream};

use super::{Core, Driver, Segmented, open};
use crate::manifest::{Condition, Intent, Manifest};
use crate::queue::lock;

impl<D: Driver> Segmented<D> {
    /// Ends all work: new work is refused, what has begun ends, every section is made durable and sealed, and the
    /// manifest says clean, unless something failed. Afterwards every clone answers
    /// [`Fault::Closed`](super::Fault::Closed). Again: nothing.
    ///
    /// Cancel safety: a close that has begun runs to its end with the next call.
    ///
    /// # Errors
    /// The first failure; the store is closed all the same, and the next open recovers.
    pub async fn close(&self) -> Result<(), D::Error> {
        loop {
            let job = {
                let mut job = lock(&self.0.job);
                match &*job {
                    Some(running) => (running.clone(), self.core().closed.load(Ordering::Acquire)),
                    None if self.core().closed.swap(true, Ordering::AcqRel) => return Ok(()),
                    None => (self.start(&mut job, |core| async move { core.close().await }), true),
                }
            };
            match job {
                (closing, true) => return closing.await,
                // Another change: how it ended is told by the state.
                (other, false) => drop(other.await),
            }
        }
    }

    /// Removes the store: all its sections, then its manifest. After a crash it is wholly there or, with the next open,
    /// wholly gone.
    ///
    /// Cancel safety: once begun it runs to its end with the next call of [`close`](Self::close), or with the next open.
    ///
    /// # Errors
    /// [`Fault`](super::Fault); what the storage answers: then the next open carries it on.
    pub async fn destroy(&self) -> Result<(), D::Error> {
        self.enter().await?;
        self.change(|core| async move { core.destroy().await }).await
    }
}

impl<D: Driver> Core<D> {
    async fn close(self: Arc<Self>) -> Result<(), D::Error> {
        let mut result = Ok(());
        // Whoever made `dirty` durable may have been dropped before it took note of it.
        if let Some(manifest) = &self.manifest {
            manifest.quiesce().await;
        }
        let dirty = |manifest: &Manifest| manifest.state().condition == Condition::Dirty;
        if self.manifest.as_ref().is_some_and(dirty) {
            let driver = &self.driver;
            // One whose reopening has failed is neither open nor in order: it is recovered now, or the store is not clean.
            let unclean: Vec<u64> = lock(&self.unclean).keys().copied().collect();
            for section in unclean {
                if let Err(error) = self.open_section(section, false).await {
                    result = Err(error);
                }
            }
            let seals = stream::iter(self.table.open()).map(|(_, section)| async move { driver.seal(&section).await });
            let results: Vec<_> = seals.buffer_unordered(self.recovery_concurrency).collect().await;
            result = result.and(results.into_iter().collect());
            if let Some(fault) = self.fault.get() {
                result = Err(fault.clone().into());
            }
            if result.is_ok() {
                let clean = self.manifest()?.update(|state| state.condition = Condition::Clean);
                result = clean.await.map_err(D::Error::from);
            }
        }
        self.let_go().await;
        result
    }

    async fn destroy(self: Arc<Self>) -> Result<(), D::Error> {
        self.closed.store(true, Ordering::Release);
        self.manifest()?.update(|state| state.intent = Some(Intent::Destroy)).await?;
        for (section, open) in self.table.open() {
            self.driver.retire(&open).await;
            self.table.close(section);
        }
        let mut sections = self.driver.list().await?;
        sections.reverse();
        self.driver.remove(&sections).await?;
        open::destroy(&self.storage, &self.partition).await?;
        drop(lock(&self.claim).take());
        Ok(())
    }

    /// Whoever opens the store next need not wait until the last handle is dropped.
    async fn let_go(&self) {
        for (section, open) in self.table.open() {
            self.driver.retire(&open).await;
            self.table.close(section);
        }
        drop(lock(&self.claim).take());
    }
}
