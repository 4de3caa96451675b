use workloads::catalog::{Scale, workloads};

use super::*;

/// A session of three engines and two rows in which every figure can be told by head.
pub(in crate::bench) fn example() -> Session {
    let mut session = Session {
        command: "cargo xtask bench".into(),
        rounds: 3,
        machine: Machine {
            processor: "A Processor".into(),
            processors: 2,
            memory_gib: 16,
            kernel: "Linux 6.1".into(),
            file_system: "ext4".into(),
            compiler: "rustc 1.95.0".into(),
            commit: "0123456".into(),
            load_before: 0.1,
            load_after: 1.5,
        },
        engines: ["oversized", "raw", "cw4"]
            .map(|name| Introduction { name: name.into(), about: format!("about {name}") })
            .into(),
        ..Session::default()
    };
    for (engine, micros) in [("oversized", [130, 120, 140]), ("raw", [150, 140, 160]), ("cw4", [400, 300, 500])] {
        session.cells.push(commits(engine, micros));
    }
    let mut cell = Cell::new("oversized", &workload("entry"), false);
    cell.outcomes = vec![outcome(&cell, 640_000, 19_200_000)];
    session.cells.push(cell);
    let mut cell = Cell::new("raw", &workload("entry"), false);
    cell.unsupported = Some("it cannot".into());
    session.cells.push(cell);
    let mut cell = Cell::new("cw4", &workload("entry"), false);
    cell.failures = vec!["exit status: 1: it broke".into()];
    session.cells.push(cell);
    session
}

fn workload(id: &str) -> Workload {
    workloads(Scale::Full).into_iter().find(|workload| workload.id == id).unwrap()
}

/// An engine whose 1,000 commits of each round all took as long.
pub(in crate::bench) fn commits(engine: &str, micros: [u64; 3]) -> Cell {
    let mut cell = Cell::new(engine, &workload("commit-4k"), false);
    for micros in micros {
        let outcome = outcome(&cell, 1_000, micros * 1_000_000);
        let latencies = workloads::outcome::Latencies::new(vec![micros * 1_000; 1_000]);
        cell.outcomes.push(Outcome { latencies, ..outcome });
    }
    cell.calls = Some(Calls { operations: 100, syncs: 100, writes: 200, ..Calls::default() });
    cell
}

fn outcome(cell: &Cell, operations: u64, elapsed_ns: u64) -> Outcome {
    Outcome {
        engine: cell.engine.clone(),
        workload: cell.workload.id.clone(),
        operations,
        value_bytes: operations * cell.workload.shape.value_bytes,
        logical_bytes: operations * (cell.workload.shape.value_bytes + 8),
        elapsed_ns,
        final_sync_ns: 0,
        latencies: workloads::outcome::Latencies::new(vec![elapsed_ns / operations]),
        peak_memory_bytes: 8 << 20,
        io: workloads::outcome::Io::default(),
        disk: workloads::outcome::Disk::default(),
    }
}

#[test]
fn a_session_comes_back_from_its_file() {
    let session = example();
    let json = serde_json::to_string(&session).unwrap();
    assert_eq!(serde_json::from_str::<Session>(&json).unwrap(), session);
}

/// An engine that says "synced" and did not sync must not win. Where nobody could see, that is said and no more.
#[test]
fn who_did_not_sync_is_not_believed() {
    let belief = |syncs, uncounted| {
        let mut cell = commits("e", [1, 2, 3]);
        cell.calls = Some(Calls { operations: 100, syncs, uncounted, ..Calls::default() });
        cell.belief()
    };
    assert_eq!(belief(100, false), Belief::Believed);
    assert_eq!(belief(99, false), Belief::NotBelieved);
    assert_eq!(belief(99, true), Belief::Unknown);
    assert_eq!(belief(100, true), Belief::Believed);
    let unseen = Cell { calls: None, ..commits("e", [1, 2, 3]) };
    assert_eq!(unseen.belief(), Belief::Unknown);
    assert_eq!(Cell::new("e", &workload("entry"), false).belief(), Belief::Believed);
}

#[test]
fn figures_are_found_by_engine_row_and_way() {
    let session = example();
    let row = workloads::catalog::ROWS.iter().find(|row| row.id == "commit-4k").unwrap();
    assert_eq!(session.figure("cw4", row, false), Some(Summary { median: 400.0, min: 300.0, max: 500.0 }));
    assert_eq!(session.figure("cw4", row, true), None);
    assert_eq!(session.figure("redb", row, false), None);
}
