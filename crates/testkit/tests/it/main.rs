//! The tests of the protocol's model, and the crash suite of the store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests end where something is wrong")]

mod crash;
mod protocol;
