use super::*;
use bytes::Bytes;

const ROOT: &str = "p";

fn data(bytes: &'static [u8]) -> Data {
    Data::new(vec![Bytes::from_static(bytes)])
}

fn key(name: &[u8]) -> FileKey {
    (name.into(), Salt(7))
}

fn crash(disk: &mut Disk, crash: Crash) -> Ways {
    let mut ways = Ways::default();
    disk.crash(crash, &mut Rng::with_seed(1), &mut ways);
    ways
}

/// A disk with the durable file `p/a`, which holds `old`.
fn disk() -> (Disk, usize, usize) {
    let mut disk = Disk::default();
    let directory = disk.make_directory(&ROOT.into());
    let inode = disk.create(directory, key(b"a"));
    disk.apply(inode, Change::Write { offset: 0, data: data(b"old") }, false);
    disk.sync(inode);
    disk.directories[directory].sync();
    disk.root.sync();
    (disk, directory, inode)
}

/// A file is unlinked and another one takes its name. Until the directory is synced the old one can come back, whole.
#[test]
fn a_removed_file_comes_back_with_its_bytes() {
    let (mut disk, directory, inode) = disk();
    assert_eq!(disk.unlink(directory, &key(b"a")), Some(inode));
    assert_eq!((disk.used_bytes, disk.files_of(directory, b"a")), (0, vec![]));
    let second = disk.create(directory, (b"a"[..].into(), Salt(8)));
    disk.apply(second, Change::Write { offset: 0, data: data(b"newer") }, false);
    assert_eq!(disk.used_bytes, 5);

    crash(&mut disk, Crash::Kill);
    assert_eq!(disk.files_of(directory, b"a"), [(Salt(8), second)]);
    crash(&mut disk, Crash::Power(Cut::LoseAll));
    assert_eq!(disk.files_of(directory, b"a"), [(Salt(7), inode)]);
    assert_eq!(disk.inodes[inode].visible, b"old");
    assert_eq!(disk.used_bytes, 3);

    // Nothing leads to the second any more: its place is used again, empty.
    let third = disk.create(directory, key(b"b"));
    assert_eq!((third, disk.inodes[third].visible.len()), (second, 0));
}

/// The partition's own name is lost: all that was synced in it is out of reach.
#[test]
fn a_lost_directory_takes_its_files_along() {
    let mut disk = Disk::default();
    let directory = disk.make_directory(&ROOT.into());
    let inode = disk.create(directory, key(b"a"));
    disk.sync(inode);
    disk.directories[directory].sync();
    let ways = crash(&mut disk, Crash::Power(Cut::LoseAll));
    assert_eq!((disk.directory(ROOT), ways.name_lost), (None, 1));
    assert_eq!(disk.free, [inode]);
}

/// A write is in flight when the power goes. For a cut that names its survivors it is one more effect, the last.
#[test]
fn a_change_in_flight_counts_as_pending() {
    for (bits, want) in [(0, &b"old"[..]), (1, b"old\0\0"), (2, b"nnn"), (3, b"nnnnn")] {
        let (mut disk, _, inode) = disk();
        disk.inodes[inode].in_flight = Some(Change::Write { offset: 0, data: data(b"nnnnn") });
        assert_eq!(disk.pending_count(), 2);
        assert_eq!(disk.pending(), [], "not yet issued to the cache");
        crash(&mut disk, Crash::Power(Cut::Subset(bits)));
        assert_eq!(disk.inodes[inode].durable, want, "{bits:02b}");
    }
}

/// A kill interrupts a write: none of it, all of it, or a first part is in the page cache, and none is on the disk.
#[test]
fn a_kill_lets_a_write_land_in_part() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let (mut disk, _, inode) = disk();
        disk.inodes[inode].in_flight = Some(Change::Write { offset: 0, data: data(b"nnnn") });
        disk.crash(Crash::Kill, &mut Rng::with_seed(seed), &mut Ways::default());
        assert_eq!(disk.inodes[inode].durable, b"old");
        assert!(disk.inodes[inode].in_flight.is_none());
        seen.insert(disk.inodes[inode].visible.clone());
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [&b"nld"[..], b"nnd", b"nnn", b"nnnn", b"old"]);
}

#[test]
fn pending_effects_are_listed_in_the_order_in_which_a_cut_counts_them() {
    let (mut disk, directory, inode) = disk();
    disk.apply(inode, Change::Write { offset: 1, data: data(b"xyz") }, false);
    let other = disk.create(directory, key(b"b"));
    disk.apply(inode, Change::Resize(2), false);
    disk.apply(other, Change::Write { offset: 0, data: data(b"b") }, false);
    disk.unlink(directory, &key(b"b"));
    let listed: Vec<_> = disk.pending().into_iter().map(|pending| (pending.name, pending.effect)).collect();
    let name = |name: &[u8]| Some(Arc::<[u8]>::from(name));
    let want = [
        (name(b"a"), PendingEffect::Grow { len: 4 }),
        (name(b"a"), PendingEffect::Write { offset: 1, len: 3 }),
        (name(b"b"), PendingEffect::Link),
        (name(b"a"), PendingEffect::Resize { len: 2 }),
        (None, PendingEffect::Grow { len: 1 }),
        (None, PendingEffect::Write { offset: 0, len: 1 }),
        (name(b"b"), PendingEffect::Unlink),
    ];
    assert_eq!(listed, want);
    assert_eq!(disk.pending_count(), want.len());
    // The fourth effect alone: the resize.
    crash(&mut disk, Crash::Power(Cut::Only(3)));
    assert_eq!(disk.inodes[inode].durable, b"ol");
}

#[test]
fn room_is_what_the_space_leaves() {
    let (mut disk, _, inode) = disk();
    assert_eq!(disk.room(inode, 100), 100);
    disk.space_bytes = Some(10);
    assert_eq!(disk.room(inode, 100), 10);
    assert_eq!(disk.room(inode, 2), 2);
    // Full, or over the limit: what the file has already can be overwritten.
    disk.space_bytes = Some(1);
    assert_eq!(disk.room(inode, 100), 3);
}

#[test]
fn a_partition_that_is_made_again_after_its_removal_starts_empty() {
    let (mut disk, directory, inode) = disk();
    disk.unlink(directory, &key(b"a"));
    disk.directories[directory].sync();
    disk.remove_directory(&ROOT.into());
    let again = disk.make_directory(&ROOT.into());
    assert_eq!(disk.files_of(again, b"a"), []);
    // Neither the removal nor the creation of the directory is durable.
    crash(&mut disk, Crash::Power(Cut::LoseAll));
    assert_eq!(disk.directory(ROOT), Some(directory));
    assert_eq!(disk.files_of(directory, b"a"), []);
    assert_eq!(disk.free, [inode]);
}
