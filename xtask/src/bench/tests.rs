use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn parse(words: &[&str]) -> Result<Args, clap::error::ErrorKind> {
    Line::try_parse_from([&["bench"], words].concat()).map(|line| line.args).map_err(|error| error.kind())
}

#[test]
fn without_words_everything_is_measured_five_times() {
    let args = parse(&[]).unwrap();
    assert!([Part::Suites, Part::Table, Part::Growth].into_iter().all(|part| args.wants(part)));
    assert_eq!((args.rounds(), args.command()), (5, "cargo xtask bench".into()));
    assert_eq!(parse(&["--quick"]).unwrap().rounds(), 2);
    assert_eq!(parse(&["--rounds", "0"]).unwrap_err(), clap::error::ErrorKind::ValueValidation);
}

/// The report says how to get the same figures, and not whose folders they were in.
#[test]
fn the_report_names_the_command_without_paths() {
    let words =
        "--peers --filter commit --engine raw --only table --quick --rounds 3 --no-trace --out /a --data /b --save";
    let args = parse(&words.split(' ').collect::<Vec<_>>()).unwrap();
    let wanted = "cargo xtask bench --peers --filter commit --engine raw --only table --quick --rounds 3 --no-trace";
    assert_eq!(args.command(), wanted);
    assert!(args.wants(Part::Table) && !args.wants(Part::Growth));
}

#[test]
fn a_session_is_shown_again_from_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("results.json");
    write(&file, &session::tests::example()).unwrap();
    assert_eq!(read(&file), Ok(session::tests::example()));
    assert_eq!(parse(&["--from", "a", "--quick"]).unwrap_err(), clap::error::ErrorKind::ArgumentConflict);
}

/// An engine that fails ends nothing, and must not go unnoticed among the figures of the others.
#[test]
fn failed_runs_fail_the_command_at_the_end() {
    let mut session = session::tests::example();
    assert_eq!(failures(&session), Err(Failure::new("some runs failed\ncw4 entry: exit status: 1: it broke")));
    session.cells.retain(|cell| cell.failures.is_empty());
    assert_eq!(failures(&session), Ok(()));
}
