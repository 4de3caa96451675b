//! What libFuzzer prints, and what is made of it.

use std::fmt::Write;

/// Lines of a failing run's output that are shown.
const STORY_LINES: usize = 60;

/// How one target's run ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) target: String,
    /// Inputs that were run.
    pub(super) runs: u64,
    /// The same in a second.
    pub(super) runs_per_second: u64,
    /// Edges of the program that were reached.
    pub(super) edges: u64,
    /// Inputs in the corpus, each of which reaches something of its own.
    pub(super) corpus: u64,
    pub(super) failed: bool,
    /// Where the input is that failed.
    pub(super) input: Option<String>,
    /// What was printed about it.
    pub(super) story: String,
}

impl Run {
    /// Reads the output of a run.
    ///
    /// # Errors
    /// When it was not instrumented, or did not begin: then an end in order says nothing.
    pub(super) fn of(target: &str, output: &str, success: bool) -> Result<Self, &'static str> {
        if counters(output) == 0 {
            return Err("the program has no counters of coverage: it is not instrumented, and nothing was fuzzed");
        }
        let mut run = Self { target: target.to_owned(), failed: !success, ..Self::default() };
        for line in output.lines() {
            if let Some(path) = line.split("Test unit written to ").nth(1) {
                run.input = Some(path.trim().to_owned());
            }
            if let Some(number) = line.strip_prefix('#').and_then(leading_number) {
                run.runs = run.runs.max(number);
            }
            let stats = [
                ("stat::number_of_executed_units:", &mut run.runs),
                ("stat::average_exec_per_sec:", &mut run.runs_per_second),
                ("cov: ", &mut run.edges),
                ("corp: ", &mut run.corpus),
            ];
            for (before, place) in stats {
                if let Some(number) = line.split(before).nth(1).and_then(leading_number) {
                    *place = number;
                }
            }
        }
        if run.failed {
            run.story = story(output);
        }
        if run.runs == 0 && success && !output.contains("MERGE") {
            return Err("it ended without a run");
        }
        Ok(run)
    }
}

/// `INFO: Loaded 1 modules   (66246 inline 8-bit counters): ..`
fn counters(output: &str) -> u64 {
    let line = output.lines().find(|line| line.contains("Loaded") && line.contains("inline 8-bit counters"));
    line.and_then(|line| line.split('(').nth(1)).and_then(leading_number).unwrap_or(0)
}

fn leading_number(text: &str) -> Option<u64> {
    let text = text.trim_start();
    let end = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

/// The end of the output, without what libFuzzer says of its own state.
fn story(output: &str) -> String {
    let own = ["#", "INFO:", "\tNEW_FUNC", "stat::", "WARNING: Failed to find function", "0x", "Base64:"];
    let told: Vec<&str> =
        output.lines().filter(|line| !line.is_empty() && !own.iter().any(|own| line.starts_with(own))).collect();
    told.get(told.len().saturating_sub(STORY_LINES)..).unwrap_or_default().join("\n")
}

/// All runs, one in a row.
pub(super) fn table(runs: &[Run]) -> String {
    let mut text =
        format!("{:<12}{:>12}{:>10}{:>10}{:>10}{:>10}\n", "target", "runs", "runs/s", "edges", "corpus", "crashes");
    for run in runs {
        let Run { target, runs, runs_per_second, edges, corpus, failed, .. } = run;
        let crashes = u8::from(*failed);
        // Writing to a string does not fail.
        let _ = writeln!(text, "{target:<12}{runs:>12}{runs_per_second:>10}{edges:>10}{corpus:>10}{crashes:>10}");
    }
    text
}
