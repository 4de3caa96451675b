use super::*;

const ALL: Choice<'_> = Choice { filter: "", table: true, growth: true, scale: Scale::Full };

fn ids(choice: Choice<'_>) -> Vec<String> {
    turns(choice).into_iter().map(|turn| turn.workload.id).collect()
}

#[test]
fn parts_and_names_choose() {
    let all = ids(ALL).len();
    let (table, growth) = (ids(Choice { growth: false, ..ALL }), ids(Choice { table: false, ..ALL }));
    assert_eq!(table.len() + growth.len(), all);
    assert_eq!(ids(Choice { filter: "commit-", growth: false, ..ALL }), ["commit-256", "commit-4k", "commit-64k"]);
    assert_eq!(ids(Choice { filter: "no such", ..ALL }), Vec::<String>::new());
}

/// Reads, replays with values and reopening are about hops between threads, which one processor makes cheaper.
#[test]
fn what_hops_between_threads_is_pinned_too() {
    let pinned: Vec<_> = turns(ALL).into_iter().filter(|turn| turn.pinned).map(|turn| turn.workload.id).collect();
    let wanted = ["read-4k", "read-64k", "replay-values", "reopen-sections", "reopen-unclean", "reopen-items"];
    assert_eq!(pinned, wanted);
}

/// The traced run does the same with less: another shape would count the calls of something else.
#[test]
fn the_counted_run_is_the_same_but_smaller() {
    for turn in turns(Choice { growth: false, ..ALL }) {
        let counted = turn.counted.unwrap();
        assert_eq!(counted.id, turn.workload.id);
        assert_eq!(std::mem::discriminant(&counted.action), std::mem::discriminant(&turn.workload.action));
        assert_eq!(counted.shape.value_bytes, turn.workload.shape.value_bytes);
    }
}

/// What one leaves behind on the disk is not always the same one's burden.
#[test]
fn each_round_has_another_order() {
    for count in [11, 22] {
        let mut pairs = std::collections::BTreeSet::new();
        for round in 0..5 {
            let row: Vec<usize> = order(count, round).collect();
            let mut all = row.clone();
            all.sort_unstable();
            assert_eq!(all, (0..count).collect::<Vec<_>>(), "{count} in round {round}");
            for pair in row.windows(2) {
                assert!(pairs.insert((pair[0], pair[1])), "{count} in round {round}: {pair:?} once more");
            }
        }
    }
    for count in [0, 1, 2, 3] {
        for round in 0..7 {
            assert_eq!(order(count, round).count(), count);
            assert!(order(count, round).all(|at| at < count));
        }
    }
}

#[test]
fn the_bar_knows_how_many_runs_there_are() {
    let reads = turns(Choice { filter: "read-", growth: false, ..ALL });
    assert_eq!(runs(&reads, 3, 5, true), 2 * 3 * (5 * 2 + 1));
    assert_eq!(runs(&reads, 3, 5, false), 2 * 3 * 5 * 2);
    let loads = turns(Choice { filter: "load", growth: false, ..ALL });
    assert_eq!(runs(&loads, 3, 5, true), 3 * 6);
}
