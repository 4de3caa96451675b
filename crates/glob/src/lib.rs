//! Values.

mod error;
pub mod frame;
mod location;

pub use error::Error;
pub use location::{Appended, Cursor, Location};
