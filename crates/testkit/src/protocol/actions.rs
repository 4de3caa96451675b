//! What may happen next: operations with their fates, opens, kills, power cuts, rot.

use super::bounds::Bounds;
use super::cells::{Index, Manifest, PAGE_ITEMS, Page, Value};
use super::disk::small;
use super::history::{Breach, Promise, Rot};
use super::machine::{Event, Fate, Guest, Machine, Step, Stop};
use super::rules::Rules;
use super::store::{index_pages, page_cells};
use super::world::{SECTIONS, World};

/// An operation of the store. Sections are 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// Appends one item.
    Append(u8),
    /// Appends two items as one batch.
    Batch(u8),
    /// Writes one frame of what waits.
    Flush(u8),
    /// Writes one frame of what waits, and syncs: what a long run without syncs does.
    FlushSync(u8),
    /// Writes and syncs all: acknowledged.
    Sync(u8),
    /// Brings the index up to the values.
    Checkpoint(u8),
    /// Seals.
    Seal(u8),
    /// Cuts one section to its first items.
    RewindSection(u8, u8),
    /// The same, and removes all later sections.
    Rewind(u8, u8),
    /// Removes one section.
    RemoveSection(u8),
    /// Removes section 0 for good.
    Prune,
    /// Replaces the user's own bytes.
    SetUser,
    /// Opens a poisoned section anew.
    ReopenSection(u8),
    /// Closes the store.
    Close,
}

impl Op {
    /// Every operation.
    pub fn all() -> Vec<Self> {
        let mut all = vec![Self::Prune, Self::SetUser, Self::Close];
        for section in 0..small(SECTIONS) {
            all.extend([Self::Append, Self::Batch, Self::Flush, Self::FlushSync, Self::Sync].map(|op| op(section)));
            all.extend([Self::Checkpoint, Self::Seal, Self::RemoveSection, Self::ReopenSection].map(|op| op(section)));
            all.extend((0..4).flat_map(|items| [Self::RewindSection(section, items), Self::Rewind(section, items)]));
        }
        all
    }

    /// The section whose rewind it is, and whether later ones go.
    fn rewinds(self) -> Option<(u8, bool)> {
        match self {
            Self::RewindSection(section, _) => Some((section, false)),
            Self::Rewind(section, _) => Some((section, true)),
            _ => None,
        }
    }
}

/// Where rot may strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// A slot of the manifest.
    Manifest(u8),
    /// A cell of a section's values.
    Values(u8, u8),
    /// A cell of a section's index.
    Index(u8, u8),
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// An operation, and what becomes of it.
    Do(Op, Fate),
    /// An open, and what becomes of it.
    Open(Fate),
    /// The process is killed between two operations.
    Kill,
    /// What the cache had and the disk had not is lost, in this one of the ways that may end. With the kill before it that
    /// is a crash of the machine.
    PowerCut(u32),
    /// Media rot.
    Rot(Place),
}

/// What is carried out: an operation or an open.
#[derive(Debug, Clone, Copy)]
enum Call {
    Op(Op),
    Open,
}

impl Call {
    fn with(self, fate: Fate) -> Action {
        match self {
            Self::Op(op) => Action::Do(op, fate),
            Self::Open => Action::Open(fate),
        }
    }
}

/// Everything that may happen in this world.
///
/// Answers whether that is all: of a power cut that may end in too many ways, a spread of them is taken.
pub(crate) fn enabled(world: &World, bounds: &Bounds, rules: Rules, actions: &mut Vec<Action>) -> bool {
    if world.breach.is_some() || world.refused {
        return true;
    }
    if world.writer.is_some() {
        for op in bounds.ops(world.left.ops) {
            fates(world, bounds, rules, Call::Op(op), actions);
        }
        if world.left.crashes > 0 {
            actions.push(Action::Kill);
        }
        return true;
    }
    fates(world, bounds, rules, Call::Open, actions);
    if world.disk.is_pending() {
        let outcomes = world.disk.outcomes(bounds.media);
        // With none and all.
        let most = outcomes.min(bounds.max_outcomes);
        let spread = |number: u32| {
            u32::try_from(u64::from(number) * u64::from(outcomes - 1) / u64::from(most - 1).max(1)).unwrap_or(0)
        };
        actions.extend((0..most).map(|number| Action::PowerCut(spread(number))));
        return most == outcomes;
    }
    if world.left.rots > 0 {
        rots(world, actions);
    }
    true
}

/// The fates of a call: it ends well; it is killed before any step but the first, which is a kill between two calls; one
/// of its steps fails, and then it ends or is killed; somebody gets in, and the same.
fn fates(world: &World, bounds: &Bounds, rules: Rules, call: Call, actions: &mut Vec<Action>) {
    let Some((_, steps)) = carry_out(world, bounds, rules, call, Fate::default()) else {
        // Not possible: a script goes on all the same.
        if let (Call::Op(_), true) = (call, bounds.is_script()) {
            actions.push(call.with(Fate::default()));
        }
        return;
    };
    actions.push(call.with(Fate::default()));
    let kills = |event: Option<(u8, Event)>, from: u8, steps: usize, actions: &mut Vec<Action>| {
        if world.left.crashes > 0 {
            actions.extend((from..small(steps)).map(|step| call.with(Fate { event, killed: Some(step) })));
        }
    };
    kills(None, 1, steps.len(), actions);
    let mut events = Vec::new();
    for (number, step) in (0..).zip(&steps) {
        if world.left.faults > 0 {
            match step {
                Step::Sync if bounds.failing_syncs => events.push((number, Event::SyncFails)),
                Step::Write(cells) if bounds.failing_writes => {
                    events.extend((0..*cells).map(|behind| (number, Event::WriteFails(behind))));
                }
                _ => {}
            }
        }
        let Call::Op(op) = call else { continue };
        if world.left.guests == 0 {
            continue;
        }
        if let (Op::Sync(section), true) = (op, bounds.ahead) {
            events.push((number, Event::Guest(Guest::ZerosAhead(section))));
        }
        if let Some((section, later)) = op.rewinds() {
            events.push((number, Event::Guest(Guest::Append(section))));
            events.push((number, Event::Guest(Guest::LateSync(section))));
            if later {
                events.extend((section + 1..small(SECTIONS)).map(|other| (number, Event::Guest(Guest::Append(other)))));
            }
        }
    }
    for event in events {
        let fate = Fate { event: Some(event), killed: None };
        let Some((_, steps)) = carry_out(world, bounds, rules, call, fate) else { continue };
        actions.push(call.with(fate));
        kills(Some(event), event.0 + 1, steps.len(), actions);
    }
}

fn rots(world: &World, actions: &mut Vec<Action>) {
    // When a crash has torn one slot, rot of the other leaves none: that is told, and not survived.
    if world.disk.manifest.cells().iter().all(|slot| *slot != Manifest::Garbage) {
        actions.extend((0..2).map(|slot| Action::Rot(Place::Manifest(slot))));
    }
    // What a change under way has made of its files is not judged.
    if world.history.after.is_some() {
        return;
    }
    for (section, pair) in (0..).zip(&world.disk.pairs) {
        let values =
            (0..pair.values.len()).filter(|at| pair.values.at(*at).is_some_and(|cell| cell.position().is_some()));
        actions.extend(values.map(|at| Action::Rot(Place::Values(section, at))));
        let index = (0..pair.index.len()).filter(|at| pair.index.at(*at).is_some_and(|cell| cell != Index::Zero));
        actions.extend(index.map(|at| Action::Rot(Place::Index(section, at))));
    }
}

/// What a world becomes.
pub(crate) fn next(world: &World, bounds: &Bounds, rules: Rules, action: Action) -> Option<World> {
    match action {
        Action::Do(op, fate) => {
            let mut next = match carry_out(world, bounds, rules, Call::Op(op), fate) {
                Some((next, _)) => next,
                None if bounds.is_script() => world.clone(),
                None => return None,
            };
            next.left.ops = next.left.ops.saturating_sub(1);
            Some(next)
        }
        Action::Open(fate) => carry_out(world, bounds, rules, Call::Open, fate).map(|(next, _)| next),
        Action::Kill => {
            let mut next = world.clone();
            next.writer = None;
            next.left.crashes -= 1;
            Some(next)
        }
        Action::PowerCut(outcome) => {
            let mut next = world.clone();
            next.disk.power_cut(outcome, bounds.media);
            Some(next)
        }
        Action::Rot(place) => {
            let mut next = world.clone();
            next.left.rots -= 1;
            next.history.rot = Some(rot(&mut next, place));
            Some(next)
        }
    }
}

/// Carries out a call. `None` when it is not possible. Answers its steps as well.
fn carry_out(world: &World, bounds: &Bounds, rules: Rules, call: Call, fate: Fate) -> Option<(World, Vec<Step>)> {
    let mut next = world.clone();
    let mut machine = Machine {
        world: &mut next,
        rules,
        media: bounds.media,
        ahead: bounds.ahead,
        zeros_at: None,
        room: bounds.room,
        fate,
        steps: Vec::new(),
        guest_inside: false,
        log_is_busy: false,
    };
    let stop = match call {
        Call::Op(op) => run(&mut machine, op, bounds),
        Call::Open => open(&mut machine),
    };
    let steps = std::mem::take(&mut machine.steps);
    match fate.event {
        Some((_, Event::Guest(_))) => next.left.guests -= 1,
        Some(_) => next.left.faults -= 1,
        None => {}
    }
    match stop {
        Ok(()) if next.breach.is_none() => next.history.happened(),
        Ok(()) => {}
        Err(Stop::Refused) if steps.is_empty() => return None,
        Err(Stop::Killed) => {
            next.left.crashes -= 1;
            next.writer = None;
            next.history.recovery_cut |= matches!(call, Call::Open);
        }
        Err(Stop::Damage) => {
            next.writer = None;
            next.refused = true;
            next.breach = refused(world, &next);
        }
        Err(Stop::SyncFailed | Stop::WriteFailed | Stop::Refused) => {
            let broken = next.writer.as_ref().is_none_or(|writer| writer.broken);
            if broken || matches!(call, Call::Open) {
                // Nothing more can be done with it.
                next.writer = None;
            } else {
                next.history.not_begun();
            }
        }
    }
    Some((next, steps))
}

fn run(machine: &mut Machine<'_>, op: Op, bounds: &Bounds) -> Result<(), Stop> {
    let room = |machine: &Machine<'_>, count| machine.world.history.next_id + count <= bounds.items;
    match op {
        Op::Append(section) if room(machine, 1) => machine.append(section.into(), 1),
        Op::Batch(section) if room(machine, 2) => machine.append(section.into(), 2),
        Op::Append(_) | Op::Batch(_) => Err(Stop::Refused),
        Op::Flush(section) => {
            has_tail(machine, section.into())?;
            machine.flush(section.into(), Some(1))
        }
        Op::FlushSync(section) => {
            has_tail(machine, section.into())?;
            machine.flush(section.into(), Some(1))?;
            machine.sync_values(section.into())
        }
        Op::Sync(section) => machine.commit(section.into()),
        Op::Checkpoint(section) => machine.checkpoint(section.into()),
        Op::Seal(section) => machine.seal(section.into()),
        Op::RewindSection(section, items) => machine.rewind(section.into(), items, false),
        Op::Rewind(section, items) => machine.rewind(section.into(), items, true),
        Op::RemoveSection(section) => machine.remove_section(section.into()),
        Op::Prune => machine.prune(),
        Op::SetUser => machine.set_user(),
        Op::Close => machine.close(),
        Op::ReopenSection(section) => {
            let opened = machine.reopen(section.into())?;
            let result = machine.world.history.reopened(section.into(), &opened.view);
            note(machine.world, result, opened.reported);
            Ok(())
        }
    }
}

fn has_tail(machine: &mut Machine<'_>, section: usize) -> Result<(), Stop> {
    if machine.healthy(section)?.tail.is_empty() { Err(Stop::Refused) } else { Ok(()) }
}

fn open(machine: &mut Machine<'_>) -> Result<(), Stop> {
    let opened = machine.open()?;
    let result = machine.world.history.opened(&opened.view);
    note(machine.world, result, opened.reported);
    Ok(())
}

/// Notes what an open has shown.
fn note(world: &mut World, result: Result<(), Promise>, reported: bool) {
    let recovery_cut = world.history.recovery_cut;
    let result = if reported && world.history.rot.is_none() { Err(Promise::NoFalseAlarm) } else { result };
    world.breach = result.err().map(|promise| Breach { promise, recovery_cut });
}

/// An open that was refused: rightly, and with nothing changed?
fn refused(before: &World, after: &World) -> Option<Breach> {
    let recovery_cut = before.history.recovery_cut;
    // Rot anywhere but in values is healed.
    let promise = match before.history.rot {
        Some(Rot { values: Some(_), .. }) => {
            let cells = |world: &World| {
                world.disk.pairs.clone().map(|pair| {
                    let names = (pair.values_name.cache, pair.index_name.cache);
                    (pair.values.cells().to_vec(), pair.index.cells().to_vec(), names)
                })
            };
            (cells(before) != cells(after)).then_some(Promise::Told)
        }
        _ => Some(Promise::NoFalseAlarm),
    };
    promise.map(|promise| Breach { promise, recovery_cut })
}

/// Rots a cell. What it excuses, and what proves that it was durable, is read from the disk before.
fn rot(world: &mut World, place: Place) -> Rot {
    match place {
        Place::Manifest(slot) => {
            world.disk.manifest.rot(slot, Manifest::Garbage);
            Rot { values: None, proven: false }
        }
        Place::Index(section, at) => {
            world.disk.pairs[usize::from(section)].index.rot(at, Index::Garbage);
            Rot { values: None, proven: false }
        }
        Place::Values(section, at) => {
            let excused = excused(world, section, at);
            let proven = is_proven(world, section, at);
            world.disk.pairs[usize::from(section)].values.rot(at, Value::Torn { floor: 0 });
            Rot { values: Some((section, excused)), proven }
        }
    }
}

/// Items before the rotten cell, without those whose batch only ends in it or behind it. A seal may be all that ends the
/// batch that a rewind has cut.
fn excused(world: &World, section: u8, at: u8) -> u8 {
    let values = &world.disk.pairs[usize::from(section)].values;
    let mut items = values.at(at).and_then(Value::position).unwrap_or(0);
    for before in (0..at).rev() {
        match values.at(before) {
            Some(Value::Frame { position, more: true, .. }) => items = position,
            _ => break,
        }
    }
    items
}

/// Whether something that is left proves that the cell was durable: a floor behind it, an entry that its own floor
/// proves, a clean close.
fn is_proven(world: &World, section: u8, at: u8) -> bool {
    let pair = &world.disk.pairs[usize::from(section)];
    let behind =
        (at + 1..pair.values.len()).any(|other| pair.values.at(other).is_some_and(|cell| cell.floor(other) > at));
    let cells = pair.index.cells();
    let pages = |from: u8, to: u8| (from..to).filter_map(|number| Page::read(page_cells(cells, number)));
    let floor = pages(0, index_pages(cells)).map(|page| page.slot.floor).max().unwrap_or(0);
    let entry = pair.index_fits
        && pages(0, floor)
            .flat_map(|page| page.entries().collect::<Vec<_>>())
            .take(usize::from(floor * PAGE_ITEMS))
            .any(|entry| entry.at >= at);
    let clean =
        (0..2).all(|slot| matches!(world.disk.manifest.at(slot), Some(Manifest::Slot { state, .. }) if state.clean));
    behind || entry || clean
}
