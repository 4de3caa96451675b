//! Where the generator's choices come from: a seed, or given bytes.

use std::ops::{Bound, RangeBounds};

use fastrand::Rng;

/// Answers with a number of a range, again and again.
pub(super) enum Choices {
    /// Drawn.
    Seed(Rng),
    /// Taken out of bytes, a few at a time; when they are used up, drawn from a seed that they make.
    Bytes {
        /// What is left of them.
        left: Vec<u8>,
        /// For what comes behind them.
        rest: Rng,
    },
}

impl Choices {
    /// The choices that bytes make.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let seed = u64::from(crc32fast::hash(bytes));
        // Taken from the end of a row that is the other way round.
        Self::Bytes { left: bytes.iter().rev().copied().collect(), rest: Rng::with_seed(seed) }
    }

    pub(super) fn u8(&mut self, range: impl RangeBounds<u8>) -> u8 {
        u8::try_from(self.within(range, u8::MAX)).unwrap_or(0)
    }

    pub(super) fn u32(&mut self, range: impl RangeBounds<u32>) -> u32 {
        u32::try_from(self.within(range, u32::MAX)).unwrap_or(0)
    }

    pub(super) fn u64(&mut self, range: impl RangeBounds<u64>) -> u64 {
        self.within(range, u64::MAX)
    }

    pub(super) fn usize(&mut self, range: impl RangeBounds<usize>) -> usize {
        usize::try_from(self.within(range, usize::MAX)).unwrap_or(0)
    }

    pub(super) fn bool(&mut self) -> bool {
        match self {
            Self::Seed(rng) => rng.bool(),
            Self::Bytes { .. } => self.u8(..) % 2 == 1,
        }
    }

    fn within<T>(&mut self, range: impl RangeBounds<T>, max: T) -> u64
    where
        T: Copy + TryInto<u64> + SameDraw,
    {
        let wide = |number: T| number.try_into().unwrap_or(u64::MAX);
        let low = match range.start_bound() {
            Bound::Included(low) => wide(*low),
            Bound::Excluded(low) => wide(*low).saturating_add(1),
            Bound::Unbounded => 0,
        };
        let high = match range.end_bound() {
            Bound::Included(high) => wide(*high),
            Bound::Excluded(high) => wide(*high).saturating_sub(1),
            Bound::Unbounded => wide(max),
        };
        match self {
            Self::Seed(rng) => T::draw(rng, low, high),
            Self::Bytes { left, rest } => {
                let span = high.saturating_sub(low);
                let mut raw = 0;
                let mut taken = 0;
                // As few bytes as hold the range, so that each byte of an input counts.
                while taken < u64::BITS && span >> taken > 0 {
                    let byte = left.pop().unwrap_or_else(|| rest.u8(..));
                    raw |= u64::from(byte) << taken;
                    taken += 8;
                }
                low + span.checked_add(1).map_or(raw, |count| raw % count)
            }
        }
    }
}

/// Draws by the generator's method for the type: the scripts of seeds stay what they were.
pub(super) trait SameDraw {
    /// A number from `low` to `high`.
    fn draw(rng: &mut Rng, low: u64, high: u64) -> u64;
}

macro_rules! same_draw {
    ($($number:ident),*) => {
        $(impl SameDraw for $number {
            fn draw(rng: &mut Rng, low: u64, high: u64) -> u64 {
                let narrow = |number: u64| $number::try_from(number).unwrap_or($number::MAX);
                let drawn = rng.$number(narrow(low)..=narrow(high));
                drawn as u64
            }
        })*
    };
}

same_draw!(u8, u32, u64, usize);
