use super::*;
use crate::outcome::{Disk, Io, Latencies};

fn outcome() -> Outcome {
    Outcome {
        engine: "e".into(),
        workload: "w".into(),
        operations: 1_000,
        value_bytes: 4_000_000,
        logical_bytes: 2_000,
        elapsed_ns: 3_000_000,
        final_sync_ns: 1_000_000,
        latencies: Latencies::new(vec![2_500, 3_500, 4_500]),
        peak_memory_bytes: 3 << 19,
        io: Io::default(),
        disk: Disk { files: 1, length_bytes: 9_000, allocated_bytes: 3_000 },
    }
}

#[test]
fn each_figure_is_in_its_unit() {
    let outcome = outcome();
    let figures = [
        (Metric::MedianMicros, 3.5),
        (Metric::MeanMicros, 3.5),
        (Metric::MedianNanos, 3_500.0),
        (Metric::MeanNanos, 3_500.0),
        (Metric::NanosPerOperation, 3_000.0),
        (Metric::PerSecond, 250_000.0),
        (Metric::MillionsPerSecond, 0.25),
        (Metric::MegabytesPerSecond, 1_000.0),
        (Metric::Millis, 4.0),
        (Metric::PeakMemory, 1.5),
        (Metric::DiskRatio, 1.5),
    ];
    for (metric, wanted) in figures {
        let value = metric.of(&outcome).unwrap();
        assert!((value - wanted).abs() < wanted * 1e-9, "{metric:?} is {value}, not {wanted}");
    }
}

/// A figure that was not taken must not become 0, which would win every comparison.
#[test]
fn what_was_not_measured_has_no_figure() {
    let outcome = Outcome { latencies: None, operations: 0, ..outcome() };
    assert_eq!(Metric::MedianMicros.of(&outcome), None);
    assert_eq!(Metric::NanosPerOperation.of(&outcome), None);
}

/// An engine whose commits are not synced looks ten times as fast. One sync may serve all writers that wait, no more.
#[test]
fn commits_owe_syncs() {
    assert_eq!(Action::Commit.syncs_owed(3_000), 3_000);
    assert_eq!(Action::Writers(16).syncs_owed(8_000), 500);
    assert_eq!(Action::Writers(16).syncs_owed(8_001), 501);
    assert_eq!(Action::Append.syncs_owed(1_000), 1);
    assert_eq!(Action::Read.syncs_owed(1_000), 0);
}
