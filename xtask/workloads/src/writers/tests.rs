use std::collections::BTreeSet;
use std::sync::Mutex;

use futures::FutureExt as _;

use super::*;

fn writers() -> Writers {
    Writers { count: 3, first: 5, each: 4, values: Values::new(8) }
}

/// Each writer has a section of its own, with positions that follow each other: a Raft log takes no others.
fn expect_all(items: &[Item]) {
    let places: BTreeSet<_> = items.iter().map(|item| (item.section, item.position)).collect();
    let wanted: BTreeSet<_> = (1..=3).flat_map(|section| (5..9).map(move |position| (section, position))).collect();
    assert_eq!(places, wanted);
    let ids: BTreeSet<_> = items.iter().map(|item| item.id).collect();
    assert_eq!(ids.len(), 12);
}

#[test]
fn threads_commit_all() {
    let seen = Mutex::new(Vec::new());
    let times = writers().threads(|item| {
        seen.lock().unwrap().push(item);
        Ok(())
    });
    assert_eq!(times.unwrap().len(), 12);
    expect_all(&seen.into_inner().unwrap());
}

#[test]
fn futures_commit_all() {
    let seen = Mutex::new(Vec::new());
    let commit = async |item| {
        seen.lock().unwrap().push(item);
        Ok(())
    };
    assert_eq!(writers().futures(commit).now_or_never().unwrap().unwrap().len(), 12);
    expect_all(&seen.into_inner().unwrap());
}

/// A writer that fails must not be left out of the average.
#[test]
fn a_failed_commit_fails_all() {
    let fail = |item: Item| if item.section == 2 { Err("the disk is full".into()) } else { Ok(()) };
    assert_eq!(writers().threads(fail).unwrap_err().to_string(), "the disk is full");
    let times = writers().futures(async |item| fail(item)).now_or_never().unwrap();
    assert_eq!(times.unwrap_err().to_string(), "the disk is full");
}
