//! The suite every backend passes, also one of your own.
//!
//! ```
//! use std::sync::Arc;
//! use blob_runtime::{MemoryStorage, contract};
//!
//! # futures::executor::block_on(async {
//! let report = contract::run(|| Arc::new(MemoryStorage::new())).await?;
//! assert!(report.is_checked("order"));
//! // What a plain closure cannot show (a power cut, a failing disk) is listed, never left out in silence.
//! println!("{report}");
//! # Ok::<_, contract::Violation>(())
//! # }).unwrap();
//! ```
//!
//! [`run`] needs a closure that gives fresh storage. A [`Harness`] can do more, as far as the backend allows: open the
//! same storage again, cut the power, kill, make the next operation fail, count syncs, edit the raw files. Each ability
//! unlocks further cases. The first case that fails ends the run with a [`Violation`] that names the promise.
//!
//! The futures run on any executor, also on a simulated one: nothing is spawned, no clock is read, every random choice
//! has a fixed seed. Where a wrong backend would wait for ever the suite gives up after the time of so many other syncs
//! ([`Harness::pass_time`]), and the violation says so.
//!
//! ## Reading order
//!
//! `promise` lists what is promised, in the traits' own words; `harness` is what a backend's author writes; `case` is
//! what the cases stand on; then one file a topic: `reads`, `writes`, `names`, `lifecycle`, `order`, `claims`,
//! `durability`, `failure`, `files`, `model`.

use std::sync::Arc;

use async_trait::async_trait;

use crate::error::Error;
use crate::storage::Storage;

mod case;
mod claims;
mod durability;
mod failure;
mod files;
mod harness;
mod lifecycle;
mod model;
mod names;
mod order;
mod promise;
mod reads;
mod report;
mod writes;

#[cfg(test)]
mod tests;

pub use harness::{Ability, Counts, Edit, Entry, Files, Harness};
pub use promise::{PROMISES, Promise};
pub use report::{Line, Outcome, Report, Violation};

use case::{Case, Check, Pace, Stop};

/// Every topic, the simple ones first: what a case takes for granted, an earlier one has checked.
static TOPICS: &[&[Check]] = &[
    lifecycle::CASES,
    reads::CASES,
    writes::CASES,
    names::CASES,
    order::CASES,
    claims::CASES,
    files::CASES,
    durability::CASES,
    failure::CASES,
    model::CASES,
];

fn checks() -> impl Iterator<Item = &'static Check> {
    TOPICS.iter().copied().flatten()
}

/// Runs the suite over storage that `fresh` makes: each call gives new, empty storage, which may be in use beside
/// earlier ones. Cases that need more than that are skipped, and listed so in the report.
///
/// Cancel safety: safe; what was begun on the storage runs to its end.
///
/// # Errors
/// The first [`Violation`].
pub async fn run(fresh: impl Fn() -> Arc<dyn Storage> + Send + Sync) -> Result<Report, Violation> {
    run_on(&Fresh(fresh)).await
}

/// Runs the suite with everything `harness` can do.
///
/// Cancel safety: safe; what was begun on the storage runs to its end.
///
/// # Errors
/// The first [`Violation`].
pub async fn run_on(harness: &dyn Harness) -> Result<Report, Violation> {
    run_matching(harness, |_, _| true).await
}

/// Runs the cases for which `wanted` holds, given the promise and the case's name: to look at one that fails, or, on a
/// simulated machine, to run each on a machine of its own, with many seeds.
///
/// ```
/// use std::sync::Arc;
/// use blob_runtime::{MemoryStorage, contract};
/// # use blob_runtime::{Error, Storage};
/// # struct MyHarness;
/// # #[async_trait::async_trait]
/// # impl contract::Harness for MyHarness {
/// #     async fn fresh(&self) -> Result<Arc<dyn Storage>, Error> {
/// #         Ok(Arc::new(MemoryStorage::new()))
/// #     }
/// # }
///
/// for (promise, case) in contract::cases() {
///     // A machine, a directory, a connection for this case alone.
///     let harness = MyHarness;
///     let only = contract::run_matching(&harness, |of, name| of == promise && name == case);
///     let report = futures::executor::block_on(only).unwrap();
///     assert_eq!(report.lines().len(), 1);
/// }
/// ```
///
/// Cancel safety: safe; what was begun on the storage runs to its end.
///
/// # Errors
/// The first [`Violation`].
pub async fn run_matching(
    harness: &dyn Harness,
    wanted: impl Fn(&Promise, &str) -> bool + Send,
) -> Result<Report, Violation> {
    let pace = Pace::default();
    let mut report = Report::default();
    for check in checks() {
        if !wanted(check.promise, check.name) {
            continue;
        }
        let case = Case::new(harness, &pace, check);
        let outcome = match (check.run)(&case).await {
            Ok(()) => Outcome::Checked,
            Err(Stop::Skip(ability)) => Outcome::Skipped(ability),
            Err(Stop::Violation(violation)) => return Err(violation),
        };
        tracing::debug!(promise = check.promise.id, case = check.name, ?outcome, "contract");
        report.push(Line { promise: check.promise, case: check.name, outcome });
    }
    Ok(report)
}

/// Every case, with the promise it is about, in the order in which they run.
pub fn cases() -> impl Iterator<Item = (&'static Promise, &'static str)> {
    checks().map(|check| (check.promise, check.name))
}

/// The harness of a plain closure.
struct Fresh<F>(F);

#[async_trait]
impl<F: Fn() -> Arc<dyn Storage> + Send + Sync> Harness for Fresh<F> {
    async fn fresh(&self) -> Result<Arc<dyn Storage>, Error> {
        Ok((self.0)())
    }
}
