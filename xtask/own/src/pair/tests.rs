use futures::executor::block_on;
use workloads::Values;

use super::*;

fn place(section: u64, position: u64) -> Place {
    Place { section, position }
}

fn open(directory: &Path) -> Store {
    block_on(Pairs.open(directory)).unwrap()
}

fn check(store: &mut Store, items: impl Iterator<Item = Item>) {
    for item in items {
        let mut same = false;
        let look = |id, value: &[u8]| same = id == item.id && value == item.value;
        block_on(store.read(place(item.section, item.position), look)).unwrap();
        assert!(same, "{item:?}");
    }
}

#[test]
fn what_was_appended_comes_back_before_and_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let run = Run::new(Values::new(300), 2, 0..3, 0..2);
    let mut store = open(directory.path());
    block_on(store.append(run.clone())).unwrap();
    check(&mut store, run.clone());
    block_on(store.close()).unwrap();

    let mut store = open(directory.path());
    check(&mut store, run);
    let (mut entries, mut values) = (Vec::new(), Vec::new());
    block_on(store.replay_entries(|id| entries.push(id))).unwrap();
    block_on(store.replay_values(|id, _| values.push(id))).unwrap();
    assert_eq!((&entries[..], &values[..]), (&[0, 1, 2, 3, 4, 5][..], &[0, 1, 2, 3, 4, 5][..]));
}

/// The values end before the last entries say: those entries go, and the file of entries is cut where they began.
#[test]
fn entries_without_values_are_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    block_on(store.append(Run::new(Values::new(300), 5, 0..1, 0..5))).unwrap();
    block_on(store.close()).unwrap();
    let (index, values) = paths(directory.path(), 0);
    OpenOptions::new().write(true).open(values).unwrap().set_len(304 * 3 + 303).unwrap();

    let mut store = open(directory.path());
    assert_eq!(fs::metadata(index).unwrap().len(), 3 * ENTRY_BYTES as u64);
    check(&mut store, Run::new(Values::new(300), 5, 0..1, 0..3));
    assert_eq!(block_on(store.entry(place(0, 3))).unwrap_err().to_string(), "there is no such item");
}

#[test]
fn dropped_sections_have_no_files() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let run = Run::new(Values::new(10), 2, 0..5, 0..2);
    block_on(store.append(run.clone())).unwrap();
    block_on(store.sync()).unwrap();
    block_on(store.prune(3)).unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 4);
    assert_eq!(block_on(store.entry(place(2, 0))).unwrap_err().to_string(), "there is no such section");
    check(&mut store, run.filter(|item| item.section >= 3));
}

#[test]
fn writers_share_a_section() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let writers = Writers { count: 4, first: 0, each: 5, values: Values::new(100) };
    assert_eq!(block_on(store.write_together(writers)).unwrap().len(), 20);
    drop(store);
    let mut ids = Vec::new();
    block_on(open(directory.path()).replay_values(|id, _| ids.push(id))).unwrap();
    ids.sort_unstable();
    assert_eq!(ids, (0..20).collect::<Vec<_>>());
}
