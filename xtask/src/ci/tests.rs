use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn parse(words: &[&str]) -> Result<Args, clap::error::ErrorKind> {
    Line::try_parse_from([&["ci"], words].concat()).map(|line| line.args).map_err(|error| error.kind())
}

#[test]
fn steps_are_chosen_by_name_and_keep_their_order() {
    let planned = |words: &[&str]| plan(&parse(words).unwrap()).unwrap();
    assert_eq!(planned(&[]), Step::value_variants());
    assert_eq!(planned(&["--only", "test", "--only", "fmt"]), [Step::Fmt, Step::Test]);
    let mut rest = Step::value_variants().to_vec();
    rest.retain(|step| *step != Step::Doc && *step != Step::Cross);
    assert_eq!(planned(&["--skip", "cross", "--skip", "doc"]), rest);
}

#[test]
fn leaving_everything_out_is_no_success() {
    let words: Vec<String> =
        Step::value_variants().iter().flat_map(|step| ["--skip".to_owned(), step.to_string()]).collect();
    let args = parse(&words.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    assert_eq!(plan(&args), Err(Failure::new("every step is left out")));
}

/// A misspelt step must not quietly check nothing.
#[test]
fn a_choice_that_makes_no_sense_is_refused() {
    use clap::error::ErrorKind;
    assert_eq!(parse(&["--only", "tests"]).unwrap_err(), ErrorKind::InvalidValue);
    assert_eq!(parse(&["--only", "fmt", "--skip", "doc"]).unwrap_err(), ErrorKind::ArgumentConflict);
}

#[test]
fn the_first_failure_ends_the_run_and_the_rest_is_listed() {
    let mut report = Report::default();
    let mut asked = Vec::new();
    let result = report.run(&[Step::Fmt, Step::Cross, Step::Test, Step::Doctest, Step::Benches], |step| {
        asked.push(step);
        match step {
            Step::Fmt => Ok(Outcome::Done(String::new())),
            Step::Cross => Ok(Outcome::Skipped("no target".into())),
            _ => Err(Failure::new("it broke")),
        }
    });
    assert_eq!(result, Err(Failure::new("test: it broke")));
    assert_eq!(asked, [Step::Fmt, Step::Cross, Step::Test]);
    for (_, _, time) in &mut report.rows {
        *time = Duration::from_millis(1500);
    }
    let want = "\
fmt       ok           1.5 s
cross     skipped      1.5 s  no target
test      FAILED       1.5 s  it broke
doctest   not run
benches   not run
total                  4.5 s";
    assert_eq!(report.to_string(), want);
}

#[test]
fn the_reports_of_all_harnesses_are_added_up() {
    let output = "\
running 2 tests
test a ... ok
test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 1.25s

test result: ok. 30 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
a line with 7 passed; that is none
";
    assert_eq!(tally(output), Tally { passed: 42, ignored: 1, filtered: 2 });
}

/// `cargo test` exits with 0 when it finds no test at all, and when every test is ignored.
#[test]
fn a_run_without_a_test_has_not_passed() {
    let tally = |passed, ignored, filtered| judge(Tally { passed, ignored, filtered });
    assert_eq!(tally(3, 0, 0), Ok("3 passed".into()));
    assert_eq!(tally(0, 0, 0), Err(Failure::new("the run exited with 0 and ran no test")));
    let message = "2 tests were ignored and 1 filtered out; all must run";
    assert_eq!(tally(3, 2, 1), Err(Failure::new(message)));
}

#[test]
fn a_library_with_features_is_checked_with_none_and_all_of_them() {
    let package = |features| -> Package {
        let text = serde_json::json!({"name": "one", "manifest_path": "/w/Cargo.toml", "features": features});
        serde_json::from_value(text).unwrap()
    };
    assert_eq!(feature_sets(&package(serde_json::json!({}))), [""]);
    let some = package(serde_json::json!({"metrics": []}));
    assert_eq!(feature_sets(&some), ["", "--no-default-features", "--all-features"]);
}
