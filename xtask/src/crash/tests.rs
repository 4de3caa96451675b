use clap::Parser;

use super::*;

fn words(line: &str) -> Vec<String> {
    let line = std::iter::once("test-crash").chain(line.split_whitespace());
    Args::try_parse_from(line).unwrap().words
}

/// An option that stands before the one that says what is run was lost, or refused.
#[test]
fn options_may_stand_in_any_order() {
    let line = "--jobs 2 --only header --tier coverage";
    assert_eq!(words(line).join(" "), line);
    let asked = coverage::Args::of(&words(line)).unwrap().unwrap();
    assert_eq!(
        format!("{asked:?}"),
        format!("{:?}", coverage::Args::of(&words("--tier=coverage --only header --jobs 2")).unwrap().unwrap())
    );
    let asked = mutations::Args::of(&words("--only glob: --mutations --jobs 1")).unwrap().unwrap();
    assert_eq!(
        format!("{asked:?}"),
        format!("{:?}", mutations::Args::of(&words("--mutations --jobs 1 --only glob:")).unwrap().unwrap())
    );
    assert!(mutations::Args::of(&words("--tier sim --jobs 2")).is_none());
}

#[test]
fn an_option_of_another_program_is_refused() {
    let refused = mutations::Args::of(&words("--tier sim --mutations")).unwrap().unwrap_err();
    assert!(refused.0.contains("--tier"), "{refused}");
}

/// What the help says of the suite must be among its tiers.
#[test]
fn the_help_names_every_tier() {
    let source = include_str!("../../../crates/testkit/src/bin/crash.rs");
    let tiers = source.split("enum Tier {").nth(1).unwrap().split('}').next().unwrap();
    let names = tiers.lines().filter_map(|line| line.trim().strip_suffix(','));
    let mut count = 0;
    for name in names {
        assert!(OPTIONS.contains(&name.to_lowercase()), "{name}");
        count += 1;
    }
    assert_eq!(count, 6);
}
