//! The disk at one moment, kept: it can be crashed in many ways without running again what led there.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use fastrand::Rng;

use super::crash::{Crash, Cut, Judge};
use super::disk::{Disk, FileKey};
use super::inode::{Change, EffectKind, Inode};
use super::names::Names;
use super::trace::Ways;

#[cfg(test)]
mod tests;

/// Effects up to which [`Image::outcomes`] goes through all subsets.
const OUTCOMES_MAX: usize = 20;

/// The disk at one moment, with what is pending and in flight. [`Sim::boot`](super::Sim::boot) starts a machine with it.
pub struct Image(pub(super) Disk);

/// One way a power cut may end: [`Image::outcomes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The cut that ends so; there may be others.
    pub cut: Cut,
    /// The [digest](Image::digest) of the disk behind it.
    pub digest: u64,
}

/// The machine just before a step: see [`Sim::watch`](super::Sim::watch).
pub struct Moment<'a> {
    pub(super) disk: &'a Disk,
    /// The step that is next, counted from 1.
    pub step: u64,
}

impl Moment<'_> {
    /// A number that is another one whenever the disk has changed since the last look, but for failed syncs, edits and
    /// crashes. It costs much less than a [digest](Image::digest).
    pub fn mark(&self) -> (u64, usize) {
        self.disk.mark()
    }

    /// The disk as it is now.
    pub fn image(&self) -> Image {
        Image(self.disk.copied())
    }
}

impl Image {
    /// How many effects a power cut would judge.
    pub fn pending(&self) -> usize {
        self.0.pending_count()
    }

    /// The disk behind a crash. What is random about it is drawn from `seed`.
    #[must_use]
    pub fn crashed(&self, crash: Crash, seed: u64) -> Self {
        let mut disk = self.0.copied();
        disk.crash(crash, &mut Rng::with_seed(seed), &mut Ways::default());
        Self(disk)
    }

    /// A number for all that an open now, and any later crash, could come to see: names, bytes, and what is pending, in
    /// its order. Equal disks have equal digests, and others very likely not (SipHash, with a fixed key).
    pub fn digest(&self) -> u64 {
        self.0.digest()
    }

    /// Every way a power cut may end, each once: for each subset of the pending effects that leads to a disk which no
    /// smaller one leads to. `None` when there are more than 20.
    ///
    /// Files and directories suffer a cut each by itself, so this looks at the subsets of each, and combines what comes
    /// of them.
    pub fn outcomes(&self) -> Option<Vec<Outcome>> {
        let mut disk = self.0.copied();
        disk.land(true, &mut Rng::with_seed(0), &mut Ways::default());
        if disk.pending_count() > OUTCOMES_MAX {
            return None;
        }
        Some(disk.outcomes())
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image").field("pending", &self.pending()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Moment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Moment").field("step", &self.step).finish_non_exhaustive()
    }
}

/// What the subsets of one thing's effects make of it: the first subset that leads to each end, as bits over all effects
/// of the disk.
type Ends<T> = Vec<(u64, T)>;

/// Calls somebody with the judge of a subset.
type Judging<'a> = dyn FnMut(u64, &mut dyn FnMut(&mut Judge<'_>)) + 'a;

/// The names of a directory behind a power cut.
type Left<K> = BTreeMap<K, usize>;

impl Disk {
    /// See [`Moment::mark`]: every new effect draws a number, every sync makes fewer pending.
    fn mark(&self) -> (u64, usize) {
        (self.last_number(), self.pending_count())
    }

    fn digest(&self) -> u64 {
        let ranks = self.ranks();
        let inodes: Vec<u64> = self.inodes.iter().map(|inode| of_inode(inode, &ranks)).collect();
        let mut hasher = DefaultHasher::new();
        mix_names(&self.root, &ranks, &mut hasher, |directory, hasher| {
            mix_names(&self.directories[directory], &ranks, hasher, |inode, hasher| inodes[inode].hash(hasher));
        });
        hasher.finish()
    }

    /// The numbers of all pending effects, in order.
    fn ranks(&self) -> Vec<u64> {
        let of_inodes = self.inodes.iter().flat_map(|inode| inode.pending.iter().map(|effect| effect.number));
        let of_names = self.directories.iter().flat_map(|names| names.pending().map(|(number, ..)| number));
        let of_root = self.root.pending().map(|(number, ..)| number);
        let mut ranks: Vec<u64> = of_inodes.chain(of_names).chain(of_root).collect();
        ranks.sort_unstable();
        ranks
    }

    /// See [`Image::outcomes`]; nothing is in flight.
    fn outcomes(&self) -> Vec<Outcome> {
        let ranks = self.ranks();
        let (mut rng, mut ways) = (Rng::with_seed(0), Ways::default());
        let mut judged = |bits: u64, judge: &mut dyn FnMut(&mut Judge<'_>)| {
            let cut = Cut::Subset(bits);
            judge(&mut Judge::new(cut, self.granularity, || ranks.clone(), &mut rng, &mut ways));
        };
        let inodes: Vec<Ends<u64>> = self
            .inodes
            .iter()
            .map(|inode| {
                ends(inode.pending.iter().map(|effect| rank(&ranks, effect.number)), |bits| {
                    let mut inode = inode.copied();
                    judged(bits, &mut |judge| inode.cut(judge, self.stale));
                    of_inode(&inode, &[])
                })
            })
            .collect();
        let directories: Vec<Ends<Left<FileKey>>> =
            self.directories.iter().map(|names| names_left(names, &ranks, &mut judged)).collect();
        let roots = names_left(&self.root, &ranks, &mut judged);
        let mut outcomes = Outcomes { found: Vec::new(), seen: HashSet::new(), inodes: &inodes };
        for (bits, root) in &roots {
            let parts: Vec<_> = root.iter().map(|(partition, at)| (partition, &directories[*at])).collect();
            outcomes.choose_names(&parts, *bits, &mut Vec::new());
        }
        outcomes.found
    }
}

/// Goes through the combinations of what may become of each directory and each file.
struct Outcomes<'a> {
    found: Vec<Outcome>,
    seen: HashSet<u64>,
    inodes: &'a [Ends<u64>],
}

impl<'a> Outcomes<'a> {
    /// `chosen`: of the directories before `parts`.
    fn choose_names(
        &mut self,
        parts: &[(&'a Arc<str>, &'a Ends<Left<FileKey>>)],
        bits: u64,
        chosen: &mut Vec<(&'a Arc<str>, &'a Left<FileKey>)>,
    ) {
        let Some(((partition, ends), rest)) = parts.split_first() else {
            let mut files: Vec<usize> = chosen.iter().flat_map(|(_, names)| names.values().copied()).collect();
            files.sort_unstable();
            files.dedup();
            return self.choose_bytes(&files, bits, chosen, &mut BTreeMap::new());
        };
        for (more, names) in *ends {
            chosen.push((partition, names));
            self.choose_names(rest, bits | more, chosen);
            chosen.pop();
        }
    }

    /// Files that no name leads to do not count.
    fn choose_bytes(
        &mut self,
        files: &[usize],
        bits: u64,
        names: &[(&'a Arc<str>, &'a Left<FileKey>)],
        chosen: &mut BTreeMap<usize, u64>,
    ) {
        let Some((file, rest)) = files.split_first() else {
            let digest = digest_of(names, chosen);
            if self.seen.insert(digest) {
                self.found.push(Outcome { cut: Cut::Subset(bits), digest });
            }
            return;
        };
        for (more, bytes) in &self.inodes[*file] {
            chosen.insert(*file, *bytes);
            self.choose_bytes(rest, bits | more, names, chosen);
        }
    }
}

/// [`Disk::digest`] of a disk with nothing pending.
fn digest_of(names: &[(&Arc<str>, &Left<FileKey>)], inodes: &BTreeMap<usize, u64>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (partition, names) in names {
        (1_u8, partition).hash(&mut hasher);
        for (key, inode) in *names {
            (1_u8, key, inodes.get(inode).copied().unwrap_or_default()).hash(&mut hasher);
        }
        SETTLED.hash(&mut hasher);
    }
    SETTLED.hash(&mut hasher);
    hasher.finish()
}

/// Behind the visible names of a directory: that the durable ones are the same.
const SETTLED: u8 = 0;

fn mix_names<K: Ord + Clone + Hash>(
    names: &Names<K>,
    ranks: &[u64],
    hasher: &mut DefaultHasher,
    mut target: impl FnMut(usize, &mut DefaultHasher),
) {
    for (key, at) in &names.visible {
        (1_u8, key).hash(hasher);
        target(*at, hasher);
    }
    SETTLED.hash(hasher);
    if names.pending_count() == 0 {
        return;
    }
    for (key, at) in &names.durable {
        (2_u8, key).hash(hasher);
        target(*at, hasher);
    }
    for (number, key, at) in names.entries() {
        (3_u8, rank(ranks, number), key, at.is_some()).hash(hasher);
        at.into_iter().for_each(|at| target(at, hasher));
    }
}

/// A number for a file: what is seen, what is on the disk, and what lies between.
fn of_inode(inode: &Inode, ranks: &[u64]) -> u64 {
    let mut hasher = DefaultHasher::new();
    inode.visible.hash(&mut hasher);
    inode.past.hash(&mut hasher);
    if inode.differs() || inode.in_flight.is_some() {
        (inode.tainted, &inode.durable).hash(&mut hasher);
        for effect in &inode.pending {
            rank(ranks, effect.number).hash(&mut hasher);
            match &effect.kind {
                EffectKind::Length(len) => (1_u8, len).hash(&mut hasher),
                EffectKind::Resize(len) => (2_u8, len).hash(&mut hasher),
                EffectKind::Data { offset, data, astray, .. } => {
                    (3_u8, offset, data.len(), astray).hash(&mut hasher);
                    data.mix(&mut hasher);
                }
            }
        }
        match &inode.in_flight {
            None => {}
            Some(Change::Resize(len)) => (4_u8, len).hash(&mut hasher),
            Some(Change::Write { offset, data }) => {
                (5_u8, offset, data.len()).hash(&mut hasher);
                data.mix(&mut hasher);
            }
        }
    }
    hasher.finish()
}

fn rank(ranks: &[u64], number: u64) -> usize {
    ranks.binary_search(&number).unwrap_or_else(|at| at)
}

/// All subsets of the effects of these ranks, with what `end` makes of each; ends that were there before are left out.
fn ends<T: PartialEq>(effects: impl Iterator<Item = usize>, mut end: impl FnMut(u64) -> T) -> Ends<T> {
    let effects: Vec<usize> = effects.collect();
    let mut ends: Ends<T> = Vec::new();
    for subset in 0..1_u64 << effects.len() {
        let bit = |(n, rank): (usize, &usize)| (subset >> n & 1) << rank;
        let bits = effects.iter().enumerate().map(bit).sum();
        let found = end(bits);
        if ends.iter().all(|(_, other)| *other != found) {
            ends.push((bits, found));
        }
    }
    ends
}

fn names_left<K: Ord + Clone>(names: &Names<K>, ranks: &[u64], judged: &mut Judging<'_>) -> Ends<Left<K>> {
    ends(names.pending().map(|(number, ..)| rank(ranks, number)), |bits| {
        let mut names = names.clone();
        judged(bits, &mut |judge| names.cut(judge));
        names.visible
    })
}
