//! Opening after a crash: what is believed, judged, written again.

use testkit::protocol::{Op::*, Promise, Rule};

use super::{needed, script};

/// A killed process leaves a new file whose name is in the cache alone (defect 32). An open shows what is in it, syncs the
/// file, and a power cut takes the name.
#[test]
fn names_that_are_found_are_made_durable() {
    needed(Rule::SyncFoundNames, script(&[Append(0), Flush(0)]).crashes(2), Promise::Shown);
}

/// Half a batch is on the disk when the power goes.
#[test]
fn a_batch_that_is_not_whole_is_dropped() {
    needed(Rule::BatchWhole, script(&[Batch(0), Sync(0)]).crashes(1), Promise::Prefix);
}

/// A synced frame rots, and a later one says that it was durable: that is no torn tail.
#[test]
fn a_later_floor_tells_damage() {
    needed(Rule::LaterFloorTells, script(&[Append(0), Sync(0), Append(0), Sync(0)]).crashes(1).rots(1), Promise::Told);
}

/// One section is only unsealed, another one is damaged. The open is refused, and had sealed the first one by then.
#[test]
fn everything_is_judged_before_anything_is_changed() {
    needed(
        Rule::JudgedFirst,
        script(&[Append(0), Sync(0), Append(1), Sync(1), Append(1), Sync(1)]).crashes(1).rots(1),
        Promise::Told,
    );
}

/// A rewind was cut off in the middle of its zeros. Who judges the doomed bytes finds a torn tail in their place and takes
/// that for the section's end.
#[test]
fn what_an_unfinished_rewind_has_doomed_is_not_judged() {
    needed(
        Rule::DoomedNotJudged,
        script(&[Append(0), Append(0), Sync(0), RewindSection(0, 0)]).crashes(1),
        Promise::Atomic,
    );
}

/// A sync has failed, the section is opened anew, and the cache shows frames that the disk never got (defect 33). A sync
/// alone says Ok and writes nothing; the seal behind them then claims that they are durable.
#[test]
fn what_is_shown_is_written_again() {
    needed(
        Rule::WrittenAgain,
        script(&[Append(0), Sync(0), ReopenSection(0), Append(0), Sync(0)]).crashes(1).syncs_fail(1),
        Promise::NoFalseAlarm,
    );
}

/// A killed process has left frames in the cache that were never synced. They are shown, and sealed.
#[test]
fn what_was_never_synced_is_written_again() {
    let ops = [Append(0), Append(0), Flush(0), Checkpoint(0), Close];
    needed(Rule::WrittenAgain, script(&ops).crashes(2), Promise::NoFalseAlarm);
}

/// A store that was recovered is closed in order, with nothing appended: it ends without a seal.
#[test]
fn recovery_seals() {
    needed(Rule::RecoverySeals, script(&[Append(0), Sync(0), Close]).crashes(1), Promise::NoFalseAlarm);
}

/// The same, with a seal that was written and lost.
#[test]
fn the_seal_of_a_recovery_is_synced() {
    needed(Rule::RecoverySealSynced, script(&[Append(0), Append(0), Sync(0), Close]).crashes(2), Promise::NoFalseAlarm);
}
