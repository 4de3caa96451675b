//! Values.

mod ahead;
mod compress;
mod error;
pub mod frame;
mod jobs;
mod location;
pub mod recover;
pub mod section;
mod window;

pub use compress::{Compression, Packed, Packer};
pub use error::Error;
pub use location::{Appended, Cursor, Location};
