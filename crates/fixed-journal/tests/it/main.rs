//! The journal from outside.

mod api;
mod damage;
mod model;
