//! From facts to a decision. Pure: no I/O, and a table of cases of which exactly one applies.

use std::ops::Range;

use super::facts::{Facts, Stop};
use crate::frame::FrameFault;
use crate::location::Cursor;

/// What the facts amount to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Case {
    /// A cut was decided, and what it keeps is whole: it is carried out again.
    Cut,
    /// Bytes that were durable are gone or wrong.
    Damaged,
    /// A seal is the last thing in the blob.
    Sealed,
    /// There is no frame at all, and nothing proves that there ever was one.
    Nothing,
    /// Whole frames, then the end or zeros written ahead.
    CleanEnd,
    /// Whole frames, then something that never became durable: a torn frame, or a batch that is not whole.
    TornTail,
}

/// What is wrong, and how that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// Where it begins, in bytes.
    pub offset: u64,
    /// The item whose frame should be there.
    pub position: u64,
    /// Up to here bytes were durable.
    pub proven: u64,
    /// What is there instead; `None` when the bytes end, or are zeros.
    pub fault: Option<FrameFault>,
}

/// What is to be done with a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What the facts amount to.
    pub case: Case,
    /// What is kept ends here.
    pub end: Cursor,
    /// So much of it is proven durable; the rest is to be written again before it counts.
    pub proven: u64,
    /// What goes: everything behind the end, zeros too. Empty when nothing is there.
    pub cut: Range<u64>,
    /// Whether what goes is kept elsewhere first.
    pub quarantine: bool,
    /// Whether the blob's header is to be written again.
    pub rewrite_header: bool,
    /// Whether a seal is to be written at the end.
    pub seal: bool,
    /// The blob goes altogether.
    pub remove: bool,
    /// What is damaged. Nothing may be changed then unless the user wants the valid prefix.
    pub damage: Option<Damage>,
}

/// What the cases look at.
struct View<'a> {
    facts: &'a Facts,
    /// Behind the last whole batch.
    keep: Cursor,
    /// Up to here bytes are proven durable.
    proven: u64,
}

impl View<'_> {
    fn cut_is_whole(&self) -> bool {
        self.facts.evidence.cut.is_some_and(|cut| cut == self.facts.end)
    }

    fn is_sealed(&self) -> bool {
        self.facts.sealed && self.facts.end.offset == self.facts.len
    }

    fn is_damaged(&self) -> bool {
        let evidence = self.facts.evidence;
        // A store that was closed in order ends with a seal. A decided cut keeps exactly what it says.
        let unlike_clean = evidence.clean && evidence.cut.is_none() && !self.is_sealed();
        let unlike_cut = evidence.cut.is_some() && !self.cut_is_whole();
        unlike_clean || unlike_cut || (!self.cut_is_whole() && self.proven > self.keep.offset)
    }

    fn is_empty(&self) -> bool {
        self.keep == Cursor::START && self.facts.from == Cursor::START
    }

    fn is_torn(&self) -> bool {
        matches!(self.facts.stop, Stop::Invalid(_)) || self.keep != self.facts.end
    }
}

type Condition = fn(&View<'_>) -> bool;

/// The cases, each with the condition for it. They exclude each other, and one always applies: a test goes through all
/// combinations.
const CASES: [(Case, Condition); 6] = [
    (Case::Cut, |view| view.cut_is_whole()),
    (Case::Damaged, |view| view.is_damaged()),
    (Case::Sealed, |view| !view.cut_is_whole() && !view.is_damaged() && view.is_sealed()),
    (Case::Nothing, |view| !view.cut_is_whole() && !view.is_damaged() && !view.is_sealed() && view.is_empty()),
    (Case::CleanEnd, |view| {
        !view.cut_is_whole() && !view.is_damaged() && !view.is_sealed() && !view.is_empty() && !view.is_torn()
    }),
    (Case::TornTail, |view| {
        !view.cut_is_whole() && !view.is_damaged() && !view.is_sealed() && !view.is_empty() && view.is_torn()
    }),
];

/// Every case that applies; the tests say that there is exactly one.
pub(super) fn cases(facts: &Facts) -> Vec<Case> {
    let view = view(facts);
    CASES.iter().filter(|(_, applies)| applies(&view)).map(|(case, _)| *case).collect()
}

fn view(facts: &Facts) -> View<'_> {
    let seen = facts.floor.max(facts.behind.floor).max(facts.evidence.floor);
    // A batch that has not ended is dropped whole, unless everything up to here is proven: a cut into a batch ends it
    // there (defects 43, 50).
    let keep = match facts.open_batch {
        Some(batch) if seen != facts.end.offset && facts.evidence.cut != Some(facts.end) => batch,
        _ => facts.end,
    };
    View { facts, keep, proven: seen }
}

/// Decides.
pub fn plan(facts: &Facts) -> Plan {
    let view = view(facts);
    // There is always one; were there none, nothing would be changed.
    let case = cases(facts).first().copied().unwrap_or(Case::Damaged);
    // Behind damage only whole batches are kept, whatever a floor says.
    let keep = if case == Case::Damaged { facts.open_batch.unwrap_or(facts.end) } else { view.keep };
    let proven = match case {
        Case::Cut => keep.offset,
        // Everything before a seal is; the seal itself may be only in the cache of the operating system.
        _ => view.proven.min(keep.offset),
    };
    let fault = match facts.stop {
        Stop::Invalid(fault) => Some(fault),
        Stop::End | Stop::Zeros => None,
    };
    let damage = (case == Case::Damaged).then(|| Damage {
        offset: facts.end.offset,
        position: facts.end.position,
        proven: if facts.evidence.clean { view.proven.max(facts.len) } else { view.proven },
        fault,
    });
    let cut = keep.offset.min(facts.len)..facts.len;
    let frames_go = facts.behind.whole.is_some() || keep != facts.end;
    let quarantine = !cut.is_empty()
        && match case {
            Case::Cut | Case::Sealed | Case::CleanEnd => false,
            Case::Damaged => true,
            Case::TornTail => frames_go,
            Case::Nothing => facts.stop != Stop::Zeros,
        };
    Plan {
        case,
        end: keep,
        proven,
        cut,
        quarantine,
        rewrite_header: !facts.header_sound || proven == 0,
        seal: !matches!(case, Case::Sealed | Case::Nothing),
        remove: case == Case::Nothing,
        damage,
    }
}

impl Damage {
    /// What should be there, and what is.
    pub fn describe(&self) -> (String, String) {
        let expected = format!("the frame of item {}, for bytes up to {} were durable", self.position, self.proven);
        let found = match self.fault {
            Some(fault) => fault.to_string(),
            None => "the end of the frames".into(),
        };
        (expected, found)
    }
}
