//! The targets. Each takes any bytes, and panics when a promise is broken.

pub mod frame;
pub mod header;
pub mod manifest;
pub mod operations;
pub mod page;
pub mod store;

use testkit::crash::SCRIPT_RECORD_BYTES;

/// What is fuzzed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The start of a file.
    Header,
    /// A blob of pages.
    Page,
    /// A blob of frames.
    Frame,
    /// The two slots of a manifest.
    Manifest,
    /// A whole store.
    Store,
    /// Operations, faults and crashes.
    Operations,
}

impl Target {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Header, Self::Page, Self::Frame, Self::Manifest, Self::Store, Self::Operations];

    /// As it is named on the command line, and its folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Page => "page",
            Self::Frame => "frame",
            Self::Manifest => "manifest",
            Self::Store => "store",
            Self::Operations => "operations",
        }
    }

    /// The target of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.name() == name)
    }

    /// Bytes of each of the records that its inputs are a row of, when they are.
    pub fn record_bytes(self) -> Option<usize> {
        match self {
            Self::Store => Some(store::RECORD_BYTES),
            Self::Operations => Some(SCRIPT_RECORD_BYTES),
            _ => None,
        }
    }

    /// Memory that one input may take, in bytes: far more than the configurations used allow, far less than a length
    /// that nobody has checked asks for.
    pub fn max_memory(self) -> usize {
        match self {
            Self::Header => 1 << 20,
            Self::Page | Self::Frame | Self::Manifest => 16 << 20,
            Self::Store | Self::Operations => 64 << 20,
        }
    }

    /// What is done once, before the first input.
    pub fn prepare(self) {
        if self == Self::Store {
            store::prepare();
        }
    }

    /// Runs one input.
    ///
    /// # Panics
    /// When a promise is broken.
    pub fn run(self, data: &[u8]) {
        match self {
            Self::Header => header::run(data),
            Self::Page => page::run(data),
            Self::Frame => frame::run(data),
            Self::Manifest => manifest::run(data),
            Self::Store => store::run(data),
            Self::Operations => operations::run(data),
        }
    }
}
