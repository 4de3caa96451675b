//! Sections: which there are, and what takes them away. Each change is a job that lives in the store.

use super::RawGlob;
use crate::error::Error;

impl RawGlob {
    /// Removes all sections below `min`, section by section; none of them can be used again, also after a restart.
    /// Whether any was there.
    ///
    /// Cancel safety: a prune that has begun runs to its end, at the latest with the next change.
    ///
    /// # Errors
    /// [`Error::Storage`], [`Error::Poisoned`]: the next open carries it on.
    #[doc(alias = "purge")]
    #[doc(alias = "watermark")]
    pub async fn prune(&self, min: u64) -> Result<bool, Error> {
        self.store.prune(min).await
    }

    /// Cuts a section to its first `len` items and removes all later sections, atomically and durably.
    ///
    /// Cancel safety: a rewind that has begun runs to its end, at the latest with the next change.
    ///
    /// # Errors
    /// [`Error::SectionOutOfRange`] (a section that does not exist can only be rewound to 0), [`Error::ItemOutOfRange`],
    /// [`Error::Pruned`]: nothing was changed. Behind its decision any failure lets nothing more be changed
    /// ([`Error::Unfinished`]) until the next open carries it on.
    #[doc(alias = "truncate")]
    pub async fn rewind(&self, section: u64, len: u64) -> Result<(), Error> {
        self.store.rewind(section, len, true).await
    }

    /// Cuts a section to its first `len` items, atomically and durably; the others stay.
    ///
    /// Cancel safety and errors: as [`rewind`](Self::rewind).
    pub async fn rewind_section(&self, section: u64, len: u64) -> Result<(), Error> {
        self.store.rewind(section, len, false).await
    }

    /// Removes a section, durably. Whether it was there.
    ///
    /// Cancel safety: a removal that has begun runs to its end, at the latest with the next change.
    ///
    /// # Errors
    /// As [`prune`](Self::prune).
    pub async fn remove_section(&self, section: u64) -> Result<bool, Error> {
        self.store.remove_section(section).await
    }

    /// The sections that exist, ascending.
    #[doc(alias = "segments")]
    pub fn sections(&self) -> Vec<u64> {
        self.store.sections()
    }

    /// The oldest section.
    pub fn oldest_section(&self) -> Option<u64> {
        self.store.oldest()
    }

    /// The newest section.
    pub fn newest_section(&self) -> Option<u64> {
        self.store.newest()
    }

    /// Opens a section anew after a failed sync, as an open after an unclean stop would: what it shows then is durable.
    /// Nothing when the section has not failed.
    ///
    /// Cancel safety: dropped, it may be called again.
    ///
    /// # Errors
    /// [`Error::SectionOutOfRange`]; damage; [`Error::Storage`].
    pub async fn reopen_section(&self, section: u64) -> Result<(), Error> {
        self.store.reopen_section(section).await
    }

    /// Makes everything durable, seals, and leaves a note that all is in order: the next open is instant. Afterwards
    /// every clone answers [`Error::Closed`]. Again: the same answer.
    ///
    /// Cancel safety: a close that has begun runs to its end with the next call.
    ///
    /// # Errors
    /// The first failure; the glob is closed all the same, and the next open recovers.
    pub async fn close(&self) -> Result<(), Error> {
        self.store.close().await
    }

    /// Removes the glob, atomically; what is in quarantine stays. Afterwards every clone answers [`Error::Closed`].
    ///
    /// Cancel safety: once begun it runs to its end with the next open.
    ///
    /// # Errors
    /// [`Error::Storage`], [`Error::Poisoned`]: then the next open carries it on.
    pub async fn destroy(&self) -> Result<(), Error> {
        self.store.destroy().await
    }
}
