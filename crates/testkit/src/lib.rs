//! What the tests of several crates share. Not published, and no library depends on it.
//!
//! | module | what |
//! |---|---|
//! | [`crash`] | the crash suite: workloads, the oracle, a shrinker, on the simulated disk and on files |
//! | [`suite`] | its tiers, run wide: what `cargo xtask test-crash` starts |
//! | [`protocol`] | the durability protocol of the pair of index and values, as an executable model |
//!
//! ```
//! use std::time::Duration;
//!
//! use testkit::protocol::{Bounds, Op, Rules, check};
//!
//! // A crash at every step of one append that is synced, and of the recovery without a crash.
//! let bounds = Bounds::script([Op::Append(0), Op::Sync(0)]).crashes(1);
//! let outcome = check(bounds, Rules::all(), 1, Duration::from_secs(60));
//! assert!(outcome.holds(), "{outcome}");
//! ```

pub mod crash;
pub mod protocol;
pub mod suite;
