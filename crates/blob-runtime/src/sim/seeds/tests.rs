use super::*;

fn with(set: &[(&'static str, &str)]) -> Result<Range<u64>, InvalidSeeds> {
    of(10, |variable| set.iter().find(|(name, _)| *name == variable).map(|(_, value)| (*value).to_owned()))
}

/// Somebody wants a longer run, another part of the seeds, or one failure again.
#[test]
fn one_many_or_from_here_on() {
    assert_eq!(with(&[]), Ok(0..10));
    assert_eq!(with(&[("SEEDS", "1000000")]), Ok(0..1_000_000));
    assert_eq!(with(&[("FIRST_SEED", "7")]), Ok(7..17));
    assert_eq!(with(&[("FIRST_SEED", "7"), ("SEEDS", "2")]), Ok(7..9));
    assert_eq!(with(&[("SEED", "5"), ("FIRST_SEED", "7"), ("SEEDS", "2")]), Ok(5..6));
    assert_eq!(with(&[("FIRST_SEED", "18446744073709551615")]), Ok(u64::MAX..u64::MAX));
}

/// A night's run was started with `SEEDS=1e6`: it must not end at once, and well.
#[test]
fn no_number_is_told() {
    let invalid = |variable, value: &str| Err(InvalidSeeds { variable, value: value.into() });
    assert_eq!(with(&[("SEEDS", "1e6")]), invalid("SEEDS", "1e6"));
    assert_eq!(with(&[("SEED", "")]), invalid("SEED", ""));
    assert_eq!(with(&[("SEED", "5"), ("FIRST_SEED", "-1")]), invalid("FIRST_SEED", "-1"));
}
