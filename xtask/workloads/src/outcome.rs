//! What comes out of a run.

use std::time::Duration;

use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// What one run measured. All but `disk` is about the measured part alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The engine's name.
    pub engine: String,
    /// The workload's id.
    pub workload: String,
    /// Commits, reads or items.
    pub operations: u64,
    /// Bytes of the values among them.
    pub value_bytes: u64,
    /// Bytes of all records and values in the store.
    pub logical_bytes: u64,
    /// How long it took, the final sync apart.
    pub elapsed_ns: u64,
    /// How long the final sync took; 0 when there is none, or when it is part of the operations.
    pub final_sync_ns: u64,
    /// The times of single operations, where they were taken.
    pub latencies: Option<Latencies>,
    /// The most memory the process held until the end of the measured part.
    pub peak_memory_bytes: u64,
    /// What the kernel counted.
    pub io: Io,
    /// What is on the disk after the store was closed.
    pub disk: Disk,
}

/// A process's reads and writes: `/proc/self/io`, proc(5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Io {
    /// System calls that read.
    pub read_calls: u64,
    /// System calls that write.
    pub write_calls: u64,
    /// Bytes they were to write.
    pub written_bytes: u64,
}

impl Io {
    /// What was done since `earlier`.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            read_calls: self.read_calls.saturating_sub(earlier.read_calls),
            write_calls: self.write_calls.saturating_sub(earlier.write_calls),
            written_bytes: self.written_bytes.saturating_sub(earlier.written_bytes),
        }
    }
}

/// The files of a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// How many.
    pub files: u64,
    /// Their lengths, added up.
    pub length_bytes: u64,
    /// The blocks they hold, added up: `st_blocks`, stat(2).
    pub allocated_bytes: u64,
}

/// The distribution of single operations' times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Latencies {
    /// Taken times.
    pub count: u64,
    /// Their mean.
    pub mean_ns: f64,
    /// Half are not longer.
    pub p50_ns: u64,
    /// 90 % are not longer.
    pub p90_ns: u64,
    /// 99 % are not longer.
    pub p99_ns: u64,
    /// The longest.
    pub max_ns: u64,
    /// How many lie in each bucket that is not empty: its upper end in nanoseconds, and the count. A bucket ends at
    /// most 1/8 above where it begins.
    pub buckets: Vec<(u64, u64)>,
}

impl Latencies {
    /// Sums up times in nanoseconds. `None` when there are none.
    #[expect(clippy::cast_precision_loss, reason = "times far below 2^52 nanoseconds")]
    pub fn new(mut times: Vec<u64>) -> Option<Self> {
        times.sort_unstable();
        let max_ns = *times.last()?;
        let mut buckets: Vec<(u64, u64)> = Vec::new();
        for time in &times {
            let end = bucket_end(*time);
            match buckets.last_mut() {
                Some((last, count)) if *last == end => *count += 1,
                _ => buckets.push((end, 1)),
            }
        }
        let sum: u128 = times.iter().map(|time| u128::from(*time)).sum();
        Some(Self {
            count: times.len() as u64,
            mean_ns: sum as f64 / times.len() as f64,
            p50_ns: quantile(&times, 50)?,
            p90_ns: quantile(&times, 90)?,
            p99_ns: quantile(&times, 99)?,
            max_ns,
            buckets,
        })
    }
}

/// The smallest time that `percent` of all times do not exceed (the nearest rank).
fn quantile(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

/// The last number that shares its four highest bits with `time`.
fn bucket_end(time: u64) -> u64 {
    let low_bits = (u64::BITS - time.leading_zeros()).saturating_sub(4);
    time | ((1 << low_bits) - 1)
}

/// A time in nanoseconds; one of over 500 years is cut.
pub fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
