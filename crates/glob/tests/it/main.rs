//! The crate from outside, one module a behaviour.

mod crash;
mod model;
mod sweep;
