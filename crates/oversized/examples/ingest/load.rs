//! Writers, sections, commits.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use indicatif::ProgressBar;
use oversized::{Error, Located};

use crate::options::Options;
use crate::print::{Failure, explain};
use crate::record::{MAX_FILE_BYTES, Store};
use crate::source::SourceFile;

/// A file whose commit has returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    pub(crate) path_hash: u128,
    pub(crate) section: u64,
    pub(crate) position: u64,
    /// CRC-32 of the bytes that were read from the file and appended.
    pub(crate) crc: u32,
}

/// What was loaded.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) time: Duration,
    /// What each commit took: its appends and its sync.
    pub(crate) commits: Vec<Duration>,
    /// CRC-32 of what was appended, by path hash.
    pub(crate) crcs: HashMap<u128, u32>,
    /// Files that could not be read, and why; their path hashes.
    pub(crate) skipped: Vec<String>,
    pub(crate) unread: Vec<u128>,
}

impl Loaded {
    fn add(&mut self, other: Self) {
        self.files += other.files;
        self.bytes += other.bytes;
        self.commits.extend(other.commits);
        self.crcs.extend(other.crcs);
        self.skipped.extend(other.skipped);
        self.unread.extend(other.unread);
    }
}

/// Why loading has stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The store has refused.
    Store(Error),
    /// Nobody listens to what is acknowledged.
    Told(io::Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl Stop {
    pub(crate) fn explain(&self, store: &Path) -> Failure {
        match self {
            Self::Store(error) => explain(error, store),
            Self::Told(error) => Failure::new(format!("cannot tell what is acknowledged: {error}")),
        }
    }
}

/// Where the next value goes.
struct Sections {
    limit: u64,
    section: u64,
    bytes: u64,
}

impl Sections {
    fn of(store: &Store, limit: u64) -> Result<Self, Error> {
        let section = store.newest_section().unwrap_or_default();
        let bytes = if store.sections().is_empty() { 0 } else { block_on(store.value_bytes(section))? };
        Ok(Self { limit, section, bytes })
    }

    /// The section for a value of so many bytes: the next one when this one would have too many.
    fn next(&mut self, len: u64) -> u64 {
        if self.bytes > 0 && self.bytes.saturating_add(len) > self.limit {
            (self.section, self.bytes) = (self.section.saturating_add(1), 0);
        }
        self.bytes = self.bytes.saturating_add(len);
        self.section
    }
}

/// Appends files, and syncs after so many. `told` gets what each commit has made durable, before the writer goes on.
/// A file that cannot be read is skipped; a store that refuses stops all writers.
pub(crate) fn load(
    store: &Store,
    files: &[&SourceFile],
    options: &Options,
    told: &(dyn Fn(&[Acknowledged]) -> io::Result<()> + Sync),
    bar: &ProgressBar,
) -> (Loaded, Result<(), Stop>) {
    let before = Instant::now();
    let sections = match Sections::of(store, options.section_bytes) {
        Ok(sections) => Mutex::new(sections),
        Err(error) => return (Loaded::default(), Err(error.into())),
    };
    let job = Job { store, files, sync_every: options.sync_every, sections, told, bar, next: AtomicUsize::new(0) };
    let stopped = AtomicBool::new(false);
    let mut all = Loaded::default();
    let mut result = Ok(());
    thread::scope(|scope| {
        let write = || {
            let mut loaded = Loaded::default();
            let result = job.write(&mut loaded, &stopped);
            stopped.fetch_or(result.is_err(), Ordering::Relaxed);
            (loaded, result)
        };
        let writers: Vec<_> = (0..options.writers).map(|_| scope.spawn(write)).collect();
        for writer in writers {
            match writer.join() {
                Ok((loaded, ended)) => {
                    all.add(loaded);
                    result = std::mem::replace(&mut result, Ok(())).and(ended);
                }
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    bar.finish_and_clear();
    all.time = before.elapsed();
    (all, result)
}

struct Job<'a> {
    store: &'a Store,
    files: &'a [&'a SourceFile],
    sync_every: u32,
    sections: Mutex<Sections>,
    told: &'a (dyn Fn(&[Acknowledged]) -> io::Result<()> + Sync),
    bar: &'a ProgressBar,
    next: AtomicUsize,
}

impl Job<'_> {
    /// One writer: takes the next file until there is none.
    fn write(&self, loaded: &mut Loaded, stopped: &AtomicBool) -> Result<(), Stop> {
        let mut commit = Vec::new();
        let mut spent = Duration::ZERO;
        while !stopped.load(Ordering::Relaxed) {
            let Some(file) = self.files.get(self.next.fetch_add(1, Ordering::Relaxed)) else { break };
            let (record, value) = match file.read(MAX_FILE_BYTES.into()) {
                Ok(read) => read,
                Err(error) => {
                    loaded.skipped.push(format!("{}: {error}", file.path.display()));
                    loaded.unread.push(file.record.path_hash);
                    continue;
                }
            };
            let crc = crc32fast::hash(&value);
            let section = self.sections.lock().unwrap_or_else(PoisonError::into_inner).next(record.len);
            let before = Instant::now();
            let appended = block_on(self.store.append(section, Located::new(record), &value))?;
            spent += before.elapsed();
            let path_hash = record.path_hash;
            commit.push(Acknowledged { path_hash, section, position: appended.position, crc });
            loaded.bytes += record.len;
            self.bar.inc(record.len);
            if commit.len() >= self.sync_every as usize {
                self.commit(&mut commit, &mut spent, loaded)?;
            }
        }
        self.commit(&mut commit, &mut spent, loaded)
    }

    /// Makes durable what this writer has appended, and tells it.
    fn commit(&self, commit: &mut Vec<Acknowledged>, spent: &mut Duration, loaded: &mut Loaded) -> Result<(), Stop> {
        if commit.is_empty() {
            return Ok(());
        }
        let mut sections: Vec<u64> = commit.iter().map(|file| file.section).collect();
        sections.dedup();
        let before = Instant::now();
        for section in sections {
            match block_on(self.store.sync(section)) {
                // A failed write has lost nothing, and the next sync tries again, without zeros ahead of the values: on
                // a disk that is almost full there may be room for these alone.
                Err(error) if error.is_transient() => block_on(self.store.sync(section))?,
                result => result?,
            }
        }
        loaded.commits.push(std::mem::take(spent) + before.elapsed());
        loaded.files += commit.len() as u64;
        loaded.crcs.extend(commit.iter().map(|file| (file.path_hash, file.crc)));
        (self.told)(commit).map_err(Stop::Told)?;
        commit.clear();
        Ok(())
    }
}
