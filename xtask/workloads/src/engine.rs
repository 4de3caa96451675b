//! What an engine must be able to do to be measured.

use std::future::Future;
use std::path::Path;

use crate::{Item, Result, Run, Writers};

/// The place of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its section.
    pub section: u64,
    /// Its place in the section, from 0.
    pub position: u64,
}

/// Opens a store of one engine.
pub trait Opener {
    /// The open store.
    type Engine: Engine;

    /// Opens the store in a directory that exists, making it when the directory is empty.
    fn open(&self, directory: &Path) -> impl Future<Output = Result<Self::Engine>>;
}

/// An open store. Each engine is used in the way that serves it best and still does what is asked.
pub trait Engine: Sized {
    /// Appends items; they can be read afterwards, and need not be durable.
    fn append(&mut self, run: Run) -> impl Future<Output = Result<()>>;

    /// Makes all that was appended durable.
    fn sync(&mut self) -> impl Future<Output = Result<()>>;

    /// Appends one item; it is durable afterwards.
    fn commit(&mut self, item: Item) -> impl Future<Output = Result<()>>;

    /// Commits by many writers at once. Returns the times of all commits in nanoseconds.
    fn write_together(&mut self, writers: Writers) -> impl Future<Output = Result<Vec<u64>>>;

    /// Looks an item up and hands its number and its value on, in whatever form the engine has it.
    fn read(&mut self, place: Place, look: impl FnOnce(u64, &[u8])) -> impl Future<Output = Result<()>>;

    /// Looks a record up, without its value where the engine can, and returns its number.
    fn entry(&mut self, place: Place) -> impl Future<Output = Result<u64>>;

    /// Hands all records on, in order.
    fn replay_entries(&mut self, look: impl FnMut(u64)) -> impl Future<Output = Result<()>>;

    /// Hands all records and values on, in order.
    fn replay_values(&mut self, look: impl FnMut(u64, &[u8])) -> impl Future<Output = Result<()>>;

    /// Drops the sections below `min`, durably.
    fn prune(&mut self, min: u64) -> impl Future<Output = Result<()>>;

    /// Closes the store as its users are told to.
    fn close(self) -> impl Future<Output = Result<()>>;
}
