//! The command line.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use oversized::Compression;

use crate::print::{Failure, bytes};

/// Puts every file below a directory into a store, and proves that it is there.
#[derive(Debug, Clone, Parser)]
#[command(name = "ingest")]
pub(crate) struct Options {
    /// Every regular file below it is taken. Without one: this repository, but for build output and hidden folders
    pub(crate) directory: Option<PathBuf>,

    /// The directory of the store, made when it is missing. Without it a temporary one, removed at the end
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) store: Option<PathBuf>,

    /// `none`, `zstd` or `zstd:LEVEL`
    #[arg(long, default_value = "none", value_parser = parse_compression)]
    pub(crate) compression: Compression,

    /// A new section begins when one has so many bytes of values; `K`, `M` and `G` are understood
    #[arg(long, value_name = "BYTES", default_value = "64M", value_parser = parse_bytes)]
    pub(crate) section_bytes: u64,

    /// Files a commit: each writer syncs after so many
    #[arg(long, value_name = "FILES", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) sync_every: u32,

    /// Threads that read files and append them side by side
    #[arg(long, value_name = "THREADS", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) writers: u16,

    /// Runs the store in a process of its own, kills that in the middle (SIGKILL), recovers, and goes on
    #[arg(long)]
    pub(crate) crash: bool,

    /// The process that is killed.
    #[arg(long, hide = true, requires = "store")]
    pub(crate) child: bool,
}

impl Options {
    /// The directory whose files are taken.
    pub(crate) fn root(&self) -> PathBuf {
        let repository = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        self.directory.clone().unwrap_or_else(repository)
    }

    /// Whether folders of build output and hidden ones are taken too.
    pub(crate) fn everything(&self) -> bool {
        self.directory.is_some()
    }

    /// Where the store is and how it is written, in words.
    pub(crate) fn describe(&self, place: &Place) -> String {
        let compression = match self.compression {
            Compression::Zstd { level } => format!("zstd level {level}"),
            _ => "no compression".into(),
        };
        let temporary = if self.store.is_none() { " (temporary)" } else { "" };
        format!(
            "{}{temporary}: {compression}, sections of {}, {} writer(s), a sync every {} file(s)",
            place.path().display(),
            bytes(self.section_bytes),
            self.writers,
            self.sync_every
        )
    }
}

/// Where the store is.
#[derive(Debug)]
pub(crate) enum Place {
    /// As the user says.
    Given(PathBuf),
    /// It goes when this is dropped.
    Temporary(tempfile::TempDir),
}

impl Place {
    pub(crate) fn new(options: &Options) -> Result<Self, Failure> {
        let Some(store) = &options.store else {
            let made = tempfile::Builder::new().prefix("ingest-").tempdir();
            return made.map(Self::Temporary).map_err(|error| Failure::new(format!("no temporary directory: {error}")));
        };
        let unusable = |error| Failure::new(format!("cannot use {} for the store: {error}", store.display()));
        fs::create_dir_all(store).map_err(unusable)?;
        fs::canonicalize(store).map(Self::Given).map_err(unusable)
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Given(path) => path,
            Self::Temporary(directory) => directory.path(),
        }
    }
}

/// A number of bytes, perhaps with `K`, `M` or `G` for powers of 1024.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|char: char| char.is_ascii_alphabetic());
    let unit: u64 = match text.get(digits.len()..) {
        Some("") => 1,
        Some("K" | "k" | "KiB") => 1 << 10,
        Some("M" | "m" | "MiB") => 1 << 20,
        Some("G" | "g" | "GiB") => 1 << 30,
        _ => return Err("the unit is none of K, M, G".into()),
    };
    let count: u64 = digits.parse().map_err(|error| format!("{error}"))?;
    count.checked_mul(unit).filter(|bytes| *bytes > 0).ok_or_else(|| "it is 0, or too large".into())
}

/// `none`, `zstd`, `zstd:LEVEL`.
pub(crate) fn parse_compression(text: &str) -> Result<Compression, String> {
    let compression = match text.split_once(':') {
        None if text == "none" => Compression::None,
        None if text == "zstd" => Compression::Zstd { level: 3 },
        Some(("zstd", level)) => {
            Compression::Zstd { level: level.parse().map_err(|_| format!("{level} is no level"))? }
        }
        _ => return Err("it is none of `none`, `zstd`, `zstd:LEVEL`".into()),
    };
    compression.check()?;
    Ok(compression)
}
