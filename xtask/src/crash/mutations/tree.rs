//! Copies of the workspace, to be changed.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::process::{Failure, ask};

/// The files that git knows, as they are now.
///
/// # Errors
/// When there is no git.
pub(super) fn files(root: &Path) -> Result<Vec<String>, Failure> {
    let mut list = Command::new("git");
    list.args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(root);
    let Some(files) = ask(&mut list)? else { return Err(Failure::new("there is no git")) };
    Ok(files.lines().map(str::to_owned).collect())
}

/// Copies them, with `change` made to the text of each. Files that are as they were keep their times, so that little is
/// built anew.
///
/// # Errors
/// When a file cannot be written.
pub(super) fn copy(root: &Path, tree: &Path, change: impl Fn(&str, Vec<u8>) -> Vec<u8>) -> Result<(), Failure> {
    for file in files(root)? {
        // One that is deleted and still in git's list.
        let Ok(bytes) = fs::read(root.join(&file)) else { continue };
        write(&tree.join(&file), &change(&file, bytes))?;
    }
    Ok(())
}

/// Writes a file, unless this is in it.
///
/// # Errors
/// When it cannot be written.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(format!("cannot write {}: {error}", path.display()));
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    fs::write(path, bytes).map_err(failed)
}
