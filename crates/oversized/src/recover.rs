//! What an open does with a section: everything is read, a pure function makes a plan of it, then it is carried out.
//!
//! ```text
//!  survey ──▶ Facts ──▶ plan (pure) ──▶ Plan ──▶ carry_out
//!  1. index: pages; above their floor only what matches its frame         index cut or removed, durable;
//!  2. the last entry's frame: unindexed values begin behind it            then values: quarantine, zeros, truncate,
//!  3. values: frames from there on, to their end                          seal, each durable; then the index again
//! ```
//!
//! **Whom it believes.** Frames prove themselves, and what their floors say. A page of the index below a floor of the
//! index was written behind its values (I1), so its entries prove that their frames were durable: one whose frame is not
//! there is damage (P4). A page above every floor may be the rest of something that was cut off: it counts only if its
//! entries match their frames. An index that is damaged, or gone, is made anew of the frames (I2), and nothing is lost.

mod act;
mod facts;
mod plan;
#[cfg(test)]
mod tests;

pub(crate) use self::act::carry_out;
pub(crate) use self::facts::{Found, Surveyor};
pub(crate) use self::plan::{IndexAction, Plan};
