//! The crate from outside, one module a behaviour.

mod append;
mod manifest;
mod sim;
