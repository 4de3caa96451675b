use super::*;

#[test]
fn quantiles_are_the_nearest_rank() {
    let latencies = Latencies::new((1..=200).rev().collect()).unwrap();
    let Latencies { count, mean_ns, p50_ns, p90_ns, p99_ns, max_ns, .. } = latencies;
    assert_eq!((count, p50_ns, p90_ns, p99_ns, max_ns), (200, 100, 180, 198, 200));
    let seven = Latencies::new((1..=7).collect()).unwrap();
    assert_eq!((seven.p50_ns, seven.p90_ns, seven.p99_ns), (4, 7, 7), "a rank between two is the upper one");
    assert_eq!(mean_ns.to_bits(), 100.5_f64.to_bits());
}

#[test]
fn one_time_is_all_of_its_quantiles() {
    let latencies = Latencies::new(vec![9]).unwrap();
    assert_eq!((latencies.p50_ns, latencies.p99_ns, latencies.max_ns), (9, 9, 9));
    assert_eq!(latencies.buckets, [(9, 1)]);
}

#[test]
fn no_times_have_no_distribution() {
    assert_eq!(Latencies::new(Vec::new()), None);
}

/// A bucket that is too wide hides a second peak; one whose end lies below its content shifts the whole curve.
#[test]
fn a_bucket_holds_what_it_says() {
    for time in (0..4_096).chain([u64::MAX - 1, u64::MAX, 1 << 63, 1_000_000_007]) {
        let end = bucket_end(time);
        assert!(end >= time && end - time <= time / 8, "{time} is in the bucket up to {end}");
        assert_eq!(bucket_end(end), end);
    }
    let latencies = Latencies::new(vec![1_000, 1_001, 5_000]).unwrap();
    assert_eq!(latencies.buckets, [(1_023, 2), (5_119, 1)]);
}

#[test]
fn io_is_counted_from_a_moment_on() {
    let io = |read_calls, write_calls, written_bytes| Io { read_calls, write_calls, written_bytes };
    assert_eq!(io(5, 7, 100).since(io(2, 7, 40)), io(3, 0, 60));
}
