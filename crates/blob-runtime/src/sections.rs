//! Sections: numbers from 0 to `u64::MAX`, each with a blob, opened at first use.
//!
//! A section's blob is named by its number as 8 big-endian bytes, so sorted names are sorted sections. [`Sections`]
//! knows which exist, opens each once however many ask at the same time, and remembers what was pruned, so that a
//! pruned section stays pruned. [`Table`] is the map alone, for owners with more than one blob a section.

mod table;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Error;
use crate::header::Format;
use crate::storage::{Blob, Storage};

pub use self::table::Table;

/// The blob name of a section.
pub fn section_name(section: u64) -> [u8; 8] {
    section.to_be_bytes()
}

/// The section a blob name stands for; `None` when it is no section's.
pub fn parse_section_name(name: &[u8]) -> Option<u64> {
    name.try_into().ok().map(u64::from_be_bytes)
}

/// A section below everything that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("section {section} was pruned; the oldest that may exist is {oldest}")]
pub struct Pruned {
    /// The section asked for.
    pub section: u64,
    /// The oldest section that may exist.
    pub oldest: u64,
}

/// What a listing of a partition found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Sections, ascending.
    pub sections: Vec<u64>,
    /// Names that stand for no section: a manifest, or blobs of somebody else's.
    pub others: Vec<Vec<u8>>,
}

/// The sections of one partition, with what the owner keeps for each that is open.
pub struct Sections<T> {
    storage: Arc<dyn Storage>,
    partition: Arc<str>,
    table: Table<T>,
    pruned_to: AtomicU64,
}

impl<T: Send + Sync + 'static> Sections<T> {
    /// No sections known yet.
    pub fn new(storage: Arc<dyn Storage>, partition: &str) -> Self {
        Self { storage, partition: partition.into(), table: Table::new(), pruned_to: AtomicU64::new(0) }
    }

    /// Lists the partition and takes note of the sections that are there. Those already open stay open.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// As [`Storage::scan`]; nothing is taken for missing then.
    pub async fn load(&self) -> Result<Listing, Error> {
        let mut listing = Listing::default();
        for name in self.storage.scan(&self.partition).await? {
            match parse_section_name(&name) {
                Some(section) => listing.sections.push(section),
                None => listing.others.push(name),
            }
        }
        self.table.know(&listing.sections);
        Ok(listing)
    }

    /// The sections that exist.
    pub fn table(&self) -> &Table<T> {
        &self.table
    }

    /// The oldest section that may exist.
    pub fn pruned_to(&self) -> u64 {
        self.pruned_to.load(Ordering::Acquire)
    }

    /// Raises the oldest section that may exist; it never falls.
    pub fn set_pruned_to(&self, oldest: u64) {
        self.pruned_to.fetch_max(oldest, Ordering::AcqRel);
    }

    /// Whether the section may exist.
    ///
    /// # Errors
    /// [`Pruned`].
    pub fn guard(&self, section: u64) -> Result<(), Pruned> {
        let oldest = self.pruned_to();
        if section < oldest { Err(Pruned { section, oldest }) } else { Ok(()) }
    }

    /// What the owner keeps for a section; its blob is opened, and with `format.create` made, at the first use. `make`
    /// turns the blob into what is kept. Of many that ask at once one does the work, the others wait. `None` when the
    /// section does not exist and is not to be made.
    ///
    /// Cancel safety: dropped, it may leave a new, empty blob; the next one to ask goes on.
    ///
    /// # Errors
    /// Whatever [`Storage::open`] and `make` answer; the next one to ask tries again.
    pub async fn open<E, F, Fut>(&self, section: u64, format: &Format, make: F) -> Result<Option<Arc<T>>, E>
    where
        E: From<Error>,
        F: Fn(Arc<dyn Blob>) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        if let Some(open) = self.table.get(section) {
            return Ok(Some(open));
        }
        let make = &make;
        let init = |_added| async move {
            let blob = self.storage.open(&self.partition, &section_name(section), format).await?;
            make(blob).await
        };
        self.table.get_or_init(section, format.create, init).await
    }

    /// Removes sections; durable when it returns. They are forgotten before their blobs go; whoever still holds one
    /// gets [`Error::Removed`]. Sections that must not be made again meanwhile are first kept out by
    /// [`set_pruned_to`](Self::set_pruned_to).
    ///
    /// Cancel safety: a removal that has begun runs to its end; call again to learn how it ended.
    ///
    /// # Errors
    /// As [`Storage::remove`]: the sections may still be on disk, and [`load`](Self::load) shows them again.
    pub async fn remove(&self, sections: &[u64]) -> Result<(), Error> {
        for section in sections {
            self.table.forget(*section);
        }
        let names: Vec<Vec<u8>> = sections.iter().map(|section| section_name(*section).to_vec()).collect();
        self.storage.remove(&self.partition, &names).await
    }
}

impl<T> fmt::Debug for Sections<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sections")
            .field("partition", &self.partition)
            .field("len", &self.table.len())
            .field("pruned_to", &self.pruned_to)
            .finish_non_exhaustive()
    }
}
