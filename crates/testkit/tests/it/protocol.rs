//! Each rule of the protocol is needed: with all of them kept every promise holds, with one left out a promise breaks.

use std::time::Duration;

use testkit::protocol::{Bounds, Op, Promise, Rule, Rules, check};

mod commit;
mod cut;
mod index;
mod manifest;
mod open;
mod rewind;
mod search;
mod spare;

/// Long enough for any of these searches on a slow machine; one that is out of time does not pass.
const LIMIT: Duration = Duration::from_secs(600);

/// A script of operations.
fn script(ops: &[Op]) -> Bounds {
    Bounds::script(ops.iter().copied())
}

/// Within these bounds all promises hold, and without the rule this one is the first to break.
fn needed(rule: Rule, bounds: Bounds, broken: Promise) {
    let kept = check(bounds.clone(), Rules::all(), 1, LIMIT);
    assert!(kept.holds(), "with every rule kept: {kept}");
    let without = check(bounds, Rules::all().without(rule), 1, LIMIT);
    assert_eq!(without.promise(), Some(broken), "without {rule}: {without}");
}

/// Within these bounds all promises hold without either of two rules, and without both this one is the first to break.
fn one_of_two(rules: [Rule; 2], bounds: Bounds, broken: Promise) {
    for rule in rules {
        let without = check(bounds.clone(), Rules::all().without(rule), 1, LIMIT);
        assert!(without.holds(), "without {rule} alone: {without}");
    }
    let [one, other] = rules;
    let without = check(bounds, Rules::all().without(one).without(other), 1, LIMIT);
    assert_eq!(without.promise(), Some(broken), "without {one} and {other}: {without}");
}
