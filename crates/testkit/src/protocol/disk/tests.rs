//! What a power cut, a sync and a failed sync make of a file.

use std::collections::BTreeSet;

use super::{Content, File, Media};

/// Letters, with `.` for a cell never written and `?` for a torn one.
impl Content for char {
    const ZERO: Self = '.';

    fn torn(_: Self, _: Self) -> Option<Self> {
        Some('?')
    }
}

const PLAIN: Media = Media { stale: false, torn: false };
const STALE: Media = Media { stale: true, torn: false };
const TORN: Media = Media { stale: false, torn: true };

fn file(cells: &str) -> File<char> {
    File::of(&cells.chars().collect::<Vec<_>>())
}

fn write(file: &mut File<char>, at: u8, cells: &str) {
    file.write(at, &cells.chars().collect::<Vec<_>>());
}

fn shows(file: &File<char>) -> String {
    file.cells().iter().collect()
}

/// All that a power cut may leave.
fn cuts(file: &File<char>, media: Media) -> BTreeSet<String> {
    (0..file.outcomes(media)).map(|outcome| after(file, outcome, media)).collect()
}

fn after(file: &File<char>, outcome: u32, media: Media) -> String {
    let mut file = file.clone();
    file.power_cut(outcome, media);
    assert!(!file.is_pending(), "a power cut leaves nothing open");
    shows(&file)
}

fn set(all: &[&str]) -> BTreeSet<String> {
    all.iter().map(|one| (*one).to_owned()).collect()
}

/// Two cells are appended and not synced: each may be lost, and the length as well; the first outcome loses everything, the
/// last one keeps it.
#[test]
fn any_subset_survives() {
    let mut file = file("a");
    write(&mut file, 1, "bc");
    assert_eq!(cuts(&file, PLAIN), set(&["a", "a..", "ab.", "a.c", "abc"]));
    assert_eq!(after(&file, 0, PLAIN), "a");
    assert_eq!(after(&file, file.outcomes(PLAIN) - 1, PLAIN), "abc");
    let torn = cuts(&file, TORN);
    assert!(torn.contains("a?c") && torn.contains("ab?") && torn.contains("a??"), "{torn:?}");
}

/// A cell is written twice before a sync: the older version may be what is left.
#[test]
fn an_older_version_may_be_left() {
    let mut file = file("a");
    write(&mut file, 0, "b");
    write(&mut file, 0, "c");
    assert_eq!(cuts(&file, PLAIN), set(&["a", "b", "c"]));
}

/// After a sync nothing is lost; the same bytes written again put nothing at risk.
#[test]
fn a_sync_keeps_everything() {
    let mut file = file("a");
    write(&mut file, 1, "b");
    file.sync(PLAIN);
    write(&mut file, 0, "ab");
    assert!(!file.is_dirty());
    assert_eq!(cuts(&file, PLAIN), set(&["ab"]));
}

/// A sync fails: the cache shows the write, and no later sync brings it to the disk. Written again, it gets there.
#[test]
fn a_failed_sync_leaves_clean_pages_that_the_disk_never_got() {
    let mut file = file("a");
    write(&mut file, 0, "b");
    file.sync_failed();
    assert!(!file.is_dirty(), "nothing is left to write");
    file.sync(PLAIN);
    assert_eq!(shows(&file), "b");
    assert_eq!(cuts(&file, PLAIN), set(&["a", "b"]));
    write(&mut file, 0, "b");
    file.sync(PLAIN);
    assert_eq!(cuts(&file, PLAIN), set(&["b"]));
}

/// The same with a truncation: writing behind the end that shows does not cut what the disk still has; setting the length
/// again does.
#[test]
fn a_failed_truncation_stays_undone_until_the_length_is_set_again() {
    let mut file = file("abc");
    file.set_len(1);
    file.sync_failed();
    write(&mut file, 1, "x");
    file.sync(PLAIN);
    assert_eq!(shows(&file), "ax");
    assert_eq!(cuts(&file, PLAIN), set(&["ax", "axc"]));
    file.set_len(3);
    file.set_len(2);
    file.sync(PLAIN);
    assert_eq!(cuts(&file, PLAIN), set(&["ax"]));
}

/// Cut and grown again, both under a sync that failed; then what is there is written again and synced. Neither the cut nor
/// the growth, if they are done at all, takes any of it.
#[test]
fn what_was_synced_outlives_what_is_in_doubt() {
    let mut file = file("abc");
    file.set_len(1);
    write(&mut file, 1, "x");
    file.sync_failed();
    write(&mut file, 1, "x");
    file.sync(PLAIN);
    assert_eq!(cuts(&file, PLAIN), set(&["ax", "axc"]));
    write(&mut file, 2, "y");
    file.sync(PLAIN);
    assert_eq!(cuts(&file, PLAIN), set(&["axy"]));
}

/// Truncated and grown over, with the write to the block lost: zeros, or what the block held.
#[test]
fn a_freed_block_may_come_back() {
    let mut file = file("ab");
    file.set_len(1);
    file.sync(STALE);
    write(&mut file, 1, "c");
    assert_eq!(cuts(&file, STALE), set(&["a", "ab", "a.", "ac"]));
    file.sync(STALE);
    assert_eq!(cuts(&file, STALE), set(&["ac"]));
}

/// Zeros that were not synced before the truncation never reach the block; those that were do.
#[test]
fn a_truncation_drops_what_is_not_written_yet() {
    for (synced, left) in [(false, &["a", "ab", "a.", "ac"][..]), (true, &["a", "a.", "ac"][..])] {
        let mut file = file("ab");
        write(&mut file, 1, ".");
        if synced {
            file.sync(STALE);
        }
        file.set_len(1);
        file.sync(STALE);
        write(&mut file, 1, "c");
        assert_eq!(cuts(&file, STALE), set(left), "zeros synced: {synced}");
    }
}

/// A write behind the end whose length was lost is not part of the file, and does not come back later.
#[test]
fn data_without_length_is_gone() {
    let mut file = file("a");
    write(&mut file, 1, "b");
    // The write survives, the growth does not.
    file.power_cut(1, STALE);
    assert_eq!(shows(&file), "a");
    file.set_len(2);
    assert_eq!(cuts(&file, STALE), set(&["a", "a."]));
}
