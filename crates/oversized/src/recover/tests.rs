//! The decision table, all of it: every state of the values with every state of the index.

use blob_runtime::BlobId;
use glob::Cursor;
use glob::frame::FrameFault;
use glob::recover::{self, Behind, Case, Evidence, Stop};

use super::facts::{Facts, IndexFacts};
use super::plan::{IndexAction, plan};
use crate::report::IndexCase;

/// Values in every shape: empty, with frames, with an open batch, sealed, with zeros, garbage or frames behind them, under
/// every kind of evidence.
fn all_values() -> Vec<recover::Facts> {
    let mut all = Vec::new();
    let fault = FrameFault::Short { needed: 40, found: 3 };
    for (end, sealed) in [(0, false), (0, true), (5, false), (5, true)] {
        for open_batch in [None, Some(3)] {
            if end < 5 && open_batch.is_some() {
                continue;
            }
            for stop in [Stop::End, Stop::Zeros, Stop::Invalid(fault)] {
                for behind_floor in [0, 300, 900] {
                    for floor in [0, 200, 500] {
                        for evidence in [0, 400, 700] {
                            for clean in [false, true] {
                                for cut in [None, Some(5), Some(6)] {
                                    let at = |position: u64| Cursor { offset: position * 100, position };
                                    let end = at(end);
                                    let len = if stop == Stop::End { end.offset } else { 1000 };
                                    let header = (behind_floor > 0).then_some(600);
                                    all.push(recover::Facts {
                                        header_sound: true,
                                        len,
                                        from: Cursor::START,
                                        end,
                                        open_batch: open_batch.map(at),
                                        sealed,
                                        floor: floor.min(end.offset),
                                        stop,
                                        behind: Behind { header, whole: header, floor: behind_floor },
                                        evidence: Evidence { clean, floor: evidence, cut: cut.map(at) },
                                    });
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    all
}

fn all_indexes() -> Vec<IndexFacts> {
    let mut all = vec![IndexFacts::Missing, IndexFacts::Unusable];
    for entries in 0..8 {
        all.extend([true, false].map(|whole| IndexFacts::Entries { entries, whole }));
    }
    all
}

/// Whatever was found: nothing is kept of the index that the values do not have (I3), an index that cannot be used goes,
/// damage to the values is told whatever the index says, and nothing else is.
#[test]
fn every_row() {
    let mut rows = std::collections::HashMap::new();
    for values in all_values() {
        for index in all_indexes() {
            let cut_to = values.evidence.cut.map(|cut| cut.position);
            let plan = plan(&Facts { values: Some(values), index, cut_to });
            let decided = plan.values.clone().unwrap();
            assert_eq!(decided, recover::plan(&values), "the values are judged by themselves");
            assert_eq!(plan.entries(), decided.end.position);
            let id = BlobId::new(&"".into(), "values", b"1").unwrap();
            assert_eq!(plan.error(id).is_some(), decided.case == Case::Damaged, "{values:?}");
            match (index, plan.index) {
                (IndexFacts::Missing, action) => assert_eq!(action, IndexAction::Nothing),
                (_, IndexAction::Remove) if decided.case == Case::Nothing => {}
                (IndexFacts::Unusable, action) => assert_eq!(action, IndexAction::Remove),
                (IndexFacts::Entries { entries: found, .. }, IndexAction::Keep { entries }) => {
                    assert_eq!(entries, found.min(decided.end.position));
                }
                (index, action) => panic!("{index:?}: {action:?}"),
            }
            if let (IndexFacts::Entries { whole: true, .. }, IndexAction::Keep { entries }) = (index, plan.index) {
                let cut = matches!(index, IndexFacts::Entries { entries: found, .. } if found > entries);
                assert_eq!(plan.index_case == IndexCase::Cut, cut, "{values:?} {index:?}");
            }
            *rows.entry((decided.case, plan.index_case)).or_insert(0) += 1;
        }
    }
    // Every case of the values was met with every case of the index it can be met with.
    for case in [Case::Cut, Case::Damaged, Case::Sealed, Case::CleanEnd, Case::TornTail] {
        for index in [IndexCase::None, IndexCase::Sound, IndexCase::Cut, IndexCase::Rebuilt] {
            assert!(rows.contains_key(&(case, index)), "{case:?} with {index:?}: {rows:?}");
        }
    }
    assert!(rows.contains_key(&(Case::Nothing, IndexCase::Rebuilt)));
}

/// No values: an index with entries is damage, one without proves nothing.
#[test]
fn no_values() {
    for index in all_indexes().into_iter().chain((0..3).map(|entries| IndexFacts::Orphan { entries })) {
        let plan = plan(&Facts { values: None, index, cut_to: None });
        let entries = match index {
            IndexFacts::Entries { entries, .. } | IndexFacts::Orphan { entries } => entries,
            _ => 0,
        };
        assert_eq!((plan.orphaned, plan.entries()), (entries, 0));
        let missing = index == IndexFacts::Missing;
        assert_eq!(plan.index, if missing { IndexAction::Nothing } else { IndexAction::Remove });
        let id = BlobId::new(&"".into(), "values", b"1").unwrap();
        assert_eq!(plan.error(id).is_some(), entries > 0);
    }
}
