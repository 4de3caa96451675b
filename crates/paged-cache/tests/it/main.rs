//! The stream of pages from outside.

mod crash;
mod cut;
