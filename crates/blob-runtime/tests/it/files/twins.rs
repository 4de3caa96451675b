//! Two files for one name: a crash has cut a creation short, or somebody has copied a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use blob_runtime::{
    Blob, BlobId, Error, FileStorage, Format, Header, HeaderState, Kind, Operation, Probe, Salt, Storage, StoreId,
    Target, file_name,
};
use futures::FutureExt;
use futures::executor::block_on;

use super::support::*;

/// What one of the two files holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    /// Created, nothing written.
    Empty,
    /// A header of which only a part has reached the disk.
    TornHeader,
    HeaderOnly,
    /// A length without data.
    Zeros,
    Valid,
}

const ALL: [Content; 5] = [Content::Empty, Content::TornHeader, Content::HeaderOnly, Content::Zeros, Content::Valid];

fn write(dir: &Path, salt: Salt, content: Content) -> PathBuf {
    let path = dir.join(file_name(b"a", salt));
    let header = Header { kind: Kind::USER, unit: 0, item: 0, store: StoreId(7), salt }.encode();
    let bytes = match content {
        Content::Empty => Vec::new(),
        Content::TornHeader => header[..20].to_vec(),
        Content::HeaderOnly => header,
        Content::Zeros => [header, vec![0; 100]].concat(),
        Content::Valid => [header, b"valid".to_vec()].concat(),
    };
    std::fs::write(&path, bytes).unwrap();
    path
}

/// One of the two is the remnant of a creation cut short: it is removed, durably, before the other is used. Two with
/// valid content are damage, of which nothing is touched. Every combination, with the probe of a format and without.
#[test]
fn every_combination() {
    let probe: Probe = Arc::new(|blob: Arc<dyn Blob>| {
        async move {
            // Whoever looks may not touch.
            assert!(matches!(blob.sync().await, Err(Error::ReadOnly { .. })));
            assert!(matches!(blob.write_header().await, Err(Error::ReadOnly { .. })));
            let len = usize::try_from(blob.len()).unwrap();
            Ok(blob.read_at(0, len).await?.starts_with(b"valid"))
        }
        .boxed()
    });
    for io in BOTH {
        for format in [format(), format().probe(Arc::clone(&probe))] {
            for (low, high) in ALL.into_iter().flat_map(|low| ALL.map(|high| (low, high))) {
                let (_dir, root, watch) = watched();
                drop(FileStorage::open(&root).unwrap());
                let p = root.join("p");
                std::fs::create_dir(&p).unwrap();
                let files = [write(&p, Salt(1), low), write(&p, Salt(2), high)];
                let before = snapshot(&root);
                let storage = FileStorage::builder(&root).io(io).hook(watch.hook()).open().unwrap();
                assert_eq!(scan(&storage), ["a"]);
                watch.take();
                let opened = block_on(storage.open("p", b"a", &format));
                if (low, high) == (Content::Valid, Content::Valid) {
                    let Err(Error::Corrupt { blob, found, .. }) = opened else { panic!("{opened:?}") };
                    assert_eq!(blob, BlobId::new(&"".into(), "p", b"a").unwrap());
                    assert_eq!(found, "two with valid content: file 1 of 2 and file 2 of 2");
                    assert_eq!(snapshot(&root), before);
                    continue;
                }
                let blob = opened.unwrap();
                let has_header = |content| !matches!(content, Content::Empty | Content::TornHeader);
                let kept = match (low, high) {
                    (Content::Valid, _) => 0,
                    (_, Content::Valid) => 1,
                    (low, high) if !has_header(low) && has_header(high) => 1,
                    _ => 0,
                };
                let context = format!("{low:?} and {high:?}");
                assert_eq!(files_in(&p), [files[kept].clone()], "{context}");
                assert_eq!(std::fs::read(&files[kept]).unwrap(), before[&files[kept]].1, "{context}");
                let calls = watch.take();
                let after_probe: Vec<_> = calls.iter().skip_while(|call| !call.starts_with("unlink")).collect();
                assert_eq!(after_probe[..3], ["unlink p/61", "fsync p", "open p/61"], "{context}");
                assert_eq!(blob.header().salt, Salt(if kept == 0 { 1 } else { 2 }), "{context}");
                let content = [low, high][kept];
                let state_fits = match content {
                    Content::Empty => blob.header_state() == HeaderState::New,
                    Content::TornHeader => matches!(blob.header_state(), HeaderState::Bad(_)),
                    _ => blob.header_state() == HeaderState::Sound,
                };
                assert!(state_fits, "{context}: {:?}", blob.header_state());
            }
        }
    }
}

/// The salt is known from elsewhere (an index takes its values' salt): of two empty files the one that has it stays.
#[test]
fn of_two_empty_files_the_one_with_the_wanted_salt_stays() {
    let (_dir, root, _) = watched();
    drop(FileStorage::open(&root).unwrap());
    std::fs::create_dir(root.join("p")).unwrap();
    let [_, wanted] = [1, 2].map(|salt| write(&root.join("p"), Salt(salt), Content::HeaderOnly));
    let storage = FileStorage::open(&root).unwrap();
    let blob = block_on(storage.open("p", b"a", &format().salt(Salt(2)))).unwrap();
    assert_eq!((blob.header().salt, files_in(&root.join("p"))), (Salt(2), vec![wanted]));
}

/// Beside a writer nothing is removed, and what stays is shown all the same. Removed by name, both files go.
#[test]
fn read_only_and_removal() {
    let (_dir, root, _) = watched();
    drop(FileStorage::open(&root).unwrap());
    std::fs::create_dir(root.join("p")).unwrap();
    write(&root.join("p"), Salt(1), Content::Zeros);
    write(&root.join("p"), Salt(2), Content::Valid);
    let before = snapshot(&root);
    let reader = FileStorage::builder(&root).read_only(true).open().unwrap();
    assert_eq!(read_all(open(&reader, "a").as_ref()), "valid");
    assert_eq!(snapshot(&root), before);
    let storage = FileStorage::open(&root).unwrap();
    block_on(storage.remove("p", &[b"a".to_vec()])).unwrap();
    assert_eq!(files_in(&root.join("p")), Vec::<PathBuf>::new());
}

/// Somebody who only reads has opened storage that may be written, and comes upon two files of one name: he sees the one
/// that has something in it, and removes nothing. Whoever writes does.
#[test]
fn who_only_looks_leaves_the_remnant() {
    for io in BOTH {
        for (low, high) in [(Content::Zeros, Content::Valid), (Content::Valid, Content::Empty)] {
            let (_dir, root, _) = watched();
            drop(FileStorage::open(&root).unwrap());
            std::fs::create_dir(root.join("p")).unwrap();
            write(&root.join("p"), Salt(1), low);
            write(&root.join("p"), Salt(2), high);
            let storage = FileStorage::builder(&root).io(io).open().unwrap();
            let before = snapshot(&root);
            let looked = block_on(storage.open("p", b"a", &format().look_only())).unwrap();
            assert_eq!(read_all(looked.as_ref()), "valid");
            assert_eq!(snapshot(&root), before);
            drop(looked);
            assert_eq!(read_all(open(&storage, "a").as_ref()), "valid");
            assert_eq!(files_in(&root.join("p")).len(), 1);
        }
    }
}

/// The remnant's removal cannot be made durable: the blob is not used over it.
#[test]
fn a_remnant_that_does_not_go() {
    for (call, wanted) in [("unlink p", Operation::Remove), ("fsync p", Operation::SyncDirectory)] {
        let (_dir, root, watch) = watched();
        drop(FileStorage::open(&root).unwrap());
        std::fs::create_dir(root.join("p")).unwrap();
        write(&root.join("p"), Salt(1), Content::Empty);
        write(&root.join("p"), Salt(2), Content::Valid);
        let storage = FileStorage::builder(&root).hook(watch.hook()).open().unwrap();
        watch.fail_next(call, EIO);
        assert_io(block_on(storage.open("p", b"a", &format())), wanted, EIO);
        let again = block_on(storage.open("p", b"a", &format()));
        match wanted {
            // The remnant may come back with a power cut.
            Operation::SyncDirectory => {
                assert_poisoned(again, &Target::Partition("p".into()), Operation::SyncDirectory, EIO);
            }
            _ => assert_eq!(read_all(again.unwrap().as_ref()), "valid"),
        }
    }
}

/// Two files, one of another store: its header is sound and says something else, so nothing is removed.
#[test]
fn a_file_of_another_store_beside_ours() {
    let (_dir, root, _) = watched();
    drop(FileStorage::open(&root).unwrap());
    let p = root.join("p");
    std::fs::create_dir(&p).unwrap();
    write(&p, Salt(1), Content::Valid);
    let other = Header { kind: Kind::USER, unit: 0, item: 0, store: StoreId(8), salt: Salt(2) };
    std::fs::write(p.join(file_name(b"a", Salt(2))), other.encode()).unwrap();
    let before = snapshot(&root);
    let storage = FileStorage::open(&root).unwrap();
    let opened = block_on(storage.open("p", b"a", &Format { probe: None, ..format() }));
    assert!(matches!(opened, Err(Error::FormatMismatch { field: "store id", .. })), "{opened:?}");
    assert_eq!(snapshot(&root), before);
}
