//! The manifest: two slots, each changed and synced before the other.

use super::cells::{Manifest, State};
use super::machine::{Machine, Stop};
use super::rules::Rule;

impl Machine<'_> {
    /// Changes what the manifest says; durable, in both slots, when it returns. A failure leaves it open which holds.
    pub(crate) fn update(&mut self, change: impl FnOnce(&mut State)) -> Result<(), Stop> {
        let writer = self.writer()?;
        let mut state = writer.state;
        change(&mut state);
        if state == writer.state {
            return Ok(());
        }
        writer.generation += 1;
        let generation = writer.generation;
        let result = self.write_slots(generation, state);
        let writer = self.writer()?;
        match result {
            Ok(()) => writer.state = state,
            Err(_) => writer.broken = true,
        }
        result
    }

    fn write_slots(&mut self, generation: u8, state: State) -> Result<(), Stop> {
        let first = generation % 2;
        let slot = Manifest::Slot { generation, state };
        self.write(|disk| &mut disk.manifest, first, &[slot])?;
        if self.keeps(Rule::SlotBySlot) {
            self.sync(|disk| &mut disk.manifest)?;
        }
        if self.keeps(Rule::BothSlots) {
            self.write(|disk| &mut disk.manifest, 1 - first, &[slot])?;
        }
        self.sync(|disk| &mut disk.manifest)
    }

    /// Step 0: reads both slots, and makes durable what they say before anyone believes it.
    pub(crate) fn settle(&mut self) -> Result<(u8, State), Stop> {
        let slots = (0..).zip(self.world.disk.manifest.cells()).filter_map(|(number, cell)| match cell {
            Manifest::Slot { generation, state } => Some((*generation, number, *state)),
            Manifest::Garbage => None,
        });
        let (generation, number, state) = slots.max_by_key(|(generation, ..)| *generation).ok_or(Stop::Damage)?;
        let clean = state.clean && state.intent.is_none();
        if clean && !self.keeps(Rule::SettleClean) {
            return Ok((generation, state));
        }
        let mut order = [number, 1 - number];
        if !self.keeps(Rule::SettleNewestFirst) {
            order.reverse();
        }
        for slot in order {
            let wanted = if slot == number { Rule::SettleNewest } else { Rule::SettleBoth };
            if self.keeps(wanted) {
                self.write(|disk| &mut disk.manifest, slot, &[Manifest::Slot { generation, state }])?;
                self.sync(|disk| &mut disk.manifest)?;
            }
        }
        Ok((generation, state))
    }

    /// Before the first change behind a clean open: the manifest says so.
    pub(crate) fn enter(&mut self, rule: Rule) -> Result<(), Stop> {
        if self.keeps(rule) { self.update(|state| state.clean = false) } else { Ok(()) }
    }
}
