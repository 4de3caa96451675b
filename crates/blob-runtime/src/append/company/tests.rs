use super::*;

/// How often a caller gives way before it leads, when nobody else comes.
fn alone(company: Company) -> u32 {
    (0..).find(|gave_way| !company.is_awaited(*gave_way)).unwrap()
}

/// One writer, sync after sync: it does not wait for others, and gives way once where a sync blocks the thread.
#[test]
fn a_writer_alone() {
    for blocks in [false, true] {
        let mut company = Company::default();
        company.note_blocks(blocks);
        for _ in 0..3 {
            company.arrive();
            assert_eq!(alone(company), u32::from(blocks));
            company.depart();
        }
    }
}

/// Where a sync blocks the thread, also the last to come gives way: he cannot know that he is.
#[test]
fn nobody_leads_at_once_where_a_sync_blocks() {
    let mut company = Company::default();
    company.note_blocks(true);
    (0..3).for_each(|_| company.arrive());
    assert_eq!(alone(company), 1);
}

/// As many as the last time: nobody waits once all are there.
#[test]
fn when_all_have_come_it_begins_at_once() {
    let mut company = Company::default();
    (0..16).for_each(|_| company.arrive());
    company.depart();
    for _ in 1..16 {
        company.arrive();
        assert!(company.is_awaited(0) && company.is_awaited(MOST - 1));
    }
    company.arrive();
    assert_eq!(alone(company), 0);
}

/// Who does not come back is waited for a bounded number of times, once.
#[test]
fn who_stays_away_is_not_waited_for_again() {
    let mut company = Company::default();
    (0..16).for_each(|_| company.arrive());
    company.depart();
    company.arrive();
    assert_eq!(alone(company), MOST);
    company.depart();
    company.arrive();
    assert_eq!(alone(company), 0);
}
