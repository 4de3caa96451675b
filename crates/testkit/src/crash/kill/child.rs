//! The process that is killed.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use blob_runtime::file::{Event, Hook, Verdict};
use blob_runtime::{FileStorage, Io, Storage};
use clap::Args;
use futures::executor::block_on;
use oversized::{Error, Location, RawOversized, last_bytes};

use super::note::Note;
use super::point::Point;
use super::{RECORD_BYTES, Run};
use crate::crash::items::{self, Id};
use crate::crash::world::Change;

/// Threads that append, each to a section of its own.
const THREADS: u64 = 3;

/// Rounds after which a child that nobody kills ends.
const ROUNDS: usize = 200;

/// What a child is to do.
#[derive(Debug, Clone, Args)]
pub struct Task {
    /// Where the store is.
    #[arg(long)]
    pub root: PathBuf,
    /// What it does is drawn from this.
    #[arg(long)]
    pub seed: u64,
    /// The number of its first append.
    #[arg(long)]
    pub next_id: Id,
    /// The number of the user's own bytes that were set last.
    #[arg(long)]
    pub next_state: u32,
    /// Whether it closes the store and opens it again now and then.
    #[arg(long)]
    pub reopen: bool,
    /// Where it stops and says so.
    #[arg(long)]
    pub point: Option<Point>,
}

impl Task {
    pub(super) fn to_args(&self) -> Vec<String> {
        let mut args: Vec<String> = vec![format!("--root={}", self.root.display())];
        args.extend([format!("--seed={}", self.seed), format!("--next-id={}", self.next_id)]);
        args.push(format!("--next-state={}", self.next_state));
        args.extend(self.reopen.then(|| "--reopen".into()));
        args.extend(self.point.map(|point| format!("--point={point}")));
        args
    }
}

/// Says a line, whole or not at all: it is shorter than what a pipe takes at once (`PIPE_BUF`, pipe(7)).
fn say(note: &Note) {
    let line = format!("{note}\n");
    // Whoever listened is gone: there is nobody left to tell.
    let _ = std::io::stdout().lock().write_all(line.as_bytes()).and_then(|()| std::io::stdout().flush());
}

fn failed(what: &str, error: &dyn std::fmt::Debug) -> Note {
    Note::Failed { what: format!("{what} answers {error:?}").replace('\n', " ") }
}

/// Stops the process at its point.
struct Stop {
    point: Point,
    seen: AtomicU64,
    done: AtomicU64,
}

impl Stop {
    fn here(&self) {
        say(&Note::At { name: self.point.name() });
        loop {
            std::thread::park();
        }
    }
}

impl Hook for Stop {
    fn before(&self, event: &Event<'_>) -> Verdict {
        if self.point.is_of(&event.call)
            && self.seen.fetch_add(1, Ordering::Relaxed) + 1 == self.point.nth
            && !self.point.after
        {
            self.here();
        }
        Verdict::Proceed
    }

    fn after(&self, event: &Event<'_>, _: Result<(), &std::io::Error>) {
        if self.point.is_of(&event.call)
            && self.done.fetch_add(1, Ordering::Relaxed) + 1 == self.point.nth
            && self.point.after
        {
            self.here();
        }
    }
}

/// Works until it is killed, for some time at most.
pub fn work(task: &Task) -> ExitCode {
    match Worker::open(task).and_then(|worker| worker.run(task)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(note) => {
            say(&note);
            ExitCode::FAILURE
        }
    }
}

struct Worker {
    store: RawOversized,
    storage: Arc<dyn Storage>,
    next_id: Mutex<Id>,
    next_state: u32,
}

type Step = Result<(), Note>;

impl Worker {
    fn open(task: &Task) -> Result<Self, Note> {
        let storage = open_files(task)?;
        let store = open(task, &storage)?;
        say(&Note::Opened);
        Ok(Self { store, storage, next_id: Mutex::new(task.next_id), next_state: task.next_state })
    }

    fn run(mut self, task: &Task) -> Step {
        let mut rng = fastrand::Rng::with_seed(task.seed);
        for _ in 0..ROUNDS {
            let newest = self.store.newest_section().unwrap_or(0).max(self.store.pruned_to());
            // Sections come in groups, one for each thread; now and then the next group begins.
            let group = newest / THREADS + u64::from(rng.u8(..6) == 0);
            let worker = &self;
            let ended: Vec<Step> = std::thread::scope(|scope| {
                let mut threads = Vec::new();
                for (thread, section) in (group * THREADS..(group + 1) * THREADS).enumerate() {
                    let mut rng = rng.fork();
                    threads.push(scope.spawn(move || worker.turn(&mut rng, thread, section)));
                }
                let panicked = || Err(Note::Failed { what: "a thread has panicked".into() });
                threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| panicked())).collect()
            });
            ended.into_iter().collect::<Step>()?;
            self.alone(&mut rng, group, task)?;
        }
        block_on(self.store.close()).map_err(|error| failed("a close", &error))?;
        say(&Note::Closed);
        Ok(())
    }

    /// Some operations of one thread, on its own section.
    fn turn(&self, rng: &mut fastrand::Rng, thread: usize, section: u64) -> Step {
        for _ in 0..rng.usize(1..12) {
            match rng.u8(..16) {
                0..=7 => self.append(rng, thread, section, 1)?,
                8 => {
                    let count = rng.usize(2..5);
                    self.append(rng, thread, section, count)?;
                }
                9..=12 => self.sync(thread, Some(section))?,
                13 => self.sync(thread, None)?,
                14 => {
                    let len = self.len(section)?;
                    let len = len - rng.usize(..=len.min(3));
                    let change = Change::Rewind { section, len, all_later: false };
                    self.change(thread, change, || block_on(self.store.rewind_section(section, len as u64)))?;
                }
                _ => block_on(self.store.maintain()).map_err(|error| failed("maintain", &error))?,
            }
        }
        Ok(())
    }

    /// One operation that has the store to itself.
    fn alone(&mut self, rng: &mut fastrand::Rng, group: u64, task: &Task) -> Step {
        let section = group * THREADS + rng.u64(..THREADS);
        match rng.u8(..8) {
            0 => {
                let len = self.len(section)?;
                let len = len - rng.usize(..=len.min(2));
                let change = Change::Rewind { section, len, all_later: true };
                self.change(0, change, || block_on(self.store.rewind(section, len as u64)))
            }
            1 => {
                let min = group * THREADS;
                self.change(0, Change::Prune(min), || block_on(self.store.prune(min)).map(drop))
            }
            2 => self.change(0, Change::Remove(section), || block_on(self.store.remove_section(section)).map(drop)),
            3 => {
                self.next_state += 1;
                let (number, state) = (self.next_state, items::state(self.next_state));
                self.change(0, Change::State(number), || block_on(self.store.set_state(state)))
            }
            4 if task.reopen => {
                block_on(self.store.close()).map_err(|error| failed("a close", &error))?;
                say(&Note::Closed);
                self.store = open(task, &self.storage)?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn len(&self, section: u64) -> Result<usize, Note> {
        match block_on(self.store.len(section)) {
            Ok(len) => Ok(usize::try_from(len).unwrap_or(usize::MAX)),
            Err(Error::SectionOutOfRange { .. }) => Ok(0),
            Err(error) => Err(failed("len", &error)),
        }
    }

    fn append(&self, rng: &mut fastrand::Rng, thread: usize, section: u64, count: usize) -> Step {
        let most = if rng.u8(..8) == 0 { 5000 } else { 200 };
        let lens: Vec<u32> = (0..count).map(|_| rng.u32(..most)).collect();
        let ids: Vec<Id> = {
            // Said under the lock: the oracle numbers the appends as it hears of them.
            let mut next = lock(&self.next_id);
            let first = *next;
            *next += Id::try_from(count).unwrap_or(0);
            say(&Note::Append { thread, section, lens: lens.clone() });
            (first..*next).collect()
        };
        let values: Vec<_> = ids.iter().zip(&lens).map(|(id, len)| items::value(*id, *len)).collect();
        let packer = self.store.packer();
        let packed = values.iter().map(|value| packer.pack(value)).collect::<Result<Vec<_>, _>>();
        let packed = packed.map_err(|error| failed("packing", &error))?;
        let mut put = |number: usize, _: u64, location: Location, buf: &mut Vec<u8>| {
            items::put_record(ids[number], RECORD_BYTES, location, buf);
        };
        match block_on(self.store.append_packed(section, &packed, None, &mut put)) {
            Ok(first) => {
                say(&Note::Appended { thread, position: first.position });
                Ok(())
            }
            Err(error) => Err(failed("an append", &error)),
        }
    }

    fn sync(&self, thread: usize, section: Option<u64>) -> Step {
        say(&Note::Sync { thread, section });
        let synced = match section {
            Some(section) => block_on(self.store.sync(section)),
            None => block_on(self.store.sync_all()),
        };
        match synced {
            // Nothing was appended to it yet.
            Ok(()) | Err(Error::SectionOutOfRange { .. }) => say(&Note::Synced { thread }),
            Err(error) => return Err(failed("a sync", &error)),
        }
        Ok(())
    }

    fn change(&self, thread: usize, change: Change, act: impl FnOnce() -> Result<(), Error>) -> Step {
        say(&Note::Change { thread, change });
        act().map_err(|error| failed(&format!("{change:?}"), &error))?;
        say(&Note::Changed { thread });
        Ok(())
    }
}

fn open_files(task: &Task) -> Result<Arc<dyn Storage>, Note> {
    let mut builder =
        FileStorage::builder(&task.root).io(if task.seed.is_multiple_of(2) { Io::Inline } else { Io::Pool });
    if let Some(point) = task.point {
        builder = builder.hook(Arc::new(Stop { point, seen: AtomicU64::new(0), done: AtomicU64::new(0) }));
    }
    Ok(Arc::new(builder.open().map_err(|error| failed("opening the files", &error))?))
}

fn open(task: &Task, storage: &Arc<dyn Storage>) -> Result<RawOversized, Note> {
    let config = Run::config()
        .index_buffer_bytes(if task.seed.is_multiple_of(3) { 4096 } else { 200 })
        .value_buffer_bytes(if task.seed.is_multiple_of(5) { 1 << 20 } else { 600 })
        .checkpoint_bytes(if task.seed.is_multiple_of(7) { 1 << 20 } else { 3000 });
    let opened = block_on(RawOversized::open(Arc::clone(storage), config, RECORD_BYTES, last_bytes));
    opened.map_err(|error| failed("an open", &error))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
