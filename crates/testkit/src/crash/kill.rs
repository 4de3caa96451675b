//! Real files and a real process, which is killed.
//!
//! ```text
//!  parent                                   child: works on the store from several threads
//!    │ starts it, waits for some time          │ writes a line to a pipe before each operation, and one when it is
//!    │ or for a line that says "at a point"  ◀─┤ told the end of it
//!    │ SIGKILL                                 ▼
//!    │ feeds the lines to the oracle, opens the store, and compares
//!    └─ again, on what is there now
//! ```
//!
//! A killed process leaves its writes in the page cache, so what is tested is what the process itself leaves half done:
//! P1, P9 and P10 at the kill, P2, P3 and P6 in what is shown. Threads and the kernel decide what happens when, so a seed
//! repeats what is asked for and not what comes of it; the log of a run that fails is told whole.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use blob_runtime::{FileStorage, Storage};
use futures::executor::block_on;
use futures::{StreamExt, TryStreamExt};
use oversized::{Config, Error, RawOversized, last_bytes};

use super::items;
use super::oracle::{Checked, Oracle, Promise, Violation};
use super::world::Shown;

mod child;
mod note;
mod point;

pub use child::{Task, work};
pub use point::{Point, Syscall};

use note::{Ledger, Note};

/// Bytes of a record.
const RECORD_BYTES: usize = 36;

/// Lives of one store: each ends with a kill.
const LIVES: u32 = 4;

/// The latest moment of a kill at random, counted from the start of the process, in microseconds.
const LATEST_US: u64 = 40_000;

/// A point that is not reached by then is not on the way.
const POINT_LIMIT: Duration = Duration::from_millis(400);

/// What came of the kills of one store.
#[derive(Debug, Clone, Default)]
pub struct Killed {
    /// Processes killed.
    pub kills: u64,
    /// Of these at a point, by its name.
    pub points: BTreeMap<String, u64>,
    /// Second writers that were refused.
    pub refused: u64,
    /// Operations that were acknowledged.
    pub acknowledged: u64,
    /// How often each promise was put to the test.
    pub checked: Checked,
    /// The first broken promise.
    pub violation: Option<Violation>,
    /// All that the processes have said, when a promise was broken.
    pub story: Vec<String>,
    /// Where the store is, when a promise was broken: it stays for a look.
    pub root: Option<PathBuf>,
}

/// Works on one store and kills whoever does. `program` starts the child: [`work`] has to come of its arguments.
///
/// # Errors
/// When a process or a directory cannot be made.
pub fn kill(seed: u64, program: &dyn Fn() -> Command) -> std::io::Result<Killed> {
    let root = std::env::temp_dir().join(format!("test-crash-kill-{}-{seed}", std::process::id()));
    std::fs::create_dir_all(&root)?;
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut run = Run { root: root.clone(), oracle: Oracle::new(false, false), killed: Killed::default() };
    for _ in 0..LIVES {
        run.life(&mut rng, program)?;
        if run.oracle.violation().is_some() {
            break;
        }
    }
    let Run { oracle, mut killed, .. } = run;
    killed.checked = oracle.checked;
    killed.violation = oracle.violation().cloned();
    match killed.violation {
        None => {
            killed.story.clear();
            std::fs::remove_dir_all(&root)?;
        }
        Some(_) => {
            killed.story.push(format!("the store is in {}", root.display()));
            killed.root = Some(root);
        }
    }
    Ok(killed)
}

struct Run {
    root: PathBuf,
    oracle: Oracle,
    killed: Killed,
}

impl Run {
    fn life(&mut self, rng: &mut fastrand::Rng, program: &dyn Fn() -> Command) -> std::io::Result<()> {
        let point = rng.bool().then(|| Point::draw(rng));
        let task = Task {
            root: self.root.clone(),
            seed: rng.u64(..),
            next_id: self.oracle.drawn(),
            next_state: self.oracle.drawn_states(),
            reopen: rng.bool(),
            point,
        };
        let mut command = program();
        command.args(task.to_args()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let lines = lines(&mut child);
        let limit = match point {
            Some(_) => POINT_LIMIT,
            None => Duration::from_micros(rng.u64(..LATEST_US)),
        };
        let mut notes = Vec::new();
        let point_reached = wait(&lines, limit, &mut notes);
        let opened = notes.iter().any(|note| matches!(note, Note::Opened));
        if opened && !task.reopen && rng.u8(..4) == 0 {
            self.second_writer();
        }
        // SIGKILL, on every Unix.
        child.kill()?;
        child.wait()?;
        self.killed.kills += 1;
        if let Some(name) = point_reached {
            *self.killed.points.entry(name).or_default() += 1;
        }
        notes.extend(lines.iter());
        self.killed.story.push(format!("a process: {task:?}"));
        let mut ledger = Ledger::default();
        for note in notes {
            self.killed.story.push(note.to_string());
            self.killed.acknowledged += u64::from(ledger.enter(note, &mut self.oracle));
        }
        ledger.killed(&mut self.oracle);
        self.killed.story.push(format!("killed; {}", self.oracle));
        if self.oracle.violation().is_none() {
            self.reopen(rng.bool());
        }
        Ok(())
    }

    fn config() -> Config {
        Config::new("blocks").page_bytes(64)
    }

    fn storage(&self) -> Result<Arc<dyn Storage>, Error> {
        Ok(Arc::new(FileStorage::open(&self.root)?))
    }

    fn open(&self) -> Result<RawOversized, Error> {
        block_on(RawOversized::open(self.storage()?, Self::config(), RECORD_BYTES, last_bytes))
    }

    /// P10: beside a writer of another process.
    fn second_writer(&mut self) {
        self.oracle.checked.count(Promise::P10);
        match self.open() {
            Err(Error::Locked { .. }) => self.killed.refused += 1,
            Ok(_) => self.oracle.broken(Promise::P10, "a second writer was let in"),
            Err(error) => self.oracle.broken(Promise::P10, format!("a second writer is told {error:?}")),
        }
    }

    /// Opens the store and judges it; opened once more it shows the same and no byte of it has changed (P9).
    fn reopen(&mut self, close: bool) {
        let Some(store) = self.open_and_judge() else { return };
        if close && let Err(error) = block_on(store.close()) {
            self.oracle.broken(Promise::P12, format!("a close answers {error:?}"));
        }
        drop(store);
        let before = files(&self.root);
        let Some(store) = self.open_and_judge() else { return };
        drop(store);
        self.oracle.checked.count(Promise::P9);
        if before != files(&self.root) {
            self.oracle.broken(Promise::P9, "a second open has changed the files");
        }
    }

    fn open_and_judge(&mut self) -> Option<RawOversized> {
        let opened = self.open().and_then(|store| Ok((block_on(self.shown(&store))?, store)));
        match opened {
            Ok((shown, store)) => {
                match items::state_number(&store.state()) {
                    Some(state) => self.oracle.recovered(&shown, store.pruned_to(), state),
                    None => self.oracle.broken(Promise::P6, "the user's own bytes are in parts"),
                }
                self.oracle.violation().is_none().then_some(store)
            }
            Err(error) => {
                self.oracle.broken(Promise::P4, format!("an open answers {error:?}"));
                None
            }
        }
    }

    /// Everything the store shows, by its frames and by its index.
    async fn shown(&mut self, store: &RawOversized) -> Result<Shown, Error> {
        let mut shown: Shown = store.sections().into_iter().map(|section| (section, Vec::new())).collect();
        let Some(first) = store.oldest_section() else { return Ok(shown) };
        let mut values = store.replay_values(first, 0);
        while let Some(entry) = values.try_next().await? {
            let id = self.oracle.judge(entry.section, &entry.record, Some(&entry.value));
            shown.entry(entry.section).or_default().extend(id);
        }
        let mut records = store.replay(first, 0);
        let mut again = Shown::new();
        while let Some(entry) = records.next().await {
            let entry = entry?;
            let id = self.oracle.judge(entry.section, &entry.record, None);
            again.entry(entry.section).or_default().extend(id);
        }
        if !shown.iter().filter(|(_, ids)| !ids.is_empty()).eq(again.iter()) {
            self.oracle.broken(Promise::P3, format!("frames say {shown:?}, the index says {again:?}"));
        }
        Ok(shown)
    }
}

/// The lines of a child, as they come; the last may be cut.
fn lines(child: &mut Child) -> Receiver<Note> {
    let (sender, receiver) = channel();
    if let Some(pipe) = child.stdout.take() {
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                let note = Note::parse(&line).unwrap_or(Note::Failed { what: format!("nobody says {line:?}") });
                if sender.send(note).is_err() {
                    return;
                }
            }
        });
    }
    receiver
}

/// Takes lines until the child is at its point, answered with its name, or the time is up.
fn wait(lines: &Receiver<Note>, limit: Duration, notes: &mut Vec<Note>) -> Option<String> {
    let began = Instant::now();
    loop {
        let left = limit.saturating_sub(began.elapsed());
        match lines.recv_timeout(left) {
            Ok(note) => {
                let name = if let Note::At { name } = &note { Some(name.clone()) } else { None };
                notes.push(note);
                if name.is_some() {
                    return name;
                }
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
        }
    }
}

/// All files below a directory, with their bytes.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(bytes) = std::fs::read(&path) {
                found.insert(path, bytes);
            }
        }
    }
    found
}
