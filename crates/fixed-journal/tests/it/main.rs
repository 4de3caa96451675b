//! The journal from outside.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test may fail where it stands, also in its helpers"
)]

mod api;
mod crash;
mod damage;
mod left;
mod model;
mod send;
