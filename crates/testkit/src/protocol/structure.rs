//! Cutting off and removing: rewind, removal of a section, prune.

use super::cells::{Data, Index, Intent, PAGE_CELLS, PAGE_ITEMS, Page, Value};
use super::disk::small;
use super::machine::{Machine, Stop, pages};
use super::rules::Rule;
use super::store::{index_pages, page_cells, page_with};
use super::world::{Directory, SECTIONS};

/// Who cuts: the same steps, each with switches of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cutter {
    Rewind,
    Recovery,
}

/// The rules of a cut of the values, for whoever cuts.
struct CutRules {
    zeros: Rule,
    zeros_synced: Rule,
    cut_synced: Rule,
    seals: Rule,
    seal_synced: Rule,
}

impl Cutter {
    fn rules(self) -> CutRules {
        match self {
            Self::Rewind => CutRules {
                zeros: Rule::RewindZeros,
                zeros_synced: Rule::RewindZerosSynced,
                cut_synced: Rule::RewindCutSynced,
                seals: Rule::RewindSeals,
                seal_synced: Rule::RewindSealSynced,
            },
            Self::Recovery => CutRules {
                zeros: Rule::RecoveryZeros,
                zeros_synced: Rule::RecoveryZerosSynced,
                cut_synced: Rule::RecoveryCutSynced,
                seals: Rule::RecoverySeals,
                seal_synced: Rule::RecoverySealSynced,
            },
        }
    }
}

impl Machine<'_> {
    /// Cuts a section to its first items; with `later`, removes all later sections.
    pub(crate) fn rewind(&mut self, section: usize, items: u8, later: bool) -> Result<(), Stop> {
        let writer = self.writer()?;
        if writer.broken || usize::from(writer.state.pruned_to) > section {
            return Err(Stop::Refused);
        }
        let (len, offset) = match &writer.sections[section] {
            Some(open) if open.poisoned => return Err(Stop::Refused),
            Some(open) => (open.len(), open.offset_of(items)),
            None => (0, 0),
        };
        let above: Vec<usize> =
            (section + 1..SECTIONS).filter(|other| later && writer.sections[*other].is_some()).rev().collect();
        if items > len || items == len && above.is_empty() || offset >= self.room {
            return Err(Stop::Refused);
        }
        self.enter(Rule::DirtyFirst)?;
        self.hold(section, later);
        let result = self.rewind_held(section, items, offset, later, &above);
        self.let_go();
        result
    }

    fn rewind_held(&mut self, section: usize, items: u8, offset: u8, later: bool, above: &[usize]) -> Result<(), Stop> {
        if self.section(section).is_ok() && self.keeps(Rule::KeptSynced) {
            let ahead = offset.saturating_sub(self.section(section)?.written);
            self.flush(section, Some(ahead))?;
            self.sync_values(section)?;
        }
        self.world.history.begins(|after| {
            after.rewind(section, items);
            for other in above {
                after.rewind(*other, 0);
            }
        });
        let intent = Intent { section: small(section), items, offset, later };
        if self.keeps(Rule::IntentFirst) {
            self.update(|state| state.intent = Some(intent))?;
        }
        self.behind_intent(|machine| {
            for other in above {
                machine.remove(*other, true)?;
            }
            if machine.section(section).is_ok() {
                machine.cut(section, items, offset)?;
            }
            if machine.keeps(Rule::IntentCleared) {
                machine.update(|state| state.intent = None)?;
            } else {
                // It goes with the next change of the manifest.
                machine.writer()?.state.intent = None;
            }
            Ok(())
        })
    }

    /// What fails behind the point of no return lets nothing more be changed.
    fn behind_intent(&mut self, work: impl FnOnce(&mut Self) -> Result<(), Stop>) -> Result<(), Stop> {
        let result = work(self);
        if result.is_err()
            && let Ok(writer) = self.writer()
        {
            writer.broken = true;
        }
        result
    }

    /// Keeps appends out: of the section, and of those behind it when they go.
    fn hold(&mut self, section: usize, later: bool) {
        let (holds, holds_later) = (self.keeps(Rule::RewindHoldsEarly), self.keeps(Rule::RewindHoldsLater));
        let Ok(writer) = self.writer() else { return };
        for (number, open) in writer.sections.iter_mut().enumerate() {
            if let Some(open) = open {
                open.before_cut = open.durable;
                open.held = number == section && holds || number > section && later && holds_later;
            }
        }
        writer.held_from = (later && holds_later).then_some(small(section));
    }

    fn let_go(&mut self) {
        let Ok(writer) = self.writer() else { return };
        for open in writer.sections.iter_mut().flatten() {
            (open.held, open.cut, open.before_cut) = (false, false, 0);
        }
        writer.held_from = None;
    }

    /// The cut of a rewind: the index, then the values; each step durable before the next.
    fn cut(&mut self, section: usize, items: u8, offset: u8) -> Result<(), Stop> {
        if self.keeps(Rule::RewindIndexFirst) {
            self.cut_index(section, items)?;
        }
        self.section(section)?.cutting = true;
        self.cut_values(section, offset, items, Cutter::Rewind)?;
        if !self.keeps(Rule::RewindIndexFirst) {
            self.cut_index(section, items)?;
        }
        let lowers = self.keeps(Rule::RewindLowersFloor);
        let end = self.world.disk.pairs[section].values.len();
        let open = self.section(section)?;
        open.items.truncate(usize::from(items));
        if let Some(last) = open.items.last_mut() {
            last.more = false;
        }
        open.tail.clear();
        open.written = end;
        open.durable = if lowers { end } else { open.durable.max(end) };
        open.indexed = open.indexed.min(items);
        open.sealed = true;
        (open.cutting, open.cut, open.held) = (false, true, false);
        Ok(())
    }

    /// Cuts the values and seals them there.
    pub(crate) fn cut_values(&mut self, section: usize, offset: u8, position: u8, cutter: Cutter) -> Result<(), Stop> {
        let rules = cutter.rules();
        let len = self.world.disk.pairs[section].values.len();
        if len > offset {
            if self.keeps(rules.zeros) {
                let zeros = vec![Value::Zero; usize::from(len - offset)];
                self.write(|disk| &mut disk.pairs[section].values, offset, &zeros)?;
                if self.keeps(rules.zeros_synced) {
                    self.sync(|disk| &mut disk.pairs[section].values)?;
                }
            }
            self.set_len(|disk| &mut disk.pairs[section].values, offset)?;
        }
        if self.keeps(rules.cut_synced) {
            self.sync(|disk| &mut disk.pairs[section].values)?;
        }
        if self.keeps(rules.seals) {
            self.write(|disk| &mut disk.pairs[section].values, offset, &[Value::Seal { position }])?;
        }
        if self.keeps(rules.seal_synced) {
            self.sync(|disk| &mut disk.pairs[section].values)?;
        }
        Ok(())
    }

    /// Cuts the index to its first entries: the pages behind go, then the last one's slot is shortened.
    pub(crate) fn cut_index(&mut self, section: usize, items: u8) -> Result<(), Stop> {
        if !self.world.disk.pairs[section].index_name.cache {
            return Ok(());
        }
        let keep = items.div_ceil(PAGE_ITEMS) * PAGE_CELLS;
        let len = self.world.disk.pairs[section].index.len();
        if len > keep {
            if self.keeps(Rule::IndexZeros) {
                let zeros = vec![Index::Zero; usize::from(len - keep)];
                self.write(|disk| &mut disk.pairs[section].index, keep, &zeros)?;
                self.sync(|disk| &mut disk.pairs[section].index)?;
            }
            self.set_len(|disk| &mut disk.pairs[section].index, keep)?;
            if self.keeps(Rule::IndexCutSynced) {
                self.sync(|disk| &mut disk.pairs[section].index)?;
            }
        }
        let index = self.world.disk.pairs[section].index.cells();
        let (last, left) = (items / PAGE_ITEMS, items % PAGE_ITEMS);
        if left > 0 && last < index_pages(index) {
            let cells = page_cells(index, last);
            if let Some(page) = Page::read(cells).filter(|page| page.slot.len > left) {
                let mut data: Data = page.slot.over;
                for entry in data.iter_mut().skip(usize::from(left)) {
                    *entry = None;
                }
                let cells = page_with(cells, data, last, self.keeps(Rule::DurableSlotKept));
                self.write(|disk| &mut disk.pairs[section].index, last * PAGE_CELLS, &cells)?;
            }
        }
        self.sync(|disk| &mut disk.pairs[section].index)
    }

    /// Removes both files of a section: the index first, each durably when `durable`.
    pub(crate) fn remove(&mut self, section: usize, durable: bool) -> Result<(), Stop> {
        let mut order = [Directory::Index, Directory::Values];
        if !self.keeps(Rule::RemoveIndexFirst) {
            order.reverse();
        }
        for directory in order {
            self.unlink(section, directory)?;
            if durable {
                self.sync_names(directory)?;
            }
        }
        if let Ok(writer) = self.writer() {
            writer.sections[section] = None;
        }
        Ok(())
    }

    /// Removes one section.
    pub(crate) fn remove_section(&mut self, section: usize) -> Result<(), Stop> {
        self.structure(section)?;
        self.enter(Rule::DirtyFirst)?;
        self.world.history.begins(|after| after.rewind(section, 0));
        self.behind_intent(|machine| machine.remove(section, true))
    }

    fn structure(&mut self, section: usize) -> Result<(), Stop> {
        let writer = self.writer()?;
        if writer.broken || writer.sections[section].is_none() { Err(Stop::Refused) } else { Ok(()) }
    }

    /// Removes section 0, for good.
    pub(crate) fn prune(&mut self) -> Result<(), Stop> {
        let writer = self.writer()?;
        if writer.broken || writer.state.pruned_to > 0 {
            return Err(Stop::Refused);
        }
        self.enter(Rule::DirtyFirst)?;
        self.world.history.begins(|after| {
            after.rewind(0, 0);
            after.pruned_to = 1;
        });
        self.behind_intent(|machine| {
            let durable = machine.keeps(Rule::PruneSynced);
            if machine.keeps(Rule::PrunedFirst) {
                machine.update(|state| state.pruned_to = 1)?;
            }
            machine.remove(0, durable)?;
            machine.update(|state| state.pruned_to = 1)
        })
    }
}

/// Whether an index of so many cells has more pages than these entries need.
pub(crate) fn has_more_pages(cells: u8, items: u8) -> bool {
    pages(cells) > items.div_ceil(PAGE_ITEMS)
}
