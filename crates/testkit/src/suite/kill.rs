//! The tier of kills: real files, real processes.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use super::sim::each;
use super::{Extent, Progress, Summary};
use crate::crash::{Outcome, kill};

/// The tier of kills, on `jobs` threads; one run is one store that several processes work on, one after the other, each of
/// which is killed. `program` is this program, or whichever starts [`kill::work`] when its first argument is `kill-child`.
pub fn kill(program: &Path, extent: Extent, jobs: usize, progress: &Progress) -> Summary {
    let total = Mutex::new((BTreeMap::<String, u64>::new(), BTreeMap::<String, u64>::new()));
    let start = || {
        let mut command = Command::new(program);
        command.arg("kill-child");
        command
    };
    let one = |seed| {
        let again = format!("cargo xtask test-crash --tier kill --seed {seed}");
        let killed = match kill::kill(seed, &start) {
            Ok(killed) => killed,
            Err(error) => return (Outcome::default(), Some(format!("{again}\ncannot be run: {error}"))),
        };
        let told = killed.violation.as_ref().map(|violation| {
            let story = killed.story.join("\n");
            format!("{again}\n{violation}\n{story}")
        });
        let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, count) in [
            ("processes killed", killed.kills),
            ("processes killed at a point", killed.points.values().sum()),
            ("operations acknowledged", killed.acknowledged),
            ("second writers refused", killed.refused),
        ] {
            *total.0.entry(name.into()).or_default() += count;
        }
        for (point, count) in killed.points {
            *total.1.entry(format!("killed {point}")).or_default() += count;
        }
        let mut outcome = Outcome { checked: killed.checked, ..Outcome::default() };
        outcome.counts.kills = killed.kills;
        (outcome, told)
    };
    let mut summary = each("kill", extent, jobs, progress, one);
    let (reach, points) = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    summary.reach = reach.into_iter().collect();
    summary.faults.extend(points);
    summary
}
