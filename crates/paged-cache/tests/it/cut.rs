//! A cut on the simulated disk, with a crash before every step of it.

use std::sync::Arc;

use blob_runtime::append::Config;
use blob_runtime::sim::{self, Crash, Cut, Fault, Sim};
use blob_runtime::{Format, HeaderState, Kind, Operation, Storage, StoreId, Want};
use paged_cache::{Error, PageCache, Paged, Survey};

/// Bytes of a page of 64 that are the stream's.
const DATA: usize = 40;

async fn open(sim: &Sim) -> Result<Paged, Error> {
    let format = Format::new(Kind::PAGED, Want::Exactly(StoreId(1))).unit(Want::Default(64));
    let blob = sim.storage().open("p", b"stream", &format).await?;
    let survey = Survey::new(blob, None).await?.carry_out(u64::MAX).await?;
    let len = survey.len();
    Ok(Paged::new(survey, len, &PageCache::new(0), Config::default()))
}

fn stream(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

async fn append(paged: &Paged, to: usize) -> Result<(), Error> {
    let from = usize::try_from(paged.len()).unwrap();
    paged.append(to - from, |_, space| space.put(&stream(to)[from..])).await
}

/// The states a stream is cut in: how it comes to be, and how much of it is durable before the cut.
#[derive(Debug, Clone, Copy)]
enum State {
    /// A sync for every page, so that each page proves all before it.
    EachPageSynced,
    /// One sync for all.
    OneSync,
    /// A part of the first page is durable; its filling, in the other slot, is only written.
    FilledUnsynced,
}

impl State {
    async fn make(self, paged: &Paged) -> Result<usize, Error> {
        match self {
            Self::EachPageSynced => {
                for pages in 1..=6 {
                    append(paged, pages * DATA).await?;
                    paged.sync().await?;
                }
                Ok(6 * DATA)
            }
            Self::OneSync => {
                append(paged, 5 * DATA + 7).await?;
                paged.sync().await?;
                Ok(5 * DATA + 7)
            }
            Self::FilledUnsynced => {
                append(paged, 10).await?;
                paged.sync().await?;
                append(paged, DATA).await?;
                paged.flush().await?;
                Ok(10)
            }
        }
    }
}

/// Power goes before every step of a cut, and any part of what was not durable survives: what is found is the stream up
/// to somewhere from the cut's end to the old one, and every byte of it can be read. A page that survives the zeros must
/// not prove one that did not, and the slot that is durable is not the one the cut writes.
#[test]
fn a_crash_before_every_step() {
    for state in [State::EachPageSynced, State::OneSync, State::FilledUnsynced] {
        for keep in [0, 1, 8, DATA - 1, DATA, DATA + 3, 2 * DATA, 3 * DATA + 39] {
            for seed in 0..40 {
                for step in 1.. {
                    if sim::run(seed, async |sim| cut_short(&sim, state, keep, step).await) {
                        break;
                    }
                }
            }
        }
    }
}

/// Whether the cut ended before the crash, or the state is shorter than what is to be kept.
async fn cut_short(sim: &Sim, state: State, keep: usize, step: u64) -> bool {
    let case = format!("{state:?}, keep {keep}, seed {}, step {step}", sim.seed());
    let paged = open(sim).await.unwrap();
    let durable = state.make(&paged).await.unwrap();
    let len = usize::try_from(paged.len()).unwrap();
    if keep > len {
        return true;
    }
    sim.crash_at(step, Crash::Power(Cut::Random));
    let cut = async move { paged.cut(keep as u64).await };
    let ended = sim.life(cut).await;
    sim.disarm();
    if let Some(ended) = &ended {
        ended.as_ref().unwrap_or_else(|error| panic!("{case}: {error}"));
        sim.crash(Crash::Power(Cut::LoseAll));
    }
    let found = open(sim).await.unwrap();
    let shown = usize::try_from(found.len()).unwrap();
    let (at_least, at_most) = if ended.is_some() { (keep, keep) } else { (keep.min(durable), len) };
    assert!((at_least..=at_most).contains(&shown), "{case}: {shown} bytes of {at_least}..={at_most}");
    let bytes = found.read_at(0, shown).await.unwrap_or_else(|error| panic!("{case}: {error}"));
    assert_eq!(bytes, stream(shown), "{case}");
    let again = Survey::new(Arc::clone(found.blob()), None).await.unwrap();
    assert_eq!((again.len(), again.left_over()), (shown as u64, 0), "{case}");
    ended.is_some()
}

/// A cut has truncated the file, the sync of that fails, and the process is killed: the page cache shows the short file,
/// the disk has the long one, and the next sync would say Ok and change nothing. What the open shows is durable (P9), the
/// length too: the bytes behind it would come back with a power cut, in a stream that is closed in order by then.
#[test]
fn a_length_that_only_the_cache_knows_is_set_again() {
    let mut longer_on_the_disk = 0;
    for keep in [0, 8, DATA, 2 * DATA + 3] {
        for failing in 1..10 {
            sim::run(failing, async |sim| {
                let case = format!("keep {keep}, sync {failing} fails");
                let paged = open(&sim).await.unwrap();
                State::EachPageSynced.make(&paged).await.unwrap();
                let fault = Fault::eio(Operation::Sync).blob("p", b"stream").nth(failing).survivors(Cut::LoseAll);
                sim.faults().inject(fault);
                let failed = paged.cut(keep as u64).await.is_err();
                sim.faults().clear();
                sim.crash(Crash::Kill);
                drop(paged);
                let file =
                    || [sim.disk().visible("p", b"stream").unwrap(), sim.disk().durable("p", b"stream").unwrap()];
                let [visible, durable] = file();
                assert!(failed || visible == durable, "{case}");
                longer_on_the_disk += u32::from(visible.len() < durable.len());
                let shown = open(&sim).await.unwrap().len();
                let [visible, durable] = file();
                assert_eq!(visible.len(), durable.len(), "{case}: what is shown is not what the disk has");
                sim.crash(Crash::Power(Cut::LoseAll));
                assert_eq!(file(), [visible.clone(), visible], "{case}");
                assert_eq!(open(&sim).await.unwrap().len(), shown, "{case}");
            });
        }
    }
    assert!(longer_on_the_disk >= 4, "{longer_on_the_disk} of the cuts left a longer file on the disk");
}

/// The first sync of a stream fails, and nothing of it is on the disk, not the header either; the process is killed. The
/// next open finds all of it in the page cache, and makes it durable: header, pages and name.
#[test]
fn a_header_that_only_the_cache_knows_is_written_again() {
    sim::run(1, async |sim| {
        let format = Format::new(Kind::PAGED, Want::Exactly(StoreId(1))).unit(Want::Default(64));
        let blob = sim.storage().open("p", b"stream", &format).await.unwrap();
        let survey = Survey::new(blob, None).await.unwrap();
        let paged = Paged::new(survey, 0, &PageCache::new(0), Config::default());
        append(&paged, 3 * DATA + 7).await.unwrap();
        sim.faults().inject(Fault::eio(Operation::Sync).survivors(Cut::LoseAll));
        let failed = paged.sync().await.unwrap_err();
        assert!(matches!(failed, Error::Storage(blob_runtime::Error::Poisoned { .. })), "{failed:?}");
        drop(paged);
        sim.crash(Crash::Kill);
        assert_eq!(sim.disk().durable("p", b"stream"), Some(Vec::new()), "nothing has reached the disk");
        let shown = open(&sim).await.unwrap().len();
        assert_eq!(shown, (3 * DATA + 7) as u64);
        sim.crash(Crash::Power(Cut::LoseAll));
        let blob = sim.storage().open("p", b"stream", &format.existing()).await.unwrap();
        assert_eq!(blob.header_state(), HeaderState::Sound);
        assert_eq!(open(&sim).await.unwrap().read_at(0, 3 * DATA + 7).await.unwrap(), stream(3 * DATA + 7));
    });
}

/// A stream is cut and grows again with other bytes, and a block that was cut off comes back with what it held before, as
/// ext4 does with `data=writeback` (defect 38). An old page would fit to the byte: the same number, the same store. It was
/// overwritten with zeros, durably, before the truncation, so what comes back is no page.
#[test]
fn a_freed_block_that_comes_back_holds_no_page() {
    for seed in 0..400 {
        sim::run(seed, async |sim| {
            sim.disk().set_stale(true);
            let paged = open(&sim).await.unwrap();
            State::EachPageSynced.make(&paged).await.unwrap();
            paged.cut(DATA as u64).await.unwrap();
            for _ in 1..6 {
                paged.append(DATA, |_, space| space.put(&[0xaa; DATA])).await.unwrap();
                paged.flush().await.unwrap();
            }
            drop(paged);
            sim.crash(Crash::Power(Cut::Random));
            let found = open(&sim).await.unwrap();
            let shown = found.read_at(0, usize::try_from(found.len()).unwrap()).await.unwrap();
            assert_eq!(shown[..DATA], stream(DATA), "seed {seed}");
            assert!(shown[DATA..].iter().all(|byte| *byte == 0xaa), "seed {seed}: an old page is back");
        });
    }
}
