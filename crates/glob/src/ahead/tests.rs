use super::*;
use crate::section::Resume;

const KIB: u64 = 1024;

fn layout(max_window_bytes: u64) -> Ahead {
    Ahead::new(Arc::new(Progress::new(Resume::default())), 0, max_window_bytes)
}

/// One commit of `len` bytes behind `start`; answers the zeros in its write.
fn commit(layout: &mut Ahead, start: u64, len: u64) -> u64 {
    let zeros = plan(layout, start, len, true);
    layout.written(start + len);
    layout.synced(start + len);
    zeros
}

fn plan(layout: &mut Ahead, start: u64, len: u64, sync: bool) -> u64 {
    let parts = vec![Bytes::from(vec![1; usize::try_from(len).unwrap()])];
    let plan = layout.plan(Pending { start, parts, sync });
    assert_eq!((plan.offset, plan.through), (start, start + len));
    let (frames, zeros) = plan.data.split_first().unwrap();
    assert_eq!(frames.len() as u64, len);
    assert!(zeros.iter().all(|part| part.iter().all(|byte| *byte == 0)));
    zeros.iter().map(|part| part.len() as u64).sum()
}

/// Small commits, one after the other: the third finds no written space and makes some; those behind it find it.
#[test]
fn zeros_are_written_when_the_space_runs_out() {
    let mut layout = layout(1024 * KIB);
    let mut at = 0;
    let mut extending = Vec::new();
    for n in 0..1000 {
        let zeros = commit(&mut layout, at, 296);
        at += 296;
        if zeros > 0 {
            assert_eq!((at + zeros) % BLOCK_BYTES, 0, "the space ends with a block");
            assert!((64 * KIB..64 * KIB + BLOCK_BYTES).contains(&zeros), "{zeros}");
            extending.push(n);
        }
    }
    // A window of 64 KiB, up to the next block: 221 commits and what fits into the block.
    assert_eq!(extending, [2, 235, 470, 705, 940]);
}

#[test]
fn the_window_follows_the_size_of_the_commits() {
    for (len, least, most) in [(4 * KIB, 768 * KIB, 776 * KIB), (64 * KIB, 1024 * KIB, 1028 * KIB), (512 * KIB, 0, 0)] {
        let mut layout = layout(1024 * KIB);
        let zeros: Vec<_> = (0..3).map(|n| commit(&mut layout, n * len, len)).collect();
        assert_eq!(zeros[..2], [0, 0], "{len}");
        assert!((least..=most).contains(&zeros[2]), "{len}: {zeros:?}");
    }
    assert_eq!(commit(&mut layout(0), 0, 100), 0);
}

/// Appends run without syncs, and the buffers are written as they fill (I8): zeros behind them would only be overwritten.
#[test]
fn no_zeros_without_a_sync_nor_in_long_runs() {
    let mut layout = layout(1024 * KIB);
    // Small commits, so that the next one would bring zeros.
    assert_eq!((commit(&mut layout, 0, 100), commit(&mut layout, 100, 100)), (0, 0));
    for n in 2..10 {
        assert_eq!(plan(&mut layout, n * 100, 100, false), 0);
        layout.written((n + 1) * 100);
    }
    // A long run is synced on its way, and then not at every small commit either.
    for n in 0..5 {
        assert_eq!(commit(&mut layout, 1000 + n * 16 * 1024 * KIB, 16 * 1024 * KIB), 0);
    }
    let at = 1000 + 80 * 1024 * KIB;
    assert_eq!((commit(&mut layout, at, 100), commit(&mut layout, at + 100, 100)), (0, 0));
}

/// The disk has room for the values and not for zeros: they must not be what every commit fails on.
#[test]
fn after_a_failure_zeros_are_left_out_for_a_while() {
    let mut layout = layout(1024 * KIB);
    commit(&mut layout, 0, 100);
    commit(&mut layout, 100, 100);
    assert!(plan(&mut layout, 200, 100, true) > 0);
    // It failed; the retry and those behind it have none.
    let mut without = 0;
    let mut at = 200;
    while commit(&mut layout, at, 100) == 0 {
        at += 100;
        without += 1;
    }
    assert_eq!(without, BACKOFF);
}

/// A cut or a seal takes the space away: what was written there is not relied upon.
#[test]
fn a_cut_takes_the_space_away() {
    let mut layout = layout(1024 * KIB);
    for n in 0..3 {
        commit(&mut layout, n * 100, 100);
    }
    assert!(layout.end > 300);
    layout.cut(150);
    assert_eq!((layout.end, layout.synced), (150, 150));
    assert!(commit(&mut layout, 150, 100) > 0, "a commit that extends");
    layout.trim(250);
    assert_eq!(layout.end, 250);
    assert_eq!(commit(&mut layout, 250, 40), 0, "the seal brings no zeros");
}

#[test]
fn a_blob_at_its_limit_gets_no_zeros() {
    let mut layout = layout(1024 * KIB);
    let near = MAX_BLOB_BYTES - 1000;
    for n in 0..4 {
        assert_eq!(commit(&mut layout, near + n * 100, 100) % BLOCK_BYTES, 0);
    }
    assert!(layout.end <= MAX_BLOB_BYTES);
}
