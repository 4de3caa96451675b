//! One life of a stream, from its open to a crash.

use std::sync::Arc;
use std::task::Poll;

use blob_runtime::append::{Config, Spares};
use blob_runtime::sim::{Crash, Sim};
use blob_runtime::{Blob, Claim, Format, HeaderState, Kind, Operation, Storage, StoreId, Want};
use futures::FutureExt;
use futures::future::BoxFuture;
use paged_cache::{Error, MAX_PAGE_BYTES, MIN_PAGE_BYTES, PageCache, Paged, Survey};

use super::oracle::Shared;

pub(super) const PARTITION: &str = "p";
pub(super) const NAME: &[u8] = b"stream";

#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) faults: bool,
}

/// The stream with the right to write it: a task that still syncs keeps both.
struct Held {
    paged: Paged,
    _claim: Claim,
}

pub(super) struct Life {
    sim: Sim,
    rng: fastrand::Rng,
    oracle: Shared,
    settings: Settings,
    case: String,
    held: Arc<Held>,
}

/// The blob, whose page size is the one whose pages verify when its header was lost.
async fn survey(sim: &Sim, page_bytes: u32) -> Result<Survey, Error> {
    let storage = sim.storage();
    let open = async |unit| -> Result<Arc<dyn Blob>, Error> {
        let format = Format::new(Kind::PAGED, Want::Exactly(StoreId(1))).unit(unit);
        Ok(storage.open(PARTITION, NAME, &format).await?)
    };
    let blob = open(Want::Default(page_bytes)).await?;
    if matches!(blob.header_state(), HeaderState::Bad(_)) {
        let mut tried = MIN_PAGE_BYTES;
        while tried <= MAX_PAGE_BYTES {
            let found = Survey::new(open(Want::Default(tried)).await?, None).await?;
            if !found.is_empty() {
                return Ok(found);
            }
            tried *= 2;
        }
    }
    Survey::new(blob, None).await
}

async fn replayed(paged: &Paged, from: u64) -> Result<Vec<u8>, Error> {
    let mut replay = paged.replay(from)?;
    let mut all = Vec::new();
    while let Some(piece) = replay.next().await? {
        assert!(!piece.is_empty());
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

/// One attempt to open the stream.
async fn open(sim: &Sim, rng: &mut fastrand::Rng, oracle: &Shared, rest: bool, case: &str) -> Result<Held, Error> {
    let claim = sim.storage().claim(PARTITION).await?;
    let page_bytes = 1 << rng.u32(6..=8);
    let cache = PageCache::new(if rng.bool() { 4_000 } else { 0 });
    let config = Config {
        buffer_bytes: rng.usize(1..300),
        unsynced_bytes: rng.u64(1..600),
        spares: Spares::new(if rng.bool() { 1_000 } else { 0 }),
    };
    // For reading only, at any length: nothing is changed by it.
    if rng.u8(0..4) == 0 {
        let found = survey(sim, page_bytes).await?;
        let keep = rng.u64(0..=found.len());
        let limited = found.limit(keep).await?;
        let paged = Paged::new(limited, 0, &cache, config.clone());
        let shown = replayed(&paged, 0).await?;
        assert_eq!(shown.len() as u64, keep, "{case}");
        let oracle = oracle.lock().unwrap();
        if let Some((expected, _)) = oracle.expected() {
            assert!(expected.starts_with(&shown), "{case}: the first {keep} bytes");
        }
    }
    let found = survey(sim, page_bytes).await?;
    let len = found.len();
    // A recovery that also cuts, as an unfinished rewind does.
    let keep = if !rest && rng.u8(0..6) == 0 { rng.u64(0..=len) } else { u64::MAX };
    if keep < len {
        oracle.lock().unwrap().begin_cut(usize::try_from(keep).unwrap());
    }
    let carried = found.carry_out(keep).await?;
    assert_eq!((carried.len(), carried.left_over()), (keep.min(len), 0), "{case}");
    let durable = carried.len();
    let paged = Paged::new(carried, durable, &cache, config);
    let shown = replayed(&paged, 0).await?;
    let again = Survey::new(Arc::clone(paged.blob()), None).await?;
    let found = (again.len(), again.left_over(), again.ended());
    assert_eq!(found, (durable, 0, paged_cache::Ended::Whole), "{case}: a second look finds something else");
    let mut oracle = oracle.lock().unwrap();
    oracle.opened(&shown, case);
    oracle.adopt(shown.len());
    Ok(Held { paged, _claim: claim })
}

/// Opens and checks. A fault may strike the open: then it is tried again, until it comes through.
pub(super) async fn start(sim: Sim, mut rng: fastrand::Rng, oracle: Shared, settings: Settings, case: String) -> Life {
    loop {
        match open(&sim, &mut rng, &oracle, !settings.faults, &case).await {
            Ok(held) => return Life { sim, rng, oracle, settings, case, held: Arc::new(held) },
            // A task that still syncs holds the claim.
            Err(Error::Storage(blob_runtime::Error::Locked { .. })) => {
                assert!(sim.steps() < 1_000_000, "{case}: the claim is never given up");
                sim.yield_now().await;
            }
            Err(Error::Storage(blob_runtime::Error::Io { .. })) if settings.faults => {}
            // A directory that failed to sync stays poisoned for the life of the process.
            Err(Error::Storage(blob_runtime::Error::Poisoned { .. })) if settings.faults => {
                sim.crash(Crash::Kill);
                sim.yield_now().await;
            }
            Err(error) => panic!("{case}: {error:?}"),
        }
    }
}

impl Life {
    fn paged(&self) -> &Paged {
        &self.held.paged
    }

    /// Opens anew, mostly as after an end of the process; now and then while others still hold the stream.
    async fn reopen(self) -> Self {
        let Self { sim, rng, oracle, settings, case, held } = self;
        if rng.clone().bool() {
            held.paged.retire().await;
            let refused = held.paged.append(1, |_, space| space.put(b"x")).await;
            assert!(matches!(refused, Err(Error::Storage(_))), "{case}: a retired stream takes an append");
        }
        drop(held);
        start(sim, rng, oracle, settings, case).await
    }

    /// An error is only right while faults are drawn.
    fn expect_fault(&self, error: &Error, what: &str) {
        expect_fault(self.settings, error, &format!("{}: {what}", self.case));
    }

    /// Runs a future to its end, or drops it after a few polls. Whether it has ended.
    async fn drive<T>(&mut self, mut work: BoxFuture<'static, T>, drop_one_in: u8, polls: u8) -> Option<T> {
        if self.rng.u8(0..drop_one_in) > 0 {
            return Some(work.await);
        }
        for _ in 0..self.rng.u8(0..polls) {
            if let Poll::Ready(result) = futures::poll!(&mut work) {
                return Some(result);
            }
            self.sim.yield_now().await;
        }
        None
    }

    /// An append, as a future that notes itself in the moment it happens.
    fn append(&mut self) -> BoxFuture<'static, Result<(), Error>> {
        let len = if self.rng.u8(0..8) == 0 { self.rng.usize(0..600) } else { self.rng.usize(0..60) };
        let bytes: Vec<u8> = (0..len).map(|_| self.rng.u8(..)).collect();
        let (held, oracle, case) = (Arc::clone(&self.held), Arc::clone(&self.oracle), self.case.clone());
        async move {
            let fill = |offset: u64, space: &mut blob_runtime::append::Space<'_>| {
                space.put(&bytes);
                oracle.lock().unwrap().append(usize::try_from(offset).unwrap(), &bytes, &case);
            };
            held.paged.append(len, fill).await
        }
        .boxed()
    }

    /// A sync of everything, or of the first part; what it covers was there when it was called.
    fn sync(&mut self) -> BoxFuture<'static, Result<(), Error>> {
        let (held, oracle) = (Arc::clone(&self.held), Arc::clone(&self.oracle));
        let part = if self.rng.u8(0..3) == 0 { self.rng.f64() } else { 1.0 };
        async move {
            let (covered, epoch) = {
                let oracle = oracle.lock().unwrap();
                (oracle.len(), oracle.epoch)
            };
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a small number")]
            let limit = (covered as f64 * part) as usize;
            let result = match part < 1.0 {
                true => held.paged.sync_through(limit as u64).await,
                false => held.paged.sync().await,
            };
            let mut oracle = oracle.lock().unwrap();
            if result.is_ok() && oracle.epoch == epoch {
                oracle.acknowledge(limit);
            }
            result
        }
        .boxed()
    }

    /// A seal; what was there when it was called is durable when it ends.
    fn seal(&mut self) -> BoxFuture<'static, Result<(), Error>> {
        let (held, oracle) = (Arc::clone(&self.held), Arc::clone(&self.oracle));
        async move {
            let (covered, epoch) = {
                let oracle = oracle.lock().unwrap();
                (oracle.len(), oracle.epoch)
            };
            let result = held.paged.seal().await;
            let mut oracle = oracle.lock().unwrap();
            if result.is_ok() && oracle.epoch == epoch {
                oracle.acknowledge(covered);
            }
            result
        }
        .boxed()
    }

    /// A task of its own that appends and syncs, beside what comes.
    fn beside(&mut self) {
        let (append, sync) = (self.append(), self.sync());
        let (settings, case) = (self.settings, format!("{}: beside", self.case));
        let work = async move {
            for work in [append, sync] {
                match work.await {
                    Ok(()) | Err(Error::Storage(blob_runtime::Error::Closed)) => {}
                    Err(error) => expect_fault(settings, &error, &case),
                }
            }
        };
        drop(self.sim.spawn(work));
    }

    /// A task of its own that reads: what it gets is right when nothing was cut meanwhile, and never a false alarm.
    fn read_beside(&mut self) {
        let (held, oracle) = (Arc::clone(&self.held), Arc::clone(&self.oracle));
        let (settings, case, mut rng) = (self.settings, format!("{}: read beside", self.case), self.rng.fork());
        let work = async move {
            match read(&held.paged, &oracle, &mut rng, &case).await {
                Ok(()) | Err(Error::Cut { .. } | Error::OutOfBounds { .. }) => {}
                Err(error) => expect_fault(settings, &error, &case),
            }
        };
        drop(self.sim.spawn(work));
    }

    async fn cut(&mut self) {
        let keep = {
            let mut oracle = self.oracle.lock().unwrap();
            let keep = self.rng.usize(0..=oracle.len());
            oracle.begin_cut(keep);
            keep
        };
        let held = Arc::clone(&self.held);
        let cut = async move { held.paged.cut(keep as u64).await }.boxed();
        match self.drive(cut, 4, 30).await {
            Some(Ok(())) => self.oracle.lock().unwrap().end_cut(),
            // The stream is poisoned now, and anything in between may be found, unless it was refused before it began.
            Some(Err(error)) => {
                self.expect_fault(&error, "cut");
                if self.paged().poison_cause().is_none() {
                    let len = usize::try_from(self.paged().len()).unwrap();
                    self.oracle.lock().unwrap().settle_cut(len, &self.case);
                }
            }
            None => {
                self.paged().settle().await;
                if self.paged().poison_cause().is_none() {
                    let len = usize::try_from(self.paged().len()).unwrap();
                    self.oracle.lock().unwrap().settle_cut(len, &self.case);
                }
            }
        }
    }

    pub(super) async fn run(mut self) {
        const FAULTS: [Operation; 5] =
            [Operation::Write, Operation::Write, Operation::Sync, Operation::Resize, Operation::Read];
        for _ in 0..self.rng.usize(5..40) {
            if self.paged().poison_cause().is_some() {
                self = self.reopen().await;
            }
            if self.settings.faults && self.rng.u8(0..8) == 0 {
                let operation = FAULTS[self.rng.usize(0..FAULTS.len())];
                let nth = self.rng.u64(1..6);
                self.sim.faults().inject(blob_runtime::sim::Fault::eio(operation).nth(nth));
            }
            let (what, ended) = match self.rng.u8(0..20) {
                0..7 => {
                    let append = self.append();
                    ("append", self.drive(append, 6, 4).await)
                }
                7 | 8 => {
                    let held = Arc::clone(&self.held);
                    let flush = async move { held.paged.flush().await }.boxed();
                    ("flush", self.drive(flush, 4, 6).await)
                }
                11 => {
                    let seal = self.seal();
                    ("seal", self.drive(seal, 4, 10).await)
                }
                9 | 10 => {
                    let sync = self.sync();
                    ("sync", self.drive(sync, 4, 10).await)
                }
                12 => {
                    self.beside();
                    continue;
                }
                13 => {
                    self.read_beside();
                    continue;
                }
                14..17 => {
                    self.cut().await;
                    continue;
                }
                17 | 18 => {
                    let mut rng = self.rng.fork();
                    ("read", Some(read(self.paged(), &self.oracle, &mut rng, &self.case).await))
                }
                _ => {
                    self = self.reopen().await;
                    continue;
                }
            };
            if let Some(Err(error)) = ended {
                self.expect_fault(&error, what);
            }
            // What it says is durable must be (I5).
            let durable = usize::try_from(self.paged().durable()).unwrap();
            self.oracle.lock().unwrap().acknowledge(durable);
        }
    }
}

fn expect_fault(settings: Settings, error: &Error, case: &str) {
    assert!(settings.faults, "{case}: {error:?}");
    let told = matches!(error, Error::Storage(blob_runtime::Error::Io { .. } | blob_runtime::Error::Poisoned { .. }));
    assert!(told, "{case}: {error:?}");
}

/// Reads a range in both ways, and the rest by a replay; compares when nothing was cut meanwhile.
async fn read(paged: &Paged, oracle: &Shared, rng: &mut fastrand::Rng, case: &str) -> Result<(), Error> {
    let (len, epoch) = {
        let oracle = oracle.lock().unwrap();
        (oracle.len(), oracle.epoch)
    };
    let check = |from: usize, got: &[u8]| {
        let oracle = oracle.lock().unwrap();
        if let Some((expected, now)) = oracle.expected()
            && now == epoch
        {
            assert!(expected[from..].starts_with(got), "{case}: other bytes than were appended, from {from} on");
        }
    };
    let from = rng.usize(0..=len);
    let to = rng.usize(from..=len);
    let got = paged.read_at(from as u64, to - from).await?;
    assert_eq!(got.len(), to - from, "{case}");
    check(from, &got);
    if let Some(held) = paged.try_read_with(from as u64, to - from, <[u8]>::to_vec) {
        check(from, &held?);
    }
    let rest = replayed(paged, from as u64).await?;
    check(from, &rest);
    let oracle = oracle.lock().unwrap();
    if let Some((expected, now)) = oracle.expected()
        && now == epoch
    {
        assert!(from + rest.len() >= len && expected.len() >= len, "{case}: a replay ends too early");
    }
    Ok(())
}
