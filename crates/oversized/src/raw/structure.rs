//! Sections: which there are, and what takes them away. Each change is a job that lives in the store.

use bytes::Bytes;

use super::RawOversized;
use crate::error::Error;
use crate::metrics::{Counters, add};

impl RawOversized {
    /// Removes all sections below `min`, section by section; none of them can be used again, also after a restart.
    /// Whether any was there.
    ///
    /// Cancel safety: a prune that has begun runs to its end, at the latest with the next change.
    ///
    /// # Errors
    /// [`Error::Storage`], [`Error::Unfinished`]: the next open carries it on.
    #[doc(alias = "purge")]
    #[doc(alias = "watermark")]
    pub async fn prune(&self, min: u64) -> Result<bool, Error> {
        let pruned = self.store().prune(min).await;
        if matches!(pruned, Ok(true)) {
            self.count(|counters| add(&counters.prunes, 1));
        }
        self.bell().ring();
        pruned
    }

    /// Cuts a section to its first `len` entries and removes all later sections, atomically and durably.
    ///
    /// Cancel safety: a rewind that has begun runs to its end, at the latest with the next change.
    ///
    /// # Errors
    /// [`Error::SectionOutOfRange`] (a section that does not exist can only be rewound to 0), [`Error::ItemOutOfRange`],
    /// [`Error::Pruned`]: nothing was changed. Behind its decision any failure lets nothing more be changed
    /// ([`Error::Unfinished`]) until the next open carries it on.
    #[doc(alias = "truncate")]
    pub async fn rewind(&self, section: u64, len: u64) -> Result<(), Error> {
        let rewound = self.store().rewind(section, len, true).await;
        if rewound.is_ok() {
            self.count(|counters| add(&counters.rewinds, 1));
        }
        self.bell().ring();
        rewound
    }

    /// Cuts a section to its first `len` entries, atomically and durably; the others stay.
    ///
    /// Cancel safety and errors: as [`rewind`](Self::rewind).
    pub async fn rewind_section(&self, section: u64, len: u64) -> Result<(), Error> {
        let rewound = self.store().rewind(section, len, false).await;
        if rewound.is_ok() {
            self.count(|counters| add(&counters.rewinds, 1));
        }
        self.bell().ring();
        rewound
    }

    /// Removes a section, durably. Whether it was there.
    ///
    /// Cancel safety: a removal that has begun runs to its end, at the latest with the next change.
    ///
    /// # Errors
    /// As [`prune`](Self::prune).
    pub async fn remove_section(&self, section: u64) -> Result<bool, Error> {
        let removed = self.store().remove_section(section).await;
        self.bell().ring();
        removed
    }

    fn count(&self, count: impl FnOnce(&Counters)) {
        if let Some(counters) = &self.store().driver().shared().counters {
            count(counters);
        }
    }

    /// The sections that exist, ascending. One exists from its first entry on, also when it is rewound to none later.
    #[doc(alias = "segments")]
    pub fn sections(&self) -> Vec<u64> {
        self.store().sections()
    }

    /// The oldest section.
    pub fn oldest_section(&self) -> Option<u64> {
        self.store().oldest()
    }

    /// The newest section.
    pub fn newest_section(&self) -> Option<u64> {
        self.store().newest()
    }

    /// The oldest section that may exist: everything below was pruned.
    pub fn pruned_to(&self) -> u64 {
        self.store().pruned_to()
    }

    /// Replaces the user's own bytes, at most 2,048 of them, atomically; durable when it returns.
    ///
    /// Cancel safety: a replacement that has begun runs to its end, at the latest with the next change of structure.
    ///
    /// # Errors
    /// [`Error::Storage`] (`TooLarge`): nothing was changed; [`Error::Closed`], [`Error::ReadOnly`],
    /// [`Error::Unfinished`]. After any other failure the next open settles whether it holds.
    pub async fn set_state(&self, state: Bytes) -> Result<(), Error> {
        self.store().set_state(state).await
    }

    /// The user's own bytes, as they are durable.
    pub fn state(&self) -> Bytes {
        self.store().state()
    }

    /// Opens a section anew after a failed sync, as an open after an unclean stop would: what it shows then is durable.
    /// Nothing when the section has not failed. Entries that were not durable are gone, also those of other tasks, and
    /// their positions are given again: tasks that share a section agree on who calls this, and look at
    /// [`len`](Self::len) afterwards.
    ///
    /// Cancel safety: dropped, it may be called again.
    ///
    /// # Errors
    /// [`Error::SectionOutOfRange`]; damage; [`Error::Storage`].
    pub async fn reopen_section(&self, section: u64) -> Result<(), Error> {
        let reopened = self.store().reopen_section(section).await;
        self.bell().ring();
        reopened
    }

    /// Makes everything durable, seals, and leaves a note that all is in order: the next open is instant. Afterwards
    /// every clone answers [`Error::Closed`]. Again: the same answer.
    ///
    /// Cancel safety: a close that has begun runs to its end with the next call.
    ///
    /// # Errors
    /// The first failure; the store is closed all the same, and the next open recovers.
    pub async fn close(&self) -> Result<(), Error> {
        self.take_back_unborn().await;
        let closed = self.store().close().await;
        self.bell().ring();
        closed
    }

    /// Removes the store, atomically; what is in quarantine stays. Afterwards every clone answers [`Error::Closed`].
    /// Again, and a [`close`](Self::close) behind it: the same answer.
    ///
    /// Cancel safety: once begun it runs to its end with the next call of either, or with the next open.
    ///
    /// # Errors
    /// [`Error::Storage`], [`Error::Unfinished`]: then the next open carries it on.
    pub async fn destroy(&self) -> Result<(), Error> {
        let destroyed = self.store().destroy().await;
        self.bell().ring();
        destroyed
    }
}
