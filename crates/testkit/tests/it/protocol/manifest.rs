//! The manifest: changed slot by slot, settled before it is believed.

use testkit::protocol::{Op::*, Promise, Rule};

use super::{needed, script};

/// A change is in one slot only (defect 34). That slot rots, and the other one still says what was before.
#[test]
fn a_change_is_in_both_slots_before_it_is_acted_upon() {
    needed(Rule::BothSlots, script(&[SetUser]).crashes(1).rots(1), Promise::Atomic);
}

/// Both slots are written under one sync, and the power cut tears both.
#[test]
fn the_first_slot_is_synced_before_the_other_is_written() {
    needed(Rule::SlotBySlot, script(&[SetUser]).crashes(1).torn(), Promise::NoFalseAlarm);
}

/// A change's sync fails, and the cache shows the new slot as clean. The next open believes it and levels the other one;
/// then that rots, and the first one never was on the disk.
#[test]
fn the_newest_slot_is_written_again_before_it_is_believed() {
    needed(Rule::SettleNewest, script(&[SetUser]).crashes(1).syncs_fail(1).rots(1), Promise::Atomic);
}

/// Killed while a change was in the cache alone, an open levels the older slot first (defect 46): a power cut tears both.
#[test]
fn the_newest_slot_is_settled_before_the_other_is_touched() {
    needed(Rule::SettleNewestFirst, script(&[SetUser]).crashes(2).torn(), Promise::NoFalseAlarm);
}

/// An open settles the newest slot only. That rots later, and the other one shows what was before.
#[test]
fn the_other_slot_is_brought_level() {
    needed(Rule::SettleBoth, script(&[SetUser]).crashes(2).rots(1), Promise::Atomic);
}

/// In a store that says clean the user's state is changed, and the process killed before the sync (defect 47). An open
/// shows the new state, and a power cut takes it back.
#[test]
fn a_clean_manifest_is_settled_too() {
    needed(Rule::SettleClean, script(&[Close, SetUser]).crashes(2), Promise::Atomic);
}
