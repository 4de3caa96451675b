//! The bytes that are stored. They are the same for every engine, look random, and do not compress.

use std::ops::Range;

#[cfg(test)]
mod tests;

/// Where values are cut from, in bytes. It is small enough to stay in a processor's cache, so that what is measured is
/// the engine and not the making of values; and a value is cut at a place drawn by its number, so that no two next to
/// each other are alike.
const POOL_BYTES: u64 = 1 << 20;
/// Where the drawing of the pool begins.
const SEED: u64 = 0x6f76_6572_7369_7a65;

/// Values of one size, each found by its item's number.
#[derive(Debug, Clone, Copy)]
pub struct Values {
    pool: &'static [u8],
    value_bytes: u64,
}

impl Values {
    /// Draws the bytes. They are kept until the process ends.
    pub fn new(value_bytes: u64) -> Self {
        let words = (POOL_BYTES + value_bytes).div_ceil(8);
        let pool: Vec<u8> = (0..words).flat_map(|at| mix(SEED.wrapping_add(at)).to_le_bytes()).collect();
        Self { pool: pool.leak(), value_bytes }
    }

    /// The value of an item.
    pub fn of(&self, id: u64) -> &'static [u8] {
        let from = mix(id) % POOL_BYTES;
        let range = usize::try_from(from).ok().zip(usize::try_from(from + self.value_bytes).ok());
        range.and_then(|(from, to)| self.pool.get(from..to)).unwrap_or_default()
    }
}

/// Spreads the bits of a number: the finaliser of SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom
/// number generators").
pub fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Something to append.
#[derive(Debug, Clone, Copy)]
pub struct Item {
    /// The section it belongs to.
    pub section: u64,
    /// Its place there, from 0.
    pub position: u64,
    /// Its number in the whole store, which is its record.
    pub id: u64,
    /// Its value.
    pub value: &'static [u8],
}

/// Items to append, section after section.
#[derive(Debug, Clone)]
pub struct Run {
    values: Values,
    stride: u64,
    sections: Range<u64>,
    items: Range<u64>,
    position: u64,
}

impl Run {
    /// The items at `items` of each of `sections`. `stride` is the number of items a section has in all: the number of
    /// an item is `section * stride + position`.
    pub fn new(values: Values, stride: u64, sections: Range<u64>, items: Range<u64>) -> Self {
        Self { values, stride, sections, position: items.start, items }
    }
}

impl Iterator for Run {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        if self.position >= self.items.end {
            self.sections.next();
            self.position = self.items.start;
        }
        if self.sections.is_empty() || self.items.is_empty() {
            return None;
        }
        let (section, position) = (self.sections.start, self.position);
        self.position += 1;
        let id = section.wrapping_mul(self.stride).wrapping_add(position);
        Some(Item { section, position, id, value: self.values.of(id) })
    }
}
