use std::collections::BTreeSet;

use bytes::Bytes;

use super::*;
use crate::name::Salt;
use crate::sim::inode::Data;

fn data(bytes: &'static [u8]) -> Data {
    Data::new(vec![Bytes::from_static(bytes)])
}

/// A directory with a durable file, a file whose name is new, and one whose removal is pending; each with some writes.
fn disk() -> Disk {
    let mut disk = Disk::default();
    let directory = disk.make_directory(&"p".into());
    let [old, gone] = [b"a", b"b"].map(|name| disk.create(directory, (name[..].into(), Salt(1))));
    disk.apply(old, Change::Write { offset: 0, data: data(b"old") }, false);
    disk.apply(gone, Change::Write { offset: 0, data: data(b"gone") }, false);
    [old, gone].into_iter().for_each(|inode| disk.sync(inode));
    disk.directories[directory].sync();
    disk.root.sync();
    disk.apply(old, Change::Write { offset: 1, data: data(b"LDER") }, false);
    disk.apply(old, Change::Resize(2), false);
    disk.apply(old, Change::Write { offset: 2, data: data(b"") }, false);
    disk.apply(gone, Change::Write { offset: 0, data: data(b"G") }, false);
    disk.unlink(directory, &(b"b"[..].into(), Salt(1)));
    let new = disk.create(directory, (b"c"[..].into(), Salt(2)));
    disk.apply(new, Change::Write { offset: 0, data: data(b"new") }, false);
    disk
}

/// A search by subsets is only as good as its list of them: what it lists is what all cuts, one by one, come to, and
/// each cut it names leads to the disk it says.
#[test]
fn outcomes_are_those_of_all_subsets() {
    let mut disk = disk();
    let directory = disk.directory("p").unwrap();
    let inode = disk.files_of(directory, b"a")[0].1;
    disk.inodes[inode].in_flight = Some(Change::Write { offset: 0, data: data(b"X") });
    let image = Image(disk);
    assert_eq!(image.pending(), 9);
    let digest_behind = |cut| image.crashed(Crash::Power(cut), 5).digest();
    let all: BTreeSet<u64> = (0..1 << 9).map(|bits| digest_behind(Cut::Subset(bits))).collect();
    let outcomes = image.outcomes().unwrap();
    assert!(outcomes.iter().all(|outcome| digest_behind(outcome.cut) == outcome.digest));
    let listed: BTreeSet<u64> = outcomes.iter().map(|outcome| outcome.digest).collect();
    assert_eq!(listed.len(), outcomes.len(), "an end is listed twice");
    assert_eq!(listed, all);
}

/// Two disks that show the same bytes differ when the one has them in the cache only: a later crash tells them apart.
#[test]
fn a_digest_knows_what_is_pending() {
    let image = Image(disk());
    let killed = image.crashed(Crash::Kill, 1);
    let durable = image.crashed(Crash::Power(Cut::KeepAll), 1);
    assert_ne!(killed.digest(), durable.digest());
    assert_eq!(killed.digest(), image.digest());
    assert_eq!(killed.crashed(Crash::Power(Cut::KeepAll), 2).digest(), durable.digest());
}

/// 2^n disks are not to be gone through where n is large.
#[test]
fn too_many_effects_have_no_list() {
    let mut disk = disk();
    let directory = disk.directory("p").unwrap();
    let inode = disk.files_of(directory, b"a")[0].1;
    for _ in 0..20 {
        disk.apply(inode, Change::Resize(1), false);
    }
    assert_eq!(Image(disk).outcomes(), None);
}
