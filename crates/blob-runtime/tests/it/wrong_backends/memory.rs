//! [`MemoryStorage`] made wrong, in one way at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::future::{pending, poll_fn};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use async_trait::async_trait;
use blob_runtime::{
    Blob, BlobId, Claim, Error, Format, Header, HeaderState, MAX_BLOB_BYTES, MemoryStorage, Queue, Salt, Storage,
    Ticket,
};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;

/// What a backend over [`MemoryStorage`] does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// The writes that are polled for the second time first land first.
    LosesOrder,
    /// A write that is dropped half-way lands with the next sync.
    DroppedLandsLate,
    /// A write begins when its future is made.
    BeginsUnpolled,
    /// After a dropped write nothing of the blob goes on.
    DroppedWedges,
    /// A removal that is dropped half-way is made with the next sync.
    DroppedRemovalLandsLate,
    /// A write is first done with zeros.
    ZeroesFirst,
    /// A read ends a byte early when it reaches the end of a block.
    ShortRead,
    /// A read past the end is short.
    ShortAtTheEnd,
    /// A read past the end ends where the blob ends, with an error of another kind.
    OtherErrorAtTheEnd,
    /// The read that does not block sees zeros.
    StaleTryRead,
    /// The parts behind an empty one are left out.
    StopsAtAnEmptyPart,
    /// More than 1,024 parts are left out.
    StopsAt1024Parts,
    /// A write past the end fills with ones.
    DirtyGap,
    /// A write of nothing past the end moves the end.
    WriteOfNothingExtends,
    /// The end of a change wraps around.
    Wraps,
    /// What was cut off is there again when the blob grows.
    ResizeKeepsBytes,
    /// A handle knows the length it saw when it was opened.
    OldLength,
    /// `write_at_sync` drops the write.
    WriteSyncOnlySyncs,
    /// The header written again takes the content with it.
    HeaderTruncates,
    /// Everybody gets a claim.
    IgnoresClaims,
    /// The second claim waits.
    ClaimWaits,
    /// One claim for all partitions.
    OneClaim,
    /// A dropped claim stays.
    ClaimStays,
    /// A partition's name is not looked at.
    AnyPartition,
    /// A name's length is not looked at.
    AnyName,
    /// Names are listed in the order of their creation, here: backwards.
    ScanUnsorted,
    /// A name is listed twice.
    ScanTwice,
    /// A name without content is not listed.
    ScanHidesNew,
    /// A name that is not there is an error.
    RemoveMinds,
    /// Handles of a removed blob work on.
    RemovedWorksOn,
    /// A removed partition leaves a blob.
    RemovePartitionLeavesOne,
    /// Another format is no concern.
    IgnoresFormat,
    /// Another unit is no concern.
    IgnoresUnit,
    /// A missing blob is always made.
    AlwaysMakes,
    /// Every new blob has the same salt.
    SameSalt,
    /// A new blob's header is said to be sound.
    AlwaysSound,
    /// Every number is 4.
    NotRandom,
    /// The last of many is not answered for.
    SyncManyAnswersForOneLess,
    /// The answers come the other way round.
    SyncManyBackwards,
    /// Opening empties.
    OpenTruncates,
    /// The salt that was asked for is not the one that is taken.
    DrawsItsOwnSalt,
    /// A read past the end names another length.
    MiscountsTheEnd,
    /// After a dropped open the name cannot be opened any more.
    DroppedOpenWedges,
    /// Partitions whose names begin the same go together.
    RemovesByPrefix,
    /// A claim that is dropped before its future ends stays.
    DroppedClaimStays,
}

#[derive(Debug)]
pub(super) struct Wrong {
    inner: MemoryStorage,
    flaw: Flaw,
    opened: Mutex<BTreeMap<Place, Arc<dyn Blob>>>,
    queues: Mutex<BTreeMap<Place, Queue>>,
    wedged: Mutex<BTreeSet<Place>>,
    late: Arc<Late>,
}

/// Partition and name.
type Place = (String, Vec<u8>);
/// Where, at which offset, and what.
type Write = (Arc<dyn Blob>, u64, Vec<Bytes>);
/// Partition and names.
type Removal = (String, Vec<Vec<u8>>);

#[derive(Debug, Default)]
struct Late {
    writes: Mutex<Vec<Write>>,
    removals: Mutex<Vec<Removal>>,
}

#[derive(Debug)]
struct WrongBlob {
    inner: Arc<dyn Blob>,
    storage: MemoryStorage,
    flaw: Flaw,
    opened_len: u64,
    cut: Mutex<Option<(u64, Bytes)>>,
    late: Arc<Late>,
    wedged: Arc<AtomicBool>,
    queue: Queue,
}

/// Runs when its future is dropped before its end.
struct OnDrop<F: FnMut()>(bool, F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        if self.0 {
            (self.1)();
        }
    }
}

async fn yield_once() {
    let mut first = true;
    poll_fn(|cx| {
        if std::mem::take(&mut first) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}

impl Wrong {
    pub(super) fn new(flaw: Flaw) -> Self {
        Self {
            inner: MemoryStorage::new(),
            flaw,
            opened: Mutex::default(),
            queues: Mutex::default(),
            wedged: Mutex::default(),
            late: Arc::default(),
        }
    }

    /// A valid name for one that is not.
    fn valid<'a>(&self, partition: &'a str) -> &'a str {
        match self.flaw {
            Flaw::AnyPartition => blob_runtime::check_partition(partition).map_or("any", |()| partition),
            _ => partition,
        }
    }
}

#[async_trait]
impl Storage for Wrong {
    async fn claim(&self, partition: &str) -> Result<Claim, Error> {
        let one = self.flaw == Flaw::OneClaim && blob_runtime::check_partition(partition).is_ok();
        let claim = self.inner.claim(if one { "one" } else { self.valid(partition) }).await;
        match (self.flaw, claim) {
            (Flaw::IgnoresClaims, Err(Error::Locked { .. })) => Ok(Claim::new(partition, ())),
            (Flaw::ClaimWaits, Err(Error::Locked { .. })) => pending().await,
            (Flaw::DroppedClaimStays, Ok(claim)) => {
                let claim = Mutex::new(Some(claim));
                let mut taken = OnDrop(true, || std::mem::forget(claim.lock().unwrap().take()));
                yield_once().await;
                taken.0 = false;
                drop(taken);
                Ok(claim.into_inner().unwrap().unwrap())
            }
            (Flaw::OneClaim, Ok(claim)) => Ok(Claim::new(partition, claim)),
            (Flaw::OneClaim, Err(Error::Locked { .. })) => Err(Error::Locked { what: partition.into() }),
            (Flaw::ClaimStays, Ok(claim)) => {
                let partition = claim.partition().to_owned();
                std::mem::forget(claim);
                Ok(Claim::new(&partition, ()))
            }
            (_, claim) => claim,
        }
    }

    async fn open(&self, partition: &str, name: &[u8], format: &Format) -> Result<Arc<dyn Blob>, Error> {
        let partition = self.valid(partition);
        let name = if self.flaw == Flaw::AnyName && name.is_empty() { b"any" } else { name };
        let mut format = format.clone();
        match self.flaw {
            Flaw::AlwaysMakes => format.create = true,
            Flaw::SameSalt => format.salt = format.salt.or(Some(Salt(7))),
            _ => {}
        }
        let key = (partition.to_owned(), name.to_vec());
        if self.flaw == Flaw::DroppedOpenWedges {
            if self.wedged.lock().unwrap().contains(&key) {
                pending::<()>().await;
            }
            let mut interest = OnDrop(true, || {
                self.wedged.lock().unwrap().insert(key.clone());
            });
            yield_once().await;
            interest.0 = false;
        }
        if self.flaw == Flaw::DrawsItsOwnSalt && !self.opened.lock().unwrap().contains_key(&key) {
            format.salt = format.salt.map(|salt| Salt(!salt.0));
        }
        let inner = match self.inner.open(partition, name, &format).await {
            Err(Error::FormatMismatch { field, .. })
                if self.flaw == Flaw::IgnoresFormat || (self.flaw == Flaw::IgnoresUnit && field == "unit") =>
            {
                Arc::clone(&self.opened.lock().unwrap()[&key])
            }
            opened => opened?,
        };
        if self.flaw == Flaw::OpenTruncates {
            inner.resize(0).await?;
        }
        let queue = self.queues.lock().unwrap().entry(key.clone()).or_default().clone();
        self.opened.lock().unwrap().insert(key, Arc::clone(&inner));
        Ok(Arc::new(WrongBlob {
            opened_len: inner.len(),
            inner,
            storage: self.inner.clone(),
            flaw: self.flaw,
            cut: Mutex::default(),
            late: Arc::clone(&self.late),
            wedged: Arc::default(),
            queue,
        }))
    }

    async fn remove(&self, partition: &str, names: &[Vec<u8>]) -> Result<(), Error> {
        let names: Vec<_> = match self.flaw {
            Flaw::AnyName => names.iter().filter(|name| blob_runtime::check_name(name).is_ok()).cloned().collect(),
            _ => names.to_vec(),
        };
        let late = &self.late.removals;
        let mut interest = OnDrop(self.flaw == Flaw::DroppedRemovalLandsLate, || {
            late.lock().unwrap().push((partition.to_owned(), names.clone()));
        });
        if self.flaw == Flaw::DroppedRemovalLandsLate {
            yield_once().await;
        }
        interest.0 = false;
        if self.flaw == Flaw::RemoveMinds {
            let there = self.inner.scan(partition).await?;
            if let Some(name) = names.iter().find(|name| !there.contains(name)) {
                return Err(Error::NotFound { blob: BlobId::new(&"".into(), partition, name)? });
            }
        }
        self.inner.remove(self.valid(partition), &names).await
    }

    async fn remove_partition(&self, partition: &str) -> Result<(), Error> {
        if self.flaw == Flaw::RemovePartitionLeavesOne {
            let mut names = self.inner.scan(partition).await?;
            names.pop();
            return self.inner.remove(partition, &names).await;
        }
        if self.flaw == Flaw::RemovesByPrefix {
            let of = self.opened.lock().unwrap().keys().map(|(of, _)| of.clone()).collect::<BTreeSet<_>>();
            for of in of.iter().filter(|of| of.starts_with(partition)) {
                self.inner.remove_partition(of).await?;
            }
        }
        self.inner.remove_partition(self.valid(partition)).await
    }

    async fn scan(&self, partition: &str) -> Result<Vec<Vec<u8>>, Error> {
        let mut names = self.inner.scan(self.valid(partition)).await?;
        match self.flaw {
            Flaw::ScanUnsorted => names.reverse(),
            Flaw::ScanTwice => names.extend(names.last().cloned()),
            Flaw::ScanHidesNew => {
                let opened = self.opened.lock().unwrap();
                names.retain(|name| {
                    opened.get(&(partition.to_owned(), name.clone())).is_none_or(|blob| !blob.is_empty())
                });
            }
            _ => {}
        }
        Ok(names)
    }

    async fn sync_many(&self, blobs: &[Arc<dyn Blob>]) -> Vec<Result<(), Error>> {
        let mut answers = Vec::new();
        for blob in blobs {
            answers.push(blob.sync().await);
        }
        match self.flaw {
            Flaw::SyncManyAnswersForOneLess => drop(answers.pop()),
            Flaw::SyncManyBackwards => answers.reverse(),
            _ => {}
        }
        answers
    }

    fn random(&self) -> Result<u64, Error> {
        if self.flaw == Flaw::NotRandom { Ok(4) } else { self.inner.random() }
    }
}

impl WrongBlob {
    /// Waits for its turn, but where that is the flaw.
    async fn turn(&self) -> Option<Ticket> {
        if self.wedged.load(Ordering::Acquire) {
            pending::<()>().await;
        }
        if self.flaw == Flaw::LosesOrder { None } else { Some(self.queue.enter().await) }
    }

    async fn write(&self, offset: u64, mut data: Vec<Bytes>) -> Result<(), Error> {
        let _turn = self.turn().await;
        let late = || self.late.writes.lock().unwrap().push((Arc::clone(&self.inner), offset, data.clone()));
        let wedge = || self.wedged.store(true, Ordering::Release);
        match self.flaw {
            Flaw::LosesOrder => yield_once().await,
            Flaw::DroppedLandsLate => {
                let mut interest = OnDrop(true, late);
                yield_once().await;
                interest.0 = false;
            }
            Flaw::DroppedWedges => {
                let mut interest = OnDrop(true, wedge);
                yield_once().await;
                interest.0 = false;
            }
            Flaw::ZeroesFirst => {
                let zeros = data.iter().map(|part| Bytes::from(vec![0; part.len()])).collect();
                self.inner.write_at(offset, zeros).await?;
                yield_once().await;
            }
            Flaw::StopsAtAnEmptyPart => {
                let end = data.iter().skip(1).position(Bytes::is_empty).map_or(data.len(), |at| at + 1);
                data.truncate(end);
            }
            Flaw::StopsAt1024Parts => data.truncate(1_024),
            Flaw::DirtyGap => {
                let len = self.inner.len();
                if len < offset && offset < MAX_BLOB_BYTES && data.iter().any(|part| !part.is_empty()) {
                    let ones = vec![1; (offset - len) as usize];
                    self.inner.write_at(len, vec![ones.into()]).await?;
                }
            }
            Flaw::WriteOfNothingExtends if data.iter().all(Bytes::is_empty) && offset < 1 << 20 => {
                self.inner.resize(self.inner.len().max(offset)).await?;
            }
            Flaw::Wraps if offset > MAX_BLOB_BYTES => return Ok(()),
            _ => {}
        }
        self.inner.write_at(offset, data).await
    }
}

#[async_trait]
impl Blob for WrongBlob {
    fn id(&self) -> &BlobId {
        self.inner.id()
    }

    fn header(&self) -> &Header {
        self.inner.header()
    }

    fn header_state(&self) -> HeaderState {
        if self.flaw == Flaw::AlwaysSound { HeaderState::Sound } else { self.inner.header_state() }
    }

    fn len(&self) -> u64 {
        if self.flaw == Flaw::OldLength { self.opened_len } else { self.inner.len() }
    }

    fn try_read_at(&self, offset: u64, len: usize) -> Option<Result<Bytes, Error>> {
        match self.flaw {
            Flaw::StaleTryRead => {
                Some(self.inner.try_read_at(offset, len)?.map(|bytes| Bytes::from(vec![0; bytes.len()])))
            }
            Flaw::ShortRead | Flaw::ShortAtTheEnd | Flaw::RemovedWorksOn | Flaw::OtherErrorAtTheEnd => None,
            _ => self.inner.try_read_at(offset, len),
        }
    }

    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, Error> {
        let read = self.inner.read_at(offset, len).await;
        match (self.flaw, read) {
            (Flaw::ShortRead, Ok(bytes)) if len > 0 && (offset + len as u64).is_multiple_of(4_096) => {
                Ok(bytes.slice(..len - 1))
            }
            (Flaw::ShortAtTheEnd, Err(Error::OutOfBounds { .. })) => Ok(Bytes::new()),
            (Flaw::OtherErrorAtTheEnd, Err(Error::OutOfBounds { .. })) => Err(Error::Closed),
            (Flaw::RemovedWorksOn, Err(Error::Removed { .. })) => Ok(Bytes::from(vec![0; len])),
            (Flaw::MiscountsTheEnd, Err(Error::OutOfBounds { blob, offset, len, blob_len })) => {
                Err(Error::OutOfBounds { blob, offset, len, blob_len: blob_len.saturating_sub(1) })
            }
            (_, read) => read,
        }
    }

    fn write_at<'a: 'f, 'f>(&'a self, offset: u64, data: Vec<Bytes>) -> BoxFuture<'f, Result<(), Error>>
    where
        Self: 'f,
    {
        if self.flaw == Flaw::BeginsUnpolled {
            let done = self.inner.write_at(offset, data).now_or_never().unwrap();
            return Box::pin(async { done });
        }
        Box::pin(async move {
            let written = self.write(offset, data).await;
            match (self.flaw, written) {
                (Flaw::RemovedWorksOn, Err(Error::Removed { .. })) => Ok(()),
                (_, written) => written,
            }
        })
    }

    async fn resize(&self, len: u64) -> Result<(), Error> {
        let _turn = self.turn().await;
        if self.flaw == Flaw::Wraps && len > MAX_BLOB_BYTES {
            return Ok(());
        }
        let old = self.inner.len();
        if self.flaw == Flaw::ResizeKeepsBytes {
            if len < old {
                let cut = self.inner.read_at(len, (old - len) as usize).await?;
                *self.cut.lock().unwrap() = Some((len, cut));
            } else {
                let cut = self.cut.lock().unwrap().take();
                if let Some((at, cut)) = cut {
                    self.inner.write_at(at, vec![cut]).await?;
                }
            }
        }
        self.inner.resize(len).await
    }

    async fn sync(&self) -> Result<(), Error> {
        let _turn = self.turn().await;
        let late = std::mem::take(&mut *self.late.writes.lock().unwrap());
        for (blob, offset, data) in late {
            blob.write_at(offset, data).await?;
        }
        let late = std::mem::take(&mut *self.late.removals.lock().unwrap());
        let synced = self.inner.sync().await;
        for (partition, names) in late {
            self.storage.remove(&partition, &names).await?;
        }
        synced
    }

    async fn write_at_sync(&self, offset: u64, data: Vec<Bytes>) -> Result<(), Error> {
        if self.flaw == Flaw::WriteSyncOnlySyncs && offset < MAX_BLOB_BYTES {
            return self.sync().await;
        }
        self.write(offset, data).await?;
        self.sync().await
    }

    async fn write_header(&self) -> Result<(), Error> {
        let _turn = self.turn().await;
        if self.flaw == Flaw::HeaderTruncates {
            self.inner.resize(0).await?;
        }
        self.inner.write_header().await
    }
}
