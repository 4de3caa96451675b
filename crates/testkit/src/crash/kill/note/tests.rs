use super::*;

/// A line that is read as another one than was said would make the oracle judge something that never happened.
#[test]
fn lines_are_read_as_they_were_written() {
    let notes = [
        Note::Opened,
        Note::Append { thread: 2, section: u64::MAX, lens: vec![0, 7] },
        Note::Appended { thread: 2, position: 9 },
        Note::Sync { thread: 0, section: Some(1) },
        Note::Sync { thread: 0, section: None },
        Note::Synced { thread: 0 },
        Note::Change { thread: 1, change: Change::Rewind { section: 3, len: 4, all_later: true } },
        Note::Change { thread: 1, change: Change::Remove(5) },
        Note::Change { thread: 1, change: Change::Prune(6) },
        Note::Change { thread: 1, change: Change::State(7) },
        Note::Change { thread: 1, change: Change::Destroy },
        Note::Changed { thread: 1 },
        Note::Closed,
        Note::At { name: "before write".into() },
        Note::Failed { what: "an append answers: no".into() },
    ];
    for note in notes {
        assert_eq!(Note::parse(&note.to_string()), Some(note));
    }
    assert_eq!(Note::parse("append x 1"), None);
    assert_eq!(Note::parse("appended 1"), None);
}

/// A process is killed in an append: the entry may be there, and need not; one that was acknowledged must.
#[test]
fn what_had_begun_may_have_happened() {
    let mut oracle = Oracle::new(false, false);
    let mut ledger = Ledger::default();
    let notes = ["append 0 1 5", "appended 0 0", "sync 0 1", "synced 0", "append 0 1 5"];
    for note in notes {
        ledger.enter(Note::parse(note).unwrap(), &mut oracle);
    }
    ledger.killed(&mut oracle);
    for (ids, right) in [(vec![0], true), (vec![0, 1], true), (vec![], false), (vec![0, 1, 2], false)] {
        let mut oracle = oracle.clone();
        oracle.recovered(&[(1, ids)].into(), 0, 0);
        assert_eq!(oracle.violation().is_none(), right, "{:?}", oracle.violation());
    }
}
