//! The store as its users have it, one module a subject.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test may fail where it stands, also in its helpers"
)]

mod api;
mod beside;
mod commit;
mod common;
mod damaged;
mod defects;
mod documented;
mod left;
mod limits;
mod read_store;
mod sweep;
mod together;
