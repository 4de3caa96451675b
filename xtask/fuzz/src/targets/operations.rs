//! Operations, faults and crashes: a script out of bytes, judged by the oracle of the crash suite.

use testkit::crash::{Script, literal, print, run as run_script, shrink};

/// Runs that cutting a failing script down may take: well within the time an input has.
const SHRINK_RUNS: u64 = 600;

/// See [`Script::decode`].
///
/// # Panics
/// When a promise is broken: with the script, cut down, as a test to commit.
pub fn run(data: &[u8]) {
    let script = Script::decode(data);
    let Some(violation) = run_script(&script).violation else { return };
    eprintln!("{violation}\n\nlet script = {};\n", literal(&script));
    if let Some(shrunk) = shrink(&script, SHRINK_RUNS) {
        eprintln!("cut down:\n\n{}", print(&shrunk.script, &shrunk.violation));
    }
    panic!("{violation}");
}
