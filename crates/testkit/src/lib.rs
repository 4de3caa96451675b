//! What the tests of several crates share. Not published, and no library depends on it.
//!
//! | module | what |
//! |---|---|
//! | [`crash`] | the crash suite: workloads, the oracle, a shrinker, on the simulated disk and on files |
//!
//! ```
//! use testkit::crash::{Breadth, Script, run};
//!
//! // One seed is one workload with one chain of crashes; the same seed is the same run.
//! let outcome = run(&Script::draw(7, Breadth::Wide));
//! assert_eq!(outcome.violation, None);
//! assert_eq!(outcome.digest, run(&Script::draw(7, Breadth::Wide)).digest);
//! ```

pub mod crash;
