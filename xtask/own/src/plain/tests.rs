use futures::executor::block_on;
use workloads::Values;

use super::*;

fn place(section: u64, position: u64) -> Place {
    Place { section, position }
}

fn read(plain: &mut Plain, place: Place) -> Result<(u64, Vec<u8>)> {
    let mut found = None;
    block_on(plain.read(place, |id, value| found = Some((id, value.to_vec()))))?;
    found.ok_or_else(|| "nothing was handed on".into())
}

/// The limit that our store is held against must itself do all of the work: find what it stored after a restart, and
/// see a value that has changed.
#[test]
fn what_was_appended_comes_back_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let values = Values::new(300);
    let run = Run::new(values, 2, 0..3, 0..2);
    let mut plain = Plain::open(directory.path()).unwrap();
    block_on(plain.append(run.clone())).unwrap();
    block_on(plain.close()).unwrap();

    let mut plain = Plain::open(directory.path()).unwrap();
    for item in run {
        let found = read(&mut plain, place(item.section, item.position)).unwrap();
        assert_eq!(found, (item.id, item.value.to_vec()));
    }
    let mut ids = Vec::new();
    block_on(plain.replay_values(|id, value| {
        assert_eq!(value, values.of(id));
        ids.push(id);
    }))
    .unwrap();
    assert_eq!(ids, [0, 1, 2, 3, 4, 5]);
    assert_eq!(read(&mut plain, place(2, 2)).unwrap_err().to_string(), "there is no such item");
}

#[test]
fn a_changed_byte_is_seen() {
    let directory = tempfile::tempdir().unwrap();
    let mut plain = Plain::open(directory.path()).unwrap();
    block_on(plain.append(Run::new(Values::new(300), 2, 0..1, 0..2))).unwrap();
    block_on(plain.sync()).unwrap();
    let second = HEADER_BYTES as u64 * 2 + 300;
    let mut byte = [0];
    plain.file.read_exact_at(&mut byte, second).unwrap();
    plain.file.write_all_at(&[!byte[0]], second).unwrap();
    assert_eq!(read(&mut plain, place(0, 1)).unwrap_err().to_string(), "a value's checksum is wrong");
    assert_eq!(Plain::open(directory.path()).unwrap().written, second - HEADER_BYTES as u64);
}

/// Commits into blocks that exist must not make the file longer, or they are not what they are compared as.
#[test]
fn ahead_the_file_does_not_grow() {
    let directory = tempfile::tempdir().unwrap();
    let mut plain = block_on(Ahead.open(directory.path())).unwrap();
    let writers = Writers { count: 4, first: 0, each: 5, values: Values::new(1_000) };
    assert_eq!(block_on(plain.write_together(writers)).unwrap().len(), 20);
    let item = Run::new(Values::new(1_000), 1, 0..1, 0..1).next().unwrap();
    block_on(plain.commit(item)).unwrap();
    assert_eq!(plain.written, 21 * 1_024);
    assert_eq!(plain.file.metadata().unwrap().len(), AHEAD_BYTES);
    let again = Plain::open(directory.path()).unwrap();
    assert_eq!(again.written, 21 * 1_024);
    assert_eq!(again.sections.iter().map(Vec::len).collect::<Vec<_>>(), [1, 5, 5, 5, 5]);
}
