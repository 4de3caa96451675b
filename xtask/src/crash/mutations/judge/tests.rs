use super::*;
use crate::process::tests::write_script;

/// A program that answers as a test does: `good` passes, and `bad` fails when a switch is on.
const PROGRAM: &str = r#"#!/bin/sh
status=0
for name in "$@"; do
    case "$name$MUTATED" in
        --*) ;;
        bad7) echo "test bad ... FAILED"; status=101 ;;
        loop7) sleep 1000 ;;
        *) echo "test $name ... ok" ;;
    esac
done
exit $status
"#;

fn mutation(caught_by: &[&str]) -> Mutation {
    Mutation {
        name: "m".to_owned(),
        file: String::new(),
        find: String::new(),
        replace: String::new(),
        also: Vec::new(),
        test: "cargo no-such-command".to_owned(),
        seeds: None,
        caught_by: caught_by.iter().map(|&name| name.to_owned()).collect(),
        survives: None,
    }
}

fn verdict(caught_by: &[&str]) -> Verdict {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tests");
    write_script(&path, PROGRAM);
    let tests = ["good", "bad", "loop"].map(str::to_owned).to_vec();
    let place = Place {
        tree: &Tree { root: folder.path().to_owned(), target: folder.path().to_owned() },
        binaries: &[Binary { path, folder: folder.path().to_owned(), tests }],
        on: "7".to_owned(),
        log: &folder.path().join("log"),
        limit: Duration::from_millis(500),
    };
    judge(&mutation(caught_by), &place).unwrap()
}

#[test]
fn a_test_that_fails_has_caught_it() {
    assert_eq!(verdict(&["bad"]), Verdict::new(Fate::Caught, ""));
    assert_eq!(verdict(&["good", "bad"]), Verdict::new(Fate::Caught, "good passes"));
    assert_eq!(verdict(&["loop"]), Verdict::new(Fate::Caught, "no end in time"));
}

/// The table of the tests would name one that sees nothing.
#[test]
fn a_wrong_name_is_told() {
    assert_eq!(verdict(&["bad", "other"]), Verdict::new(Fate::NoSuchTest, "other"));
    // Its whole command is no command, so it fails.
    assert_eq!(verdict(&["good"]).fate, Fate::CaughtElsewhere);
}
