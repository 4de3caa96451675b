//! Runs on small directories; the crash is run as a program (see `docs/testing.md`).

use std::fs;
use std::path::Path;

use bytes::Bytes;
use clap::Parser;
use futures::executor::block_on;
use oversized::{Compression, Located};

use crate::load::Acknowledged;
use crate::options::{Options, Place, parse_bytes, parse_compression};
use crate::source::{Source, hash};
use crate::{again, crash, ingest, print, prove, record};

fn options(directory: &Path, store: &Path, more: &[&str]) -> Options {
    let paths = [directory.to_str().unwrap(), "--store", store.to_str().unwrap()];
    Options::parse_from(["ingest"].iter().chain(&paths).chain(more))
}

fn find(options: &Options, place: &Place) -> Source {
    Source::find(&options.root(), options.everything(), place.path()).unwrap()
}

/// A directory of 40 files in two folders, one of them empty, and a link.
fn files() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("target")).unwrap();
    for n in 0..40_u8 {
        let folder = if n % 2 == 0 { "." } else { "target" };
        fs::write(root.path().join(folder).join(format!("{n}")), vec![n; usize::from(n) * 100]).unwrap();
    }
    std::os::unix::fs::symlink("/etc/passwd", root.path().join("link")).unwrap();
    root
}

#[test]
fn arguments_are_understood_or_refused() {
    assert_eq!(parse_bytes("64M"), Ok(64 << 20));
    assert_eq!(parse_bytes("1000"), Ok(1000));
    assert_eq!(parse_bytes("3KiB"), Ok(3072));
    assert_eq!(parse_bytes("0"), Err("it is 0, or too large".into()));
    assert_eq!(parse_bytes("99999999999G"), Err("it is 0, or too large".into()));
    assert_eq!(parse_bytes("5T"), Err("the unit is none of K, M, G".into()));
    assert_eq!(parse_compression("none"), Ok(Compression::None));
    assert_eq!(parse_compression("zstd:7"), Ok(Compression::Zstd { level: 7 }));
    assert_eq!(parse_compression("gzip"), Err("it is none of `none`, `zstd`, `zstd:LEVEL`".into()));
    assert_eq!(parse_compression("zstd:high"), Err("high is no level".into()));
    let zero = Options::try_parse_from(["ingest", "--writers", "0"]).unwrap_err();
    assert_eq!(zero.kind(), clap::error::ErrorKind::ValueValidation);
}

/// The vectors of the reference implementation of FNV-1a.
#[test]
fn paths_are_hashed() {
    assert_eq!(hash(b""), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
    assert_eq!(hash(b"a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
}

#[test]
fn an_acknowledgement_is_a_line() {
    let file = Acknowledged { path_hash: hash(b"x"), section: u64::MAX, position: 3, crc: 7 };
    let line = crash::format(&file);
    assert_eq!(crash::parse(line.trim_end()), Some(file));
    assert_eq!(crash::parse("0123 4 5"), None);
}

/// All regular files go in, with writers side by side, small sections, commits of three; a second run takes only what has
/// changed since; and the store in the same directory is not taken for a source.
#[test]
fn a_directory_goes_in_and_what_changes_follows() {
    let root = files();
    let store = root.path().join("store");
    for more in [&["--compression", "zstd", "--section-bytes", "5K"][..], &["--writers", "3", "--sync-every", "3"]] {
        let options = options(root.path(), &store, more);
        let place = Place::new(&options).unwrap();
        let source = find(&options, &place);
        assert_eq!(source.files.len(), 40);
        let loaded = ingest(&options, &place, &source).unwrap();
        let new = if more.len() == 4 && more[0] == "--compression" { 40 } else { 1 };
        assert_eq!(loaded.files, new);
        again(&options, &place, &source, &loaded).unwrap();
        fs::write(root.path().join("6"), "another text").unwrap();
    }
}

/// A file vanishes between the listing and its turn: it is named, and all others are there.
#[test]
fn a_file_that_cannot_be_read_is_named_and_the_others_go_in() {
    let root = files();
    let store = tempfile::tempdir().unwrap();
    let options = options(root.path(), store.path(), &[]);
    let place = Place::new(&options).unwrap();
    let source = find(&options, &place);
    fs::remove_file(root.path().join("12")).unwrap();
    let loaded = ingest(&options, &place, &source).unwrap();
    assert_eq!(loaded.files, 39);
    assert_eq!(loaded.skipped.len(), 1);
    assert!(loaded.skipped[0].contains("/12: No such file or directory"), "{}", loaded.skipped[0]);
    again(&options, &place, &source, &loaded).unwrap();
}

/// The store has other bytes than the file, and lacks one: both are told, so the proof can fail.
#[test]
fn what_is_wrong_or_missing_is_told() {
    let root = files();
    let directory = tempfile::tempdir().unwrap();
    let options = options(root.path(), directory.path(), &[]);
    let place = Place::new(&options).unwrap();
    let source = find(&options, &place);
    let store = record::open(place.path(), &options).unwrap();
    for (number, file) in source.files.iter().enumerate().skip(1) {
        let (record, mut value) = file.read(u64::MAX - 1).unwrap();
        if number == 30 {
            value = Bytes::from(vec![0xff; value.len()]);
        }
        block_on(store.append(0, Located::new(record), &value)).unwrap();
    }
    let has = prove::contents(&store).unwrap();
    let none = std::collections::HashMap::new();
    let bar = indicatif::ProgressBar::hidden();
    let compared = prove::compare(&store, &has, &source, &none, &bar).unwrap();
    assert_eq!((compared.equal, compared.wrong.len(), compared.missing.len()), (38, 1, 1));
    assert_eq!(compared.missing, [source.files[0].record.path_hash]);
    let failure = compared.report(&source, &[]).unwrap_err();
    assert_eq!(failure.to_string(), "2 files are wrong or missing in the store");
}

/// Two runs on one store: the second says so, and changes nothing.
#[test]
fn a_store_in_use_is_told() {
    let root = files();
    let directory = tempfile::tempdir().unwrap();
    let options = options(root.path(), directory.path(), &[]);
    let place = Place::new(&options).unwrap();
    let source = find(&options, &place);
    let held = record::open(place.path(), &options).unwrap();
    let failure = ingest(&options, &place, &source).unwrap_err();
    let expected = "is in use by another process; wait for it, or choose another --store";
    assert!(failure.to_string().ends_with(expected), "{failure}");
    drop(held);
    assert_eq!(ingest(&options, &place, &source).unwrap().files, 40);
}

#[test]
fn figures_are_readable() {
    let milliseconds = |n| std::time::Duration::from_millis(n);
    let sorted: Vec<_> = (1..=200).map(milliseconds).collect();
    assert_eq!(print::quantile(&sorted, 50), milliseconds(100));
    assert_eq!(print::quantile(&sorted, 99), milliseconds(198));
    assert_eq!(print::quantile(&[], 99), milliseconds(0));
    assert_eq!(print::bytes(999), "999 bytes");
    assert_eq!(print::bytes(1_250_000), "1.2 MB");
    assert_eq!(print::percent(1, 3), "33.3 %");
    assert_eq!(print::rate(1000, milliseconds(500)), 2000);
}
