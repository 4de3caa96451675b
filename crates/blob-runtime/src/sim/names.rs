//! A directory: names as the process sees them, and as they are on the disk.

use std::collections::BTreeMap;

use super::crash::Judge;

#[cfg(test)]
mod tests;

/// The entries of one directory. What a name stands for is an index into the disk.
#[derive(Debug, Clone)]
pub(super) struct Names<K> {
    pub(super) visible: BTreeMap<K, usize>,
    pub(super) durable: BTreeMap<K, usize>,
    pending: Vec<Entry<K>>,
}

/// A name that came (`target`) or went (`None`) and is not yet durable.
#[derive(Debug, Clone)]
struct Entry<K> {
    number: u64,
    name: K,
    target: Option<usize>,
}

impl<K> Default for Names<K> {
    fn default() -> Self {
        Self { visible: BTreeMap::new(), durable: BTreeMap::new(), pending: Vec::new() }
    }
}

impl<K: Ord + Clone> Names<K> {
    pub(super) fn link(&mut self, number: u64, name: K, target: usize) {
        self.visible.insert(name.clone(), target);
        self.pending.push(Entry { number, name, target: Some(target) });
    }

    pub(super) fn unlink(&mut self, number: u64, name: &K) -> Option<usize> {
        let target = self.visible.remove(name)?;
        self.pending.push(Entry { number, name: name.clone(), target: None });
        Some(target)
    }

    /// Makes every entry durable.
    pub(super) fn sync(&mut self) {
        for entry in self.pending.drain(..) {
            entry.settle(&mut self.durable);
        }
    }

    /// A sync that failed: what `judge` keeps is durable, the rest stays pending. Unlike bytes, entries go through the
    /// file system's journal: they stay dirty until a commit has succeeded (ext4, XFS and btrfs turn read-only when
    /// none does).
    pub(super) fn fail_sync(&mut self, judge: &mut Judge<'_>) {
        let mut left = Vec::new();
        for entry in self.pending.drain(..) {
            // A name's later entries wait for its earlier ones: the journal never holds them the other way round.
            let waits = left.iter().any(|earlier: &Entry<K>| earlier.name == entry.name);
            if !waits && judge.keeps(entry.number) {
                entry.settle(&mut self.durable);
            } else {
                left.push(entry);
            }
        }
        self.pending = left;
    }

    /// A power cut: what `judge` keeps is durable, the rest is gone, and the process sees what is durable.
    pub(super) fn cut(&mut self, judge: &mut Judge<'_>) {
        if self.pending.is_empty() {
            return;
        }
        for entry in self.pending.drain(..) {
            let kept = judge.keeps(entry.number);
            let ways = &mut judge.ways;
            *match (entry.target.is_some(), kept) {
                (true, true) => &mut ways.name_kept,
                (true, false) => &mut ways.name_lost,
                (false, true) => &mut ways.removal_kept,
                (false, false) => &mut ways.removal_lost,
            } += 1;
            if kept {
                entry.settle(&mut self.durable);
            }
        }
        self.visible.clone_from(&self.durable);
    }

    /// The numbers of the pending entries, with name and whether it came.
    pub(super) fn pending(&self) -> impl Iterator<Item = (u64, &K, bool)> {
        self.pending.iter().map(|entry| (entry.number, &entry.name, entry.target.is_some()))
    }

    /// The pending entries, with what each name stands for from then on.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u64, &K, Option<usize>)> {
        self.pending.iter().map(|entry| (entry.number, &entry.name, entry.target))
    }

    pub(super) fn pending_count(&self) -> usize {
        self.pending.len()
    }

    /// Everything that some crash could still show.
    pub(super) fn reachable(&self) -> impl Iterator<Item = usize> {
        let pending = self.pending.iter().filter_map(|entry| entry.target);
        self.visible.values().chain(self.durable.values()).copied().chain(pending)
    }

    /// Puts an entry in place, or takes it away, on the disk and in the cache at once.
    pub(super) fn edit(&mut self, name: &K, target: Option<usize>) {
        self.pending.retain(|entry| entry.name != *name);
        for map in [&mut self.visible, &mut self.durable] {
            match target {
                Some(target) => map.insert(name.clone(), target),
                None => map.remove(name),
            };
        }
    }
}

impl<K: Ord> Entry<K> {
    fn settle(self, durable: &mut BTreeMap<K, usize>) {
        match self.target {
            Some(target) => durable.insert(self.name, target),
            None => durable.remove(&self.name),
        };
    }
}
