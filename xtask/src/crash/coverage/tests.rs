use super::*;

const GOOD: &str = "INFO: Running with entropic power schedule (0xFF, 100).
INFO: Loaded 1 modules   (66246 inline 8-bit counters): 66246 [0x55d459f98678, 0x55d459fa893e),
#2	INITED cov: 900 ft: 1000 corp: 12/3Kb exec/s: 0 rss: 40Mb
#300	DONE   cov: 1234 ft: 2000 corp: 45/9Kb lim: 100 exec/s: 50 rss: 44Mb
stat::number_of_executed_units: 300
stat::average_exec_per_sec:     50
";

#[test]
fn a_run_is_read_from_what_it_prints() {
    let run = Run::of("page", GOOD, true).unwrap();
    assert_eq!((run.runs, run.runs_per_second, run.edges, run.corpus), (300, 50, 1234, 45));
    assert_eq!((run.failed, run.input), (false, None));
}

#[test]
fn a_program_without_counters_has_not_passed() {
    let none = GOOD.replace("INFO: Loaded 1 modules", "INFO: nothing");
    assert!(Run::of("page", &none, true).unwrap_err().contains("not instrumented"));
    let empty = GOOD.replace("(66246 inline", "(0 inline");
    assert!(Run::of("page", &empty, true).unwrap_err().contains("not instrumented"));
    let still = GOOD.lines().take(2).collect::<Vec<_>>().join("\n");
    assert_eq!(Run::of("page", &still, true), Err("it ended without a run"));
}

#[test]
fn a_crash_names_its_input_and_tells_its_story() {
    let crash =
        format!("{GOOD}P3: another value\nartifact_prefix='f/'; Test unit written to f/crash-1\nBase64: AA==\n");
    let run = Run::of("page", &crash, false).unwrap();
    assert_eq!((run.failed, run.input.as_deref()), (true, Some("f/crash-1")));
    assert!(run.story.starts_with("P3: another value") && !run.story.contains("cov:"), "{}", run.story);
    assert!(table(&[run]).lines().nth(1).unwrap().ends_with(" 1"));
}

#[test]
fn the_tier_is_found_among_the_arguments_of_the_suite() {
    let args = |line: &str| Args::of(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    assert!(args("--tier sim --seeds 4").is_none());
    let asked = args("--tier coverage --minutes 2 --only page --only store --jobs 1 --merge").unwrap().unwrap();
    assert_eq!(asked.targets().unwrap().iter().map(|target| target.name).collect::<Vec<_>>(), ["page", "store"]);
    assert!((asked.merge, asked.jobs) == (true, Some(1)));
    assert!(args("--tier=coverage --seeds 4").unwrap().unwrap_err().0.contains("--seeds"));
    let unknown = args("--tier coverage --only pages").unwrap().unwrap().targets().unwrap_err();
    assert!(unknown.0.contains("header, page"), "{unknown}");
}

/// The program knows the same targets: it would end with an error otherwise, but only after a build of minutes.
#[test]
fn the_targets_are_those_of_the_program() {
    let source = include_str!("../../../fuzz/src/targets.rs");
    for target in TARGETS {
        assert!(source.contains(&format!("=> \"{}\"", target.name)), "{}", target.name);
    }
    assert_eq!(source.matches("=> \"").count(), TARGETS.len());
}
