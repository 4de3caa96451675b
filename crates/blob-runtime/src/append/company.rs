//! How long a sync waits for company.
//!
//! One sync of the blob serves all who ask before it begins. Writers that were served by the last one come back with their
//! next commits within moments of each other; whoever is first would lead a sync for himself alone, and make all others
//! wait for it and for one more. So he lets the others run first as long as fewer have come than the time before, a bounded
//! number of times. Where the sync blocks the thread that asks for it nobody can come while it runs: there whoever asks
//! gives way once in any case, for he may be one of many tasks on that thread; if he is alone, that costs far less than
//! the sync he is about to make.

#[cfg(test)]
mod tests;

/// How often a sync gives way to others, at most: it is polled again at once by its executor, so that this is a matter of
/// microseconds when nobody comes.
const MOST: u32 = 64;

/// Callers that asked for a sync: since the last one began, and the time before.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Company {
    came: u32,
    before: u32,
    /// The last sync had ended when its first poll returned.
    blocks: bool,
}

impl Company {
    /// Somebody asks.
    pub(super) fn arrive(&mut self) {
        self.came = self.came.saturating_add(1);
    }

    /// A sync begins: it serves all who have come.
    pub(super) fn depart(&mut self) {
        (self.before, self.came) = (self.came, 0);
    }

    /// Whether the last sync had ended when its first poll returned.
    pub(super) fn note_blocks(&mut self, blocks: bool) {
        self.blocks = blocks;
    }

    /// Whether whoever has given way so many times does so once more before he leads.
    pub(super) fn is_awaited(self, gave_way: u32) -> bool {
        match gave_way {
            0 => self.blocks || self.came < self.before,
            _ => gave_way < MOST && self.came < self.before,
        }
    }
}
