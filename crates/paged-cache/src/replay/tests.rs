use super::*;
use crate::writer::tests::{open, put};
use futures::executor::block_on;

fn collect(mut replay: Replay) -> Result<Vec<u8>, Error> {
    block_on(async {
        let mut all = Vec::new();
        while let Some(piece) = replay.next().await? {
            assert!(!piece.is_empty());
            all.extend_from_slice(&piece);
        }
        assert!(replay.next().await?.is_none(), "ends for good");
        Ok(all)
    })
}

/// From every offset, with the end in memory, half written, and durable; never a write or a sync of its own.
#[test]
fn every_start_yields_the_rest() {
    for synced in [0, 1, 39, 40, 41, 80, 95] {
        let paged = open();
        put(&paged, 0, synced);
        block_on(paged.sync()).unwrap();
        put(&paged, synced, 100 - synced);
        let durable = paged.durable();
        let want: Vec<u8> = (0..100).collect();
        for from in 0..=100_usize {
            assert_eq!(
                collect(paged.replay(from as u64).unwrap()).unwrap(),
                want[from..],
                "{from} with {synced} synced"
            );
        }
        assert_eq!((paged.durable(), paged.pending_bytes()), (durable, 100 - synced));
        let error = paged.replay(101).unwrap_err();
        assert!(matches!(error, Error::OutOfBounds { offset: 101, stream_len: 100, .. }), "{error:?}");
    }
}

/// The page that was last when a replay was made fills and reaches the blob before the replay gets there: it is read from
/// there, up to where the stream ended then.
#[test]
fn the_last_page_fills_under_a_replay() {
    for (len, more) in [(1, 39), (39, 2), (50, 30), (50, 31), (95, 400)] {
        for from in 0..=len {
            let paged = open();
            put(&paged, 0, len);
            let replay = paged.replay(from as u64).unwrap();
            put(&paged, len, more);
            block_on(paged.sync()).unwrap();
            let want: Vec<u8> = (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect();
            assert_eq!(collect(replay).unwrap(), want[from..], "{from} of {len}, then {more}");
        }
    }
}

/// A replay has read pages ahead when the stream is cut and grows again: it says so, and yields none of the old ones.
#[test]
fn pages_read_before_a_cut_are_not_yielded_after_it() {
    let paged = open();
    put(&paged, 0, 200);
    block_on(paged.sync()).unwrap();
    let mut replay = paged.replay(0).unwrap();
    assert_eq!(block_on(replay.next()).unwrap().unwrap().len(), 40);
    block_on(paged.cut(60)).unwrap();
    put(&paged, 60, 140);
    block_on(paged.sync()).unwrap();
    let error = block_on(replay.next()).unwrap_err();
    assert!(matches!(error, Error::Cut { .. }), "{error:?}");
    assert!(block_on(replay.next()).unwrap().is_none());
}

#[test]
fn what_comes_later_is_not_yielded_and_a_cut_ends_it_once() {
    let paged = open();
    put(&paged, 0, 100);
    block_on(paged.sync()).unwrap();
    let replay = paged.replay(0).unwrap();
    put(&paged, 100, 50);
    assert_eq!(collect(replay).unwrap().len(), 100);

    let mut replay = paged.replay(0).unwrap();
    block_on(paged.cut(0)).unwrap();
    let error = block_on(replay.next()).unwrap_err();
    assert!(matches!(error, Error::Cut { .. }), "{error:?}");
    assert!(block_on(replay.next()).unwrap().is_none());
}

#[test]
fn a_damaged_page_is_named_and_ends_it() {
    let paged = open();
    put(&paged, 0, 100);
    block_on(paged.sync()).unwrap();
    block_on(paged.blob().write_at(64 + 3, vec![Bytes::from_static(&[0xff])])).unwrap();
    let mut replay = paged.replay(0).unwrap();
    assert_eq!(block_on(replay.next()).unwrap().unwrap().len(), 40);
    let error = block_on(replay.next()).unwrap_err();
    assert!(matches!(error, Error::ChecksumMismatch { page: 1, offset: 64, .. }), "{error:?}");
    assert!(block_on(replay.next()).unwrap().is_none());
}

/// The newer slot of a page below the floor rots, and the older one, of when the page was not full, still verifies: the
/// rest of the page is not left out as if it had never been.
#[test]
fn a_page_of_which_only_the_older_slot_verifies_ends_it() {
    let paged = open();
    for len in [0, 10, 90, 130] {
        let from = usize::try_from(paged.len()).unwrap();
        put(&paged, from, len - from);
        block_on(paged.sync()).unwrap();
    }
    // The second slot of page 0 is the one that says it is full.
    block_on(paged.blob().write_at(64 - 1, vec![Bytes::from_static(&[0x5a])])).unwrap();
    let mut replay = paged.replay(0).unwrap();
    let error = block_on(replay.next()).unwrap_err();
    assert!(matches!(error, Error::ChecksumMismatch { page: 0, offset: 0, .. }), "{error:?}");
    assert!(block_on(replay.next()).unwrap().is_none());
    assert_eq!(collect(paged.replay(40).unwrap()).unwrap().len(), 90);
}
