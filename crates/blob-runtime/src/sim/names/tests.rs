use super::*;
use crate::sim::crash::Cut;
use crate::sim::trace::Ways;
use fastrand::Rng;

fn cut(names: &mut Names<&'static str>, cut: Cut) {
    let (mut rng, mut ways) = (Rng::with_seed(1), Ways::default());
    let numbers = names.pending().map(|(number, ..)| number).collect::<Vec<_>>();
    names.cut(&mut Judge::new(cut, None, || numbers, &mut rng, &mut ways));
}

fn durable(names: &Names<&'static str>) -> Vec<(&'static str, usize)> {
    names.durable.iter().map(|(name, target)| (*name, *target)).collect()
}

/// A directory with `a` on the disk; then `b` comes and `a` goes. Nobody syncs. Each entry survives by itself.
#[test]
fn every_subset_of_entries_can_survive() {
    let want: [&[(&str, usize)]; 4] = [&[("a", 0)], &[("a", 0), ("b", 1)], &[], &[("b", 1)]];
    for (bits, want) in (0_u64..).zip(want) {
        let mut names = Names::default();
        names.link(1, "a", 0);
        names.sync();
        names.link(2, "b", 1);
        assert_eq!(names.unlink(3, &"a"), Some(0));
        assert_eq!(names.visible.keys().copied().collect::<Vec<_>>(), ["b"]);
        assert_eq!(durable(&names), [("a", 0)], "nothing is durable before a sync");
        cut(&mut names, Cut::Subset(bits));
        assert_eq!(durable(&names), want, "{bits:b}");
        assert_eq!(names.visible, names.durable);
        assert_eq!(names.pending_count(), 0);
    }
}

#[test]
fn a_name_that_is_not_there_leaves_nothing_pending() {
    let mut names = Names::<&str>::default();
    assert_eq!(names.unlink(1, &"a"), None);
    assert_eq!(names.pending_count(), 0);
}

/// A directory's sync fails when only some entries are in the journal. The rest is still dirty: the next sync that
/// succeeds writes it.
#[test]
fn what_a_failed_sync_left_out_stays_pending() {
    let mut names = Names::default();
    names.link(1, "a", 0);
    names.link(2, "b", 1);
    let (mut rng, mut ways) = (Rng::with_seed(1), Ways::default());
    names.fail_sync(&mut Judge::new(Cut::Only(1), None, || vec![1, 2], &mut rng, &mut ways));
    assert_eq!(durable(&names), [("b", 1)]);
    assert_eq!(names.pending().collect::<Vec<_>>(), [(1, &"a", true)]);
    names.sync();
    assert_eq!(durable(&names), [("a", 0), ("b", 1)]);
}

/// A name goes and comes again. If the journal had the second entry and not the first, a later commit of the first
/// would remove the new file.
#[test]
fn a_failed_sync_keeps_the_order_of_one_name() {
    let mut names = Names::default();
    names.link(1, "a", 0);
    names.sync();
    names.unlink(2, &"a");
    names.link(3, "a", 1);
    let (mut rng, mut ways) = (Rng::with_seed(1), Ways::default());
    names.fail_sync(&mut Judge::new(Cut::Only(1), None, || vec![2, 3], &mut rng, &mut ways));
    assert_eq!(durable(&names), [("a", 0)]);
    names.sync();
    assert_eq!(durable(&names), [("a", 1)]);
}
