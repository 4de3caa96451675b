use std::collections::BTreeSet;

use super::*;

/// A promise without a case would be believed to be checked.
#[test]
fn every_promise_has_a_case() {
    let cases: BTreeSet<_> = checks().map(|check| check.promise.id).collect();
    let promises: BTreeSet<_> = PROMISES.iter().map(|promise| promise.id).collect();
    assert_eq!(cases, promises);
}

/// Two cases of one name could not be told apart in a violation.
#[test]
fn names_of_cases_are_unique() {
    let mut seen = BTreeSet::new();
    for check in checks() {
        assert!(seen.insert((check.promise.id, check.name)), "{}: {}", check.promise.id, check.name);
    }
}

/// The suite runs on executors that move tasks between threads.
#[test]
fn the_futures_are_send() {
    fn is_send(_: &impl Send) {}
    is_send(&run(|| Arc::new(crate::MemoryStorage::new())));
}

/// A backend's author reads only this: it says what was promised, what was done, and what came of it.
#[test]
fn a_violation_tells_everything() {
    let violation = Violation {
        promise: &promise::READ_WHOLE,
        case: "several MiB",
        doing: "reading 9 bytes at 7".into(),
        expected: "9 bytes".into(),
        found: "8 bytes".into(),
    };
    assert_eq!(
        violation.to_string(),
        "promise read.whole is broken, case \"several MiB\": reading 9 bytes at 7: expected 9 bytes, found 8 bytes\n\
         the promise: A read returns exactly what it was asked for, or an error."
    );
}

/// A promise with one case checked and one skipped counts as checked, and the skipped case is still listed.
#[test]
fn a_report_lists_what_was_skipped() {
    let line = |promise, case, outcome| Line { promise, case, outcome };
    let mut report = Report::default();
    report.push(line(&promise::SCAN, "one", Outcome::Checked));
    report.push(line(&promise::SCAN, "two", Outcome::Skipped(Ability::Edit)));
    report.push(line(&promise::DURABLE, "three", Outcome::Skipped(Ability::PowerCut)));
    assert_eq!(report.checked(), ["scan"]);
    assert_eq!(report.unchecked(), ["durable"]);
    assert_eq!(
        report.skipped().map(|(line, lacks)| (line.case, lacks)).collect::<Vec<_>>(),
        [("two", Ability::Edit), ("three", Ability::PowerCut)]
    );
    let table = "checked  scan               one\n\
                 skipped  scan               two: the harness cannot edit the raw files\n\
                 skipped  durable            three: the harness cannot cut the power\n\
                 1 cases checked, 2 skipped";
    assert_eq!(report.to_string(), table);
}
