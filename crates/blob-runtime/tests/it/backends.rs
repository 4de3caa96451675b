//! The contract suite over files, on the pool and inline, and over the simulated machine; and over both with a mistake
//! planted, which the suite has to find.

use std::any::Any;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use blob_runtime::contract::{self, Counts, Edit, Entry, Files, Harness};
use blob_runtime::file::{Call, Event, Hook, Io, Verdict};
use blob_runtime::sim::{self, Bug, Crash, Cut, Fault, Sim, SimStorage};
use blob_runtime::{Error, FileStorage, Operation, Storage};
use futures::executor::block_on;

/// Counts syncs, fails what it is told to, and leaves out the syncs it was planted to forget, below one root.
#[derive(Default)]
struct Watch {
    state: Mutex<(Counts, Vec<Operation>)>,
    forgets: Option<Operation>,
}

fn kind(call: &Call<'_>) -> Option<Operation> {
    Some(match call {
        Call::Open => Operation::Open,
        Call::Create => Operation::Create,
        Call::Mkdir => Operation::CreateDirectory,
        Call::Read { .. } => Operation::Read,
        Call::Write { .. } => Operation::Write,
        Call::Resize { .. } => Operation::Resize,
        Call::Fdatasync | Call::Syncfs => Operation::Sync,
        Call::FsyncDirectory => Operation::SyncDirectory,
        Call::Unlink | Call::Rmdir => Operation::Remove,
        Call::List => Operation::List,
        _ => return None,
    })
}

impl Hook for Watch {
    fn before(&self, event: &Event<'_>) -> Verdict {
        if self.forgets.is_some() && kind(&event.call) == self.forgets {
            return Verdict::Skip;
        }
        let mut state = self.state.lock().unwrap();
        match event.call {
            Call::Fdatasync => state.0.files += 1,
            Call::FsyncDirectory => state.0.directories += 1,
            Call::Syncfs => state.0.file_systems += 1,
            _ => {}
        }
        let fails = kind(&event.call).and_then(|kind| state.1.iter().position(|fault| *fault == kind));
        match fails {
            Some(at) => {
                state.1.remove(at);
                Verdict::Fail(std::io::Error::from_raw_os_error(5))
            }
            None => Verdict::Proceed,
        }
    }
}

struct FileHarness {
    io: Io,
    directory: tempfile::TempDir,
    roots: Mutex<BTreeMap<PathBuf, Arc<Watch>>>,
    forgets: Option<Operation>,
}

impl FileHarness {
    fn new(io: Io, forgets: Option<Operation>) -> Self {
        Self { io, directory: tempfile::tempdir().unwrap(), roots: Mutex::default(), forgets }
    }

    fn open(&self, root: PathBuf, read_only: bool) -> Result<Arc<dyn Storage>, Error> {
        let watch = Arc::new(Watch { forgets: self.forgets, ..Watch::default() });
        let hook: Arc<dyn Hook> = watch.clone();
        let storage = FileStorage::builder(root).io(self.io).read_only(read_only).hook(hook).open()?;
        self.roots.lock().unwrap().insert(storage.root().to_owned(), watch);
        Ok(Arc::new(storage))
    }

    fn root(storage: &Arc<dyn Storage>) -> PathBuf {
        let any: &dyn Any = storage.as_ref();
        any.downcast_ref::<FileStorage>().unwrap().root().to_owned()
    }

    fn watch(&self, storage: &Arc<dyn Storage>) -> Arc<Watch> {
        Arc::clone(&self.roots.lock().unwrap()[&Self::root(storage)])
    }
}

#[async_trait]
impl Harness for FileHarness {
    async fn fresh(&self) -> Result<Arc<dyn Storage>, Error> {
        let number = self.roots.lock().unwrap().len();
        self.open(self.directory.path().join(number.to_string()), false)
    }

    async fn reopen(&self, storage: Arc<dyn Storage>) -> Option<Result<Arc<dyn Storage>, Error>> {
        let root = Self::root(&storage);
        drop(storage);
        Some(self.open(root, false))
    }

    async fn read_only(&self, storage: Arc<dyn Storage>) -> Option<Result<Arc<dyn Storage>, Error>> {
        let root = Self::root(&storage);
        drop(storage);
        Some(self.open(root, true))
    }

    fn fail_next(&self, storage: &Arc<dyn Storage>, operation: Operation) -> bool {
        self.watch(storage).state.lock().unwrap().1.push(operation);
        true
    }

    fn counts(&self, storage: &Arc<dyn Storage>) -> Option<Counts> {
        Some(std::mem::take(&mut self.watch(storage).state.lock().unwrap().0))
    }

    async fn edit(
        &self,
        storage: Arc<dyn Storage>,
        partition: &str,
        edit: &mut Edit<'_>,
    ) -> Option<Result<Arc<dyn Storage>, Error>> {
        let root = Self::root(&storage);
        drop(storage);
        let directory = root.join(partition);
        let mut files = Files::new();
        for entry in std::fs::read_dir(&directory).into_iter().flatten() {
            let entry = entry.unwrap();
            let content = match entry.file_type().unwrap().is_dir() {
                true => Entry::Directory,
                false => Entry::File(std::fs::read(entry.path()).unwrap()),
            };
            files.insert(entry.file_name().into_string().unwrap(), content);
        }
        let before = files.clone();
        edit(&mut files);
        std::fs::create_dir_all(&directory).unwrap();
        for (name, _) in before.iter().filter(|(name, entry)| files.get(*name) != Some(*entry)) {
            let path = directory.join(name);
            std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir(&path)).unwrap();
        }
        for (name, entry) in files.iter().filter(|(name, entry)| before.get(*name) != Some(*entry)) {
            match entry {
                Entry::File(bytes) => std::fs::write(directory.join(name), bytes).unwrap(),
                Entry::Directory => std::fs::create_dir(directory.join(name)).unwrap(),
            }
        }
        Some(self.open(root, false))
    }
}

/// Runs the suite; answers the promises that were broken, each once.
fn files(io: Io, forgets: Option<Operation>) -> Vec<String> {
    let mut broken = Vec::new();
    for (promise, case) in contract::cases() {
        let harness = FileHarness::new(io, forgets);
        if let Err(violation) = block_on(contract::run_matching(&harness, |of, name| of == promise && name == case)) {
            broken.push(violation.to_string());
        }
    }
    broken
}

#[test]
fn files_inline() {
    assert_eq!(files(Io::Inline, None), [] as [String; 0]);
}

#[test]
fn files_on_the_pool() {
    assert_eq!(files(Io::Pool, None), [] as [String; 0]);
}

/// Files whose syncs are left out: what counts them tells.
#[test]
fn files_that_forget_a_sync_are_found() {
    for operation in [Operation::Sync, Operation::SyncDirectory] {
        let broken = files(Io::Inline, Some(operation));
        assert!(
            broken.iter().any(|violation| violation.starts_with("promise durable.new is broken")),
            "{operation}: {broken:#?}"
        );
    }
}

struct SimHarness(Sim, Mutex<Counts>);

impl SimHarness {
    fn now(&self) -> Counts {
        let counts = self.0.counts();
        Counts {
            files: counts.performed(Operation::Sync),
            directories: counts.performed(Operation::SyncDirectory),
            file_systems: 0,
        }
    }

    async fn crash(&self, storage: Arc<dyn Storage>, crash: Crash) -> Option<Result<Arc<dyn Storage>, Error>> {
        drop(storage);
        self.0.crash(crash);
        self.0.yield_now().await;
        Some(Ok(self.0.storage()))
    }
}

#[async_trait]
impl Harness for SimHarness {
    async fn fresh(&self) -> Result<Arc<dyn Storage>, Error> {
        Ok(self.0.storage())
    }

    async fn pass_time(&self) -> bool {
        self.0.yield_now().await;
        true
    }

    async fn reopen(&self, storage: Arc<dyn Storage>) -> Option<Result<Arc<dyn Storage>, Error>> {
        for _ in 0..2_000 {
            self.0.yield_now().await;
        }
        self.crash(storage, Crash::Kill).await
    }

    async fn read_only(&self, storage: Arc<dyn Storage>) -> Option<Result<Arc<dyn Storage>, Error>> {
        let any: &dyn Any = storage.as_ref();
        Some(Ok(any.downcast_ref::<SimStorage>().unwrap().read_only()))
    }

    async fn power_cut(&self, storage: Arc<dyn Storage>) -> Option<Result<Arc<dyn Storage>, Error>> {
        let cut = if self.0.seed().is_multiple_of(3) { Cut::LoseAll } else { Cut::Random };
        self.crash(storage, Crash::Power(cut)).await
    }

    async fn kill(&self, storage: Arc<dyn Storage>) -> Option<Result<Arc<dyn Storage>, Error>> {
        self.crash(storage, Crash::Kill).await
    }

    fn fail_next(&self, _: &Arc<dyn Storage>, operation: Operation) -> bool {
        self.0.faults().inject(Fault::eio(operation));
        true
    }

    fn counts(&self, _: &Arc<dyn Storage>) -> Option<Counts> {
        let now = self.now();
        let before = std::mem::replace(&mut *self.1.lock().unwrap(), now);
        Some(Counts {
            files: now.files - before.files,
            directories: now.directories - before.directories,
            file_systems: 0,
        })
    }
}

/// Runs the suite on the simulated machine; answers what was broken.
fn simulated(seeds: std::ops::Range<u64>, bug: Option<Bug>) -> Vec<String> {
    let mut broken = Vec::new();
    for (promise, case) in contract::cases() {
        for seed in seeds.clone() {
            let report = sim::run(seed, async |sim| {
                if let Some(bug) = bug {
                    sim.plant(bug);
                }
                let harness = SimHarness(sim, Mutex::default());
                contract::run_matching(&harness, |of, name| of == promise && name == case).await
            });
            if let Err(violation) = report {
                broken.push(format!("seed {seed}: {violation}"));
                break;
            }
        }
    }
    broken
}

#[test]
fn the_simulated_machine() {
    assert_eq!(simulated(0..20, None), [] as [String; 0]);
}

#[test]
fn every_planted_bug_is_found() {
    for bug in [
        Bug::ForgetDirectorySync,
        Bug::ForgetRootSync,
        Bug::ForgetDataSync,
        Bug::ForgetHeader,
        Bug::ForgetRemovalSync,
        Bug::ForgetPoison,
        Bug::LateWriteAfterDrop,
        Bug::UnorderedChanges,
        Bug::ShortRead,
        Bug::IgnoreClaim,
    ] {
        assert_ne!(simulated(0..4, Some(bug)), [] as [String; 0], "{bug:?}");
    }
}
