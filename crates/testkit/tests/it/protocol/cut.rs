//! Cutting off: zeros, truncation, seal.

use testkit::protocol::{Op::*, Promise, Rule};

use super::{needed, script};

/// Frames are rewound and the file truncated (defects 1, 38). It grows again, the new frame is lost, and the block that was
/// freed comes back with the old frame: right offset, right position, right checksum, and a floor of that time.
#[test]
fn a_rewind_overwrites_what_it_cuts() {
    needed(
        Rule::RewindZeros,
        script(&[Append(0), Seal(0), Append(0), Sync(0), RewindSection(0, 0), Append(0), Append(0), Sync(0)])
            .crashes(1)
            .stale(),
        Promise::NoFalseAlarm,
    );
}

/// The same: zeros that wait in the cache while the file is truncated are dropped with it, and never reach the block.
#[test]
fn the_zeros_of_a_rewind_are_synced_before_the_truncation() {
    needed(
        Rule::RewindZerosSynced,
        script(&[Append(0), Seal(0), Append(0), Sync(0), RewindSection(0, 0), Append(0), Append(0), Sync(0)])
            .crashes(1)
            .stale(),
        Promise::NoFalseAlarm,
    );
}

/// Recovery cuts a torn tail (defect 2). A frame that lay behind the torn one comes back when the file has grown over its
/// block, and a power cut has lost what was written there.
#[test]
fn recovery_overwrites_what_it_cuts() {
    needed(Rule::RecoveryZeros, torn_tail_comes_back(), Promise::Prefix);
}

/// The same, with zeros that never reach the block.
#[test]
fn the_zeros_of_a_recovery_are_synced_before_the_truncation() {
    needed(Rule::RecoveryZerosSynced, torn_tail_comes_back(), Promise::Prefix);
}

fn torn_tail_comes_back() -> testkit::protocol::Bounds {
    let ops = [Append(0), Seal(0), Append(0), Append(0), Sync(0), RewindSection(0, 0), Append(0), Append(0), Sync(0)];
    script(&ops).crashes(3).stale()
}

/// After a crash there are zeros behind the last frame. If they stay, what is appended is written over them, and a store
/// that is closed in order ends with zeros.
#[test]
fn zeros_behind_the_end_are_cut_too() {
    let ops = [Append(0), Append(0), Sync(0), RewindSection(0, 0), Append(0), Append(0), Append(0), Close];
    needed(Rule::ZerosCut, script(&ops).crashes(1), Promise::NoFalseAlarm);
}

/// A truncation's sync fails, and the process ends: the cache shows the short file, the disk has the long one. Who only
/// syncs what he sees, and writes behind it, leaves it at that. The store is closed in order, and after a power cut there
/// is something behind its last seal.
#[test]
fn a_length_that_is_seen_is_set_again() {
    let ops = [Append(0), Append(0), Append(0), Sync(0), RewindSection(0, 1), Close];
    needed(Rule::LengthSetAgain, script(&ops).crashes(1).syncs_fail(1), Promise::NoFalseAlarm);
}
