use blob_runtime::append::Config;
use blob_runtime::{Format, Kind, MemoryStorage, Storage, StoreId, Want};
use futures::executor::block_on;

use super::*;
use crate::{PageCache, Paged, Survey};

const PAGE_BYTES: usize = 64;
const DATA_BYTES: usize = 40;

/// A sealed stream of `len` bytes, synced every 16.
async fn sealed(len: usize) -> (Paged, Vec<u8>) {
    let format = Format::new(Kind::PAGED, Want::Exactly(StoreId(1))).unit(Want::Default(64));
    let storage = MemoryStorage::new();
    drop(storage.open("p", b"a", &format).await.unwrap());
    let blob = storage.open("p", b"a", &format).await.unwrap();
    let paged = Paged::new(Survey::new(blob, None).await.unwrap(), 0, &PageCache::new(0), Config::default());
    let bytes: Vec<u8> = (1..=len).map(|at| u8::try_from(at % 255 + 1).unwrap()).collect();
    for piece in bytes.chunks(16) {
        paged.append(piece.len(), |_, space| space.put(piece)).await.unwrap();
        paged.sync().await.unwrap();
    }
    paged.seal().await.unwrap();
    (paged, bytes)
}

/// A stream was closed, and one byte of its last page rots: data that counts, or either slot. It is seen every time. What
/// is not used may rot.
#[test]
fn every_byte_of_the_last_page_counts_or_is_unused() {
    for len in [1, 39, DATA_BYTES, 41, 79, 2 * DATA_BYTES] {
        block_on(async {
            let (paged, bytes) = sealed(len).await;
            let blob = Arc::clone(paged.blob());
            assert!(Survey::new(Arc::clone(&blob), None).await.unwrap().is_sealed());
            let start = (len - 1) / DATA_BYTES * PAGE_BYTES;
            let counted = (len - 1) % DATA_BYTES + 1;
            for at in 0..PAGE_BYTES {
                let offset = (start + at) as u64;
                let was = blob.read_at(offset, 1).await.unwrap();
                blob.write_at(offset, vec![vec![was[0] ^ 0x10].into()]).await.unwrap();
                let survey = Survey::new(Arc::clone(&blob), None).await.unwrap();
                let unused = (counted..DATA_BYTES).contains(&at);
                assert_eq!(survey.is_sealed(), unused, "{len} bytes, byte {at} of the last page");
                blob.write_at(offset, vec![was]).await.unwrap();
            }
            assert_eq!(paged.read_at(0, len).await.unwrap(), bytes);
        });
    }
}

/// The file is cut at every length: nothing that is left looks like the end of a stream that was sealed, but no page at
/// all.
#[test]
fn a_file_cut_at_every_length_is_not_sealed() {
    block_on(async {
        let (paged, _) = sealed(6 * DATA_BYTES).await;
        let blob = Arc::clone(paged.blob());
        for len in (0..6 * PAGE_BYTES as u64).rev() {
            blob.resize(len).await.unwrap();
            assert_eq!(Survey::new(Arc::clone(&blob), None).await.unwrap().is_sealed(), len == 0, "{len}");
        }
    });
}

/// A sealed stream goes on: the slot that is durable stays while the other one is written, and it is sealed again.
#[test]
fn a_sealed_stream_goes_on() {
    for len in [1, 39, DATA_BYTES, 41] {
        block_on(async {
            let (paged, mut bytes) = sealed(len).await;
            let blob = Arc::clone(paged.blob());
            for _ in 0..3 {
                for more in [1, 7, 40] {
                    paged.append(more, |_, space| space.put(&vec![9; more])).await.unwrap();
                    bytes.extend_from_slice(&vec![9; more]);
                    paged.sync().await.unwrap();
                    let survey = Survey::new(Arc::clone(&blob), None).await.unwrap();
                    assert_eq!(survey.len(), bytes.len() as u64);
                }
                paged.seal().await.unwrap();
                assert!(Survey::new(Arc::clone(&blob), None).await.unwrap().is_sealed(), "{} bytes", bytes.len());
            }
            paged.cut(len as u64 / 2).await.unwrap();
            bytes.truncate(len / 2);
            paged.seal().await.unwrap();
            let survey = Survey::new(Arc::clone(&blob), None).await.unwrap();
            assert_eq!((survey.len(), survey.is_sealed()), (bytes.len() as u64, true));
            assert_eq!(paged.read_at(0, bytes.len()).await.unwrap(), bytes);
        });
    }
}
