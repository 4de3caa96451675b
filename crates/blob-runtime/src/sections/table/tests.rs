use futures::executor::block_on;

use super::*;

/// Makes a section only when it is told that there is none; one that exists would be opened, and its file not be found.
async fn make(is_new: bool) -> Result<u32, &'static str> {
    if is_new { Ok(1) } else { Err("no file") }
}

/// Two writers ask for a section that does not exist. One has put it into the table, and is not in line yet, when the other
/// comes along, finds it there, and is the first in line. It was told that the section exists, and failed.
#[test]
fn the_first_in_line_makes_a_new_section_whoever_added_it() {
    let table = Table::<u32>::new();
    // The first writer, stopped right there.
    let (_, added) = table.add(7);
    assert!(added);
    let made = block_on(table.get_or_init(7, true, make));
    assert_eq!(made, Ok(Some(Arc::new(1))));
    // The first writer goes on.
    assert!(!table.add(7).1);
    assert_eq!(block_on(table.get_or_init(7, true, make)), Ok(Some(Arc::new(1))));
    assert_eq!(table.sections(), [7]);
}

/// The same, and the other one only reads: for it there is no such section, and it makes none.
#[test]
fn a_reader_does_not_find_what_is_not_made() {
    let table = Table::<u32>::new();
    table.add(7);
    assert_eq!(block_on(table.get_or_init(7, false, make)), Ok(None));
    assert_eq!(block_on(table.get_or_init(7, true, make)), Ok(Some(Arc::new(1))));
}

/// Whoever asks which sections there are is not told of one that is being made; of one that is open it is asked whether it
/// counts, of one that is not it cannot be.
#[test]
fn what_nobody_has_made_is_not_there() {
    let table = Table::<u32>::new();
    table.know(&[3, 5]);
    table.add(7);
    assert!(table.contains(7));
    assert!(!table.has(7, |_| true));
    assert_eq!(table.sections_with(|_| true), [3, 5]);
    assert_eq!(block_on(table.get_or_init(7, true, make)), Ok(Some(Arc::new(1))));
    assert!(table.has(7, |_| true) && !table.has(8, |_| true));
    assert_eq!(table.sections_with(|_| true), [3, 5, 7]);
    assert_eq!(table.sections_with(|open| open.is_none()), [3, 5]);
    assert_eq!(table.sections_with(|open| open == Some(&1)), [7]);
}

/// Making it fails for the one who is first: the section is not there then, and the next one adds it anew.
#[test]
fn a_section_that_could_not_be_made_is_not_there() {
    let table = Table::<u32>::new();
    table.add(7);
    let failed = block_on(table.get_or_init(7, true, |_| async { Err::<u32, _>("no space") }));
    assert_eq!(failed, Err("no space"));
    assert_eq!(table.sections(), [0_u64; 0]);
    assert_eq!(block_on(table.get_or_init(7, true, make)), Ok(Some(Arc::new(1))));
}

/// A section that is known to exist, and could not be opened, stays: it is told as one that exists each time.
#[test]
fn a_section_that_exists_is_never_new() {
    let table = Table::<u32>::new();
    table.know(&[7]);
    for _ in 0..2 {
        assert_eq!(block_on(table.get_or_init(7, true, make)), Err("no file"));
        assert_eq!(table.sections(), [7]);
    }
}

/// Followers ask for the next section: at the ends of chunks, in gaps, below the first, behind the last, in no table at all.
#[test]
fn the_next_section() {
    let table = Table::<u32>::new();
    assert_eq!(table.next_after(0), None);
    let sections: Vec<u64> = (1..=400).map(|n| n * 10).chain([u64::MAX]).collect();
    table.know(&sections);
    for section in [0, 9].into_iter().chain((1..=400).flat_map(|n| [n * 10 - 1, n * 10, n * 10 + 1])) {
        let next = sections.iter().copied().find(|other| *other > section);
        assert_eq!(table.next_after(section), next, "behind {section}");
    }
    assert_eq!(table.next_after(u64::MAX - 1), Some(u64::MAX));
    assert_eq!(table.next_after(u64::MAX), None);
}

/// A look is at what is open, wherever it is in the table, and counts nobody in.
#[test]
fn a_look_sees_what_is_open() {
    let table = Table::<u32>::new();
    for section in 0..300 {
        block_on(table.get_or_init(section, true, async |_| Ok::<_, ()>(u32::try_from(section).unwrap() + 1))).unwrap();
    }
    table.know(&[400]);
    for section in [0, 1, 127, 128, 255, 298, 299] {
        assert_eq!(table.look(section, |open| Some(*open)), Some(u32::try_from(section).unwrap() + 1));
        assert_eq!(table.look(section, |_| None::<()>), None);
        let kept = table.get(section).unwrap();
        let counts = table.look(section, |_| Some(Arc::strong_count(&kept)));
        assert_eq!(counts, Some(2), "the table, and the test");
    }
    assert_eq!(table.look(400, |open| Some(*open)), None, "it is not open");
    assert_eq!(table.look(401, |open| Some(*open)), None, "there is none");
    assert_eq!(Table::<u32>::new().look(0, |open| Some(*open)), None);
}

/// Whoever looks is not counted, and yet nobody closes the section under his eyes: what he appends there would be lost.
#[test]
fn what_is_looked_at_is_not_closed_as_idle() {
    let table = Table::<u32>::new();
    block_on(table.get_or_init(7, true, make)).unwrap();
    let seen = table.look(7, |open| {
        assert_eq!(table.close_unshared(7), None);
        Some(*open)
    });
    assert_eq!((seen, table.look(7, |open| Some(*open))), (Some(1), Some(1)), "it stays open");
    assert_eq!(table.close_unshared(7), Some(Arc::new(1)));
    assert_eq!(table.look(7, |open| Some(*open)), None);
}

/// The newest section is found without a search, through all that befalls it: what is found is what a search would find.
#[test]
fn the_newest_is_what_its_row_says() {
    let table = Table::<u32>::new();
    let seen = |section| {
        let looked = table.look(section, |open| Some(*open));
        assert_eq!(table.get(section).as_deref().copied(), looked, "section {section}");
        looked
    };
    let open = |section, value| {
        let made = block_on(table.get_or_init(section, true, async |_| Ok::<_, ()>(value)));
        assert_eq!(made, Ok(Some(Arc::new(value))));
    };
    open(5, 50);
    assert_eq!((table.newest(), seen(5)), (Some(5), Some(50)));
    // Another one above it, not open at first.
    table.know(&[9]);
    assert_eq!((table.newest(), seen(5), seen(9)), (Some(9), Some(50), None));
    open(9, 90);
    assert_eq!((seen(5), seen(9)), (Some(50), Some(90)));
    // It is replaced, closed, opened again, closed as idle.
    assert_eq!(table.replace(9, Arc::new(91)), Some(Arc::new(90)));
    assert_eq!(seen(9), Some(91));
    assert_eq!(table.close(9), Some(Arc::new(91)));
    assert_eq!((table.newest(), seen(9)), (Some(9), None));
    open(9, 92);
    let held = table.get(9);
    assert_eq!(table.close_unshared(9), None, "somebody holds it");
    assert_eq!(seen(9), Some(92));
    drop(held);
    assert_eq!(table.close_unshared(9), Some(Arc::new(92)), "the table itself holds it no more");
    assert_eq!(seen(9), None);
    // One below it changes nothing of it, and the other way round.
    open(9, 93);
    open(7, 70);
    assert_eq!(table.close(5), Some(Arc::new(50)));
    assert_eq!((seen(5), seen(7), seen(9)), (None, Some(70), Some(93)));
    // It goes, and the one below is the newest, and is open.
    assert_eq!(table.forget(9), Some(Arc::new(93)));
    assert_eq!((table.newest(), seen(7), seen(9)), (Some(7), Some(70), None));
    assert_eq!(table.close(7), Some(Arc::new(70)));
    assert_eq!(seen(7), None);
    table.forget(7);
    table.forget(5);
    assert_eq!((table.newest(), seen(5)), (None, None));
}
