//! Which sections a replay goes through.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::error::Error;
use crate::raw::RawOversized;
use crate::section::Section;

/// Sections from one on, in order, and where to begin in the first.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) store: RawOversized,
    later: VecDeque<u64>,
    first: u64,
    position: u64,
}

impl Route {
    pub(super) fn new(store: RawOversized, section: u64, position: u64) -> Self {
        let mut later: VecDeque<u64> = store.sections().into();
        later.retain(|other| *other >= section);
        let gone = store.store().guard(section).is_err();
        // The section asked for is looked at even when it does not exist: that is the caller's error to see.
        if later.front() != Some(&section) && (position > 0 || gone) {
            later.push_front(section);
        }
        Self { store, later, first: section, position }
    }

    /// The next section, opened, and where to begin in it.
    pub(super) async fn next(&mut self) -> Result<Option<(Arc<Section>, u64)>, Error> {
        let Some(section) = self.later.pop_front() else { return Ok(None) };
        let open = self.store.in_use(section).await?;
        let from = if section == self.first { self.position } else { 0 };
        let len = open.len();
        if from > len {
            return Err(Error::ItemOutOfRange { section, position: from, len });
        }
        Ok(Some((open, from)))
    }
}
