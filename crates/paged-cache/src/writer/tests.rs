use super::*;
use blob_runtime::append::Spares;
use blob_runtime::{Format, Kind, MemoryStorage, Storage, StoreId, Want};
use futures::executor::block_on;

fn config(buffer_bytes: usize) -> Config {
    Config { buffer_bytes, unsynced_bytes: u64::MAX, spares: Spares::new(1 << 20) }
}

fn blob(page_bytes: u32) -> Arc<dyn Blob> {
    let format = Format::new(Kind::PAGED, Want::Exactly(StoreId(1))).unit(Want::Exactly(page_bytes));
    block_on(MemoryStorage::new().open("p", b"page", &format)).unwrap()
}

fn open_over(blob: Arc<dyn Blob>, cache: &PageCache, buffer_bytes: usize) -> Paged {
    let survey = block_on(async { Survey::new(blob, None).await?.carry_out(u64::MAX).await }).unwrap();
    let len = survey.len();
    Paged::new(survey, len, cache, config(buffer_bytes))
}

/// A new stream in pages of 64 bytes.
pub(crate) fn open() -> Paged {
    open_over(blob(64), &PageCache::new(1 << 20), 1 << 20)
}

fn byte(at: usize) -> u8 {
    u8::try_from(at % 251).unwrap()
}

/// Appends `len` bytes, each the low byte of its offset.
pub(crate) fn put(paged: &Paged, from: usize, len: usize) {
    let bytes: Vec<u8> = (from..from + len).map(byte).collect();
    let offset = paged.append(len, |offset, space| {
        space.put(&bytes);
        offset
    });
    assert_eq!(block_on(offset).unwrap(), from as u64);
}

fn read(paged: &Paged, from: usize, to: usize) -> Bytes {
    let bytes = block_on(paged.read_at(from as u64, to - from)).unwrap();
    if let Some(tried) = paged.try_read_with(from as u64, to - from, Bytes::copy_from_slice) {
        assert_eq!(tried.unwrap(), bytes, "both ways of reading agree");
    }
    bytes
}

/// Every range, with every split between full pages, the page that is not full, and memory.
#[test]
fn every_range_reads_back_wherever_it_lies() {
    for first in [0, 1, 39, 40, 41, 79, 80, 85] {
        for second in [0, 1, 35, 40, 50] {
            let paged = open();
            put(&paged, 0, first);
            block_on(paged.sync()).unwrap();
            put(&paged, first, second);
            block_on(paged.flush()).unwrap();
            put(&paged, first + second, 5);
            let len = first + second + 5;
            let want: Vec<u8> = (0..len).map(byte).collect();
            for from in 0..=len {
                for to in from..=len {
                    assert_eq!(read(&paged, from, to), want[from..to], "{from}..{to} of {first}+{second}+5");
                }
            }
            let error = block_on(paged.read_at(len as u64, 1)).unwrap_err();
            assert!(
                matches!(error, Error::OutOfBounds { len: 1, stream_len, .. } if stream_len == len as u64),
                "{error:?}"
            );
            assert!(matches!(paged.try_read_with(u64::MAX, 9, |_| ()), Some(Err(Error::OutOfBounds { .. }))));
        }
    }
}

/// A partial page is written only by a sync, and reading never flushes (defect 3 of the reference).
#[test]
fn a_page_that_is_not_full_waits_for_a_sync() {
    let paged = open();
    put(&paged, 0, 50);
    block_on(paged.flush()).unwrap();
    assert_eq!((paged.blob().len(), paged.pending_bytes()), (64, 10));
    read(&paged, 0, 50);
    assert_eq!(paged.blob().len(), 64);
    block_on(paged.sync()).unwrap();
    assert_eq!((paged.blob().len(), paged.pending_bytes(), paged.durable()), (128, 0, 50));
}

/// Every cut of every state, then growth: what is read is what was appended last, from memory, cache and disk.
#[test]
fn a_cut_at_every_length_and_growth_after_it() {
    for (synced, more) in [(0, 30), (30, 0), (40, 0), (90, 0), (85, 45), (120, 1), (100, 100)] {
        for keep in 0..=synced + more {
            let paged = open();
            put(&paged, 0, synced);
            block_on(paged.sync()).unwrap();
            put(&paged, synced, more);
            read(&paged, 0, synced + more);
            block_on(paged.cut(keep as u64)).unwrap();
            assert_eq!((paged.len(), paged.durable() <= keep as u64), (keep as u64, true));
            let error = block_on(paged.read_at(keep as u64, 1)).unwrap_err();
            assert!(matches!(error, Error::OutOfBounds { .. }), "{error:?}");
            // Other bytes than before.
            let grown: Vec<u8> = (0..70).map(|at| byte(at) ^ 0x55).collect();
            block_on(paged.append(70, |_, space| space.put(&grown))).unwrap();
            let mut want: Vec<u8> = (0..keep).map(byte).collect();
            want.extend_from_slice(&grown);
            assert_eq!(read(&paged, 0, keep + 70), want, "{keep} of {synced}+{more}, in memory");
            block_on(paged.sync()).unwrap();
            assert_eq!(read(&paged, 0, keep + 70), want, "{keep} of {synced}+{more}, on disk");
            let again = open_over(Arc::clone(paged.blob()), &PageCache::new(0), 1 << 20);
            assert_eq!(read(&again, 0, keep + 70), want, "{keep} of {synced}+{more}, opened again");
        }
    }
    let paged = open();
    let error = block_on(paged.cut(1)).unwrap_err();
    assert!(matches!(error, Error::Storage(blob_runtime::Error::OutOfBounds { .. })), "{error:?}");
}

/// Random appends, syncs, flushes, cuts, reads and reopenings against a plain row of bytes, with every page size.
#[test]
fn the_stream_agrees_with_a_row_of_bytes() {
    for seed in 0..120 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let page_bytes = 1 << rng.u32(6..=12);
        let cache = PageCache::new(if rng.bool() { 20_000 } else { 0 });
        let blob = blob(page_bytes);
        let mut model: Vec<u8> = Vec::new();
        let mut paged = open_over(Arc::clone(&blob), &cache, rng.usize(1..500));
        for step in 0..200 {
            match rng.u8(0..12) {
                0..5 => {
                    let bytes: Vec<u8> = (0..rng.usize(0..300)).map(|_| rng.u8(..)).collect();
                    block_on(paged.append(bytes.len(), |_, space| space.put(&bytes))).unwrap();
                    model.extend_from_slice(&bytes);
                }
                5 | 6 => {
                    block_on(paged.sync()).unwrap();
                    assert_eq!(paged.durable(), model.len() as u64);
                }
                7 => block_on(paged.flush()).unwrap(),
                8 => {
                    let limit = rng.usize(0..=model.len());
                    block_on(paged.sync_through(limit as u64)).unwrap();
                    assert!(paged.durable() >= limit as u64);
                }
                9 => {
                    let keep = rng.usize(0..=model.len());
                    block_on(paged.cut(keep as u64)).unwrap();
                    model.truncate(keep);
                }
                10 => {
                    block_on(paged.sync()).unwrap();
                    paged = open_over(Arc::clone(&blob), &cache, rng.usize(1..500));
                }
                _ => {
                    let from = rng.usize(0..=model.len());
                    let mut replay = paged.replay(from as u64).unwrap();
                    let mut all = Vec::new();
                    while let Some(piece) = block_on(replay.next()).unwrap() {
                        all.extend_from_slice(&piece);
                    }
                    assert_eq!(all, model[from..], "seed {seed} step {step}");
                }
            }
            assert_eq!(paged.len(), model.len() as u64);
            let from = rng.usize(0..=model.len());
            let to = rng.usize(from..=model.len());
            assert_eq!(read(&paged, from, to), model[from..to], "seed {seed} step {step}");
        }
    }
}

/// A page that rots is named; every other page is read as before.
#[test]
fn a_damaged_page_is_named_and_the_others_are_read() {
    let paged = open();
    put(&paged, 0, 200);
    block_on(paged.sync()).unwrap();
    block_on(paged.blob().write_at(2 * 64 + 7, vec![Bytes::from_static(&[0xee])])).unwrap();
    let error = block_on(paged.read_at(0, 200)).unwrap_err();
    assert!(matches!(error, Error::ChecksumMismatch { page: 2, offset: 128, .. }), "{error:?}");
    read(&paged, 0, 80);
    read(&paged, 120, 200);
}

#[test]
fn an_item_in_a_cached_page_is_looked_at_in_place() {
    let paged = open();
    put(&paged, 0, 200);
    block_on(paged.sync()).unwrap();
    assert!(paged.try_read_with(0, 8, |_| ()).is_none(), "not held yet");
    block_on(paged.read_at(0, 8)).unwrap();
    let (first, second) = (paged.try_read_with(0, 8, <[u8]>::as_ptr), paged.try_read_with(1, 8, <[u8]>::as_ptr));
    assert_eq!(second.unwrap().unwrap(), first.unwrap().unwrap().wrapping_add(1), "the same page, no copy");
    assert!(paged.try_read_with(36, 8, |_| ()).is_none(), "across two pages: nowhere in one piece");
}

/// A stream is cut far back and appended to. The pages it had proved durable are gone: what is written in their place must
/// not prove that they are there, before a sync has returned for it (I5).
#[test]
fn a_cut_lowers_the_floor_of_what_comes() {
    let paged = open();
    for page in 0..6 {
        put(&paged, page * 40, 40);
        block_on(paged.sync()).unwrap();
    }
    block_on(paged.cut(40)).unwrap();
    put(&paged, 40, 80);
    block_on(paged.flush()).unwrap();
    let bytes = block_on(paged.blob().read_at(64, 2 * 64)).unwrap();
    for (number, bytes) in (1..).zip(bytes.chunks(64)) {
        let mark = page::verify(paged.geometry(), paged.binding(), number, bytes).unwrap();
        assert_eq!((mark.len(), mark.slot.floor), (40, 1), "page {number}");
    }
}
