use std::collections::BTreeMap;
use std::pin::pin;

use blob_runtime::append::Spares;
use blob_runtime::{Format, Kind, MemoryStorage, Storage, StoreId, Want};
use bytes::{BufMut, Bytes};
use futures::FutureExt;
use futures::executor::block_on;

use super::*;
use crate::compress::{Compression, Packed};
use crate::frame::{FrameHeader, SEAL_BYTES};
use crate::location::{Appended, Location};

fn blob(storage: &MemoryStorage, tag_bytes: u32) -> Arc<dyn Blob> {
    let format = Format::new(Kind::VALUES, Want::Exactly(StoreId(7))).unit(Want::Exactly(tag_bytes));
    block_on(storage.open("p", &3_u64.to_be_bytes(), &format)).unwrap()
}

fn settings() -> Settings {
    Settings {
        log: LogConfig { buffer_bytes: 300, unsynced_bytes: u64::MAX, spares: Spares::new(1 << 20) },
        preallocate_bytes: 1 << 20,
        packer: Arc::new(Packer::new(Compression::None, 1000)),
        read_only: false,
    }
}

fn section(tag_bytes: u32) -> Arc<Section> {
    Arc::new(Section::create(3, blob(&MemoryStorage::new(), tag_bytes), settings()).unwrap())
}

fn pack(value: &[u8]) -> Packed<'_> {
    static PACKER: std::sync::LazyLock<Packer> = std::sync::LazyLock::new(|| Packer::new(Compression::None, 1 << 20));
    PACKER.pack(value).unwrap()
}

/// Appends with the position's low bytes as tag.
fn append(section: &Section, value: &[u8]) -> Appended {
    let tag_bytes = usize::from(section.tag_bytes());
    block_on(section.append(&pack(value), |position, _, buf| buf.put_slice(&position.to_be_bytes()[8 - tag_bytes..])))
        .unwrap()
}

fn read(section: &Section, location: Location) -> Result<Bytes, Error> {
    Ok(block_on(section.read(location, Expect::ANY))?.value)
}

#[test]
fn what_is_appended_is_read_from_memory_and_from_the_blob() {
    let section = section(4);
    let mut all = Vec::new();
    for n in 0..40_u8 {
        let value = vec![n; usize::from(n)];
        let appended = append(&section, &value);
        assert_eq!((appended.position, appended.location.size), (n.into(), 44 + u32::from(n)));
        all.push((appended, value));
        if n % 7 == 0 {
            block_on(section.sync()).unwrap();
            assert_eq!((section.durable_len(), section.floor()), (section.len(), section.bytes()));
        }
    }
    for (appended, value) in &all {
        let tag = u32::try_from(appended.position).unwrap().to_be_bytes();
        let expect = Expect { position: Some(appended.position), tag: Some(&tag) };
        let frame = block_on(section.read(appended.location, expect)).unwrap();
        assert_eq!((&frame.value[..], &frame.tag[..], frame.position), (&value[..], &tag[..], appended.position));
        assert_eq!(section.try_read(appended.location, expect).unwrap().unwrap(), frame);
        assert_eq!(frame.next(), appended.next());
    }
    assert_eq!((section.len(), section.durable_len()), (40, 36));
    block_on(section.wait_durable(all[35].0.location.end().unwrap())).unwrap();
}

/// Locations come from records, and records may be wrong: never another value, never a panic, never a large allocation.
#[test]
fn a_location_that_is_none_is_an_error() {
    let section = section(2);
    let first = append(&section, b"first").location;
    let second = append(&section, b"second").location;
    block_on(section.seal()).unwrap();
    let invalid = |offset, size| match read(&section, Location { offset, size }) {
        Err(Error::InvalidLocation { section: 3, reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    for size in [0, 1, 4, 41] {
        assert_eq!(invalid(first.offset, size), "no frame is that small");
    }
    assert_eq!(invalid(first.offset, first.size - 1), "the frame there has another size");
    assert_eq!(invalid(first.offset, first.size + 1), "the frame there has another size");
    assert_eq!(invalid(first.offset + 1, first.size), "no frame begins there");
    assert_eq!(invalid(second.offset, second.size + 41), "it ends behind the last frame");
    assert_eq!(invalid(u64::MAX, 50), "no blob is that long");
    assert_eq!(invalid(u64::MAX - 50, 50), "it ends behind the last frame");
    assert_eq!(invalid(second.end().unwrap() - 2, 42), "no frame begins there");
    append(&section, b"third");
    assert_eq!(invalid(second.end().unwrap(), 42), "a seal is there");
    let large = read(&section, Location { offset: 0, size: 1043 });
    assert!(matches!(large, Err(Error::ValueTooLarge { len: 1001, max: 1000 })), "{large:?}");
    let expect = Expect { position: Some(1), tag: None };
    let other = block_on(section.read(first, expect)).unwrap_err();
    assert!(matches!(other, Error::PositionMismatch { expected: 1, found: 0, .. }), "{other:?}");
    let expect = Expect { position: Some(0), tag: Some(b"xx") };
    let other = block_on(section.read(first, expect)).unwrap_err();
    assert!(matches!(other, Error::TagMismatch { .. }), "{other:?}");
}

/// One bit of the header rots, or of the payload: the read says which checksum saw it.
#[test]
fn rot_is_a_checksum_mismatch() {
    let storage = MemoryStorage::new();
    let section = Arc::new(Section::create(3, blob(&storage, 2), settings()).unwrap());
    let location = append(&section, b"value").location;
    block_on(section.sync()).unwrap();
    let blob = blob(&storage, 2);
    for at in 8..u64::from(location.size) {
        let byte = block_on(blob.read_at(at, 1)).unwrap()[0];
        block_on(blob.write_at(at, vec![Bytes::copy_from_slice(&[byte ^ 0x10])])).unwrap();
        let error = read(&section, location).unwrap_err();
        let part = if at < 42 { "header" } else { "payload" };
        assert!(matches!(error, Error::ChecksumMismatch { offset: 0, what, .. } if what == part), "{at}: {error:?}");
        block_on(blob.write_at(at, vec![Bytes::copy_from_slice(&[byte])])).unwrap();
    }
    assert_eq!(read(&section, location).unwrap(), "value");
}

/// A floor is what a sync has returned for, never more, and the same for all of a batch (I5, defect 54).
#[test]
fn the_floor_is_what_is_durable() {
    let section = section(0);
    let floor = |location| block_on(section.read(location, Expect::ANY)).unwrap().floor;
    let first = append(&section, b"a").location;
    block_on(section.flush()).unwrap();
    let second = append(&section, b"b").location;
    assert_eq!((floor(first), floor(second)), (0, 0), "written is not durable");
    block_on(section.sync()).unwrap();
    let durable = section.bytes();
    let batch = block_on(section.append_batch(&[pack(b"c"), pack(b"d"), pack(b"e")], |_, _, _, _| {})).unwrap();
    let frames: Vec<_> = batch.iter().map(|at| block_on(section.read(at.location, Expect::ANY)).unwrap()).collect();
    assert_eq!(frames.iter().map(|frame| frame.floor).collect::<Vec<_>>(), [durable; 3]);
    assert_eq!(frames.iter().map(|frame| frame.continues).collect::<Vec<_>>(), [true, true, false]);
    block_on(section.sync()).unwrap();
    let hold = block_on(section.hold());
    block_on(hold.cut(Cursor { offset: second.offset, position: 1 })).unwrap();
    drop(hold);
    let after = append(&section, b"f");
    assert_eq!((after.position, after.location.offset), (1, second.offset + SEAL_BYTES as u64));
    assert_eq!(floor(after.location), second.offset + SEAL_BYTES as u64, "lowered by the cut, raised by the seal");
}

#[test]
fn a_tag_of_the_wrong_size_appends_nothing() {
    let section = section(4);
    append(&section, b"a");
    let before = section.end();
    for size in [0, 3, 5] {
        let error = block_on(section.append(&pack(b"b"), |_, _, buf| buf.put_bytes(1, size))).unwrap_err();
        assert!(matches!(error, Error::TagSize { expected: 4, found } if found == size), "{error:?}");
    }
    let mut sizes = [4, 4, 3].into_iter();
    let values = [pack(b"b"), pack(b"c"), pack(b"d")];
    let error =
        block_on(section.append_batch(&values, |_, _, _, buf| buf.put_bytes(1, sizes.next().unwrap()))).unwrap_err();
    assert!(matches!(error, Error::TagSize { expected: 4, found: 3 }), "{error:?}");
    // One that takes back what is not its own has made nothing.
    let error = block_on(section.append(&pack(b"b"), |_, _, buf| buf.clear())).unwrap_err();
    assert!(matches!(error, Error::TagSize { expected: 4, found: 0 }), "{error:?}");
    assert_eq!(section.end(), before);
    let next = append(&section, b"e");
    assert_eq!((next.position, next.location.offset), (before.position, before.offset));
    assert_eq!(block_on(section.append_batch(&[], |_, _, _, _| {})).unwrap(), []);
}

/// The maker of a tag gets a buffer that has the rest of the head in it: whatever he does there, the fields are the frame's.
#[test]
fn a_tag_touches_nothing_but_itself() {
    let section = section(4);
    append(&section, b"a");
    let mut len = 0;
    let plain = block_on(section.append(&pack(b"b"), |_, _, buf| {
        len = buf.len();
        buf.put_slice(b"tags");
    }));
    let plain = plain.unwrap();
    let wild = block_on(section.append(&pack(b"c"), |_, _, buf| {
        buf.clear();
        buf.put_bytes(0xff, len);
        buf.put_slice(b"wild");
    }));
    let wild = wild.unwrap();
    for (at, tag, value) in [(plain, b"tags", b"b"), (wild, b"wild", b"c")] {
        let frame =
            block_on(section.read(at.location, Expect { position: Some(at.position), tag: Some(tag) })).unwrap();
        assert_eq!((&frame.tag[..], &frame.value[..]), (&tag[..], &value[..]));
    }
    block_on(section.sync()).unwrap();
    assert_eq!(append(&section, b"d").position, 3);
}

/// A seal proves what is before it, is made once, and takes the zeros written ahead away. Appends go on behind it.
#[test]
fn a_seal_ends_the_file() {
    let section = section(0);
    for _ in 0..5 {
        append(&section, b"value");
        block_on(section.sync()).unwrap();
    }
    assert!(section.blob().len() > section.bytes() + 60_000, "zeros ahead");
    assert!(!section.is_sealed());
    let end = section.bytes();
    block_on(section.seal()).unwrap();
    block_on(section.seal()).unwrap();
    assert!(section.is_sealed());
    assert_eq!((section.bytes(), section.blob().len()), (end + SEAL_BYTES as u64, end + SEAL_BYTES as u64));
    let bytes = block_on(section.blob().read_at(end, SEAL_BYTES)).unwrap();
    assert_eq!(bytes, FrameHeader::seal(end, 5).encode_head(section.place(end), &[]));
    assert_eq!(append(&section, b"more").position, 5);
    assert!(!section.is_sealed());
    let mut headers = section.headers(Cursor::START);
    let mut kinds = Vec::new();
    while let Some(entry) = block_on(headers.next()).unwrap() {
        kinds.push((entry.position, entry.header.is_seal()));
    }
    assert_eq!(kinds, [(0, false), (1, false), (2, false), (3, false), (4, false), (5, true), (5, false)]);
    assert_eq!(headers.at(), section.end());
}

/// Appends wait for a hold, and find what the cut has left.
#[test]
fn appends_wait_for_a_hold() {
    let section = section(0);
    let all: Vec<_> = (0..5).map(|_| append(&section, b"value")).collect();
    let hold = block_on(section.hold());
    let (value, other) = (pack(b"late"), pack(b"never"));
    let mut late = pin!(section.append(&value, |_, _, _| {}));
    assert!(late.as_mut().now_or_never().is_none());
    assert_eq!(section.try_append(&other, |_, _, _| {}).unwrap(), None);
    block_on(hold.cut(Cursor { offset: all[2].location.offset, position: 2 })).unwrap();
    assert!(late.as_mut().now_or_never().is_none(), "until the owner is done");
    assert_eq!((section.len(), section.durable_len()), (2, 2));
    drop(hold);
    let appended = block_on(late).unwrap();
    assert_eq!((appended.position, appended.location.offset), (2, all[2].location.offset + SEAL_BYTES as u64));
    let gone = read(&section, all[3].location).unwrap_err();
    assert!(matches!(gone, Error::InvalidLocation { .. }), "{gone:?}");
    section.shut(Error::Closed);
    let refused = block_on(section.append(&value, |_, _, _| {})).unwrap_err();
    assert!(matches!(refused, Error::Closed), "{refused:?}");
    assert_eq!(read(&section, appended.location).unwrap(), "late", "reads go on");
}

/// Items are found by number from sparse marks, in sections of any length, also behind cuts.
#[test]
fn items_are_found_by_number() {
    let section = section(1);
    let mut places = BTreeMap::new();
    for n in 0..150_000_u64 {
        let appended = append(&section, b"");
        if n % 9_973 == 0 {
            places.insert(n, appended.location.offset);
        }
    }
    for (position, offset) in &places {
        assert_eq!(block_on(section.locate(*position)).unwrap(), Cursor { offset: *offset, position: *position });
    }
    assert_eq!(block_on(section.locate(150_000)).unwrap(), section.end());
    let error = block_on(section.locate(150_001)).unwrap_err();
    assert!(matches!(error, Error::ItemOutOfRange { section: 3, position: 150_001, len: 150_000 }), "{error:?}");
    let to = block_on(section.locate(69_811)).unwrap();
    let hold = block_on(section.hold());
    block_on(hold.cut(to)).unwrap();
    drop(hold);
    let again = append(&section, b"");
    assert_eq!((again.position, again.location.offset), (69_811, to.offset + SEAL_BYTES as u64));
    assert_eq!(block_on(section.locate(69_811)).unwrap().offset, again.location.offset);
    assert_eq!(block_on(section.locate(59_838)).unwrap().offset, places[&59_838]);
}

#[test]
fn a_read_only_section_takes_no_change() {
    let settings = Settings { read_only: true, ..settings() };
    let section = Arc::new(Section::create(3, blob(&MemoryStorage::new(), 0), settings).unwrap());
    let refused = [
        block_on(section.append(&pack(b"a"), |_, _, _| {})).map(|_| ()),
        block_on(section.sync()),
        block_on(section.flush()),
        block_on(section.seal()),
        block_on(section.sync_through(0)),
        block_on(async { section.hold().await.cut(Cursor::START).await }),
    ];
    for result in refused {
        assert!(matches!(result, Err(Error::ReadOnly)), "{result:?}");
    }
}

#[test]
fn a_tag_size_that_no_frame_can_have_is_damage() {
    let storage = MemoryStorage::new();
    let error = Section::create(3, blob(&storage, 65_536), settings()).unwrap_err();
    assert!(matches!(error, Error::Corrupt { offset: 0, .. }), "{error:?}");
}

/// Threads append, sync and seal at once: every item has a number of its own, and all are where they were said to be.
#[test]
fn threads_share_one_section() {
    let section = section(8);
    let threads: Vec<_> = (0..4_u8)
        .map(|thread| {
            let section = Arc::clone(&section);
            std::thread::spawn(move || {
                let mut mine = Vec::new();
                for n in 0..150_u8 {
                    mine.push((append(&section, &[thread, n]), [thread, n]));
                    if n % 10 == 0 {
                        block_on(section.sync()).unwrap();
                    }
                    if n % 50 == 49 {
                        block_on(section.seal()).unwrap();
                    }
                }
                mine
            })
        })
        .collect();
    let all: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    let mut positions: Vec<_> = all.iter().map(|(appended, _)| appended.position).collect();
    positions.sort_unstable();
    assert_eq!(positions, (0..600).collect::<Vec<_>>());
    for (appended, value) in all {
        let expect = Expect { position: Some(appended.position), tag: Some(&appended.position.to_be_bytes()) };
        assert_eq!(block_on(section.read(appended.location, expect)).unwrap().value, value[..]);
    }
}
