//! Rules about the [mutations](crate::mutation): they are data, so that they can be applied again, and data rots.

use std::collections::BTreeSet;

use super::docs::{TESTING, functions};
use super::{File, Finding, has_ending};
use crate::mutation::{FOLDER, List, Mutation};

#[cfg(test)]
mod tests;

/// What stands above the list of mutations in the document.
const LIST: &str = "| mutation | tests that catch it |\n|---|---|\n";

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let tests: BTreeSet<String> =
        files.iter().filter(|file| has_ending(file, "rs")).flat_map(|file| functions(&file.text)).collect();
    let mut findings = Vec::new();
    let mut names = BTreeSet::new();
    let lists = || files.iter().filter(|file| file.path.starts_with(FOLDER) && has_ending(file, "toml"));
    let read = lists().filter_map(|list| toml::from_str::<List>(&list.text).ok());
    let all: BTreeSet<String> = read.flat_map(|list| list.mutation).map(|mutation| mutation.name).collect();
    for list in lists() {
        let mutations = match toml::from_str::<List>(&list.text) {
            Ok(found) => found.mutation,
            Err(error) => {
                findings.push(Finding::new(&list.path, 0, "mutation", error.to_string()));
                continue;
            }
        };
        for mutation in mutations {
            let unknown = mutation.also.iter().filter(|also| !all.contains(*also));
            findings.extend(unknown.map(|also| finding(list, &mutation, &format!("there is no mutation {also}"))));
            if !names.insert(mutation.name.clone()) {
                findings.push(finding(list, &mutation, "there are two of this name"));
            }
            findings.extend(faults(&mutation, files, &tests).into_iter().map(|fault| finding(list, &mutation, &fault)));
        }
    }
    findings.extend(check_list(files, lists()));
    findings
}

/// The document lists each mutation with the tests that catch it, and none that there is not.
fn check_list<'a>(files: &[File], lists: impl Iterator<Item = &'a File>) -> Vec<Finding> {
    let Some(document) = files.iter().find(|file| file.path == TESTING) else { return Vec::new() };
    let Some((above, list)) = document.text.split_once(LIST) else {
        return vec![Finding::new(TESTING, 0, "mutation", format!("there is no line {LIST:?}"))];
    };
    let begins = above.lines().count() + LIST.lines().count();
    let all = lists.filter_map(|list| toml::from_str::<List>(&list.text).ok()).flat_map(|list| list.mutation);
    let wanted: BTreeSet<String> = all.map(|mutation| row(&mutation)).collect();
    let listed = list.lines().take_while(|line| line.starts_with('|'));
    let listed: Vec<(usize, &str)> = listed.enumerate().map(|(at, line)| (begins + at + 1, line)).collect();
    let missing = wanted.iter().filter(|row| !listed.iter().any(|(_, line)| line == row));
    let missing = missing.map(|row| Finding::new(TESTING, begins, "mutation", format!("not in the list: {row}")));
    let unknown = listed.iter().filter(|(_, line)| !wanted.contains(*line));
    let unknown = unknown.map(|(at, _)| Finding::new(TESTING, *at, "mutation", "no mutation of `xtask/mutations`"));
    missing.chain(unknown).collect()
}

/// A mutation's line in the document.
fn row(mutation: &Mutation) -> String {
    let caught: Vec<String> = mutation.caught_by.iter().map(|test| format!("`{test}`")).collect();
    match &mutation.survives {
        Some(why) => format!("| {} | none can: {} |", mutation.name, why.trim()),
        None => format!("| {} | {} |", mutation.name, caught.join(", ")),
    }
}

fn finding(list: &File, mutation: &Mutation, message: &str) -> Finding {
    // The line of its name; none is missed by it, for the name is in the text.
    let line = list.text.lines().position(|line| line.starts_with("name") && line.contains(&mutation.name));
    Finding::new(&list.path, line.map_or(0, |at| at + 1), "mutation", format!("{}: {message}", mutation.name))
}

/// What keeps a mutation from being applied, and from being believed.
fn faults(mutation: &Mutation, files: &[File], tests: &BTreeSet<String>) -> Vec<String> {
    let mut faults = Vec::new();
    match files.iter().find(|file| file.path == mutation.file) {
        None => faults.push(format!("there is no {}", mutation.file)),
        Some(file) => match file.text.matches(&mutation.find).count() {
            1 => {}
            count => faults.push(format!("its `find` occurs {count} times in {}", mutation.file)),
        },
    }
    if mutation.find == mutation.replace {
        faults.push("it changes nothing".to_owned());
    }
    if !mutation.test.starts_with("cargo test ") {
        faults.push("its `test` is no `cargo test`".to_owned());
    }
    match (mutation.caught_by.is_empty(), &mutation.survives) {
        (true, None) => faults.push("no test has caught it, and nothing says why none can".to_owned()),
        (false, Some(_)) => faults.push("it is caught, and is said to survive".to_owned()),
        _ => {}
    }
    for test in &mutation.caught_by {
        if !test.rsplit("::").next().is_some_and(|name| tests.contains(name)) {
            faults.push(format!("there is no test {test}"));
        }
    }
    faults
}
