//! The crash suite, as far as every run of the tests affords it. `cargo xtask test-crash` goes further.

mod directed;

use blob_runtime::sim;
use testkit::crash::small::{self, Found, Search};
use testkit::crash::{Breadth, Script, damage, print, run, shrink};

/// Seeds of a normal run.
const SEEDS: u64 = 2_000;

/// Nothing acknowledged is lost, nothing wrong is shown, nothing sound is refused, whatever crashes and fails where.
/// Which seeds: see [`sim::seeds`].
#[test]
fn no_promise_is_broken() {
    for seed in sim::seeds(SEEDS).unwrap() {
        let script = Script::draw(seed, Breadth::of(seed));
        if run(&script).violation.is_some() {
            match shrink(&script, 5_000) {
                Some(shrunk) => {
                    panic!("seed {seed}: {}\n{}", shrunk.violation, print(&shrunk.script, &shrunk.violation))
                }
                None => panic!("seed {seed} fails, and no more when it is repeated"),
            }
        }
    }
}

/// A seed that failed must fail again: a run takes nothing from clocks, threads, addresses or the order of a hash map.
#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..100 {
        let script = Script::draw(seed, Breadth::of(seed));
        assert_eq!(script, Script::draw(seed, Breadth::of(seed)));
        let (first, second) = (run(&script), run(&script));
        assert_eq!(first.digest, second.digest, "seed {seed}");
        assert_eq!((first.counts, first.checked), (second.counts, second.checked), "seed {seed}");
        // Telling the story changes nothing.
        let (told, story) = testkit::crash::tell(&script);
        assert_eq!(told.digest, first.digest, "seed {seed}");
        assert!(!story.is_empty());
    }
}

/// Files are changed behind the store's back: bits, ranges, lengths, whole files, and fields with right checksums. What is
/// wrong is told, with `Refuse` nothing is changed, and no wrong value is shown.
#[test]
fn damage_is_told() {
    for seed in sim::seeds(SEEDS).unwrap() {
        let (outcome, edits) = damage(seed);
        assert_eq!(outcome.violation, None, "seed {seed}: {edits:?}");
    }
}

/// Every workload of up to two operations, crashed at every step, with every set of surviving effects, and the recovery
/// crashed at every step once.
#[test]
fn all_small_cases() {
    let (search, mut found) = (Search::new(), Found::default());
    for number in 0..small::count(2) {
        found += &search.workload(number);
        if let Some(failed) = &found.failed {
            panic!("workload {number}: {failed}");
        }
    }
    println!("{:?}", found.each());
}
