//! The raw disk: looking at files, and changing them.

use super::*;
use blob_runtime::sim::{self, PendingEffect};
use blob_runtime::{Error, Salt};

#[test]
fn files_are_listed_as_seen_and_as_kept() {
    sim::run(1, async |sim| {
        let kept = durable(&sim, b"kept", b"12345").await;
        kept.resize(2).await.unwrap();
        open(&sim, b"new").await.write_at(0, bytes(b"x")).await.unwrap();
        let files = sim.disk().files();
        let listed: Vec<_> = files
            .iter()
            .map(|file| (&*file.partition, &*file.name, file.visible, file.durable, file.visible_len, file.durable_len))
            .collect();
        let want = [(P, &b"kept"[..], true, true, HEADER + 2, HEADER + 5), (P, b"new", true, false, HEADER + 1, 0)];
        assert_eq!(listed, want);
        assert_eq!(files[0].salt, kept.header().salt);
        assert_eq!(sim.disk().visible(P, b"kept").unwrap()[HEADER..], *b"12");
        assert_eq!(sim.disk().durable(P, b"kept").unwrap()[HEADER..], *b"12345");
        assert_eq!(sim.disk().visible(P, b"none"), None);
        assert_eq!(sim.disk().pending().len(), sim.pending());
        assert_eq!(sim.disk().pending()[0].effect, PendingEffect::Resize { len: HEADER + 2 });
    });
}

/// An edit is on the disk: no crash undoes it, and what was pending does not come over it.
#[test]
fn an_edit_is_durable() {
    sim::run(2, async |sim| {
        let blob = durable(&sim, A, b"hello").await;
        blob.write_at(0, bytes(b"jelly")).await.unwrap();
        assert!(sim.disk().edit(P, A, |bytes| bytes[HEADER] = b'H'));
        assert_eq!(sim.pending(), 0);
        assert_eq!(content(&blob).await, "Helly");
        sim.crash(LOSE_ALL);
        assert_eq!(found(&sim, A).await.unwrap(), "Helly");
        assert!(!sim.disk().replace(P, b"none", vec![]));
    });
}

/// Somebody copies a file under another name: its header still tells the salt, but the store above must tell the rest.
#[test]
fn files_are_copied_swapped_and_removed() {
    sim::run(3, async |sim| {
        durable(&sim, A, b"of a").await;
        let b = durable(&sim, b"b", b"of b").await;
        assert!(sim.disk().copy((P, A), ("q", b"c")));
        let copy = sim.storage().open("q", b"c", &format()).await.unwrap();
        assert_eq!(content(&copy).await, "of a");
        assert!(!sim.disk().copy((P, b"none"), ("q", b"c")));
        assert!(!sim.disk().copy((P, A), ("not/valid", b"c")));

        // The bytes of two files change places; the salts in their names do not.
        assert!(sim.disk().swap((P, A), (P, b"b")));
        sim.crash(Crash::Kill);
        match sim.storage().open(P, A, &format()).await {
            Err(Error::FormatMismatch { field: "salt", .. }) => {}
            other => panic!("{other:?}"),
        }
        assert!(sim.disk().remove(P, b"b"));
        assert!(!sim.disk().remove(P, b"b"));
        assert_eq!(found(&sim, b"b").await, None);
        drop(b);

        // In place of what is there, and onto itself.
        assert!(sim.disk().copy(("q", b"c"), (P, A)));
        assert!(sim.disk().copy((P, A), (P, A)));
        assert_eq!(found(&sim, A).await.unwrap(), "of a");
        assert_eq!(sim.disk().files().len(), 2);
        let sum: usize = sim.disk().files().iter().map(|file| file.visible_len).sum();
        assert_eq!(sim.disk().used_bytes(), sum as u64);
    });
}

#[test]
fn a_file_is_put_in_place() {
    sim::run(4, async |sim| {
        let mut bytes = format().header(Salt(3)).encode();
        bytes.extend_from_slice(b"made by hand");
        assert!(sim.disk().put(P, A, Salt(3), bytes));
        assert!(!sim.disk().put("", A, Salt(3), vec![]));
        assert!(!sim.disk().put(P, b"", Salt(3), vec![]));
        sim.crash(LOSE_ALL);
        let blob = open(&sim, A).await;
        assert_eq!((blob.header().salt, content(&blob).await), (Salt(3), Bytes::from_static(b"made by hand")));
    });
}

/// A file is taken away under an open handle.
#[test]
fn a_handle_of_a_removed_file_says_so() {
    sim::run(5, async |sim| {
        let blob = durable(&sim, A, b"hello").await;
        assert!(sim.disk().remove(P, A));
        let result = blob.write_at(0, bytes(b"x")).await;
        assert!(matches!(result, Err(Error::Removed { .. })), "{result:?}");
        assert_eq!(sim.disk().used_bytes(), 0);
    });
}
