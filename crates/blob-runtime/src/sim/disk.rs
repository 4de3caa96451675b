//! The simulated disk: inodes and directories, without time and without faults.
//!
//! Content, length and directory entries are separate things, each durable or not by itself. What is pending carries
//! a number that counts up over the whole disk, so that a crash can be told which effects survive.

use std::sync::Arc;

use fastrand::Rng;

use super::crash::{Crash, Cut, Granularity, Judge};
use super::inode::{Change, Data, EffectKind, Inode};
use super::names::Names;
use super::trace::Ways;
use crate::name::Salt;

#[cfg(test)]
mod tests;

/// The largest file in bytes. It is all in memory, and a wrong length in a test must not eat the machine.
pub(super) const FILE_MAX_BYTES: usize = 1 << 30;

/// The name of a file: the blob's name and salt.
pub(super) type FileKey = (Arc<[u8]>, Salt);

#[derive(Debug, Default)]
pub(super) struct Disk {
    pub(super) inodes: Vec<Inode>,
    /// Inodes that no crash can bring back.
    free: Vec<usize>,
    /// Partitions: a name stands for an index into `directories`.
    pub(super) root: Names<Arc<str>>,
    pub(super) directories: Vec<Names<FileKey>>,
    number: u64,
    /// Bytes of all files that have a name.
    pub(super) used_bytes: u64,
    pub(super) space_bytes: Option<u64>,
    pub(super) stale: bool,
    pub(super) granularity: Option<Granularity>,
}

/// One effect that is not yet durable, as [`RawDisk::pending`](super::RawDisk::pending) lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The partition, where the effect is in one that still has its name.
    pub partition: Option<Arc<str>>,
    /// The blob, where the effect is in one that still has its name.
    pub name: Option<Arc<[u8]>>,
    /// What it does.
    pub effect: PendingEffect,
}

/// What a pending effect does. Offsets and lengths are those of the file: the header's 4096 bytes count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PendingEffect {
    /// Bytes are written.
    Write {
        /// Where, in bytes.
        offset: usize,
        /// How many bytes.
        len: usize,
    },
    /// A write makes the file at least so long.
    Grow {
        /// The length in bytes.
        len: usize,
    },
    /// The file is made exactly so long.
    Resize {
        /// The length in bytes.
        len: usize,
    },
    /// A name comes into a directory.
    Link,
    /// A name goes from a directory.
    Unlink,
}

impl Disk {
    /// The same disk, without what a process knows of its files.
    pub(super) fn copied(&self) -> Self {
        Self {
            inodes: self.inodes.iter().map(Inode::copied).collect(),
            free: self.free.clone(),
            root: self.root.clone(),
            directories: self.directories.clone(),
            ..*self
        }
    }

    /// The number of the last effect.
    pub(super) fn last_number(&self) -> u64 {
        self.number
    }

    pub(super) fn draw_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// The directory of a partition, as the process sees it.
    pub(super) fn directory(&self, partition: &str) -> Option<usize> {
        self.root.visible.get(partition).copied()
    }

    pub(super) fn make_directory(&mut self, partition: &Arc<str>) -> usize {
        let number = self.draw_number();
        self.directories.push(Names::default());
        let at = self.directories.len() - 1;
        self.root.link(number, Arc::clone(partition), at);
        at
    }

    pub(super) fn remove_directory(&mut self, partition: &Arc<str>) {
        let number = self.draw_number();
        self.root.unlink(number, partition);
    }

    /// The files of a name, as the process sees them: salts and inodes.
    pub(super) fn files_of(&self, directory: usize, name: &[u8]) -> Vec<(Salt, usize)> {
        let from: FileKey = (name.into(), Salt(0));
        let found = self.directories[directory].visible.range(from..);
        found.take_while(|((of, _), _)| **of == *name).map(|((_, salt), inode)| (*salt, *inode)).collect()
    }

    pub(super) fn create(&mut self, directory: usize, key: FileKey) -> usize {
        let inode = self.free.pop().unwrap_or_else(|| {
            self.inodes.push(Inode::default());
            self.inodes.len() - 1
        });
        let number = self.draw_number();
        self.directories[directory].link(number, key, inode);
        inode
    }

    pub(super) fn unlink(&mut self, directory: usize, key: &FileKey) -> Option<usize> {
        let number = self.draw_number();
        let inode = self.directories[directory].unlink(number, key)?;
        self.used_bytes -= self.inodes[inode].visible.len() as u64;
        Some(inode)
    }

    /// How far a change that ends at `end` may make the file reach before the space is used up.
    pub(super) fn room(&self, inode: usize, end: usize) -> usize {
        let len = self.inodes[inode].visible.len();
        let Some(space) = self.space_bytes else { return end };
        let left = usize::try_from(space.saturating_sub(self.used_bytes)).unwrap_or(usize::MAX);
        end.min(len.saturating_add(left).max(len))
    }

    pub(super) fn apply(&mut self, inode: usize, change: Change, whole_pages: bool) {
        self.with_inode(inode, |inode, number| inode.apply(change, whole_pages, number));
    }

    /// A write that the cache shows where it belongs and the disk puts into the file `victim` at `hit`.
    pub(super) fn write_astray(&mut self, inode: usize, offset: usize, data: Data, victim: usize, hit: usize) {
        self.inodes[victim].hit(hit, &data);
        self.with_inode(inode, |inode, number| inode.write(offset, data, false, true, number));
    }

    pub(super) fn sync(&mut self, inode: usize) {
        self.inodes[inode].sync(self.stale);
    }

    pub(super) fn fail_sync(&mut self, inode: usize, survivors: Cut, rng: &mut Rng, ways: &mut Ways) {
        let inode = &mut self.inodes[inode];
        let numbers = inode.pending.iter().map(|effect| effect.number).collect::<Vec<_>>();
        let mut judge = Judge::new(survivors, self.granularity, || numbers, rng, ways);
        inode.fail_sync(&mut judge, self.stale);
    }

    pub(super) fn fail_directory_sync(&mut self, names: Option<usize>, cut: Cut, rng: &mut Rng, ways: &mut Ways) {
        match names {
            Some(at) => {
                let names = &mut self.directories[at];
                let numbers = names.pending().map(|(number, ..)| number).collect::<Vec<_>>();
                names.fail_sync(&mut Judge::new(cut, self.granularity, || numbers, rng, ways));
            }
            None => {
                let numbers = self.root.pending().map(|(number, ..)| number).collect::<Vec<_>>();
                self.root.fail_sync(&mut Judge::new(cut, self.granularity, || numbers, rng, ways));
            }
        }
    }

    /// How many effects a power cut would judge, those of changes in flight included.
    pub(super) fn pending_count(&self) -> usize {
        let in_flight = |inode: &Inode| inode.in_flight.as_ref().map_or(0, |change| inode.effects_of(change));
        self.inodes.iter().map(|inode| inode.pending.len() + in_flight(inode)).sum::<usize>()
            + self.directories.iter().map(Names::pending_count).sum::<usize>()
            + self.root.pending_count()
    }

    /// The machine goes down. Changes in flight land or not; then a power cut takes what is not durable.
    pub(super) fn crash(&mut self, crash: Crash, rng: &mut Rng, ways: &mut Ways) {
        let all_land = matches!(crash, Crash::Power(cut) if !cut.is_random());
        self.land(all_land, rng, ways);
        if let Crash::Power(cut) = crash {
            self.power_cut(cut, rng, ways);
        }
        self.forget_unreachable();
    }

    /// Changes in flight land. For a cut that is told what survives they are effects like any other, so all of them
    /// do; else each lands, in part, or not at all.
    pub(super) fn land(&mut self, all: bool, rng: &mut Rng, ways: &mut Ways) {
        for at in 0..self.inodes.len() {
            self.inodes[at].opened = None;
            let Some(mut change) = self.inodes[at].in_flight.take() else { continue };
            match if all { 0 } else { rng.u8(..3) } {
                0 => ways.landed += 1,
                1 => {
                    ways.not_landed += 1;
                    continue;
                }
                _ => match &mut change {
                    // write(2) ends early on a fatal signal, after any page; nothing promises that it is a page.
                    Change::Write { data, .. } if data.len() > 1 => {
                        data.truncate(rng.usize(1..data.len()));
                        ways.landed_partly += 1;
                    }
                    _ => ways.landed += 1,
                },
            }
            let whole_pages = rng.bool();
            self.apply(at, change, whole_pages);
        }
    }

    fn power_cut(&mut self, cut: Cut, rng: &mut Rng, ways: &mut Ways) {
        let (inodes, directories, root) = (&mut self.inodes, &mut self.directories, &mut self.root);
        let numbers = || {
            let of_inodes = inodes.iter().flat_map(|inode| inode.pending.iter().map(|effect| effect.number));
            let of_names = directories.iter().flat_map(|names| names.pending().map(|(number, ..)| number));
            of_inodes.chain(of_names).chain(root.pending().map(|(number, ..)| number)).collect()
        };
        let mut judge = Judge::new(cut, self.granularity, numbers, rng, ways);
        inodes.iter_mut().for_each(|inode| inode.cut(&mut judge, self.stale));
        directories.iter_mut().for_each(|names| names.cut(&mut judge));
        root.cut(&mut judge);
    }

    /// Frees what nothing leads to any more. Only a crash does this: until then handles may still hold it.
    fn forget_unreachable(&mut self) {
        let mut found = vec![false; self.inodes.len()];
        let mut used = 0;
        let mut live = vec![false; self.directories.len()];
        self.root.reachable().for_each(|directory| live[directory] = true);
        for (at, names) in self.directories.iter_mut().enumerate() {
            if !live[at] {
                *names = Names::default();
                continue;
            }
            names.reachable().for_each(|inode| found[inode] = true);
        }
        for directory in self.root.visible.values() {
            let files = self.directories[*directory].visible.values();
            used += files.map(|inode| self.inodes[*inode].visible.len() as u64).sum::<u64>();
        }
        self.used_bytes = used;
        for free in &self.free {
            found[*free] = true;
        }
        for at in (0..found.len()).filter(|at| !found[*at]) {
            self.inodes[at] = Inode::default();
            self.free.push(at);
        }
    }

    /// All pending effects, in the order of their numbers.
    pub(super) fn pending(&self) -> Vec<Pending> {
        let mut listed = Vec::new();
        for (number, partition, came) in self.root.pending() {
            let effect = if came { PendingEffect::Link } else { PendingEffect::Unlink };
            listed.push((number, Pending { partition: Some(Arc::clone(partition)), name: None, effect }));
        }
        let mut owners = vec![(None, None); self.inodes.len()];
        for (at, names) in self.directories.iter().enumerate() {
            let mut partitions = self.root.visible.iter().filter(|(_, directory)| **directory == at);
            let partition = partitions.next().map(|(partition, _)| Arc::clone(partition));
            for (number, (name, _), came) in names.pending() {
                let effect = if came { PendingEffect::Link } else { PendingEffect::Unlink };
                let name = Some(Arc::clone(name));
                listed.push((number, Pending { partition: partition.clone(), name, effect }));
            }
            for ((name, _), inode) in &names.visible {
                owners[*inode] = (partition.clone(), Some(Arc::clone(name)));
            }
        }
        for (inode, (partition, name)) in self.inodes.iter().zip(owners) {
            for effect in &inode.pending {
                let (partition, name) = (partition.clone(), name.clone());
                let described = match &effect.kind {
                    EffectKind::Length(len) => PendingEffect::Grow { len: *len },
                    EffectKind::Resize(len) => PendingEffect::Resize { len: *len },
                    EffectKind::Data { offset, data, .. } => PendingEffect::Write { offset: *offset, len: data.len() },
                };
                listed.push((effect.number, Pending { partition, name, effect: described }));
            }
        }
        listed.sort_by_key(|(number, _)| *number);
        listed.into_iter().map(|(_, pending)| pending).collect()
    }

    /// Puts a file in place, on the disk and in the cache; one of the same name and salt is replaced.
    pub(super) fn put(&mut self, partition: &Arc<str>, key: FileKey, bytes: Vec<u8>) {
        let directory = self.directory(partition).unwrap_or_else(|| {
            self.directories.push(Names::default());
            self.root.edit(partition, Some(self.directories.len() - 1));
            self.directories.len() - 1
        });
        let found = self.directories[directory].visible.get(&key).copied();
        let inode = found.unwrap_or_else(|| {
            self.inodes.push(Inode::default());
            self.directories[directory].edit(&key, Some(self.inodes.len() - 1));
            self.inodes.len() - 1
        });
        self.edit(inode, bytes);
    }

    /// Takes a file away, on the disk and in the cache. Blobs that are open on it answer that it was removed.
    pub(super) fn remove_file(&mut self, directory: usize, key: &FileKey, inode: usize) {
        self.directories[directory].edit(key, None);
        self.used_bytes -= self.inodes[inode].visible.len() as u64;
        if let Some(opened) = &mut self.inodes[inode].opened {
            opened.removed = true;
        }
    }

    /// Replaces a file's bytes, on the disk and in the cache.
    pub(super) fn edit(&mut self, inode: usize, bytes: Vec<u8>) {
        self.used_bytes = self.used_bytes + bytes.len() as u64 - self.inodes[inode].visible.len() as u64;
        self.inodes[inode].edit(bytes);
    }

    fn with_inode(&mut self, inode: usize, change: impl FnOnce(&mut Inode, &mut dyn FnMut() -> u64)) {
        let number = &mut self.number;
        let inode = &mut self.inodes[inode];
        let before = inode.visible.len() as u64;
        change(inode, &mut || {
            *number += 1;
            *number
        });
        if !inode.opened.as_ref().is_some_and(|opened| opened.removed) {
            self.used_bytes = self.used_bytes + inode.visible.len() as u64 - before;
        }
    }
}
