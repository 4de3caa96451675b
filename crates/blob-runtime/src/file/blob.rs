//! A handle of a blob.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use bytes::Bytes;

use super::inner::{Changing, Inner};
use super::root::Root;
use crate::claims::Activity;
use crate::error::{Error, Operation, Target};
use crate::header::{Header, HeaderState};
use crate::name::BlobId;
use crate::queue::Ticket;
use crate::storage::{Blob, Change, check_len, end_of};

/// The use of a blob, by a handle or by a job under way. Keeps the root locked.
pub(super) struct Held {
    pub(super) inner: Arc<Inner>,
    // After the blob, so that its file is closed before the root can be unlocked.
    pub(super) root: Arc<Root>,
}

/// A handle: what one `open` has found.
pub(super) struct FileBlob {
    pub(super) held: Held,
    pub(super) header: Header,
    pub(super) state: HeaderState,
}

/// A change that has begun: nobody else changes the blob, and the lock and the claim stay taken, until it is dropped.
pub(super) struct Job {
    held: Held,
    pub(super) header: Header,
    _activity: Activity,
    _ticket: Ticket,
}

impl Held {
    /// One more use.
    pub(super) fn new(root: &Arc<Root>, inner: Arc<Inner>) -> Self {
        inner.users.fetch_add(1, Ordering::AcqRel);
        Self::counted(root, inner)
    }

    /// A use that was counted already.
    pub(super) fn counted(root: &Arc<Root>, inner: Arc<Inner>) -> Self {
        Self { inner, root: Arc::clone(root) }
    }
}

impl Clone for Held {
    fn clone(&self) -> Self {
        Self::new(&self.root, Arc::clone(&self.inner))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.inner.users.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.root.forget_if_unused(&self.inner);
        }
    }
}

impl Job {
    pub(super) fn new(blob: &FileBlob, ticket: Ticket) -> Self {
        let activity = blob.held.root.claims.begin(blob.held.inner.id.partition());
        Self { held: blob.held.clone(), header: blob.header, _activity: activity, _ticket: ticket }
    }

    pub(super) fn inner(&self) -> &Arc<Inner> {
        &self.held.inner
    }

    pub(super) fn root(&self) -> &Arc<Root> {
        &self.held.root
    }

    /// The use of the blob, after the change: others may change it again.
    pub(super) fn into_held(self) -> Held {
        self.held
    }

    /// Makes a change, unless the blob refuses changes.
    pub(super) fn change<T>(
        &self,
        body: impl FnOnce(&Arc<Inner>, &Root, &mut Changing, &Header) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Held { inner, root } = &self.held;
        let result = inner.begin().and_then(|mut changing| body(inner, root, &mut changing, &self.header));
        root.files.job_ended();
        result
    }

    fn make(&self, change: &Change) -> Result<(), Error> {
        match change {
            Change::Header => self.change(|inner, root, changing, header| inner.write_header(root, changing, header)),
            Change::Write(offset, data) => {
                end_of(*offset, data)?;
                self.change(|inner, root, changing, header| inner.write(root, changing, header, *offset, data))
            }
            Change::Resize(len) => {
                check_len(*len)?;
                self.change(|inner, root, changing, header| inner.resize(root, changing, header, *len))
            }
            Change::Sync => self.sync(),
        }
    }

    /// Makes bytes, length, a new blob's header, and the name durable.
    fn sync(&self) -> Result<(), Error> {
        self.change(|inner, root, changing, header| inner.sync_file(root, changing, header))?;
        self.inner().sync_name(self.root())
    }
}

impl FileBlob {
    pub(super) fn check_writable(&self, operation: Operation) -> Result<(), Error> {
        if self.held.root.read_only || self.held.inner.only_read {
            return Err(Error::ReadOnly { operation, target: Target::from(&self.held.inner.id) });
        }
        Ok(())
    }

    /// Waits for the blob's turn, then runs a job that goes on when the future is dropped.
    async fn run(
        &self,
        operation: Operation,
        body: impl FnOnce(&Job) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        self.check_writable(operation)?;
        let ticket = self.held.inner.queue.enter().await;
        let job = Job::new(self, ticket);
        self.held
            .root
            .io
            .run(move || {
                let result = body(&job);
                drop(job);
                result
            })
            .await
    }
}

#[async_trait]
impl Blob for FileBlob {
    fn id(&self) -> &BlobId {
        &self.held.inner.id
    }

    fn header(&self) -> &Header {
        &self.header
    }

    fn header_state(&self) -> HeaderState {
        self.state
    }

    fn len(&self) -> u64 {
        self.held.inner.len()
    }

    fn try_read_at(&self, offset: u64, len: usize) -> Option<Result<Bytes, Error>> {
        self.held.inner.read_at_once(&self.held.root, offset, len)
    }

    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, Error> {
        let held = self.held.clone();
        self.held
            .root
            .io
            .run(move || {
                let result = held.inner.read(&held.root, offset, len);
                held.root.files.job_ended();
                drop(held);
                result
            })
            .await
    }

    async fn write_at(&self, offset: u64, data: Vec<Bytes>) -> Result<(), Error> {
        end_of(offset, &data)?;
        self.run(Operation::Write, move |job| job.make(&Change::Write(offset, data))).await
    }

    async fn resize(&self, len: u64) -> Result<(), Error> {
        check_len(len)?;
        self.run(Operation::Resize, move |job| job.make(&Change::Resize(len))).await
    }

    async fn sync(&self) -> Result<(), Error> {
        self.run(Operation::Sync, Job::sync).await
    }

    async fn write_at_sync(&self, offset: u64, data: Vec<Bytes>) -> Result<(), Error> {
        end_of(offset, &data)?;
        let write_and_sync = move |job: &Job| {
            job.change(|inner, root, changing, header| {
                inner.write(root, changing, header, offset, &data)?;
                inner.sync_file(root, changing, header)
            })?;
            job.inner().sync_name(job.root())
        };
        self.run(Operation::Write, write_and_sync).await
    }

    async fn write_header(&self) -> Result<(), Error> {
        self.run(Operation::Write, |job| job.make(&Change::Header)).await
    }

    async fn change_all(&self, changes: Vec<Change>) -> Result<(), Error> {
        self.run(Operation::Write, move |job| changes.iter().try_for_each(|change| job.make(change))).await
    }
}

impl fmt::Debug for FileBlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileBlob").field("id", self.id()).field("len", &self.len()).field("state", &self.state).finish()
    }
}
