//! The files below a directory.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::print::Failure;
use crate::record::FileRecord;

/// Regular files below a directory, in the order of their paths.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) root: PathBuf,
    pub(crate) files: Vec<SourceFile>,
    /// What could not be looked at, and why.
    pub(crate) unreadable: Vec<String>,
}

/// A file as it was when the directory was listed.
#[derive(Debug, Clone)]
pub(crate) struct SourceFile {
    pub(crate) path: PathBuf,
    pub(crate) record: FileRecord,
}

impl Source {
    /// Finds the files. Symbolic links are not followed; `store` is left out, and unless `everything` is wanted, build
    /// output (`target`) and hidden folders too.
    pub(crate) fn find(root: &Path, everything: bool, store: &Path) -> Result<Self, Failure> {
        let unusable = |error| Failure::new(format!("cannot read the directory {}: {error}", root.display()));
        let root = fs::canonicalize(root).map_err(unusable)?;
        fs::read_dir(&root).map_err(unusable)?;
        let store = fs::canonicalize(store).unwrap_or_else(|_| store.to_owned());
        let mut found = Self { root: root.clone(), files: Vec::new(), unreadable: Vec::new() };
        let mut folders = vec![root];
        while let Some(folder) = folders.pop() {
            if let Err(error) = found.list(&folder, everything, &store, &mut folders) {
                found.unreadable.push(format!("{}: {error}", folder.display()));
            }
        }
        found.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    fn list(&mut self, folder: &Path, everything: bool, store: &Path, folders: &mut Vec<PathBuf>) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let path = entry.path();
            let looked = entry.metadata();
            match looked {
                Ok(metadata) if metadata.is_dir() => {
                    if path != *store && (everything || !is_left_out(&entry.file_name())) {
                        folders.push(path);
                    }
                }
                Ok(metadata) if metadata.is_file() => {
                    let record = self.record(&path, &metadata, metadata.len());
                    self.files.push(SourceFile { path, record });
                }
                // Links, sockets, devices.
                Ok(_) => {}
                Err(error) => self.unreadable.push(format!("{}: {error}", path.display())),
            }
        }
        Ok(())
    }

    fn record(&self, path: &Path, metadata: &fs::Metadata, len: u64) -> FileRecord {
        let relative = path.strip_prefix(&self.root).unwrap_or(path);
        let modified = metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
        FileRecord { path_hash: hash(relative.as_os_str().as_bytes()), mode: metadata.mode(), modified, len }
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.record.len).sum()
    }
}

fn is_left_out(folder: &OsStr) -> bool {
    folder == "target" || folder.as_bytes().starts_with(b".")
}

impl SourceFile {
    /// Reads the file, at most `max_bytes` of it, and what it is now.
    pub(crate) fn read(&self, max_bytes: u64) -> io::Result<(FileRecord, Bytes)> {
        let mut file = File::open(&self.path)?;
        let metadata = file.metadata()?;
        let too_large = || io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {max_bytes} bytes"));
        if metadata.len() > max_bytes {
            return Err(too_large());
        }
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
        let len = (&mut file).take(max_bytes + 1).read_to_end(&mut bytes)? as u64;
        if len > max_bytes {
            return Err(too_large());
        }
        let modified = metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
        let record = FileRecord { path_hash: self.record.path_hash, mode: metadata.mode(), modified, len };
        Ok((record, bytes.into()))
    }
}

/// FNV-1a with 128 bits (Fowler, Noll, Vo; draft-eastlake-fnv): short, and without a collision among paths that nobody
/// has made up to collide.
pub(crate) fn hash(bytes: &[u8]) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = (1 << 88) + 0x13b;
    bytes.iter().fold(BASIS, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}
