//! Changes of structure: prune, rewind, remove, reopen. Each is a job that lives in the store.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use futures::future::{Either, select};
use futures::{FutureExt, poll};

use super::{Core, Driver, Fault, Job, Segmented};
use crate::error::Error;
use crate::manifest::{Intent, Target};
use crate::sync::lock;

impl<D: Driver> Segmented<D> {
    /// Removes all sections below `min`; none of them can be used again, also after the store was opened anew. Whether
    /// any was there.
    ///
    /// Cancel safety: a prune that has begun runs to its end, at the latest with the next change.
    ///
    /// # Errors
    /// [`Fault`]; what the driver answers: then it is carried on by the next open.
    pub async fn prune(&self, min: u64) -> Result<bool, D::Error> {
        self.enter().await?;
        if min <= self.pruned_to() {
            return Ok(false);
        }
        let any = self.oldest().is_some_and(|oldest| oldest < min);
        self.change(move |core| async move {
            let manifest = core.manifest()?;
            manifest.update(|state| state.pruned_to = state.pruned_to.max(min)).await?;
            core.pruned_to.fetch_max(min, Ordering::AcqRel);
            let doomed: Vec<u64> = core.table.sections().into_iter().take_while(|section| *section < min).collect();
            core.settle(core.remove(&doomed).await)
        })
        .await?;
        Ok(any)
    }

    /// Cuts `section` to its first `items`, and removes all later sections when `all_later` is set. Durable and whole
    /// when it returns. A section that does not exist has no items.
    ///
    /// Cancel safety: a rewind that has begun runs to its end, at the latest with the next change.
    ///
    /// # Errors
    /// [`Fault::SectionOutOfRange`], [`Fault::ItemOutOfRange`], [`Fault::Pruned`]: nothing was changed. Behind the
    /// durable intent any failure lets nothing more be changed, until the next open carries the rewind on.
    pub async fn rewind(&self, section: u64, items: u64, all_later: bool) -> Result<(), D::Error> {
        self.enter().await?;
        self.guard(section)?;
        self.change(move |core| async move {
            let open = core.section(section, false).await?;
            let _hold = match &open {
                Some(open) => Some(core.driver.hold(open).await),
                None => None,
            };
            let len = match &open {
                Some(open) => core.driver.len(open),
                None if items > 0 => return Err(Fault::SectionOutOfRange { section }.into()),
                None => 0,
            };
            if items > len {
                return Err(Fault::ItemOutOfRange { section, position: items, len }.into());
            }
            let mut later: Vec<u64> = core.table.sections();
            later.retain(|other| all_later && *other > section);
            later.reverse();
            let target = match &open {
                Some(open) => core.driver.target(section, open, items).await?,
                None => Target { section, items: 0, values_offset: 0 },
            };
            if items == len && !later.iter().any(|other| core.has(*other)) {
                return Ok(());
            }
            let intent = if all_later { Intent::Rewind(target) } else { Intent::RewindSection(target) };
            let manifest = core.manifest()?;
            core.settle(async { Ok(manifest.update(|state| state.intent = Some(intent)).await?) }.await)?;
            core.rewinds.fetch_add(1, Ordering::AcqRel);
            let result = async {
                core.remove(&later).await?;
                if let Some(open) = &open {
                    core.driver.cut(open, items).await?;
                }
                Ok(manifest.update(|state| state.intent = None).await?)
            };
            let result = result.await;
            core.rewinds.fetch_add(1, Ordering::AcqRel);
            core.settle(result)
        })
        .await
    }

    /// Removes one section, durably. Whether it was there.
    ///
    /// Cancel safety: a removal that has begun runs to its end, at the latest with the next change.
    ///
    /// # Errors
    /// [`Fault`]; what the driver answers.
    pub async fn remove_section(&self, section: u64) -> Result<bool, D::Error> {
        self.enter().await?;
        self.guard(section)?;
        let any = self.has(section);
        self.change(move |core| async move {
            core.rewinds.fetch_add(1, Ordering::AcqRel);
            let removed = core.remove(&[section]).await;
            core.rewinds.fetch_add(1, Ordering::AcqRel);
            core.settle(removed)
        })
        .await?;
        Ok(any)
    }

    /// Closes a section that is at rest and that nobody else holds; its next use opens it again. Whether it was closed. It
    /// does no I/O, and does not make `dirty` durable: a store that is only read stays as it is.
    ///
    /// Cancel safety: once begun it runs to its end, at the latest with the next change.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn close_idle(&self, section: u64) -> Result<bool, D::Error> {
        let closed = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&closed);
        self.change(move |core| async move {
            // Whoever opens it waits; and while a change is under way appends that find it held wait for that.
            let Some(_turn) = core.table.turn(section).await else { return Ok(()) };
            let Some(open) = core.table.get(section) else { return Ok(()) };
            let _hold = core.driver.hold(&open).await;
            if !core.driver.is_at_rest(&open) {
                return Ok(());
            }
            drop(open);
            if let Some(open) = core.table.close_unshared(section) {
                // Whoever let go of it in between may have left a failure.
                if !core.driver.is_at_rest(&open) {
                    core.table.replace(section, open);
                    return Ok(());
                }
                core.driver.retire(&open).await;
                told.store(true, Ordering::Release);
            }
            Ok(())
        })
        .await?;
        Ok(closed.load(Ordering::Acquire))
    }

    /// Takes back a section that was made and to which nothing was appended; any other is left as it is. For an append that
    /// came to nothing.
    ///
    /// Cancel safety: once begun it runs to its end, at the latest with the next change.
    ///
    /// # Errors
    /// [`Fault`]; what the driver answers: the section is not there then, and what may be left of it goes at the close.
    pub async fn discard(&self, section: u64) -> Result<(), D::Error> {
        self.enter().await?;
        self.change(move |core| async move {
            let Some(_turn) = core.table.turn(section).await else { return Ok(()) };
            let Some(open) = core.table.get(section) else { return Ok(()) };
            let _hold = core.driver.hold(&open).await;
            if !core.driver.is_untouched(&open) {
                return Ok(());
            }
            core.driver.retire(&open).await;
            lock(&core.making).insert(section);
            let removed = core.driver.remove(&[section]).await;
            core.table.forget(section);
            if removed.is_ok() {
                lock(&core.making).remove(&section);
            }
            removed
        })
        .await
    }

    /// Opens a section anew after a failed sync, as an open after an unclean stop would; what it shows then is durable.
    /// One that takes changes is left as it is.
    ///
    /// Cancel safety: a reopening that has begun runs to its end, at the latest with the next use of the section.
    ///
    /// # Errors
    /// [`Fault`]; damage; what the driver answers: the next use of the section tries again.
    pub async fn reopen_section(&self, section: u64) -> Result<(), D::Error> {
        self.enter().await?;
        self.guard(section)?;
        self.change(move |core| async move {
            if let Some(open) = core.table.get(section) {
                let Some(poison) = core.driver.poison(&open) else { return Ok(()) };
                // Nothing may be written through the old one while the blob is looked at, nor later.
                lock(&core.unclean).insert(section, poison);
                core.driver.retire(&open).await;
                core.table.close(section);
            }
            match core.section(section, false).await? {
                Some(_) => Ok(()),
                None => Err(Fault::SectionOutOfRange { section }.into()),
            }
        })
        .await
    }

    /// Why a section is being opened anew, or could not be: a sync of it has failed. What was appended to it may be gone, so
    /// a sync that is asked for meanwhile cannot say that it is durable.
    pub fn reopening(&self, section: u64) -> Option<Error> {
        lock(&self.core().unclean).get(&section).cloned()
    }

    /// Whether every section that is not open may be taken for durable: whoever makes all durable must not pass over one
    /// that is opened anew after a failed sync, or could not be, nor those that a change was to remove when it failed.
    ///
    /// # Errors
    /// [`Fault::Storage`] with the poison of the first such section; [`Fault::Unfinished`].
    pub fn check_recovered(&self) -> Result<(), Fault> {
        if let Some(fault) = self.fault() {
            return Err(fault.clone());
        }
        match lock(&self.core().unclean).values().next() {
            Some(poison) => Err(Fault::Storage(poison.clone())),
            None => Ok(()),
        }
    }

    /// Counts the beginnings and ends of rewinds and removals of a section: whoever goes from one section to the next, and sees
    /// it change, may have come to one that is not the one that was there.
    pub fn rewinds(&self) -> u64 {
        self.core().rewinds.load(Ordering::Acquire)
    }

    /// Drives the change that is under way, if there is one, to its end: whoever began it may be gone. How it ended is told
    /// by the state. Whether there was one.
    ///
    /// Cancel safety: safe.
    pub async fn drive(&self) -> bool {
        let job = lock(&self.0.job).clone();
        match job {
            Some(job) => {
                drop(job.await);
                true
            }
            None => false,
        }
    }

    /// Runs `work`, which waits in line for a section, and with it the change that is under way: that may be ahead in the
    /// line, and whoever began it may be gone. One that begins later is behind.
    pub(super) async fn beside_change<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            if let Poll::Ready(output) = poll!(work.as_mut()) {
                return output;
            }
            let job = lock(&self.0.job).clone();
            match job {
                None => return work.await,
                Some(job) => match select(work.as_mut(), job).await {
                    Either::Left((output, _)) => return output,
                    // How it ended is told by the state.
                    Either::Right(_) => {}
                },
            }
        }
    }

    /// Runs `work` as the only change of structure; it lives in the store until its end.
    pub(super) async fn change<F, Fut>(&self, work: F) -> Result<(), D::Error>
    where
        F: FnOnce(Arc<Core<D>>) -> Fut,
        Fut: Future<Output = Result<(), D::Error>> + Send + 'static,
    {
        let started = loop {
            let running = {
                let mut job = lock(&self.0.job);
                self.core().check()?;
                match &*job {
                    Some(running) => running.clone(),
                    None => break self.start(&mut job, work),
                }
            };
            // How it ended is told by the state.
            let _ = running.await;
        };
        started.await
    }

    /// Starts a change; there is none under way. At its end it takes itself out.
    pub(super) fn start<F, Fut>(&self, job: &mut Option<Job<D::Error>>, work: F) -> Job<D::Error>
    where
        F: FnOnce(Arc<Core<D>>) -> Fut,
        Fut: Future<Output = Result<(), D::Error>> + Send + 'static,
    {
        self.core().ready.store(false, Ordering::Release);
        let shell = Arc::downgrade(&self.0);
        let work = work(Arc::clone(self.core()));
        let started = async move {
            let result = work.await;
            if let Some(shell) = shell.upgrade() {
                *lock(&shell.job) = None;
                shell.core.driver.changed();
            }
            result
        };
        let started = started.boxed().shared();
        *job = Some(started.clone());
        started
    }
}

impl<D: Driver> Core<D> {
    /// Removes sections. Nobody makes one of them anew before its file is gone: that one would be removed with it, under
    /// whoever has appended to it.
    async fn remove(&self, sections: &[u64]) -> Result<(), D::Error> {
        let mut turns = Vec::new();
        for section in sections {
            turns.extend(self.table.turn(*section).await);
            if let Some(open) = self.table.get(*section) {
                self.driver.retire(&open).await;
            }
            lock(&self.unclean).remove(section);
        }
        let removed = if sections.is_empty() { Ok(()) } else { self.driver.remove(sections).await };
        for section in sections {
            self.table.forget(*section);
        }
        removed
    }

    /// A failure of a change that has been decided lets nothing more be changed.
    fn settle(&self, result: Result<(), D::Error>) -> Result<(), D::Error> {
        if let Err(error) = &result {
            let _ = self.fault.set(Fault::Unfinished { cause: error.to_string() });
        }
        result
    }
}
