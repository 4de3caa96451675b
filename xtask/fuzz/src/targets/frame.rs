//! A blob of frames: each header by itself, surveyed with any evidence, read in order and by location.

use std::sync::Arc;

use blob_runtime::append::Config as LogConfig;
use blob_runtime::{Blob, Header, Kind, Salt, StoreId};
use futures::executor::block_on;
use glob::frame::{Place, RawFrame};
use glob::recover::{Evidence, any_frame, claimed_tag_bytes, plan, sealed_end, survey};
use glob::section::{Expect, Frames, Resume, Section, Settings};
use glob::{Compression, Cursor, Location, Packer};

use crate::input::{Input, expand};
use crate::memory::Memory;
use crate::reseal;

/// The most that one read may ask for while frames are looked for.
const PIECE_BYTES: u64 = 256 << 10;
/// The longest blob.
const MAX_BYTES: usize = 96 << 10;
/// The largest value that is read.
const MAX_VALUE_BYTES: u32 = 1 << 20;
pub(crate) const NAME: [u8; 8] = 3_u64.to_be_bytes();
/// Sizes of tags: a glob's, a pair's, and others.
pub(crate) const TAG_BYTES: [u16; 4] = [0, 16, 3, 40];

pub(crate) fn header(tag_bytes: u16) -> Header {
    Header { kind: Kind::VALUES, unit: tag_bytes.into(), item: 0, store: StoreId(7), salt: Salt(9) }
}

/// `flags u8 │ where a cut was decided and a floor is known, u16 │ the blob, without its zeros`. Bit 0: headers'
/// checksums are made anew, bit 1: the payloads' too; the highest two: tag size.
///
/// # Panics
/// When a promise is broken.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let (flags, place) = (input.u8(), input.u16());
    let mut bytes = expand(&mut input, MAX_BYTES);
    let header = header(TAG_BYTES[usize::from(flags >> 6)]);
    let binding = header.binding(&NAME);
    if flags & 1 != 0 {
        reseal::frames(&mut bytes, binding, flags & 2 != 0);
    }
    for tag_bytes in TAG_BYTES.into_iter().chain([u16::MAX]) {
        if let Ok(head) = RawFrame(&bytes).verify(Place { binding, offset: 0 }, tag_bytes) {
            assert_eq!(bytes.get(..head.header.encode().len()), Some(&head.header.encode()[..]), "P3: another header");
        }
    }
    let place = u64::from(place);
    let cut = Cursor { offset: place, position: place % 8 };
    let evidence = Evidence {
        clean: flags & 4 != 0,
        floor: if flags & 8 != 0 { place } else { 0 },
        cut: (flags & 16 != 0).then_some(cut),
    };
    let Some(blob) = Memory::new(&NAME, header, bytes) else { return };
    block_on(look(&blob, evidence, place));
}

async fn look(blob: &Arc<Memory>, evidence: Evidence, place: u64) {
    let len = blob.len();
    let shared: Arc<dyn Blob> = Arc::clone(blob) as _;
    let starts = [Cursor::START, Cursor { offset: place, position: 1 }, Cursor { offset: u64::MAX, position: 0 }];
    let mut found = None;
    for from in starts {
        let Ok(facts) = survey(&shared, from, evidence).await else { panic!("P8: a survey fails") };
        let plan = plan(&facts);
        assert!(plan.end.offset <= facts.end.offset, "{plan:?} of {facts:?}");
        assert!(plan.cut.end <= len.max(from.offset), "{plan:?} of {facts:?}");
        found.get_or_insert((plan.end, facts.floor));
    }
    let sealed = sealed_end(&shared).await.is_ok();
    let any = any_frame(&shared).await.is_ok();
    assert!(sealed && any && claimed_tag_bytes(&shared).await.is_ok(), "P8: a look at frames fails");
    assert!(blob.largest() <= PIECE_BYTES, "P13: one read of {} bytes", blob.largest());
    let (read, most) = (blob.taken(), 16 * (len + PIECE_BYTES));
    assert!(read <= most, "P13: {read} bytes are read of {len}");
    if let Some((end, floor)) = found {
        read_all(&shared, end, floor.min(end.offset), place).await;
    }
}

/// What recovery leaves is read in order, and again by location.
async fn read_all(blob: &Arc<dyn Blob>, end: Cursor, durable: u64, place: u64) {
    let settings = Settings {
        log: LogConfig::default(),
        preallocate_bytes: 0,
        packer: Arc::new(Packer::new(Compression::None, MAX_VALUE_BYTES)),
        read_only: true,
    };
    let resume = Resume { end, durable, sealed: false, readable: end.offset };
    let Ok(section) = Section::resume(3, Arc::clone(blob), settings, resume) else { panic!("P8: no section") };
    let section = Arc::new(section);
    let mut frames = Frames::new(Arc::clone(&section), Cursor::START);
    let mut next = 0;
    while let Some(frame) = frames.next().await {
        // One that verifies and whose value is too large, or is not what it says when it is decompressed.
        let Ok(frame) = frame else { break };
        assert_eq!(frame.position, next, "P2: frames are not in order");
        next += 1;
        let expect = Expect { position: Some(frame.position), tag: Some(&frame.tag) };
        match section.read(frame.location, expect).await {
            Ok(again) => {
                assert_eq!((again.value, again.tag), (frame.value, frame.tag), "P3: read again, another value")
            }
            Err(error) => panic!("P3: a frame that was read in order answers {error}"),
        }
        assert!(next <= end.position, "P2: more frames than recovery has found");
    }
    let mut headers = section.headers(Cursor::START);
    while let Ok(Some(entry)) = headers.next().await {
        assert!(entry.location.end().is_some_and(|to| to <= end.offset), "a header behind the end");
        // Also where reading in order has ended before.
        drop(section.read(entry.location, Expect::ANY).await);
    }
    for position in [0, next, end.position, u64::MAX] {
        drop(section.locate(position).await);
    }
    // Places that are none.
    for offset in [place, end.offset, u64::MAX] {
        for size in [0, 40, 43, u32::MAX] {
            drop(section.read(Location { offset, size }, Expect::ANY).await);
        }
    }
}
