use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::run;
use crate::process::Failure;

#[test]
fn each_is_run_once_and_no_more_at_a_time_than_allowed() {
    for (items, jobs) in [(0, 2), (1, 4), (20, 1), (20, 3)] {
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let items: Vec<usize> = (0..items).collect();
        let mut results = Vec::new();
        let each = |item: &usize| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::yield_now();
            now.fetch_sub(1, Ordering::SeqCst);
            item * 2
        };
        let done = |number, result| {
            results.push((number, result));
            Ok(())
        };
        run(&items, jobs, each, done).unwrap();
        results.sort_unstable();
        assert_eq!(results, items.iter().map(|item| (*item, item * 2)).collect::<Vec<_>>());
        assert!(most.into_inner() <= jobs);
    }
}

#[test]
fn nothing_more_is_begun_after_a_failure() {
    let begun = AtomicUsize::new(0);
    let items = vec![(); 10_000];
    let each = |_: &()| {
        begun.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(1));
    };
    let failed = run(&items, 2, each, |_, _| Err(Failure::new("enough".to_owned())));
    assert_eq!(failed.unwrap_err().to_string(), "enough");
    assert!(begun.into_inner() < items.len());
}
