use super::*;

#[test]
fn three_digits_matter() {
    let cases = [
        (0.0123, "0.012"),
        (0.9996, "1.00"),
        (1.234, "1.23"),
        (9.996, "10.0"),
        (12.34, "12.3"),
        (99.96, "100"),
        (123.4, "123"),
        (999.6, "1,000"),
        (1_234.5, "1,234"),
        (12_345_678.0, "12,345,678"),
        (-1_234.0, "-1,234"),
        (0.0, "0"),
        (f64::NAN, "-"),
        (f64::INFINITY, "-"),
    ];
    for (value, text) in cases {
        assert_eq!(figure(value), text, "{value}");
    }
}

#[test]
fn a_time_has_the_unit_that_suits_it() {
    let cases = [(12.0, "12.0 ns"), (1_500.0, "1.50 us"), (2_000_000.0, "2.00 ms"), (3e9, "3.00 s"), (120e9, "120 s")];
    for (nanos, text) in cases {
        assert_eq!(time(nanos), text);
    }
}

#[test]
fn a_count_is_whole() {
    let cases = [(0, "0"), (20, "20"), (200, "200"), (2_000, "2,000"), (1_234_567, "1,234,567")];
    for (value, text) in cases {
        assert_eq!(count(value), text);
    }
    assert_eq!(figure(-123_456.0), "-123,456");
}
