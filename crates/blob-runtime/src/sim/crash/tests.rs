use super::*;

/// Numbers with gaps, and not in order: effects of several files come interleaved.
const NUMBERS: [u64; 5] = [9, 2, 30, 4, 7];

fn kept(cut: Cut) -> Vec<u64> {
    let (mut rng, mut ways) = (Rng::with_seed(1), Ways::default());
    let mut judge = Judge::new(cut, None, || NUMBERS.to_vec(), &mut rng, &mut ways);
    let mut kept: Vec<_> = NUMBERS.into_iter().filter(|number| judge.keeps(*number)).collect();
    kept.sort_unstable();
    kept
}

#[test]
fn a_cut_that_names_its_survivors_keeps_just_these() {
    assert_eq!(kept(Cut::LoseAll), []);
    assert_eq!(kept(Cut::KeepAll), [2, 4, 7, 9, 30]);
    assert_eq!(kept(Cut::Only(0)), [2]);
    assert_eq!(kept(Cut::Only(5)), []);
    assert_eq!(kept(Cut::AllBut(4)), [2, 4, 7, 9]);
    assert_eq!(kept(Cut::First(3)), [2, 4, 7]);
    assert_eq!(kept(Cut::Subset(0b10110)), [4, 7, 30]);
    assert_eq!(kept(Cut::Torn { effect: 1, bytes: 0 }), [2, 4]);
}

#[test]
fn a_subset_says_nothing_about_effects_from_64_on() {
    let (mut rng, mut ways) = (Rng::with_seed(1), Ways::default());
    let mut judge = Judge::new(Cut::Subset(u64::MAX), None, || (0..70).collect(), &mut rng, &mut ways);
    assert_eq!((0..70).filter(|number| judge.keeps(*number)).collect::<Vec<_>>(), (0..64).collect::<Vec<_>>());
}

#[test]
fn a_torn_write_keeps_its_first_bytes_and_what_came_before_it() {
    let fates = |bytes| {
        let (mut rng, mut ways) = (Rng::with_seed(1), Ways::default());
        let cut = Cut::Torn { effect: 1, bytes };
        let mut judge = Judge::new(cut, None, || NUMBERS.to_vec(), &mut rng, &mut ways);
        [2, 4, 7].map(|number| judge.fate(number, 100, 10))
    };
    assert_eq!(fates(3), [Fate::Kept, Fate::Prefix(3), Fate::Lost]);
    assert_eq!(fates(0), [Fate::Kept, Fate::Lost, Fate::Lost]);
    assert_eq!(fates(11), [Fate::Kept, Fate::Kept, Fate::Lost]);
}

/// A disk that writes whole sectors or blocks must not be shown tearing them; and a tear never leaves a gap in what is
/// accounted for.
#[test]
fn runs_cover_a_write_and_end_at_the_granularity() {
    let mut rng = Rng::with_seed(7);
    for granularity in [Granularity::Byte, Granularity::Sector, Granularity::Block] {
        let unit = granularity.bytes();
        let mut seen = [0; 3];
        for _ in 0..2000 {
            let (offset, len) = (rng.usize(..20_000), rng.usize(1..20_000));
            let mut ways = Ways::default();
            let mut draws = rng.fork();
            let mut judge = Judge::new(Cut::Random, Some(granularity), || vec![1], &mut draws, &mut ways);
            let fate = judge.fate(1, offset, len);
            let mut at = 0;
            judge.runs(fate, offset, len, |_, start, end, _| {
                assert_eq!(start, at);
                assert!(end == len || (offset + end) % unit == 0, "{fate:?} {offset} {len}: ends at {end}");
                at = end;
            });
            assert_eq!(at, len);
            seen[0] += ways.torn;
            seen[1] += ways.scattered_bytes + ways.scattered_sectors + ways.scattered_blocks;
            seen[2] += ways.lost + ways.kept + ways.only + ways.all_but;
            assert_eq!(ways.each().map(|(_, count)| count).sum::<u64>(), 1, "{ways:?}");
        }
        assert!(seen.iter().all(|count| *count > 0), "{granularity:?}: {seen:?}");
    }
}

/// Four large writes: each pattern of lost and kept ones comes up, also those that no single rule makes.
#[test]
fn a_random_cut_reaches_every_subset() {
    let mut rng = Rng::with_seed(3);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..4000 {
        let (mut draws, mut ways) = (rng.fork(), Ways::default());
        let mut judge = Judge::new(Cut::Random, None, || vec![1, 2, 3, 4], &mut draws, &mut ways);
        let fates = [1, 2, 3, 4].map(|number| judge.fate(number, 4096, 100_000));
        if fates.iter().all(|fate| matches!(fate, Fate::Kept | Fate::Lost)) {
            seen.insert(fates.map(|fate| fate == Fate::Kept));
        }
    }
    assert_eq!(seen.len(), 16, "{seen:?}");
}
