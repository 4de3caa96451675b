//! The crash suite, as far as every run of the tests affords it. `cargo xtask test-crash` goes further.

mod directed;

use blob_runtime::sim;
use testkit::crash::small::{self, Found, Search};
use testkit::crash::{Breadth, Promise, Script, damage, kill, print, run, shrink};

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

/// Processes that work on real files are killed, at any time and at system calls: what they have acknowledged is there, and
/// what is shown stays. `TMPDIR` says where the stores are.
#[test]
fn kills_lose_nothing() {
    let program = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_crash"));
        command.arg("kill-child");
        command
    };
    let (mut points, mut acknowledged) = (0, 0);
    for seed in 0..20 {
        let killed = kill::kill(seed, &program).unwrap();
        assert_eq!(killed.violation, None, "seed {seed}:\n{}", killed.story.join("\n"));
        points += killed.points.values().sum::<u64>();
        acknowledged += killed.acknowledged;
    }
    assert!(points > 0, "no process has come to its point");
    assert!(acknowledged > 0, "nothing was acknowledged before a kill");
}

/// A kill tier that cannot fail proves nothing: an acknowledgement that no process has given is missed.
#[test]
fn a_kill_that_loses_something_is_seen() {
    let program = || {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "echo opened; echo append 0 1 5; echo appended 0 0; echo sync 0 1; echo synced 0", "sh"]);
        command
    };
    let violations: Vec<_> = (0..4).map(|seed| kill::kill(seed, &program).unwrap()).collect();
    for killed in violations {
        std::fs::remove_dir_all(killed.root.unwrap()).unwrap();
        assert_eq!(killed.violation.unwrap().promise, Promise::P1);
    }
}
