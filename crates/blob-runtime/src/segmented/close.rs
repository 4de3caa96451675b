//! The end of a store, for now or for good.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::{StreamExt, stream};

use super::{Core, Driver, Segmented, open};
use crate::manifest::{Condition, Intent};
use crate::sync::lock;

impl<D: Driver> Segmented<D> {
    /// Ends all work: new work is refused, what has begun ends, every section is made durable and sealed, and the
    /// manifest says clean, unless something failed. Afterwards every clone answers
    /// [`Fault::Closed`](super::Fault::Closed). Again: the same answer.
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
                    None if self.core().closed.swap(true, Ordering::AcqRel) => {
                        let core = self.core();
                        return core.destroyed.get().or(core.closed_with.get()).cloned().unwrap_or(Ok(()));
                    }
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
    /// wholly gone. Again: the same answer, also from [`close`](Self::close).
    ///
    /// Cancel safety: once begun it runs to its end with the next call of this or of [`close`](Self::close), or with the
    /// next open.
    ///
    /// # Errors
    /// [`Fault`](super::Fault); what the storage answers: then the next open carries it on, and need not wait until the last
    /// handle is dropped.
    pub async fn destroy(&self) -> Result<(), D::Error> {
        let done = match self.begin_destroy().await {
            Err(error) if self.core().closed.load(Ordering::Acquire) => {
                // Another one has begun it, or has closed the store; what has begun is driven to its end.
                let running = lock(&self.0.job).clone();
                if let Some(running) = running {
                    let _ = running.await;
                }
                Err(error)
            }
            done => done,
        };
        self.core().destroyed.get().cloned().unwrap_or(done)
    }

    async fn begin_destroy(&self) -> Result<(), D::Error> {
        self.enter().await?;
        self.change(|core| async move { core.destroy().await }).await
    }
}

impl<D: Driver> Core<D> {
    /// New work is refused already. What is under way ends first, the makings of sections too: whoever is in line behind
    /// them is refused when its turn comes.
    async fn close(self: Arc<Self>) -> Result<(), D::Error> {
        self.table.quiesce().await;
        let Some(manifest) = &self.manifest else {
            self.let_go().await;
            return Ok(());
        };
        // Whoever made `dirty` durable may have been dropped before it took note of it.
        manifest.quiesce().await;
        let mut result = Ok(());
        if manifest.state().condition == Condition::Dirty {
            result = self.settle_sections().await;
            if let Some(fault) = self.fault.get() {
                result = Err(fault.clone().into());
            }
            if result.is_ok() {
                let clean = manifest.update(|state| state.condition = Condition::Clean);
                result = clean.await.map_err(D::Error::from);
            }
        } else if let Some(poison) = manifest.poison_cause() {
            // Nothing was written to any section; but what the manifest says now only the next open can tell.
            result = Err(poison.into());
        }
        self.let_go().await;
        let _ = self.closed_with.set(result.clone());
        result
    }

    /// Leaves every section durable and sealed, and out of use: nothing is appended between the one and the other. What
    /// nothing was appended to goes.
    async fn settle_sections(&self) -> Result<(), D::Error> {
        let driver = &self.driver;
        let mut result = Ok(());
        // One that could not be opened anew after a failed sync is in order only when it has been recovered.
        let unclean: Vec<u64> = lock(&self.unclean).keys().copied().collect();
        for section in unclean {
            result = result.and(self.recover_unclean(section).await);
        }
        // A caller that was dropped while it made a section has left a file without a byte: after a close in order that
        // would be damage. A creation that is still under way is on no list yet, and a removal waits for it.
        let mut left = std::mem::take(&mut *lock(&self.making));
        left.retain(|section| !self.table.contains(*section));
        let seals = stream::iter(self.table.open()).map(|(number, section)| async move {
            let hold = driver.hold(&section).await;
            let is_untouched = driver.is_untouched(&section);
            let sealed = if is_untouched { Ok(()) } else { driver.seal(&section).await };
            driver.retire(&section).await;
            drop(hold);
            sealed.map(|()| is_untouched.then_some(number))
        });
        let mut seals = seals.buffer_unordered(self.recovery_concurrency);
        while let Some(sealed) = seals.next().await {
            match sealed {
                Ok(untouched) => left.extend(untouched),
                Err(error) => result = result.and(Err(error)),
            }
        }
        drop(seals);
        for untouched in &left {
            self.table.forget(*untouched);
        }
        if !left.is_empty() {
            result = result.and(driver.remove(&left.into_iter().collect::<Vec<_>>()).await);
        }
        result
    }

    async fn destroy(self: Arc<Self>) -> Result<(), D::Error> {
        self.closed.store(true, Ordering::Release);
        let result = self.remove_all().await;
        // Whoever opens it next carries on what has failed.
        self.let_go().await;
        let _ = self.destroyed.set(result.clone());
        result
    }

    async fn remove_all(&self) -> Result<(), D::Error> {
        let manifest = self.manifest()?;
        manifest.update(|state| state.intent = Some(Intent::Destroy)).await?;
        self.table.quiesce().await;
        self.retire_sections().await;
        let mut sections = self.driver.list().await?;
        sections.reverse();
        self.driver.remove(&sections).await?;
        manifest.retire().await;
        Ok(open::destroy(&self.storage, &self.partition, &self.beside).await?)
    }

    async fn retire_sections(&self) {
        for (section, open) in self.table.open() {
            self.driver.retire(&open).await;
            self.table.close(section);
        }
    }

    /// Whoever opens the store next need not wait until the last handle is dropped: nothing is written through any of
    /// them any more.
    async fn let_go(&self) {
        self.retire_sections().await;
        if let Some(manifest) = &self.manifest {
            manifest.retire().await;
        }
        self.driver.release();
        drop(lock(&self.claim).take());
    }
}
