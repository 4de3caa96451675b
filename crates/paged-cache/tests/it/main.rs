//! The stream of pages from outside.

mod bounds;
mod crash;
mod cut;
mod send;
