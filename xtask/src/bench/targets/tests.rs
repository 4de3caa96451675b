use super::*;
use crate::bench::session::tests::{commits, example};

/// A target whose row was renamed is never judged, and nobody misses it.
#[test]
fn every_target_has_its_row() {
    for target in TARGETS {
        assert!(ROWS.iter().any(|row| row.id == target.row), "{target:?}");
    }
    let aimed: Vec<_> = ROWS.iter().filter(|row| TARGETS.iter().any(|target| target.row == row.id)).collect();
    assert_eq!(aimed.len(), ROWS.len() - 1, "all but the memory of a load");
}

fn verdicts(session: &Session) -> Vec<(String, String, bool)> {
    judge(session).into_iter().map(|verdict| (verdict.wanted, verdict.measured, verdict.met)).collect()
}

/// Only targets whose figures were measured are judged, and both ways of being missed are seen.
#[test]
fn a_session_is_held_against_what_it_measured() {
    let mut session = example();
    let entry = [
        ("at most 100 ns".to_owned(), "30.000 ns".to_owned(), true),
        ("at most 60 ns".to_owned(), "30.000 ns".to_owned(), true),
    ];
    let times = |factor: &str, other: &str, ratio: &str, met| {
        (format!("{factor} times as good as {other}"), ratio.to_owned(), met)
    };
    let commit = times("2.50", "cw4", "3.08", true);
    assert_eq!(verdicts(&session), [vec![commit], entry.to_vec()].concat());

    session.cells.retain(|cell| cell.engine != "oversized");
    session.cells.push(commits("oversized", [170, 170, 170]));
    session.cells.push(commits("cw10", [100, 100, 100]));
    let expected = [times("2.50", "cw4", "2.35", false), times("0.83", "cw10", "0.59", false)];
    assert_eq!(verdicts(&session), expected);
}
