use super::*;
use crate::cache::PageCache;
use crate::flush::Pages;
use blob_runtime::append::{Layout, Pending};
use blob_runtime::{Format, Kind, MemoryStorage, Storage, StoreId, Want};
use futures::FutureExt;
use futures::executor::block_on;

const PAGE: usize = 64;
const DATA: usize = 40;

fn geometry() -> Geometry {
    Geometry::new(64).unwrap()
}

/// A blob that was made before: its header is sound.
fn blob() -> Arc<dyn Blob> {
    let format = Format::new(Kind::PAGED, Want::Exactly(StoreId(1))).unit(Want::Exactly(64));
    let storage = MemoryStorage::new();
    block_on(storage.open("p", b"page", &format)).unwrap();
    block_on(storage.open("p", b"page", &format)).unwrap()
}

fn binding(blob: &Arc<dyn Blob>) -> Binding {
    blob.header().binding(b"page")
}

fn set(blob: &Arc<dyn Blob>, content: &[u8]) {
    block_on(async {
        blob.resize(0).await?;
        blob.write_at(0, vec![Bytes::copy_from_slice(content)]).await
    })
    .unwrap();
}

fn survey(blob: &Arc<dyn Blob>) -> Survey {
    block_on(Survey::new(Arc::clone(blob), None)).unwrap()
}

/// The stream's byte at an offset: no two pages look alike.
fn byte(at: usize) -> u8 {
    u8::try_from((at * 7 + at / 40) % 251).unwrap()
}

fn stream(len: usize) -> Vec<u8> {
    (0..len).map(byte).collect()
}

/// A file as it is written, and what of it is durable.
struct File {
    pages: Pages,
    content: Vec<u8>,
    len: usize,
    written: usize,
}

impl File {
    fn new(blob: &Arc<dyn Blob>) -> Self {
        let pages = Pages::new(geometry(), binding(blob), 0, Last::default(), 0, Arc::new(PageCache::new(0).member()));
        Self { pages, content: Vec::new(), len: 0, written: 0 }
    }

    /// Appends up to `len`; answers the write that brings it to the file, as offset and bytes.
    fn plan(&mut self, len: usize, sync: bool) -> (usize, Vec<u8>) {
        self.len = len;
        let parts = stream(len).split_off(self.written);
        // In parts of odd lengths, as appends make them.
        let parts = parts.chunks(7).map(Bytes::copy_from_slice).collect();
        let plan = self.pages.plan(Pending { start: self.written as u64, parts, sync });
        self.written = usize::try_from(plan.through).unwrap();
        (usize::try_from(plan.offset).unwrap(), plan.data.concat())
    }

    fn apply(&mut self, (offset, data): &(usize, Vec<u8>), sync: bool) {
        write(&mut self.content, *offset, data);
        self.pages.written(self.written as u64);
        if sync {
            self.pages.synced(self.written as u64);
        }
    }
}

fn write(content: &mut Vec<u8>, offset: usize, data: &[u8]) {
    content.resize(content.len().max(offset + data.len()), 0);
    content[offset..offset + data.len()].copy_from_slice(data);
}

fn check(blob: &Arc<dyn Blob>, content: &[u8], at_least: usize, at_most: usize, case: &str) {
    set(blob, content);
    let found = survey(blob);
    let len = usize::try_from(found.len()).unwrap();
    assert!((at_least..=at_most).contains(&len), "{case}: {len} of {at_least}..={at_most}, {:?}", found.ended());
    assert!(found.proven() <= at_least as u64, "{case}: {} proven, {at_least} durable", found.proven());
    let carried = block_on(found.carry_out(u64::MAX)).unwrap();
    assert!(carried.is_clean(), "{case}");
    for (number, page) in
        block_on(blob.read_at(0, usize::try_from(blob.len()).unwrap())).unwrap().chunks(PAGE).enumerate()
    {
        let mark = page::verify(geometry(), binding(blob), number as u64, page).unwrap();
        let start = number * DATA;
        assert_eq!(&page[..mark.len()], &stream(len)[start..len.min(start + DATA)], "{case}: page {number}");
    }
}

/// Every length that is durable, every length appended to it, with and without a sync: the write is torn at every byte,
/// and any subset of its parts (the data and the slots of each page) survives. What was durable is always there, nothing
/// that was not appended ever is, and the whole write brings the whole stream.
#[test]
fn every_tail_state_every_durable_slot_every_crash_subset() {
    let blob = blob();
    for durable in 0..=2 * DATA + 5 {
        for syncs in [1, 2] {
            for more in [0, 1, 3, DATA - 1, DATA, DATA + 1, 2 * DATA + 3] {
                for sync in [false, true] {
                    let mut file = File::new(&blob);
                    for at in 1..=syncs {
                        // With two syncs the last page's durable slot is the other one.
                        let write = file.plan(durable * at / syncs, true);
                        file.apply(&write, true);
                    }
                    let before = file.content.clone();
                    let (offset, data) = file.plan(durable + more, sync);
                    let (at_most, case) =
                        (durable + more, format!("{durable} durable in {syncs}, {more} more, sync {sync}"));
                    // Torn at every byte, from the front and from the back.
                    for cut in 0..=data.len() {
                        let mut torn = before.clone();
                        write(&mut torn, offset, &data[..cut]);
                        check(&blob, &torn, durable, at_most, &format!("{case}, front {cut}"));
                        let mut torn = before.clone();
                        torn.resize(torn.len().max(offset + data.len()), 0);
                        write(&mut torn, offset + cut, &data[cut..]);
                        check(&blob, &torn, durable, at_most, &format!("{case}, back {cut}"));
                    }
                    // Any subset of data parts and slot parts.
                    let mut units = Vec::new();
                    let mut at = offset;
                    while at < offset + data.len() {
                        let page = at / PAGE * PAGE;
                        let end =
                            [page + DATA, page + DATA + 12, page + PAGE].into_iter().find(|end| *end > at).unwrap();
                        units.push(at..end.min(offset + data.len()));
                        at = end;
                    }
                    for subset in 0..1_u32 << units.len() {
                        let mut torn = before.clone();
                        for (bit, unit) in units.iter().enumerate() {
                            if subset & (1 << bit) != 0 {
                                write(&mut torn, unit.start, &data[unit.start - offset..unit.end - offset]);
                            }
                        }
                        let whole = subset + 1 == 1 << units.len();
                        let at_least = if whole { file.written.max(durable) } else { durable };
                        check(&blob, &torn, at_least, at_most, &format!("{case}, subset {subset:b}"));
                    }
                }
            }
        }
    }
}

/// The decision table, whole: for every row of four pages, exactly one case applies, and it is the one that is taken.
#[test]
fn exactly_one_case_applies() {
    let facts = [Fact::Invalid, Fact::Partial(3), Fact::Full];
    let mut seen = [0; 4];
    for row in 0..3_usize.pow(4) {
        let row: Vec<Fact> = (0..4).map(|at| facts[row / 3_usize.pow(at) % 3]).collect();
        for end in 0..=4 {
            let valid = row[..end].iter().rposition(|fact| *fact != Fact::Invalid);
            for floor in 0..=5 {
                let mut walk = Walk::new(valid.map(|last| (last as u64, floor)));
                let Some(last) = valid else {
                    assert_eq!((walk.ended, walk.len(geometry())), (Some(Ended::Whole), 0));
                    continue;
                };
                let mut at = usize::try_from(floor).unwrap().min(last);
                while walk.ended.is_none() {
                    assert_eq!(walk.page, at as u64);
                    walk.see(row[at]);
                    let is_last = at == last;
                    let cases = [
                        row[at] == Fact::Full,
                        matches!(row[at], Fact::Partial(_)) && is_last,
                        matches!(row[at], Fact::Partial(_)) && !is_last,
                        row[at] == Fact::Invalid,
                    ];
                    let case = cases.iter().position(|case| *case).unwrap();
                    assert_eq!(cases.iter().filter(|case| **case).count(), 1);
                    seen[case] += 1;
                    let page = at as u64;
                    let (ended, len) = match case {
                        0 => (is_last.then_some(Ended::Whole), (at + 1) * DATA),
                        1 => (Some(Ended::Whole), at * DATA + 3),
                        2 => (Some(Ended::Unfilled { page }), at * DATA + 3),
                        _ => (Some(Ended::Invalid { page }), at * DATA),
                    };
                    assert_eq!(
                        (walk.ended, walk.len(geometry())),
                        (ended, len as u64),
                        "{row:?} at {at} floor {floor}"
                    );
                    at += 1;
                }
            }
        }
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

/// Damage below the floor is not looked at here: the pages there are proven, and a read that needs one says so.
#[test]
fn what_lies_below_the_floor_is_not_cut() {
    let blob = blob();
    let mut file = File::new(&blob);
    for len in [3 * DATA, 4 * DATA, 5 * DATA + 2] {
        let write = file.plan(len, true);
        file.apply(&write, true);
    }
    file.content[PAGE + 1] ^= 1;
    set(&blob, &file.content);
    let found = survey(&blob);
    assert_eq!((found.len(), found.proven(), found.ended()), (5 * 40 + 2, 4 * 40, Ended::Whole));
    let carried = block_on(found.carry_out(u64::MAX)).unwrap();
    let mut content = file.content.clone();
    content.resize(usize::try_from(blob.len()).unwrap(), 0);
    assert_eq!(block_on(blob.read_at(0, content.len())).unwrap(), content, "and nothing was changed");
    assert_eq!(carried.proven(), 5 * 40);
}

/// A stream that is an index of something else: a page its judge does not believe does not count, nor does its floor.
#[test]
fn a_page_that_contradicts_what_it_indexes_does_not_count() {
    let blob = blob();
    let mut file = File::new(&blob);
    for len in [DATA, 3 * DATA, 4 * DATA] {
        let write = file.plan(len, true);
        file.apply(&write, true);
    }
    set(&blob, &file.content);
    for believed in 0..=4_u64 {
        let judge = move |start: u64, data: Bytes| {
            assert_eq!(data, stream(4 * DATA)[usize::try_from(start).unwrap()..][..DATA]);
            async move { Ok(start < believed * 40) }.boxed()
        };
        let found = block_on(Survey::new(Arc::clone(&blob), Some(&judge))).unwrap();
        assert_eq!((found.len(), found.ended()), (believed * 40, Ended::Whole));
        assert_eq!(found.left_over(), (4 - believed) * 64);
    }
    // One in the middle, above the floor of what is believed.
    let judge = |start: u64, _: Bytes| async move { Ok(start != 2 * 40) }.boxed();
    let found = block_on(Survey::new(Arc::clone(&blob), Some(&judge))).unwrap();
    assert_eq!((found.len(), found.ended()), (4 * 40, Ended::Whole), "below the floor of page 3, which is believed");
    let judge = |start: u64, _: Bytes| async move { Ok(start == 40) }.boxed();
    let found = block_on(Survey::new(Arc::clone(&blob), Some(&judge))).unwrap();
    assert_eq!((found.len(), found.proven()), (2 * 40, 40));
}

/// A reader looks at a part of the stream that ends in a page below the floor whose newer slot has rotted: the older one
/// knows less than is asked for, and that is told.
#[test]
fn a_limit_in_a_damaged_page_is_refused() {
    let blob = blob();
    let mut file = File::new(&blob);
    for len in [9, DATA, 2 * DATA, 3 * DATA] {
        let write = file.plan(len, true);
        file.apply(&write, true);
    }
    file.content[PAGE - 1] ^= 1;
    set(&blob, &file.content);
    let limited = block_on(survey(&blob).limit(9)).unwrap();
    assert_eq!((limited.len(), &limited.last.data[..]), (9, &stream(9)[..]));
    let error = block_on(survey(&blob).limit(10)).unwrap_err();
    assert!(matches!(error, Error::Storage(blob_runtime::Error::Corrupt { offset: 0, .. })), "{error:?}");
}

#[test]
fn shortening_keeps_what_it_should_at_every_length() {
    for len in 0..=3 * DATA {
        for keep in 0..=len {
            let blob = blob();
            let mut file = File::new(&blob);
            let write = file.plan(len, true);
            file.apply(&write, true);
            set(&blob, &file.content);
            let carried = block_on(survey(&blob).carry_out(keep as u64)).unwrap();
            assert_eq!(carried.len(), keep as u64);
            let again = survey(&blob);
            assert_eq!(again.len(), keep as u64, "{keep} of {len}");
            assert!(again.is_clean());
            assert_eq!(again.last, carried.last);
        }
    }
}

/// Whatever the bytes are: no panic, and a second look after carrying out finds the same.
#[test]
fn arbitrary_bytes_are_survived() {
    let blob = blob();
    let mut rng = fastrand::Rng::with_seed(1);
    let mut file = File::new(&blob);
    let write = file.plan(5 * DATA + 9, true);
    file.apply(&write, true);
    for _ in 0..3_000 {
        let mut content = file.content.clone();
        for _ in 0..rng.usize(0..6) {
            let at = rng.usize(0..content.len());
            match rng.u8(0..3) {
                0 => content[at] ^= 1 << rng.u8(0..8),
                1 => content.truncate(at.max(1)),
                _ => {
                    let from = rng.usize(0..content.len());
                    let len = rng.usize(0..=(content.len() - at).min(content.len() - from).min(2 * PAGE));
                    content.copy_within(from..from + len, at);
                }
            }
        }
        set(&blob, &content);
        let found = survey(&blob);
        let len = found.len();
        block_on(found.carry_out(u64::MAX)).unwrap();
        let again = survey(&blob);
        assert_eq!((again.len(), again.is_clean()), (len, true));
    }
    for _ in 0..300 {
        let content: Vec<u8> = (0..rng.usize(1..500)).map(|_| rng.u8(..)).collect();
        set(&blob, &content);
        assert_eq!(survey(&blob).len(), 0);
    }
}
