use std::collections::BTreeSet;

use super::*;

/// The documentation in a source file as one line.
fn documentation(source: &str) -> String {
    let lines = source
        .lines()
        .map(str::trim_start)
        .filter_map(|line| line.strip_prefix("///").or_else(|| line.strip_prefix("//!")).map(str::trim));
    lines.collect::<Vec<_>>().join(" ")
}

/// A promise that the traits no longer make would still be demanded of every backend: each text is a quotation.
#[test]
fn every_text_is_a_quotation() {
    let sources = [
        include_str!("../../storage.rs"),
        include_str!("../../header.rs"),
        include_str!("../../name.rs"),
        include_str!("../../error.rs"),
    ]
    .map(documentation);
    for promise in PROMISES {
        assert!(sources.iter().any(|source| source.contains(promise.text)), "{}: {}", promise.id, promise.text);
    }
}

/// Two promises of one id could not be told apart in a violation.
#[test]
fn ids_are_unique() {
    let ids: BTreeSet<_> = PROMISES.iter().map(|promise| promise.id).collect();
    assert_eq!(ids.len(), PROMISES.len());
}
