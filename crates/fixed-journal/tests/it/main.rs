//! The journal from outside.

mod api;
mod crash;
mod damage;
mod model;
mod send;
