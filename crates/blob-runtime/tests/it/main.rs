//! Integration tests, one module a behaviour.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test may fail where it stands, also in its helpers"
)]

mod contract;
mod disk;
mod routed;
mod wrong_backends;
