//! Append, write, sync, seal, close.

use testkit::protocol::{Op::*, Promise, Rule};

use super::{needed, script};

/// A floor that says what was written, and not what was synced: of two frames that were never synced the second survives
/// a power cut and claims that the first one was durable.
#[test]
fn a_floor_says_only_what_a_sync_has_returned_for() {
    needed(Rule::FloorSynced, script(&[Append(0), Append(0), Sync(0)]).crashes(1), Promise::NoFalseAlarm);
}

/// A long batch is written and synced in two parts (defect 54). The frame behind it says that half of it is durable; that
/// is true, and no recovery may keep half a batch.
#[test]
fn a_floor_never_lies_inside_a_batch() {
    needed(Rule::FloorOutsideBatch, script(&[Batch(0), FlushSync(0), Append(0), Sync(0)]).crashes(1), Promise::Prefix);
}

/// The first sync of a section makes its bytes durable and forgets the directory: the file is gone.
#[test]
fn the_first_sync_makes_the_name_durable() {
    needed(Rule::FirstSyncNames, script(&[Append(0), Sync(0)]).crashes(1), Promise::Durable);
}

/// A sync fails, and the kernel calls the pages clean (defect 13). The next sync has nothing to write and says Ok.
#[test]
fn a_failed_sync_poisons() {
    needed(Rule::FailedSyncPoisons, script(&[Append(0), Sync(0), Sync(0)]).crashes(1).syncs_fail(1), Promise::Durable);
}

/// The disk is full in the middle of a batch (defect 51). Whoever forgets the rest of it appends the next item behind half
/// a batch, and completes it with something else.
#[test]
fn what_a_failed_write_has_left_is_written_first() {
    needed(
        Rule::FailedWriteRetried,
        script(&[Batch(0), Sync(0), Append(0), Sync(0)]).crashes(1).writes_fail(1),
        Promise::Prefix,
    );
}

/// A store that was closed in order is opened and appended to, and the power goes. The manifest still says clean, so the
/// torn tail looks like damage.
#[test]
fn dirty_is_durable_before_the_first_write() {
    needed(Rule::DirtyFirst, script(&[Append(0), Close, Append(0), Sync(0)]).crashes(1), Promise::NoFalseAlarm);
}

/// A store that was closed in order is opened, nothing is appended, and an index is made of what is there (defect 52). A
/// power cut leaves half a page in a store that says clean.
#[test]
fn dirty_is_durable_before_a_checkpoint() {
    needed(Rule::DirtyBeforeCheckpoint, script(&[Append(0), Close, Checkpoint(0)]).crashes(1), Promise::NoFalseAlarm);
}

/// Frames and their seal in one write, under one sync: the seal survives, a frame does not, and the seal claims that it
/// was durable.
#[test]
fn a_seal_is_written_when_all_before_it_is_synced() {
    needed(Rule::SealAfterSync, script(&[Append(0), Seal(0)]).crashes(1), Promise::NoFalseAlarm);
}

/// The store says clean, and its last seal is lost: everything that a clean store must end with is not there.
#[test]
fn a_seal_is_synced() {
    needed(Rule::SealSynced, script(&[Append(0), Close]).crashes(1), Promise::NoFalseAlarm);
}

/// A clean store that ends without a seal cannot be told from one whose end is gone.
#[test]
fn a_close_seals() {
    needed(Rule::CloseSeals, script(&[Append(0), Close]).crashes(1), Promise::NoFalseAlarm);
}

/// A sync has failed, the store is closed all the same, and says clean: what the disk never got looks like damage.
#[test]
fn clean_is_said_only_when_everything_is_durable() {
    needed(
        Rule::CleanWhenDurable,
        script(&[Append(0), Sync(0), Close]).crashes(1).syncs_fail(1),
        Promise::NoFalseAlarm,
    );
}

/// Zeros are written ahead in the background, where the section ended a moment before: they land on frames that a commit
/// has written there meanwhile, and the commit's sync makes them durable.
#[test]
fn zeros_ahead_are_written_by_a_commit_only() {
    needed(Rule::ZerosWithCommit, script(&[Append(0), Sync(0)]).crashes(1).guests(1).ahead(), Promise::Durable);
}

/// A seal is written into the zeros ahead, and some of them stay behind it: a clean store that ends with zeros.
#[test]
fn sealing_cuts_off_what_was_written_ahead() {
    needed(Rule::SealCutsAhead, script(&[Append(0), Sync(0), Close]).crashes(1).ahead(), Promise::NoFalseAlarm);
}
