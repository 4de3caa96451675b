//! What the cells of the files hold: frames and seals, pages of entries with two slots, slots of the manifest.

use super::disk::Content;

/// Items a page of the index holds.
pub(crate) const PAGE_ITEMS: u8 = 2;
/// Cells of a page: its entries, then two slots.
pub(crate) const PAGE_CELLS: u8 = PAGE_ITEMS + 2;

/// One cell of the values; each frame takes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Value {
    Zero,
    /// No frame: garbage, or a payload that is not whole under a header that verifies and says this floor.
    Torn {
        floor: u8,
    },
    /// The record and the value with this number.
    Frame {
        position: u8,
        id: u8,
        floor: u8,
        /// The batch goes on in the next frame.
        more: bool,
    },
    /// A seal. Its floor is its own offset.
    Seal {
        position: u8,
    },
}

impl Value {
    /// The floor that a header at this offset says, when it verifies.
    pub(crate) fn floor(self, at: u8) -> u8 {
        match self {
            Self::Zero => 0,
            Self::Torn { floor } | Self::Frame { floor, .. } => {
                if floor <= at {
                    floor
                } else {
                    0
                }
            }
            Self::Seal { .. } => at,
        }
    }

    /// The number that the next frame has to carry.
    pub(crate) fn position(self) -> Option<u8> {
        match self {
            Self::Frame { position, .. } | Self::Seal { position } => Some(position),
            Self::Zero | Self::Torn { .. } => None,
        }
    }
}

impl Content for Value {
    const ZERO: Self = Self::Zero;

    /// The worst a torn frame can do is to say a floor and hold nothing.
    fn torn(old: Self, new: Self) -> Option<Self> {
        match (old, new) {
            (_, Self::Frame { floor, .. }) | (Self::Frame { floor, .. }, _) => Some(Self::Torn { floor }),
            _ => None,
        }
    }
}

/// An entry of the index: which value, and where its frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    pub(crate) id: u8,
    pub(crate) at: u8,
}

/// What a page holds, as its checksum sees it.
pub(crate) type Data = [Option<Entry>; PAGE_ITEMS as usize];

/// A slot of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PageSlot {
    /// Entries it counts.
    pub(crate) len: u8,
    pub(crate) generation: u8,
    /// Whole pages known durable.
    pub(crate) floor: u8,
    /// Stands for the checksum: the slot is valid while the page holds just these.
    pub(crate) over: Data,
}

/// One cell of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Index {
    Zero,
    Garbage,
    Entry(Entry),
    Slot(PageSlot),
}

impl Content for Index {
    const ZERO: Self = Self::Zero;

    /// A torn entry or slot makes a checksum fail, as a lost one does.
    fn torn(_: Self, _: Self) -> Option<Self> {
        None
    }
}

/// A page as it verifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) slot: PageSlot,
    /// Which of the two slots says so.
    pub(crate) number: u8,
}

impl Page {
    /// The page that lies in these cells, by its newest valid slot.
    pub(crate) fn read(cells: &[Index]) -> Option<Self> {
        let slots = (0..).zip(cells.iter().skip(usize::from(PAGE_ITEMS)));
        let valid = slots.filter_map(|(number, cell)| match cell {
            Index::Slot(slot) => {
                let whole = slot.over.iter().zip(cells).all(|(over, cell)| match over {
                    Some(entry) => *cell == Index::Entry(*entry),
                    None => true,
                });
                whole.then_some(Self { slot: *slot, number })
            }
            _ => None,
        });
        valid.max_by_key(|page| page.slot.generation)
    }

    /// The entries it counts.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry> {
        self.slot.over.into_iter().flatten()
    }

    /// Whether all it can hold is there.
    pub(crate) fn is_full(&self) -> bool {
        self.slot.len == PAGE_ITEMS
    }
}

/// A rewind that was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Intent {
    pub(crate) section: u8,
    /// Items that stay.
    pub(crate) items: u8,
    /// Where the values that stay end.
    pub(crate) offset: u8,
    /// Whether all later sections go.
    pub(crate) later: bool,
}

/// What the manifest says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// Sections below are gone.
    pub(crate) pruned_to: u8,
    pub(crate) clean: bool,
    pub(crate) intent: Option<Intent>,
    /// The user's own.
    pub(crate) user: u8,
}

/// One slot of the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Manifest {
    /// Neither valid nor zeros.
    Garbage,
    Slot {
        generation: u8,
        state: State,
    },
}

impl Content for Manifest {
    const ZERO: Self = Self::Garbage;

    fn torn(_: Self, _: Self) -> Option<Self> {
        Some(Self::Garbage)
    }
}
