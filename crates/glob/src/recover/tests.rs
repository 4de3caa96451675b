mod table;

use std::sync::Arc;

use blob_runtime::append::Config as LogConfig;
use blob_runtime::{Blob, Format, Kind, MemoryStorage, Storage, StoreId, Want};
use bytes::{BufMut, Bytes};
use futures::executor::block_on;

use super::*;
use crate::compress::{Compression, Packer};
use crate::error::Error;
use crate::frame::{FrameFault, SEAL_BYTES};
use crate::location::{Appended, Cursor};
use crate::section::{Expect, Resume, Section, Settings};

const TAG_BYTES: u32 = 2;

fn settings() -> Settings {
    Settings {
        log: LogConfig::default(),
        preallocate_bytes: 0,
        packer: Arc::new(Packer::new(Compression::None, 1000)),
        read_only: false,
    }
}

/// A section's blob in memory.
struct Bench {
    storage: Arc<dyn Storage>,
    blob: Arc<dyn Blob>,
}

impl Bench {
    fn new() -> Self {
        let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
        let format = Format::new(Kind::VALUES, Want::Exactly(StoreId(7))).unit(Want::Exactly(TAG_BYTES));
        let blob = block_on(storage.open("p", &3_u64.to_be_bytes(), &format)).unwrap();
        Self { storage, blob }
    }

    fn section(&self, from: Resume) -> Arc<Section> {
        Arc::new(Section::resume(3, Arc::clone(&self.blob), settings(), from).unwrap())
    }

    fn bytes(&self) -> Vec<u8> {
        block_on(self.blob.read_at(0, usize::try_from(self.blob.len()).unwrap())).unwrap().into()
    }

    fn set(&self, bytes: &[u8]) {
        block_on(self.blob.resize(0)).unwrap();
        block_on(self.blob.write_at(0, vec![Bytes::copy_from_slice(bytes)])).unwrap();
    }

    fn survey(&self, evidence: Evidence) -> Facts {
        block_on(survey(&self.blob, Cursor::START, evidence)).unwrap()
    }

    fn carry_out(&self, plan: &Plan) -> Done {
        block_on(carry_out(&self.storage, &self.blob, plan, 1 << 20)).unwrap()
    }

    /// Bytes in quarantine, of all cuts; without the notes.
    fn quarantined(&self) -> Vec<Vec<u8>> {
        let names = block_on(self.storage.scan("p-quarantine")).unwrap();
        let copies = names.iter().filter(|name| name.len() != 8 * 3 + 1 && name.len() != 8 * 3 + 5);
        copies
            .map(|name| {
                let format = Format::new(Kind::USER, Want::Exactly(StoreId(7))).existing();
                let blob = block_on(self.storage.open("p-quarantine", name, &format)).unwrap();
                block_on(blob.read_at(0, usize::try_from(blob.len()).unwrap())).unwrap().into()
            })
            .collect()
    }
}

/// One frame of the little log that the exhaustive tests break: where it is, and what it says.
#[derive(Debug, Clone, Copy)]
struct Known {
    at: Appended,
    floor: u64,
    continues: bool,
}

impl Known {
    fn end(self) -> u64 {
        self.at.location.end().unwrap()
    }
}

fn append(section: &Section, values: &[&[u8]]) -> Vec<Known> {
    let packer = Packer::new(Compression::None, 1000);
    let packed: Vec<_> = values.iter().map(|value| packer.pack(value).unwrap()).collect();
    let floor = section.floor();
    let tag = |_: usize, position: u64, _: crate::Location, buf: &mut Vec<u8>| {
        buf.put_u16(u16::try_from(position).unwrap());
    };
    let all = block_on(section.append_batch(&packed, tag)).unwrap();
    let last = all.len() - 1;
    all.iter().enumerate().map(|(n, at)| Known { at: *at, floor, continues: n < last }).collect()
}

/// Two values, a sync, a batch of three, a value, a sync, a batch of two, a value; all written.
fn little_log(bench: &Bench) -> Vec<Known> {
    let section = bench.section(Resume::default());
    let mut frames = append(&section, &[b"zero"]);
    frames.extend(append(&section, &[b""]));
    block_on(section.sync()).unwrap();
    frames.extend(append(&section, &[b"two", b"three", b"4"]));
    frames.extend(append(&section, &[b"five"]));
    block_on(section.sync()).unwrap();
    frames.extend(append(&section, &[b"six", b"seven"]));
    frames.extend(append(&section, &[b"eight"]));
    block_on(section.flush()).unwrap();
    frames
}

/// What is to be kept and whether it is damage, when of `frames` only those that `lives` says verify, each with its
/// header when `header` says so.
fn model(frames: &[Known], lives: impl Fn(usize) -> bool, header: impl Fn(usize) -> bool) -> (usize, bool) {
    let row = (0..frames.len()).find(|n| !lives(*n)).unwrap_or(frames.len());
    let mut keep = row;
    while keep > 0 && frames[keep - 1].continues {
        keep -= 1;
    }
    let proven = (0..frames.len()).filter(|n| header(*n)).map(|n| frames[n].floor).max().unwrap_or(0);
    let kept_bytes = if keep == 0 { 0 } else { frames[keep - 1].end() };
    (keep, proven > kept_bytes)
}

/// Carries a plan out and looks at what is there then: exactly the first `keep` values and a seal; and a second recovery
/// finds nothing to do.
fn check_outcome(bench: &Bench, plan: &Plan, frames: &[Known], values: &[Bytes], keep: usize) {
    let done = bench.carry_out(plan);
    let Some(resume) = done.resume else {
        assert_eq!((keep, plan.case), (0, Case::Nothing));
        return;
    };
    let kept_bytes = if keep == 0 { 0 } else { frames[keep - 1].end() };
    let end = Cursor { offset: kept_bytes + SEAL_BYTES as u64, position: keep as u64 };
    assert_eq!((resume.end, resume.durable, resume.sealed), (end, end.offset, true));
    assert_eq!(bench.blob.len(), end.offset);
    let again = super::plan(&bench.survey(Evidence::default()));
    assert_eq!((again.case, again.end, again.proven, again.damage), (Case::Sealed, end, kept_bytes, None));
    let clean = super::plan(&bench.survey(Evidence { clean: true, ..Evidence::default() }));
    assert_eq!(clean.case, Case::Sealed);
    assert_eq!(block_on(sealed_end(&bench.blob)).unwrap(), Some(end));
    let section = bench.section(resume);
    for (n, frame) in frames.iter().take(keep).enumerate() {
        let expect = Expect { position: Some(n as u64), tag: Some(&u16::try_from(n).unwrap().to_be_bytes()) };
        assert_eq!(block_on(section.read(frame.at.location, expect)).unwrap().value, values[n]);
    }
}

fn values(frames: &[Known], bench: &Bench) -> Vec<Bytes> {
    let bytes = Bytes::from(bench.bytes());
    let head = crate::frame::OVERHEAD_BYTES + TAG_BYTES as usize;
    let place = |known: &Known| usize::try_from(known.at.location.offset).unwrap();
    frames.iter().map(|known| bytes.slice(place(known) + head..usize::try_from(known.end()).unwrap())).collect()
}

/// The file is cut at every length, as after a crash that lost the last write: what is whole before it is kept, a batch
/// whole or not at all, and none of it is damage.
#[test]
fn every_length_of_a_small_log() {
    let bench = Bench::new();
    let frames = little_log(&bench);
    let whole = bench.bytes();
    let values = values(&frames, &bench);
    for len in 0..=whole.len() {
        bench.set(&whole[..len]);
        let facts = bench.survey(Evidence::default());
        let plan = plan(&facts);
        let fits = |n: usize| frames[n].end() <= len as u64;
        let (keep, damage) = model(&frames, fits, fits);
        assert!(!damage && plan.damage.is_none(), "{len}: {plan:?}");
        assert_eq!(plan.end.position, keep as u64, "{len}");
        let case = match (keep, frames.iter().any(|frame| frame.end() == len as u64)) {
            (0, _) => Case::Nothing,
            (_, true) if facts.open_batch.is_none() => Case::CleanEnd,
            _ => Case::TornTail,
        };
        assert_eq!(plan.case, case, "{len}");
        check_outcome(&bench, &plan, &frames, &values, keep);
        // The same file, but the store says that it was closed in order: every length is damage.
        bench.set(&whole[..len]);
        let clean = super::plan(&bench.survey(Evidence { clean: true, ..Evidence::default() }));
        assert_eq!((clean.case, clean.end.position), (Case::Damaged, keep as u64), "{len}");
    }
}

/// Every subset of the frames is lost (zeros where they were), as writes of one sync may be. What follows the first hole
/// goes; it is damage exactly when a frame that is left says that the hole was durable.
#[test]
fn every_subset_of_lost_frames() {
    let bench = Bench::new();
    let frames = little_log(&bench);
    let whole = bench.bytes();
    let values = values(&frames, &bench);
    let (mut damaged, mut torn) = (0, 0);
    for lost in 0..1_u32 << frames.len() {
        let lives = |n: usize| lost >> n & 1 == 0;
        let mut bytes = whole.clone();
        for (_, frame) in frames.iter().enumerate().filter(|(n, _)| !lives(*n)) {
            let start = usize::try_from(frame.at.location.offset).unwrap();
            bytes[start..usize::try_from(frame.end()).unwrap()].fill(0);
        }
        bench.set(&bytes);
        let plan = plan(&bench.survey(Evidence::default()));
        let (keep, damage) = model(&frames, lives, lives);
        assert_eq!((plan.end.position, plan.damage.is_some()), (keep as u64, damage), "{lost:b}: {plan:?}");
        let any_behind = (keep..frames.len()).any(lives);
        assert_eq!(plan.quarantine, damage || any_behind, "{lost:b}: {plan:?}");
        damaged += u32::from(damage);
        torn += u32::from(!damage);
        let gone = bytes[usize::try_from(plan.cut.start).unwrap()..].to_vec();
        let kept_before = bench.quarantined().len();
        check_outcome(&bench, &plan, &frames, &values, keep);
        if plan.quarantine && bench.quarantined().len() > kept_before {
            assert!(bench.quarantined().contains(&gone), "{lost:b}");
        }
    }
    assert!(damaged > 400 && torn > 20, "{damaged} {torn}");
}

/// Every bit of every frame flips, alone: the frame does not count, nor does anything behind it, and that is damage
/// exactly when a later frame proves that it was durable.
#[test]
fn every_flipped_bit_of_a_small_log() {
    let bench = Bench::new();
    let frames = little_log(&bench);
    let whole = bench.bytes();
    let values = values(&frames, &bench);
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bench.set(&bytes);
        let hit = frames.iter().position(|frame| (bit / 8) < usize::try_from(frame.end()).unwrap()).unwrap();
        let head = usize::try_from(frames[hit].at.location.offset).unwrap() + 40 + TAG_BYTES as usize;
        let facts = bench.survey(Evidence::default());
        let plan = plan(&facts);
        let (keep, damage) = model(&frames, |n| n != hit, |n| n != hit || bit / 8 >= head);
        assert_eq!((plan.end.position, plan.damage.is_some()), (keep as u64, damage), "bit {bit}: {plan:?}");
        assert!(matches!(facts.stop, Stop::Invalid(_)), "bit {bit}");
        if bit % 8 == 0 {
            check_outcome(&bench, &plan, &frames, &values, keep);
        }
    }
}

/// Preallocated zeros are no damage and no content; garbage there is a torn tail, and all of it goes, zeros too.
#[test]
fn what_lies_behind_the_last_frame_goes() {
    let bench = Bench::new();
    let frames = little_log(&bench);
    let whole = bench.bytes();
    let values = values(&frames, &bench);
    for (behind, case) in [
        (vec![0; 5000], Case::CleanEnd),
        ([&[0; 300][..], b"O"].concat(), Case::TornTail),
        (b"OVRF".to_vec(), Case::TornTail),
        (b"garbage".repeat(100), Case::TornTail),
    ] {
        bench.set(&[&whole[..], &behind].concat());
        let plan = plan(&bench.survey(Evidence::default()));
        assert_eq!((plan.case, plan.quarantine), (case, false));
        assert_eq!(plan.cut, whole.len() as u64..(whole.len() + behind.len()) as u64);
        check_outcome(&bench, &plan, &frames, &values, frames.len());
    }
}

/// A seal is made, then rots (defect 44). The values before it are whole, so nothing of them goes; and when something
/// was appended behind the seal, that proves what is missing.
#[test]
fn a_seal_that_rots() {
    let bench = Bench::new();
    let section = bench.section(Resume::default());
    append(&section, &[b"zero"]);
    block_on(section.seal()).unwrap();
    let sealed = bench.bytes();
    let start = sealed.len() - SEAL_BYTES;
    for at in start..sealed.len() {
        let mut bytes = sealed.clone();
        bytes[at] ^= 4;
        bench.set(&bytes);
        let plan = plan(&bench.survey(Evidence::default()));
        assert_eq!((plan.case, plan.end.position, plan.end.offset), (Case::TornTail, 1, start as u64), "{at}");
        let clean = super::plan(&bench.survey(Evidence { clean: true, ..Evidence::default() }));
        assert_eq!((clean.case, clean.damage.map(|damage| damage.offset)), (Case::Damaged, Some(start as u64)));
        assert_eq!(block_on(sealed_end(&bench.blob)).unwrap(), None);
    }
    bench.set(&sealed);
    append(&section, &[b"one"]);
    block_on(section.flush()).unwrap();
    let mut bytes = bench.bytes();
    bytes[start + 20] ^= 4;
    bench.set(&bytes);
    let plan = plan(&bench.survey(Evidence::default()));
    let damage = plan.damage.unwrap();
    assert_eq!((damage.offset, damage.position, damage.proven), (start as u64, 1, sealed.len() as u64));
    assert!(matches!(damage.fault, Some(FrameFault::Header { .. })), "{damage:?}");
}

/// A rewind goes into the middle of a batch, and the machine goes down (defects 42, 43, 50): before the truncation, in the
/// middle of the zeros, behind the truncation without the seal, behind the seal. The intent says where the batch ends now.
#[test]
fn a_decided_cut_is_carried_out_again_from_every_state() {
    let bench = Bench::new();
    let frames = little_log(&bench);
    let whole = bench.bytes();
    let values = values(&frames, &bench);
    for keep in 0..frames.len() {
        let offset = frames[keep].at.location.offset;
        let at = usize::try_from(offset).unwrap();
        let cut = Cursor { offset, position: keep as u64 };
        let evidence = Evidence { cut: Some(cut), ..Evidence::default() };
        let mut states = vec![whole.clone(), whole[..at].to_vec()];
        for zeros in [at + 1, (at + whole.len()) / 2, whole.len()] {
            let mut bytes = whole.clone();
            bytes[at..zeros].fill(0);
            states.push(bytes);
        }
        for state in states {
            bench.set(&state);
            let plan = plan(&bench.survey(evidence));
            assert_eq!((plan.case, plan.end, plan.damage, plan.quarantine), (Case::Cut, cut, None, false), "{keep}");
            check_outcome(&bench, &plan, &frames, &values, keep);
            // And again, behind the seal.
            let plan = super::plan(&bench.survey(evidence));
            assert_eq!((plan.case, plan.end), (Case::Cut, cut));
            check_outcome(&bench, &plan, &frames, &values, keep);
        }
        // What it keeps is not whole: that was durable before the cut was decided.
        if keep > 0 {
            let mut bytes = whole.clone();
            bytes[at - 1] ^= 1;
            bench.set(&bytes);
            let plan = super::plan(&bench.survey(evidence));
            assert_eq!((plan.case, plan.damage.is_some()), (Case::Damaged, true), "{keep}");
        }
    }
}

/// After the cut into a batch, with its seal, appends go on; the seal ends the batch, so nothing of it is missing.
#[test]
fn a_seal_ends_a_batch() {
    let bench = Bench::new();
    let section = bench.section(Resume::default());
    let frames = append(&section, &[b"zero", b"one", b"two"]);
    let hold = block_on(section.hold());
    block_on(hold.cut(Cursor { offset: frames[1].at.location.offset, position: 1 })).unwrap();
    drop(hold);
    // A second time to the same place, with something behind it.
    append(&section, &[b"one again"]);
    let hold = block_on(section.hold());
    let to = block_on(section.locate(1)).unwrap();
    block_on(hold.cut(to)).unwrap();
    drop(hold);
    append(&section, &[b"at last"]);
    block_on(section.flush()).unwrap();
    let facts = bench.survey(Evidence::default());
    assert_eq!((facts.end.position, facts.open_batch, facts.stop), (2, None, Stop::End));
    let plan = plan(&facts);
    assert_eq!((plan.case, plan.end.position, plan.damage), (Case::CleanEnd, 2, None));
    let size = |value: u64| 42 + value;
    let seals = 2 * SEAL_BYTES as u64;
    assert_eq!(plan.end.offset, size(4) + seals + size(7), "both seals are there");
    assert_eq!(plan.proven, size(4) + seals, "what the second one is behind");
}

/// The owner's index proves more than the frames do; or it names a boundary that is none.
#[test]
fn what_is_known_from_elsewhere_counts() {
    let bench = Bench::new();
    let frames = little_log(&bench);
    let whole = bench.bytes();
    let last = frames[8];
    bench.set(&whole[..whole.len() - 1]);
    let from = Cursor { offset: frames[5].at.location.offset, position: 5 };
    let ask = |floor| {
        let evidence = Evidence { floor, ..Evidence::default() };
        plan(&block_on(survey(&bench.blob, from, evidence)).unwrap())
    };
    let torn = ask(last.at.location.offset);
    assert_eq!((torn.case, torn.end.position, torn.proven), (Case::TornTail, 8, last.at.location.offset));
    let damaged = ask(last.end());
    assert_eq!((damaged.case, damaged.end.position), (Case::Damaged, 8));
    assert_eq!(damaged.damage.unwrap().fault, Some(FrameFault::Short { needed: 47, found: 46 }));
    let wrong = Cursor { position: 4, ..from };
    let facts = block_on(survey(&bench.blob, wrong, Evidence::default())).unwrap();
    assert_eq!(facts.stop, Stop::Invalid(FrameFault::Position { expected: 4, found: 5 }));
    let behind = Cursor { offset: whole.len() as u64 + 10, position: 9 };
    let floor = behind.offset;
    let facts = block_on(survey(&bench.blob, behind, Evidence { floor, ..Evidence::default() })).unwrap();
    assert_eq!(facts.stop, Stop::Invalid(FrameFault::Short { needed: 11, found: 0 }));
    let plan = plan(&facts);
    let refused = block_on(carry_out(&bench.storage, &bench.blob, &plan, 0)).unwrap_err();
    assert!(matches!(refused, Error::Corrupt { offset, .. } if offset == whole.len() as u64 - 1), "{refused:?}");
    assert_eq!(bench.bytes(), whole[..whole.len() - 1], "nothing was changed");
}

/// A batch whose end is missing while something proves that it was durable up to its middle: no floor lies inside a
/// batch, so that is damage, not a torn tail (defect 54).
#[test]
fn a_floor_inside_a_batch_is_damage() {
    let bench = Bench::new();
    let frames = little_log(&bench);
    let inside = frames[3].at.location.offset;
    bench.set(&bench.bytes()[..usize::try_from(frames[3].end()).unwrap()]);
    let facts = bench.survey(Evidence { floor: inside, ..Evidence::default() });
    assert_eq!(facts.open_batch.map(|batch| batch.position), Some(2));
    let plan = plan(&facts);
    assert_eq!((plan.case, plan.end.position, plan.quarantine), (Case::Damaged, 2, true));
    assert_eq!(plan.damage.map(|damage| damage.proven), Some(inside));
}

#[test]
fn the_tag_size_of_a_lost_header_is_claimed_by_the_frames() {
    let bench = Bench::new();
    let claimed = || block_on(claimed_tag_bytes(&bench.blob)).unwrap();
    assert_eq!(claimed(), None);
    bench.set(b"OVRF\0\x02");
    assert_eq!(claimed(), None);
    bench.set(b"garbage that is long enough");
    assert_eq!(claimed(), None);
    bench.set(b"");
    let section = bench.section(Resume::default());
    block_on(section.seal()).unwrap();
    assert_eq!(claimed(), None, "a seal has no tag");
    append(&section, &[b"zero"]);
    block_on(section.sync()).unwrap();
    assert_eq!(claimed(), Some(2));
}
