//! The crash suite of the whole store.
//!
//! ```text
//!  seed ──▶ Script (what is done, where it crashes) ──▶ run: the simulated machine ──▶ Outcome
//!             │                                           │ tells what was asked and answered
//!             │                                           ▼
//!             │                                         Oracle: the worlds the store may be in
//!             └◀── shrink: fewer operations, coarser crashes, as long as it still fails ──▶ print: a test to commit
//! ```
//!
//! A script is plain data, so it can be cut down and printed. The oracle is computed from the log of what was asked and
//! answered and from the [model](World), never from the recovered store.

mod damage;
mod draw;
mod items;
pub mod kill;
mod live;
mod oracle;
mod print;
mod promise;
mod run;
mod script;
mod shown;
mod shrink;
pub mod small;
mod world;

pub use damage::{Edit, damage};
pub use draw::{Breadth, MAX_SCRIPT_RECORDS, SCRIPT_RECORD_BYTES};
pub use items::{Id, Item};
pub use oracle::{Checked, Oracle, Promise, Violation};
pub use print::{literal, print};
pub use run::{Outcome, run, tell};
pub use script::{End, FaultAt, Life, Op, Script, Settings};
pub use shrink::{Shrunk, shrink};
pub use world::{Change, Entry, Section, Shown, World};
