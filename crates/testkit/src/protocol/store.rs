//! Appending, writing, syncing, checkpoints, seals, close: the protocol's commit.

use super::cells::{Data, Entry, Index, PAGE_CELLS, PAGE_ITEMS, Page, PageSlot, Value};
use super::disk::small;
use super::machine::{Guest, Machine, Stop, pages};
use super::rules::Rule;
use super::world::{Directory, Item, SECTIONS, Section};

impl Machine<'_> {
    /// A section that takes changes.
    pub(crate) fn healthy(&mut self, section: usize) -> Result<&mut Section, Stop> {
        if self.writer()?.broken {
            return Err(Stop::Refused);
        }
        let section = self.section(section)?;
        if section.poisoned { Err(Stop::Refused) } else { Ok(section) }
    }

    /// Appends a batch of `count` items; nothing is written but, for a new section, its name.
    pub(crate) fn append(&mut self, section: usize, count: u8) -> Result<(), Stop> {
        let holds = self.keeps(Rule::RewindHolds);
        let writer = self.writer()?;
        let held = writer.held_from.is_some_and(|from| section > usize::from(from));
        if writer.broken || held || usize::from(writer.state.pruned_to) > section {
            return Err(Stop::Refused);
        }
        if let Some(open) = &writer.sections[section]
            && (open.poisoned || open.held || open.cutting || open.cut && holds)
        {
            return Err(Stop::Refused);
        }
        let end = writer.sections[section].as_ref().map_or(0, Section::end);
        // One cell is kept for a seal.
        if end + count + 1 > self.room {
            return Err(Stop::Refused);
        }
        self.enter(Rule::DirtyFirst)?;
        if self.writer()?.sections[section].is_none() {
            self.create(section, Directory::Values)?;
            self.writer()?.sections[section] = Some(Section::default());
        }
        let items = self.world.history.append(section, count);
        let floors = self.keeps(Rule::FloorSynced);
        let batches = self.keeps(Rule::FloorOutsideBatch);
        let open = self.section(section)?;
        let durable = if floors { open.durable } else { open.end() };
        let floor = if batches { open.outside_batch(durable) } else { durable };
        for (id, more) in items {
            let (at, position) = (open.end(), open.len());
            open.items.push(Item { id, at, more });
            open.tail.push(Value::Frame { position, id, floor: floor.min(at), more });
        }
        open.sealed = false;
        Ok(())
    }

    /// Writes frames of the tail; `cells` of them, or all.
    pub(crate) fn flush(&mut self, section: usize, most: Option<u8>) -> Result<(), Stop> {
        let open = self.healthy(section)?;
        let (at, all) = (open.written, open.tail.clone());
        let count = most.map_or(all.len(), usize::from).min(all.len());
        if count == 0 {
            return Ok(());
        }
        let mut cells = all[..count].to_vec();
        let len = self.world.disk.pairs[section].values.len();
        if self.ahead && most.is_none() && at + small(count) >= len {
            cells.extend([Value::Zero; 2]);
        }
        let outer = std::mem::replace(&mut self.log_is_busy, true);
        let result = self.write(|disk| &mut disk.pairs[section].values, at, &cells);
        self.log_is_busy = outer;
        let there = self.world.disk.pairs[section].values.cells().iter().skip(at.into());
        let there = small(there.zip(&all).take_while(|(there, wanted)| there == wanted).count());
        let retried = self.keeps(Rule::FailedWriteRetried);
        let Ok(open) = self.section(section) else { return result };
        match result {
            Ok(()) => {
                open.tail.drain(..count);
                open.written += small(count);
            }
            // The bytes stay in memory, and the next write begins with them.
            Err(Stop::WriteFailed) if retried => {}
            Err(Stop::WriteFailed) => {
                open.written += there;
                open.tail.clear();
                let end = open.written;
                open.items.retain(|item| item.at < end);
            }
            Err(_) => {}
        }
        result
    }

    /// Makes durable what is written. A failure poisons.
    pub(crate) fn sync_values(&mut self, section: usize) -> Result<(), Stop> {
        let outer = std::mem::replace(&mut self.log_is_busy, true);
        let mut result = self.sync(|disk| &mut disk.pairs[section].values);
        if result.is_ok() && !self.section(section)?.named {
            if self.keeps(Rule::FirstSyncNames) {
                result = self.sync_names(Directory::Values);
            }
            if result.is_ok() {
                self.section(section)?.named = true;
            }
        }
        self.log_is_busy = outer;
        self.poison(section, &result);
        result?;
        let open = self.section(section)?;
        open.durable = open.durable.max(open.written);
        Ok(())
    }

    fn poison(&mut self, section: usize, result: &Result<(), Stop>) {
        if *result == Err(Stop::SyncFailed)
            && self.keeps(Rule::FailedSyncPoisons)
            && let Ok(open) = self.section(section)
        {
            open.poisoned = true;
        }
    }

    /// Writes all of the tail and syncs it: what is appended is acknowledged.
    pub(crate) fn commit(&mut self, section: usize) -> Result<(), Stop> {
        self.zeros_at = Some(self.healthy(section)?.written);
        self.flush(section, None)?;
        self.sync_values(section)?;
        let items = self.section(section)?.len();
        self.world.history.synced(section, items);
        Ok(())
    }

    /// Brings the index up to what is appended: the values first.
    pub(crate) fn checkpoint(&mut self, section: usize) -> Result<(), Stop> {
        let open = self.healthy(section)?;
        if open.indexed >= open.len() {
            return Err(Stop::Refused);
        }
        self.enter(Rule::DirtyBeforeCheckpoint)?;
        if self.keeps(Rule::CheckpointOutsideBatch) {
            self.flush(section, None)?;
        }
        if self.keeps(Rule::IndexBehindValues) {
            self.sync_values(section)?;
        }
        let open = self.section(section)?;
        let written = open.written;
        let count = small(open.items.iter().filter(|item| item.at < written).count());
        if count <= open.indexed {
            return Err(Stop::Refused);
        }
        if !self.world.disk.pairs[section].index_name.cache {
            self.create(section, Directory::Index)?;
            self.section(section)?.index_named = false;
        }
        let (first, cells) = self.pages_to(section, count)?;
        if let Err(stop) = self.write(|disk| &mut disk.pairs[section].index, first * PAGE_CELLS, &cells) {
            if stop == Stop::WriteFailed && self.keeps(Rule::UnlinkBrokenIndex) {
                self.unlink(section, Directory::Index)?;
                let result = self.sync_names(Directory::Index);
                self.poison(section, &result);
                result?;
                self.section(section)?.indexed = 0;
            }
            return Err(stop);
        }
        let mut result = self.sync(|disk| &mut disk.pairs[section].index);
        if result.is_ok() && !self.section(section)?.index_named {
            result = self.sync_names(Directory::Index);
        }
        self.poison(section, &result);
        result?;
        let open = self.section(section)?;
        open.index_named = true;
        open.indexed = count;
        Ok(())
    }

    /// The pages to write so that the index holds the first `count` items, with the number of the first one. The page that
    /// is written again keeps its durable slot.
    fn pages_to(&mut self, section: usize, count: u8) -> Result<(u8, Vec<Index>), Stop> {
        let kept = self.keeps(Rule::DurableSlotKept);
        let open = self.section(section)?;
        let (items, first) = (open.items.clone(), open.indexed / PAGE_ITEMS);
        let index = &self.world.disk.pairs[section].index;
        let mut cells = Vec::new();
        for page in first..count.div_ceil(PAGE_ITEMS) {
            let from = usize::from(page * PAGE_ITEMS);
            let entries = items.iter().take(usize::from(count)).skip(from).take(usize::from(PAGE_ITEMS));
            let mut data: Data = [None; PAGE_ITEMS as usize];
            for (place, item) in data.iter_mut().zip(entries) {
                *place = Some(Entry { id: item.id, at: item.at });
            }
            cells.extend(page_with(page_cells(index.cells(), page), data, first, kept));
        }
        Ok((first, cells))
    }

    /// A seal behind everything that is appended: it proves all before it.
    pub(crate) fn seal(&mut self, section: usize) -> Result<(), Stop> {
        if self.healthy(section)?.sealed {
            return Ok(());
        }
        self.flush(section, None)?;
        if self.keeps(Rule::SealAfterSync) {
            self.sync_values(section)?;
        }
        let open = self.section(section)?;
        let (at, seal) = (open.written, Value::Seal { position: open.len() });
        self.write(|disk| &mut disk.pairs[section].values, at, &[seal])?;
        if self.keeps(Rule::SealCutsAhead) && self.world.disk.pairs[section].values.len() > at + 1 {
            self.set_len(|disk| &mut disk.pairs[section].values, at + 1)?;
        }
        let open = self.section(section)?;
        open.written += 1;
        open.sealed = true;
        if self.keeps(Rule::SealSynced) {
            self.sync_values(section)?;
        }
        Ok(())
    }

    /// Everything is made durable and sealed; then the manifest says clean, unless something failed.
    pub(crate) fn close(&mut self) -> Result<(), Stop> {
        if self.writer()?.broken {
            return Err(Stop::Refused);
        }
        for section in 0..SECTIONS {
            let Some(open) = &self.writer()?.sections[section] else { continue };
            if open.poisoned {
                if self.keeps(Rule::CleanWhenDurable) {
                    return Err(Stop::Refused);
                }
                continue;
            }
            if self.keeps(Rule::CloseSeals) {
                self.seal(section)?
            } else {
                self.commit(section)?
            }
            let items = self.section(section)?.len();
            self.world.history.synced(section, items);
        }
        self.update(|state| state.clean = true)?;
        self.world.writer = None;
        Ok(())
    }

    /// The user's own bytes; in a store that is clean it stays clean.
    pub(crate) fn set_user(&mut self) -> Result<(), Stop> {
        if self.writer()?.broken {
            return Err(Stop::Refused);
        }
        self.world.history.begins(|after| after.user += 1);
        self.update(|state| state.user += 1)
    }

    /// Another task gets in. It has no bad luck of its own.
    pub(crate) fn guest(&mut self, guest: Guest) {
        // It waits for the job of the log, and then comes at a later step; but not who writes on his own.
        if self.log_is_busy && !matches!(guest, Guest::ZerosAhead(_)) {
            return;
        }
        match guest {
            Guest::ZerosAhead(section) => {
                if let (Some(at), false) = (self.zeros_at, self.keeps(Rule::ZerosWithCommit)) {
                    self.world.disk.pairs[usize::from(section)].values.write(at, &[Value::Zero]);
                }
            }
            Guest::Append(section) => {
                let section = usize::from(section);
                let gone = self.writer().is_ok_and(|writer| writer.sections[section].is_none());
                let fresh = self.world.history.now.sections[section].items.is_empty();
                // A place behind the cut tells that the rewind has happened.
                let behind =
                    self.world.history.after.is_some() && (gone || self.section(section).is_ok_and(|open| open.cut));
                // A section that there never was is no concern of the rewind.
                if gone && fresh {
                    return;
                }
                if self.append(section, 1).is_ok() {
                    if behind {
                        let item = self.world.history.now.sections[section].items.pop();
                        self.world.history.happened();
                        self.world.history.now.sections[section].items.extend(item);
                    }
                    // It cannot fail.
                    let _ = self.commit(section);
                }
            }
            Guest::LateSync(section) => {
                let keeps = self.keeps(Rule::LateSyncKeepsFloor);
                if let Ok(open) = self.section(usize::from(section)) {
                    let late = open.before_cut;
                    open.durable = if open.cut && keeps { open.durable } else { open.durable.max(late) };
                }
            }
        }
    }
}

/// The cells of one page; fewer behind the end of the file.
pub(crate) fn page_cells(cells: &[Index], page: u8) -> &[Index] {
    let size = usize::from(PAGE_CELLS);
    let from = usize::from(page) * size;
    cells.get(from..from + size).unwrap_or_default()
}

/// A page with these entries: its cells as they are, with a new slot beside the one that counts.
pub(crate) fn page_with(old: &[Index], data: Data, floor: u8, kept: bool) -> [Index; PAGE_CELLS as usize] {
    let mut cells = [Index::Zero; PAGE_CELLS as usize];
    cells[..old.len()].copy_from_slice(old);
    let (number, generation) = match Page::read(old) {
        Some(page) if kept => (1 - page.number, page.slot.generation + 1),
        Some(page) => (page.number, page.slot.generation + 1),
        None => (0, 1),
    };
    for (cell, entry) in cells.iter_mut().zip(data) {
        if let Some(entry) = entry {
            *cell = Index::Entry(entry);
        }
    }
    let len = small(data.iter().flatten().count());
    cells[usize::from(PAGE_ITEMS + number)] = Index::Slot(PageSlot { len, generation, floor, over: data });
    cells
}

/// Whole pages of an index.
pub(crate) fn index_pages(cells: &[Index]) -> u8 {
    pages(small(cells.len()))
}
