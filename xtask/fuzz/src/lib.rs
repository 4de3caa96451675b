//! Coverage-guided fuzzing: what a file may say, and what may be done and crash.
//!
//! | target | an input is | asserted |
//! |---|---|---|
//! | [`header`](targets::header) | the start of a file | P8; what is accepted encodes to the same bytes (P3) |
//! | [`page`](targets::page) | a blob of pages | P8, P13; a second look finds the same |
//! | [`frame`](targets::frame) | a blob of frames | P8, P13; what is read verifies, and is the same however it is read (P3) |
//! | [`manifest`](targets::manifest) | two slots | P8; what was settled on stays |
//! | [`store`](targets::store) | edits of a store's files, or all of its files | P3, P8, P13 |
//! | [`operations`](targets::operations) | a [`Script`](testkit::crash::Script): operations, faults, crashes | P1 to P13 by the crash suite's oracle |
//!
//! Where an input holds bytes of a file, one of its bits says whether the checksums are as they are or are made anew:
//! what carries a right checksum gets to the code behind it.
//!
//! The program is in `main.rs`; this library knows nothing of libFuzzer.

mod input;
mod memory;
mod mutate;
mod reseal;
mod seeds;
pub mod targets;

pub use mutate::mutate;
pub use seeds::write_seeds;
pub use targets::Target;
#[cfg(test)]
mod tests;
