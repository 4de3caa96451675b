//! The criterion suites of the crates: running them, and reading what they found.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::process::{Failure, cargo, run as run_command};
use crate::workspace::Workspace;

#[cfg(test)]
mod tests;

/// What a suite found for one of its benches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Estimate {
    /// The bench's full name.
    pub(super) id: String,
    pub(super) median_ns: f64,
    /// Where the median lies with 95 % confidence.
    pub(super) low_ns: f64,
    pub(super) high_ns: f64,
}

#[derive(Debug, Deserialize)]
struct Benchmark {
    full_id: String,
}

#[derive(Debug, Deserialize)]
struct Estimates {
    median: Statistic,
}

#[derive(Debug, Deserialize)]
struct Statistic {
    point_estimate: f64,
    confidence_interval: Interval,
}

#[derive(Debug, Deserialize)]
struct Interval {
    lower_bound: f64,
    upper_bound: f64,
}

/// Runs all suites.
///
/// # Errors
/// When one fails, or what it found cannot be read.
pub(super) fn run(workspace: &Workspace, filter: &str, quick: bool) -> Result<Vec<Estimate>, Failure> {
    let started = SystemTime::now();
    for (package, target) in workspace.targets("bench") {
        let mut command = cargo();
        command.args(["bench", "--locked", "--package", &package.name, "--bench", &target.name]);
        command.arg("--target-dir").arg(workspace.target()).current_dir(&workspace.root).arg("--");
        if quick {
            command.arg("--quick");
        }
        if !filter.is_empty() {
            command.arg(filter);
        }
        run_command(&mut command)?;
    }
    let mut found = Vec::new();
    collect(&workspace.target().join("criterion"), started, &mut found)?;
    found.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(found)
}

/// Reads the estimates below a folder that are not older than `since`.
fn collect(folder: &Path, since: SystemTime, found: &mut Vec<Estimate>) -> Result<(), Failure> {
    let unreadable =
        |path: &Path, error: &dyn std::fmt::Display| Failure::new(format!("cannot read {}: {error}", path.display()));
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(|error| unreadable(folder, &error))?,
    };
    for entry in entries {
        let path = entry.map_err(|error| unreadable(folder, &error))?.path();
        if path.is_dir() {
            collect(&path, since, found)?;
        }
    }
    let (benchmark, estimates) = (folder.join("benchmark.json"), folder.join("estimates.json"));
    // Only what the last run wrote; `base` beside it is the run before.
    if !folder.ends_with("new") || !estimates.is_file() {
        return Ok(());
    }
    let modified = fs::metadata(&estimates).and_then(|metadata| metadata.modified());
    if modified.map_err(|error| unreadable(&estimates, &error))? < since {
        return Ok(());
    }
    let text = |path: &Path| fs::read_to_string(path).map_err(|error| unreadable(path, &error));
    let Benchmark { full_id } =
        serde_json::from_str(&text(&benchmark)?).map_err(|error| unreadable(&benchmark, &error))?;
    let Estimates { median } =
        serde_json::from_str(&text(&estimates)?).map_err(|error| unreadable(&estimates, &error))?;
    let Interval { lower_bound, upper_bound } = median.confidence_interval;
    found.push(Estimate { id: full_id, median_ns: median.point_estimate, low_ns: lower_bound, high_ns: upper_bound });
    Ok(())
}
