//! The store as its users have it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests end where something is wrong")]

mod api;
