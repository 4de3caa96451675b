//! The list of mutations in `xtask/mutations/*.toml`.
//!
//! ```toml
//! [[mutation]]
//! name = 'append: a cut does not lower the floor'
//! file = 'crates/blob-runtime/src/append/tail.rs'
//! find = '''
//!         self.durable = self.durable.min(len);
//! '''
//! replace = ''
//! test = 'cargo test -p blob-runtime --lib append'
//! caught-by = ['append::tail::tests::a_cut_lowers_every_mark']
//! ```
//!
//! One that needs another beside it to do harm has that one's names under `also`. One that no test can see has, instead of `caught-by`, an argument under `survives`. `tidy` checks that each still
//! applies; `cargo xtask test-crash --mutations` applies them.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::process::Failure;

/// Where the lists are, below the root.
pub(crate) const FOLDER: &str = "xtask/mutations/";

/// A file of the list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct List {
    pub(crate) mutation: Vec<Mutation>,
}

/// A change to one source file that breaks one rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Mutation {
    pub(crate) name: String,
    pub(crate) file: String,
    /// Occurs exactly once in the file.
    pub(crate) find: String,
    pub(crate) replace: String,
    /// Mutations, by their names, that are applied too: rules that stand in for each other.
    #[serde(default)]
    pub(crate) also: Vec<String>,
    /// What to run; fails when the mutation is in.
    pub(crate) test: String,
    /// How many seeds a suite with seeds takes to it, unless the environment says otherwise.
    pub(crate) seeds: Option<u64>,
    /// The tests that were seen to fail.
    #[serde(default)]
    pub(crate) caught_by: Vec<String>,
    /// Why no test can see it.
    pub(crate) survives: Option<String>,
}

/// All mutations, by file name and then as they are listed.
///
/// # Errors
/// When a list cannot be read.
pub(crate) fn load(root: &Path) -> Result<Vec<Mutation>, Failure> {
    let failed = |what: &dyn std::fmt::Display| Failure::new(format!("cannot read the mutations: {what}"));
    let mut paths = Vec::new();
    for entry in fs::read_dir(root.join(FOLDER)).map_err(|error| failed(&error))? {
        paths.push(entry.map_err(|error| failed(&error))?.path());
    }
    paths.sort();
    let mut all = Vec::new();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|ending| ending == "toml")) {
        let text = fs::read_to_string(path).map_err(|error| failed(&error))?;
        all.extend(toml::from_str::<List>(&text).map_err(|error| failed(&error))?.mutation);
    }
    Ok(all)
}
