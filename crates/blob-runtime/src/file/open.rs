//! Opening and creating blobs.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::blob::{FileBlob, Held};
use super::handles::OpenFile;
use super::inner::{Head, Inner, New};
use super::partition::{Partition, Turn};
use super::root::Root;
use crate::error::{Error, Operation};
use crate::header::{Format, HEADER_BYTES, HeaderState};
use crate::memory::{low_half, random_u64};
use crate::name::{BlobId, Salt, file_name};
use crate::storage::Blob;
use crate::twins::keep_one;

/// An open under way. Nobody else opens, creates or removes the name.
struct Opening {
    root: Arc<Root>,
    partition: Arc<Partition>,
    id: BlobId,
    format: Format,
    _turn: Turn,
}

/// What was found.
enum Found {
    Blob(FileBlob),
    /// Several files of the name, and the open that goes on when it is decided which one stays.
    Twins(Opening, Vec<(Salt, Arc<dyn Blob>)>),
}

/// Opens a blob; see [`Storage::open`](crate::Storage::open).
pub(super) async fn open(
    root: &Arc<Root>,
    partition: &str,
    name: &[u8],
    format: &Format,
) -> Result<Arc<dyn Blob>, Error> {
    let id = BlobId::new(&root.shown, partition, name)?;
    let partition = root.partition(partition);
    let turn = partition.turn(name).await;
    wait_for_poisoned(&partition, name).await;
    let opening = Opening { root: Arc::clone(root), partition, id, format: format.clone(), _turn: turn };
    match opening.run(Opening::find).await? {
        Found::Blob(blob) => Ok(Arc::new(blob)),
        Found::Twins(opening, twins) => {
            let (salts, candidates): (Vec<_>, Vec<_>) = twins.into_iter().unzip();
            let describe = |at| format!("file {} of {}", at + 1, salts.len());
            let kept = keep_one(&opening.id, &candidates, format.probe.as_ref(), describe).await?;
            drop(candidates);
            let blob = opening.run(move |opening| opening.settle(&salts, kept)).await?;
            Ok(Arc::new(blob))
        }
    }
}

/// After a failed sync the blob starts afresh, from what the file shows once all that had begun has ended.
async fn wait_for_poisoned(partition: &Partition, name: &[u8]) {
    while let Some(poisoned) = partition.live(name).filter(|live| live.is_poisoned()) {
        let drained = poisoned.queue.enter().await;
        partition.stop_sharing(&poisoned);
        drop(drained);
    }
}

impl Opening {
    /// Runs a step as a job. A claim waits for its end: it may create the blob.
    async fn run<T: Send + 'static>(
        self,
        step: impl FnOnce(Self) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let root = Arc::clone(&self.root);
        let activity = (!root.read_only).then(|| root.claims.begin(&self.partition.name));
        let io = root.io;
        let job = move || {
            let result = step(self);
            root.files.job_ended();
            drop((activity, root));
            result
        };
        io.run(job).await
    }

    fn find(self) -> Result<Found, Error> {
        if let Some(blob) = self.share()? {
            return Ok(Found::Blob(blob));
        }
        self.partition.ensure_listed(&self.root)?;
        // A listing may be out of date: beside a writer, or when somebody else has changed the directory.
        let mut fresh = false;
        loop {
            let salts = self.partition.salts(&self.id)?;
            let result = match *salts.as_slice() {
                [] if !self.format.create || self.root.read_only => self.missing(),
                [] => self.create().map(Found::Blob),
                [salt] => self.open_file(salt).map(Found::Blob),
                _ => return self.open_twins(salts),
            };
            match result {
                Err(error) if !fresh && self.is_out_of_date(&error) => {
                    self.partition.list(&self.root)?;
                    fresh = true;
                }
                result => return result,
            }
        }
    }

    fn missing(&self) -> Result<Found, Error> {
        if self.format.create {
            return Err(Error::ReadOnly { operation: Operation::Create, target: (&self.id).into() });
        }
        Err(Error::NotFound { blob: self.id.clone() })
    }

    fn is_out_of_date(&self, error: &Error) -> bool {
        match error {
            Error::NotFound { .. } | Error::ReadOnly { .. } | Error::Io { operation: Operation::Open, .. } => {
                self.root.read_only
            }
            Error::Io { operation: Operation::Create, source, .. } => source.kind() == io::ErrorKind::AlreadyExists,
            _ => false,
        }
    }

    /// Another handle of a blob that is in use. Never read-only: there each handle has what it found itself.
    fn share(&self) -> Result<Option<FileBlob>, Error> {
        let Some(inner) = self.partition.use_live(self.id.name()) else { return Ok(None) };
        let held = Held::counted(&self.root, inner);
        let Head { state, header: known } = held.inner.head();
        let salt = held.inner.salt;
        // What the file says, or will say, counts as found.
        let header = match state {
            HeaderState::Bad(_) => {
                self.format.read_header(&self.id, salt, &[], 0)?;
                self.format.header(salt)
            }
            _ => self.format.read_header(&self.id, salt, &known.encode(), HEADER_BYTES as u64)?.0,
        };
        Ok(Some(FileBlob { held, header, state }))
    }

    fn open_file(&self, salt: Salt) -> Result<FileBlob, Error> {
        let blob = self.inspect(salt, &self.format, false)?;
        if !self.root.read_only {
            self.partition.share(&blob.held.inner);
        }
        Ok(blob)
    }

    /// Opens a file and reads its header.
    fn inspect(&self, salt: Salt, format: &Format, only_read: bool) -> Result<FileBlob, Error> {
        let (root, partition) = (&self.root, &self.partition);
        let file = file_name(self.id.name(), salt);
        let opened = root
            .open_named(partition, &file)
            .map_err(|error| root.explain_file(partition, &file, &self.id, Operation::Open, error))?;
        let mut start = vec![0; HEADER_BYTES];
        let path = || root.path_of(&partition.name).join(&file);
        let read = root
            .sys
            .read(&opened, &mut start, 0, path)
            .map_err(|source| Error::io(Operation::Read, &self.id, None, source))?;
        start.truncate(read);
        let (header, state) = format.read_header(&self.id, salt, &start, opened.bytes_at_open())?;
        Ok(self.handle(salt, opened, Head { state, header }, only_read))
    }

    fn handle(&self, salt: Salt, file: OpenFile, head: Head, only_read: bool) -> FileBlob {
        let inner = Arc::new(Inner::new(
            New {
                id: self.id.clone(),
                partition: Arc::clone(&self.partition),
                salt,
                generation: self.partition.generation(self.id.name()),
                removed: self.partition.removed_flag(self.id.name()),
                head,
                only_read,
            },
            file,
        ));
        self.root.files.opened(&inner);
        FileBlob { held: Held::new(&self.root, inner), header: head.header, state: head.state }
    }

    fn create(&self) -> Result<FileBlob, Error> {
        let (root, partition) = (&self.root, &self.partition);
        partition.dir.check(|| partition.target())?;
        root.entries.check(|| root.target())?;
        if partition.exists() {
            // A removal that only the cache has could be undone by a crash, beside the new file.
            root.sync_partition(partition, partition.removed.load(Ordering::Acquire))?;
        }
        let salt = match self.format.salt {
            Some(salt) => salt,
            None => Salt(low_half(random_u64()?)),
        };
        let file = file_name(self.id.name(), salt);
        let slot = root.files.slot(root);
        let structure = crate::sync::lock(&partition.structure);
        self.make_partition()?;
        let dir = root.open_partition(partition).map_err(|error| root.explain_partition(partition, error))?;
        let path = || root.path_of(&partition.name).join(&file);
        let opened = root
            .with_descriptor(|| root.sys.create(dir.as_fd(), &file, path))
            .and_then(|file| OpenFile::new(file, slot))
            .map_err(|source| Error::io(Operation::Create, &self.id, None, source))?;
        partition.created(self.id.name(), salt);
        drop(structure);
        let head = Head { state: HeaderState::New, header: self.format.header(salt) };
        let blob = self.handle(salt, opened, head, false);
        partition.share(&blob.held.inner);
        Ok(blob)
    }

    /// Makes the partition's directory when it is missing, under the lock on `structure`.
    fn make_partition(&self) -> Result<(), Error> {
        let (root, partition) = (&self.root, &self.partition);
        if partition.exists() {
            return Ok(());
        }
        match root.sys.mkdir(root.dir.as_fd(), &*partition.name, || root.path_of(&partition.name)) {
            Ok(()) => {
                partition.made.store(root.entries.changed(), Ordering::Release);
                partition.dir.made_anew();
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::io(Operation::CreateDirectory, partition.target(), None, error)),
        }
        partition.set_exists(true);
        Ok(())
    }

    /// Opens all files of the name, to be looked at only. The one with the salt that is asked for comes first, so that
    /// it stays when none has anything in it.
    fn open_twins(self, mut salts: Vec<Salt>) -> Result<Found, Error> {
        self.partition.dir.check(|| self.partition.target())?;
        salts.sort_by_key(|salt| Some(*salt) != self.format.salt);
        let any_salt = Format { salt: None, ..self.format.clone() };
        let twins = salts
            .into_iter()
            .map(|salt| Ok((salt, Arc::new(self.inspect(salt, &any_salt, true)?) as Arc<dyn Blob>)))
            .collect::<Result<_, Error>>()?;
        Ok(Found::Twins(self, twins))
    }

    /// Removes all files of the name but one, durably, and opens that.
    fn settle(self, salts: &[Salt], kept: usize) -> Result<FileBlob, Error> {
        if !self.root.read_only && !self.format.look_only {
            self.remove_remnants(salts, kept)?;
        }
        let Some(salt) = salts.get(kept) else { return Err(Error::NotFound { blob: self.id }) };
        self.open_file(*salt)
    }

    fn remove_remnants(&self, salts: &[Salt], kept: usize) -> Result<(), Error> {
        let (root, partition) = (&self.root, &self.partition);
        partition.dir.check(|| partition.target())?;
        let structure = crate::sync::lock(&partition.structure);
        let dir = root.open_partition(partition).map_err(|error| root.explain_partition(partition, error))?;
        let remnants = || salts.iter().enumerate().filter(|(at, _)| *at != kept).map(|(_, salt)| *salt);
        for salt in remnants() {
            let file = file_name(self.id.name(), salt);
            root.sys
                .unlink(dir.as_fd(), &file, || root.path_of(&partition.name).join(&file))
                .map_err(|source| Error::io(Operation::Remove, &self.id, None, source))?;
            partition.removed.store(partition.dir.changed(), Ordering::Release);
        }
        drop((structure, dir));
        // Until this is done the name has two files, and is not opened.
        root.sync_partition(partition, partition.removed.load(Ordering::Acquire))?;
        let _structure = crate::sync::lock(&partition.structure);
        remnants().for_each(|salt| partition.unlinked(self.id.name(), salt));
        tracing::warn!(blob = %self.id, "removed the remnant of a creation that was cut short");
        Ok(())
    }
}
