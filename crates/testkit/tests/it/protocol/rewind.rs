//! Rewind and prune: done or not, and never undone.

use testkit::protocol::{Op::*, Promise, Rule};

use super::{needed, script};

/// What a rewind keeps was appended and not synced; the intent names it all the same, and a power cut takes it. The open
/// that carries the intent on misses it.
#[test]
fn what_a_rewind_keeps_is_synced_before_its_intent() {
    needed(Rule::KeptSynced, script(&[Append(0), Append(0), RewindSection(0, 1)]).crashes(1), Promise::NoFalseAlarm);
}

/// A rewind cuts, and the power goes: without an intent nobody carries it on.
#[test]
fn the_intent_is_durable_before_anything_is_cut() {
    needed(
        Rule::IntentFirst,
        script(&[Append(0), Append(0), Sync(0), RewindSection(0, 0)]).crashes(1),
        Promise::Atomic,
    );
}

/// A rewind returns with its intent still set (defect 35). An item is appended and synced; the next open carries the
/// rewind out again.
#[test]
fn the_intent_is_cleared_before_the_rewind_returns() {
    needed(
        Rule::IntentCleared,
        script(&[Append(0), Append(0), RewindSection(0, 1), Append(0), Sync(0)]).crashes(1),
        Promise::Durable,
    );
}

/// Another task appends and syncs between the cut and the clearing of the intent. A crash there, and the next open cuts
/// again: the acknowledged item is gone.
#[test]
fn appends_are_held_until_the_intent_is_cleared() {
    needed(
        Rule::RewindHolds,
        script(&[Append(0), Append(0), RewindSection(0, 1)]).crashes(1).guests(1),
        Promise::Durable,
    );
}

/// The same in a later section, which the rewind has removed: the new one would be removed again.
#[test]
fn appends_to_later_sections_are_held_too() {
    needed(
        Rule::RewindHoldsLater,
        script(&[Append(0), Append(1), Rewind(0, 1)]).crashes(1).guests(1),
        Promise::Durable,
    );
}

/// A rewind that leaves the floor as it was: frames that are appended behind it claim that frames before them, which were
/// never synced, are durable.
#[test]
fn a_rewind_lowers_the_floor() {
    needed(Rule::RewindLowersFloor, regrown(), Promise::NoFalseAlarm);
}

/// A sync that has reached the disk returns after the rewind has cut what it covered (defect 39), and raises the floor to
/// what is no longer there.
#[test]
fn a_late_sync_does_not_raise_the_floor_beyond_the_cut() {
    needed(Rule::LateSyncKeepsFloor, regrown().guests(1), Promise::NoFalseAlarm);
}

fn regrown() -> testkit::protocol::Bounds {
    let ops = [Append(0), Append(0), Append(0), Sync(0), RewindSection(0, 0), Append(0), Append(0), Sync(0)];
    script(&ops).crashes(1)
}

/// A rewind into a batch (defect 43): what is left of it is whole only because a seal ends it.
#[test]
fn a_rewind_seals() {
    needed(Rule::RewindSeals, script(&[Batch(0), RewindSection(0, 1)]).crashes(1), Promise::Durable);
}

/// The same, with a seal that was written and lost (defect 42).
#[test]
fn the_seal_of_a_rewind_is_synced_before_the_intent_is_cleared() {
    needed(Rule::RewindSealSynced, script(&[Batch(0), RewindSection(0, 1)]).crashes(1), Promise::Durable);
}

/// A prune removes files before the manifest says so: a power cut leaves a section that was neither there nor pruned.
#[test]
fn pruned_to_is_durable_before_anything_is_removed() {
    needed(Rule::PrunedFirst, script(&[Append(0), Sync(0), Prune]).crashes(1), Promise::Atomic);
}
