//! Recovery of one section: what is there, what follows from it, and how it is carried out.
//!
//! ```text
//!  survey ──▶ Facts ──▶ plan (pure) ──▶ Plan ──▶ carry_out ──▶ Resume
//!  only reads           no I/O                   quarantine; rewrite, zeros, sync; truncate, sync; seal, sync
//! ```
//!
//! Everything is read before anything is changed. [`plan()`] decides by a table of [`Case`]s of which exactly one applies
//! to any facts.
//!
//! **Where the frames end.** [`survey`] goes forward from a boundary: header checksum, position as expected, payload
//! checksum, batches whole. The first frame that does not verify ends it. Behind that it looks for anything that
//! verifies: a frame whose floor lies beyond the end says that bytes which were durable are gone, and that is damage.
//! Otherwise the rest is a torn tail.
//!
//! **Memory and time.** One piece of 256 KiB, and one pass over the bytes. In the search after damage each place that
//! looks like a header costs its checksum, over the blob's tag size.

mod act;
mod facts;
mod plan;
#[cfg(test)]
mod tests;

pub use self::act::{Done, carry_out, reason};
pub use self::facts::{Behind, Evidence, Facts, Stop, any_frame, claimed_tag_bytes, sealed_end, survey};
pub use self::plan::{Case, Damage, Plan, plan};
