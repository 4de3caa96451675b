//! What the kernel knows about this process and its files.

use std::fs;
use std::path::Path;

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::Result;
use crate::outcome::{Disk, Io};

#[cfg(test)]
mod tests;

/// The most memory this process has held: `VmHWM` of `/proc/self/status`, proc(5).
///
/// # Errors
/// When the kernel does not tell.
pub fn peak_memory_bytes() -> Result<u64> {
    let kib = field(&fs::read_to_string("/proc/self/status")?, "VmHWM:")?;
    Ok(kib * 1024)
}

/// What this process has read and written so far.
///
/// # Errors
/// When the kernel does not tell.
pub fn io() -> Result<Io> {
    let text = fs::read_to_string("/proc/self/io")?;
    Ok(Io {
        read_calls: field(&text, "syscr:")?,
        write_calls: field(&text, "syscw:")?,
        written_bytes: field(&text, "wchar:")?,
    })
}

fn field(text: &str, name: &str) -> Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let word = line.and_then(|line| line.split_whitespace().next());
    Ok(word.ok_or_else(|| format!("the kernel tells no {name}"))?.parse()?)
}

/// Adds up the files below a directory.
///
/// # Errors
/// The first that cannot be looked at.
pub fn disk(directory: &Path) -> Result<Disk> {
    use std::os::unix::fs::MetadataExt;
    let mut sum = Disk::default();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            let below = disk(&entry.path())?;
            sum.files += below.files;
            sum.length_bytes += below.length_bytes;
            sum.allocated_bytes += below.allocated_bytes;
        } else {
            sum.files += 1;
            sum.length_bytes += metadata.len();
            sum.allocated_bytes += metadata.blocks() * 512;
        }
    }
    Ok(sum)
}

/// Waits until nothing of this file system is left to be written, so that what was done before is not paid for later.
///
/// # Errors
/// When the directory cannot be opened, or the kernel fails to write.
pub fn settle(directory: &Path) -> Result<()> {
    Ok(rustix::fs::syncfs(fs::File::open(directory)?)?)
}

/// Allows as many open files as this process may ask for: some engines hold every section open.
///
/// # Errors
/// When the kernel refuses.
pub fn allow_many_files() -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}

/// Marks a moment in the trace of this process's system calls, by asking for a file that does not exist.
pub fn mark(moment: &str) {
    let _: std::io::Result<fs::Metadata> = fs::metadata(Path::new(MARKS).join(moment));
}

/// Where the files that mark moments would be.
pub const MARKS: &str = "/bench-mark";
