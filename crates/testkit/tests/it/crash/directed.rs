//! Runs that have broken a promise once, cut down. Each failed before the fix that its story tells of.

use blob_runtime::sim::{Crash, Cut};
use testkit::crash::{End, FaultAt, Life, Op, Script, Settings, run};

const KEEP_ALL: Crash = Crash::Power(Cut::KeepAll);

fn script(seed: u64, record_bytes: usize, lives: Vec<Life>) -> Script {
    Script { seed, record_bytes, ordered: false, stale: false, granularity: None, lives }
}

fn life(ops: Vec<Op>, step: u64, crash: Crash) -> Life {
    Life { settings: Settings::PLAIN, ops, end: End { step, crash } }
}

#[track_caller]
fn holds(script: &Script) {
    assert_eq!(run(script).violation, None, "{script:?}");
}

/// In a store that is filled in order the lower section was kept from growing by a flag in memory. After an open there is
/// none: an append to section 1 was taken though section 7 had entries, and a crash lost it behind them (P2).
#[test]
fn an_open_does_not_let_a_lower_section_grow() {
    let ops = vec![Op::Append { section: 1, len: 5 }, Op::Append { section: 7, len: 5 }, Op::SyncAll];
    let settings = Settings { value_buffer: 150, ..Settings::PLAIN };
    let late =
        vec![Op::Append { section: 7, len: 58 }, Op::Read { section: 1, back: 0 }, Op::Append { section: 1, len: 33 }];
    let second = Life { settings, ops: late, end: End { step: 287, crash: Crash::Power(Cut::LoseAll) } };
    holds(&Script { ordered: true, ..script(10_583, 69, vec![life(ops, 181, KEEP_ALL), second]) });
}

/// While section 7 was being made, and section 1 made durable for it, an append to section 1 found it frozen, saw nothing
/// above it yet, and let it grow again: that entry lay behind what was synced (P2).
#[test]
fn a_lower_section_does_not_grow_while_a_higher_is_made() {
    let together =
        Op::Together(vec![Op::AppendAll { section: 7, lens: vec![7, 2, 35, 38] }, Op::Append { section: 1, len: 56 }]);
    let ops = vec![Op::Append { section: 1, len: 5 }, together, Op::Sync { section: 7 }];
    for seed in 1_460..1_480 {
        holds(&Script { ordered: true, ..script(seed, 72, vec![life(ops.clone(), 65, KEEP_ALL)]) });
    }
}

/// The first append to a section was dropped while its file was being made. The close looked for such files on a list, on
/// which one that is still being made is not; it came to lie there afterwards, without a seal, and the next open took that
/// for damage (P7).
#[test]
fn a_creation_that_is_dropped_leaves_nothing_behind_a_close() {
    for polls in 0..6 {
        let dropped = Op::Dropped { polls, op: Box::new(Op::Append { section: 1, len: 1019 }) };
        for seed in 2_930..2_950 {
            let ops = vec![dropped.clone(), Op::Reopen { close: true, settings: Settings::PLAIN }];
            holds(&script(seed, 35, vec![life(ops, 451, KEEP_ALL)]));
        }
    }
}

/// The sync of the directory failed after a section was removed; opened anew in the same process the store no longer showed
/// it, for the page cache did not. A power cut brought it back (P9). Now such an open is refused, and after a restart it
/// makes durable what is missing before it believes it.
#[test]
fn what_is_missing_is_durable_before_it_is_believed() {
    for nth in 1..7 {
        let ops = vec![
            Op::AppendAll { section: 7, lens: vec![5, 5, 5] },
            Op::SyncAll,
            Op::Fault(FaultAt::SyncDirectory(nth)),
            Op::AppendAll { section: 1, lens: vec![40, 4] },
            Op::Sync { section: 1 },
            Op::Remove { section: 7 },
            Op::Append { section: 1, len: 5 },
            Op::Reopen { close: false, settings: Settings::PLAIN },
            Op::Append { section: 1, len: 5 },
        ];
        for seed in 11_130..11_150 {
            holds(&script(seed, 40, vec![life(ops.clone(), 398, Crash::Power(Cut::LoseAll))]));
        }
    }
}

/// A rewind failed between its intent and its end: zeros, or nothing, where entries were. Readers were told of damage; the
/// right answer is that a change is not finished.
#[test]
fn behind_a_failed_rewind_nobody_is_told_of_damage() {
    let ops = |fault: FaultAt| {
        vec![
            Op::AppendAll { section: 7, lens: vec![26, 308, 42] },
            Op::Sync { section: 7 },
            Op::Fault(fault),
            Op::Rewind { section: 7, back: 1000, all_later: false },
            Op::Replay { section: 7, back: 3, values: true },
            Op::Replay { section: 7, back: 3, values: false },
            Op::Read { section: 7, back: 0 },
            Op::ReadMany { section: 7, back: 3, max_bytes: 1000 },
        ]
    };
    for nth in 1..12 {
        for fault in [FaultAt::Sync(nth), FaultAt::Resize(nth), FaultAt::Write(nth)] {
            holds(&script(nth, 40, vec![life(ops(fault), 1_500, KEEP_ALL)]));
        }
    }
}

/// Beside a rewind `verify` read past the new end, or a section that was gone, and answered an error.
#[test]
fn verify_beside_a_rewind_finds_nothing() {
    for seed in 0..60 {
        let rewind = |section| Op::Rewind { section, back: 2, all_later: true };
        let ops = vec![
            Op::AppendAll { section: 0, lens: vec![5, 5, 5] },
            Op::Append { section: 7, len: 5 },
            Op::SyncAll,
            Op::Together(vec![rewind(0), Op::Verify, Op::Verify]),
        ];
        holds(&script(seed, 21, vec![life(ops, 1_500, KEEP_ALL)]));
    }
}

/// The first write of a section failed in the middle, so there was no header yet when `verify` looked for one.
#[test]
fn verify_does_not_miss_a_header_before_the_first_sync() {
    for nth in 1..6 {
        let ops = vec![
            Op::Fault(FaultAt::Write(nth)),
            Op::AppendAll { section: 7, lens: vec![5, 300] },
            Op::Sync { section: 7 },
            Op::Verify,
        ];
        holds(&script(10_300, 55, vec![life(ops, 1_500, KEEP_ALL)]));
    }
}

/// A process is killed in a change of the manifest, so the newer slot is in the page cache only. The next open brought the
/// older one level first; the power went in that write, and took the newer one with it: neither slot was left (defect 46).
#[test]
fn the_newer_slot_is_made_durable_before_the_other_is_touched() {
    for seed in 0..12 {
        for killed in (1..40).map(|step| life(vec![Op::SetState, Op::SetState], 40 + step, Crash::Kill)) {
            for step in 6..22 {
                let recovery = life(Vec::new(), step, Crash::Power(Cut::Random));
                holds(&script(seed, 36, vec![killed.clone(), recovery]));
            }
        }
    }
}

/// A directory could not be synced while section 1 was being made, beside another append and a rewind of it. The empty file
/// that was left had a sound header by then, so the next append took it for one that a clean close had left without a seal,
/// and answered `Corrupt` (P12).
#[test]
fn a_section_that_could_not_be_made_is_made_later() {
    for seed in 111_150..111_250 {
        let together = Op::Together(vec![
            Op::Append { section: 1, len: 286 },
            Op::Append { section: 1, len: 22 },
            Op::Rewind { section: 1, back: 3, all_later: false },
        ]);
        let ops = vec![Op::Fault(FaultAt::SyncDirectory(1)), together];
        holds(&script(seed, 43, vec![life(ops, 98, KEEP_ALL)]));
    }
}
