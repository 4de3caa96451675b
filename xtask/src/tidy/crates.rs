//! Rules about crates: who may depend on whom, and what every manifest says.

use toml::{Table, Value};

use super::{File, Finding, file_name};
use crate::workspace::Workspace;

#[cfg(test)]
mod tests;

/// Each crate and the crates below it: the table of `docs/architecture.md`. All kinds of dependencies count, also
/// those of tests. `testkit` stands on top of the libraries, and only the tasks may know it.
const LAYERS: [(&str, &[&str]); 9] = [
    ("blob-runtime", &[]),
    ("paged-cache", &["blob-runtime"]),
    ("fixed-journal", &["blob-runtime", "paged-cache"]),
    ("glob", &["blob-runtime"]),
    ("oversized", &["blob-runtime", "paged-cache", "fixed-journal", "glob"]),
    ("testkit", &["blob-runtime", "paged-cache", "fixed-journal", "glob", "oversized"]),
    ("workloads", &[]),
    ("own", &["workloads", "blob-runtime", "oversized"]),
    ("xtask", &["workloads", "blob-runtime", "paged-cache", "fixed-journal", "glob", "oversized", "testkit"]),
];

/// What a member takes from the workspace instead of saying it itself.
const INHERITED: [&str; 3] = ["edition", "rust-version", "license"];

/// Lints the workspace must set, and to what.
const LINTS: [(&str, &str, &str); 5] = [
    ("rust", "unsafe_code", "forbid"),
    ("rust", "missing_docs", "deny"),
    ("clippy", "unwrap_used", "deny"),
    ("clippy", "expect_used", "deny"),
    ("clippy", "panic", "deny"),
];

pub(super) fn check_layers(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &workspace.packages {
        let path = workspace.relative(&package.manifest);
        let mut add = |message: String| findings.push(Finding::new(&path, 0, "layer", message));
        let Some((_, below)) = LAYERS.iter().find(|(name, _)| *name == package.name) else {
            add(format!("{} has no place in the layer table of xtask/src/tidy/crates.rs", package.name));
            continue;
        };
        // A registry may well have a crate of one of our names; ours come by path.
        for dependency in package.dependencies.iter().filter(|dependency| dependency.source.is_none()) {
            if !below.contains(&&*dependency.name) {
                let kind = dependency.kind.as_deref().unwrap_or("normal");
                add(format!("{} must not depend on {} ({kind} dependency)", package.name, dependency.name));
            }
        }
    }
    findings
}

pub(super) fn check_manifests(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file_name(&file.path) == "Cargo.toml") {
        let mut add = |message: String| findings.push(Finding::new(&file.path, 0, "manifest", message));
        let table = match file.text.parse::<Table>() {
            Ok(table) => table,
            Err(error) => {
                add(format!("this is no TOML: {}", error.message()));
                continue;
            }
        };
        if at(&table, &["workspace", "members"]).is_some() {
            check_lints(&table, &mut add);
        }
        if !table.contains_key("package") {
            continue;
        }
        // A package with an empty `[workspace]` of its own stands outside ours and cannot inherit.
        if table.contains_key("workspace") {
            if level(at(&table, &["lints", "rust", "unsafe_code"])) != Some("forbid") {
                add("outside the workspace it must say [lints.rust] unsafe_code = \"forbid\" itself".into());
            }
            continue;
        }
        if at(&table, &["lints", "workspace"]) != Some(&Value::Boolean(true)) {
            add("it lacks [lints] workspace = true, and so forbids no unsafe code".into());
        }
        for key in INHERITED {
            if at(&table, &["package", key, "workspace"]) != Some(&Value::Boolean(true)) {
                add(format!("it lacks {key}.workspace = true"));
            }
        }
    }
    findings
}

fn check_lints(root: &Table, add: &mut dyn FnMut(String)) {
    for (tool, lint, wanted) in LINTS {
        if level(at(root, &["workspace", "lints", tool, lint])) != Some(wanted) {
            add(format!("[workspace.lints.{tool}] must say {lint} = \"{wanted}\""));
        }
    }
}

/// The value at a path of keys.
fn at<'a>(table: &'a Table, keys: &[&str]) -> Option<&'a Value> {
    let (first, rest) = keys.split_first()?;
    rest.iter().try_fold(table.get(*first)?, |value, key| value.get(*key))
}

/// A lint's level, in its short form or in the one with a priority.
fn level(lint: Option<&Value>) -> Option<&str> {
    let lint = lint?;
    lint.as_str().or_else(|| lint.get("level")?.as_str())
}
