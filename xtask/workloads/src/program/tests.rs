use super::*;

fn contenders() -> [Contender; 1] {
    [Contender {
        name: "none",
        about: "fails whatever it is asked",
        unsupported: |action| (action == Action::Entry).then_some("it cannot"),
        run: |_| Err("it does nothing".into()),
    }]
}

fn run(engine: &str, workload: &str, directory: PathBuf) -> Result<String> {
    let command = Command::Run { engine: engine.into(), workload: workload.into(), directory, phase: Phase::Measure };
    answer(&command, &contenders())
}

#[test]
fn what_is_not_known_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let error = |engine, workload| run(engine, workload, directory.path().into()).unwrap_err().to_string();
    assert_eq!(error("other", "entry"), "there is no engine other");
    assert_eq!(error("none", "other"), "there is no workload other");
    assert_eq!(error("none", "load"), "it does nothing");
}

/// The runner asks every engine for every workload, and must be told apart "cannot" and "failed".
#[test]
fn what_an_engine_cannot_do_is_an_answer() {
    let directory = tempfile::tempdir().unwrap();
    let line = run("none", "entry", directory.path().into()).unwrap();
    assert_eq!(serde_json::from_str::<Answer>(&line).unwrap(), Answer::Unsupported("it cannot".into()));
}

#[test]
fn a_workload_comes_by_its_id_or_whole() {
    let workload = workload_of("prune").unwrap();
    let json = serde_json::to_string(&workload).unwrap();
    assert_eq!(workload_of(&json).unwrap(), workload);
}

#[test]
fn the_engines_are_listed() {
    let line = answer(&Command::Engines, &contenders()).unwrap();
    let list: Vec<Introduction> = serde_json::from_str(&line).unwrap();
    assert_eq!(list, [Introduction { name: "none".into(), about: "fails whatever it is asked".into() }]);
}
