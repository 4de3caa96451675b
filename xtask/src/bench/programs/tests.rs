use workloads::catalog::{Scale, workloads};

use super::*;
use crate::process::tests::write_script;

/// A program that is a shell script, in a folder for one test.
fn engine(folder: &Path, script: &str) -> Engine {
    let program = folder.join("program");
    write_script(&program, &format!("#!/bin/sh\n{script}\n"));
    Engine { name: "e".into(), about: String::new(), program }
}

fn workload(id: &str) -> Workload {
    workloads(Scale::Quick).into_iter().find(|workload| workload.id == id).unwrap()
}

fn run(id: &str, script: &str) -> Result<Ended, Failure> {
    let folder = tempfile::tempdir().unwrap();
    measured(&engine(folder.path(), script), id, folder.path())
}

fn measured(engine: &Engine, id: &str, folder: &Path) -> Result<Ended, Failure> {
    measure(engine, &workload(id), folder, Way::Free)
}

#[test]
fn an_answer_is_taken_as_it_is() {
    let unsupported = run("entry", "echo '{\"unsupported\":\"it cannot\"}'");
    assert_eq!(unsupported, Ok(Ended::Unsupported("it cannot".into())));
}

/// Each phase is a process of its own, the store is made before it is measured, and both have the same directory, which
/// is empty at first, and gone at last.
#[test]
fn a_store_is_made_and_then_measured() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "ls \"$7\" >>{0}/seen; echo \"$2 $5\" >>{0}/seen; touch \"$7/file\"; echo '\"prepared\"'",
        folder.path().display()
    );
    let engine = engine(folder.path(), &script);
    let error = measured(&engine, "prune", folder.path()).unwrap_err();
    assert_eq!(error, Failure::new("e measured nothing of prune"));
    assert_eq!(fs::read_to_string(folder.path().join("seen")).unwrap(), "e prepare\nfile\ne measure\n");
    fs::remove_file(folder.path().join("seen")).unwrap();
    let error = measured(&engine, "load", folder.path()).unwrap_err();
    assert_eq!(error, Failure::new("e measured nothing of load"));
    assert_eq!(fs::read_to_string(folder.path().join("seen")).unwrap(), "e measure\n");
    assert!(!folder.path().join("store").exists());
}

/// An engine that crashes is told with its own words, not taken for one without result.
#[test]
fn a_failed_process_is_told() {
    let error = run("load", "echo it broke >&2; exit 3").unwrap_err();
    assert_eq!(error, Failure::new("exit status: 3: it broke"));
    let error = run("load", "echo nonsense").unwrap_err().to_string();
    assert!(error.starts_with("e gave no answer for load, measure: expected"), "{error}");
}

/// An engine that hangs must not hang the benchmark.
#[test]
fn a_process_that_does_not_end_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("sleep");
    let error = quietly(command.arg("1000"), folder.path(), Duration::from_millis(50)).unwrap_err();
    assert_eq!(error, Failure::new("it did not end within 50ms"));
}
