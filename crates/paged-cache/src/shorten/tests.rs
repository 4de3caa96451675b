use blob_runtime::append::Config;
use blob_runtime::{Format, Kind, MemoryStorage, Storage, StoreId, Want};
use futures::executor::block_on;

use super::*;
use crate::geometry::SLOT_BYTES;
use crate::{PageCache, Paged, Survey};

const PAGE_BYTES: usize = 64;
const DATA_BYTES: usize = 40;
const PAGES: usize = 6;

/// Full pages, each synced by itself: each proves all before it.
async fn filled() -> Paged {
    let format = Format::new(Kind::PAGED, Want::Exactly(StoreId(1))).unit(Want::Default(64));
    let storage = MemoryStorage::new();
    drop(storage.open("p", b"a", &format).await.unwrap());
    let blob = storage.open("p", b"a", &format).await.unwrap();
    let survey = Survey::new(blob, None).await.unwrap();
    let paged = Paged::new(survey, 0, &PageCache::new(0), Config::default());
    for _ in 0..PAGES {
        paged.append(DATA_BYTES, |_, space| space.put(&[7; DATA_BYTES])).await.unwrap();
        paged.sync().await.unwrap();
    }
    paged
}

/// A stream is cut off in the middle. Power goes while zeros are written over the pages that go: some are gone, and of the
/// last one only the slot that counted, the newer one. What is left of that page must not prove those that are gone, or
/// recovery does not look at them, and reads behind the cut fail.
#[test]
fn whichever_slot_survives_proves_no_more_than_what_is_kept() {
    block_on(async {
        let paged = filled().await;
        let whole = Arc::clone(paged.blob());
        lower_floors(&whole, paged.geometry(), paged.binding(), DATA_BYTES as u64).await.unwrap();
        let bytes = whole.read_at(0, PAGES * PAGE_BYTES).await.unwrap();
        for last in 1..PAGES {
            for slot in [DATA_BYTES, DATA_BYTES + SLOT_BYTES] {
                let mut torn = bytes[..(last + 1) * PAGE_BYTES].to_vec();
                torn[PAGE_BYTES..last * PAGE_BYTES].fill(0);
                torn[last * PAGE_BYTES + slot..][..SLOT_BYTES].fill(0);
                whole.resize(0).await.unwrap();
                whole.write_at(0, vec![torn.into()]).await.unwrap();
                let survey = Survey::new(Arc::clone(&whole), None).await.unwrap();
                let case = format!("page {last}, the slot at {slot} is gone");
                assert!(survey.proven() <= DATA_BYTES as u64, "{case}: {} bytes are proven", survey.proven());
                let kept = survey.carry_out(u64::MAX).await.unwrap();
                // The second page proves no more than what is kept: it has but one slot.
                let want = if last == 1 && slot > DATA_BYTES { 2 } else { 1 };
                assert_eq!(kept.len(), (want * DATA_BYTES) as u64, "{case}");
                let found = Paged::new(kept, 0, &PageCache::new(0), Config::default());
                let len = usize::try_from(found.len()).unwrap();
                assert_eq!(found.read_at(0, len).await.unwrap(), vec![7; len], "{case}");
            }
        }
    });
}

/// A failed write or a crash has left a blob that ends inside of its last page, in the slot that is not used: data and the
/// other slot are whole. A cut passes that page over, and destroys pages before it; then the blob grows, and the page is
/// there again, proving what is gone.
#[test]
fn a_page_that_the_blob_ends_in_proves_no_more_than_what_is_kept_either() {
    for missing in 1..=SLOT_BYTES {
        block_on(async {
            let paged = filled().await;
            let whole = Arc::clone(paged.blob());
            whole.resize((PAGES * PAGE_BYTES - missing) as u64).await.unwrap();
            lower_floors(&whole, paged.geometry(), paged.binding(), DATA_BYTES as u64).await.unwrap();
            whole.write_at(PAGE_BYTES as u64, vec![vec![0; (PAGES - 2) * PAGE_BYTES].into()]).await.unwrap();
            whole.resize(((PAGES + 1) * PAGE_BYTES) as u64).await.unwrap();
            let survey = Survey::new(whole, None).await.unwrap();
            assert!(survey.proven() <= DATA_BYTES as u64, "{missing} missing: {} bytes are proven", survey.proven());
            assert_eq!(survey.len(), DATA_BYTES as u64, "{missing} missing");
        });
    }
}

/// The same blob is opened: zeros are all that is missing, so the page counts, also for a reader, and the open makes it
/// whole. In a stream that was closed in order it is damage: somebody has cut the file.
#[test]
fn a_page_whose_missing_bytes_are_zeros_counts() {
    for missing in 1..=SLOT_BYTES + 1 {
        block_on(async {
            let blob = Arc::clone(filled().await.blob());
            blob.resize((PAGES * PAGE_BYTES - missing) as u64).await.unwrap();
            let counts = if missing <= SLOT_BYTES { PAGES } else { PAGES - 1 };
            let survey = Survey::new(Arc::clone(&blob), None).await.unwrap();
            assert_eq!((survey.len(), survey.is_clean()), ((counts * DATA_BYTES) as u64, false), "{missing} missing");
            let reader = Paged::new(survey, 0, &PageCache::new(0), Config::default());
            let last = reader.read_at(((counts - 1) * DATA_BYTES) as u64, DATA_BYTES).await.unwrap();
            assert_eq!(last, [7; DATA_BYTES][..], "{missing} missing");
            let survey = Survey::new(Arc::clone(&blob), None).await.unwrap();
            survey.carry_out(u64::MAX).await.unwrap();
            assert_eq!(blob.len(), (counts * PAGE_BYTES) as u64, "{missing} missing");
            assert!(Survey::new(blob, None).await.unwrap().is_clean(), "{missing} missing");
        });
    }
}

/// What is left of a stream of one page when one of its slots is gone, torn by the zeros of a later cut, or rotten.
async fn without_a_slot(blob: &Arc<dyn Blob>) -> Vec<u64> {
    let page = blob.read_at(0, PAGE_BYTES).await.unwrap();
    let mut lengths = Vec::new();
    for slot in [DATA_BYTES, DATA_BYTES + SLOT_BYTES] {
        let mut torn = page.to_vec();
        torn[slot..slot + SLOT_BYTES].fill(0);
        blob.write_at(0, vec![torn.into()]).await.unwrap();
        lengths.push(Survey::new(Arc::clone(blob), None).await.unwrap().len());
    }
    blob.write_at(0, vec![page]).await.unwrap();
    lengths
}

/// A stream is cut inside of a page, and then a later cut of that page is torn: the slot that counted is gone, and the one
/// beside it said the old length, whose bytes were all there. A life of the simulated disk found it: 4 bytes came back of
/// which 3 had been cut off, durably.
#[test]
fn whichever_slot_survives_says_no_more_than_what_is_kept() {
    for keep in 1..DATA_BYTES {
        block_on(async {
            let paged = filled().await;
            paged.cut(keep as u64).await.unwrap();
            assert_eq!(without_a_slot(paged.blob()).await, [keep as u64; 2], "cut to {keep}");
        });
    }
}

/// The same cut, ended by a crash between its two slots: the recovery that shows the new length ends it.
#[test]
fn a_recovery_ends_a_cut_that_was_cut_short_between_its_slots() {
    for keep in 1..DATA_BYTES {
        block_on(async {
            let paged = filled().await;
            paged.cut(DATA_BYTES as u64).await.unwrap();
            let (blob, geometry, binding) = (Arc::clone(paged.blob()), paged.geometry(), paged.binding());
            let full = read_page(&blob, geometry, binding, 0).await.unwrap();
            let mark = Mark::next(binding, 0, [&full.data[..keep]], 0, full.mark.as_ref());
            let shorter = Last { data: full.data[..keep].to_vec(), mark: Some(mark) };
            write_slots(&blob, geometry, 0, &shorter, full.mark.as_ref()).await.unwrap();
            let found = Survey::new(Arc::clone(&blob), None).await.unwrap();
            assert_eq!(found.len(), keep as u64);
            found.carry_out(u64::MAX).await.unwrap();
            assert_eq!(without_a_slot(&blob).await, [keep as u64; 2], "cut to {keep}");
        });
    }
}
