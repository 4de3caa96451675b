//! The crate from outside, one module a behaviour.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test may fail where it stands, also in its helpers"
)]

mod append;
#[cfg(unix)]
mod backends;
mod contract;
mod disk;
#[cfg(unix)]
mod files;
mod manifest;
#[cfg(not(shuttle))]
mod routed;
mod sim;
mod wrong_backends;
