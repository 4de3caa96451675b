use super::*;

fn close(found: Option<f64>, wanted: f64) -> bool {
    found.is_some_and(|found| (found - wanted).abs() < 1e-9)
}

/// One run in five that hit a busy disk must not move the figure: that is why it is a median.
#[test]
fn the_median_does_not_heed_an_outlier() {
    let summary = Summary::of(&[5.0, 3.0, 900.0, 4.0, 1.0]);
    assert_eq!(summary, Some(Summary { median: 4.0, min: 1.0, max: 900.0 }));
}

#[test]
fn the_median_of_an_even_number_lies_between_the_middle_ones() {
    assert_eq!(Summary::of(&[4.0, 1.0, 3.0, 10.0]), Some(Summary { median: 3.5, min: 1.0, max: 10.0 }));
    assert_eq!(Summary::of(&[7.0]), Some(Summary { median: 7.0, min: 7.0, max: 7.0 }));
    assert_eq!(Summary::of(&[]), None);
}

/// Half the time and twice the rate are both "2 times as good"; mixed up, the slowest engine wins.
#[test]
fn a_ratio_says_who_is_better_whatever_the_unit() {
    assert!(close(times_as_good(50.0, 100.0, false), 2.0));
    assert!(close(times_as_good(100.0, 50.0, true), 2.0));
    assert!(close(times_as_good(100.0, 50.0, false), 0.5));
}

#[test]
fn nothing_is_a_multiple_of_nothing() {
    assert_eq!(times_as_good(0.0, 5.0, false), None);
    assert_eq!(times_as_good(5.0, 0.0, true), None);
    assert_eq!(times_as_good(0.0, 5.0, true), None);
    assert_eq!(times_as_good(f64::NAN, 5.0, true), None);
}

#[test]
fn less_than_a_fifth_is_a_tie() {
    assert_eq!(standing(1.0), Standing::Tie);
    assert_eq!(standing(1.19), Standing::Tie);
    assert_eq!(standing(1.2), Standing::Ahead);
    assert_eq!(standing(1.0 / 1.19), Standing::Tie);
    assert_eq!(standing(1.0 / 1.2), Standing::Behind);
    assert_eq!(standing(0.1), Standing::Behind);
}

#[test]
fn a_power_has_its_exponent() {
    for wanted in [0.0, 0.5, 1.0, 2.0, -1.0] {
        let points = [1.0_f64, 10.0, 100.0].map(|size| (size, 7.0 * size.powf(wanted)));
        assert!(close(exponent(&points), wanted), "{wanted}");
    }
}

/// A fixed cost beside one that grows: the exponent lies between, and is not that of the last two points alone.
#[test]
fn the_exponent_is_that_of_all_points() {
    let slope = exponent(&[(1.0, 10.0), (10.0, 10.0), (100.0, 1_000.0)]);
    assert!(close(slope, 1.0), "{slope:?}");
}

#[test]
fn without_two_sizes_there_is_no_exponent() {
    assert_eq!(exponent(&[]), None);
    assert_eq!(exponent(&[(10.0, 5.0)]), None);
    assert_eq!(exponent(&[(10.0, 5.0), (10.0, 6.0)]), None);
    assert_eq!(exponent(&[(10.0, 5.0), (100.0, 0.0)]), None);
}
