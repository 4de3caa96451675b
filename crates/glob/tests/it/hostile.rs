//! Bytes on disk that were made to harm, or are just noise: no panic, no loop, no read beyond the bound, never a wrong
//! value (P8, P13).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;
use blob_runtime::{
    Blob, BlobId, Error as StorageError, Format, Header, HeaderState, Kind, MemoryStorage, Salt, Storage, StoreId, Want,
};
use bytes::Bytes;
use futures::executor::block_on;
use futures::{StreamExt, TryStreamExt};
use glob::frame::{Flags, FrameHeader, Place, SEAL_BYTES};
use glob::recover::{Case, Evidence, any_frame, claimed_tag_bytes, plan, sealed_end, survey};
use glob::{Config, Cursor, Error, RawGlob};

const TAG_BYTES: u16 = 3;

/// A blob of given bytes that notes what is read of it.
#[derive(Debug)]
struct Watched {
    id: BlobId,
    header: Header,
    bytes: Vec<u8>,
    largest: AtomicUsize,
    total: AtomicU64,
}

impl Watched {
    fn new(bytes: Vec<u8>) -> Arc<Self> {
        let id = BlobId::new(&"".into(), "p", &3_u64.to_be_bytes()).unwrap();
        let unit = TAG_BYTES.into();
        let header = Header { kind: Kind::VALUES, unit, item: 0, store: StoreId(7), salt: Salt(9) };
        Arc::new(Self { id, header, bytes, largest: AtomicUsize::new(0), total: AtomicU64::new(0) })
    }
}

#[async_trait]
impl Blob for Watched {
    fn id(&self) -> &BlobId {
        &self.id
    }

    fn header(&self) -> &Header {
        &self.header
    }

    fn header_state(&self) -> HeaderState {
        HeaderState::Sound
    }

    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn try_read_at(&self, _offset: u64, _len: usize) -> Option<Result<Bytes, StorageError>> {
        None
    }

    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, StorageError> {
        blob_runtime::check_read(&self.id, offset, len, self.len())?;
        self.largest.fetch_max(len, Ordering::Relaxed);
        self.total.fetch_add(len as u64, Ordering::Relaxed);
        let start = usize::try_from(offset).unwrap();
        Ok(Bytes::copy_from_slice(&self.bytes[start..start + len]))
    }

    async fn write_at(&self, _offset: u64, _data: Vec<Bytes>) -> Result<(), StorageError> {
        unreachable!("a survey only reads")
    }

    async fn resize(&self, _len: u64) -> Result<(), StorageError> {
        unreachable!("a survey only reads")
    }

    async fn sync(&self) -> Result<(), StorageError> {
        unreachable!("a survey only reads")
    }

    async fn write_at_sync(&self, _offset: u64, _data: Vec<Bytes>) -> Result<(), StorageError> {
        unreachable!("a survey only reads")
    }

    async fn write_header(&self) -> Result<(), StorageError> {
        unreachable!("a survey only reads")
    }
}

fn place(offset: u64) -> Place {
    let watched = Watched::new(Vec::new());
    Place { binding: watched.header.binding(watched.id.name()), offset }
}

/// A frame whose checksum matches, whatever its fields say.
fn put_frame(bytes: &mut Vec<u8>, change: impl FnOnce(&mut FrameHeader), payload: &[u8]) {
    let mut header = FrameHeader {
        flags: Flags::default(),
        tag_bytes: TAG_BYTES,
        stored_bytes: u32::try_from(payload.len()).unwrap(),
        raw_bytes: u32::try_from(payload.len()).unwrap(),
        position: 0,
        floor: 0,
        payload_crc: crc32fast::hash(payload),
    };
    change(&mut header);
    let head = header.encode_head(place(bytes.len() as u64), b"tag");
    bytes.extend_from_slice(&head);
    bytes.extend_from_slice(payload);
}

/// Surveys, and checks that reads are bounded in size and in sum.
fn survey_bounded(bytes: Vec<u8>, evidence: Evidence) -> Case {
    let len = bytes.len() as u64;
    let watched = Watched::new(bytes);
    let blob: Arc<dyn Blob> = Arc::clone(&watched) as _;
    for from in [Cursor::START, Cursor { offset: len / 2, position: 1 }, Cursor { offset: u64::MAX, position: 0 }] {
        let facts = block_on(survey(&blob, from, evidence)).unwrap();
        let plan = plan(&facts);
        assert!(plan.end.offset <= facts.end.offset && plan.cut.end <= len);
    }
    block_on(sealed_end(&blob)).unwrap();
    block_on(any_frame(&blob)).unwrap();
    block_on(claimed_tag_bytes(&blob)).unwrap();
    assert!(watched.largest.load(Ordering::Relaxed) <= 256 << 10);
    // Three surveys and a probe, each at most twice over the bytes, and a piece at each end.
    let bound = 4 * 3 * (len + (256 << 10));
    assert!(watched.total.load(Ordering::Relaxed) <= bound, "{len} bytes");
    let facts = block_on(survey(&blob, Cursor::START, evidence)).unwrap();
    plan(&facts).case
}

#[test]
fn noise_is_no_section() {
    for seed in 0..300 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let len = if seed % 10 == 0 { rng.usize(0..2_000_000) } else { rng.usize(0..5000) };
        let mut bytes: Vec<u8> = (0..len).map(|_| rng.u8(..)).collect();
        // Some of it looks like frames.
        for _ in 0..rng.usize(0..20) {
            let at = rng.usize(0..=len);
            bytes.splice(at.min(bytes.len()).., *b"OVRF\0\0\0\x03\0\0\0\x05\0\0\0\x05");
        }
        let case = survey_bounded(bytes, Evidence::default());
        assert_eq!(case, Case::Nothing, "seed {seed}");
    }
}

/// Whoever knows the salt makes frames with matching checksums and absurd fields, in a row that repeats.
#[test]
fn frames_that_are_made_to_harm() {
    for seed in 0..500 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut bytes = Vec::new();
        for _ in 0..rng.u64(1..12) {
            let payload: Vec<u8> = (0..rng.usize(0..60)).map(|_| rng.u8(..)).collect();
            let at = bytes.len() as u64;
            let absurd = |rng: &mut fastrand::Rng| match rng.u8(0..6) {
                0 => 0,
                1 => u64::MAX,
                2 => at,
                3 => at.wrapping_sub(1),
                4 => rng.u64(0..100),
                _ => u64::from(u32::MAX),
            };
            let change = |header: &mut FrameHeader| {
                header.position = absurd(&mut rng);
                header.floor = absurd(&mut rng);
                match rng.u8(0..8) {
                    0 => header.stored_bytes = absurd(&mut rng) as u32,
                    1 => header.raw_bytes = absurd(&mut rng) as u32,
                    2 => (header.stored_bytes, header.raw_bytes) = (u32::MAX - 43, u32::MAX - 43),
                    3 => header.flags = Flags::SEAL,
                    4 => header.flags = Flags::ZSTD.with(Flags::CONTINUES, true),
                    5 => header.flags = Flags::CONTINUES,
                    _ => {}
                }
            };
            put_frame(&mut bytes, change, &payload);
        }
        for evidence in [
            Evidence::default(),
            Evidence { clean: true, ..Evidence::default() },
            Evidence { floor: u64::MAX, ..Evidence::default() },
            Evidence { cut: Some(Cursor { offset: u64::MAX, position: u64::MAX }), ..Evidence::default() },
            Evidence { cut: Some(Cursor { offset: 44, position: 1 }), ..Evidence::default() },
        ] {
            survey_bounded(bytes.clone(), evidence);
        }
    }
}

/// A damaged frame is followed by megabytes of what looks like headers at every place: the search stays linear.
#[test]
fn a_search_over_false_headers_is_linear() {
    let mut bytes = vec![1; 10];
    let like_a_header = [&b"OVRF\0\0\0\x03\0\0\0\x01\0\0\0\x01"[..], &[0; 24]].concat();
    bytes.extend(like_a_header.iter().cycle().take(3 << 20));
    assert_eq!(survey_bounded(bytes, Evidence::default()), Case::Nothing);
    assert_eq!(survey_bounded(b"OVRF".repeat(1 << 18), Evidence::default()), Case::Nothing);
    // Seals without end, each in its place.
    let mut seals = Vec::new();
    for n in 0..20_000_u64 {
        let at = n * SEAL_BYTES as u64;
        seals.extend_from_slice(&FrameHeader::seal(at, 0).encode_head(place(at), &[]));
    }
    assert_eq!(survey_bounded(seals, Evidence::default()), Case::Sealed);
}

/// Somebody who knows the salt puts a frame into a value, made for the very place it will have, that claims everything
/// before it was durable. The first frame is torn; the search finds the second, and jumps over it with what is in it: a
/// torn tail, no damage.
#[test]
fn what_is_inside_a_value_is_not_believed() {
    for inside in [true, false] {
        let mut bytes = b"torn".to_vec();
        let mut inner = vec![0; bytes.len() + 43];
        let floor = inner.len() as u64;
        put_frame(&mut inner, |header| (header.position, header.floor) = (7, floor), b"inner");
        let payload = inner.split_off(bytes.len() + 43);
        if inside {
            put_frame(&mut bytes, |header| header.position = 1, &payload);
        } else {
            bytes.resize(bytes.len() + 43, 1);
            bytes.extend_from_slice(&payload);
        }
        let case = if inside { Case::Nothing } else { Case::Damaged };
        assert_eq!(survey_bounded(bytes, Evidence::default()), case);
    }
}

/// A whole store whose section holds anything: it opens, or says that it is damaged; what it shows is what verifies.
#[test]
fn a_store_with_anything_in_a_section() {
    for seed in 0..400 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
        block_on(async {
            let config = || Config::new("values").max_value_bytes(1000);
            let glob = RawGlob::open(Arc::clone(&storage), config()).await.unwrap();
            for n in 0..rng.u8(0..6) {
                glob.append(1, &[n; 20]).await.unwrap();
                if rng.bool() {
                    glob.sync(1).await.unwrap();
                }
            }
            glob.append(1, b"end").await.unwrap();
            let clean = rng.bool();
            if clean {
                glob.close().await.unwrap()
            } else {
                glob.sync(1).await.unwrap()
            }
            drop(glob);
            let format = Format::new(Kind::VALUES, Want::Default(StoreId(0))).existing();
            let blob = storage.open("values", &1_u64.to_be_bytes(), &format).await.unwrap();
            for _ in 0..rng.u8(1..4) {
                let len = usize::try_from(blob.len()).unwrap();
                let at = rng.usize(0..=len);
                match rng.u8(0..4) {
                    0 => blob.resize(at as u64).await.unwrap(),
                    1 => blob.resize((len + rng.usize(0..500)) as u64).await.unwrap(),
                    2 => {
                        let noise: Vec<u8> = (0..rng.usize(1..100)).map(|_| rng.u8(..)).collect();
                        blob.write_at(at as u64, vec![noise.into()]).await.unwrap();
                    }
                    _ => {
                        // A piece of the file somewhere else.
                        let piece = blob.read_at(0, at).await.unwrap();
                        blob.write_at(rng.usize(0..=len) as u64, vec![piece]).await.unwrap();
                    }
                }
            }
            let before = blob.read_at(0, usize::try_from(blob.len()).unwrap()).await.unwrap();
            let whole = async |glob: &RawGlob| -> Result<Vec<Bytes>, Error> {
                if glob.sections().is_empty() {
                    return Ok(Vec::new());
                }
                glob.scan(1, Cursor::START).map_ok(|frame| frame.value).try_collect().await
            };
            let is_prefix = |values: &[Bytes]| {
                values
                    .iter()
                    .enumerate()
                    .all(|(n, value)| value == "end" || value[..] == [u8::try_from(n).unwrap(); 20])
            };
            let only = config().read_only(true);
            let read_only = RawGlob::open(Arc::clone(&storage), only).await.unwrap();
            let seen: Vec<_> = match read_only.sections().is_empty() {
                true => Vec::new(),
                false => read_only.scan(1, Cursor::START).collect().await,
            };
            assert!(
                is_prefix(&seen.iter().flatten().map(|frame| frame.value.clone()).collect::<Vec<_>>()),
                "seed {seed}"
            );
            let refuse = async {
                let glob = RawGlob::open(Arc::clone(&storage), config()).await?;
                whole(&glob).await
            };
            match refuse.await {
                Ok(values) => assert!(is_prefix(&values), "seed {seed}: {values:?}"),
                Err(Error::Corrupt { .. } | Error::ChecksumMismatch { .. }) => {
                    let after = blob.read_at(0, usize::try_from(blob.len()).unwrap()).await.unwrap();
                    assert_eq!(after, before, "seed {seed}: refused, and nothing changed");
                    let config = config().on_damage(glob::OnDamage::Truncate);
                    let glob = RawGlob::open(Arc::clone(&storage), config).await.unwrap();
                    match whole(&glob).await {
                        Ok(values) => assert!(is_prefix(&values), "seed {seed}: {values:?}"),
                        // Rot before a seal is found by reading.
                        Err(Error::ChecksumMismatch { .. } | Error::Corrupt { .. }) => {}
                        Err(error) => panic!("seed {seed}: {error:?}"),
                    }
                }
                Err(error) => panic!("seed {seed}: {error:?}"),
            }
        });
    }
}
