//! The durability protocol of the pair of index and values, as an executable model.
//!
//! A store of two sections is operated, killed, cut off its power at every step, its syncs and writes fail, cells rot; and
//! whenever it is opened, what it shows is compared with what was promised. `stateright` goes through all of it, within
//! bounds. The numbers of the [rules](Rule) are those of `docs/crash-safety.md`; the crate `oversized` follows the model
//! rule for rule.
//!
//! ```text
//!  actions ── an operation, an open, a kill, a power cut, rot
//!     │        each operation with a fate: killed before step k, step k fails, somebody gets in at step k
//!     ▼
//!  store, structure, manifest, recover ── the protocol, in straight lines; what reaches the disk is a step of `machine`
//!     │                                    survey: steps 1 to 4, a pure function from files to a plan
//!     ▼
//!  disk ── cells, cache and disk kept apart; what is not synced is a list of effects, of which a power cut keeps any subset
//!     │
//!     ▼
//!  history ── what was acknowledged, from the calls alone; what an open shows is judged by it
//! ```
//!
//! What it leaves out: the bytes of frames and pages, blob headers, quarantine and `OnDamage::Truncate`, read-only opens,
//! `destroy`, dropped futures, more than two sections, and all concurrency but that a task may append, or a sync return,
//! while a rewind runs, and that zeros may be written ahead while a sync runs.
//!
//! A crash is a kill, perhaps with a power cut before the next open. A power cut by itself, with the process up, is the
//! same.

mod actions;
mod bounds;
mod cells;
mod check;
mod disk;
mod history;
mod machine;
mod manifest;
mod recover;
mod rules;
mod store;
mod structure;
mod suite;
mod survey;
mod world;

pub use actions::{Action, Op, Place};
pub use bounds::Bounds;
pub use check::{Counterexample, Outcome, check};
pub use history::{Breach, Promise};
pub use machine::{Event, Fate, Guest};
pub use rules::{Rule, Rules};
pub use suite::{Search, suite};
