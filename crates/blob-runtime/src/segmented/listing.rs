//! Which sections are there, for whoever asks the store. A section is there from the first thing that is put into it to its
//! removal, or the prune that has decided it: one that is being made, one that was made for something that came to nothing,
//! and one that is about to go are in the table only.

use std::sync::atomic::Ordering;

use super::{Core, Driver, Segmented};
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
        let mut sections = self.table().sections_with(|open| self.core().has_begun(open));
        let pruned = sections.partition_point(|section| *section < self.pruned_to());
        sections.drain(..pruned);
        sections
    }

    /// Whether a section exists.
    pub fn has(&self, section: u64) -> bool {
        self.core().has(section)
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
}

impl<D: Driver> Core<D> {
    /// Whether a section exists.
    pub(super) fn has(&self, section: u64) -> bool {
        section >= self.pruned_to.load(Ordering::Acquire) && self.table.has(section, |open| self.has_begun(open))
    }

    fn has_begun(&self, open: Option<&D::Section>) -> bool {
        open.is_none_or(|open| !self.driver.is_untouched(open))
    }
}
