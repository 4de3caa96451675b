//! Operations one by one, several at once, and dropped.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use futures::FutureExt;
use futures::future::{BoxFuture, Either, join_all, poll_fn, select};
use oversized::{Error, Location, RawOversized};

use super::{Busy, Machine, Step, Stop};
use crate::crash::items::{self, Id};
use crate::crash::oracle::{Promise, Since};
use crate::crash::script::Op;
use crate::crash::world::World;

/// Polls a future at most so often, then drops it.
pub(super) async fn polled<T>(polls: u32, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

impl Machine {
    /// An operation that keeps the store open.
    pub(super) fn act<'a>(&'a self, store: &'a RawOversized, op: &'a Op) -> BoxFuture<'a, Step> {
        let step = self.sim.steps();
        self.oracle().note(|_| format!("step {step}: {op:?}"));
        let act = self.act_untold(store, op);
        if !self.oracle().is_told() {
            return act;
        }
        async move {
            let result = act.await;
            let step = self.sim.steps();
            self.oracle().note(|oracle| format!("step {step}: {op:?}: {result:?}; {oracle}"));
            result
        }
        .boxed()
    }

    fn act_untold<'a>(&'a self, store: &'a RawOversized, op: &'a Op) -> BoxFuture<'a, Step> {
        match op {
            Op::Append { section, len } => self.append(store, *section, std::slice::from_ref(len), None).boxed(),
            Op::AppendAt { section, len, off } => {
                self.append(store, *section, std::slice::from_ref(len), Some(*off)).boxed()
            }
            Op::AppendAll { section, lens } => self.append(store, *section, lens, None).boxed(),
            Op::Sync { section } => self.sync(store, *section).boxed(),
            Op::SyncAll => self.sync_all(store).boxed(),
            Op::Maintain => self.maintain(store).boxed(),
            Op::WaitDurable { section, back } => self.wait_durable(store, *section, *back).boxed(),
            Op::Read { section, back } => self.read(store, *section, *back).boxed(),
            Op::ReadMany { section, back, max_bytes } => self.read_many(store, *section, *back, *max_bytes).boxed(),
            Op::Replay { section, back, values } => self.replay(store, *section, *back, *values).boxed(),
            Op::Rewind { section, back, all_later } => self.rewind(store, *section, *back, *all_later).boxed(),
            Op::Remove { section } => self.remove(store, *section).boxed(),
            Op::Prune { min } => self.prune(store, *min).boxed(),
            Op::SetState => self.set_state(store).boxed(),
            Op::Verify => self.verify(store).boxed(),
            Op::Look => self.look(store).boxed(),
            Op::Dropped { polls, op } => async move {
                self.oracle().checked.count(Promise::P7);
                polled(*polls, self.act(store, op)).await.unwrap_or(Ok(()))
            }
            .boxed(),
            Op::Together(ops) => async move {
                let ended = join_all(ops.iter().map(|op| self.act(store, op))).await;
                let mut all = Ok(());
                for one in ended {
                    all = match (all, one) {
                        (Err(Stop::Over), _) | (_, Err(Stop::Over)) => Err(Stop::Over),
                        (all, one) => all.and(one),
                    };
                }
                all
            }
            .boxed(),
            // The others are not beside anything: see `top`.
            _ => std::future::ready(Ok(())).boxed(),
        }
    }

    async fn append(&self, store: &RawOversized, section: u64, lens: &[u32], off: Option<u64>) -> Step {
        let busy = self.busy();
        let (ids, at) = {
            let mut oracle = self.oracle();
            let next = oracle.any().len(section) as u64;
            (oracle.draw(section, lens), off.map(|off| next.saturating_add(off)))
        };
        let values: Vec<_> = ids.iter().zip(lens).map(|(id, len)| items::value(*id, *len)).collect();
        let record_bytes = self.record_bytes;
        let result = match (&ids[..], &values[..], at) {
            ([id], [value], None) => {
                let id = *id;
                let put = move |_: u64, location: Location, buf: &mut Vec<u8>| {
                    items::put_record(id, record_bytes, location, buf);
                };
                store.append(section, value, put).await
            }
            _ => self.append_packed(store, section, &ids, &values, at).await,
        };
        match result {
            Ok(first) => {
                if at.is_some_and(|at| at != first.position) {
                    self.broken(Promise::P7, format!("an append for {at:?} came to lie at {}", first.position));
                }
                if self.is_up() {
                    self.oracle().appended(section, first.position, &ids);
                    self.refuses(busy.is_alone(), section, "an append");
                }
                self.check()
            }
            Err(Error::PositionMismatch { expected, found, .. }) if at == Some(expected) && expected != found => {
                let right = self.oracle().worlds().iter().any(|world| world.len(section) as u64 == found);
                if busy.is_alone() && !right {
                    self.broken(Promise::P7, format!("the next position of section {section} is said to be {found}"));
                }
                self.check()
            }
            Err(error) => {
                self.note_poison(&error, &busy.since);
                self.explain(&error, busy.is_alone(), "an append")
            }
        }
    }

    async fn append_packed(
        &self,
        store: &RawOversized,
        section: u64,
        ids: &[Id],
        values: &[bytes::Bytes],
        at: Option<u64>,
    ) -> Result<oversized::Appended, Error> {
        let packer = store.packer();
        let packed = values.iter().map(|value| packer.pack(value)).collect::<Result<Vec<_>, _>>();
        let packed = packed.map_err(|error| Error::Encode { reason: error.to_string() })?;
        let mut put = |number: usize, _: u64, location: Location, buf: &mut Vec<u8>| {
            items::put_record(ids[number], self.record_bytes, location, buf);
        };
        let first = store.append_packed(section, &packed, at, &mut put).await?;
        let each = store.each(first, &packed);
        if each.len() != ids.len() || each.first() != Some(&first) {
            self.broken(Promise::P3, format!("a batch from {first:?} on is said to lie at {each:?}"));
        }
        Ok(first)
    }

    async fn sync(&self, store: &RawOversized, section: u64) -> Step {
        let busy = self.busy();
        let when = self.oracle().now();
        match store.sync(section).await {
            Ok(()) => {
                self.check()?;
                self.refuses(busy.is_alone(), section, "a sync");
                self.oracle().acknowledged(section, when);
                if busy.is_alone() {
                    self.durable_len(&busy, store, section).await?;
                }
                self.check()
            }
            Err(error) => {
                self.note_poison(&error, &busy.since);
                self.explain(&error, busy.is_alone(), "a sync")
            }
        }
    }

    /// What the store says of itself is at least what it has acknowledged, and counts as acknowledged.
    pub(super) async fn durable_len(&self, busy: &Busy<'_>, store: &RawOversized, section: u64) -> Step {
        match store.durable_len(section).await {
            Ok(len) => {
                self.check()?;
                if !busy.is_alone() {
                    return Ok(());
                }
                let mut oracle = self.oracle();
                let of = |world: &World| world.sections.get(&section).map_or(0, |found| found.synced);
                let synced = oracle.worlds().iter().map(of).min().unwrap_or(0);
                if len < synced as u64 {
                    oracle.broken(Promise::P1, format!("{len} entries of section {section} are said to be durable"));
                }
                oracle.durable(section, len);
                drop(oracle);
                self.check()
            }
            Err(error) => self.explain(&error, busy.is_alone(), "durable_len"),
        }
    }

    /// A section that has told of a failed sync has taken this: it should have refused, until it is opened anew (I8).
    fn refuses(&self, alone: bool, section: u64, what: &str) {
        let mut oracle = self.oracle();
        if alone && oracle.is_poisoned(section) {
            oracle.broken(Promise::P1, format!("section {section} takes {what} after a failed sync"));
        }
    }

    /// What began then has told of a failed sync, if it has.
    pub(super) fn note_poison(&self, error: &Error, since: &Since) {
        if let Error::Poisoned { section, .. } = error
            && self.is_up()
        {
            self.oracle().poisoned(*section, since);
        }
    }

    async fn sync_all(&self, store: &RawOversized) -> Step {
        let busy = self.busy();
        let when = self.oracle().now();
        match store.sync_all().await {
            Ok(()) => {
                self.check()?;
                let mut oracle = self.oracle();
                let sections: Vec<u64> =
                    oracle.worlds().iter().flat_map(|world| world.sections.keys().copied()).collect();
                sections.into_iter().for_each(|section| oracle.acknowledged(section, when));
                Ok(())
            }
            Err(error) => {
                self.note_poison(&error, &busy.since);
                self.explain(&error, busy.is_alone(), "a sync of all")
            }
        }
    }

    async fn maintain(&self, store: &RawOversized) -> Step {
        let busy = self.busy();
        match store.maintain().await {
            Ok(()) => Ok(()),
            Err(error) => {
                self.note_poison(&error, &busy.since);
                self.explain(&error, busy.is_alone(), "maintain")
            }
        }
    }

    async fn wait_durable(&self, store: &RawOversized, section: u64, back: usize) -> Step {
        let busy = self.busy();
        let len = self.oracle().any().len(section);
        let Some(position) = len.checked_sub(back + 1) else { return Ok(()) };
        let mut wait = store.wait_durable(section, position as u64).boxed();
        let waited = match futures::poll!(&mut wait) {
            Poll::Ready(waited) => waited,
            Poll::Pending => {
                // Both are polled: the section may be in the middle of being opened by the first.
                let (synced, waited) = match select(wait, store.sync(section).boxed()).await {
                    Either::Left((waited, sync)) => (sync.await, Ok(waited)),
                    Either::Right((synced, wait)) => (synced, Err(wait)),
                };
                if let Err(error) = synced {
                    drop(waited);
                    self.note_poison(&error, &busy.since);
                    return self.explain(&error, busy.is_alone(), "a sync");
                }
                match waited {
                    Ok(waited) => waited,
                    // Beside a change it may have to wait for another sync.
                    Err(wait) => match busy.is_alone() {
                        true => wait.await,
                        false => return self.check(),
                    },
                }
            }
        };
        match waited {
            Ok(()) => {
                self.check()?;
                if busy.is_alone() {
                    self.oracle().durable(section, position as u64 + 1);
                }
                self.check()
            }
            Err(error) => self.explain(&error, busy.is_alone(), "wait_durable"),
        }
    }
}
