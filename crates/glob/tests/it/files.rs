//! What a glob asks of the file system: calls are counted.

use std::sync::{Arc, Mutex};

use blob_runtime::file::{Call, Event, Hook, Verdict};
use blob_runtime::sim;
use blob_runtime::{BulkSync, Error as StorageError, FileStorage, Format, Io, Kind, Salt, Storage, StoreId, Want};
use futures::TryStreamExt;
use futures::executor::block_on;
use glob::{Config, Cursor, RawGlob};

/// Syncs since the last time somebody looked: of files, of directories, and of the whole file system.
#[derive(Clone, Default)]
struct Syncs(Arc<Mutex<[usize; 3]>>);

impl Syncs {
    fn note(&self, event: &Event<'_>) -> Verdict {
        let mut syncs = self.0.lock().unwrap();
        match event.call {
            Call::Fdatasync => syncs[0] += 1,
            Call::FsyncDirectory => syncs[1] += 1,
            Call::Syncfs => syncs[2] += 1,
            _ => {}
        }
        Verdict::Proceed
    }

    fn take(&self) -> [usize; 3] {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    fn hook(&self) -> Arc<dyn Hook> {
        let noted = self.clone();
        Arc::new(move |event: &Event<'_>| noted.note(event))
    }
}

/// A loader makes many sections and then syncs all. Each file is synced once, and the directory once: a directory's sync
/// covers all names that were made before it.
#[test]
fn the_names_of_new_sections_share_one_sync_of_the_directory() {
    for io in [Io::Inline, Io::Pool] {
        let dir = tempfile::tempdir().unwrap();
        let syncs = Syncs::default();
        let storage: Arc<dyn Storage> =
            Arc::new(FileStorage::builder(dir.path().join("root")).io(io).hook(syncs.hook()).open().unwrap());
        block_on(async {
            let glob = RawGlob::open(Arc::clone(&storage), Config::new("values")).await.unwrap();
            for section in 0..100 {
                glob.append(section, b"value").await.unwrap();
            }
            syncs.take();
            glob.sync_all().await.unwrap();
            assert_eq!(syncs.take(), [100, 1, 0]);
            for section in 0..100 {
                assert_eq!(glob.durable_len(section).await.unwrap(), 1);
            }
            glob.sync_all().await.unwrap();
            assert_eq!(syncs.take(), [0, 0, 0], "nothing is left to do");
            glob.append(7, b"more").await.unwrap();
            glob.append(8, b"more").await.unwrap();
            glob.sync_all().await.unwrap();
            assert_eq!(syncs.take(), [2, 0, 0], "the names are durable");
            glob.close().await.unwrap();
        });
    }
}

/// The storage was opened with leave to sync the whole file system at once. Many sections then cost one `syncfs`, and one
/// `fdatasync` that empties the drive's cache.
#[test]
fn many_sections_are_synced_with_the_whole_file_system() {
    let dir = tempfile::tempdir().unwrap();
    let syncs = Syncs::default();
    let builder = FileStorage::builder(dir.path().join("root")).hook(syncs.hook());
    let storage: Arc<dyn Storage> = Arc::new(builder.bulk_sync(BulkSync::FileSystem { threshold: 10 }).open().unwrap());
    block_on(async {
        let mut blobs = Vec::new();
        for number in 0..20_u8 {
            let format = Format::new(Kind::USER, Want::Exactly(StoreId(1)));
            blobs.push(storage.open("probe", &[number], &format).await.unwrap());
        }
        storage.sync_many(&blobs).await.into_iter().for_each(Result::unwrap);
        if syncs.take()[2] == 0 {
            println!(
                "skipped: many_sections_are_synced_with_the_whole_file_system (needs Linux 5.17 and ext4, xfs or btrfs)"
            );
            return;
        }
        let glob = RawGlob::open(Arc::clone(&storage), Config::new("values")).await.unwrap();
        for section in 0..100 {
            glob.append(section, b"value").await.unwrap();
        }
        syncs.take();
        glob.sync_all().await.unwrap();
        assert_eq!(syncs.take(), [1, 0, 1]);
        for section in 0..100 {
            assert_eq!(glob.durable_len(section).await.unwrap(), 1);
        }
        glob.close().await.unwrap();
    });
}

/// A creation was cut short and has left a second file for a section's name. A reader of storage that may be written shows
/// the one with values, and removes nothing; a writer does.
#[test]
fn a_reader_leaves_the_remnant_of_a_section() {
    sim::run(1, async |sim| {
        let glob = RawGlob::open(sim.storage(), Config::new("values")).await.unwrap();
        glob.append(1, b"value").await.unwrap();
        glob.sync(1).await.unwrap();
        drop(glob);
        assert!(sim.disk().put("values", &1_u64.to_be_bytes(), Salt(1), Vec::new()));
        let files = sim.disk().files().len();
        for (read_only, left) in [(true, files), (false, files - 1)] {
            let glob = RawGlob::open(sim.storage(), Config::new("values").read_only(read_only)).await.unwrap();
            let shown: Vec<_> = glob.scan(1, Cursor::START).map_ok(|frame| frame.value).try_collect().await.unwrap();
            assert_eq!((shown, sim.disk().files().len()), (vec!["value".into()], left));
        }
    });
}

/// The name of a partition whose quarantine could have none is refused when the glob is opened.
#[test]
fn a_name_whose_quarantine_has_none() {
    block_on(async {
        let storage: Arc<dyn Storage> = Arc::new(blob_runtime::MemoryStorage::new());
        let open = |len: usize| RawGlob::open(Arc::clone(&storage), Config::new(&"v".repeat(len)));
        let error = open(118).await.unwrap_err();
        assert!(matches!(error.storage(), Some(StorageError::InvalidPartition { .. })), "{error:?}");
        let glob = open(117).await.unwrap();
        glob.append(1, b"value").await.unwrap();
        glob.close().await.unwrap();
    });
}
