//! With every rule kept, every promise holds in all that may happen within the bounds.

use testkit::protocol::{Bounds, Op, Op::*, Rules, check, suite};

use super::{LIMIT, script};

fn holds(bounds: Bounds) {
    let outcome = check(bounds, Rules::all(), 1, LIMIT);
    println!("{outcome}");
    assert!(outcome.holds(), "{outcome}");
}

/// One search of the suite, over 4 operations or as many as the variable `OPS` says; they are tests of their own, so that they run side by side.
fn in_suite(number: usize) {
    let ops = std::env::var("OPS").map_or(4, |ops| ops.parse().expect("OPS is a number"));
    let suite = suite(ops);
    assert_eq!(suite.len(), 7, "each search of the suite has a test here");
    holds(suite[number].bounds.clone());
}

/// Two crashes: one anywhere, one in the recovery behind it or anywhere else.
#[test]
fn any_operations_with_two_crashes() {
    in_suite(0);
}

/// Torn cells, blocks that come back, three crashes.
#[test]
fn any_operations_on_treacherous_media() {
    in_suite(1);
}

/// A sync or a write fails somewhere, and two crashes.
#[test]
fn any_operations_with_a_failure() {
    in_suite(2);
}

/// A cell rots while no process runs.
#[test]
fn any_operations_with_rot() {
    in_suite(3);
}

/// The same behind a failure.
#[test]
fn any_operations_with_rot_and_a_failure() {
    in_suite(4);
}

/// Another task gets into a rewind, before any of its steps.
#[test]
fn any_operations_with_a_guest() {
    in_suite(5);
}

/// Commits write zeros ahead.
#[test]
fn any_operations_with_zeros_ahead() {
    in_suite(6);
}

/// A life of a section, with four crashes and what a crash may leave: torn cells, old blocks.
#[test]
fn a_long_life_of_one_section() {
    let ops = [
        Append(0),
        Batch(0),
        Checkpoint(0),
        RewindSection(0, 2),
        Append(0),
        Sync(0),
        Checkpoint(0),
        Close,
        Append(0),
        Sync(0),
    ];
    holds(script(&ops).crashes(3).torn().stale());
}

/// The same with a failure and rot.
#[test]
fn a_long_life_with_a_failure_and_rot() {
    let ops = [
        Append(0),
        Batch(0),
        Checkpoint(0),
        RewindSection(0, 2),
        Append(0),
        Sync(0),
        ReopenSection(0),
        Checkpoint(0),
        Close,
        Append(0),
        Sync(0),
    ];
    holds(script(&ops).crashes(1).faults(1).rots(1));
}

/// Two rewinds to the same place inside a batch (defect 50), with items between them.
#[test]
fn two_rewinds_into_one_batch() {
    let ops =
        [Batch(0), RewindSection(0, 1), Append(0), Sync(0), RewindSection(0, 1), Append(0), Sync(0), Checkpoint(0)];
    holds(script(&ops).crashes(2).faults(1).torn().stale().rots(1));
}

/// Rewinds over both sections, with appends to both, a task that gets in, and a failure.
#[test]
fn rewinds_over_two_sections() {
    let ops = [Append(0), Batch(0), Append(1), Checkpoint(1), Sync(0), Rewind(0, 2), Append(1), Sync(1), Rewind(0, 1)];
    holds(script(&ops).crashes(1).faults(1).guests(1));
}

/// Section 0 is pruned, the user's state changes, the store is closed and opened.
#[test]
fn prune_and_user_state() {
    let ops: [Op; 9] = [Append(0), Checkpoint(0), Append(1), SetUser, Prune, SetUser, Close, SetUser, Append(1)];
    holds(script(&ops).crashes(2).faults(1).torn().rots(1));
}

/// Commits write zeros ahead; a rewind, a recovery and a close cut them off.
#[test]
fn zeros_ahead_through_a_life() {
    let ops =
        [Append(0), Sync(0), Batch(0), Sync(0), RewindSection(0, 2), Append(0), Sync(0), Close, Append(0), Sync(0)];
    holds(script(&ops).crashes(2).faults(1).torn().stale().ahead());
}
