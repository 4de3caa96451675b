//! The report of a session: Markdown, a page of HTML, and plots as SVG.

use std::fs;
use std::path::Path;

use self::content::Report;
use super::session::Session;
use crate::process::Failure;

mod content;
mod document;
mod number;
mod plots;
#[cfg(test)]
mod tests;

/// Where the report begins and ends in `docs/benchmarks.md`; what is around it is written by hand and stays.
const BEGIN: &str = "<!-- made by cargo xtask bench --save: begin -->";
const END: &str = "<!-- made by cargo xtask bench --save: end -->";
/// What a new `docs/benchmarks.md` opens with.
const OPENING: &str = "# Benchmarks\n\n";

/// Writes `report.md`, `report.html` and `plots/` into a folder.
///
/// # Errors
/// The first file that cannot be written.
pub(super) fn write(session: &Session, out: &Path) -> Result<(), Failure> {
    let report = Report::new(session);
    put(&out.join("report.md"), &document::markdown(&report.blocks, "plots/"))?;
    put(&out.join("report.html"), &document::html(&report.blocks, "plots/"))?;
    put_plots(&report, &out.join("plots"))
}

/// Puts the report into `docs/benchmarks.md` and the plots into `docs/benchmarks/`.
///
/// # Errors
/// The first file that cannot be read or written.
pub(super) fn save(session: &Session, docs: &Path) -> Result<(), Failure> {
    let report = Report::new(session);
    let page = docs.join("benchmarks.md");
    let old = match fs::read_to_string(&page) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => OPENING.to_owned(),
        Err(error) => return Err(Failure::new(format!("cannot read {}: {error}", page.display()))),
    };
    put(&page, &insert(&old, &document::markdown(&report.blocks, "benchmarks/")))?;
    put_plots(&report, &docs.join("benchmarks"))
}

/// Puts a report in the place of the old one; behind all that is there when there was none.
fn insert(page: &str, report: &str) -> String {
    let (before, after) = match page.split_once(BEGIN) {
        Some((before, rest)) => (before, rest.split_once(END).map_or("", |(_, after)| after)),
        None => (page, "\n"),
    };
    format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", report.trim())
}

/// Writes the plots, and removes those of an earlier report.
fn put_plots(report: &Report, folder: &Path) -> Result<(), Failure> {
    let failed = |error: &std::io::Error| Failure::new(format!("cannot make {} anew: {error}", folder.display()));
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(&error)),
        _ => fs::create_dir_all(folder).map_err(|error| failed(&error))?,
    }
    report.plots.iter().try_for_each(|(name, svg)| put(&folder.join(name), svg))
}

fn put(file: &Path, text: &str) -> Result<(), Failure> {
    fs::write(file, text).map_err(|error| Failure::new(format!("cannot write {}: {error}", file.display())))
}
