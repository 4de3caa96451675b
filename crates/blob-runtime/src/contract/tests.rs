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
