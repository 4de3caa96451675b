//! What is in the store, against the files.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use futures::executor::block_on;
use indicatif::ProgressBar;
use oversized::Error;

use crate::load::Acknowledged;
use crate::options::Options;
use crate::print::{self, Failure};
use crate::record::{self, FileRecord, Store};
use crate::source::{Source, SourceFile};

/// The newest entry of each path.
#[derive(Debug, Default)]
pub(crate) struct Contents(HashMap<u128, Found>);

/// An entry of the store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) section: u64,
    pub(crate) position: u64,
    pub(crate) record: FileRecord,
}

impl Contents {
    /// Whether the store has the file as it is now, to judge by its length and time.
    pub(crate) fn is_current(&self, file: &SourceFile) -> bool {
        self.0.get(&file.record.path_hash).is_some_and(|found| found.record == file.record)
    }
}

/// Replays all records.
pub(crate) fn contents(store: &Store) -> Result<Contents, Error> {
    let mut newest = HashMap::new();
    let all = store.replay(0, 0).try_for_each(|entry| {
        let found = Found { section: entry.section, position: entry.position, record: entry.record.data };
        newest.insert(found.record.path_hash, found);
        futures::future::ready(Ok(()))
    });
    block_on(all)?;
    Ok(Contents(newest))
}

/// A replay of everything.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
    pub(crate) time: Duration,
}

/// Replays records alone, then records with values.
pub(crate) fn replay(store: &Store) -> Result<(Replayed, Replayed), Error> {
    let (mut records, mut values) = (Replayed::default(), Replayed::default());
    let before = Instant::now();
    block_on(store.replay(0, 0).try_for_each(|entry| {
        records.entries += 1;
        records.bytes += entry.record.data.len;
        futures::future::ready(Ok(()))
    }))?;
    records.time = before.elapsed();
    let before = Instant::now();
    block_on(store.replay_values(0, 0).try_for_each(|entry| {
        values.entries += 1;
        values.bytes += entry.value.len() as u64;
        futures::future::ready(Ok(()))
    }))?;
    values.time = before.elapsed();
    Ok((records, values))
}

/// How files and store agree.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    pub(crate) equal: u64,
    /// Files that have changed since they were read. What was read then is in the store: its checksum says so.
    pub(crate) changed: Vec<String>,
    /// Files whose value is another one.
    pub(crate) wrong: Vec<String>,
    /// Path hashes of files that are not in the store.
    pub(crate) missing: Vec<u128>,
}

/// Compares every file of the source that is in the store, byte for byte. `crcs`: of what was appended by this run.
pub(crate) fn compare(
    store: &Store,
    contents: &Contents,
    source: &Source,
    crcs: &HashMap<u128, u32>,
    bar: &ProgressBar,
) -> Result<Compared, Error> {
    let mut compared = Compared::default();
    for file in &source.files {
        let Some(found) = contents.0.get(&file.record.path_hash) else {
            compared.missing.push(file.record.path_hash);
            continue;
        };
        let (record, value) = block_on(store.read(found.section, found.position))?;
        let path = file.path.display();
        let crc = crcs.get(&file.record.path_hash);
        let as_appended = crc.is_none_or(|crc| *crc == crc32fast::hash(&value));
        let is_whole = record.data == found.record && value.len() as u64 == found.record.len;
        match file.read(u64::MAX - 1) {
            _ if !as_appended || !is_whole => compared.wrong.push(format!("{path}: not what was appended")),
            Ok((_, now)) if now == value => compared.equal += 1,
            Ok((now, _)) if now == found.record => compared.wrong.push(format!("{path}: not the bytes of the file")),
            Ok(_) => compared.changed.push(format!("{path}: has changed since it was read")),
            Err(error) => compared.changed.push(format!("{path}: {error}")),
        }
        bar.inc(file.record.len);
    }
    bar.finish_and_clear();
    Ok(compared)
}

impl Compared {
    /// Says it. Nothing may be wrong, and nothing missing but what could not be read.
    pub(crate) fn report(&self, source: &Source, unread: &[u128]) -> Result<(), Failure> {
        println!("compared  {} files byte for byte with the source: equal", self.equal);
        for changed in &self.changed {
            println!("changed   {changed}");
        }
        for wrong in &self.wrong {
            eprintln!("WRONG     {wrong}");
        }
        let missing = |file: &&SourceFile| {
            let hash = file.record.path_hash;
            self.missing.contains(&hash) && !unread.contains(&hash)
        };
        let missing: Vec<_> = source.files.iter().filter(missing).collect();
        for file in &missing {
            eprintln!("MISSING   {}", file.path.display());
        }
        match self.wrong.len() + missing.len() {
            0 => Ok(()),
            count => Err(Failure::new(format!("{count} files are wrong or missing in the store"))),
        }
    }
}

/// Opens a store that was not closed, prints its recovery, and looks for everything that was acknowledged: at its place,
/// with its bytes, and equal to the file. What else has come back must be whole too.
pub(crate) fn acknowledged(
    options: &Options,
    root: &Path,
    source: &Source,
    acknowledged: &[Acknowledged],
) -> Result<(), Failure> {
    let explain = |error: Error| print::explain(&error, root);
    let before = Instant::now();
    let store = record::open(root, options).map_err(explain)?;
    let took = before.elapsed();
    print::recovery(store.recovery());
    println!("recovered in {}", print::duration(took));
    for told in acknowledged {
        let name = || {
            let file = source.files.iter().find(|file| file.record.path_hash == told.path_hash);
            file.map_or_else(|| format!("{:032x}", told.path_hash), |file| file.path.display().to_string())
        };
        let (record, value) = block_on(store.read(told.section, told.position)).map_err(|error| {
            Failure::new(format!("LOST: {}, entry {} of section {}: {error}", name(), told.position, told.section))
        })?;
        if record.data.path_hash != told.path_hash || crc32fast::hash(&value) != told.crc {
            return Err(Failure::new(format!("DAMAGED: {} is not what was acknowledged", name())));
        }
    }
    let has = contents(&store).map_err(explain)?;
    let crcs = acknowledged.iter().map(|told| (told.path_hash, told.crc)).collect();
    let compared = compare(&store, &has, source, &crcs, &print::bar(&source.files)).map_err(explain)?;
    if let Some(wrong) = compared.wrong.first() {
        return Err(Failure::new(format!("DAMAGED: {wrong}")));
    }
    let (records, _) = replay(&store).map_err(explain)?;
    println!(
        "proved    {} acknowledged files are there and intact; {} entries came back, {} of their files are unchanged",
        acknowledged.len(),
        records.entries,
        compared.equal
    );
    block_on(store.close()).map_err(explain)
}
