//! What a report says: a session as blocks and plots.

use std::collections::BTreeMap;

use workloads::catalog::{ROWS, Row, Scale};
use workloads::growth;
use workloads::outcome::Latencies;
use workloads::program::Introduction;

use super::document::Block;
use super::number::{self, figure, time};
use super::plots::{self, Bar, Line};
use crate::bench::session::{Belief, Cell, Session};
use crate::bench::statistics::{Standing, Summary, TIE, exponent, standing, times_as_good};
use crate::bench::targets::{self, REFERENCE};

#[cfg(test)]
mod tests;

/// A cost that grows faster than this power of the size is marked. A little above 1: three points are few.
const MAX_EXPONENT: f64 = 1.1;
/// Behind a figure of an engine that did not sync what it should have.
const NOT_BELIEVED: &str = "(not durable)";
/// Behind a figure of an engine of which nobody knows whether it synced.
const UNKNOWN: &str = "(syncs not counted)";

/// The blocks of a report, and its plots with the names of their files.
pub(super) struct Report {
    pub(super) blocks: Vec<Block>,
    pub(super) plots: Vec<(String, String)>,
}

impl Report {
    pub(super) fn new(session: &Session) -> Self {
        let mut report = Self { blocks: Vec::new(), plots: Vec::new() };
        report.opening(session);
        report.overview(session);
        report.ratios(session, targets::POOL);
        report.ratios(session, targets::INLINE);
        report.targets(session);
        report.details(session);
        report.growth(session);
        report.suites(session);
        report
    }

    fn heading(&mut self, rank: usize, text: &str) {
        self.blocks.push(Block::Heading(rank, text.to_owned()));
    }

    fn text(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Text(text.into()));
    }

    fn table(&mut self, head: &[&str], rows: Vec<Vec<String>>) {
        self.blocks.push(Block::Table { head: head.iter().map(|cell| (*cell).to_owned()).collect(), rows });
    }

    fn plot(&mut self, name: String, title: &str, svg: Option<String>) {
        let Some(svg) = svg else { return };
        self.blocks.push(Block::Plot { name: name.clone(), title: title.to_owned() });
        self.plots.push((name, svg));
    }

    fn opening(&mut self, session: &Session) {
        let machine = &session.machine;
        self.heading(2, "How it was measured");
        if session.quick {
            self.text("This was a quick run, of a tenth of all operations. Its figures are no evidence.");
        }
        let rows = [
            ("command", session.command.clone()),
            ("commit", machine.commit.clone()),
            ("processor", format!("{} x {}", machine.processors, machine.processor)),
            ("memory", format!("{} GiB", machine.memory_gib)),
            ("system", format!("{}, {}", machine.kernel, machine.file_system)),
            ("compiler", machine.compiler.clone()),
            ("load before and after", format!("{} and {}", machine.load_before, machine.load_after)),
        ];
        self.table(&["what", ""], rows.into_iter().map(|(what, value)| vec![what.into(), value]).collect());
        self.text(format!(
            "Each engine ran each workload {} times, in a process of its own and in a fresh directory, the engines \
             taking turns. Figures are medians; a range is the smallest and the largest. Differences of less than {:.0} \
             % are ties. Values are pseudo-random and do not compress; a record is a number of 8 bytes. Pinned runs had \
             one processor. What is read was read before, so it is in memory. System calls were counted in one more run, \
             of fewer operations, under strace; an engine that made fewer syncs than it owed is marked.",
            session.rounds,
            (TIE - 1.0) * 100.0,
        ));
        let about = |of: &Introduction| format!("{}: {}", of.name, of.about);
        if !session.engines.is_empty() {
            self.blocks.push(Block::List(session.engines.iter().map(about).collect()));
        }
    }

    /// The table: a row a figure, a column an engine.
    fn overview(&mut self, session: &Session) {
        let rows = shown_rows(session);
        if rows.is_empty() {
            return;
        }
        self.heading(2, "All figures");
        let head: Vec<&str> =
            ["workload", "unit"].into_iter().chain(session.engines.iter().map(|of| of.name.as_str())).collect();
        let lines = rows.iter().map(|(row, pinned)| {
            let figures = session.engines.iter().map(|engine| {
                let cell = session.cell(&engine.name, row.workload, *pinned);
                cell.map_or_else(|| "-".into(), |cell| median_cell(cell, row))
            });
            [title(row, *pinned), row.metric.unit().to_owned()].into_iter().chain(figures).collect()
        });
        self.table(&head, lines.collect());
    }

    /// How many times as good our store is as each of the others, row by row.
    fn ratios(&mut self, session: &Session, ours: &str) {
        let rows: Vec<_> = shown_rows(session)
            .into_iter()
            .filter(|(row, pinned)| session.figure(ours, row, *pinned).is_some())
            .collect();
        let is_ours = |name: &str| name == targets::POOL || name == targets::INLINE || name == targets::THREADS;
        let others: Vec<&str> =
            session.engines.iter().map(|of| of.name.as_str()).filter(|name| !is_ours(name)).collect();
        if rows.is_empty() || others.is_empty() {
            return;
        }
        self.heading(2, &format!("{ours} against the others"));
        self.text("More than 1 is better than the other, whatever the unit.");
        let lines = rows.iter().map(|(row, pinned)| {
            let ratio = |other: &&str| {
                let (a, b) = (session.figure(ours, row, *pinned)?, session.figure(other, row, *pinned)?);
                let ratio = times_as_good(a.median, b.median, row.metric.more_is_better())?;
                Some(if standing(ratio) == Standing::Tie { format!("tie ({ratio:.2})") } else { format!("{ratio:.2}") })
            };
            let ratios = others.iter().map(|other| ratio(other).unwrap_or_else(|| "-".into()));
            std::iter::once(title(row, *pinned)).chain(ratios).collect()
        });
        self.table(&[&["workload"], &others[..]].concat(), lines.collect());
    }

    fn targets(&mut self, session: &Session) {
        let verdicts = targets::judge(session);
        if verdicts.is_empty() {
            return;
        }
        self.heading(2, "Targets");
        let met = verdicts.iter().filter(|verdict| verdict.met).count();
        self.text(format!("{met} of {} are met.", verdicts.len()));
        let lines = verdicts.into_iter().map(|verdict| {
            let met = if verdict.met { "yes" } else { "NO" };
            vec![title(&verdict.row, verdict.pinned), verdict.engine, verdict.wanted, verdict.measured, met.into()]
        });
        self.table(&["workload", "engine", "wanted", "measured", "met"], lines.collect());
    }

    /// Each row by itself, with range, ratios and what else was counted.
    fn details(&mut self, session: &Session) {
        let rows = shown_rows(session);
        if rows.is_empty() {
            return;
        }
        self.heading(2, "Each workload");
        for (row, pinned) in rows {
            let name = title(row, pinned);
            self.heading(3, &name);
            let cells: Vec<(usize, &Cell)> = cells_of(session, row.workload, pinned);
            let (reference, limit) = (session.figure(REFERENCE, row, pinned), session.figure("raw", row, pinned));
            let lines = cells.iter().map(|(_, cell)| detail(cell, row, reference, limit)).collect();
            let against = format!("against {REFERENCE}");
            let head = [
                "engine",
                row.metric.unit(),
                "range",
                &*against,
                "against raw",
                "p90",
                "p99",
                "mean",
                "syncs/op",
                "writes/op",
                "peak MiB",
            ];
            self.table(&head, lines);
            self.notes(&cells);
            let bars: Vec<Bar> = cells.iter().filter_map(|(place, cell)| bar(*place, cell, row)).collect();
            let suffix = if pinned { "-pinned" } else { "" };
            let caption = format!("{name}, {}", row.metric.unit());
            self.plot(format!("{}{suffix}.svg", row.id), &caption, plots::bars(&caption, &bars));
            if row.id == row.workload {
                let lines: Vec<Line> = cells.iter().filter_map(|(place, cell)| shares(*place, cell)).collect();
                let caption = format!("{}: share of operations that took at most so long", name.replace(", p50", ""));
                let svg = plots::distribution(&caption, &lines);
                self.plot(format!("{}{suffix}-times.svg", row.id), &caption, svg);
            }
        }
    }

    /// Why an engine has no figure.
    fn notes(&mut self, cells: &[(usize, &Cell)]) {
        let notes: Vec<String> = cells
            .iter()
            .flat_map(|(_, cell)| cell.unsupported.iter().chain(&cell.failures).map(|why| (&cell.engine, why)))
            .map(|(engine, why)| format!("{engine}: {why}"))
            .collect();
        if !notes.is_empty() {
            self.blocks.push(Block::List(notes));
        }
    }

    /// The curves of growth.
    fn growth(&mut self, session: &Session) {
        let scale = if session.quick { Scale::Quick } else { Scale::Full };
        let mut begun = false;
        for curve in growth::curves(scale) {
            let lines: Vec<Line> = session
                .engines
                .iter()
                .enumerate()
                .filter_map(|(place, engine)| grown(session, place, &engine.name, &curve))
                .collect();
            if lines.is_empty() {
                continue;
            }
            if !begun {
                begun = true;
                self.heading(2, "Growth");
                self.text(format!(
                    "The same work on stores of 1, 10 and 100 times the size, in median times of the whole work. The \
                     exponent is the slope of the curve with both axes logarithmic: 1 is a cost that grows as the size \
                     does, 0 one that does not grow. More than {MAX_EXPONENT} is marked."
                ));
            }
            let name = format!("{} by {}", curve.title, curve.axis);
            self.heading(3, &name);
            let sizes: Vec<String> = curve.points.iter().map(|(size, _)| number::count(*size)).collect();
            let head: Vec<&str> =
                std::iter::once("engine").chain(sizes.iter().map(String::as_str)).chain(["exponent"]).collect();
            let rows = lines.iter().map(|line| growth_row(line, &curve));
            self.table(&head, rows.collect());
            let svg = plots::growth(&name, curve.axis, &lines);
            self.plot(format!("growth-{}.svg", curve.id), &name, svg);
        }
    }

    fn suites(&mut self, session: &Session) {
        if session.suites.is_empty() {
            return;
        }
        self.heading(2, "Suites of the crates");
        self.text("By criterion: the median, and where it lies with 95 % confidence.");
        let row = |of: &crate::bench::suites::Estimate| {
            vec![of.id.clone(), time(of.median_ns), format!("{} to {}", time(of.low_ns), time(of.high_ns))]
        };
        self.table(&["bench", "median", "confidence"], session.suites.iter().map(row).collect());
    }
}

/// The rows that some engine was measured for, pinned ones behind their unpinned.
fn shown_rows(session: &Session) -> Vec<(&'static Row, bool)> {
    let all = ROWS.iter().flat_map(|row| [(row, false), (row, true)]);
    all.filter(|(row, pinned)| !cells_of(session, row.workload, *pinned).is_empty()).collect()
}

/// The cells of a workload in the order of the engines, each with its engine's place.
fn cells_of<'a>(session: &'a Session, workload: &str, pinned: bool) -> Vec<(usize, &'a Cell)> {
    let places = session.engines.iter().enumerate();
    places.filter_map(|(place, engine)| Some((place, session.cell(&engine.name, workload, pinned)?))).collect()
}

fn title(row: &Row, pinned: bool) -> String {
    format!("{}{}", row.title, if pinned { ", pinned" } else { "" })
}

fn summary(cell: &Cell, row: &Row) -> Option<Summary> {
    cell.summary(|outcome| row.metric.of(outcome))
}

/// The median, or why there is none.
fn median_cell(cell: &Cell, row: &Row) -> String {
    match summary(cell, row) {
        Some(summary) => believed(figure(summary.median), cell),
        None if cell.unsupported.is_some() => "-".into(),
        None => "failed".into(),
    }
}

/// A figure, with a mark when it is not one of durable work.
fn believed(figure: String, cell: &Cell) -> String {
    match cell.belief() {
        Belief::Believed => figure,
        Belief::NotBelieved => format!("{figure} {NOT_BELIEVED}"),
        Belief::Unknown => format!("{figure} {UNKNOWN}"),
    }
}

/// A line of a row's table.
fn detail(cell: &Cell, row: &Row, reference: Option<Summary>, limit: Option<Summary>) -> Vec<String> {
    let summary = summary(cell, row);
    let range = summary.map(|of| format!("{} to {}", figure(of.min), figure(of.max)));
    let against = |other: Option<Summary>| {
        let ratio = times_as_good(summary?.median, other?.median, row.metric.more_is_better())?;
        Some(match standing(ratio) {
            Standing::Ahead => format!("{ratio:.2}x better"),
            Standing::Tie => format!("tie ({ratio:.2})"),
            Standing::Behind => format!("{:.2}x worse", 1.0 / ratio),
        })
    };
    let latency = |of: fn(&Latencies) -> f64| cell.summary(|outcome| outcome.latencies.as_ref().map(of));
    let times = |of: fn(&Latencies) -> f64| latency(of).map(|summary| time(summary.median));
    let memory = cell.summary(|outcome| workloads::workload::Metric::PeakMemory.of(outcome));
    let by_operation = |count: fn(&crate::bench::calls::Calls) -> u64| {
        let calls = cell.calls?;
        Some(figure(as_f64(count(&calls)) / as_f64(calls.operations.max(1))))
    };
    let shown = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    vec![
        cell.engine.clone(),
        median_cell(cell, row),
        shown(range),
        shown(against(reference)),
        shown(against(limit)),
        shown(times(|of| as_f64(of.p90_ns))),
        shown(times(|of| as_f64(of.p99_ns))),
        shown(times(|of| of.mean_ns)),
        shown(by_operation(|calls| calls.syncs)),
        shown(by_operation(|calls| calls.writes)),
        shown(memory.map(|summary| figure(summary.median))),
    ]
}

fn bar(place: usize, cell: &Cell, row: &Row) -> Option<Bar> {
    let Summary { median, min, max } = summary(cell, row)?;
    Some(Bar { engine: cell.engine.clone(), place, median, min, max })
}

/// The shares of all rounds' operations that took at most so long.
fn shares(place: usize, cell: &Cell) -> Option<Line> {
    let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
    for latencies in cell.outcomes.iter().filter_map(|outcome| outcome.latencies.as_ref()) {
        for (end, count) in &latencies.buckets {
            *counts.entry(*end).or_default() += count;
        }
    }
    let total: u64 = counts.values().sum();
    let mut seen = 0;
    let point = |(end, count): (u64, u64)| {
        seen += count;
        (as_f64(end.max(1)), as_f64(seen) / as_f64(total))
    };
    let points: Vec<(f64, f64)> = counts.into_iter().map(point).collect();
    (!points.is_empty()).then(|| Line { engine: cell.engine.clone(), place, points })
}

/// An engine's costs at the sizes of a curve.
fn grown(session: &Session, place: usize, engine: &str, curve: &growth::Curve) -> Option<Line> {
    let points: Vec<(f64, f64)> = curve
        .points
        .iter()
        .filter_map(|(size, workload)| {
            let cell = session.cell(engine, &workload.id, false)?;
            let cost = cell.summary(|outcome| Some(as_f64(outcome.elapsed_ns + outcome.final_sync_ns)))?;
            Some((as_f64(*size), cost.median))
        })
        .collect();
    (!points.is_empty()).then(|| Line { engine: engine.to_owned(), place, points })
}

fn growth_row(line: &Line, curve: &growth::Curve) -> Vec<String> {
    let cost = |size: u64| line.points.iter().find(|(at, _)| *at == as_f64(size)).map(|(_, cost)| time(*cost));
    let costs = curve.points.iter().map(|(size, _)| cost(*size).unwrap_or_else(|| "-".into()));
    let slope = exponent(&line.points).map_or_else(
        || "-".into(),
        |slope| if slope > MAX_EXPONENT { format!("{slope:.2} (too steep)") } else { format!("{slope:.2}") },
    );
    std::iter::once(line.engine.clone()).chain(costs).chain([slope]).collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts and times far below 2^52")]
fn as_f64(count: u64) -> f64 {
    count as f64
}
