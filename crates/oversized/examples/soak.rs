//! How much memory and how many files a store holds however long it runs and however many sections it has.
//!
//! `cargo run --release -p oversized --example soak -- --gib 10 --sections 100000 [--store directory]`: appends so much in
//! sections of 64 MiB and prunes all but the last four, then makes so many sections of one entry each. What the process
//! holds is printed on the way.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use blob_runtime::FileStorage;
use bytes::Bytes;
use clap::Parser;
use futures::executor::block_on;
use oversized::{Config, Located, Oversized};

type Store = Oversized<Located<u64>, Bytes>;

const VALUE_BYTES: usize = 64 << 10;
const VALUES_IN_SECTION: u64 = 1024;
const SECTIONS_KEPT: u64 = 4;

#[derive(Debug, Parser)]
struct Args {
    /// How much is appended while older sections are pruned, in GiB.
    #[arg(long, default_value_t = 0.25)]
    gib: f64,
    /// How many sections of one entry are made.
    #[arg(long, default_value_t = 2_000)]
    sections: u64,
    /// Where the stores are; a temporary directory unless set. What is there is not removed.
    #[arg(long)]
    store: Option<PathBuf>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let temporary = tempfile::tempdir()?;
    let root = args.store.as_deref().unwrap_or(temporary.path());
    println!("{:<36} {:>10} {:>12} {:>12} {:>8}", "", "seconds", "memory, MiB", "at most", "files");
    block_on(async {
        let storage = Arc::new(FileStorage::open(root)?);
        pruned(&Store::open(storage.clone(), Config::new("pruned")).await?, args.gib).await?;
        many(&Store::open(storage.clone(), Config::new("many")).await?, args.sections).await?;
        let began = Instant::now();
        let again = Store::open(storage, Config::new("many")).await?;
        report(&format!("opened again: {} sections", again.sections().len()), began)?;
        Ok(())
    })
}

/// Appends, with a sync for every 16 values, and prunes.
async fn pruned(store: &Store, gib: f64) -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    let values = (gib * f64::from(1 << 30) / VALUE_BYTES as f64).ceil();
    let first = store.newest_section().map_or(0, |newest| newest + 1);
    let value = Bytes::from(vec![7; VALUE_BYTES]);
    let mut number = 0_u64;
    while (number as f64) < values {
        let section = first + number / VALUES_IN_SECTION;
        store.append(section, Located::new(number), &value).await?;
        number += 1;
        if number.is_multiple_of(16) {
            store.sync(section).await?;
        }
        if number.is_multiple_of(VALUES_IN_SECTION) {
            store.prune((section + 1).saturating_sub(SECTIONS_KEPT)).await?;
        }
        if number.is_multiple_of((1 << 30) / VALUE_BYTES as u64) {
            report(&format!("{} GiB appended", number / ((1 << 30) / VALUE_BYTES as u64)), began)?;
        }
    }
    store.close().await?;
    report(&format!("{gib} GiB appended, closed"), began)
}

/// Makes sections of one entry, all of them durable after every 1,000.
async fn many(store: &Store, sections: u64) -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    let first = store.newest_section().map_or(0, |newest| newest + 1);
    for section in 0..sections {
        store.append(first + section, Located::new(section), &Bytes::from_static(b"a small value")).await?;
        if (section + 1).is_multiple_of(1_000) {
            store.sync_all().await?;
        }
        if (section + 1).is_multiple_of(10_000) {
            report(&format!("{} sections", section + 1), began)?;
        }
    }
    store.close().await?;
    report(&format!("{sections} sections, closed"), began)
}

/// A line of what the process holds: `VmRSS` and `VmHWM` of proc(5), and its open files. Not told where there is no proc.
fn report(what: &str, began: Instant) -> Result<(), Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mib = |field: &str| -> String {
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kib.map_or_else(|| "?".to_owned(), |kib| format!("{:.1}", kib / 1024.0))
    };
    let files = std::fs::read_dir("/proc/self/fd").map_or_else(|_| "?".to_owned(), |files| files.count().to_string());
    let seconds = began.elapsed().as_secs_f64();
    println!("{what:<36} {seconds:>10.1} {:>12} {:>12} {files:>8}", mib("VmRSS:"), mib("VmHWM:"));
    Ok(())
}
