use workloads::catalog::Scale;
use workloads::outcome::{Disk, Io};
use workloads::{Outcome, growth};

use super::*;
use crate::bench::calls::Calls;
use crate::bench::report::document::markdown;
use crate::bench::session::tests::{commits, example};
use crate::bench::suites::Estimate;

fn text(session: &Session) -> String {
    markdown(&Report::new(session).blocks, "plots/")
}

/// The lines of the table in which the first cell is this one.
fn lines<'a>(text: &'a str, first: &str) -> Vec<&'a str> {
    text.lines().filter(|line| line.starts_with(&format!("| {first} |"))).collect()
}

/// The figure of an engine that did not sync stands in the table, and says so there; not in a footnote.
#[test]
fn a_figure_that_is_not_believed_is_marked_where_it_stands() {
    let mut session = example();
    let mut liar = commits("raft-engine", [10, 11, 12]);
    liar.calls = Some(Calls { operations: 100, syncs: 0, writes: 100, ..Calls::default() });
    session.engines.push(Introduction { name: "raft-engine".into(), about: String::new() });
    session.cells.push(liar);
    let text = text(&session);
    assert_eq!(
        lines(&text, "durable append 4 KiB, p50"),
        [
            "| durable append 4 KiB, p50 | us | 130 | 150 | 400 | 11.0 (not durable) |",
            "| durable append 4 KiB, p50 | tie (1.15) | 3.08 | 0.08 |",
            "| durable append 4 KiB, p50 | oversized | 2.50 times as good as cw4 | 3.08 | yes |",
        ]
    );
}

#[test]
fn who_was_not_traced_is_marked_too() {
    let mut session = example();
    session.cells.iter_mut().for_each(|cell| cell.calls = None);
    let text = text(&session);
    let first = lines(&text, "durable append 4 KiB, p50").remove(0);
    assert!(first.contains("| 130 (syncs not counted) |"), "{first}");
    let entry = lines(&text, "entry only, p50").remove(0);
    assert!(entry.contains("| 30.0 |"), "a reading owes no sync: {entry}");
}

fn point(engine: &str, workload: &workloads::Workload, elapsed_ns: u64) -> Cell {
    let outcome = Outcome {
        engine: engine.into(),
        workload: workload.id.clone(),
        operations: 1,
        value_bytes: 1,
        logical_bytes: 1,
        elapsed_ns,
        final_sync_ns: 0,
        latencies: None,
        peak_memory_bytes: 1,
        io: Io::default(),
        disk: Disk::default(),
    };
    let mut cell = Cell::new(engine, workload, false);
    cell.outcomes.push(outcome);
    cell
}

/// Ten times the sections in a hundred times the time is what the curves are there to show.
#[test]
fn a_cost_that_grows_too_fast_is_marked() {
    let mut session = example();
    let curve = growth::curves(Scale::Full).into_iter().find(|curve| curve.id == "sections-load").unwrap();
    for (step, (_, workload)) in (0_u32..).zip(&curve.points) {
        session.cells.push(point("oversized", workload, 1_000_000 * 10_u64.pow(step)));
        session.cells.push(point("cw4", workload, 1_000_000 * 100_u64.pow(step)));
    }
    let report = Report::new(&session);
    let text = markdown(&report.blocks, "plots/");
    let (_, growth) = text.split_once("## Growth").unwrap();
    assert_eq!(lines(growth, "engine"), ["| engine | 20 | 200 | 2,000 | exponent |"]);
    assert_eq!(lines(growth, "oversized"), ["| oversized | 1.00 ms | 10.0 ms | 100 ms | 1.00 |"]);
    assert_eq!(lines(growth, "cw4"), ["| cw4 | 1.00 ms | 100 ms | 10.0 s | 2.00 (too steep) |"]);
    assert!(report.plots.iter().any(|(name, _)| name == "growth-sections-load.svg"));
}

#[test]
fn the_suites_have_a_table() {
    let mut session = example();
    session.suites.push(Estimate { id: "glob/append".into(), median_ns: 95.0, low_ns: 90.0, high_ns: 1_000.0 });
    assert_eq!(lines(&text(&session), "glob/append"), ["| glob/append | 95.0 ns | 90.0 ns to 1.00 us |"]);
}

/// Rounds are drawn as one line, which never falls and ends with all.
#[test]
fn the_shares_of_all_rounds_are_one_rising_line() {
    let line = shares(0, &commits("e", [130, 120, 130])).unwrap();
    let shares: Vec<f64> = line.points.iter().map(|(_, share)| *share).collect();
    assert_eq!(line.points.len(), 2, "one point for each time: {line:?}");
    assert!((shares[0] - 1.0 / 3.0).abs() < 1e-9 && (shares[1] - 1.0).abs() < 1e-9, "{shares:?}");
}
