//! What is known of a partition: its names, and which of them are in use.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use rustix::fs::FileType;

use super::dir_sync::{Dir, UNKNOWN};
use super::inner::Inner;
use super::root::Root;
use super::sys::{Listed, describe};
use crate::error::{Error, Operation, Target};
use crate::name::{BlobId, Salt, parse_file_name};
use crate::queue::{Queue, Ticket};
use crate::sync::{Mutex, lock};

#[cfg(test)]
mod tests;

/// A partition, whether its directory exists or not.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) name: Arc<str>,
    /// Durability of the blobs' names.
    pub(super) dir: Dir,
    /// The generation of the root's entries that has this directory.
    pub(super) made: AtomicU64,
    /// The generation of the latest removal. A name is created only when removals are durable: otherwise the file of
    /// an earlier life might come back beside the new one.
    pub(super) removed: AtomicU64,
    /// Held while the directory is listed or changed, never during a sync.
    pub(super) structure: Mutex<()>,
    index: Mutex<Index>,
    /// Opens and removals, one at a time for each name.
    turns: Mutex<HashMap<Box<[u8]>, Waiting>>,
}

#[derive(Debug, Default)]
struct Index {
    /// Whether the rest is what the directory has. Not while something unexpected is in it: it may be moved away.
    listed: bool,
    /// Whether it was ever listed.
    is_known: bool,
    exists: bool,
    entries: BTreeMap<Box<[u8]>, Entry>,
    /// Blobs' names that something else than a regular file has, and what that is.
    unexpected: BTreeMap<Box<[u8]>, &'static str>,
    foreign: Vec<OsString>,
}

/// Who wants to open or remove a name.
#[derive(Debug, Default)]
struct Waiting {
    queue: Queue,
    /// Those who wait, and the one whose turn it is.
    users: usize,
}

/// A name that has a file, or two.
#[derive(Debug, Default)]
struct Entry {
    salts: Vec<Salt>,
    /// The generation of the directory that has the name.
    generation: u64,
    /// What the next handle shares: while there are handles, unsynced writes, or a file that is kept open.
    live: Option<Arc<Inner>>,
    /// Shared by all that were ever opened on the file.
    removed: Weak<AtomicBool>,
}

/// The right to open or remove a name. The next one gets it when this is dropped.
#[derive(Debug)]
#[must_use = "dropping it lets the next one in"]
pub(super) struct Turn {
    partition: Arc<Partition>,
    name: Box<[u8]>,
    ticket: Option<Ticket>,
}

impl Partition {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            dir: Dir::new(),
            made: AtomicU64::new(UNKNOWN),
            removed: AtomicU64::new(UNKNOWN),
            structure: Mutex::default(),
            index: Mutex::default(),
            turns: Mutex::default(),
        }
    }

    pub(super) fn target(&self) -> Target {
        Target::Partition(Arc::clone(&self.name))
    }

    /// Waits for the turn to open or remove a name.
    pub(super) async fn turn(self: &Arc<Self>, name: &[u8]) -> Turn {
        let queue = {
            let mut turns = lock(&self.turns);
            let waiting = turns.entry(name.into()).or_default();
            waiting.users += 1;
            waiting.queue.clone()
        };
        let mut turn = Turn { partition: Arc::clone(self), name: name.into(), ticket: None };
        turn.ticket = Some(queue.enter().await);
        turn
    }

    /// Reads the directory, unless that was done and nothing unexpected found.
    pub(super) fn ensure_listed(&self, root: &Root) -> Result<(), Error> {
        if lock(&self.index).listed {
            return Ok(());
        }
        self.list(root)
    }

    /// Reads the directory.
    pub(super) fn list(&self, root: &Root) -> Result<(), Error> {
        let _structure = lock(&self.structure);
        let listed = match root.open_partition(self) {
            Ok(dir) => root
                .with_descriptor(|| root.sys.list(dir.as_fd(), || root.path_of(&self.name)))
                .map_err(|source| Error::io(Operation::List, self.target(), None, source))
                .map(Some)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(root.explain_partition(self, error)),
        };
        // What is there at the first listing was made by others; so was what comes to light later, but since then.
        let generation = if self.with_index(|index| index.is_known) { self.dir.changed() } else { UNKNOWN };
        let mut index = lock(&self.index);
        let known_foreign = index.foreign.len();
        index.take_in(listed, generation);
        if index.foreign.len() > known_foreign {
            // Not their names: a copy of one of our files has its salt in it.
            tracing::warn!(partition = %self.name, count = index.foreign.len(), "left foreign files alone");
        }
        Ok(())
    }

    fn with_index<T>(&self, look: impl FnOnce(&mut Index) -> T) -> T {
        look(&mut lock(&self.index))
    }

    pub(super) fn is_listed(&self) -> bool {
        self.with_index(|index| index.listed)
    }

    pub(super) fn exists(&self) -> bool {
        self.with_index(|index| index.exists)
    }

    /// Notes that the directory was made (or removed) by this process, under the lock on `structure`.
    pub(super) fn set_exists(&self, exists: bool) {
        self.with_index(|index| index.exists = exists);
    }

    /// All names, sorted.
    ///
    /// # Errors
    /// [`Error::Unexpected`]: leaving out what is no regular file would make it look like a missing blob.
    pub(super) fn names(&self, root: &Root) -> Result<Vec<Vec<u8>>, Error> {
        self.with_index(|index| match index.unexpected.first_key_value() {
            Some((name, found)) => Err(unexpected(&BlobId::new(&root.shown, &self.name, name)?, found)),
            None => Ok(index.entries.keys().map(|name| name.to_vec()).collect()),
        })
    }

    /// Paths that are not of our form.
    pub(super) fn foreign(&self, root: &Root) -> Vec<PathBuf> {
        let dir = root.path_of(&self.name);
        self.with_index(|index| index.foreign.iter().map(|name| dir.join(name)).collect())
    }

    /// The salts of the files of this name, sorted.
    ///
    /// # Errors
    /// [`Error::Unexpected`].
    pub(super) fn salts(&self, id: &BlobId) -> Result<Vec<Salt>, Error> {
        self.with_index(|index| match index.unexpected.get(id.name()) {
            Some(found) => Err(unexpected(id, found)),
            None => Ok(index.entries.get(id.name()).map(|entry| entry.salts.clone()).unwrap_or_default()),
        })
    }

    /// What the next handle of the name will share.
    pub(super) fn live(&self, name: &[u8]) -> Option<Arc<Inner>> {
        self.with_index(|index| index.entries.get(name).and_then(|entry| entry.live.clone()))
    }

    /// The same, with one more user, who is to be counted off again.
    pub(super) fn use_live(&self, name: &[u8]) -> Option<Arc<Inner>> {
        self.with_index(|index| {
            let live = index.entries.get(name)?.live.as_ref()?;
            live.users.fetch_add(1, Ordering::AcqRel);
            Some(Arc::clone(live))
        })
    }

    /// What tells all handles of the file, also those of before a failed sync, that it was removed.
    pub(super) fn removed_flag(&self, name: &[u8]) -> Arc<AtomicBool> {
        self.with_index(|index| {
            let Some(entry) = index.entries.get_mut(name) else { return Arc::default() };
            entry.removed.upgrade().unwrap_or_else(|| {
                let flag = Arc::default();
                entry.removed = Arc::downgrade(&flag);
                flag
            })
        })
    }

    /// The generation of the directory that has this name.
    pub(super) fn generation(&self, name: &[u8]) -> u64 {
        self.with_index(|index| index.entries.get(name).map(|entry| entry.generation)).unwrap_or(UNKNOWN)
    }

    /// Adds a file that was created, under the lock on `structure`.
    pub(super) fn created(&self, name: &[u8], salt: Salt) {
        let generation = self.dir.changed();
        self.with_index(|index| {
            let entry = index.entries.entry(name.into()).or_default();
            entry.generation = generation;
            entry.salts.push(salt);
        });
    }

    /// Shares a blob with later handles.
    pub(super) fn share(&self, inner: &Arc<Inner>) {
        self.with_index(|index| {
            if let Some(entry) = index.entries.get_mut(inner.id.name()) {
                entry.live = Some(Arc::clone(inner));
            }
        });
    }

    /// Takes out a file that was removed, under the lock on `structure`.
    pub(super) fn unlinked(&self, name: &[u8], salt: Salt) {
        self.with_index(|index| {
            let Some(entry) = index.entries.get_mut(name) else { return };
            entry.salts.retain(|other| *other != salt);
            if entry.live.as_ref().is_some_and(|live| live.salt == salt) {
                entry.live = None;
            }
            if entry.salts.is_empty() {
                index.entries.remove(name);
            }
        });
    }

    /// Later handles do not share this one.
    pub(super) fn stop_sharing(&self, inner: &Arc<Inner>) {
        self.with_index(|index| {
            if let Some(entry) = index.entries.get_mut(inner.id.name())
                && entry.live.as_ref().is_some_and(|live| Arc::ptr_eq(live, inner))
            {
                entry.live = None;
            }
        });
    }

    /// Closes and forgets a blob that nobody uses, unless it has unsynced writes: those are kept for the next handle
    /// to sync, or for the close of the file.
    pub(super) fn forget_if_unused(&self, inner: &Arc<Inner>) {
        let mut index = lock(&self.index);
        // Under this lock no first user is added.
        if inner.users.load(Ordering::Acquire) > 0 || !inner.is_forgettable() {
            return;
        }
        let live = index.entries.get_mut(inner.id.name()).map(|entry| &mut entry.live);
        let forgotten = live.and_then(|live| live.take_if(|live| Arc::ptr_eq(live, inner)));
        drop(index);
        drop((forgotten, inner.take_file()));
    }

    /// Forgets all blobs, which know their partition as it knows them.
    pub(super) fn clear(&self) {
        let index = std::mem::take(&mut *lock(&self.index));
        drop(index);
    }
}

impl Index {
    /// Replaces what is known by what the directory has; `None`: there is none.
    fn take_in(&mut self, listed: Option<Vec<Listed>>, generation: u64) {
        self.is_known = true;
        self.exists = listed.is_some();
        self.unexpected.clear();
        self.foreign.clear();
        let mut entries: BTreeMap<Box<[u8]>, Entry> = BTreeMap::new();
        for Listed { name, kind } in listed.unwrap_or_default() {
            let Some((blob, salt)) = name.to_str().and_then(parse_file_name) else {
                self.foreign.push(name);
                continue;
            };
            if kind == FileType::RegularFile {
                entries.entry(blob.into()).or_default().salts.push(salt);
            } else {
                self.unexpected.insert(blob.into(), describe(kind));
            }
        }
        for (name, entry) in &mut entries {
            entry.generation = generation;
            entry.salts.sort_unstable();
            if let Some(old) = self.entries.get_mut(name)
                && old.salts.iter().any(|salt| entry.salts.contains(salt))
            {
                entry.generation = old.generation;
                entry.live = old.live.take();
                entry.removed = std::mem::take(&mut old.removed);
            }
        }
        self.foreign.sort_unstable();
        self.entries = entries;
        self.listed = self.unexpected.is_empty();
    }
}

fn unexpected(id: &BlobId, found: &'static str) -> Error {
    Error::Unexpected { path: id.to_string().into(), found }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.ticket = None;
        let mut turns = lock(&self.partition.turns);
        if let Some(waiting) = turns.get_mut(&self.name) {
            waiting.users -= 1;
            if waiting.users == 0 {
                turns.remove(&self.name);
            }
        }
    }
}
