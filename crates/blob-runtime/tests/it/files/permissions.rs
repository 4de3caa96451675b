//! Files of another user.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;

use blob_runtime::{FileStorage, Operation, Storage};
use futures::executor::block_on;

use super::support::*;

const EACCES: i32 = 13;
/// A user who owns nothing (`nobody` on Linux).
const OTHER: u32 = 65_534;

fn allow(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Somebody has run a tool as root, and now files of the store belong to root: the service may not open them. It gets
/// that error, takes nothing for missing, and changes nothing.
#[test]
fn permission_denied() {
    if let Some(root) = child_root() {
        let open = |name: &str| FileStorage::builder(root.join(name)).open();
        assert_io(open("closed"), Operation::Open, EACCES);
        let storage = open("store").unwrap();
        assert_io(block_on(storage.scan("closed")), Operation::Open, EACCES);
        assert_io(block_on(storage.open("closed", b"a", &format())), Operation::Open, EACCES);
        assert_io(block_on(storage.remove_partition("closed")), Operation::Open, EACCES);
        assert_eq!(scan(&storage), ["a"]);
        assert_io(block_on(storage.open("p", b"a", &format())), Operation::Open, EACCES);
        assert_io(block_on(storage.open("p", b"b", &format())), Operation::Create, EACCES);
        assert_io(block_on(storage.remove("p", &[b"a".to_vec()])), Operation::Remove, EACCES);
        assert_io(block_on(storage.open("q", b"a", &format())), Operation::CreateDirectory, EACCES);
        return;
    }
    if !is_root() {
        println!("skipped: permission_denied (needs root, to run as another user)");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // May be passed through, not listed: its entries cannot be made durable by the other user, which is only warned of.
    allow(dir.path(), 0o711);
    drop(FileStorage::open(dir.path().join("closed")).unwrap());
    let root = dir.path().join("store");
    let storage = FileStorage::open(&root).unwrap();
    block_on(open(&storage, "a").write_at_sync(0, bytes("abc"))).unwrap();
    block_on(block_on(storage.open("closed", b"a", &format())).unwrap().sync()).unwrap();
    drop(storage);
    // The lock file is the other user's; the root, the partition and the blob can be seen at most.
    chown(root.join("LOCK"), Some(OTHER), None).unwrap();
    allow(&root, 0o755);
    allow(&root.join("p"), 0o755);
    let before = snapshot(dir.path());
    let (status, text) = in_child("files::permissions::permission_denied", dir.path(), |child| {
        child.uid(OTHER).gid(OTHER);
    });
    assert!(status.success(), "{text}");
    assert_eq!(snapshot(dir.path()), before);
}
