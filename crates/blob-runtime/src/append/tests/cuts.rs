//! Cuts, and jobs that run alone.

use super::*;

/// A sync is under way while a cut comes: the cut waits, and the floor does not rise beyond it afterwards (defect 39).
#[test]
fn a_cut_waits_for_the_sync_and_appends_wait_for_the_cut() {
    let (script, log) = log(100);
    put(&log, b"abcdef");
    let mut sync = pin!(log.sync());
    assert!(poll(sync.as_mut()).is_pending());
    let mut cut = pin!(log.cut(2, |blob| {
        async move {
            blob.resize(2).await?;
            blob.sync().await
        }
        .boxed()
    }));
    assert!(poll(cut.as_mut()).is_pending());
    script.end(Ok(()));
    assert!(matches!(poll(sync.as_mut()), Poll::Ready(Ok(()))));
    assert_eq!(log.durable(), 6);
    assert!(poll(cut.as_mut()).is_pending());
    assert_eq!(script.calls()[1..], [Call::Resize(2)]);
    let mut append = pin!(log.append(1, |offset, space| {
        space.put(b"x");
        offset
    }));
    assert!(poll(append.as_mut()).is_pending(), "not into what is being cut");
    script.answer_at_once();
    script.end(Ok(()));
    assert!(matches!(poll(cut.as_mut()), Poll::Ready(Ok(()))));
    assert_eq!((log.len(), log.written(), log.durable()), (2, 2, 2));
    assert!(matches!(poll(append.as_mut()), Poll::Ready(Ok(2))));
    assert_eq!(&block_on(log.read_at(0, 3)).unwrap()[..], b"abx");
}

/// What never left memory is cut without a call; what a failed write may have left in the file is not forgotten
/// (defect 37).
#[test]
fn a_cut_runs_its_steps_whenever_the_blob_may_hold_something() {
    let steps = |blob: Arc<dyn Blob>| async move { blob.resize(0).await }.boxed();
    let (script, log) = log(100);
    script.answer_at_once();
    put(&log, b"abc");
    block_on(log.cut(1, steps)).unwrap();
    assert_eq!((script.calls(), log.len()), (vec![], 1));
    script.fail_next(eio(Operation::Write));
    let failed = block_on(log.sync()).unwrap_err();
    assert!(matches!(failed, Error::Io { operation: Operation::Write, .. }), "{failed:?}");
    block_on(log.cut(0, steps)).unwrap();
    assert_eq!(script.calls()[1..], [Call::Resize(0)]);
    assert!(log.is_empty());
    let error = block_on(log.cut(1, steps)).unwrap_err();
    assert!(matches!(error, Error::OutOfBounds { offset: 1, blob_len: 0, .. }), "{error:?}");
}

/// Zeros written ahead are cut off the file while an append comes: it waits, so that its write is not cut off too. A
/// caller that is dropped leaves the job to the next one.
#[test]
fn what_runs_alone_keeps_appends_out() {
    let resize = |blob: Arc<dyn Blob>, len: u64, _: &mut Plain| async move { blob.resize(len).await }.boxed();
    let (script, log) = log(100);
    put(&log, b"abc");
    assert!(matches!(block_on(log.alone(resize)), Ok(false)), "something is only in memory");
    script.answer_at_once();
    block_on(log.sync()).unwrap();
    let (script, log) = {
        let again = Script::default();
        let log = Log::new(again.blob(), Plain, Start { len: 3, durable: 3 }, config(100));
        (again, log)
    };
    {
        let mut alone = pin!(log.alone(resize));
        assert!(poll(alone.as_mut()).is_pending());
    }
    let mut append = pin!(log.append(1, |offset, space| {
        space.put(b"x");
        offset
    }));
    assert!(poll(append.as_mut()).is_pending());
    assert_eq!(script.calls(), [Call::Resize(3)]);
    script.end(Ok(()));
    assert!(matches!(poll(append.as_mut()), Poll::Ready(Ok(3))));
    script.answer_at_once();
    block_on(log.sync()).unwrap();
    script.fail_next(eio(Operation::Resize));
    let failed = block_on(log.alone(resize)).unwrap_err();
    assert!(matches!(failed, Error::Io { operation: Operation::Resize, .. }), "{failed:?}");
    assert!(matches!(block_on(log.alone(resize)), Ok(true)), "it has not poisoned");
    put(&log, b"y");
    block_on(log.sync()).unwrap();
}

/// A write of six bytes fails and leaves some of them; a shorter one comes through; then the log is cut to just that.
/// Nothing tells any more that a write has failed, but its bytes are still there (found by a simulation, seed 15484 of the
/// journal's).
#[test]
fn a_cut_remembers_how_far_a_failed_write_had_reached() {
    let (script, log) = log(100);
    script.answer_at_once();
    put(&log, b"abcdef");
    script.fail_next(eio(Operation::Write));
    let failed = block_on(log.sync()).unwrap_err();
    assert!(matches!(failed, Error::Io { operation: Operation::Write, .. }), "{failed:?}");
    block_on(log.sync_through(2)).unwrap();
    block_on(log.cut(2, |blob| async move { blob.resize(2).await }.boxed())).unwrap();
    assert_eq!(script.calls()[2..], [Call::Resize(2)]);
    block_on(log.cut(2, |blob| async move { blob.resize(2).await }.boxed())).unwrap();
    assert_eq!(script.calls().len(), 3, "once is enough");
}

#[test]
fn a_failed_cut_poisons_also_when_only_a_write_failed() {
    let (script, log) = log(100);
    script.answer_at_once();
    put(&log, b"abc");
    block_on(log.sync()).unwrap();
    script.fail_next(eio(Operation::Resize));
    let error = block_on(log.cut(1, |blob| async move { blob.resize(1).await }.boxed())).unwrap_err();
    assert!(matches!(error, Error::Poisoned { .. }), "{error:?}");
    assert!(matches!(block_on(log.sync()), Err(Error::Poisoned { .. })));
}

/// A section is given up while a write of its is under way: what follows opens the blob anew, and must not see bytes land
/// in it later. So it waits until that write is over, and nothing more begins.
#[test]
fn a_log_that_retires_waits_for_what_has_begun() {
    let (script, log) = log(100);
    put(&log, b"abc");
    let mut sync = pin!(log.sync());
    assert!(poll(sync.as_mut()).is_pending());
    put(&log, b"de");
    let mut retire = pin!(log.retire());
    assert!(poll(retire.as_mut()).is_pending(), "the write is under way");
    script.end(Ok(()));
    assert_eq!(poll(retire.as_mut()), Poll::Ready(()));
    assert_eq!(log.written(), 3, "it was run to its end");
    let error = block_on(log.sync()).unwrap_err();
    assert!(matches!(error, Error::Closed), "{error:?}");
    assert_eq!(script.calls(), [Call::WriteSync(0, b"abc".to_vec())], "and nothing else was begun");
}
