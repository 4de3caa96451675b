//! Removing blobs and partitions.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use super::handles::OpenFile;
use super::inner::Inner;
use super::partition::{Partition, Turn};
use super::root::Root;
use super::sys::is_one_of;
use crate::claims::Activity;
use crate::error::{Error, Operation};
use crate::name::{BlobId, Salt, check_name, file_name};
use crate::queue::Ticket;

/// The most removed files that are held open before a batch of them is closed.
const MAX_HELD_FILES: usize = 256;

/// Removes blobs; see [`Storage::remove`](crate::Storage::remove).
pub(super) async fn remove(root: &Arc<Root>, partition: &str, names: &[Vec<u8>]) -> Result<(), Error> {
    names.iter().try_for_each(|name| check_name(name))?;
    let partition = root.partition(partition);
    run(root, partition, names.to_vec(), false).await
}

/// Removes a partition; see [`Storage::remove_partition`](crate::Storage::remove_partition).
pub(super) async fn remove_partition(root: &Arc<Root>, partition: &str) -> Result<(), Error> {
    let partition = root.partition(partition);
    let names = names(root, &partition).await?;
    run(root, partition, names, true).await
}

/// All names of a partition, sorted. Without a listing when the names are known.
pub(super) async fn names(root: &Arc<Root>, partition: &Arc<Partition>) -> Result<Vec<Vec<u8>>, Error> {
    if !root.read_only && partition.is_listed() {
        return partition.names(root);
    }
    let (shared, listed) = (Arc::clone(root), Arc::clone(partition));
    let list = move || {
        // Beside a writer a listing is out of date at once.
        if shared.read_only { listed.list(&shared) } else { listed.ensure_listed(&shared) }
    };
    root.io.run(list).await?;
    partition.names(root)
}

async fn run(root: &Arc<Root>, partition: Arc<Partition>, mut names: Vec<Vec<u8>>, whole: bool) -> Result<(), Error> {
    // In order, so that two removals never wait for each other.
    names.sort_unstable();
    names.dedup();
    let mut doomed = Vec::with_capacity(names.len());
    for name in names {
        let turn = partition.turn(&name).await;
        doomed.push(Doomed { id: BlobId::new(&root.shown, &partition.name, &name)?, changes: None, _turn: turn });
    }
    // To wait for one queue while in another is safe here: only a removal does so, and no other one has these names'
    // turns.
    for doomed in &mut doomed {
        if let Some(live) = partition.live(doomed.id.name()) {
            let ticket = live.queue.enter().await;
            doomed.changes = Some(ticket);
        }
    }
    let removal = Removal {
        root: Arc::clone(root),
        activity: root.claims.begin(&partition.name),
        partition,
        doomed,
        whole,
        held: Vec::new(),
    };
    root.io.run(move || removal.run()).await
}

/// A name that is removed. Nobody opens it, no change of it runs.
struct Doomed {
    id: BlobId,
    changes: Option<Ticket>,
    _turn: Turn,
}

/// A removal that has begun.
struct Removal {
    root: Arc<Root>,
    partition: Arc<Partition>,
    doomed: Vec<Doomed>,
    /// The partition too.
    whole: bool,
    /// Removed files that are still open. The file system frees their space when they are closed (`unlink(2)`), which
    /// takes longer than the removal of the name.
    held: Vec<Arc<OpenFile>>,
    activity: Activity,
}

impl Removal {
    fn run(mut self) -> Result<(), Error> {
        let result = self.remove();
        self.close_held();
        self.root.files.job_ended();
        let Self { root, doomed, activity, .. } = self;
        drop((doomed, activity, root));
        result
    }

    fn remove(&mut self) -> Result<(), Error> {
        let (root, partition) = (Arc::clone(&self.root), Arc::clone(&self.partition));
        partition.dir.check(|| partition.target())?;
        if self.whole {
            root.entries.check(|| root.target())?;
        }
        partition.ensure_listed(&root)?;
        let structure = crate::sync::lock(&partition.structure);
        let dir = match root.open_partition(&partition) {
            Ok(dir) => dir,
            // An earlier process may have removed it and not made that durable.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return root.sync_root(root.entries.latest()),
            Err(error) => return Err(root.explain_partition(&partition, error)),
        };
        let unlinked = self.unlink_all(&dir);
        // What was removed is made durable also when the rest could not be.
        let removed_directory = if self.whole && unlinked.is_ok() { self.rmdir() } else { Ok(false) };
        drop((structure, dir));
        let synced = match removed_directory {
            Ok(true) => root.sync_root(root.entries.latest()),
            _ => root.sync_partition(&partition, partition.removed.load(Ordering::Acquire)),
        };
        unlinked.and(synced).and(removed_directory.map(|_| ()))
    }

    fn unlink_all(&mut self, dir: &OwnedFd) -> Result<(), Error> {
        let doomed = std::mem::take(&mut self.doomed);
        let result = doomed.iter().try_for_each(|doomed| {
            let salts = self.partition.salts(&doomed.id)?;
            salts.into_iter().try_for_each(|salt| self.unlink(dir, &doomed.id, salt))
        });
        self.doomed = doomed;
        result
    }

    fn unlink(&mut self, dir: &OwnedFd, id: &BlobId, salt: Salt) -> Result<(), Error> {
        let (root, partition) = (Arc::clone(&self.root), Arc::clone(&self.partition));
        let file = file_name(id.name(), salt);
        let live = partition.live(id.name()).filter(|live| live.salt == salt);
        let held = self.hold_open(dir, &file, live.as_ref());
        let removed = partition.removed_flag(id.name());
        // Told before it is done, so that no read finds the file missing and wonders.
        removed.store(true, Ordering::Release);
        let result = root.sys.unlink(dir.as_fd(), &file, || root.path_of(&partition.name).join(&file));
        match result {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                removed.store(false, Ordering::Release);
                return Err(Error::io(Operation::Remove, id, None, error));
            }
            _ => {}
        }
        if let Some(live) = live {
            drop(live.take_file());
        }
        self.held.extend(held);
        partition.removed.store(partition.dir.changed(), Ordering::Release);
        partition.unlinked(id.name(), salt);
        Ok(())
    }

    /// The file, when it is open or can be opened without waiting for anybody. It is no loss when it cannot.
    fn hold_open(&mut self, dir: &OwnedFd, file: &str, live: Option<&Arc<Inner>>) -> Option<Arc<OpenFile>> {
        let root = Arc::clone(&self.root);
        if self.held.len() >= root.files.bound().div_ceil(2).min(MAX_HELD_FILES) {
            self.close_held();
        }
        if let Some(open) = live.and_then(|live| live.file_at_once().as_ref().map(Arc::clone)) {
            return Some(open);
        }
        let slot = root.files.slot_at_once(&root)?;
        let path = || root.path_of(&self.partition.name).join(file);
        let open = root.sys.open(dir.as_fd(), file, false, path).and_then(|file| OpenFile::new(file, slot));
        open.ok().map(Arc::new)
    }

    /// Closes the removed files, on another thread where there is one.
    fn close_held(&mut self) {
        let held = std::mem::take(&mut self.held);
        if !held.is_empty() {
            self.root.io.run_detached(move || drop(held));
        }
    }

    /// Removes the directory when nothing is left in it. Answers whether it was removed.
    fn rmdir(&self) -> Result<bool, Error> {
        let (root, partition) = (&self.root, &self.partition);
        match root.sys.rmdir(root.dir.as_fd(), &*partition.name, || root.path_of(&partition.name)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // Foreign files, or a blob that was created meanwhile (POSIX allows either error).
            Err(error) if is_one_of(&error, &[Errno::NOTEMPTY, Errno::EXIST]) => return Ok(false),
            Err(error) => return Err(Error::io(Operation::Remove, partition.target(), None, error)),
        }
        root.entries.changed();
        partition.set_exists(false);
        Ok(true)
    }
}
