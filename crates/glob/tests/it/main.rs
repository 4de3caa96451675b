//! The crate from outside, one module a behaviour.

mod api;
mod crash;
mod damage;
mod faults;
mod hostile;
mod model;
mod properties;
mod sweep;
