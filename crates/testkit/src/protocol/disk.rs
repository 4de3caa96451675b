//! Files, the page cache over them, and what a power cut makes of both.
//!
//! A file is a row of cells. The cache holds what a process reads; the blocks hold what is on the disk. What has been
//! written and not synced is a list of effects. A sync applies them all; a power cut applies any subset, in order, so
//! that a cell may also hold an older version. Length and content are separate effects.

#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::fmt::{self, Debug};
use std::hash::Hash;

/// What a cell of a file may hold.
pub(crate) trait Content: Copy + Eq + Hash + Debug {
    /// A cell never written.
    const ZERO: Self;
    /// What is left of a write over `old` that was torn; `None` when that is no different from one that was lost.
    fn torn(old: Self, new: Self) -> Option<Self>;
}

/// What the media may do besides losing writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Media {
    /// A block that was cut off may come back when the file grows over it again and the write to it is lost.
    pub(crate) stale: bool,
    /// A cell may be torn.
    pub(crate) torn: bool,
}

/// One change of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Effect<C> {
    /// This cell was written.
    Write(u8, C),
    /// The file grew to this length, by a write behind its end.
    Grow(u8),
    /// The file was truncated to this length.
    Cut(u8),
}

/// A change that a power cut may undo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Pending<C> {
    effect: Effect<C>,
    /// A sync has failed over it: the cache shows it as clean, no later sync will write it.
    limbo: bool,
}

/// A file; see the [module](self).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct File<C> {
    /// What a process reads.
    cache: Vec<C>,
    /// What is on the disk. Behind `len`: what a block that was freed still holds.
    blocks: Vec<C>,
    /// Length on the disk.
    len: u8,
    pending: Vec<Pending<C>>,
}

/// A number of cells; none of the models has more than 255.
pub(crate) fn small(count: usize) -> u8 {
    u8::try_from(count).unwrap_or(u8::MAX)
}

impl<C: Content> File<C> {
    pub(crate) const EMPTY: Self = Self { cache: Vec::new(), blocks: Vec::new(), len: 0, pending: Vec::new() };

    /// A file with this content, durably.
    pub(crate) fn of(cells: &[C]) -> Self {
        Self { cache: cells.to_vec(), blocks: cells.to_vec(), len: small(cells.len()), pending: Vec::new() }
    }

    /// What a process reads.
    pub(crate) fn cells(&self) -> &[C] {
        &self.cache
    }

    /// One cell as a process reads it; `None` behind the end.
    pub(crate) fn at(&self, at: u8) -> Option<C> {
        self.cache.get(usize::from(at)).copied()
    }

    /// Length as a process sees it.
    pub(crate) fn len(&self) -> u8 {
        small(self.cache.len())
    }

    /// Whether a power cut could change anything.
    pub(crate) fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether a sync would have anything to write.
    pub(crate) fn is_dirty(&self) -> bool {
        self.pending.iter().any(|pending| !pending.limbo)
    }

    /// Writes cells; behind the end the file grows. A cell that holds the same already stays as it is, on the disk too,
    /// unless a sync has failed over it.
    pub(crate) fn write(&mut self, at: u8, cells: &[C]) {
        let old = self.cache.len();
        let first = usize::from(at);
        let end = first + cells.len();
        if end > old {
            self.cache.resize(end, C::ZERO);
        }
        for (number, cell) in (first..).zip(cells) {
            let target = small(number);
            let effect = Effect::Write(target, *cell);
            // Behind the end a growth alone brings zeros, unless the block holds something else.
            let shows = self.cache[number] == *cell;
            let stays = shows && (number < old || self.blocks.get(number).is_none_or(|block| block == cell));
            match self.last_write(target) {
                Some(last) if stays && last.limbo && last.effect == effect => last.limbo = false,
                Some(Pending { limbo: true, .. }) => self.pending.push(Pending { effect, limbo: false }),
                _ if stays => {}
                _ => self.pending.push(Pending { effect, limbo: false }),
            }
            self.cache[number] = *cell;
        }
        if end > old {
            self.push_grow(small(end));
        }
    }

    /// Sets the length.
    pub(crate) fn set_len(&mut self, len: u8) {
        let old = self.len();
        self.cache.resize(usize::from(len), C::ZERO);
        match len.cmp(&old) {
            Ordering::Less => self.pending.push(Pending { effect: Effect::Cut(len), limbo: false }),
            Ordering::Equal => {}
            Ordering::Greater => self.push_grow(len),
        }
    }

    /// Two growths in a row are one: what a crash between their lengths leaves differs in zeros at the end.
    fn push_grow(&mut self, len: u8) {
        let last = self.pending.iter_mut().rev().find(|one| !matches!(one.effect, Effect::Write(..)));
        match last {
            Some(Pending { effect: Effect::Grow(last), limbo: false }) => *last = len,
            _ => self.pending.push(Pending { effect: Effect::Grow(len), limbo: false }),
        }
    }

    /// The last write to a cell that a power cut could undo.
    fn last_write(&mut self, at: u8) -> Option<&mut Pending<C>> {
        let mut pending = self.pending.iter_mut().rev();
        pending.find(|pending| matches!(pending.effect, Effect::Write(target, _) if target == at))
    }

    /// A sync that returns: everything written since the last one is on the disk, but what an earlier failed sync has made
    /// clean.
    pub(crate) fn sync(&mut self, media: Media) {
        let pending = std::mem::take(&mut self.pending);
        for (number, one) in pending.iter().enumerate().filter(|(_, one)| !one.limbo) {
            match one.effect {
                // A truncation drops what is not written yet.
                Effect::Write(..) if cut_off(number, &pending) => {}
                Effect::Write(at, cell) => {
                    if self.len <= at {
                        self.grow(at + 1);
                    }
                    self.blocks[usize::from(at)] = cell;
                }
                Effect::Cut(len) if len < self.len => self.truncate(len, media),
                // A growth is no truncation: if the disk has more, for it never got one, that stays.
                Effect::Grow(len) | Effect::Cut(len) => self.grow(len),
            }
        }
        let left = (0..).zip(&pending).filter(|(number, one)| one.limbo && !superseded(*number, &pending));
        let left =
            left.filter_map(|(number, one)| Some(Pending { effect: grown(number, &pending, self.len)?, ..*one }));
        self.pending = left.collect();
        self.trim();
    }

    /// A sync that fails: the cache shows everything as clean, and nothing is known of the disk.
    pub(crate) fn sync_failed(&mut self) {
        for one in &mut self.pending {
            one.limbo = true;
        }
    }

    /// Grows on the disk; what a proper growth shows is zeros.
    fn grow(&mut self, len: u8) {
        let (old, new) = (usize::from(self.len), usize::from(len));
        if self.blocks.len() < new {
            self.blocks.resize(new, C::ZERO);
        }
        for block in self.blocks.iter_mut().take(new).skip(old) {
            *block = C::ZERO;
        }
        self.len = len.max(self.len);
    }

    fn truncate(&mut self, len: u8, media: Media) {
        self.len = len;
        if !media.stale {
            self.blocks.truncate(usize::from(len));
        }
    }

    /// Free blocks that hold zeros tell nothing.
    fn trim(&mut self) {
        while self.blocks.len() > usize::from(self.len) && self.blocks.last() == Some(&C::ZERO) {
            self.blocks.pop();
        }
    }

    /// The ways a power cut may end for each pending effect, and for what is freed.
    fn radices(&self, media: Media) -> impl Iterator<Item = u32> {
        let effects = self.pending.iter().map(move |one| match one.effect {
            Effect::Write(at, new) if media.torn => 2 + u32::from(C::torn(self.on_disk(at), new).is_some()),
            _ => 2,
        });
        let grows = self.pending.iter().any(|one| matches!(one.effect, Effect::Grow(_)));
        effects.chain((media.stale && grows).then_some(2))
    }

    fn on_disk(&self, at: u8) -> C {
        if at < self.len { self.blocks[usize::from(at)] } else { C::ZERO }
    }

    /// How many ways a power cut may end; more than one may end alike.
    pub(crate) fn outcomes(&self, media: Media) -> u32 {
        self.radices(media).fold(1, u32::saturating_mul)
    }

    /// A power cut, ending in this way. Outcome 0 loses everything; the last one keeps everything.
    pub(crate) fn power_cut(&mut self, mut outcome: u32, media: Media) {
        let radices: Vec<u32> = self.radices(media).collect();
        let mut digits = Vec::with_capacity(radices.len());
        for radix in &radices {
            digits.push(outcome % radix);
            outcome /= radix;
        }
        let comes_back = digits.get(self.pending.len()) == Some(&1);
        let old = usize::from(self.len);
        let reach = self.pending.iter().map(|one| match one.effect {
            Effect::Write(at, _) => usize::from(at) + 1,
            Effect::Grow(len) | Effect::Cut(len) => usize::from(len),
        });
        let size = reach.max().unwrap_or(0).max(self.blocks.len());
        let mut blocks = self.blocks.clone();
        blocks.resize(size, C::ZERO);
        // Whether what a block holds belongs to the file, once the length covers it.
        let mut ours: Vec<bool> = (0..size).map(|at| at < old).collect();
        let mut len = old;
        for ((one, digit), radix) in self.pending.iter().zip(&digits).zip(&radices) {
            match one.effect {
                _ if *digit == 0 => {}
                Effect::Write(at, new) => {
                    let torn = C::torn(self.on_disk(at), new).filter(|_| digit + 1 < *radix);
                    blocks[usize::from(at)] = torn.unwrap_or(new);
                    ours[usize::from(at)] = true;
                }
                // What a sync has failed over is older than what was synced since, which may reach further.
                Effect::Grow(to) if one.limbo => len = len.max(to.into()),
                Effect::Grow(to) => len = to.into(),
                Effect::Cut(to) => {
                    len = to.into();
                    ours[len..].fill(false);
                }
            }
        }
        for (at, block) in blocks.iter_mut().enumerate() {
            let shows = at < len && (ours[at] || comes_back);
            // Free: only what was part of the file may come back.
            let stays = at >= len && media.stale && (!ours[at] || at < old);
            if !shows && !stays {
                *block = C::ZERO;
            }
        }
        self.cache = blocks[..len].to_vec();
        self.blocks = blocks;
        self.len = small(len);
        self.pending.clear();
        self.trim();
    }

    /// Media rot: the cell holds something else, on the disk and in the cache.
    pub(crate) fn rot(&mut self, at: u8, garbage: C) {
        let at = usize::from(at);
        self.cache[at] = garbage;
        self.blocks[at] = garbage;
    }
}

impl<C: Content> fmt::Display for File<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.cache)?;
        if !self.pending.is_empty() {
            write!(f, "; on the disk {:?}", &self.blocks[..usize::from(self.len)])?;
        }
        for one in &self.pending {
            write!(f, "{} {:?}", if one.limbo { ", lost by a failed sync:" } else { ", not synced:" }, one.effect)?;
        }
        Ok(())
    }
}

/// Whether a later effect that is on the disk covers this one.
fn superseded<C: Content>(number: usize, pending: &[Pending<C>]) -> bool {
    let mut later = pending.iter().skip(number + 1).filter(|one| !one.limbo).map(|one| one.effect);
    match pending[number].effect {
        Effect::Write(at, _) => later.any(|effect| match effect {
            Effect::Write(other, _) => other == at,
            Effect::Grow(_) => false,
            Effect::Cut(len) => len <= at,
        }),
        Effect::Grow(len) => later.any(|effect| match effect {
            Effect::Write(..) => false,
            Effect::Grow(other) => other >= len,
            Effect::Cut(_) => true,
        }),
        Effect::Cut(_) => later.any(|effect| matches!(effect, Effect::Cut(_))),
    }
}

/// What is left open of an effect in limbo: a truncation cannot reach what was synced behind it. `None` when that is
/// nothing.
fn grown<C: Content>(number: usize, pending: &[Pending<C>], on_disk: u8) -> Option<Effect<C>> {
    let later = pending.iter().skip(number + 1).filter(|one| !one.limbo);
    match pending[number].effect {
        Effect::Cut(len) => {
            let to = later.fold(len, |to, one| match one.effect {
                Effect::Write(at, _) => to.max(at + 1),
                Effect::Grow(len) => to.max(len),
                Effect::Cut(_) => to,
            });
            (to < on_disk).then_some(Effect::Cut(to))
        }
        effect => Some(effect),
    }
}

/// Whether the cell of this write is truncated later, before a sync.
fn cut_off<C: Content>(number: usize, pending: &[Pending<C>]) -> bool {
    let Effect::Write(at, _) = pending[number].effect else { return false };
    pending.iter().skip(number + 1).any(|one| matches!(one.effect, Effect::Cut(len) if len <= at))
}

/// A name in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Name {
    /// A process sees it.
    pub(crate) cache: bool,
    /// It is on the disk.
    pub(crate) disk: bool,
}

impl Name {
    /// Whether a power cut could change it.
    pub(crate) fn is_pending(self) -> bool {
        self.cache != self.disk
    }
}
