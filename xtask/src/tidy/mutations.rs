//! Rules about the [mutations](crate::mutation): they are data, so that they can be applied again, and data rots.

use std::collections::BTreeSet;

use super::docs::functions;
use super::{File, Finding, has_ending};
use crate::mutation::{FOLDER, List, Mutation};

#[cfg(test)]
mod tests;

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
    findings
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
