//! Steps: whatever reaches the disk. Before each of them the process may be killed; a write or a sync may fail; somebody
//! else may get in between.

use super::cells::PAGE_CELLS;
use super::disk::{Content, File, Media};
use super::rules::{Rule, Rules};
use super::world::{Directory, Disk, Section, World, Writer};

/// What becomes of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Fate {
    /// What happens at one of its steps.
    pub event: Option<(u8, Event)>,
    /// The process is killed before this step.
    pub killed: Option<u8>,
}

/// What may happen at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// The sync fails; the cache calls clean what it should have written.
    SyncFails,
    /// The write fails behind so many cells.
    WriteFails(u8),
    /// Another task gets in before the step.
    Guest(Guest),
}

/// Another task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Guest {
    /// Appends to a section and syncs it.
    Append(u8),
    /// A sync of the section, which the disk has done before the operation began, returns.
    LateSync(u8),
    /// Zeros are written ahead of where the section ended when the sync began.
    ZerosAhead(u8),
}

/// What a step is, for whoever lists the fates of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Sync,
    Write(u8),
    Other,
}

/// Why an operation ends before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    Killed,
    SyncFailed,
    WriteFailed,
    /// An open finds damage.
    Damage,
    /// It is not possible now. Nothing has happened.
    Refused,
}

/// Somebody who changes the world, step by step.
#[derive(Debug)]
pub(crate) struct Machine<'a> {
    pub(crate) world: &'a mut World,
    pub(crate) rules: Rules,
    pub(crate) media: Media,
    /// Commits write zeros ahead.
    pub(crate) ahead: bool,
    /// Where the file ended for whoever wrote zeros ahead on his own.
    pub(crate) zeros_at: Option<u8>,
    /// Cells a file of values may have.
    pub(crate) room: u8,
    pub(crate) fate: Fate,
    /// The steps so far.
    pub(crate) steps: Vec<Step>,
    /// A guest is at work: it has a lucky day.
    pub(crate) guest_inside: bool,
    /// The log of the section writes or syncs; everybody else waits.
    pub(crate) log_is_busy: bool,
}

impl Machine<'_> {
    pub(crate) fn keeps(&self, rule: Rule) -> bool {
        self.rules.has(rule)
    }

    /// The open store.
    pub(crate) fn writer(&mut self) -> Result<&mut Writer, Stop> {
        self.world.writer.as_mut().ok_or(Stop::Refused)
    }

    /// A section that is open.
    pub(crate) fn section(&mut self, section: usize) -> Result<&mut Section, Stop> {
        self.writer()?.sections[section].as_mut().ok_or(Stop::Refused)
    }

    /// The next step: `None`, or how it fails.
    fn step(&mut self, step: Step) -> Result<Option<Event>, Stop> {
        if self.guest_inside {
            return Ok(None);
        }
        let number = super::disk::small(self.steps.len());
        self.steps.push(step);
        let event = self.fate.event.filter(|(at, _)| *at == number).map(|(_, event)| event);
        if let Some(Event::Guest(guest)) = event {
            self.guest_inside = true;
            self.guest(guest);
            self.guest_inside = false;
        }
        if self.fate.killed == Some(number) {
            return Err(Stop::Killed);
        }
        Ok(event)
    }

    /// Writes cells.
    pub(crate) fn write<C: Content>(
        &mut self,
        file: impl Fn(&mut Disk) -> &mut File<C>,
        at: u8,
        cells: &[C],
    ) -> Result<(), Stop> {
        let event = self.step(Step::Write(super::disk::small(cells.len())))?;
        let file = file(&mut self.world.disk);
        if let Some(Event::WriteFails(behind)) = event {
            file.write(at, cells.get(..usize::from(behind)).unwrap_or(cells));
            return Err(Stop::WriteFailed);
        }
        file.write(at, cells);
        Ok(())
    }

    /// Sets a file's length.
    pub(crate) fn set_len<C: Content>(
        &mut self,
        file: impl Fn(&mut Disk) -> &mut File<C>,
        len: u8,
    ) -> Result<(), Stop> {
        self.step(Step::Other)?;
        file(&mut self.world.disk).set_len(len);
        Ok(())
    }

    /// Syncs a file. With nothing to write it is no step.
    pub(crate) fn sync<C: Content>(&mut self, file: impl Fn(&mut Disk) -> &mut File<C>) -> Result<(), Stop> {
        if !file(&mut self.world.disk).is_dirty() {
            return Ok(());
        }
        let event = self.step(Step::Sync)?;
        let media = self.media;
        let file = file(&mut self.world.disk);
        if event == Some(Event::SyncFails) {
            file.sync_failed();
            return Err(Stop::SyncFailed);
        }
        file.sync(media);
        Ok(())
    }

    /// Syncs a directory. A failure leaves its names as they were.
    pub(crate) fn sync_names(&mut self, directory: Directory) -> Result<(), Stop> {
        if !self.world.disk.names_pending(directory) {
            return Ok(());
        }
        if self.step(Step::Sync)? == Some(Event::SyncFails) {
            return Err(Stop::SyncFailed);
        }
        self.world.disk.sync_names(directory);
        Ok(())
    }

    /// Makes a name. A removal of the same name is made durable first.
    pub(crate) fn create(&mut self, section: usize, directory: Directory) -> Result<(), Stop> {
        if self.world.disk.pairs[section].name(directory).disk {
            self.sync_names(directory)?;
        }
        self.step(Step::Other)?;
        let pair = &mut self.world.disk.pairs[section];
        pair.name(directory).cache = true;
        match directory {
            Directory::Values => {
                pair.values = File::EMPTY;
                pair.index_fits = false;
            }
            Directory::Index => {
                pair.index = File::EMPTY;
                pair.index_fits = true;
            }
        }
        Ok(())
    }

    /// Removes a name; not durable yet.
    pub(crate) fn unlink(&mut self, section: usize, directory: Directory) -> Result<(), Stop> {
        if self.world.disk.pairs[section].name(directory).cache {
            self.step(Step::Other)?;
            self.world.disk.pairs[section].name(directory).cache = false;
        }
        Ok(())
    }
}

/// Whole pages that so many cells are.
pub(crate) fn pages(cells: u8) -> u8 {
    cells / PAGE_CELLS
}
