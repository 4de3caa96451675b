//! Any bytes as a blob's content: nothing panics, every read is bounded, and the bytes read are linear in the file.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;
use blob_runtime::append::Config;
use blob_runtime::{
    Blob, BlobId, Error as StorageError, Format, Header, HeaderState, Kind, MemoryStorage, Storage, StoreId, Want,
};
use bytes::{BufMut, Bytes};
use futures::executor::block_on;
use paged_cache::{Error, Geometry, PageCache, Paged, Survey};

/// The most that one read may ask for.
const MAX_READ_BYTES: usize = 1 << 20;
/// Bytes of both slots.
const SLOTS_BYTES: usize = 24;

/// Counts what is read from a blob.
#[derive(Debug)]
struct Counted {
    blob: Arc<dyn Blob>,
    read: AtomicU64,
    largest: AtomicUsize,
}

impl Counted {
    fn note(&self, len: usize) {
        self.read.fetch_add(len as u64, Ordering::Relaxed);
        self.largest.fetch_max(len, Ordering::Relaxed);
    }

    /// Bytes read since the last call.
    fn taken(&self) -> u64 {
        self.read.swap(0, Ordering::Relaxed)
    }
}

#[async_trait]
impl Blob for Counted {
    fn id(&self) -> &BlobId {
        self.blob.id()
    }

    fn header(&self) -> &Header {
        self.blob.header()
    }

    fn header_state(&self) -> HeaderState {
        self.blob.header_state()
    }

    fn len(&self) -> u64 {
        self.blob.len()
    }

    fn try_read_at(&self, offset: u64, len: usize) -> Option<Result<Bytes, StorageError>> {
        self.note(len);
        self.blob.try_read_at(offset, len)
    }

    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, StorageError> {
        self.note(len);
        self.blob.read_at(offset, len).await
    }

    async fn write_at(&self, offset: u64, data: Vec<Bytes>) -> Result<(), StorageError> {
        self.blob.write_at(offset, data).await
    }

    async fn resize(&self, len: u64) -> Result<(), StorageError> {
        self.blob.resize(len).await
    }

    async fn sync(&self) -> Result<(), StorageError> {
        self.blob.sync().await
    }

    async fn write_at_sync(&self, offset: u64, data: Vec<Bytes>) -> Result<(), StorageError> {
        self.blob.write_at_sync(offset, data).await
    }

    async fn write_header(&self) -> Result<(), StorageError> {
        self.blob.write_header().await
    }
}

/// A blob that was made before and holds `content`, in pages of this size.
fn blob(page_bytes: u32, content: impl FnOnce(&dyn Blob) -> Vec<u8>) -> Arc<Counted> {
    let storage = MemoryStorage::new();
    let format = Format::new(Kind::PAGED, Want::Exactly(StoreId(1))).unit(Want::Exactly(page_bytes));
    block_on(async {
        drop(storage.open("p", b"stream", &format).await.unwrap());
        let blob = storage.open("p", b"stream", &format).await.unwrap();
        let content = content(blob.as_ref());
        blob.write_at(0, vec![content.into()]).await.unwrap();
        Arc::new(Counted { blob, read: AtomicU64::new(0), largest: AtomicUsize::new(0) })
    })
}

/// One slot with a checksum that matches, whatever it claims: who knows the salt can forge it.
fn slot(binding: blob_runtime::Binding, number: u64, data: &[u8], [len, generation]: [u16; 2], floor: u32) -> Vec<u8> {
    let mut slot = Vec::new();
    slot.put_u16(len);
    slot.put_u16(generation);
    slot.put_u32(floor);
    let mut crc = binding.hasher();
    crc.update(&number.to_be_bytes());
    crc.update(data.get(..usize::from(len)).unwrap_or(data));
    crc.update(&slot);
    slot.put_u32(crc.finalize());
    slot
}

/// Pages with slots that mostly verify and claim anything; some are random bytes, some zeros.
fn forged(rng: &mut fastrand::Rng, blob: &dyn Blob, page_bytes: usize, bytes: usize) -> Vec<u8> {
    let binding = blob.header().binding(blob.id().name());
    let data_bytes = page_bytes - SLOTS_BYTES;
    let mut content = Vec::with_capacity(bytes);
    for number in 0..(bytes / page_bytes) as u64 {
        let mut page: Vec<u8> = (0..page_bytes).map(|_| rng.u8(..)).collect();
        match rng.u8(0..12) {
            0 => page.fill(0),
            1 => {}
            _ => {
                let (data, slots) = page.split_at_mut(data_bytes);
                for place in slots.chunks_mut(SLOTS_BYTES / 2) {
                    let full = u16::try_from(data_bytes).unwrap();
                    let len = if rng.u8(0..4) > 0 { full } else { rng.u16(0..=full.saturating_add(3)) };
                    let floor = match rng.u8(0..4) {
                        0 => rng.u32(..),
                        1 => u32::MAX,
                        _ => rng.u32(0..=u32::try_from(number).unwrap()),
                    };
                    place.copy_from_slice(&slot(binding, number, data, [len, rng.u16(..)], floor));
                }
            }
        }
        content.extend_from_slice(&page);
    }
    // The file may end anywhere.
    content.extend((0..rng.usize(0..page_bytes)).map(|_| rng.u8(..)));
    content
}

/// Everything one may do with a stream that was found so; the bounds hold for each step.
async fn look(blob: &Arc<Counted>, rng: &mut fastrand::Rng, case: &str) {
    let shared = || -> Arc<dyn Blob> { Arc::clone(blob) as Arc<dyn Blob> };
    let file = blob.len();
    let geometry = Geometry::new(blob.header().unit).unwrap();
    let bounded = |what: &str, times: u64, pages: u64| {
        let (read, most) = (blob.taken(), times * file + pages * geometry.page_bytes() as u64);
        assert!(read <= most, "{case}: {what} has read {read} bytes of a file of {file}");
    };
    let survey = Survey::new(shared(), None).await.unwrap_or_else(|error| panic!("{case}: {error}"));
    bounded("a survey", 2, 0);
    let (len, proven) = (survey.len(), survey.proven());
    assert!(geometry.blob_len(len) <= file && proven <= len, "{case}: {len} bytes, {proven} proven");

    let cache = PageCache::new(1 << 20);
    let paged = Paged::new(survey, proven, &cache, Config::default());
    let from = rng.u64(0..=len);
    let mut replay = paged.replay(from).unwrap();
    let mut at = from;
    loop {
        match replay.next().await {
            Ok(Some(piece)) => at += piece.len() as u64,
            Ok(None) => break assert_eq!(at, len, "{case}: a replay ends too early"),
            // What lies below the floor is looked at when it is read.
            Err(Error::ChecksumMismatch { .. } | Error::Cut { .. }) => break,
            Err(error) => panic!("{case}: {error}"),
        }
    }
    bounded("a replay", 1, 1);
    for _ in 0..10 {
        let from = rng.u64(0..=len);
        let bytes = usize::try_from(rng.u64(0..=(len - from).min(4 * geometry.data_bytes() as u64))).unwrap();
        match paged.read_at(from, bytes).await {
            Ok(read) => assert_eq!(read.len(), bytes, "{case}"),
            Err(Error::ChecksumMismatch { .. }) => {}
            Err(error) => panic!("{case}: {error}"),
        }
        bounded("a read", 0, 6);
    }
    let error = paged.read_at(len, 1).await.map(drop).unwrap_err();
    assert!(matches!(error, Error::OutOfBounds { stream_len, .. } if stream_len == len), "{case}: {error}");
    // A last page that is damaged cannot prove those before it any more.
    let sound = async |len: u64| len == 0 || paged.read_at(len - 1, 1).await.is_ok();
    let keep = rng.u64(0..=len);
    let (sound, sound_after) = (sound(len).await, sound(keep).await);
    drop(paged);

    let again = Survey::new(shared(), None).await.unwrap();
    blob.taken();
    let carried = again.carry_out(u64::MAX).await.unwrap_or_else(|error| panic!("{case}: {error}"));
    bounded("a recovery", 1, 2);
    assert_eq!((carried.len(), carried.is_clean()), (len, true), "{case}");
    let again = Survey::new(shared(), None).await.unwrap();
    if sound {
        assert_eq!((again.len(), again.is_clean()), (len, true), "{case}: a second look finds something else");
    }
    blob.taken();
    // A cut reads what it cuts off once, and the page it ends in. That may be one that does not verify.
    match again.carry_out(keep).await {
        Ok(cut) if sound && sound_after => {
            let found = Survey::new(shared(), None).await.unwrap();
            assert_eq!((cut.len(), found.len(), found.left_over()), (keep, keep, 0), "{case}, cut to {keep}");
        }
        Ok(cut) => assert!(cut.len() <= keep && cut.left_over() == 0, "{case}, cut to {keep}"),
        Err(Error::Storage(StorageError::Corrupt { .. })) => bounded("a cut", 2, 1),
        Err(error) => panic!("{case}: {error}"),
    }
    let largest = blob.largest.load(Ordering::Relaxed);
    assert!(largest <= MAX_READ_BYTES, "{case}: one read of {largest} bytes");
}

/// Slots whose checksums match and that claim absurd lengths, generations and floors.
#[test]
fn forged_slots() {
    for seed in 0..400 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let page_bytes = 1 << rng.u32(6..=9);
        let bytes = rng.usize(1..12_000);
        let blob = blob(page_bytes, |blob| forged(&mut rng, blob, page_bytes as usize, bytes));
        block_on(look(&blob, &mut rng, &format!("seed {seed}, {bytes} bytes in pages of {page_bytes}")));
    }
}

/// Random bytes, zeros and ones, in pages of every size: nothing in them verifies.
#[test]
fn arbitrary_bytes() {
    for seed in 0..200 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let page_bytes = 1 << rng.u32(6..=16);
        let bytes = rng.usize(0..200_000);
        let fill = rng.u8(0..4);
        let content = |_: &dyn Blob| match fill {
            0 => vec![0; bytes],
            1 => vec![0xff; bytes],
            _ => std::iter::repeat_with(|| rng.u8(..)).take(bytes).collect(),
        };
        let blob = blob(page_bytes, content);
        let mut rng = fastrand::Rng::with_seed(seed);
        block_on(look(&blob, &mut rng, &format!("seed {seed}, {bytes} bytes in pages of {page_bytes}")));
    }
}

/// Some megabytes, sound or garbage: reads stay at 1 MiB however large the file and the page.
#[test]
fn a_large_file_is_read_in_pieces() {
    for page_bytes in [64, 4096, 65_536] {
        for garbage in [false, true] {
            let mut rng = fastrand::Rng::with_seed(u64::from(page_bytes));
            let blob = blob(page_bytes, |blob| {
                if garbage {
                    let mut bytes = vec![0; 3 << 20];
                    rng.fill(&mut bytes);
                    return bytes;
                }
                let (binding, page_bytes) = (blob.header().binding(blob.id().name()), page_bytes as usize);
                let data = vec![7; page_bytes - SLOTS_BYTES];
                let len = u16::try_from(data.len()).unwrap();
                let page = |number| [&data[..], &slot(binding, number, &data, [len, 1], 0), &[0; 12]].concat();
                (0..(5 << 20) / page_bytes as u64).flat_map(page).collect()
            });
            block_on(look(&blob, &mut rng, &format!("pages of {page_bytes}, garbage: {garbage}")));
        }
    }
}
