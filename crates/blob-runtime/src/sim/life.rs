//! How an operation goes: issued, done in parts, completed.
//!
//! Everything an operation does goes through [`Life::part`]: one step, at which a crash may strike, one draw of a
//! fault, and one change of the disk.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::executor::{Kind, Receiver, reply};
use super::faults::{Bug, Verdict};
use super::trace::What;
use super::world::{Core, Place, World};
use crate::claims::Claims;
use crate::error::{Error, Operation, Target};
use crate::sync::lock;
use crate::yielding::yield_now;

/// One life of the machine, as the storage and its blobs hold it.
#[derive(Clone)]
pub(super) struct Life {
    pub(super) core: Arc<Core>,
    pub(super) number: u64,
    pub(super) claims: Claims,
}

impl Life {
    /// What a call answers when this life is over: to a task of it nothing any more (it is dropped when it returns to
    /// the executor), to anybody else [`Error::Closed`].
    pub(super) async fn over<T>(&self) -> Result<T, Error> {
        if self.core.executor.is_doomed() { std::future::pending().await } else { Err(Error::Closed) }
    }

    pub(super) fn is_over(&self) -> bool {
        self.core.executor.life() != self.number
    }

    /// Issues an operation: a step, then a job that runs to its end whether or not anybody waits.
    pub(super) async fn operate<T, J>(&self, operation: Operation, job: J) -> Result<T, Error>
    where
        T: Send + 'static,
        J: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let issued = {
            let mut world = lock(&self.core.world);
            let issued = self.core.step(&mut world, self.number);
            if issued {
                let (step, life) = (world.counts.steps, world.life);
                world.trace.mix(operation as u64);
                world.trace.note(step, life, || What::Issued(operation));
            }
            issued
        };
        if !issued {
            return self.over().await;
        }
        let (sender, receiver) = reply();
        let life = self.clone();
        let job = Box::pin(async move {
            let result = job.await;
            if life.complete(operation) {
                sender.send(result);
            } else {
                std::future::pending().await
            }
        });
        self.core.executor.spawn(Kind::Job, self.number, job);
        match (Wait { core: &self.core, receiver, again: false }).await {
            Some(result) => result,
            None => self.over().await,
        }
    }

    /// The last step of an operation: its caller is told.
    fn complete(&self, operation: Operation) -> bool {
        let mut world = lock(&self.core.world);
        let completed = self.core.step(&mut world, self.number);
        if completed {
            let (step, life) = (world.counts.steps, world.life);
            world.trace.note(step, life, || What::Completed(operation));
        }
        completed
    }

    /// One part of an operation: at some later moment, a step, a draw of a fault, and what `act` makes of it. Does not
    /// return when the life ends before.
    pub(super) async fn part<T>(
        &self,
        operation: Operation,
        place: Place<'_>,
        act: impl FnOnce(&mut World, Verdict) -> Result<T, Error>,
    ) -> Result<T, Error> {
        yield_now().await;
        let mut drawn = None;
        loop {
            match self.begin_part(operation, place, drawn) {
                Begun::Over => std::future::pending().await,
                Begun::Held(releases) => {
                    self.released(releases).await;
                    drawn = Some(Verdict::Go);
                }
                Begun::Go(verdict) => return self.end_part(operation, place, verdict, act),
            }
        }
    }

    fn begin_part(&self, operation: Operation, place: Place<'_>, drawn: Option<Verdict>) -> Begun {
        let mut world = lock(&self.core.world);
        let over = if drawn.is_some() { world.life != self.number } else { !self.core.step(&mut world, self.number) };
        if over {
            return Begun::Over;
        }
        let World { faults, rng, .. } = &mut *world;
        match drawn.unwrap_or_else(|| faults.judge(operation, &place, rng)) {
            Verdict::Hang => Begun::Held(faults.releases),
            verdict => Begun::Go(verdict),
        }
    }

    fn end_part<T>(
        &self,
        operation: Operation,
        place: Place<'_>,
        verdict: Verdict,
        act: impl FnOnce(&mut World, Verdict) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut world = lock(&self.core.world);
        let result = act(&mut world, verdict);
        world.counts.count(operation);
        world.trace.mix(operation as u64 + 0x100 * u64::from(result.is_ok()));
        let (step, life) = (world.counts.steps, world.life);
        match &result {
            Ok(_) => world.trace.note(step, life, || What::Performed {
                operation,
                target: place.target(),
                range: place.range(),
            }),
            Err(_) => {
                world.counts.count_failure(operation);
                world.trace.note(step, life, || What::Failed { operation, target: place.target() });
            }
        }
        result
    }

    /// Waits until what hangs is released.
    async fn released(&self, releases: u64) {
        poll_fn(|cx| {
            let faults = &mut lock(&self.core.world).faults;
            if faults.releases != releases {
                return Poll::Ready(());
            }
            faults.held.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Syncs a partition's directory, unless all its changes up to `entry` are durable, and then the root.
    pub(super) async fn sync_names(&self, partition: &Arc<str>, entry: u64) -> Result<(), Error> {
        let (behind, root_behind) = {
            let world = &mut *lock(&self.core.world);
            let forget = (world.has(Bug::ForgetDirectorySync), world.has(Bug::ForgetRootSync));
            let known = world.partition(partition);
            let (behind, root_entry, poison) = (known.synced < entry, known.entry, known.poison.clone());
            let root_behind = world.root_is_behind(root_entry);
            if let Some(poison) = poison.filter(|_| behind || root_behind) {
                return Err(Error::poisoned(Target::Partition(Arc::clone(partition)), &poison));
            }
            (behind && !forget.0, root_behind && !forget.1)
        };
        if behind {
            self.sync_directory(partition).await?;
        }
        if root_behind {
            self.sync_root(partition).await?;
        }
        Ok(())
    }

    /// Makes what was taken away from a partition, and when it is itself gone that, durable, unless it is known to be.
    pub(super) async fn sync_removals(&self, partition: &Arc<str>) -> Result<(), Error> {
        let (there, behind, root_behind) = {
            let world = &mut *lock(&self.core.world);
            let there = world.disk.directory(partition).is_some();
            let known = world.partition(partition);
            let (behind, entry) = (known.synced < known.removed, known.entry);
            (there, behind, world.root_is_behind(entry))
        };
        match there {
            true if behind => self.sync_directory(partition).await,
            false if root_behind => self.sync_root(partition).await,
            _ => Ok(()),
        }
    }

    pub(super) async fn sync_directory(&self, partition: &Arc<str>) -> Result<(), Error> {
        let act = |world: &mut World, verdict| world.sync_partition(partition, verdict);
        self.part(Operation::SyncDirectory, Place::Partition(partition), act).await
    }

    pub(super) async fn sync_root(&self, partition: &Arc<str>) -> Result<(), Error> {
        let act = |world: &mut World, verdict| world.sync_root(partition, verdict);
        self.part(Operation::SyncDirectory, Place::Root, act).await
    }
}

/// How a part begins.
enum Begun {
    Over,
    /// It hangs; the number of releases until now.
    Held(u64),
    Go(Verdict),
}

/// Waits for the end of a job. Polled again before that, it lets a job go on: a caller that polls in a loop without a
/// return to the executor makes progress too.
struct Wait<'a, T> {
    core: &'a Core,
    receiver: Receiver<T>,
    again: bool,
}

impl<T> Future for Wait<'_, T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        if std::mem::replace(&mut self.again, true) && !self.receiver.is_over() {
            self.core.executor.nudge();
        }
        self.receiver.poll(cx)
    }
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Life").field("number", &self.number).field("claims", &self.claims).finish_non_exhaustive()
    }
}
