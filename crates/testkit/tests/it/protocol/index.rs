//! The index behind the values.

use testkit::protocol::{Op::*, Promise, Rule};

use super::{needed, script};

/// Index and values go to the disk side by side (defect 18): the page survives a power cut, the frame does not, and the
/// entry points to nothing.
#[test]
fn values_are_synced_before_the_pages_that_point_to_them() {
    needed(Rule::IndexBehindValues, script(&[Append(0), Checkpoint(0)]).crashes(1), Promise::NoFalseAlarm);
}

/// An item is synced and in no index page yet. Its frame says all there is to know.
#[test]
fn what_no_page_says_comes_from_the_frames() {
    needed(Rule::FramesTellAll, script(&[Append(0), Checkpoint(0), Append(0), Sync(0)]).crashes(1), Promise::Durable);
}

/// The disk is full while pages are written (defect 37), and the store is closed: the clean index ends with half a page.
#[test]
fn an_index_whose_write_has_failed_is_removed() {
    needed(
        Rule::UnlinkBrokenIndex,
        script(&[Append(0), Append(0), Append(0), Checkpoint(0), Close]).crashes(1).writes_fail(1),
        Promise::NoFalseAlarm,
    );
}

/// A section is removed, its values first, and the power goes: an index without values is no crash state.
#[test]
fn a_removal_removes_the_index_first() {
    needed(
        Rule::RemoveIndexFirst,
        script(&[Append(0), Checkpoint(0), RemoveSection(0)]).crashes(1),
        Promise::NoFalseAlarm,
    );
}

/// A tail limit makes a checkpoint fall inside a batch of which one frame is written; the rest is lost.
#[test]
fn no_checkpoint_falls_inside_a_batch() {
    needed(
        Rule::CheckpointOutsideBatch,
        script(&[Batch(0), Flush(0), Checkpoint(0)]).crashes(1),
        Promise::NoFalseAlarm,
    );
}

/// A rewind has shortened the last page by a new slot, and that slot rots (defect 48): the older one verifies again, with
/// an entry that was rewound.
#[test]
fn a_page_counts_only_if_its_entries_match_their_frames() {
    needed(
        Rule::PagesMatchFrames,
        script(&[Append(0), Append(0), Checkpoint(0), RewindSection(0, 1)]).crashes(1).rots(1),
        Promise::Atomic,
    );
}

/// A batch lies across two pages of the index. The frame of its last item rots, so the second page does not match and
/// does not count, and the first one ends with half a batch.
#[test]
fn a_batch_in_which_the_index_ends_must_go_on() {
    needed(Rule::IndexedBatchEnds, script(&[Append(0), Batch(0), Checkpoint(0)]).crashes(1).rots(1), Promise::Prefix);
}
