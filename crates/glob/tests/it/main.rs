//! The crate from outside, one module a behaviour.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test may fail where it stands, also in its helpers"
)]

mod api;
mod beside;
mod crash;
mod damage;
mod faults;
mod files;
mod hostile;
mod model;
mod properties;
mod recovery;
mod sweep;
