//! Rules of this project that no common tool checks.
//!
//! | rule | what it finds |
//! |---|---|
//! | `length` | a source file of more than 500 lines |
//! | `leftover` | unfinished code, a fix-me note, an ignored test |
//! | `assertion` | an assertion that something fails and does not say how |
//! | `unsafe` | `unsafe`, and attributes that would let it in |
//! | `reason` | a lint switched off without a reason |
//! | `inline-test` | unit tests in the source file instead of `x/tests.rs` beside it |
//! | `layer` | a dependency between crates that the architecture does not have |
//! | `manifest` | a crate without the workspace's lints, or with settings of its own |
//! | `crate-docs` | a library that does not open with docs and an example that runs |
//! | `error-docs` | an error that `docs/operations.md` does not explain |
//! | `test-docs` | a test that `docs/testing.md` names and that does not exist |
//! | `mutation` | a mutation in `xtask/mutations` that cannot be applied, or that nothing catches |
//!
//! Source files are cut into tokens first, so a word in a string or a comment is never taken for code.

use std::fmt;
use std::fs;
use std::path::Path;

use crate::process::Failure;
use crate::workspace::Workspace;

mod crates;
mod docs;
mod mutations;
mod source;
#[cfg(test)]
mod tests;

/// A place that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    /// From 1; 0 when the whole file is meant.
    line: usize,
    rule: &'static str,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, rule: &'static str, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, rule, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, rule, message } = self;
        match line {
            0 => write!(f, "{path}: [{rule}] {message}"),
            _ => write!(f, "{path}:{line}: [{rule}] {message}"),
        }
    }
}

/// A text file of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
struct File {
    /// From the workspace's root, with `/` between its parts.
    path: String,
    text: String,
}

/// Checks the whole workspace.
///
/// # Errors
/// All findings, when there are any, or the first file that cannot be read.
pub(crate) fn run(workspace: &Workspace) -> Result<String, Failure> {
    let mut files = Vec::new();
    collect(workspace, &workspace.root, &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut findings: Vec<Finding> =
        files.iter().filter(|file| has_ending(file, "rs")).flat_map(source::check).collect();
    findings.extend(crates::check_layers(workspace));
    findings.extend(crates::check_manifests(&files));
    findings.extend(docs::check(&files));
    findings.extend(mutations::check(&files));
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => Ok(format!("{} files", files.len())),
        1 => Err(Failure::new("1 finding, see above")),
        count => Err(Failure::new(format!("{count} findings, see above"))),
    }
}

/// Reads the files the rules are about, also those git does not know yet; hidden and build folders are left out.
fn collect(workspace: &Workspace, folder: &Path, files: &mut Vec<File>) -> Result<(), Failure> {
    let unreadable =
        |path: &Path, error: &std::io::Error| Failure::new(format!("cannot read {}: {error}", path.display()));
    for entry in fs::read_dir(folder).map_err(|error| unreadable(folder, &error))? {
        let entry = entry.map_err(|error| unreadable(folder, &error))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(|error| unreadable(&path, &error))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if kind.is_dir() && name != "target" && !name.starts_with('.') {
            collect(workspace, &path, files)?;
        } else if kind.is_file() && ["rs", "toml", "md"].iter().any(|ending| path.extension() == Some(ending.as_ref()))
        {
            let text = fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
            files.push(File { path: workspace.relative(&path), text });
        }
    }
    Ok(())
}

fn has_ending(file: &File, ending: &str) -> bool {
    Path::new(&file.path).extension() == Some(ending.as_ref())
}

/// The last part of a path.
fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
