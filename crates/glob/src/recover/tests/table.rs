//! The decision table: every combination of facts, against the rules written down a second time.

use std::collections::BTreeMap;

use super::super::plan::cases;
use super::super::{Behind, Case, Evidence, Facts, Stop, plan};
use crate::frame::FrameFault;
use crate::location::Cursor;

const FAULT: FrameFault = FrameFault::Magic;

/// Every combination of facts that can be: boundaries at 0 and 100, frames of 100 bytes.
fn all_facts() -> Vec<Facts> {
    let mut all = Vec::new();
    for from in [Cursor::START, Cursor { offset: 100, position: 2 }] {
        for frames in 0..3_u64 {
            let end = Cursor { offset: from.offset + frames * 100, position: from.position + frames };
            let mut batches = vec![None];
            batches.extend(
                (0..frames).map(|n| Some(Cursor { offset: from.offset + n * 100, position: from.position + n })),
            );
            for (open_batch, sealed) in batches.into_iter().flat_map(|batch| [(batch, false), (batch, true)]) {
                // A seal ends a batch, and is a frame.
                if sealed && (open_batch.is_some() || frames == 0) {
                    continue;
                }
                for (stop, left) in [(Stop::End, 0), (Stop::Zeros, 50), (Stop::Invalid(FAULT), 50)] {
                    let mut floors = vec![0, from.offset, from.offset + frames.saturating_sub(1) * 100];
                    floors.dedup();
                    for floor in floors {
                        behinds(stop, end, |behind| {
                            evidences(end, |evidence| {
                                // Behind a decided cut nothing is looked at.
                                if evidence.cut.is_some() && (behind != Behind::default() || stop == Stop::Zeros) {
                                    return;
                                }
                                for header_sound in [true, false] {
                                    let len = end.offset + left;
                                    all.push(Facts {
                                        header_sound,
                                        len,
                                        from,
                                        end,
                                        open_batch,
                                        sealed,
                                        floor,
                                        stop,
                                        behind,
                                        evidence,
                                    });
                                }
                            });
                        });
                    }
                }
            }
        }
    }
    all
}

fn behinds(stop: Stop, end: Cursor, mut each: impl FnMut(Behind)) {
    each(Behind::default());
    if stop == Stop::Invalid(FAULT) {
        let at = Some(end.offset + 5);
        for floor in [0, end.offset, end.offset + 5] {
            each(Behind { header: at, whole: None, floor });
            each(Behind { header: at, whole: at, floor });
        }
    }
}

fn evidences(end: Cursor, mut each: impl FnMut(Evidence)) {
    for clean in [false, true] {
        for floor in [0, 100, end.offset, end.offset + 10] {
            for cut in [None, Some(end), Some(Cursor { offset: end.offset + 40, position: end.position + 1 })] {
                each(Evidence { clean, floor, cut });
            }
        }
    }
}

/// The rules, as they stand in the protocol, one after the other.
fn rule(facts: &Facts) -> (Case, Cursor) {
    let batch_start = facts.open_batch.unwrap_or(facts.end);
    if let Some(cut) = facts.evidence.cut {
        return if cut == facts.end { (Case::Cut, cut) } else { (Case::Damaged, batch_start) };
    }
    let ends_with_seal = facts.sealed && facts.end.offset == facts.len;
    if facts.evidence.clean && !ends_with_seal {
        return (Case::Damaged, batch_start);
    }
    let proven = facts.floor.max(facts.behind.floor).max(facts.evidence.floor);
    if proven > facts.end.offset {
        return (Case::Damaged, batch_start);
    }
    if ends_with_seal {
        return (Case::Sealed, facts.end);
    }
    let end = if proven == facts.end.offset { facts.end } else { batch_start };
    if proven > end.offset {
        return (Case::Damaged, batch_start);
    }
    if end == Cursor::START && facts.from == Cursor::START {
        return (Case::Nothing, end);
    }
    let torn = facts.stop == Stop::Invalid(FAULT) || end != facts.end;
    (if torn { Case::TornTail } else { Case::CleanEnd }, end)
}

/// For all facts exactly one case applies, it is the one the rules say, and what the plan says belongs together.
#[test]
fn exactly_one_case_applies_to_all_facts() {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for facts in all_facts() {
        let (case, end) = rule(&facts);
        assert_eq!(cases(&facts), [case], "{facts:?}");
        let plan = plan(&facts);
        assert_eq!((plan.case, plan.end), (case, end), "{facts:?}");
        *seen.entry(format!("{case:?}")).or_default() += 1;

        let proven = facts.floor.max(facts.behind.floor).max(facts.evidence.floor);
        assert_eq!(plan.damage.is_some(), case == Case::Damaged, "{facts:?}");
        if !matches!(case, Case::Damaged | Case::Cut) {
            assert!(plan.end.offset >= proven, "nothing proven goes without being told (P4): {facts:?} {plan:?}");
        }
        assert!(plan.proven <= plan.end.offset, "{facts:?}");
        assert_eq!(plan.cut, plan.end.offset.min(facts.len)..facts.len, "{facts:?}");
        assert!(!plan.quarantine || !plan.cut.is_empty(), "{facts:?}");
        if case == Case::Damaged {
            assert_eq!(plan.quarantine, !plan.cut.is_empty(), "what is damaged is kept elsewhere: {facts:?}");
        }
        if case == Case::TornTail {
            let frames_go = facts.behind.whole.is_some() || plan.end != facts.end;
            assert_eq!(plan.quarantine, frames_go, "{facts:?}");
        }
        assert_eq!(plan.remove, case == Case::Nothing, "{facts:?}");
        assert_eq!(plan.seal, !matches!(case, Case::Sealed | Case::Nothing), "{facts:?}");
        assert_eq!(plan.rewrite_header, !facts.header_sound || plan.proven == 0, "{facts:?}");
    }
    let names = ["CleanEnd", "Cut", "Damaged", "Nothing", "Sealed", "TornTail"];
    assert_eq!(seen.keys().map(String::as_str).collect::<Vec<_>>(), names);
    assert!(seen.values().all(|count| *count > 20), "{seen:?}");
}
