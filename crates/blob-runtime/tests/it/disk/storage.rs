//! The disk as storage: names.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::Arc;

use async_trait::async_trait;
use blob_runtime::{
    Blob, BlobId, Claim, Error, Format, HEADER_BYTES, Header, HeaderState, Operation, Salt, Storage, Target,
    check_name, check_partition, file_name, keep_one, parse_file_name,
};

use super::blob::DiskBlob;
use super::{Disk, File, Flaw, Inode, Node, State, refuse};

impl Disk {
    fn handle(&self, state: &mut State, id: &BlobId, inode: u64, header: Header, found: HeaderState) -> Arc<dyn Blob> {
        state.next += 1;
        let handle = state.next;
        let flaw = self.flaw();
        let node = state.inode(inode);
        if node.poison.is_some() && flaw != Flaw::NeverHeals {
            node.poison = None;
            node.epoch += 1;
        }
        if found != HeaderState::Sound && !(flaw == Flaw::LeavesBadHeader && found != HeaderState::New) {
            node.header_due = Some(header);
        }
        let epoch = node.epoch;
        Arc::new(DiskBlob { disk: self.clone(), id: id.clone(), header, state: found, inode, epoch, handle })
    }

    /// The files of a name, or the one that was made.
    fn find_or_make(&self, state: &mut State, id: &BlobId, format: &Format) -> Result<Vec<Arc<dyn Blob>>, Error> {
        let partition: String = id.partition().to_string();
        let mut found = Vec::new();
        for ((of, file), node) in &state.names {
            if let Some((name, salt)) = parse_file_name(file)
                && *of == partition
                && name == id.name()
            {
                match node {
                    Node::File(inode) => found.push((*inode, salt)),
                    Node::Directory if self.flaw() == Flaw::OverlooksDirectory => {}
                    Node::Directory => {
                        return Err(Error::Unexpected { path: file.as_str().into(), found: "directory" });
                    }
                }
            }
        }
        if !found.is_empty() && state.strikes(Operation::Open) {
            if self.flaw() != Flaw::FailedOpenIsMissing {
                return Err(refuse(Operation::Open, id));
            }
            found.clear();
        }
        if found.is_empty() {
            if !format.create {
                return Err(Error::NotFound { blob: id.clone() });
            }
            self.refuse_read_only(Operation::Create, id)?;
            state.refuses_names(&partition)?;
            if state.strikes(Operation::Create) {
                return Err(refuse(Operation::Create, id));
            }
            state.next += 1;
            state.random += 1;
            let (inode, random) = (state.next, state.random);
            let header = format.header(format.salt.unwrap_or(Salt(0x9e37_79b9_u32.wrapping_mul(random as u32))));
            state.partitions.insert(partition.clone());
            state.names.insert((partition.clone(), file_name(id.name(), header.salt)), Node::File(inode));
            state.inodes.insert(inode, Inode::default());
            if self.flaw() == Flaw::SyncsAtOpen {
                state.sync_directory(&partition, self.flaw())?;
            }
            return Ok(vec![self.handle(state, id, inode, header, HeaderState::New)]);
        }
        let mut handles = Vec::new();
        for (inode, salt) in found {
            let seen = &state.inodes[&inode].seen;
            let pending = state.inodes[&inode].header_due;
            let (header, found) = match pending {
                Some(header) => {
                    let start = header.encode();
                    let (header, _) = format.read_header(id, salt, &start, start.len() as u64)?;
                    (header, HeaderState::New)
                }
                None => format.read_header(id, salt, &seen[..seen.len().min(HEADER_BYTES)], seen.len() as u64)?,
            };
            handles.push(self.handle(state, id, inode, header, found));
        }
        Ok(handles)
    }

    fn unlink(&self, state: &mut State, partition: &str, doomed: impl Fn(&str) -> bool) -> Result<usize, Error> {
        let of = state.names.keys().filter(|(of, file)| of == partition && doomed(file));
        let files: Vec<File> = of.cloned().collect();
        let count = files.len();
        for file in files {
            if state.strikes(Operation::Remove) {
                return Err(refuse(Operation::Remove, Target::Partition(partition.into())));
            }
            if let Some(Node::File(inode)) = state.names.remove(&file) {
                state.inode(inode).removed = true;
            }
            if self.flaw() == Flaw::SyncsEachRemoval {
                state.sync_directory(partition, self.flaw())?;
            }
        }
        Ok(count)
    }
}

#[async_trait]
impl Storage for Disk {
    async fn claim(&self, partition: &str) -> Result<Claim, Error> {
        check_partition(partition)?;
        self.refuse_read_only(Operation::Lock, Target::Partition(partition.into()))?;
        if self.flaw() == Flaw::ClaimDoesNotWait {
            // These know nothing of what is under way.
            return self.0.bare_claims.claim(partition).await;
        }
        let mut claim = Box::pin(self.0.claims.claim(partition));
        poll_fn(|cx| {
            self.0.work();
            let polled = claim.as_mut().poll(cx);
            if polled.is_pending() {
                cx.waker().wake_by_ref();
            }
            polled
        })
        .await
    }

    async fn open(&self, partition: &str, name: &[u8], format: &Format) -> Result<Arc<dyn Blob>, Error> {
        let id = BlobId::new(&"disk".into(), partition, name)?;
        let (this, of, wanted) = (self.clone(), id.clone(), format.clone());
        let handles = self.operation(partition, move |state| this.find_or_make(state, &of, &wanted)).await?;
        if let [handle] = handles.as_slice() {
            return Ok(Arc::clone(handle));
        }
        let kept = match self.flaw() {
            Flaw::TakesFirstTwin => 0,
            _ => keep_one(&id, &handles, format.probe.as_ref(), |at| format!("file {at}")).await?,
        };
        let kept = Arc::clone(&handles[kept]);
        let file = file_name(name, kept.header().salt);
        let (this, partition) = (self.clone(), partition.to_owned());
        let name = name.to_vec();
        self.operation(&partition.clone(), move |state| {
            this.unlink(state, &partition, |other| {
                other != file && parse_file_name(other).is_some_and(|(of, _)| of == name)
            })?;
            state.sync_directory(&partition, this.flaw())
        })
        .await?;
        Ok(kept)
    }

    async fn remove(&self, partition: &str, names: &[Vec<u8>]) -> Result<(), Error> {
        check_partition(partition)?;
        names.iter().try_for_each(|name| check_name(name))?;
        self.refuse_read_only(Operation::Remove, Target::Partition(partition.into()))?;
        let (this, partition, names) = (self.clone(), partition.to_owned(), names.to_vec());
        self.operation(&partition.clone(), move |state| {
            state.refuses_names(&partition)?;
            let doomed = |file: &str| parse_file_name(file).is_some_and(|(name, _)| names.contains(&name));
            if this.unlink(state, &partition, doomed)? > 0 && this.flaw() != Flaw::ForgetsRemoval {
                state.sync_directory(&partition, this.flaw())?;
            }
            Ok(())
        })
        .await
    }

    async fn remove_partition(&self, partition: &str) -> Result<(), Error> {
        check_partition(partition)?;
        self.refuse_read_only(Operation::Remove, Target::Partition(partition.into()))?;
        let (this, partition) = (self.clone(), partition.to_owned());
        self.operation(&partition.clone(), move |state| {
            state.refuses_names(&partition)?;
            let all = this.flaw() == Flaw::RemovesForeign;
            this.unlink(state, &partition, |file| all || parse_file_name(file).is_some())?;
            if this.flaw() == Flaw::ForgetsRemoval || !state.partitions.contains(&partition) {
                return Ok(());
            }
            state.sync_directory(&partition, this.flaw())?;
            if !state.names.keys().any(|(of, _)| *of == partition) {
                state.partitions.remove(&partition);
                state.durable_partitions.remove(&partition);
                state.counts.directories += 1;
            }
            Ok(())
        })
        .await
    }

    async fn scan(&self, partition: &str) -> Result<Vec<Vec<u8>>, Error> {
        check_partition(partition)?;
        let (flaw, partition) = (self.flaw(), partition.to_owned());
        self.operation(&partition.clone(), move |state| {
            if state.strikes(Operation::List) {
                if flaw == Flaw::FailedListIsEmpty {
                    return Ok(Vec::new());
                }
                return Err(refuse(Operation::List, Target::Partition(partition.as_str().into())));
            }
            let of = state.names.keys().filter(|(of, _)| *of == partition);
            let names: BTreeSet<_> = of.filter_map(|(_, file)| parse_file_name(file)).map(|(name, _)| name).collect();
            Ok(names.into_iter().collect())
        })
        .await
    }

    async fn sync_many(&self, blobs: &[Arc<dyn Blob>]) -> Vec<Result<(), Error>> {
        let mut answers = Vec::new();
        for (at, blob) in blobs.iter().enumerate() {
            let forgotten = self.flaw() == Flaw::ForgetsOneOfMany && at > 1 && at + 1 == blobs.len();
            answers.push(if forgotten { Ok(()) } else { blob.sync().await });
        }
        answers
    }

    fn random(&self) -> Result<u64, Error> {
        let mut state = self.0.lock();
        state.random += 1;
        Ok(state.random.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}
