//! What has the store to itself: leaving and opening it, readers, second writers, faults.

use blob_runtime::Operation;
use blob_runtime::sim::Fault;
use oversized::{Error, Location, RawOversized, last_bytes};

use super::{Live, Machine, Step, Stop};
use crate::crash::oracle::Promise;
use crate::crash::script::{FaultAt, Op, Settings};
use crate::crash::world::{Change, World};

impl Machine {
    fn inject(&self, fault: FaultAt) {
        self.set_faulty();
        let faults = self.sim.faults();
        let fault = match fault {
            FaultAt::Read(n) => Fault::eio(Operation::Read).nth(n),
            FaultAt::Write(n) => Fault::eio(Operation::Write).nth(n),
            FaultAt::Sync(n) => Fault::eio(Operation::Sync).nth(n),
            FaultAt::SyncDirectory(n) => Fault::eio(Operation::SyncDirectory).nth(n),
            FaultAt::Resize(n) => Fault::eio(Operation::Resize).nth(n),
            FaultAt::Remove(n) => Fault::eio(Operation::Remove).nth(n),
            FaultAt::Create(n) => Fault::enospc(Operation::Create).nth(n),
            FaultAt::Scan(n) => Fault::eio(Operation::List).nth(n),
            FaultAt::Open(n) => Fault::error(Operation::Open, std::io::ErrorKind::Other).nth(n),
            FaultAt::Space(bytes) => return faults.space(Some(self.sim.disk().used_bytes() + bytes)),
        };
        faults.inject(fault);
    }

    fn explain_reader(&self, error: &Error, alone: bool, what: &str) -> Step {
        match error {
            Error::Stale { .. } if !alone => self.check(),
            error => self.explain(error, alone, what),
        }
    }
}

/// An append that nobody is to take.
async fn append_nothing(store: &RawOversized) -> Result<oversized::Appended, Error> {
    store.append(u64::MAX, b"", |_, _: Location, _: &mut Vec<u8>| ()).await
}

impl Live {
    /// An operation of a life: those that have the store to themselves, and all others.
    pub(super) async fn top(&mut self, op: &Op) -> Step {
        match op {
            Op::Spawn(op) => {
                let (machine, store, op) = (self.machine.clone(), self.store()?, Op::clone(op));
                let task = async move {
                    // What comes of it is told to the oracle.
                    let _ = machine.act(&store, &op).await;
                };
                self.tasks.push(self.machine.sim.spawn(task));
                Ok(())
            }
            Op::Tail { section, back, durable } => {
                let tail = self.machine.clone().tail(self.store()?, *section, *back, *durable);
                self.tasks.push(self.machine.sim.spawn(tail));
                Ok(())
            }
            Op::Fault(fault) => {
                self.machine.inject(*fault);
                Ok(())
            }
            Op::Heal => {
                self.machine.sim.faults().clear();
                Ok(())
            }
            Op::ReopenSection { section } => {
                let store = self.store()?;
                self.machine.reopen_section(&store, *section).await
            }
            Op::Reopen { close, settings } => {
                let closed = *close && self.close().await?;
                self.reopen(*settings, closed).await
            }
            Op::Destroy { settings } => self.destroy(*settings).await,
            Op::SecondWriter => self.second_writer().await,
            Op::WrongRecord { settings } => self.wrong_record(*settings).await,
            Op::Reader { settings, between } => self.reader(settings, between).await,
            op => {
                let store = self.store()?;
                self.machine.act(&store, op).await
            }
        }
    }

    /// Whether it was closed in order.
    async fn close(&mut self) -> Result<bool, Stop> {
        // What runs beside is left behind: it would be refused from here on.
        self.tasks.drain(..).for_each(|task| task.abort());
        let store = self.store()?;
        match store.close().await {
            Ok(()) => {
                self.machine.check()?;
                self.machine.oracle().all_durable();
                match append_nothing(&store).await {
                    Err(Error::Closed) => {}
                    other => self.machine.broken(Promise::P7, format!("a closed store appends: {other:?}")),
                }
                self.machine.check()?;
                Ok(true)
            }
            Err(error) => {
                let explained = self.machine.explain(&error, false, "a close");
                if explained == Err(Stop::Over) { Err(Stop::Over) } else { Ok(false) }
            }
        }
    }

    async fn destroy(&mut self, settings: Settings) -> Step {
        self.tasks.drain(..).for_each(|task| task.abort());
        let machine = self.machine.clone();
        let store = self.store()?;
        let begun = machine.begin(Change::Destroy);
        let ended = match store.destroy().await {
            Ok(()) => begun.done(),
            Err(error) => begun.failed(&error, false, "destroy"),
        };
        if ended == Err(Stop::Over) {
            return ended;
        }
        drop(store);
        self.reopen(settings, false).await
    }

    async fn second_writer(&mut self) -> Step {
        let machine = &self.machine;
        machine.oracle().checked.count(Promise::P10);
        match machine.open_once(&self.settings).await {
            Ok(_) => {
                machine.broken(Promise::P10, "a second writer was let in");
                machine.check()
            }
            Err(Error::Locked { .. }) => machine.check(),
            Err(error) => machine.explain(&error, true, "a second open"),
        }
    }

    /// The store is closed and opened with another size of records: it is told, and the store is as it was.
    async fn wrong_record(&mut self, settings: Settings) -> Step {
        let closed = self.close().await?;
        self.store = None;
        let machine = self.machine.clone();
        let is_empty = machine.oracle().worlds().iter().any(World::is_empty);
        if closed {
            machine.oracle().checked.count(Promise::P11);
            let record_bytes = machine.record_bytes + 1;
            let storage = machine.sim.storage();
            let told = match RawOversized::open(storage, machine.config(&settings), record_bytes, last_bytes).await {
                Ok(store) => {
                    let mut first = Ok(());
                    for section in store.sections() {
                        first = first.and(store.len(section).await.map(drop));
                    }
                    first
                }
                Err(error) => Err(error),
            };
            match told {
                Err(Error::FormatMismatch { .. }) => {}
                Ok(()) if is_empty => {}
                Ok(()) => machine.broken(Promise::P11, "a wrong record size was not told"),
                Err(error) => {
                    let explained = machine.explain(&error, false, "an open with a wrong record size");
                    if explained == Err(Stop::Over) {
                        return explained;
                    }
                }
            }
        }
        self.reopen(settings, closed).await
    }

    /// A reader beside the writer.
    async fn reader(&mut self, settings: &Settings, between: &[Op]) -> Step {
        let machine = self.machine.clone();
        let busy = machine.busy();
        let config = machine.config(settings).read_only(true);
        let opened = RawOversized::open(machine.sim.storage(), config, machine.record_bytes, last_bytes).await;
        let alone = busy.is_alone();
        drop(busy);
        let reader = match opened {
            Ok(reader) => reader,
            Err(error) => return machine.explain_reader(&error, alone, "an open for reading"),
        };
        let store = self.store()?;
        for op in between {
            machine.act(&store, op).await?;
        }
        drop(store);
        let busy = machine.busy();
        let alone = between.is_empty() && alone;
        match machine.shown(&reader, &busy).await {
            Ok(shown) => {
                machine.check()?;
                if alone && busy.is_alone() {
                    machine.oracle().beside(&shown);
                }
            }
            Err(error) => machine.explain_reader(&error, alone && busy.is_alone(), "a reader")?,
        }
        match append_nothing(&reader).await {
            Err(Error::ReadOnly | Error::Pruned { .. }) => {}
            other => machine.broken(Promise::P10, format!("a reader appends: {other:?}")),
        }
        machine.check()
    }
}
