//! Rules that the model does not need: second lines, each behind another rule, and those that nothing here shows to be
//! necessary. `docs/crash-safety.md` lists them; these tests say what is known of each.

use testkit::protocol::{Bounds, Op::*, Promise, Rule, Rules, check};

use super::{LIMIT, one_of_two, script};

/// A page that was rewound comes back with its block. Had it been zeroed, nothing would verify; as its entries do not
/// match the frames, it does not count.
#[test]
fn stale_pages_are_zeroed_or_do_not_match() {
    let ops =
        [Append(0), Append(0), Append(0), Checkpoint(0), RewindSection(0, 1), Append(0), Append(0), Checkpoint(0)];
    one_of_two([Rule::IndexZeros, Rule::PagesMatchFrames], script(&ops).crashes(1).stale(), Promise::Atomic);
}

/// A frame that was rewound comes back with its block, at an offset where another position is due.
#[test]
fn stale_frames_are_zeroed_or_out_of_position() {
    let ops = [Append(0), Append(0), Append(0), Sync(0), RewindSection(0, 1), Append(0), Append(0), Sync(0)];
    one_of_two([Rule::PositionExpected, Rule::RewindZeros], script(&ops).crashes(1).stale(), Promise::Atomic);
}

/// Nothing within these bounds breaks without the rule: a life with rewinds, checkpoints and a close on treacherous media,
/// one with a failure, one with rot, and any four operations.
fn spare(rule: Rule) {
    let life = script(&[
        Append(0),
        Append(0),
        Checkpoint(0),
        Append(0),
        Checkpoint(0),
        RewindSection(0, 1),
        Append(0),
        Append(0),
        Checkpoint(0),
        Close,
    ]);
    let section = [Append(0), Batch(0), Sync(0), Checkpoint(0), RewindSection(0, 0), RewindSection(0, 1), Prune, Close];
    let searches = [
        life.clone().crashes(2).torn().stale(),
        life.clone().crashes(1).faults(1),
        life.clone().crashes(1).guests(1),
        life.crashes(1).rots(1).torn(),
        Bounds::free(section, 4).crashes(1).faults(1),
    ];
    for bounds in searches {
        let without = check(bounds, Rules::all().without(rule), 1, LIMIT);
        assert!(without.holds(), "without {rule}: {without}");
    }
}

/// Another task appends and syncs while a rewind has not cut yet: its item is cut with the others, as if it had come before
/// the rewind; and it had.
#[test]
fn appends_before_the_cut() {
    spare(Rule::RewindHoldsEarly);
}

/// The intent carries an interrupted cut on, and what it has doomed is not judged: which of the two files was cut first
/// shows nowhere.
#[test]
fn the_order_of_the_files_in_a_rewind() {
    spare(Rule::RewindIndexFirst);
}

/// The zeros are durable before the truncation, so a truncation that is lost leaves zeros behind the seal; and the intent
/// does it again.
#[test]
fn the_truncation_of_a_rewind_by_itself() {
    spare(Rule::RewindCutSynced);
}

/// What a torn tail holds has floors no higher than its beginning, and the next recovery cuts again.
#[test]
fn the_truncation_of_a_recovery_by_itself() {
    spare(Rule::RecoveryCutSynced);
}

/// A slot that is shortened before the truncation is durable leaves pages of zeros behind it.
#[test]
fn the_truncation_of_the_index_by_itself() {
    spare(Rule::IndexCutSynced);
}

/// A page that was the last one, written over its only durable slot and torn, is lost; its entries come from the frames. A
/// journal without frames needs the rule.
#[test]
fn the_durable_slot_of_a_page() {
    spare(Rule::DurableSlotKept);
}

/// A frame that a proven entry points to and that has rotted is told by whoever reads it; an open tells it sooner.
#[test]
fn the_frame_of_a_proven_entry() {
    spare(Rule::ProvenEntryMatches);
}

/// What a prune has not durably removed, the next open removes.
#[test]
fn the_removals_of_a_prune() {
    spare(Rule::PruneSynced);
}
