//! Which sections are there, for whoever asks the store. A section is there from the first thing that is put into it: one
//! that is being made, and one that was made for something that came to nothing, is in the table only.

use std::sync::atomic::Ordering;

use super::{Driver, Segmented};
use crate::sections::Table;

impl<D: Driver> Segmented<D> {
    /// The table of sections, with those that are being made.
    pub fn table(&self) -> &Table<D::Section> {
        &self.core().table
    }

    /// The oldest section that may exist.
    pub fn pruned_to(&self) -> u64 {
        self.core().pruned_to.load(Ordering::Acquire)
    }

    /// The sections that exist, ascending.
    pub fn sections(&self) -> Vec<u64> {
        self.table().sections_with(|open| self.has_begun(open))
    }

    /// Whether a section exists.
    pub fn has(&self, section: u64) -> bool {
        self.table().has(section, |open| self.has_begun(open))
    }

    /// The lowest section that exists.
    pub fn oldest(&self) -> Option<u64> {
        let oldest = self.table().oldest()?;
        if self.has(oldest) { Some(oldest) } else { self.sections().first().copied() }
    }

    /// The highest section that exists.
    pub fn newest(&self) -> Option<u64> {
        let newest = self.table().newest()?;
        if self.has(newest) { Some(newest) } else { self.sections().last().copied() }
    }

    /// The section that comes next behind this one, which need not exist.
    pub fn next_after(&self, section: u64) -> Option<u64> {
        let mut next = self.table().next_after(section)?;
        while !self.has(next) {
            next = self.table().next_after(next)?;
        }
        Some(next)
    }

    fn has_begun(&self, open: Option<&D::Section>) -> bool {
        open.is_none_or(|open| !self.driver().is_untouched(open))
    }
}
