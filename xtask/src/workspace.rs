//! What `cargo metadata` says about the workspace.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::process::{Failure, ask, cargo};

#[cfg(test)]
mod tests;

/// The members of the workspace.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Workspace {
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    pub(crate) packages: Vec<Package>,
    #[serde(default, rename = "target_directory")]
    target: Option<PathBuf>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    #[serde(rename = "manifest_path")]
    pub(crate) manifest: PathBuf,
    #[serde(default)]
    pub(crate) dependencies: Vec<Dependency>,
    #[serde(default)]
    pub(crate) targets: Vec<Target>,
    /// Each with what it switches on.
    #[serde(default)]
    pub(crate) features: BTreeMap<String, Vec<String>>,
    #[serde(default, deserialize_with = "absent_is_default")]
    metadata: PackageMetadata,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` for the normal ones, else `dev` or `build`.
    pub(crate) kind: Option<String>,
    /// Where a registry has it; `None` for a path of the workspace.
    pub(crate) source: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
    #[serde(rename = "src_path")]
    pub(crate) source: PathBuf,
}

/// `[package.metadata]` of a manifest; cargo leaves it to its users.
#[derive(Debug, Clone, Default, Deserialize)]
struct PackageMetadata {
    #[serde(default)]
    ci: CiMetadata,
}

/// `[package.metadata.ci]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct CiMetadata {
    /// Examples that do not end by themselves, or need arguments: built, not run.
    #[serde(default)]
    examples_not_run: Vec<String>,
}

/// Cargo writes `null` where a manifest has no `[package.metadata]`.
fn absent_is_default<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<PackageMetadata, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Workspace {
    /// Asks cargo about the workspace this program belongs to.
    ///
    /// # Errors
    /// When cargo fails or its answer is not understood.
    pub(crate) fn load() -> Result<Self, Failure> {
        // `cargo run` tells the manifest's folder; without it, the one this program was built in.
        let home = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let manifest = Path::new(&home).join("Cargo.toml");
        let answer = ask(cargo()
            .args(["metadata", "--format-version", "1", "--no-deps", "--locked", "--manifest-path"])
            .arg(manifest))?;
        Self::parse(&answer.ok_or_else(|| Failure::new("cannot run cargo: there is no such program"))?)
    }

    fn parse(json: &str) -> Result<Self, Failure> {
        serde_json::from_str(json)
            .map_err(|error| Failure::new(format!("cannot understand the answer of cargo metadata: {error}")))
    }

    /// All targets of a kind, such as `example` or `bench`, each with its package.
    pub(crate) fn targets<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (&'a Package, &'a Target)> {
        self.packages
            .iter()
            .flat_map(|package| package.targets.iter().map(move |target| (package, target)))
            .filter(move |(_, target)| target.kind.iter().any(|of| of == kind))
    }

    /// Where cargo puts what it builds.
    pub(crate) fn target(&self) -> PathBuf {
        self.target.clone().unwrap_or_else(|| self.root.join("target"))
    }

    /// A path as it is spelled from the root, with `/` between its parts.
    pub(crate) fn relative(&self, path: &Path) -> String {
        let below = path.strip_prefix(&self.root).unwrap_or(path);
        below.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
    }
}

impl Package {
    /// Whether the manifest says that this example is only built.
    pub(crate) fn leaves_out(&self, example: &str) -> bool {
        self.metadata.ci.examples_not_run.iter().any(|name| name == example)
    }

    /// The package's folder.
    pub(crate) fn folder(&self) -> &Path {
        self.manifest.parent().unwrap_or(&self.manifest)
    }
}
