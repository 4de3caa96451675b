//! What a stream must show after a crash.

use std::sync::{Arc, Mutex};

/// The log of what was begun and what was acknowledged.
#[derive(Debug, Default)]
pub(super) struct Oracle {
    /// Every byte that was appended and not cut off since.
    content: Vec<u8>,
    /// How many of them were acknowledged as durable.
    synced: usize,
    /// Where a cut goes that was begun and has not ended.
    cutting: Option<usize>,
    /// Counts cuts and opens: what was asked before one and answered after it acknowledges nothing.
    pub(super) epoch: u64,
}

pub(super) type Shared = Arc<Mutex<Oracle>>;

impl Oracle {
    pub(super) fn len(&self) -> usize {
        self.content.len()
    }

    /// An append happens now, at `offset`.
    pub(super) fn append(&mut self, offset: usize, bytes: &[u8], case: &str) {
        if self.cutting == Some(offset) && offset < self.content.len() {
            // The cut has ended, and its caller does not know yet.
            self.end_cut();
        }
        assert_eq!(offset, self.content.len(), "{case}: an append in the wrong place");
        self.content.extend_from_slice(bytes);
    }

    /// The first `len` bytes were acknowledged as durable.
    pub(super) fn acknowledge(&mut self, len: usize) {
        self.synced = self.synced.max(len.min(self.content.len()));
    }

    /// A cut begins; it keeps the first `len` bytes. One that has failed or was cut short before may have left less, which
    /// only the end of an open settles.
    pub(super) fn begin_cut(&mut self, len: usize) {
        self.cutting = Some(self.cutting.map_or(len, |before| before.min(len)));
        self.epoch += 1;
    }

    /// The cut has ended well.
    pub(super) fn end_cut(&mut self) {
        if let Some(len) = self.cutting.take() {
            self.content.truncate(len);
            self.synced = self.synced.min(len);
            self.epoch += 1;
        }
    }

    /// The cut was dropped, and nothing of it is under way: the stream has `len` bytes.
    pub(super) fn settle_cut(&mut self, len: usize, case: &str) {
        if len != self.content.len() {
            assert_eq!(Some(len), self.cutting, "{case}: a dropped cut has ended somewhere else");
            self.end_cut();
        }
        self.cutting = None;
    }

    /// An open shows `shown`.
    pub(super) fn opened(&mut self, shown: &[u8], case: &str) {
        let at_least = self.cutting.map_or(self.synced, |len| self.synced.min(len));
        let len = shown.len();
        assert!(len >= at_least, "{case}: {len} bytes are there, {at_least} were acknowledged");
        assert!(len <= self.content.len(), "{case}: {len} bytes are there, {} were appended", self.content.len());
        let wrong = shown.iter().zip(&self.content).position(|(is, was)| is != was);
        assert_eq!(wrong, None, "{case}: a byte is another one");
    }

    /// An open has returned, so what it shows is durable.
    pub(super) fn adopt(&mut self, len: usize) {
        self.content.truncate(len);
        self.synced = len;
        self.cutting = None;
        self.epoch += 1;
    }

    /// What the stream holds, when no cut is under way.
    pub(super) fn expected(&self) -> Option<(&[u8], u64)> {
        self.cutting.is_none().then_some((&self.content, self.epoch))
    }
}
