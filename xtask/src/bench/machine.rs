//! What the figures were measured on.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// A machine, in the words of its kernel. What is not known is "unknown".
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Machine {
    pub(super) processor: String,
    pub(super) processors: usize,
    pub(super) memory_gib: u64,
    pub(super) kernel: String,
    pub(super) file_system: String,
    pub(super) compiler: String,
    pub(super) commit: String,
    /// Processes that ran or waited for the disk in the minute before the first measurement: proc_loadavg(5).
    pub(super) load_before: f64,
    /// The same in the minute before the end of the last.
    pub(super) load_after: f64,
}

impl Machine {
    /// Looks at this machine; `folder` is on the disk that is measured.
    pub(super) fn look(folder: &Path, root: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let said = |command: &mut Command| {
            let output = command.output().ok().filter(|output| output.status.success());
            output.map_or_else(unknown, |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let git = |words: &str| said(Command::new("git").args(words.split(' ')).current_dir(root));
        let changed = if git("status --porcelain").is_empty() { "" } else { " with changes" };
        Self {
            processor: after_colon(&read("/proc/cpuinfo"), "model name").unwrap_or_else(unknown),
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            memory_gib: memory_gib(&read("/proc/meminfo")),
            kernel: kernel(&read("/proc/sys/kernel/osrelease")),
            file_system: file_system(&read("/proc/self/mounts"), folder).unwrap_or_else(unknown),
            compiler: said(Command::new("rustc").arg("--version")),
            commit: format!("{}{changed}", git("rev-parse --short HEAD")),
            load_before: load(),
            load_after: 0.0,
        }
    }
}

fn unknown() -> String {
    "unknown".into()
}

/// The load of the last minute.
pub(super) fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(f64::NAN)
}

/// The last processor that this process may run on: the first ones are often busy with interrupts.
pub(super) fn last_processor() -> Option<u32> {
    last_of(&after_colon(&fs::read_to_string("/proc/self/status").ok()?, "Cpus_allowed_list")?)
}

/// The last number of a list such as `0-3,8`.
fn last_of(list: &str) -> Option<u32> {
    list.rsplit([',', '-']).next()?.trim().parse().ok()
}

fn after_colon(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn memory_gib(meminfo: &str) -> u64 {
    let kib = after_colon(meminfo, "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    kib.map_or(0, |kib| (kib + (1 << 19)) >> 20)
}

/// Version and patch level; what follows names a build.
fn kernel(release: &str) -> String {
    let numbers: Vec<_> = release.trim().split(['.', '-']).take(2).collect();
    format!("Linux {}", numbers.join("."))
}

/// The kind of the file system that a path is on: the longest mount point above it, the last of equal ones.
fn file_system(mounts: &str, path: &Path) -> Option<String> {
    let fields = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?))
    });
    let above = fields.filter(|(point, _)| path.starts_with(point));
    above.max_by_key(|(point, _)| point.len()).map(|(_, kind)| kind.to_owned())
}
