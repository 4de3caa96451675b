//! Integration tests, one module a behaviour.

mod contract;
mod disk;
mod routed;
mod wrong_backends;
