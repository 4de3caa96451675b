//! Opening a store: steps 0, 5 and 6. The order of all durable steps of a recovery.

use super::cells::{PAGE_CELLS, PAGE_ITEMS, State, Value};
use super::disk::small;
use super::history::{Sight, View};
use super::machine::{Machine, Stop};
use super::rules::Rule;
use super::structure::Cutter;
use super::survey::{IndexPlan, Look, Plan, survey};
use super::world::{Directory, SECTIONS, Section, Writer};

/// What an open has come to.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) view: View,
    /// Damage to an index was reported; its entries came back from the frames.
    pub(crate) reported: bool,
}

impl Machine<'_> {
    /// Opens the store.
    pub(crate) fn open(&mut self) -> Result<Opened, Stop> {
        let (generation, state) = self.settle()?;
        let clean = state.clean && state.intent.is_none();
        self.world.writer =
            Some(Writer { state, generation, broken: false, held_from: None, sections: [const { None }; SECTIONS] });
        if !clean {
            self.sync_found_names()?;
        }
        let gone: Vec<usize> = (0..SECTIONS).rev().filter(|section| is_gone(&state, *section)).collect();
        let stays: Vec<usize> = (0..SECTIONS).filter(|section| !gone.contains(section)).collect();
        let mut reported = false;
        if self.keeps(Rule::JudgedFirst) {
            let plans: Vec<_> = stays.iter().map(|section| (*section, self.plan(*section, &state, clean))).collect();
            // Step 5: nothing is changed before everything is judged.
            if plans.iter().any(|(_, plan)| plan.as_ref().is_some_and(|plan| plan.damage)) {
                return Err(Stop::Damage);
            }
            self.remove_gone(&gone)?;
            for (section, plan) in plans {
                reported |= self.settle_section(section, plan, clean)?;
            }
        } else {
            self.remove_gone(&gone)?;
            for section in stays {
                let plan = self.plan(section, &state, clean);
                if plan.as_ref().is_some_and(|plan| plan.damage) {
                    return Err(Stop::Damage);
                }
                reported |= self.settle_section(section, plan, clean)?;
            }
        }
        if self.keeps(Rule::IntentCleared) {
            self.update(|state| state.intent = None)?;
        } else {
            self.writer()?.state.intent = None;
        }
        Ok(Opened { view: self.view(&state), reported })
    }

    /// Step 0, after an unclean stop: what is missing is believed, so it is made durable. What is there is written again
    /// when it was looked at.
    fn sync_found_names(&mut self) -> Result<(), Stop> {
        if self.keeps(Rule::SyncFoundNames) {
            self.sync_names(Directory::Values)?;
            self.sync_names(Directory::Index)?;
        }
        Ok(())
    }

    fn plan(&self, section: usize, state: &State, clean: bool) -> Option<Plan> {
        let look = match state.intent {
            Some(intent) if usize::from(intent.section) == section && self.keeps(Rule::DoomedNotJudged) => {
                Look::Cut { items: intent.items, offset: intent.offset }
            }
            _ if clean => Look::Clean,
            _ => Look::Unclean,
        };
        survey(&self.world.disk.pairs[section], self.rules, look)
    }

    fn remove_gone(&mut self, gone: &[usize]) -> Result<(), Stop> {
        for section in gone {
            self.remove(*section, true)?;
        }
        Ok(())
    }

    /// Does what the plan says, and takes the section into use. Whether damage to its index was reported.
    fn settle_section(&mut self, section: usize, plan: Option<Plan>, clean: bool) -> Result<bool, Stop> {
        let Some(plan) = plan else { return Ok(false) };
        let reported = plan.index == IndexPlan::Remove { reported: true };
        // A clean section is used as it is, but for damage that can be healed.
        if clean && plan.index == IndexPlan::Keep {
            let (written, indexed) = (plan.end, plan.indexed);
            let items = plan.items;
            let open = Section { items, written, indexed, sealed: true, durable: written, ..Section::default() };
            self.writer()?.sections[section] = Some(Section { named: true, index_named: true, ..open });
            return Ok(reported);
        }
        self.enter(Rule::DirtyFirst)?;
        if plan.nothing {
            self.remove(section, true)?;
            return Ok(reported);
        }
        self.carry_out(section, &plan)?;
        let written = self.world.disk.pairs[section].values.len();
        let indexed = if matches!(plan.index, IndexPlan::Remove { .. }) { 0 } else { plan.indexed };
        let open =
            Section { items: plan.items, written, durable: written, indexed, sealed: true, ..Section::default() };
        self.writer()?.sections[section] = Some(Section { named: true, index_named: true, ..open });
        Ok(reported)
    }

    /// Step 6: each step durable before the next.
    fn carry_out(&mut self, section: usize, plan: &Plan) -> Result<(), Stop> {
        let whole = self.world.disk.pairs[section].values.len() == plan.end;
        self.rewrite_values(section, plan, whole)?;
        match plan.index {
            IndexPlan::Remove { .. } => {
                self.unlink(section, Directory::Index)?;
                self.sync_names(Directory::Index)?;
            }
            IndexPlan::Cut | IndexPlan::Keep => {
                self.rewrite_index(section, plan)?;
                if plan.index == IndexPlan::Cut {
                    self.cut_index(section, plan.indexed)?;
                }
            }
        }
        // A seal that is last already stays, and with it the length: nothing is behind it.
        if plan.sealed {
            return Ok(());
        }
        let position = small(plan.items.len());
        if whole {
            return self.seal_recovered(section, plan.end, position);
        }
        if self.keeps(Rule::ZerosCut) || self.has_more_than_zeros(section, plan.end) {
            return self.cut_values(section, plan.end, position, Cutter::Recovery);
        }
        // The seal goes over the zeros.
        self.seal_recovered(section, plan.end, position)
    }

    /// Writes what is shown again, and where nothing is seen behind it the length, with room for the seal that follows.
    fn rewrite_values(&mut self, section: usize, plan: &Plan, whole: bool) -> Result<(), Stop> {
        let (again, length) = (self.keeps(Rule::WrittenAgain), whole && self.keeps(Rule::LengthSetAgain));
        if again {
            let pair = &self.world.disk.pairs[section];
            let cells = pair.values.cells()[usize::from(plan.proven)..usize::from(plan.end)].to_vec();
            self.write(|disk| &mut disk.pairs[section].values, plan.proven, &cells)?;
        }
        if length {
            // Changed twice, for setting the length that shows may do nothing.
            let len = if plan.sealed { plan.end } else { plan.end + 1 };
            self.set_len(|disk| &mut disk.pairs[section].values, len + 1)?;
            self.set_len(|disk| &mut disk.pairs[section].values, len)?;
        }
        if again || length { self.sync(|disk| &mut disk.pairs[section].values) } else { Ok(()) }
    }

    fn seal_recovered(&mut self, section: usize, end: u8, position: u8) -> Result<(), Stop> {
        if self.keeps(Rule::RecoverySeals) {
            self.write(|disk| &mut disk.pairs[section].values, end, &[Value::Seal { position }])?;
        }
        if self.keeps(Rule::RecoverySealSynced) { self.sync(|disk| &mut disk.pairs[section].values) } else { Ok(()) }
    }

    fn rewrite_index(&mut self, section: usize, plan: &Plan) -> Result<(), Stop> {
        if !self.keeps(Rule::WrittenAgain) || !self.world.disk.pairs[section].index_name.cache {
            return Ok(());
        }
        let cells = self.world.disk.pairs[section].index.cells();
        let (from, to) = (plan.index_floor * PAGE_CELLS, plan.indexed.div_ceil(PAGE_ITEMS) * PAGE_CELLS);
        let to = to.min(small(cells.len()));
        if from < to {
            let again = cells[usize::from(from)..usize::from(to)].to_vec();
            self.write(|disk| &mut disk.pairs[section].index, from, &again)?;
        }
        let len = self.world.disk.pairs[section].index.len();
        if self.keeps(Rule::LengthSetAgain) {
            self.set_len(|disk| &mut disk.pairs[section].index, len + PAGE_CELLS)?;
            self.set_len(|disk| &mut disk.pairs[section].index, len)?;
        }
        self.sync(|disk| &mut disk.pairs[section].index)
    }

    fn has_more_than_zeros(&self, section: usize, end: u8) -> bool {
        let cells = self.world.disk.pairs[section].values.cells();
        cells.iter().skip(usize::from(end)).any(|cell| *cell != Value::Zero)
    }

    /// Opens one section anew after a failed sync; answers as [`open`](Self::open), for all sections.
    pub(crate) fn reopen(&mut self, section: usize) -> Result<Opened, Stop> {
        let state = self.writer()?.state;
        if self.writer()?.broken || !self.section(section)?.poisoned {
            return Err(Stop::Refused);
        }
        self.sync_found_names()?;
        let plan = self.plan(section, &state, false);
        if plan.as_ref().is_some_and(|plan| plan.damage) {
            return Err(Stop::Damage);
        }
        self.writer()?.sections[section] = None;
        let reported = self.settle_section(section, plan, false)?;
        Ok(Opened { view: self.view(&state), reported })
    }

    /// What a reader sees now.
    fn view(&self, state: &State) -> View {
        let mut view = View { sections: Default::default(), pruned_to: state.pruned_to, user: state.user };
        let Some(writer) = &self.world.writer else { return view };
        for ((sights, open), pair) in view.sections.iter_mut().zip(&writer.sections).zip(&self.world.disk.pairs) {
            let Some(open) = open else { continue };
            let frame = |at: u8| match at.checked_sub(open.written) {
                Some(place) => open.tail.get(usize::from(place)).copied(),
                None => pair.values.at(at),
            };
            let read = |at: u8| match frame(at) {
                Some(Value::Frame { id, .. }) => Some(id),
                _ => None,
            };
            sights.extend(open.items.iter().map(|item| Sight { id: item.id, value: read(item.at) }));
        }
        view
    }
}

/// Whether a section is to be removed: it was pruned, or a rewind has doomed it.
fn is_gone(state: &State, section: usize) -> bool {
    let doomed = state.intent.is_some_and(|intent| intent.later && section > usize::from(intent.section));
    section < usize::from(state.pruned_to) || doomed
}
