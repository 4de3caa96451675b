//! Rot, missing pieces and swapped files: `Refuse` changes nothing, `Truncate` keeps the valid prefix and moves the rest to
//! quarantine; what is sound can be read.

use std::sync::Arc;

use blob_runtime::sim::{self, Crash, Cut, Sim};
use blob_runtime::{Blob, Error as StorageError, Format, Kind, MemoryStorage, Storage, StoreId, Want, manifest};
use bytes::Bytes;
use futures::TryStreamExt;
use futures::executor::block_on;
use glob::recover::Case;
use glob::{Appended, Config, Cursor, Error, OnDamage, RawGlob};

const NAME: [u8; 8] = 1_u64.to_be_bytes();

fn config() -> Config {
    Config::new("values")
}

async fn values(glob: &RawGlob, section: u64) -> Result<Vec<Bytes>, Error> {
    if !glob.sections().contains(&section) {
        return Ok(Vec::new());
    }
    glob.scan(section, Cursor::START).map_ok(|frame| frame.value).try_collect().await
}

/// A store with a few values in section 1, closed or left.
async fn store(storage: &Arc<dyn Storage>, close: bool) -> Vec<Appended> {
    let glob = RawGlob::open(Arc::clone(storage), config()).await.unwrap();
    let mut all = vec![glob.append(1, b"zero").await.unwrap()];
    glob.sync(1).await.unwrap();
    all.extend(glob.append_batch(1, &["one", "two"]).await.unwrap());
    all.push(glob.append(1, b"three").await.unwrap());
    glob.sync(1).await.unwrap();
    if close {
        glob.close().await.unwrap();
    }
    all
}

async fn blob(storage: &Arc<dyn Storage>, partition: &str, name: &[u8], kind: Kind) -> Arc<dyn Blob> {
    let format = Format::new(kind, Want::Default(StoreId(0))).existing();
    storage.open(partition, name, &format).await.unwrap()
}

async fn content(blob: &Arc<dyn Blob>) -> Vec<u8> {
    blob.read_at(0, usize::try_from(blob.len()).unwrap()).await.unwrap().into()
}

async fn set(blob: &Arc<dyn Blob>, bytes: &[u8]) {
    blob.resize(0).await.unwrap();
    blob.write_at(0, vec![Bytes::copy_from_slice(bytes)]).await.unwrap();
}

/// Puts a store back as it was: its section and its manifest.
struct Before {
    section: Vec<u8>,
    meta: Vec<u8>,
}

impl Before {
    async fn of(storage: &Arc<dyn Storage>) -> Self {
        let section = content(&blob(storage, "values", &NAME, Kind::VALUES).await).await;
        let meta = content(&blob(storage, "values", manifest::NAME, Kind::MANIFEST).await).await;
        Self { section, meta }
    }

    async fn restore(&self, storage: &Arc<dyn Storage>) {
        set(&blob(storage, "values", manifest::NAME, Kind::MANIFEST).await, &self.meta).await;
        set(&blob(storage, "values", &NAME, Kind::VALUES).await, &self.section).await;
    }
}

const VALUES: [&str; 4] = ["zero", "one", "two", "three"];

/// Every byte of the section of a store that was closed in order rots. A value shows what was appended or a checksum error;
/// a seal that rots refuses the section, and nothing is changed.
#[test]
fn every_byte_of_a_closed_section() {
    block_on(async {
        let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
        let places = store(&storage, true).await;
        let before = Before::of(&storage).await;
        let section = blob(&storage, "values", &NAME, Kind::VALUES).await;
        let seal = usize::try_from(places[3].location.end().unwrap()).unwrap();
        assert_eq!(before.section.len(), seal + 40);
        for at in 0..before.section.len() {
            let mut rotten = before.section.clone();
            rotten[at] ^= 0x20;
            set(&section, &rotten).await;
            let glob = RawGlob::open(Arc::clone(&storage), config()).await.unwrap();
            for (place, value) in places.iter().zip(VALUES) {
                let hit = (place.location.offset..place.location.end().unwrap()).contains(&(at as u64));
                match glob.get(1, place.location).await {
                    Ok(read) => assert!(read == value && !hit && at < seal, "byte {at}: {value}"),
                    Err(Error::ChecksumMismatch { offset, .. }) => {
                        assert_eq!((offset, hit), (place.location.offset, true))
                    }
                    Err(Error::InvalidLocation { .. }) => assert!(hit, "byte {at}: {value}"),
                    Err(Error::Corrupt { offset, .. }) => assert!(at >= seal && offset == seal as u64, "byte {at}"),
                    Err(error) => panic!("byte {at}: {error:?}"),
                }
            }
            drop(glob);
            assert_eq!(content(&section).await, rotten, "byte {at}: nothing was changed");
        }
    });
}

/// The same bytes rot in a store that was not closed. What a later frame proves to have been durable is damage: refused,
/// and read-only all that is sound is shown. What nothing proves is a torn tail, dropped and reported.
#[test]
fn every_byte_of_a_section_that_was_left() {
    block_on(async {
        let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
        let places = store(&storage, false).await;
        let before = Before::of(&storage).await;
        let section = blob(&storage, "values", &NAME, Kind::VALUES).await;
        let (mut refused, mut dropped) = (0, 0);
        for at in 0..before.section.len() {
            before.restore(&storage).await;
            let mut rotten = before.section.clone();
            rotten[at] ^= 0x20;
            set(&section, &rotten).await;
            let hit = places.iter().position(|place| (at as u64) < place.location.end().unwrap()).unwrap();
            // "zero" is proven by the floors behind it; a batch goes as a whole.
            let keep = [0, 1, 1, 3][hit];
            let read_only = RawGlob::open(Arc::clone(&storage), config().read_only(true)).await.unwrap();
            assert_eq!(values(&read_only, 1).await.unwrap(), VALUES[..keep], "byte {at}");
            let looked = read_only.recover(1, Cursor::START).await.unwrap();
            let is_told = matches!(looked.damage, Some(Error::Corrupt { offset: 0, .. }));
            assert_eq!(is_told, hit == 0, "byte {at}: what a writer is refused for is told: {looked:?}");
            // The frames behind the first sync prove that, wherever they are, and no more.
            let unsynced_from = read_only.unsynced_from(1).await.unwrap();
            assert_eq!(unsynced_from, [None, None, None, Some(44)][hit], "byte {at}");
            assert_eq!(read_only.durable_len(1).await.unwrap(), [0, 1, 1, 0][hit], "byte {at}");
            if hit == 0 {
                let sound = read_only.get(1, places[2].location).await.unwrap();
                assert_eq!(sound, "two", "what lies behind the damage can be read");
            }
            drop(read_only);
            match RawGlob::open(Arc::clone(&storage), config()).await {
                Err(Error::Corrupt { offset: 0, expected, .. }) => {
                    refused += 1;
                    assert_eq!(hit, 0, "byte {at}");
                    assert_eq!(expected, "the frame of item 0, for bytes up to 44 were durable");
                    assert_eq!(content(&section).await, rotten, "byte {at}: nothing was changed");
                    let truncate = config().on_damage(OnDamage::Truncate);
                    let glob = RawGlob::open(Arc::clone(&storage), truncate).await.unwrap();
                    let report = &glob.recovery().sections[0];
                    assert_eq!(
                        (report.case, report.items, report.quarantined_bytes),
                        (Case::Damaged, 0, rotten.len() as u64)
                    );
                    assert_eq!(glob.append(1, b"anew").await.unwrap().position, 0);
                }
                Ok(glob) => {
                    dropped += 1;
                    assert_eq!(values(&glob, 1).await.unwrap(), VALUES[..keep], "byte {at}");
                    let report = &glob.recovery().sections[0];
                    assert_eq!((report.case, report.items, report.section), (Case::TornTail, keep as u64, 1));
                    assert_eq!(report.dropped_bytes, rotten.len() as u64 - report.bytes);
                    // A whole frame lies behind, unless it is the last one that rots.
                    assert_eq!(report.quarantined_bytes > 0, hit < 3, "byte {at}");
                }
                Err(error) => panic!("byte {at}: {error:?}"),
            }
        }
        assert_eq!((refused, dropped), (44, before.section.len() - 44));
    });
}

/// The section's file is cut at every length behind the close's back: refused at its first use, with the place; with
/// `Truncate` the valid prefix stays and appends go on behind it.
#[test]
fn every_length_of_a_closed_section() {
    block_on(async {
        let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
        let places = store(&storage, true).await;
        let before = Before::of(&storage).await;
        let section = blob(&storage, "values", &NAME, Kind::VALUES).await;
        for len in 0..before.section.len() {
            before.restore(&storage).await;
            set(&section, &before.section[..len]).await;
            let whole = places.iter().take_while(|place| place.location.end().unwrap() <= len as u64).count();
            let keep = if whole == 2 { 1 } else { whole };
            let glob = RawGlob::open(Arc::clone(&storage), config()).await.unwrap();
            let error = glob.append(1, b"x").await.unwrap_err();
            let end = places[..whole].last().map_or(0, |place| place.location.end().unwrap());
            assert!(matches!(&error, Error::Corrupt { offset, .. } if *offset == end), "{len}: {error:?}");
            drop(glob);
            assert_eq!(section.len(), len as u64, "nothing was changed");
            before.restore(&storage).await;
            set(&section, &before.section[..len]).await;
            let truncate = config().on_damage(OnDamage::Truncate);
            let glob = RawGlob::open(Arc::clone(&storage), truncate).await.unwrap();
            assert_eq!(values(&glob, 1).await.unwrap(), VALUES[..keep], "{len}");
            assert_eq!(glob.append(1, b"next").await.unwrap().position, keep as u64);
            glob.close().await.unwrap();
        }
    });
}

/// Both slots of the manifest rot: never a new store over the sections that are there. With `Truncate` it is rebuilt of
/// what the sections say.
#[test]
fn a_manifest_that_is_gone_is_damage() {
    block_on(async {
        for remove in [false, true] {
            let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
            store(&storage, true).await;
            let meta = blob(&storage, "values", manifest::NAME, Kind::MANIFEST).await;
            if remove {
                storage.remove("values", &[manifest::NAME.to_vec()]).await.unwrap();
            } else {
                set(&meta, &[1; 8192]).await;
            }
            let error = RawGlob::open(Arc::clone(&storage), config()).await.unwrap_err();
            assert!(matches!(error, Error::Corrupt { offset: 0, .. }), "{error:?}");
            let error = RawGlob::open(Arc::clone(&storage), config().read_only(true)).await.unwrap_err();
            assert!(matches!(error, Error::Corrupt { offset: 0, .. }), "{error:?}");
            let glob = RawGlob::open(Arc::clone(&storage), config().on_damage(OnDamage::Truncate)).await.unwrap();
            assert_eq!(values(&glob, 1).await.unwrap(), VALUES);
            glob.append(1, b"four").await.unwrap();
            glob.close().await.unwrap();
            let glob = RawGlob::open(storage, config()).await.unwrap();
            assert!(glob.recovery().opening.clean);
            assert_eq!(glob.len(1).await.unwrap(), 5);
        }
    });
}

/// Runs as a life of a simulated machine, which then is switched off with everything durable.
async fn life(sim: &Sim, work: impl Future<Output = ()> + Send + 'static) {
    assert_eq!(sim.life(work).await, Some(()));
    sim.crash(Crash::Power(Cut::KeepAll));
}

async fn two_sections(sim: Sim) {
    let glob = RawGlob::open(sim.storage(), config()).await.unwrap();
    for section in [1, 2] {
        glob.append(section, format!("of section {section}").as_bytes()).await.unwrap();
    }
    glob.close().await.unwrap();
}

/// Files are swapped, copied over each other, or come from another store (defects 26, 40): each frame knows where it
/// belongs, so none of it is shown.
#[test]
fn swapped_and_copied_files_never_verify() {
    let one: (&str, &[u8]) = ("values", &NAME);
    let name_two = 2_u64.to_be_bytes();
    let two: (&str, &[u8]) = ("values", &name_two);
    sim::run(5, async |sim| {
        life(&sim, two_sections(sim.clone())).await;
        // Contents swapped, names and salts stay: the header's salt is not the name's.
        assert!(sim.disk().swap(one, two));
        let storage = sim.storage();
        let looked = async move {
            let glob = RawGlob::open(storage, config()).await.unwrap();
            for section in [1, 2] {
                let error = glob.len(section).await.unwrap_err();
                let Some(StorageError::FormatMismatch { field, .. }) = error.storage() else { panic!("{error:?}") };
                assert_eq!(*field, "salt");
            }
        };
        life(&sim, looked).await;
        assert!(sim.disk().swap(one, two));
        // One file, with its salt, in the place of the other: sound header, foreign name.
        assert!(sim.disk().copy(one, two));
        let storage = sim.storage();
        let looked = async move {
            let glob = RawGlob::open(storage, config()).await.unwrap();
            assert_eq!(values(&glob, 1).await.unwrap(), ["of section 1"]);
            let error = glob.len(2).await.unwrap_err();
            assert!(matches!(error, Error::Corrupt { offset: 0, .. }), "{error:?}");
        };
        life(&sim, looked).await;
    });
    // A section of another store.
    sim::run(6, async |sim| {
        life(&sim, two_sections(sim.clone())).await;
        let other = {
            let storage = sim.storage();
            async move {
                let glob = RawGlob::open(storage, Config::new("others")).await.unwrap();
                glob.append(2, b"of the other store").await.unwrap();
                glob.close().await.unwrap();
            }
        };
        life(&sim, other).await;
        assert!(sim.disk().copy(("others", &name_two), two));
        let storage = sim.storage();
        let looked = async move {
            let glob = RawGlob::open(storage, config()).await.unwrap();
            let error = glob.len(2).await.unwrap_err();
            let Some(StorageError::FormatMismatch { field, .. }) = error.storage() else { panic!("{error:?}") };
            assert_eq!(*field, "store id");
        };
        life(&sim, looked).await;
    });
}

/// The header of a section rots. Its frames prove what it said, also its tag size: it is made anew, and reported.
#[test]
fn a_rotten_header_is_made_anew_of_what_the_frames_prove() {
    for closed in [false, true] {
        sim::run(7, async |sim| {
            let storage = sim.storage();
            let written = async move {
                let glob = RawGlob::open(storage, config().tag_bytes(6)).await.unwrap();
                let tag = |_, _, buf: &mut Vec<u8>| buf.extend_from_slice(b"tagged");
                glob.append_tagged(1, b"value", tag).await.unwrap();
                glob.sync(1).await.unwrap();
                if closed {
                    glob.close().await.unwrap();
                }
            };
            life(&sim, written).await;
            assert!(sim.faults().rot("values", &NAME, 13, 3));
            let storage = sim.storage();
            let looked = async move {
                // The tag size is not configured: the frames say it.
                let glob = RawGlob::open(storage, config()).await.unwrap();
                assert_eq!(values(&glob, 1).await.unwrap(), ["value"]);
                if !closed {
                    let report = &glob.recovery().sections[0];
                    assert_eq!((report.header_lost, report.items), (true, 1));
                }
                let tag = |_, _, buf: &mut Vec<u8>| buf.extend_from_slice(b"second");
                glob.append_tagged(1, b"more", tag).await.unwrap();
                glob.close().await.unwrap();
            };
            life(&sim, looked).await;
            let storage = sim.storage();
            let looked = async move {
                let glob = RawGlob::open(storage, config().tag_bytes(6)).await.unwrap();
                assert_eq!(values(&glob, 1).await.unwrap(), ["value", "more"]);
            };
            life(&sim, looked).await;
        });
    }
}

/// A section's file that holds nothing of the store's: its bytes go to quarantine, and it is gone.
#[test]
fn a_section_without_any_frame_goes_to_quarantine() {
    block_on(async {
        let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
        store(&storage, false).await;
        set(&blob(&storage, "values", &NAME, Kind::VALUES).await, b"nothing of ours").await;
        let glob = RawGlob::open(Arc::clone(&storage), config()).await.unwrap();
        assert!(glob.sections().is_empty());
        let report = &glob.recovery().sections[0];
        assert_eq!((report.case, report.quarantined_bytes), (Case::Nothing, 15));
        let names = storage.scan("values-quarantine").await.unwrap();
        let kept = blob(&storage, "values-quarantine", &names[0], Kind::USER).await;
        assert_eq!(content(&kept).await, b"nothing of ours");
        let note = blob(&storage, "values-quarantine", &names[1], Kind::USER).await;
        let note = String::from_utf8(content(&note).await).unwrap();
        assert!(note.contains(r#""offset":0,"bytes":15,"copied":15,"reason":"no frame of this section""#), "{note}");
        assert_eq!(glob.append(1, b"new").await.unwrap().position, 0);
        // Only zeros, as a crash may leave them: nothing to keep.
        drop(glob);
        set(&blob(&storage, "values", &NAME, Kind::VALUES).await, &[0; 500]).await;
        let glob = RawGlob::open(Arc::clone(&storage), config()).await.unwrap();
        assert!(glob.sections().is_empty() && glob.recovery().sections.is_empty());
        assert_eq!(storage.scan("values-quarantine").await.unwrap().len(), 2);
    });
}

/// Reading beside a writer. What the writer has cut since is told as such, not as damage.
#[test]
fn a_read_only_store_beside_a_writer() {
    block_on(async {
        let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
        let places = store(&storage, true).await;
        let reader = RawGlob::open(Arc::clone(&storage), config().read_only(true)).await.unwrap();
        let writer = RawGlob::open(Arc::clone(&storage), config()).await.unwrap();
        assert_eq!(values(&reader, 1).await.unwrap(), VALUES);
        let refused = [
            reader.append(1, b"x").await.map(|_| ()),
            reader.append(9, b"x").await.map(|_| ()),
            reader.sync(1).await,
            reader.sync_all().await,
            reader.flush(1).await,
            reader.prune(1).await.map(|_| ()),
            reader.rewind(1, 0).await,
            reader.rewind_section(1, 0).await,
            reader.remove_section(1).await.map(|_| ()),
            reader.reopen_section(1).await,
            reader.destroy().await,
        ];
        for result in refused {
            assert!(matches!(result, Err(Error::ReadOnly)), "{result:?}");
        }
        writer.append(1, b"four").await.unwrap();
        writer.sync(1).await.unwrap();
        assert_eq!(values(&reader, 1).await.unwrap(), VALUES, "as it was when it was opened");
        writer.rewind(1, 2).await.unwrap();
        assert_eq!(reader.get(1, places[0].location).await.unwrap(), "zero");
        let stale = reader.get(1, places[3].location).await.unwrap_err();
        let Error::Stale { section: 1, source } = &stale else { panic!("{stale:?}") };
        assert!(matches!(**source, Error::InvalidLocation { .. } | Error::ChecksumMismatch { .. }), "{source:?}");
        writer.remove_section(1).await.unwrap();
        let stale = reader.get(1, places[0].location).await.unwrap_err();
        assert!(matches!(stale, Error::Stale { section: 1, .. }), "{stale:?}");
        reader.close().await.unwrap();
        let anew = RawGlob::open(Arc::clone(&storage), config().read_only(true)).await.unwrap();
        assert!(anew.sections().is_empty());
        let empty = RawGlob::open(storage, Config::new("never").read_only(true)).await.unwrap();
        assert!(empty.sections().is_empty());
    });
}
