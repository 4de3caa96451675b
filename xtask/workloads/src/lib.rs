//! What is benchmarked: the workloads, the values in them, and the loop that puts every engine through the same.
//!
//! A program that benchmarks some engines implements [`Engine`] and [`Opener`] for each and hands them to
//! [`program::main`]; everything that must not differ between engines is here. A run is one engine and one workload in
//! one process, which prints one [`Outcome`] as a line of JSON.
//!
//! Reading order: [`workload`] (what there is to do), [`catalog`] (the table), [`values`] (the bytes), [`engine`] (what
//! an engine must be able to do), [`drive`] (what is timed), [`outcome`] (what comes out).

pub mod catalog;
pub mod drive;
pub mod engine;
pub mod growth;
pub mod outcome;
pub mod process;
pub mod program;
pub mod values;
pub mod workload;
pub mod writers;

pub use engine::{Engine, Opener, Place};
pub use outcome::Outcome;
pub use program::Contender;
pub use values::{Item, Run, Values};
pub use workload::Workload;
pub use writers::Writers;

/// What ends a run. It is only ever shown to a person, so it is whatever an engine's own error is.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
/// What most functions here return.
pub type Result<T> = std::result::Result<T, Error>;
