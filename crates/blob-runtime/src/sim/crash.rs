//! Ways to crash, and what of the unsynced effects survives each.
//!
//! The model is the one of Pillai et al., "All File Systems Are Not Created Equal" (OSDI 2014), at its weakest: no
//! order between effects, none between files, no atomicity of a write above one byte.

use fastrand::Rng;

use super::trace::Ways;

#[cfg(test)]
mod tests;

/// How a machine goes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The process is killed (SIGKILL). What it wrote stays in the page cache: visible to the next process, not
    /// durable, and a later power cut may still take it. A write in flight lands, lands up to some byte, or does not.
    Kill,
    /// Power is lost, and with it the page cache.
    Power(Cut),
}

/// What of the pending effects survives a power cut.
///
/// An effect is one write of bytes, one growth of a length, one resize, or one name that came or went; a write that
/// makes a file longer is two, so that length can survive without data and data without length. Effects are counted
/// from 0 in the order in which they came about, over all files and directories;
/// [`Sim::pending`](super::Sim::pending) says how many there are. A write in flight counts as one that came last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cut {
    /// Drawn anew each time: now and then one of the others, mostly each effect by itself, writes also in parts.
    Random,
    /// Only what was synced survives.
    LoseAll,
    /// Everything survives.
    KeepAll,
    /// Only this effect survives.
    Only(usize),
    /// All effects but this one survive.
    AllBut(usize),
    /// Effect `i` survives when bit `i` is set; those from 64 on are lost. Counting through all values enumerates
    /// every subset.
    Subset(u64),
    /// The first so many survive, as on a file system that keeps the order.
    First(usize),
    /// All effects before this one survive, none after it, and of this one the first so many bytes (all of it when it
    /// is no write).
    Torn {
        /// The effect.
        effect: usize,
        /// How many of its bytes survive.
        bytes: usize,
    },
}

/// The smallest unit a disk writes whole. Bytes of one write inside one unit survive together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Granularity {
    /// Single bytes: weaker than any disk, and the default half of the time.
    Byte,
    /// 512 bytes, the sector of older disks.
    Sector,
    /// 4096 bytes, the page of the cache and the block of most file systems.
    Block,
}

impl Granularity {
    /// The unit in bytes.
    pub fn bytes(self) -> usize {
        match self {
            Self::Byte => 1,
            Self::Sector => 512,
            Self::Block => 4096,
        }
    }
}

impl Cut {
    /// Whether what survives is drawn at random.
    pub(super) fn is_random(self) -> bool {
        self == Self::Random
    }
}

/// What becomes of one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Lost,
    Kept,
    /// The first so many bytes survive.
    Prefix(usize),
    /// Some units survive, others do not.
    Scattered,
}

#[derive(Debug, Clone, Copy)]
enum Scheme {
    Each {
        /// Of 8 effects this many survive.
        kept_of_8: u8,
    },
    All(bool),
    /// The effect of this rank, and what becomes of it; the others fare otherwise.
    One(usize, bool),
    Bits(u64),
    First(usize),
    Torn(usize, usize),
}

/// Decides what survives one crash.
pub(super) struct Judge<'a> {
    scheme: Scheme,
    /// The numbers of all effects that are judged, sorted; empty when the scheme does not ask for ranks.
    order: Vec<u64>,
    granularity: Granularity,
    pub(super) rng: &'a mut Rng,
    pub(super) ways: &'a mut Ways,
}

impl<'a> Judge<'a> {
    /// `order` gives the numbers of all effects to be judged, in any order; it is asked only when ranks matter.
    pub(super) fn new(
        cut: Cut,
        granularity: Option<Granularity>,
        order: impl FnOnce() -> Vec<u64>,
        rng: &'a mut Rng,
        ways: &'a mut Ways,
    ) -> Self {
        let granularity = granularity.unwrap_or_else(|| match rng.u8(..4) {
            0 => Granularity::Sector,
            1 => Granularity::Block,
            _ => Granularity::Byte,
        });
        let draw = rng.u8(..16);
        let ranked = match cut {
            Cut::Random => matches!(draw, 2..=5),
            Cut::LoseAll | Cut::KeepAll => false,
            _ => true,
        };
        let mut order = if ranked { order() } else { Vec::new() };
        order.sort_unstable();
        let scheme = match cut {
            Cut::Random => match (draw, order.len()) {
                (0, _) => Scheme::All(false),
                (1, _) | (2..=5, 0) => Scheme::All(true),
                (2 | 3, count) => Scheme::One(rng.usize(..count), draw == 2),
                (4 | 5, count) => Scheme::First(rng.usize(..count)),
                _ => Scheme::Each { kept_of_8: [2, 4, 6][rng.usize(..3)] },
            },
            Cut::LoseAll => Scheme::All(false),
            Cut::KeepAll => Scheme::All(true),
            Cut::Only(rank) => Scheme::One(rank, true),
            Cut::AllBut(rank) => Scheme::One(rank, false),
            Cut::Subset(bits) => Scheme::Bits(bits),
            Cut::First(count) => Scheme::First(count),
            Cut::Torn { effect, bytes } => Scheme::Torn(effect, bytes),
        };
        Self { scheme, order, granularity, rng, ways }
    }

    /// Whether an effect that cannot be torn survives.
    pub(super) fn keeps(&mut self, number: u64) -> bool {
        let rank = self.rank(number);
        match self.scheme {
            Scheme::Each { kept_of_8 } => self.rng.u8(..8) < kept_of_8,
            Scheme::All(kept) => kept,
            Scheme::One(one, kept) => (rank == one) == kept,
            Scheme::Bits(bits) => rank < 64 && bits >> rank & 1 == 1,
            Scheme::First(count) => rank < count,
            Scheme::Torn(torn, _) => rank <= torn,
        }
    }

    /// What becomes of a write of `len` bytes at `offset` of its file.
    pub(super) fn fate(&mut self, number: u64, offset: usize, len: usize) -> Fate {
        let fate = match self.scheme {
            Scheme::Torn(torn, bytes) if self.rank(number) == torn => whole_or_prefix(bytes, len),
            Scheme::Each { .. } => match self.rng.u8(..8) {
                0 => {
                    let end = offset + self.rng.usize(..=len);
                    let unit = self.granularity.bytes();
                    whole_or_prefix((end / unit * unit).saturating_sub(offset), len)
                }
                1 => Fate::Scattered,
                _ => self.whole(number),
            },
            _ => self.whole(number),
        };
        match (self.scheme, fate) {
            (Scheme::One(one, kept), _) if self.rank(number) == one => {
                *(if kept { &mut self.ways.only } else { &mut self.ways.all_but }) += 1;
            }
            (_, Fate::Lost) => self.ways.lost += 1,
            (_, Fate::Kept) => self.ways.kept += 1,
            (_, Fate::Prefix(_)) => self.ways.torn += 1,
            (_, Fate::Scattered) => {}
        }
        fate
    }

    /// Cuts a write into runs `(start, end, survives)`, counted from its own first byte.
    pub(super) fn runs(
        &mut self,
        fate: Fate,
        offset: usize,
        len: usize,
        mut run: impl FnMut(&mut Rng, usize, usize, bool),
    ) {
        match fate {
            Fate::Lost => run(self.rng, 0, len, false),
            Fate::Kept => run(self.rng, 0, len, true),
            Fate::Prefix(kept) => {
                run(self.rng, 0, kept, true);
                run(self.rng, kept, len, false);
            }
            Fate::Scattered => {
                let unit = self.granularity.bytes();
                // Runs of up to an eighth, so that a large write at single bytes does not cost a draw for each.
                let longest = (len / unit / 8).max(2);
                let (mut start, mut kept, mut seen) = (0, self.rng.bool(), [false; 2]);
                while start < len {
                    let units = self.rng.usize(1..=longest);
                    let end = ((offset + start) / unit + units) * unit - offset;
                    let end = end.min(len);
                    run(self.rng, start, end, kept);
                    seen[usize::from(kept)] = true;
                    (start, kept) = (end, !kept);
                }
                *match (seen, self.granularity) {
                    ([true, true], Granularity::Byte) => &mut self.ways.scattered_bytes,
                    ([true, true], Granularity::Sector) => &mut self.ways.scattered_sectors,
                    ([true, true], Granularity::Block) => &mut self.ways.scattered_blocks,
                    ([_, true], _) => &mut self.ways.kept,
                    _ => &mut self.ways.lost,
                } += 1;
            }
        }
    }

    fn whole(&mut self, number: u64) -> Fate {
        if self.keeps(number) { Fate::Kept } else { Fate::Lost }
    }

    fn rank(&self, number: u64) -> usize {
        self.order.binary_search(&number).unwrap_or_else(|at| at)
    }
}

fn whole_or_prefix(kept: usize, len: usize) -> Fate {
    match kept {
        0 => Fate::Lost,
        kept if kept >= len => Fate::Kept,
        kept => Fate::Prefix(kept),
    }
}
