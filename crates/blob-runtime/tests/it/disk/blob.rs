//! The disk as a blob: bytes.

use std::future::poll_fn;
use std::task::Poll;

use async_trait::async_trait;
use blob_runtime::{
    Blob, BlobId, Change, Error, HEADER_BYTES, Header, HeaderState, Operation, check_len, check_read, end_of,
};
use bytes::Bytes;

use super::{Disk, Flaw, Inode, Node, State, refuse};

pub(super) struct DiskBlob {
    pub(super) disk: Disk,
    pub(super) id: BlobId,
    pub(super) header: Header,
    pub(super) state: HeaderState,
    pub(super) inode: u64,
    pub(super) epoch: u64,
    pub(super) handle: u64,
}

/// What a change of a blob does, in the order of its parts.
#[derive(Clone)]
enum Part {
    Write(u64, Vec<Bytes>),
    Resize(u64),
    Header,
    Sync,
}

impl DiskBlob {
    async fn change(&self, parts: Vec<Part>) -> Result<(), Error> {
        let (disk, id, header) = (self.disk.clone(), self.id.clone(), self.header);
        let (inode, epoch, handle) = (self.inode, self.epoch, self.handle);
        let run = move |state: &mut State| {
            let node = state.inode(inode);
            if node.removed {
                return Err(Error::Removed { blob: id.clone() });
            }
            let mine = disk.flaw() != Flaw::PoisonsOneHandle || node.poisoned_handle == Some(handle);
            if node.poisoned_epoch.is_some_and(|of| epoch <= of) && mine && disk.flaw() != Flaw::ForgetsFailedSync {
                return Err(Error::poisoned(&id, &refuse(Operation::Sync, &id)));
            }
            parts.into_iter().try_for_each(|part| disk.part(state, &id, inode, epoch, handle, &header, part))
        };
        self.disk.operation(self.id.partition(), run).await
    }
}

impl Disk {
    #[expect(clippy::too_many_arguments, reason = "a handle's fields, taken apart for a job that outlives it")]
    fn part(
        &self,
        state: &mut State,
        id: &BlobId,
        inode: u64,
        epoch: u64,
        handle: u64,
        header: &Header,
        part: Part,
    ) -> Result<(), Error> {
        let flaw = self.flaw();
        if let Some(due) = state.inode(inode).header_due.take() {
            put(&mut state.inode(inode).seen, 0, &due.encode());
            if flaw == Flaw::HeaderWithTail {
                put(&mut state.inode(inode).seen, 100, &[1]);
            }
        }
        match part {
            Part::Write(offset, parts) => {
                let fails = state.strikes(Operation::Write);
                let node = state.inode(inode);
                let data = parts.concat();
                let at = HEADER_BYTES + offset as usize;
                if fails {
                    // Some of it has reached the file.
                    put(&mut node.seen, at, &data[..data.len() / 2]);
                    if flaw == Flaw::FailedWriteHurts {
                        put(&mut node.seen, at - 1, &[0]);
                    }
                    return Err(refuse(Operation::Write, id));
                }
                put(&mut node.seen, at, &data);
            }
            Part::Resize(len) => {
                let fails = state.strikes(Operation::Resize);
                if fails {
                    return Err(refuse(Operation::Resize, id));
                }
                state.inode(inode).seen.resize(HEADER_BYTES + len as usize, 0);
            }
            Part::Header => put(&mut state.inode(inode).seen, 0, &header.encode()),
            Part::Sync => {
                state.counts.files += 1;
                let fails = state.strikes(Operation::Sync);
                let node = state.inode(inode);
                if fails {
                    let error = refuse(Operation::Sync, id);
                    poison(node, &error, epoch, handle);
                    return Err(error);
                }
                let mut durable = node.seen.clone();
                if flaw == Flaw::ForgetsLength {
                    durable.resize(node.durable.len().max(HEADER_BYTES), 0);
                }
                if flaw == Flaw::ForgetsHeader {
                    durable[..HEADER_BYTES].fill(0);
                }
                node.durable = durable;
                let durable = state.durable_names.values().any(|node| *node == Node::File(inode));
                if !durable && flaw != Flaw::ForgetsDirectory {
                    let partition = id.partition().to_string();
                    state.sync_directory(&partition, flaw).inspect_err(|error| {
                        poison(state.inode(inode), error, epoch, handle);
                    })?;
                }
            }
        }
        Ok(())
    }
}

fn poison(node: &mut Inode, error: &Error, epoch: u64, handle: u64) {
    node.poison = Some(error.clone());
    node.poisoned_epoch = Some(node.epoch.max(epoch));
    node.poisoned_handle = Some(handle);
}

fn put(file: &mut Vec<u8>, at: usize, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    if file.len() < at + data.len() {
        file.resize(at + data.len(), 0);
    }
    file[at..at + data.len()].copy_from_slice(data);
}

#[async_trait]
impl Blob for DiskBlob {
    fn id(&self) -> &BlobId {
        &self.id
    }

    fn header(&self) -> &Header {
        &self.header
    }

    fn header_state(&self) -> HeaderState {
        self.state
    }

    fn len(&self) -> u64 {
        (self.disk.0.lock().inodes[&self.inode].seen.len() as u64).saturating_sub(HEADER_BYTES as u64)
    }

    /// From memory while nothing is under way.
    fn try_read_at(&self, offset: u64, len: usize) -> Option<Result<Bytes, Error>> {
        let mut state = self.disk.0.lock();
        if !state.jobs.is_empty() || state.faults.contains(&Operation::Read) {
            return None;
        }
        let node = state.inode(self.inode);
        if node.removed {
            return Some(Err(Error::Removed { blob: self.id.clone() }));
        }
        let data = node.seen.get(HEADER_BYTES..).unwrap_or_default();
        let start = offset as usize;
        Some(
            check_read(&self.id, offset, len, data.len() as u64)
                .map(|()| Bytes::copy_from_slice(&data[start..start + len])),
        )
    }

    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, Error> {
        let mut turns = 0;
        poll_fn(|cx| {
            turns += 1;
            cx.waker().wake_by_ref();
            if turns > 2 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        let mut state = self.disk.0.lock();
        let fails = state.strikes(Operation::Read);
        let node = state.inode(self.inode);
        if node.removed {
            return Err(Error::Removed { blob: self.id.clone() });
        }
        let data = node.seen.get(HEADER_BYTES..).unwrap_or_default();
        check_read(&self.id, offset, len, data.len() as u64)?;
        let start = offset as usize;
        if fails {
            return match self.disk.flaw() {
                Flaw::FailedReadIsShort => Ok(Bytes::copy_from_slice(&data[start..start + len / 2])),
                _ => Err(refuse(Operation::Read, &self.id)),
            };
        }
        Ok(Bytes::copy_from_slice(&data[start..start + len]))
    }

    async fn write_at(&self, offset: u64, data: Vec<Bytes>) -> Result<(), Error> {
        end_of(offset, &data)?;
        self.disk.refuse_read_only(Operation::Write, &self.id)?;
        self.change(vec![Part::Write(offset, data)]).await
    }

    async fn resize(&self, len: u64) -> Result<(), Error> {
        check_len(len)?;
        self.disk.refuse_read_only(Operation::Resize, &self.id)?;
        self.change(vec![Part::Resize(len)]).await
    }

    async fn sync(&self) -> Result<(), Error> {
        self.disk.refuse_read_only(Operation::Sync, &self.id)?;
        self.change(vec![Part::Sync]).await
    }

    async fn write_at_sync(&self, offset: u64, data: Vec<Bytes>) -> Result<(), Error> {
        end_of(offset, &data)?;
        self.disk.refuse_read_only(Operation::Write, &self.id)?;
        let write = Part::Write(offset, data);
        match self.disk.flaw() {
            Flaw::WriteSyncForgetsSync => self.change(vec![write]).await,
            Flaw::BlursWriteAndSync => match self.change(vec![write, Part::Sync]).await {
                Err(Error::Io { operation: Operation::Write, target, offset, source }) => {
                    Err(Error::Io { operation: Operation::Sync, target, offset, source })
                }
                written => written,
            },
            _ => self.change(vec![write, Part::Sync]).await,
        }
    }

    async fn write_header(&self) -> Result<(), Error> {
        self.disk.refuse_read_only(Operation::Write, &self.id)?;
        self.change(vec![Part::Header]).await
    }

    async fn change_all(&self, changes: Vec<Change>) -> Result<(), Error> {
        let (mut result, mut syncs) = (Ok(()), 0);
        for change in changes {
            syncs += u32::from(change == Change::Sync);
            let is_forgotten = change == Change::Sync && syncs > 1 && self.disk.flaw() == Flaw::ChangesSyncOnce;
            let made = if is_forgotten { Ok(()) } else { change.make(self).await };
            result = result.and(made);
            if result.is_err() && self.disk.flaw() != Flaw::ChangesGoOn {
                break;
            }
        }
        result
    }
}

impl std::fmt::Debug for DiskBlob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("DiskBlob").field(&self.id).finish()
    }
}
