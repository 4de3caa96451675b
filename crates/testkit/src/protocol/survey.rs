//! Steps 1 to 4 of an open: what a section's files show, and the plan that follows. Only reads.

use super::cells::{Entry, Index, PAGE_ITEMS, Page, Value};
use super::disk::small;
use super::rules::{Rule, Rules};
use super::store::{index_pages, page_cells};
use super::structure::has_more_pages;
use super::world::{Item, Pair};

/// What is known of a section from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// The store was closed in order.
    Clean,
    /// It was not.
    Unclean,
    /// A rewind of it to these items, whose frames end at this offset, was decided.
    Cut { items: u8, offset: u8 },
}

/// What is to be done with the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IndexPlan {
    /// There is none, or it is as it should be.
    Keep,
    /// What lies behind its entries goes.
    Cut,
    /// It goes, and is made anew; with `reported` for damage.
    Remove { reported: bool },
}

/// What is to be done with a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) items: Vec<Item>,
    /// Entries that the index holds.
    pub(crate) indexed: u8,
    /// Pages of it that a floor proves.
    pub(crate) index_floor: u8,
    pub(crate) index: IndexPlan,
    /// Where what is kept of the values ends.
    pub(crate) end: u8,
    /// So much of it is proven durable.
    pub(crate) proven: u8,
    /// A seal is last, with nothing behind.
    pub(crate) sealed: bool,
    /// There is nothing at all, and nothing proves that there ever was.
    pub(crate) nothing: bool,
    pub(crate) damage: bool,
}

/// The entries of an index that count.
struct Entries {
    entries: Vec<Entry>,
    floor: u8,
    damaged: bool,
}

/// Looks at a section; `None` when it has no files.
pub(crate) fn survey(pair: &Pair, rules: Rules, look: Look) -> Option<Plan> {
    if !pair.values_name.cache && !pair.index_name.cache {
        return None;
    }
    let values = if pair.values_name.cache { pair.values.cells() } else { &[] };
    let foreign = pair.index_name.cache && !pair.index_fits;
    let index = if pair.index_name.cache && pair.index_fits { pair.index.cells() } else { &[] };
    let mut found = read_index(index, values, rules, look);
    if let Look::Cut { items, .. } = look {
        found.entries.truncate(usize::from(items));
    }
    let more = has_more_pages(small(index.len()), small(found.entries.len()));
    let index_plan = match look {
        _ if found.damaged => IndexPlan::Remove { reported: true },
        _ if foreign => IndexPlan::Remove { reported: false },
        Look::Cut { .. } => IndexPlan::Cut,
        // A close leaves no page that does not count.
        Look::Clean if more => IndexPlan::Remove { reported: true },
        Look::Unclean if more => IndexPlan::Cut,
        _ => IndexPlan::Keep,
    };
    let mut plan = read_values(values, &found, rules, look);
    plan.index = index_plan;
    // Values that an index belongs to do not go before it.
    plan.damage |= pair.index_name.cache && !pair.values_name.cache;
    Some(plan)
}

/// Step 1: the pages that count.
fn read_index(cells: &[Index], values: &[Value], rules: Rules, look: Look) -> Entries {
    let mut pages = index_pages(cells);
    if let Look::Cut { items, .. } = look {
        // The doomed ones are not judged.
        pages = pages.min(items.div_ceil(PAGE_ITEMS));
    }
    let page = |number: u8| Page::read(page_cells(cells, number));
    let counts = |number: u8, page: &Page| {
        !rules.has(Rule::PagesMatchFrames)
            || (number * PAGE_ITEMS..)
                .zip(page.entries())
                .all(|(position, entry)| matches_frame(values, position, entry))
    };
    let last =
        (0..pages).rev().find_map(|number| page(number).filter(|page| counts(number, page)).map(|page| (number, page)));
    let Some((last, newest)) = last else { return Entries { entries: Vec::new(), floor: 0, damaged: false } };
    let floor = newest.slot.floor.min(last);
    let mut entries = Vec::new();
    for number in 0..floor {
        match page(number).filter(Page::is_full) {
            Some(page) => entries.extend(page.entries()),
            None => return Entries { entries: Vec::new(), floor: 0, damaged: true },
        }
    }
    for number in floor..=last {
        let Some(page) = page(number).filter(|page| counts(number, page)) else { break };
        entries.extend(page.entries());
        if !page.is_full() {
            break;
        }
    }
    Entries { entries, floor, damaged: false }
}

fn matches_frame(values: &[Value], position: u8, entry: Entry) -> bool {
    match values.get(usize::from(entry.at)) {
        Some(Value::Frame { position: found, id, .. }) => *found == position && *id == entry.id,
        _ => false,
    }
}

/// Steps 2 to 4: from the last entry's frame on.
fn read_values(values: &[Value], found: &Entries, rules: Rules, look: Look) -> Plan {
    let mut items: Vec<Item> =
        found.entries.iter().map(|entry| Item { id: entry.id, at: entry.at, more: false }).collect();
    let indexed = small(items.len());
    // Step 2: the last entry's end is where the unindexed values begin.
    let start = found.entries.last().map_or(0, |entry| entry.at + 1);
    let proven_items = found.floor * PAGE_ITEMS;
    let proven = (0..proven_items).zip(&found.entries).next_back();
    let entry_floor = proven.map_or(0, |(_, entry)| entry.at + 1);
    let matches = |(position, entry): (u8, &Entry)| matches_frame(values, position, *entry);
    let mut damage = rules.has(Rule::ProvenEntryMatches) && !proven.is_none_or(matches);
    // An entry behind the end of the values is no crash state (I3).
    damage |= start > small(values.len());
    // Step 3: frame by frame.
    let len = small(values.len());
    let limit = match look {
        _ if indexed > 0 && !rules.has(Rule::FramesTellAll) => start,
        Look::Cut { offset, .. } => offset.min(len),
        _ => len,
    };
    let (mut end, mut position, mut sealed, mut batch) = (start, indexed, false, None);
    // A page of the index may end inside a batch. All of it was durable before (I1).
    let last = start.checked_sub(1).and_then(|last| values.get(usize::from(last)));
    let mut inside = indexed > 0 && matches!(last, Some(Value::Frame { more: true, .. }));
    let mut any = !items.is_empty();
    let mut floor = entry_floor.max(floors(values, 0, start.min(len)));
    while end < limit {
        let cell = values[usize::from(end)];
        let expected = |found: u8| found == position || !rules.has(Rule::PositionExpected);
        match cell {
            Value::Frame { position: found, id, floor, more } if expected(found) && floor <= end => {
                items.push(Item { id, at: end, more });
                let first = (end, position);
                batch = if more { batch.or(Some(first)) } else { None };
                inside &= more;
                position += 1;
                sealed = false;
            }
            Value::Seal { position: found } if expected(found) => {
                (batch, inside) = (None, false);
                sealed = true;
            }
            _ => break,
        }
        any = true;
        floor = floor.max(cell.floor(end));
        end += 1;
    }
    // Step 4: what lies behind.
    if matches!(look, Look::Unclean | Look::Clean) {
        floor = floor.max(floors(values, end, len));
    }
    let cut_is_whole = matches!(look, Look::Cut { items, offset } if items == position && offset == end);
    let (mut keep, mut kept) = (end, position);
    if let Some((offset, number)) = batch
        && rules.has(Rule::BatchWhole)
        && floor != end
        && !cut_is_whole
    {
        (keep, kept) = (offset, number);
        sealed = false;
    }
    items.truncate(usize::from(kept));
    damage |= inside && rules.has(Rule::IndexedBatchEnds) && !cut_is_whole;
    damage |= match look {
        Look::Cut { .. } => !cut_is_whole,
        Look::Unclean => rules.has(Rule::LaterFloorTells) && floor > keep,
        Look::Clean => end != len || !(sealed || len == 0),
    };
    Plan {
        items,
        indexed: indexed.min(kept),
        index_floor: found.floor,
        index: IndexPlan::Keep,
        end: keep,
        proven: floor.min(keep),
        sealed: sealed && keep == len,
        nothing: !any && matches!(look, Look::Unclean),
        damage,
    }
}

/// The highest floor of any header from here to there.
fn floors(values: &[Value], from: u8, to: u8) -> u8 {
    let cells = (from..to).filter_map(|at| values.get(usize::from(at)).map(|cell| cell.floor(at)));
    cells.max().unwrap_or(0)
}
