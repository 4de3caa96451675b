//! A blob of pages: surveyed, read in every way, recovered, cut.

use std::sync::Arc;

use blob_runtime::append::Config;
use blob_runtime::{Blob, Error as StorageError, Header, Kind, Salt, StoreId};
use futures::executor::block_on;
use paged_cache::{Error, Geometry, PageCache, Paged, Survey};

use crate::input::{Input, expand};
use crate::memory::Memory;
use crate::reseal;

/// The most that one read may ask for.
const MAX_READ_BYTES: u64 = 1 << 20;
/// The longest blob.
const MAX_BYTES: usize = 96 << 10;
pub(crate) const NAME: &[u8] = b"stream";

pub(crate) fn header(page_bits: u8) -> Header {
    Header { kind: Kind::PAGED, unit: 1 << page_bits, item: 0, store: StoreId(1), salt: Salt(2) }
}

/// `flags u8 │ where to read and to cut, u16 │ the blob, without its zeros`. Bit 0: checksums are made anew; the
/// highest four: page size.
///
/// # Panics
/// When a promise is broken.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let (flags, place) = (input.u8(), input.u16());
    let header = header(6 + (flags >> 4) % 11);
    let mut bytes = expand(&mut input, MAX_BYTES);
    if flags & 1 != 0 {
        reseal::pages(&mut bytes, header.unit as usize, header.binding(NAME));
    }
    let Some(blob) = Memory::new(NAME, header, bytes) else { return };
    block_on(look(&blob, place));
}

fn shared(blob: &Arc<Memory>) -> Arc<dyn Blob> {
    Arc::clone(blob) as Arc<dyn Blob>
}

/// Everything one may do with a stream that was found so; the bounds hold for each step.
async fn look(blob: &Arc<Memory>, place: u16) {
    let file = blob.len();
    let Ok(geometry) = Geometry::new(blob.header().unit) else { return };
    let bounded = |what: &str, times: u64, pages: u64| {
        let (read, most) = (blob.taken(), times * file + pages * geometry.page_bytes() as u64);
        assert!(read <= most, "P13: {what} has read {read} bytes of a file of {file}");
    };
    let Ok(survey) = Survey::new(shared(blob), None).await else { panic!("P8: a survey fails") };
    bounded("a survey", 2, 0);
    let (len, proven) = (survey.len(), survey.proven());
    assert!(geometry.blob_len(len) <= file && proven <= len, "{len} bytes, {proven} proven, of a file of {file}");

    let paged = Paged::new(survey, proven, &PageCache::new(64 << 10), Config::default());
    let from = if len == 0 { 0 } else { u64::from(place) % (len + 1) };
    let Ok(mut replay) = paged.replay(from) else { panic!("P8: a replay from {from} of {len} does not begin") };
    let mut replayed = Vec::new();
    let whole = loop {
        match replay.next().await {
            Ok(Some(piece)) => replayed.extend_from_slice(&piece),
            Ok(None) => break true,
            // What lies below the floor is looked at when it is read.
            Err(Error::ChecksumMismatch { .. } | Error::Cut { .. }) => break false,
            Err(error) => panic!("P12: a replay answers {error}"),
        }
    };
    assert!(!whole || from + replayed.len() as u64 == len, "a replay ends too early");
    bounded("a replay", 1, 1);
    for n in 0..8 {
        let at = from + (replayed.len() as u64 / 8) * n;
        let bytes = usize::try_from((len - at).min(3 * geometry.data_bytes() as u64 / (n + 1))).unwrap_or(0);
        match paged.read_at(at, bytes).await {
            Ok(read) => {
                assert_eq!(read.len(), bytes, "a read is short");
                let start = usize::try_from(at - from).unwrap_or(usize::MAX);
                if let Some(same) = replayed.get(start..start + bytes) {
                    assert!(read[..] == *same, "P3: a read at {at} and a replay differ");
                }
            }
            Err(Error::ChecksumMismatch { .. }) => {}
            Err(error) => panic!("P12: a read answers {error}"),
        }
        bounded("a read", 0, 6);
    }
    assert!(matches!(paged.read_at(len, 1).await, Err(Error::OutOfBounds { .. })), "a read behind the end");
    // A last page that is damaged cannot prove those before it any more.
    let sound = async |len: u64| len == 0 || paged.read_at(len - 1, 1).await.is_ok();
    let keep = from;
    let (sound, sound_after) = (sound(len).await, sound(keep).await);
    drop(paged);
    recover(blob, len, keep, sound, sound_after).await;
    assert!(blob.largest() <= MAX_READ_BYTES, "P13: one read of {} bytes", blob.largest());
}

/// A recovery, a second look, and a cut.
async fn recover(blob: &Arc<Memory>, len: u64, keep: u64, sound: bool, sound_after: bool) {
    let again = async || Survey::new(shared(blob), None).await.ok();
    let Some(survey) = again().await else { panic!("P8: a survey fails") };
    match survey.carry_out(u64::MAX).await {
        Ok(carried) => assert_eq!((carried.len(), carried.is_clean()), (len, true), "a recovery finds something else"),
        Err(error) => panic!("P12: a recovery answers {error}"),
    }
    let Some(survey) = again().await else { panic!("P8: a survey fails") };
    if sound {
        assert_eq!((survey.len(), survey.is_clean()), (len, true), "P9: a second look finds something else");
    }
    // A cut reads what it cuts off once, and the page it ends in. That may be one that does not verify.
    match survey.carry_out(keep).await {
        Ok(cut) if sound && sound_after => {
            let Some(found) = again().await else { panic!("P8: a survey fails") };
            assert_eq!((cut.len(), found.len(), found.left_over()), (keep, keep, 0), "a cut to {keep} of {len}");
        }
        Ok(cut) => assert!(cut.len() <= keep && cut.left_over() == 0, "a cut to {keep} of {len}"),
        Err(Error::Storage(StorageError::Corrupt { .. })) => {}
        Err(error) => panic!("P12: a cut answers {error}"),
    }
}
