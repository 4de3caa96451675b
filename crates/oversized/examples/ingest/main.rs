//! Puts every file below a directory into a store, one entry a file, and proves that it is there: the store is closed,
//! opened again, and each value is compared byte for byte with its file.
//!
//! ```sh
//! cargo run --release --example ingest                      # this repository
//! cargo run --release --example ingest -- ~/photos          # every regular file below a directory
//! cargo run --release --example ingest -- ~/photos --crash  # the store is killed in the middle, then recovered
//! cargo run --release --example ingest -- --help
//! ```
//!
//! Run again on the same `--store` it takes only the files that are new or have changed since.
//!
//! | module | concept |
//! |---|---|
//! | `options` | the command line |
//! | `source` | the files below a directory |
//! | `record` | what the store keeps of a file beside its bytes |
//! | `load` | writers, sections, commits |
//! | `prove` | what is in the store, against the files |
//! | `crash` | the store in a process that is killed |
//! | `print` | figures and errors in words |

mod crash;
mod load;
mod options;
mod print;
mod prove;
mod record;
mod source;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use futures::executor::block_on;

use crate::options::{Options, Place};
use crate::print::{Failure, bytes, duration};
use crate::source::Source;

fn main() -> ExitCode {
    let options = Options::parse();
    let run = if options.child { crash::child(&options) } else { parent(&options) };
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("ingest: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn parent(options: &Options) -> Result<(), Failure> {
    let place = Place::new(options)?;
    let source = Source::find(&options.root(), options.everything(), place.path())?;
    println!("source    {}: {} files, {}", source.root.display(), source.files.len(), bytes(source.bytes()));
    println!("store     {}", options.describe(&place));
    let loaded = if options.crash { crash::run(options, &place, &source)? } else { ingest(options, &place, &source)? };
    let outcome = again(options, &place, &source, &loaded);
    for skipped in loaded.skipped.iter().chain(&source.unreadable) {
        eprintln!("skipped   {skipped}");
    }
    outcome?;
    match loaded.skipped.len() + source.unreadable.len() {
        0 => Ok(()),
        count => Err(Failure::new(format!("{count} could not be read and are not in the store; all others are"))),
    }
}

/// Opens the store, loads what it does not have, and closes it. Whatever stops it, what was acknowledged is looked for
/// before it returns.
fn ingest(options: &Options, place: &Place, source: &Source) -> Result<load::Loaded, Failure> {
    let store = record::open(place.path(), options).map_err(|error| print::explain(&error, place.path()))?;
    print::recovery(store.recovery());
    let has = prove::contents(&store).map_err(|error| print::explain(&error, place.path()))?;
    let new: Vec<_> = source.files.iter().filter(|file| !has.is_current(file)).collect();
    if new.len() < source.files.len() {
        println!("          {} files are in it already", source.files.len() - new.len());
    }
    let acknowledged = std::sync::Mutex::new(Vec::new());
    let told = |commit: &[load::Acknowledged]| {
        acknowledged.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend_from_slice(commit);
        Ok(())
    };
    let (loaded, result) = load::load(&store, &new, options, &told, &print::bar(&new));
    let result = result.and_then(|()| Ok(block_on(store.close())?));
    // Dropped without a close after a failure: a crash, as far as the store knows.
    drop(store);
    let Err(error) = result else {
        print::loaded(&loaded);
        return Ok(loaded);
    };
    let acknowledged = acknowledged.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let failure = error.explain(place.path());
    Err(match prove::acknowledged(options, place.path(), source, &acknowledged) {
        Ok(()) => {
            Failure::new(format!("{failure}; all {} acknowledged files are there and intact", acknowledged.len()))
        }
        Err(more) => {
            Failure::new(format!("{failure}; looking for the {} acknowledged files: {more}", acknowledged.len()))
        }
    })
}

/// Opens the store after its close, replays it, and compares everything with the source.
fn again(options: &Options, place: &Place, source: &Source, loaded: &load::Loaded) -> Result<(), Failure> {
    let explain = |error: oversized::Error| print::explain(&error, place.path());
    let before = Instant::now();
    let store = record::open(place.path(), options).map_err(explain)?;
    let opened = before.elapsed();
    if !store.recovery().opening.clean {
        return Err(Failure::new("the store was closed, and does not say so when it is opened again"));
    }
    let stored = record::stored_bytes(&store).map_err(explain)?;
    let has = prove::contents(&store).map_err(explain)?;
    let (records, values) = prove::replay(&store).map_err(explain)?;
    println!(
        "stored    {} in {} sections: {} of the {} of its values",
        bytes(stored),
        store.sections().len(),
        print::percent(stored, values.bytes),
        bytes(values.bytes)
    );
    println!(
        "reopened  in {}; replay of {} records {}, with values {} ({}/s)",
        duration(opened),
        records.entries,
        duration(records.time),
        duration(values.time),
        bytes(print::rate(values.bytes, values.time))
    );
    let compared = prove::compare(&store, &has, source, &loaded.crcs, &print::bar(&source.files)).map_err(explain)?;
    let closed = block_on(store.close()).map_err(explain);
    compared.report(source, &loaded.unread)?;
    std::io::stdout().flush().map_err(|error| Failure::new(error.to_string()))?;
    closed
}
