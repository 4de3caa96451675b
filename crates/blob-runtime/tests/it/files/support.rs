//! A hook that writes down each call and breaks the ones it is told to, and small helpers.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex};

use blob_runtime::file::{Call, Event, Hook, Verdict};
use blob_runtime::{Blob, Error, FileStorage, Format, Io, Kind, Operation, Storage, StoreId, Target, Want};
use bytes::Bytes;
use futures::executor::block_on;
use tempfile::TempDir;

pub(super) const BOTH: [Io; 2] = [Io::Pool, Io::Inline];
pub(super) const HEADER: u64 = blob_runtime::HEADER_BYTES as u64;

/// Numbers of `errno.h` that are the same on every Linux.
pub(super) const EINTR: i32 = 4;
pub(super) const EIO: i32 = 5;
pub(super) const EMFILE: i32 = 24;
pub(super) const ENOSPC: i32 = 28;

pub(super) fn format() -> Format {
    Format::new(Kind::USER, Want::Exactly(StoreId(7)))
}

pub(super) fn bytes(text: &'static str) -> Vec<Bytes> {
    vec![Bytes::from_static(text.as_bytes())]
}

pub(super) fn open(storage: &FileStorage, name: &str) -> Arc<dyn Blob> {
    block_on(storage.open("p", name.as_bytes(), &format())).unwrap()
}

pub(super) fn read_all(blob: &dyn Blob) -> Bytes {
    block_on(blob.read_at(0, usize::try_from(blob.len()).unwrap())).unwrap()
}

/// What a hook does to the calls that match.
#[derive(Clone)]
enum Action {
    Fail(i32),
    Skip,
    Block(Gate),
}

#[derive(Clone)]
struct Rule {
    start: String,
    once: bool,
    action: Action,
}

#[derive(Default)]
struct State {
    calls: Vec<String>,
    rules: Vec<Rule>,
}

/// Writes calls down as text, without salts: `write p/61 0+4099`, `fsync p`, `fsync .` (the root), `fsync ..`.
#[derive(Clone)]
pub(super) struct Watch {
    root: PathBuf,
    state: Arc<Mutex<State>>,
}

impl Watch {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: std::path::absolute(root).unwrap(), state: Arc::default() }
    }

    pub(super) fn hook(&self) -> Arc<dyn Hook> {
        Arc::new(self.clone())
    }

    /// The calls since the last time this was asked.
    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().calls)
    }

    /// How many of the calls since the last `take` start like this.
    pub(super) fn count(&self, start: &str) -> usize {
        self.state.lock().unwrap().calls.iter().filter(|call| call.starts_with(start)).count()
    }

    /// The next call that starts like this fails, and the rule is spent.
    pub(super) fn fail_next(&self, start: &str, errno: i32) {
        self.rule(start, true, Action::Fail(errno));
    }

    /// All calls that start like this fail, until `heal`.
    pub(super) fn fail_all(&self, start: &str, errno: i32) {
        self.rule(start, false, Action::Fail(errno));
    }

    /// The next call that starts like this is not made and counts as done.
    pub(super) fn skip_next(&self, start: &str) {
        self.rule(start, true, Action::Skip);
    }

    /// The next call that starts like this waits at the gate.
    pub(super) fn block_next(&self, start: &str) -> Gate {
        let gate = Gate::default();
        self.rule(start, true, Action::Block(gate.clone()));
        gate
    }

    pub(super) fn heal(&self) {
        self.state.lock().unwrap().rules.clear();
    }

    fn rule(&self, start: &str, once: bool, action: Action) {
        self.state.lock().unwrap().rules.push(Rule { start: start.into(), once, action });
    }

    /// A path below the root, a blob's without its salt.
    fn place(&self, path: &Path) -> String {
        match path.strip_prefix(&self.root) {
            Ok(below) if below.as_os_str().is_empty() => ".".into(),
            Ok(below) => match below.to_string_lossy().rsplit_once('.') {
                Some((blob, _)) => blob.into(),
                None => below.to_string_lossy().into(),
            },
            Err(_) if self.root.parent() == Some(path) => "..".into(),
            Err(_) => path.file_name().unwrap_or_default().to_string_lossy().into(),
        }
    }
}

impl Hook for Watch {
    fn before(&self, event: &Event<'_>) -> Verdict {
        let place = self.place(event.path);
        let call = match event.call {
            Call::Open => format!("open {place}"),
            Call::Create => format!("create {place}"),
            Call::Mkdir => format!("mkdir {place}"),
            Call::Read { offset, len } => format!("read {place} {offset}+{len}"),
            Call::Write { offset, len, data } => {
                assert_eq!(data.iter().map(|part| part.len() as u64).sum::<u64>(), len);
                format!("write {place} {offset}+{len}")
            }
            Call::Resize { len } => format!("resize {place} {len}"),
            Call::Fdatasync => format!("fdatasync {place}"),
            Call::FsyncDirectory => format!("fsync {place}"),
            Call::Syncfs => format!("syncfs {place}"),
            Call::Unlink => format!("unlink {place}"),
            Call::Rmdir => format!("rmdir {place}"),
            Call::List => format!("list {place}"),
            other => panic!("a call without a name: {other:?}"),
        };
        let action = {
            let mut state = self.state.lock().unwrap();
            state.calls.push(call.clone());
            let at = state.rules.iter().position(|rule| call.starts_with(&rule.start));
            at.map(|at| if state.rules[at].once { state.rules.remove(at) } else { state.rules[at].clone() })
        };
        match action.map(|rule| rule.action) {
            None => Verdict::Proceed,
            Some(Action::Fail(errno)) => Verdict::Fail(io::Error::from_raw_os_error(errno)),
            Some(Action::Skip) => Verdict::Skip,
            Some(Action::Block(gate)) => {
                gate.pass();
                Verdict::Proceed
            }
        }
    }
}

/// Holds a call until it is opened.
#[derive(Clone, Default)]
pub(super) struct Gate(Arc<(Mutex<(bool, bool)>, Condvar)>);

impl Gate {
    fn pass(&self) {
        let mut state = self.0.0.lock().unwrap();
        state.0 = true;
        self.0.1.notify_all();
        while !state.1 {
            state = self.0.1.wait(state).unwrap();
        }
    }

    /// Waits until a call stands at the gate.
    pub(super) fn wait_reached(&self) {
        let mut state = self.0.0.lock().unwrap();
        while !state.0 {
            state = self.0.1.wait(state).unwrap();
        }
    }

    pub(super) fn open(&self) {
        self.0.0.lock().unwrap().1 = true;
        self.0.1.notify_all();
    }
}

/// A root below a fresh directory, and a watch over it.
pub(super) fn watched() -> (TempDir, PathBuf, Watch) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    let watch = Watch::new(&root);
    (dir, root, watch)
}

/// Every path below a directory, with kind, mode and bytes: equal only when nothing was changed.
pub(super) fn snapshot(dir: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut all = BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(at) = left.pop() {
        for entry in std::fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            let found = std::fs::symlink_metadata(&path).unwrap();
            let content = match found.is_file() {
                true => std::fs::read(&path).unwrap(),
                false => Vec::new(),
            };
            if found.is_dir() {
                left.push(path.clone());
            }
            all.insert(path, (found.mode(), content));
        }
    }
    all
}

/// The files of a partition, by name.
pub(super) fn files_in(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Asserts that it is an `Io` of this operation with this number.
#[track_caller]
pub(super) fn assert_io<T: std::fmt::Debug>(result: Result<T, Error>, wanted: Operation, errno: i32) {
    match result {
        Err(Error::Io { operation, source, .. }) => {
            assert_eq!((operation, source.raw_os_error()), (wanted, Some(errno)));
        }
        other => panic!("expected {wanted:?} to fail with {errno}, found {other:?}"),
    }
}

/// Asserts that it is `Poisoned` over this operation's failure with this number.
#[track_caller]
pub(super) fn assert_poisoned<T: std::fmt::Debug>(
    result: Result<T, Error>,
    wanted: &Target,
    operation: Operation,
    errno: i32,
) {
    match result {
        Err(Error::Poisoned { target, source }) => {
            assert_eq!(&target, wanted);
            assert_io::<()>(Err((*source).clone()), operation, errno);
        }
        other => panic!("expected {wanted} to be poisoned, found {other:?}"),
    }
}

pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether this process is the one that `in_child` has started.
pub(super) fn child_root() -> Option<PathBuf> {
    std::env::var_os("BLOB_RUNTIME_CHILD_ROOT").map(PathBuf::from)
}

/// Runs one test of this binary again in a process of its own, which finds `root` in `child_root`.
pub(super) fn in_child(test: &str, root: &Path, adjust: impl FnOnce(&mut Command)) -> (ExitStatus, String) {
    // A copy that everybody may run: the build folder may be closed to other users.
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let program = dir.path().join("it");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mut command = Command::new(&program);
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env("BLOB_RUNTIME_CHILD_ROOT", root);
    command.current_dir("/");
    adjust(&mut command);
    let output = command.output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("running 1 test"), "no test is called {test}: {text}");
    (output.status, text)
}

/// Opens storage that another thread is about to let go of.
pub(super) fn open_when_unlocked(root: &Path) -> FileStorage {
    loop {
        match FileStorage::open(root) {
            Err(Error::Locked { .. }) => std::thread::yield_now(),
            result => return result.unwrap(),
        }
    }
}

/// All names of the partition `p`.
pub(super) fn scan(storage: &FileStorage) -> Vec<String> {
    let names = block_on(storage.scan("p")).unwrap();
    names.into_iter().map(|name| String::from_utf8(name).unwrap()).collect()
}
