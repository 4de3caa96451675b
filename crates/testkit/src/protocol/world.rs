//! The state of the model: the disk, the process that writes, and what has been promised.

use std::fmt;

use super::cells::{Index, Manifest, State, Value};
use super::disk::{File, Media, Name, small};
use super::history::{Breach, History};

/// Sections of the store.
pub(crate) const SECTIONS: usize = 2;

/// Everything there is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) disk: Disk,
    /// The open store; `None` while no process has it.
    pub(crate) writer: Option<Writer>,
    pub(crate) history: History,
    pub(crate) left: Left,
    /// A promise that was broken: nothing follows.
    pub(crate) breach: Option<Breach>,
    /// The open was refused for damage: nothing follows.
    pub(crate) refused: bool,
}

/// What may still happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Left {
    /// Operations; in a script, how many have been done counts from the other end.
    pub(crate) ops: u8,
    pub(crate) crashes: u8,
    pub(crate) faults: u8,
    pub(crate) rots: u8,
    pub(crate) guests: u8,
}

/// All files.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Disk {
    pub(crate) manifest: File<Manifest>,
    pub(crate) pairs: [Pair; SECTIONS],
}

/// The two files of a section.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Pair {
    pub(crate) values: File<Value>,
    pub(crate) index: File<Index>,
    pub(crate) values_name: Name,
    pub(crate) index_name: Name,
    /// The index has the salt of these values.
    pub(crate) index_fits: bool,
}

/// The two directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Directory {
    Values,
    Index,
}

/// The process that has the store open.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Writer {
    /// The manifest as it is durable.
    pub(crate) state: State,
    pub(crate) generation: u8,
    /// A change behind its point of no return has failed: nothing is changed before the next open.
    pub(crate) broken: bool,
    /// A rewind over several sections keeps appends out of those behind this one.
    pub(crate) held_from: Option<u8>,
    pub(crate) sections: [Option<Section>; SECTIONS],
}

/// An item in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Item {
    pub(crate) id: u8,
    /// Where its frame is.
    pub(crate) at: u8,
    /// The batch goes on with the next item.
    pub(crate) more: bool,
}

/// An open section.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Section {
    pub(crate) items: Vec<Item>,
    /// Frames that are not written yet.
    pub(crate) tail: Vec<Value>,
    /// Cells that are written: where the tail begins.
    pub(crate) written: u8,
    /// Cells that a sync has returned for.
    pub(crate) durable: u8,
    /// The values' name is durable.
    pub(crate) named: bool,
    /// Items that index pages on the disk hold.
    pub(crate) indexed: u8,
    /// The index's name is durable.
    pub(crate) index_named: bool,
    pub(crate) poisoned: bool,
    /// A rewind keeps appends out.
    pub(crate) held: bool,
    /// A seal is last.
    pub(crate) sealed: bool,
    /// While a rewind runs: what was durable when it began.
    pub(crate) before_cut: u8,
    /// While a rewind runs: its cut is under way, and nobody else's change passes it.
    pub(crate) cutting: bool,
    /// While a rewind runs: its cut is done.
    pub(crate) cut: bool,
}

impl Section {
    /// Where the next frame goes.
    pub(crate) fn end(&self) -> u8 {
        self.written + small(self.tail.len())
    }

    pub(crate) fn len(&self) -> u8 {
        small(self.items.len())
    }

    /// Where the first item behind `items` begins.
    pub(crate) fn offset_of(&self, items: u8) -> u8 {
        self.items.get(usize::from(items)).map_or(self.end(), |item| item.at)
    }

    /// `cells` rounded down to where no batch is cut.
    pub(crate) fn outside_batch(&self, cells: u8) -> u8 {
        let mut floor = cells;
        for item in self.items.iter().rev().filter(|item| item.at < cells) {
            if !item.more {
                break;
            }
            floor = item.at;
        }
        floor
    }
}

impl Pair {
    pub(crate) const NONE: Self = Self {
        values: File::EMPTY,
        index: File::EMPTY,
        values_name: Name { cache: false, disk: false },
        index_name: Name { cache: false, disk: false },
        index_fits: false,
    };

    pub(crate) fn name(&mut self, directory: Directory) -> &mut Name {
        match directory {
            Directory::Values => &mut self.values_name,
            Directory::Index => &mut self.index_name,
        }
    }

    /// Files whose names are gone are gone.
    fn forget(&mut self) {
        if self.values_name == (Name { cache: false, disk: false }) {
            self.values = File::EMPTY;
        }
        if self.index_name == (Name { cache: false, disk: false }) {
            self.index = File::EMPTY;
            self.index_fits = false;
        }
    }
}

impl Disk {
    /// A new store: its manifest is durable, no section exists.
    pub(crate) fn new() -> Self {
        let state = State { pruned_to: 0, clean: false, intent: None, user: 0 };
        let slot = Manifest::Slot { generation: 1, state };
        Self { manifest: File::of(&[slot, slot]), pairs: [Pair::NONE, Pair::NONE] }
    }

    /// Makes the names of a directory durable.
    pub(crate) fn sync_names(&mut self, directory: Directory) {
        for pair in &mut self.pairs {
            let name = pair.name(directory);
            name.disk = name.cache;
            pair.forget();
        }
    }

    pub(crate) fn names_pending(&self, directory: Directory) -> bool {
        self.pairs.iter().any(|pair| pair.clone().name(directory).is_pending())
    }

    /// Whether a power cut could change anything.
    pub(crate) fn is_pending(&self) -> bool {
        self.manifest.is_pending()
            || self.pairs.iter().any(|pair| {
                pair.values.is_pending()
                    || pair.index.is_pending()
                    || pair.values_name.is_pending()
                    || pair.index_name.is_pending()
            })
    }

    /// How many ways a power cut may end.
    pub(crate) fn outcomes(&self, media: Media) -> u32 {
        let mut product = self.manifest.outcomes(media);
        for pair in &self.pairs {
            for name in [pair.values_name, pair.index_name] {
                product = product.saturating_mul(if name.is_pending() { 2 } else { 1 });
            }
            product = product.saturating_mul(pair.values.outcomes(media)).saturating_mul(pair.index.outcomes(media));
        }
        product
    }

    /// A power cut, ending in this way.
    pub(crate) fn power_cut(&mut self, mut outcome: u32, media: Media) {
        let mut draw = |radix: u32| {
            let digit = outcome % radix;
            outcome /= radix;
            digit
        };
        let own = draw(self.manifest.outcomes(media));
        self.manifest.power_cut(own, media);
        for pair in &mut self.pairs {
            for name in [&mut pair.values_name, &mut pair.index_name] {
                if name.is_pending() {
                    name.disk = draw(2) == 1;
                    name.cache = name.disk;
                }
            }
            let own = draw(pair.values.outcomes(media));
            pair.values.power_cut(own, media);
            let own = draw(pair.index.outcomes(media));
            pair.index.power_cut(own, media);
            pair.forget();
        }
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "       manifest {}", self.disk.manifest)?;
        for (number, pair) in self.disk.pairs.iter().enumerate() {
            for (what, name) in [("values", pair.values_name), ("index", pair.index_name)] {
                if name == Name::default() {
                    continue;
                }
                let state = match (name.cache, name.disk) {
                    (true, true) => "",
                    (true, false) => " (name not durable)",
                    (false, _) => " (removed, not durably)",
                };
                write!(f, "\n       {what} {number}{state} ")?;
                if what == "values" { write!(f, "{}", pair.values)? } else { write!(f, "{}", pair.index)? }
            }
        }
        Ok(())
    }
}
