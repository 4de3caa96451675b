use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use futures::FutureExt as _;

use super::*;
use crate::Item;
use crate::catalog::{Scale, workloads};

/// What is wrong with an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// A read gives the value of another item.
    WrongValue,
    /// A lookup gives the number of another item.
    WrongRecord,
    /// A replay leaves the last item out.
    ShortReplay,
    /// A pruning keeps what it was to drop.
    NothingDropped,
}

type Store = BTreeMap<(u64, u64), (u64, &'static [u8])>;

/// An engine in memory, with a fault; it writes down the calls that make something durable.
struct Memory {
    store: Rc<RefCell<Store>>,
    fault: Fault,
    calls: Rc<RefCell<Vec<&'static str>>>,
}

impl Memory {
    fn new(fault: Fault) -> Self {
        Self { store: Rc::default(), fault, calls: Rc::default() }
    }

    fn call(&self, name: &'static str) {
        self.calls.borrow_mut().push(name);
    }

    fn find(&self, place: Place) -> Result<(u64, &'static [u8])> {
        let found = self.store.borrow().get(&(place.section, place.position)).copied();
        found.ok_or_else(|| "there is no such item".into())
    }
}

impl Opener for Memory {
    type Engine = Self;

    async fn open(&self, _: &Path) -> Result<Self> {
        Ok(Self { store: self.store.clone(), fault: self.fault, calls: self.calls.clone() })
    }
}

impl Engine for Memory {
    async fn append(&mut self, run: Run) -> Result<()> {
        let items = run.map(|item| ((item.section, item.position), (item.id, item.value)));
        self.store.borrow_mut().extend(items);
        Ok(())
    }

    async fn sync(&mut self) -> Result<()> {
        self.call("sync");
        Ok(())
    }

    async fn commit(&mut self, item: Item) -> Result<()> {
        self.call("commit");
        self.store.borrow_mut().insert((item.section, item.position), (item.id, item.value));
        Ok(())
    }

    async fn write_together(&mut self, writers: Writers) -> Result<Vec<u64>> {
        let shared = RefCell::new(self);
        writers
            .futures(|item| shared.borrow_mut().commit(item).now_or_never().map_or_else(unready, std::future::ready))
            .await
    }

    async fn read(&mut self, place: Place, look: impl FnOnce(u64, &[u8])) -> Result<()> {
        let (id, value) = self.find(place)?;
        look(id, if self.fault == Fault::WrongValue { &[] } else { value });
        Ok(())
    }

    async fn entry(&mut self, place: Place) -> Result<u64> {
        let (id, _) = self.find(place)?;
        Ok(if self.fault == Fault::WrongRecord { id + 1 } else { id })
    }

    async fn replay_entries(&mut self, mut look: impl FnMut(u64)) -> Result<()> {
        self.replay_values(|id, _| look(id)).await
    }

    async fn replay_values(&mut self, mut look: impl FnMut(u64, &[u8])) -> Result<()> {
        let store = self.store.borrow();
        let left_out = usize::from(self.fault == Fault::ShortReplay);
        let wrong: &[u8] = &[];
        for (id, value) in store.values().take(store.len() - left_out) {
            look(*id, if self.fault == Fault::WrongValue { wrong } else { value });
        }
        Ok(())
    }

    async fn prune(&mut self, min: u64) -> Result<()> {
        if self.fault != Fault::NothingDropped {
            self.store.borrow_mut().retain(|(section, _), _| *section >= min);
        }
        Ok(())
    }

    async fn close(self) -> Result<()> {
        self.call("close");
        Ok(())
    }
}

fn unready() -> std::future::Ready<Result<()>> {
    std::future::ready(Err("a commit in memory waits for nothing".into()))
}

/// Runs both phases of a workload and returns how the second ended.
fn run(memory: &Memory, workload: &Workload) -> Result<Ended> {
    let directory = tempfile::tempdir()?;
    let job =
        |phase| Job { engine: "memory".into(), workload: workload.clone(), directory: directory.path().into(), phase };
    drive(memory, &job(Phase::Prepare)).now_or_never().ok_or("it waits")??;
    drive(memory, &job(Phase::Measure)).now_or_never().ok_or("it waits")?
}

fn find(id: &str) -> Workload {
    workloads(Scale::Quick).into_iter().find(|workload| workload.id == id).unwrap()
}

#[test]
fn every_workload_is_measured() {
    for workload in workloads(Scale::Quick) {
        let memory = Memory::new(Fault::None);
        let Ended::Measured(outcome) = run(&memory, &workload).unwrap() else {
            panic!("{workload:?} was not measured")
        };
        assert_eq!((&*outcome.engine, &outcome.workload), ("memory", &workload.id));
        let counted = match workload.action {
            Action::Reopen { .. } => Some(1),
            Action::Prune(min) => Some(min),
            Action::ReplayEntries | Action::ReplayValues => None,
            _ if workload.operations > 0 => Some(workload.operations),
            _ => Some(workload.shape.total_items()),
        };
        match counted {
            Some(count) => assert_eq!(outcome.operations, count, "{workload:?}"),
            None => assert!(outcome.operations.is_multiple_of(workload.shape.total_items()), "{workload:?}"),
        }
        assert!(outcome.elapsed_ns > 0 && outcome.peak_memory_bytes > 0, "{outcome:?}");
    }
}

/// An engine that gives back something else is fast and useless; it must not come out as measured.
#[test]
fn an_engine_that_lies_is_caught() {
    let wrong = "section 0 did not give back what was appended at 0";
    let cases = [
        ("read-4k", Fault::WrongValue, wrong),
        ("reopen-sections", Fault::WrongValue, wrong),
        ("entry", Fault::WrongRecord, wrong),
        ("replay-values", Fault::WrongValue, "a wrong value came back for item 9999"),
        ("replay-values", Fault::ShortReplay, "a replay gave 9999 items, 0 of them out of order"),
        ("replay-entries", Fault::ShortReplay, "a replay gave 39999 items, 0 of them out of order"),
        ("prune", Fault::NothingDropped, "a dropped section is still there"),
    ];
    for (id, fault, message) in cases {
        let error = run(&Memory::new(fault), &find(id)).unwrap_err();
        assert_eq!(error.to_string(), message, "{id} {fault:?}");
    }
}

/// After an unclean stop the last items were never synced, and nothing was closed: otherwise recovery has nothing to do.
#[test]
fn an_unclean_stop_leaves_unsynced_items() {
    let workload = find("reopen-unclean");
    let directory = tempfile::tempdir().unwrap();
    let job = Job {
        engine: "memory".into(),
        workload: workload.clone(),
        directory: directory.path().into(),
        phase: Phase::Prepare,
    };
    let memory = Memory::new(Fault::None);
    assert!(matches!(drive(&memory, &job).now_or_never(), Some(Ok(Ended::Unclean))));
    assert_eq!(*memory.calls.borrow(), ["sync"]);
    assert_eq!(memory.store.borrow().len() as u64, workload.shape.total_items() + UNSYNCED);

    let clean = find("reopen-sections");
    let job = Job { workload: clean.clone(), ..job };
    let memory = Memory::new(Fault::None);
    assert!(matches!(drive(&memory, &job).now_or_never(), Some(Ok(Ended::Prepared))));
    assert_eq!(*memory.calls.borrow(), ["sync", "close"]);
    assert_eq!(memory.store.borrow().len() as u64, clean.shape.total_items());
}

/// Commits count one by one, and warming up is not among those that are timed.
#[test]
fn commits_are_timed_one_by_one() {
    let memory = Memory::new(Fault::None);
    let Ended::Measured(outcome) = run(&memory, &find("commit-256")).unwrap() else { panic!("not measured") };
    assert_eq!(outcome.latencies.unwrap().count, 300);
    let calls = memory.calls.borrow();
    assert_eq!(calls.iter().filter(|call| **call == "commit").count() as u64, 300 + WARM_UP);
}
