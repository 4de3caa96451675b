use std::collections::BTreeSet;

use super::*;

/// An engine that was measured on other bytes than its neighbour was not measured on the same: the values are fixed by
/// their numbers alone. Some bytes stand here, computed by another program, so that a change does not pass unnoticed.
#[test]
fn a_value_is_the_same_every_time() {
    let (a, b) = (Values::new(16), Values::new(16));
    assert_eq!(a.of(7), b.of(7));
    assert_eq!(a.of(0)[..8], [135, 201, 162, 159, 164, 128, 65, 31]);
}

#[test]
fn every_value_has_its_size() {
    for size in [0, 1, 256, 65_536, 3_000_000] {
        let values = Values::new(size);
        assert!((0..1_000).all(|id| values.of(id).len() as u64 == size), "{size}");
    }
}

/// Values that repeat, or that a compressor could shorten, would flatter the engines that look for that.
#[test]
fn values_do_not_repeat_and_do_not_compress() {
    let values = Values::new(64);
    let different: BTreeSet<_> = (0..1_000).map(|id| values.of(id)).collect();
    assert_eq!(different.len(), 1_000);
    let large = Values::new(65_536);
    let mut counts = [0_u32; 256];
    large.of(1).iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    assert!(counts.iter().all(|count| (150..=370).contains(count)), "each byte value about 256 times: {counts:?}");
}

fn ids(run: Run) -> Vec<(u64, u64, u64)> {
    run.map(|item| (item.section, item.position, item.id)).collect()
}

#[test]
fn a_run_goes_through_the_sections_in_order() {
    let values = Values::new(1);
    let all = [(0, 0, 0), (0, 1, 1), (1, 0, 2), (1, 1, 3), (2, 0, 4), (2, 1, 5)];
    assert_eq!(ids(Run::new(values, 2, 0..3, 0..2)), all);
    assert_eq!(ids(Run::new(values, 2, 1..2, 1..2)), [(1, 1, 3)]);
}

#[test]
fn an_empty_run_has_no_items() {
    let values = Values::new(1);
    assert_eq!(ids(Run::new(values, 2, 0..0, 0..2)), []);
    assert_eq!(ids(Run::new(values, 2, 0..3, 2..2)), []);
}
