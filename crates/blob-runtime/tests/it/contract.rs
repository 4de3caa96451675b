//! The contract suite over the backends that are at hand, and the suite's own manners.

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use blob_runtime::contract::{self, Ability, Counts, Edit, Harness, Outcome, Report};
use blob_runtime::{Error, MemoryStorage, Operation, Routed, Storage};
use futures::executor::{LocalPool, block_on};
use futures::task::LocalSpawnExt;

use crate::disk::{DiskHarness, Flaw};

/// Runs the suite with a plain closure.
fn passes(fresh: impl Fn() -> Arc<dyn Storage> + Send + Sync) -> Report {
    block_on(contract::run(fresh)).unwrap_or_else(|violation| panic!("{violation}"))
}

fn passes_on(harness: &dyn Harness) -> Report {
    block_on(contract::run_on(harness)).unwrap_or_else(|violation| panic!("{violation}"))
}

fn cases(report: &Report) -> Vec<(&'static str, &'static str)> {
    report.lines().iter().map(|line| (line.promise.id, line.case)).collect()
}

/// A disk that keeps everything it promises, with every ability: no case is skipped, no promise unchecked.
#[test]
fn disk() {
    let report = passes_on(&DiskHarness::new(Flaw::None, |_| true));
    assert_eq!(report.skipped().count(), 0, "{report}");
    let mut promises: Vec<_> = contract::PROMISES.iter().map(|promise| promise.id).collect();
    promises.sort_unstable();
    assert_eq!(report.checked(), promises);
}

/// A case left out in silence would be believed to be checked: a plain closure gets every case listed, and each
/// promise that it cannot show is named.
#[test]
fn memory() {
    let report = passes(|| Arc::new(MemoryStorage::new()));
    assert_eq!(cases(&report), cases(&passes_on(&DiskHarness::new(Flaw::None, |_| true))));
    let unchecked = [
        "durable",
        "durable.loss",
        "durable.new",
        "failure.change",
        "failure.directory",
        "failure.kind",
        "failure.read",
        "failure.reopen",
        "failure.sync",
        "name.file",
        "open.cost",
        "open.io",
        "open.twins",
        "open.unexpected",
        "read_only",
        "remove.durable",
        "remove.foreign",
        "scan.error",
        "sync_many",
    ];
    assert_eq!(report.unchecked(), unchecked);
}

/// A case that names the wrong ability as the one it lacks sends its reader the wrong way: with just that one missing,
/// the same cases are skipped, and they name it.
#[test]
fn each_ability_by_itself() {
    let all = passes_on(&DiskHarness::new(Flaw::None, |_| true));
    type Able = fn(Ability) -> bool;
    let without: [(Ability, Able); 7] = [
        (Ability::Reopen, |ability| ability != Ability::Reopen),
        (Ability::ReadOnly, |ability| ability != Ability::ReadOnly),
        (Ability::PowerCut, |ability| ability != Ability::PowerCut),
        (Ability::Kill, |ability| ability != Ability::Kill),
        (Ability::Counts, |ability| ability != Ability::Counts),
        (Ability::Edit, |ability| ability != Ability::Edit),
        (Ability::FailNext(Operation::Sync), |ability| ability != Ability::FailNext(Operation::Sync)),
    ];
    for (lacking, able) in without {
        let report = passes_on(&DiskHarness::new(Flaw::None, able));
        assert_eq!(cases(&report), cases(&all));
        assert!(report.skipped().count() > 0, "{lacking}");
        assert!(
            report.lines().iter().all(|line| [Outcome::Checked, Outcome::Skipped(lacking)].contains(&line.outcome))
        );
        let table = report.to_string();
        assert!(table.contains(&format!("the harness cannot {lacking}")), "{table}");
    }
}

/// A simulated machine has one disk, so whoever runs each case on a machine of its own must be able to: one case asks
/// for storage once, whatever came before it.
#[test]
fn each_case_by_itself() {
    for (promise, name) in contract::cases() {
        let harness = DiskHarness::new(Flaw::None, |_| true);
        let report = block_on(contract::run_matching(&harness, |of, case| of == promise && case == name));
        let report = report.unwrap_or_else(|violation| panic!("{violation}"));
        assert_eq!(cases(&report), [(promise.id, name)]);
        assert_eq!(harness.made(), 1, "{promise}: {name}");
    }
}

/// The suite must not starve or block other tasks of a single-threaded executor, nor need them.
#[test]
fn beside_another_task_of_one_thread() {
    let mut pool = LocalPool::new();
    let suite = pool
        .spawner()
        .spawn_local_with_handle(async {
            contract::run_on(&DiskHarness::new(Flaw::None, |_| true)).await.map(|report| cases(&report).len())
        })
        .unwrap();
    let other = pool.spawner().spawn_local_with_handle(contract::run(|| Arc::new(MemoryStorage::new()))).unwrap();
    let (suite, other) = pool.run_until(futures::future::join(suite, other));
    assert_eq!(suite.unwrap_or_else(|violation| panic!("{violation}")), cases(&other.unwrap()).len());
}

/// Every second partition of the suite is elsewhere.
const ELSEWHERE: [&str; 14] = [
    "life",
    "order",
    "writes",
    "cut",
    "new",
    "many-b",
    "model-a-0",
    "model-b-1",
    "model-odd",
    "files",
    "files-b",
    "claims",
    "scan-",
    "beside",
];

fn routed(default: Arc<dyn Storage>, elsewhere: &Arc<dyn Storage>) -> Routed {
    ELSEWHERE
        .into_iter()
        .fold(Routed::new(default), |routed, partition| routed.partition(partition, Arc::clone(elsewhere)))
}

#[test]
fn routed_over_memory() {
    let memory = || Arc::new(MemoryStorage::new()) as Arc<dyn Storage>;
    passes(move || Arc::new(routed(memory(), &memory())));
}

/// Two disks of one machine: what happens to the machine happens to both.
struct TwoDisks(DiskHarness);

impl TwoDisks {
    fn both(storage: &Arc<dyn Storage>) -> [Arc<dyn Storage>; 2] {
        let any: &dyn Any = storage.as_ref();
        let routed: &Routed = any.downcast_ref().unwrap();
        ["default", ELSEWHERE[0]].map(|partition| Arc::clone(routed.route(partition)))
    }

    fn join(
        default: Option<Result<Arc<dyn Storage>, Error>>,
        elsewhere: Option<Result<Arc<dyn Storage>, Error>>,
    ) -> Option<Result<Arc<dyn Storage>, Error>> {
        Some(Ok(Arc::new(routed(default?.unwrap(), &elsewhere?.unwrap()))))
    }
}

#[async_trait]
impl Harness for TwoDisks {
    async fn fresh(&self) -> Result<Arc<dyn Storage>, Error> {
        Ok(Arc::new(routed(self.0.fresh().await?, &self.0.fresh().await?)))
    }

    async fn reopen(&self, storage: Arc<dyn Storage>) -> Option<Result<Arc<dyn Storage>, Error>> {
        let [default, elsewhere] = Self::both(&storage);
        Self::join(self.0.reopen(default).await, self.0.reopen(elsewhere).await)
    }

    async fn read_only(&self, storage: Arc<dyn Storage>) -> Option<Result<Arc<dyn Storage>, Error>> {
        let [default, elsewhere] = Self::both(&storage);
        Self::join(self.0.read_only(default).await, self.0.read_only(elsewhere).await)
    }

    async fn power_cut(&self, storage: Arc<dyn Storage>) -> Option<Result<Arc<dyn Storage>, Error>> {
        let [default, elsewhere] = Self::both(&storage);
        Self::join(self.0.power_cut(default).await, self.0.power_cut(elsewhere).await)
    }

    async fn kill(&self, storage: Arc<dyn Storage>) -> Option<Result<Arc<dyn Storage>, Error>> {
        let [default, elsewhere] = Self::both(&storage);
        Self::join(self.0.kill(default).await, self.0.kill(elsewhere).await)
    }

    /// The cases of failures use partitions of the default storage.
    fn fail_next(&self, storage: &Arc<dyn Storage>, operation: Operation) -> bool {
        let [default, _] = Self::both(storage);
        self.0.fail_next(&default, operation)
    }

    fn counts(&self, storage: &Arc<dyn Storage>) -> Option<Counts> {
        let [a, b] = Self::both(storage).map(|storage| self.0.counts(&storage));
        let (a, b) = (a?, b?);
        Some(Counts {
            files: a.files + b.files,
            directories: a.directories + b.directories,
            file_systems: a.file_systems + b.file_systems,
        })
    }

    async fn edit(
        &self,
        storage: Arc<dyn Storage>,
        partition: &str,
        edit: &mut Edit<'_>,
    ) -> Option<Result<Arc<dyn Storage>, Error>> {
        let [default, elsewhere] = Self::both(&storage);
        if ELSEWHERE.contains(&partition) {
            return Self::join(self.0.reopen(default).await, self.0.edit(elsewhere, partition, edit).await);
        }
        Self::join(self.0.edit(default, partition, edit).await, self.0.reopen(elsewhere).await)
    }
}

#[test]
fn routed_over_two_disks() {
    let report = passes_on(&TwoDisks(DiskHarness::new(Flaw::None, |_| true)));
    assert_eq!(report.skipped().count(), 0, "{report}");
}
