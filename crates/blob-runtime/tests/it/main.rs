//! The crate from outside.

mod append;
mod manifest;
