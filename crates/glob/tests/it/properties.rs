//! Properties of one section, for any values, batches, tags and settings.

use std::sync::Arc;

use blob_runtime::append::{Config as LogConfig, Spares};
use blob_runtime::{Format, Kind, MemoryStorage, Storage, StoreId, Want};
use futures::executor::block_on;
use glob::recover::{Case, Evidence, plan, survey};
use glob::section::{Resume, Section, Settings};
use glob::{Compression, Cursor, Expect, Packer};
use proptest::collection::vec;
use proptest::prelude::*;

/// Values appended together, and what is done behind them.
#[derive(Debug, Clone)]
struct Step {
    values: Vec<Vec<u8>>,
    then: Then,
}

#[derive(Debug, Clone, Copy)]
enum Then {
    Nothing,
    Flush,
    Sync,
    Seal,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let value =
        prop_oneof![4 => vec(any::<u8>(), 0..40), 1 => (any::<u8>(), 0..3000_usize).prop_map(|(b, n)| vec![b; n])];
    let then = prop_oneof![Just(Then::Nothing), Just(Then::Flush), Just(Then::Sync), Just(Then::Seal)];
    vec((vec(value, 1..4), then).prop_map(|(values, then)| Step { values, then }), 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever is appended is read back by location, found by number, listed by its headers in order, and found by a
    /// survey of the blob, which ends at the last frame with nothing left over.
    #[test]
    fn a_section_gives_back_what_it_was_given(
        steps in steps(),
        tag_bytes in 0..20_u16,
        level in prop::option::of(-3..6_i32),
        buffer_bytes in 1..2000_usize,
        preallocate_bytes in 0..5000_u64,
    ) {
        let storage = MemoryStorage::new();
        let format = Format::new(Kind::VALUES, Want::Exactly(StoreId(7))).unit(Want::Exactly(tag_bytes.into()));
        let blob = block_on(storage.open("p", b"12345678", &format)).unwrap();
        let compression = level.map_or(Compression::None, |level| Compression::Zstd { level });
        let settings = Settings {
            log: LogConfig { buffer_bytes, unsynced_bytes: 3000, spares: Spares::new(10_000) },
            preallocate_bytes,
            packer: Arc::new(Packer::new(compression, 5000)),
            read_only: false,
        };
        let packer = Arc::clone(&settings.packer);
        let section = Arc::new(Section::create(5, Arc::clone(&blob), settings.clone()).unwrap());
        let tag_of = |position: u64| -> Vec<u8> { position.to_be_bytes().into_iter().cycle().take(tag_bytes.into()).collect() };
        let mut all = Vec::new();
        for step in &steps {
            let packed: Vec<_> = step.values.iter().map(|value| packer.pack(value).unwrap()).collect();
            let tag = |_, position, _, buf: &mut Vec<u8>| buf.extend_from_slice(&tag_of(position));
            let appended = block_on(section.append_batch(&packed, tag)).unwrap();
            all.extend(appended.into_iter().zip(&step.values));
            match step.then {
                Then::Nothing => {}
                Then::Flush => block_on(section.flush()).unwrap(),
                Then::Sync => block_on(section.sync()).unwrap(),
                Then::Seal => block_on(section.seal()).unwrap(),
            }
        }
        for (n, (at, value)) in all.iter().enumerate() {
            prop_assert_eq!(at.position, n as u64);
            let tag = tag_of(at.position);
            let expect = Expect { position: Some(at.position), tag: Some(&tag) };
            let frame = block_on(section.read(at.location, expect)).unwrap();
            prop_assert_eq!(&frame.value[..], &value[..]);
            prop_assert!(frame.floor <= at.location.offset);
            prop_assert_eq!(block_on(section.locate(at.position)).unwrap().offset, at.location.offset);
        }
        let mut headers = section.headers(Cursor::START);
        let mut listed = Vec::new();
        while let Some(entry) = block_on(headers.next()).unwrap() {
            if !entry.header.is_seal() {
                prop_assert_eq!(&entry.tag[..], &tag_of(entry.position)[..]);
                listed.push(entry.location);
            }
        }
        prop_assert_eq!(listed, all.iter().map(|(at, _)| at.location).collect::<Vec<_>>());
        block_on(section.sync()).unwrap();
        let facts = block_on(survey(&blob, Cursor::START, Evidence::default())).unwrap();
        prop_assert_eq!((facts.end, facts.open_batch), (section.end(), None));
        let plan = plan(&facts);
        let whole = if section.is_sealed() && blob.len() == section.bytes() { Case::Sealed } else { Case::CleanEnd };
        prop_assert_eq!((plan.case, plan.end, plan.damage), (whole, section.end(), None));
        // Any boundary will do to begin at.
        let middle = all[all.len() / 2].0;
        let from = Cursor { offset: middle.location.offset, position: middle.position };
        let facts = block_on(survey(&blob, from, Evidence::default())).unwrap();
        prop_assert_eq!(facts.end, section.end());
        let resumed = Resume { end: facts.end, durable: facts.end.offset, sealed: facts.sealed, readable: 0 };
        let again = Section::resume(5, blob, settings, resumed).unwrap();
        prop_assert_eq!(again.len(), all.len() as u64);
    }
}
