//! Beside a running writer.

use blob_runtime::{Error, FileStorage, HeaderState, Operation, Storage, Target};
use futures::executor::block_on;

use super::support::*;

#[track_caller]
fn assert_read_only<T: std::fmt::Debug>(result: Result<T, Error>, wanted: Operation, on: &Target) {
    match result {
        Err(Error::ReadOnly { operation, target }) => assert_eq!((operation, &target), (wanted, on)),
        other => panic!("{other:?}"),
    }
}

/// An operator looks into a store that is in use: no lock, no byte changed, every change refused.
#[test]
fn nothing_is_changed() {
    for io in BOTH {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing");
        assert_io(FileStorage::builder(&missing).read_only(true).open(), Operation::Open, 2);
        assert!(!missing.exists());
        let root = dir.path().join("root");
        let writer = FileStorage::builder(&root).io(io).open().unwrap();
        block_on(open(&writer, "a").write_at_sync(0, bytes("abc"))).unwrap();
        drop(open(&writer, "new"));
        let before = snapshot(&root);
        let watch = Watch::new(&root);
        let builder = FileStorage::builder(&root).io(io).read_only(true).hook(watch.hook());
        let (reader, _second) = (builder.clone().open().unwrap(), builder.open().unwrap());
        assert_eq!(scan(&reader), ["a", "new"]);
        let blob = open(&reader, "a");
        assert_eq!((blob.header_state(), read_all(blob.as_ref())), (HeaderState::Sound, "abc".into()));
        let new = open(&reader, "new");
        assert_eq!((new.header_state(), new.len()), (HeaderState::New, 0));
        let on = Target::from(blob.id());
        assert_read_only(block_on(blob.write_at(0, bytes("x"))), Operation::Write, &on);
        assert_read_only(block_on(blob.write_at_sync(0, bytes("x"))), Operation::Write, &on);
        assert_read_only(block_on(blob.resize(0)), Operation::Resize, &on);
        assert_read_only(block_on(blob.sync()), Operation::Sync, &on);
        assert_read_only(block_on(blob.write_header()), Operation::Write, &on);
        assert_read_only(block_on(reader.sync_many(&[blob])).remove(0), Operation::Sync, &on);
        let p = Target::Partition("p".into());
        assert_read_only(block_on(reader.claim("p")), Operation::Lock, &p);
        assert_read_only(block_on(reader.remove("p", &[b"a".to_vec()])), Operation::Remove, &p);
        assert_read_only(block_on(reader.remove_partition("p")), Operation::Remove, &p);
        match block_on(reader.open("p", b"b", &format())) {
            Err(Error::ReadOnly { operation: Operation::Create, target: Target::Blob(id) }) => {
                assert_eq!(id.name(), b"b");
            }
            other => panic!("{other:?}"),
        }
        let missing = block_on(reader.open("q", b"b", &format().existing()));
        assert!(matches!(missing, Err(Error::NotFound { .. })), "{missing:?}");
        assert_eq!(snapshot(&root), before);
        let calls = watch.take();
        assert!(
            calls.iter().all(|call| ["list", "open", "read"].iter().any(|kind| call.starts_with(kind))),
            "{calls:?}"
        );
    }
}

/// What the writer does is seen by the next scan and the next open: blobs that come, grow, shrink, go, and come again.
#[test]
fn beside_a_writer() {
    for io in BOTH {
        let dir = tempfile::tempdir().unwrap();
        let writer = FileStorage::builder(dir.path()).io(io).open().unwrap();
        let reader = FileStorage::builder(dir.path()).io(io).read_only(true).max_open_files(1).open().unwrap();
        assert_eq!(scan(&reader), [""; 0]);
        let a = open(&writer, "a");
        block_on(a.write_at(0, bytes("abc"))).unwrap();
        assert_eq!(scan(&reader), ["a"]);
        let seen = open(&reader, "a");
        assert_eq!((seen.len(), read_all(seen.as_ref())), (3, "abc".into()));
        // It grows under an open handle, and shrinks.
        block_on(a.write_at(3, bytes("def"))).unwrap();
        assert!(seen.try_read_at(0, 6).is_none());
        assert_eq!(block_on(seen.read_at(0, 6)).unwrap(), "abcdef");
        assert_eq!(seen.len(), 6);
        block_on(a.resize(2)).unwrap();
        match block_on(seen.read_at(0, 6)) {
            Err(Error::OutOfBounds { len: 6, blob_len: 2, .. }) => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(read_all(seen.as_ref()), "ab");
        // It goes and comes again: an old handle that is still open reads the old file to the end.
        block_on(writer.remove("p", &[b"a".to_vec()])).unwrap();
        assert_eq!(scan(&reader), [""; 0]);
        assert_eq!(block_on(seen.read_at(0, 2)).unwrap(), "ab");
        let gone = block_on(reader.open("p", b"a", &format().existing()));
        assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
        block_on(open(&writer, "a").write_at(0, bytes("xyz"))).unwrap();
        let again = open(&reader, "a");
        assert_eq!(read_all(again.as_ref()), "xyz");
        // Only one file may be open, so the old one is closed by now, and it is gone.
        assert!(matches!(block_on(seen.read_at(0, 2)), Err(Error::Removed { .. })));
    }
}
