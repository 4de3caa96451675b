use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Wake};

use super::*;

/// Counts how often it is woken.
#[derive(Default)]
struct Calls(AtomicU32);

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

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

/// Giving way is one return to the executor, which is asked to come back.
#[test]
fn giving_way_is_one_poll() {
    let mut given = Box::pin(give_way());
    let calls = Arc::new(Calls::default());
    let waker = Arc::clone(&calls).into();
    let mut cx = Context::from_waker(&waker);
    assert!(given.as_mut().poll(&mut cx).is_pending());
    assert_eq!(calls.0.load(Ordering::Relaxed), 1);
    assert!(given.as_mut().poll(&mut cx).is_ready());
}
