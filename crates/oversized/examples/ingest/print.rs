//! Figures and errors in words.

use std::borrow::Borrow;
use std::fmt;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use oversized::{Error, RecoveryReport};

use crate::load::Loaded;
use crate::source::SourceFile;

/// Why the run has failed, in words for whoever started it.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An error of the store, with what can be done about it.
pub(crate) fn explain(error: &Error, store: &Path) -> Failure {
    let store = store.display();
    let kind = error.storage().and_then(blob_runtime::Error::io_kind);
    Failure::new(match (error, kind) {
        (Error::Locked { .. }, _) => {
            format!("the store {store} is in use by another process; wait for it, or choose another --store")
        }
        (Error::FormatMismatch { .. }, _) => format!("{store} has a store of other records: {error}"),
        (_, Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded)) => {
            format!("no space for the store {store}: {error}; make room, then run this again")
        }
        (_, Some(ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)) => {
            format!("no right to use the store {store}: {error}")
        }
        _ => error.to_string(),
    })
}

/// What an open has found; nothing when all was in order.
pub(crate) fn recovery(report: &RecoveryReport) {
    if report.opening.created || report.opening.clean {
        return;
    }
    let resumed = report.opening.resumed.map_or_else(String::new, |intent| format!("; carried on: {intent:?}"));
    println!("recovery  the store was not closed{resumed}");
    for section in &report.sections {
        println!(
            "          section {}: {} entries, {} of values, {} of them proven; index {:?}; {} dropped, {} to \
             quarantine: {}",
            section.section,
            section.entries,
            bytes(section.value_bytes),
            bytes(section.proven_bytes),
            section.index,
            bytes(section.dropped_bytes),
            bytes(section.quarantined_bytes),
            section.reason
        );
    }
}

/// The figures of a load.
pub(crate) fn loaded(loaded: &Loaded) {
    let mut commits = loaded.commits.clone();
    commits.sort_unstable();
    println!(
        "ingested  {} files, {} in {}: {}/s; {} commits, p50 {}, p99 {}",
        loaded.files,
        bytes(loaded.bytes),
        duration(loaded.time),
        bytes(rate(loaded.bytes, loaded.time)),
        commits.len(),
        duration(quantile(&commits, 50)),
        duration(quantile(&commits, 99))
    );
}

/// The smallest of sorted durations that so many percent do not exceed; zero when there is none.
pub(crate) fn quantile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// Bytes in a readable unit of 1000.
pub(crate) fn bytes(bytes: u64) -> String {
    let mut unit = 1;
    let mut names = ["bytes", "kB", "MB", "GB", "TB"].into_iter();
    let mut name = names.next().unwrap_or_default();
    while bytes / unit >= 1000 {
        let Some(next) = names.next() else { break };
        (unit, name) = (unit * 1000, next);
    }
    if unit == 1 { format!("{bytes} {name}") } else { format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit) }
}

/// A duration with three digits.
pub(crate) fn duration(duration: Duration) -> String {
    format!("{duration:.1?}")
}

/// A part of a whole in percent.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    match u128::from(part) * 1000 / u128::from(whole.max(1)) {
        _ if whole == 0 => "-".into(),
        tenths => format!("{}.{} %", tenths / 10, tenths % 10),
    }
}

/// Bytes a second.
pub(crate) fn rate(bytes: u64, time: Duration) -> u64 {
    u64::try_from(u128::from(bytes) * 1_000_000_000 / time.as_nanos().max(1)).unwrap_or(u64::MAX)
}

/// A bar over the bytes of files; it shows on a terminal only.
pub(crate) fn bar<F: Borrow<SourceFile>>(files: &[F]) -> ProgressBar {
    let bytes = files.iter().map(|file| file.borrow().record.len).sum();
    style(ProgressBar::new(bytes), "{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta}")
}

/// A bar over files.
pub(crate) fn bar_of_files(files: usize) -> ProgressBar {
    style(ProgressBar::new(files as u64), "{bar:40} {pos} of {len} files, {eta}")
}

fn style(bar: ProgressBar, template: &str) -> ProgressBar {
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        // Only a template that is wrong.
        Err(_) => bar,
    }
}
