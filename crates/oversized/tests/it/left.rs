//! Calls that were left in the middle, at every poll, while nothing else runs: who comes next is not held up by them, and
//! what they were about is done or is not.

use blob_runtime::Operation;
use blob_runtime::sim::{self, Fault, Sim};
use bytes::BufMut;
use futures::{FutureExt, StreamExt, TryStreamExt};
use oversized::{Config, Error, Located, Oversized, Until};

use crate::common::{LOSE_ALL, Store, append, config, fill, life, open, shown, value};

/// So many polls are more than any of these calls takes.
const POLLS: u64 = 250;

/// Runs `work` for every number of polls, each in a life of its own, and as long as it says that a call was left; at last
/// one has to have ended by itself.
fn at_every_poll<Fut>(work: impl Fn(Sim, u64) -> Fut)
where
    Fut: Future<Output = bool> + Send + 'static,
{
    let ended = (0..POLLS).any(|polls| sim::run(polls, async |sim| life(&sim, LOSE_ALL, |sim| work(sim, polls)).await));
    assert!(ended, "no call came to its end");
}

/// Polls a call at most so often, and drops it; its answer, if it came to one.
async fn left<T>(sim: &Sim, polls: u64, call: impl Future<Output = T> + Send) -> Option<T> {
    let mut call = Box::pin(call);
    for _ in 0..polls {
        if let Some(answer) = call.as_mut().now_or_never() {
            return Some(answer);
        }
        sim.yield_now().await;
    }
    None
}

async fn open_ordered(sim: &Sim) -> Store {
    Oversized::open(sim.storage(), config().ordered(true)).await.unwrap()
}

/// Makes a section, and fails.
async fn make_and_fail(store: &Store, section: u64) {
    let failed = store.raw().append(section, b"value", |_, _, record| record.put_slice(b"short")).await;
    assert!(matches!(failed, Err(Error::RecordSize { .. })), "{failed:?}");
}

/// Leaves a section that was made and that nothing is in: whoever makes it waits for another change, which has begun after so
/// many polls, and is dropped before or behind that. Whether it came to its end.
async fn leave_untouched(sim: &Sim, store: &Store, section: u64, begun: u64, polls: u64) -> bool {
    let mut making = Box::pin(make_and_fail(store, section));
    for poll in 0..polls {
        if poll == begun {
            let _begun = store.raw().set_state(bytes::Bytes::from_static(b"state")).now_or_never();
        }
        if making.as_mut().now_or_never().is_some() {
            return true;
        }
        sim.yield_now().await;
    }
    false
}

/// Runs `work` with every number of polls before the other change begins.
fn at_every_beginning<Fut>(work: impl Fn(Sim, u64, u64) -> Fut)
where
    Fut: Future<Output = bool> + Send + 'static,
{
    for begun in 0..20 {
        at_every_poll(|sim, polls| work(sim, begun, polls));
    }
}

/// In a store that is filled in order an append that makes the next section comes to nothing. The newest section that is
/// there takes appends; it was refused for the sake of one that was not.
#[test]
fn an_append_to_the_next_section() {
    at_every_poll(|sim, polls| async move {
        let store = open_ordered(&sim).await;
        fill(&store, 1, 0..2).await;
        let ended = left(&sim, polls, make_and_fail(&store, 3)).await;
        assert_eq!(append(&store, 1, 2).await.unwrap(), 2);
        assert_eq!(store.sections(), [1]);
        store.close().await.unwrap();
        let store = open_ordered(&sim).await;
        assert_eq!(store.sections(), [1]);
        assert_eq!(append(&store, 1, 3).await.unwrap(), 3);
        ended.is_some()
    });
}

/// The same beside another change, which whoever makes the section waits for. It is taken back by whoever has the time.
#[test]
fn an_append_to_the_next_section_beside_a_change() {
    at_every_beginning(|sim, begun, polls| async move {
        let store = open_ordered(&sim).await;
        fill(&store, 1, 0..2).await;
        let ended = leave_untouched(&sim, &store, 3, begun, polls).await;
        store.maintain().await.unwrap();
        assert_eq!(append(&store, 1, 2).await.unwrap(), 2);
        assert_eq!(store.sections(), [1]);
        store.close().await.unwrap();
        assert_eq!(open_ordered(&sim).await.sections(), [1]);
        ended
    });
}

/// What nothing is in is taken back by whoever has the time, and stays neither open nor in the table.
#[test]
fn a_section_that_nothing_is_in_is_taken_back() {
    at_every_beginning(|sim, begun, polls| async move {
        let store: Store = Oversized::open(sim.storage(), config().metrics(true)).await.unwrap();
        fill(&store, 1, 0..2).await;
        let ended = leave_untouched(&sim, &store, 3, begun, polls).await;
        store.maintain().await.unwrap();
        // Section 1 stays open, for it is not durable.
        assert_eq!(store.raw().metrics().unwrap().open_sections, 1);
        ended
    });
}

/// A store is closed while an append makes a section, which comes too late then: after the close there is no such section.
#[test]
fn a_close_while_a_section_is_made() {
    at_every_poll(|sim, polls| async move {
        let store = open(sim.storage()).await.unwrap();
        fill(&store, 1, 0..2).await;
        let mut making = Box::pin(append(&store, 3, 7));
        let mut made = None;
        for _ in 0..polls {
            made = made.or_else(|| making.as_mut().now_or_never());
            sim.yield_now().await;
        }
        let ended = made.is_some();
        let mut closing = Box::pin(store.close());
        loop {
            made = if made.is_none() { making.as_mut().now_or_never() } else { made };
            if let Some(closed) = closing.as_mut().now_or_never() {
                closed.unwrap();
                break;
            }
            sim.yield_now().await;
        }
        let is_there = match made {
            Some(made) => made.is_ok(),
            None => making.await.is_ok(),
        };
        let next = open(sim.storage()).await.unwrap();
        assert_eq!(next.sections(), if is_there { vec![1, 3] } else { vec![1] });
        ended
    });
}

/// Few sections stay open, and those that were not used are sealed and closed: not one that nothing is in, for a seal would
/// make it one of those that are there.
#[test]
fn a_section_that_nothing_is_in_is_not_sealed() {
    at_every_poll(|sim, polls| async move {
        let store = open(sim.storage()).await.unwrap();
        for section in [1, 2] {
            fill(&store, section, 0..2).await;
            store.sync(section).await.unwrap();
        }
        let ended = left(&sim, polls, make_and_fail(&store, 3)).await;
        for section in [1, 2, 1, 2, 1, 2] {
            store.read(section, 0).await.unwrap();
        }
        append(&store, 9, 5).await.unwrap();
        store.maintain().await.unwrap();
        assert_eq!(store.sections(), [1, 2, 9]);
        store.close().await.unwrap();
        assert_eq!(open(sim.storage()).await.unwrap().sections(), [1, 2, 9]);
        ended.is_some()
    });
}

/// A removal, a rewind that takes later sections along, and one of a single section. Who reads, in whichever way, is told of it
/// at most once, and reads on then: he was told each time, for nobody carried the change on.
#[test]
fn a_removal_and_a_rewind() {
    for (change, reader) in (0..3).flat_map(|change| (0..5).map(move |reader| (change, reader))) {
        at_every_poll(move |sim, polls| async move {
            let store = open(sim.storage()).await.unwrap();
            fill(&store, 1, 0..12).await;
            fill(&store, 2, 0..3).await;
            store.sync_all().await.unwrap();
            let changing = async {
                match change {
                    0 => store.remove_section(2).await.map(drop),
                    1 => store.rewind(1, 2).await,
                    _ => store.rewind_section(1, 2).await,
                }
            };
            let ended = left(&sim, polls, changing).await;
            for first in [true, false] {
                let read = match reader {
                    0 => store.replay(1, 0).try_collect::<Vec<_>>().await.map(drop),
                    1 => store.replay_values(1, 0).try_collect::<Vec<_>>().await.map(drop),
                    2 => store.read_many(1, 0..12, 10_000).await.map(drop),
                    3 => store.tail(1, 0, Until::Appended).next().await.unwrap().map(drop),
                    _ => store.read(1, 1).await.map(drop),
                };
                match read {
                    Ok(()) => {}
                    Err(Error::Rewound { .. } | Error::SectionOutOfRange { .. }) if first => {}
                    Err(error) => panic!("change {change}, reader {reader}: {error:?}"),
                }
            }
            let gone = store.read(2, 0).await;
            assert!(gone.is_ok() || matches!(gone, Err(Error::SectionOutOfRange { section: 2 })), "{gone:?}");
            let findings: Vec<_> = store.verify(..).try_collect().await.unwrap();
            assert!(findings.is_empty(), "{findings:?}");
            ended.is_some()
        });
    }
}

/// A prune. What it has decided to remove is not listed any more, and `prune_while` does not stumble over it.
#[test]
fn a_prune() {
    at_every_poll(|sim, polls| async move {
        let store = open(sim.storage()).await.unwrap();
        for section in 1..4 {
            fill(&store, section, 0..2).await;
        }
        let ended = left(&sim, polls, store.prune(3)).await;
        let pruned_to = store.pruned_to();
        assert!(store.sections().iter().all(|section| *section >= pruned_to), "{pruned_to}: {:?}", store.sections());
        assert_eq!(store.oldest_section(), store.sections().first().copied());
        assert_eq!(store.prune_while(|section, _| section < 3).await.unwrap(), 3);
        assert_eq!(store.sections(), [3]);
        ended.is_some()
    });
}

/// A section that nothing is in lies behind one that is rewound to its end: that cuts nothing, and who follows it goes on.
#[test]
fn a_rewind_that_cuts_nothing() {
    at_every_beginning(|sim, begun, polls| async move {
        let store = open(sim.storage()).await.unwrap();
        fill(&store, 1, 0..2).await;
        let mut tail = store.tail(1, 0, Until::Appended);
        assert_eq!(tail.next().await.unwrap().unwrap().position, 0);
        let ended = leave_untouched(&sim, &store, 3, begun, polls).await;
        store.rewind(1, 2).await.unwrap();
        assert!(!store.remove_section(3).await.unwrap(), "it was not there");
        append(&store, 1, 2).await.unwrap();
        for position in [1, 2] {
            assert_eq!(tail.next().await.unwrap().unwrap().position, position);
        }
        ended
    });
}

/// A tail comes on to a section that a rewind is about to remove. It shows all that follows, or tells of the rewind; it waited
/// for that section, and passed over what was appended to the one before.
#[test]
fn a_tail_that_comes_on_to_what_goes() {
    at_every_poll(|sim, polls| async move {
        let store = open_ordered(&sim).await;
        fill(&store, 1, 0..2).await;
        fill(&store, 3, 0..2).await;
        store.close().await.unwrap();
        let store = open_ordered(&sim).await;
        let mut tail = store.tail(1, 0, Until::Appended);
        for data in [0, 1] {
            assert_eq!(tail.next().await.unwrap().unwrap().record.data, data);
        }
        let mut rewind = Box::pin(store.rewind(1, 2));
        let mut ended = false;
        for _ in 0..polls {
            ended = ended || rewind.as_mut().now_or_never().is_some();
            sim.yield_now().await;
        }
        let over = ended;
        // It comes on now; a section that it is opening is waited for by the rewind.
        let mut first = tail.next().now_or_never();
        while !ended {
            ended = rewind.as_mut().now_or_never().is_some();
            first = if first.is_none() { tail.next().now_or_never() } else { first };
            sim.yield_now().await;
        }
        for _ in 0..50 {
            first = if first.is_none() { tail.next().now_or_never() } else { first };
            sim.yield_now().await;
        }
        append(&store, 1, 20).await.unwrap();
        append(&store, 3, 30).await.unwrap();
        match first {
            // It had come on before anything went.
            Some(Some(Ok(entry))) => assert_eq!((entry.section, entry.record.data), (3, 0)),
            Some(told) => assert!(matches!(told, Some(Err(Error::Rewound { .. }))), "{told:?}"),
            None => {
                let entry = tail.next().await.unwrap().unwrap();
                assert_eq!((entry.section, entry.record.data), (1, 20), "it has passed over an entry");
            }
        }
        over
    });
}

/// Who closes a store is gone when it fails; a later call is told, also behind a `destroy` that has carried it to its end.
#[test]
fn a_close_that_fails() {
    sim::run(1, async |sim| {
        life(&sim, LOSE_ALL, |sim| async move {
            let store = open(sim.storage()).await.unwrap();
            fill(&store, 1, 0..2).await;
            sim.faults().inject(Fault::eio(Operation::Sync).partition("blocks-values").always());
            assert!(store.close().now_or_never().is_none());
            let destroyed = store.destroy().await;
            assert!(matches!(destroyed, Err(Error::Closed)), "{destroyed:?}");
            for _ in 0..2 {
                let closed = store.close().await;
                assert!(matches!(closed, Err(Error::Poisoned { section: 1, .. })), "{closed:?}");
            }
        })
        .await;
    });
}

/// Calls that close others are left, again and again: sections that were taken off the clock are on it again, so that no more
/// of them stay open than there may be.
#[test]
fn the_sections_that_stay_open() {
    sim::run(1, async |sim| {
        life(&sim, LOSE_ALL, |sim| async move {
            let few = || Config::new("blocks").open_sections(3).metrics(true).preallocate_bytes(0);
            let store: Store = Oversized::open(sim.storage(), few()).await.unwrap();
            for section in 0..20 {
                append(&store, section, section).await.unwrap();
            }
            store.sync_all().await.unwrap();
            for polls in 0..200 {
                let next = 100 + polls;
                let next_value = value(next);
                let call = store.append(next, Located::new(next), &next_value);
                let _answer = left(&sim, polls % 40, call).await;
                store.sync_all().await.unwrap();
                let _read = left(&sim, polls % 17, store.read(polls % 20, 0)).await;
            }
            store.maintain().await.unwrap();
            store.maintain().await.unwrap();
            let open = store.raw().metrics().unwrap().open_sections;
            assert!(open <= 5, "{open} sections are open");
            assert_eq!(shown(&store, 7).await.unwrap(), [7]);
            assert_eq!(store.read(7, 0).await.unwrap().1, value(7));
        })
        .await;
    });
}

/// A tail begins at a section that is not there, and comes on to one that a rewind is about to remove; then the first is made
/// after all. Nothing of it is passed over without a word.
#[test]
fn a_tail_that_begins_before_what_goes() {
    at_every_poll(|sim, polls| async move {
        let store = open_ordered(&sim).await;
        fill(&store, 1, 0..2).await;
        fill(&store, 3, 0..2).await;
        let mut tail = store.tail(2, 0, Until::Appended);
        let ended = left(&sim, polls, store.rewind(1, 2)).await;
        let first = tail.next().now_or_never();
        if let Some(Some(Ok(entry))) = &first {
            assert_eq!((entry.section, entry.position), (3, 0), "before anything went");
            return ended.is_some();
        }
        store.rewind(1, 2).await.unwrap();
        append(&store, 2, 20).await.unwrap();
        append(&store, 3, 30).await.unwrap();
        let first = match first {
            Some(first) => first,
            None => tail.next().await,
        };
        match first.unwrap() {
            Ok(entry) => assert_eq!((entry.section, entry.record.data), (2, 20), "it has passed over an entry"),
            Err(error) => assert!(matches!(error, Error::Rewound { .. }), "{error:?}"),
        }
        ended.is_some()
    });
}

/// Several append to the newest section, while one that nothing is in is being taken back by one of them: none is refused.
#[test]
fn appends_beside_one_that_takes_back() {
    at_every_beginning(|sim, begun, polls| async move {
        let store = open_ordered(&sim).await;
        fill(&store, 1, 0..2).await;
        let ended = leave_untouched(&sim, &store, 3, begun, polls).await;
        let mut first = Box::pin(append(&store, 1, 2));
        let done = first.as_mut().now_or_never();
        let rest = async {
            match done {
                Some(done) => done,
                None => first.await,
            }
        };
        let (second, first) = futures::join!(append(&store, 1, 3), rest);
        assert_eq!(first.unwrap() + second.unwrap(), 5);
        assert_eq!(store.sections(), [1]);
        ended
    });
}

/// The sections were not opened yet when a prune was left: `prune_while` ends it first, and does not look at what goes.
#[test]
fn a_prune_of_sections_that_are_not_open() {
    at_every_poll(|sim, polls| async move {
        let store = open(sim.storage()).await.unwrap();
        for section in 1..4 {
            fill(&store, section, 0..2).await;
        }
        store.close().await.unwrap();
        let store = open(sim.storage()).await.unwrap();
        let ended = left(&sim, polls, store.prune(3)).await;
        assert_eq!(store.prune_while(|section, _| section < 3).await.unwrap(), 3);
        assert_eq!(store.sections(), [3]);
        ended.is_some()
    });
}

/// A section that was removed rests no more. An append that makes it anew is left, and whoever has the time seals what rests:
/// nothing is in it, so it is not there.
#[test]
fn a_section_that_was_removed_is_not_sealed() {
    at_every_beginning(|sim, begun, polls| async move {
        let store = open(sim.storage()).await.unwrap();
        for section in [2, 3, 4] {
            append(&store, section, section).await.unwrap();
        }
        store.sync(2).await.unwrap();
        store.sync(3).await.unwrap();
        assert!(store.remove_section(3).await.unwrap());
        let mut making = Box::pin(make_and_fail(&store, 3));
        let mut ended = false;
        for poll in 0..polls {
            if poll == begun {
                let _begun = store.raw().set_state(bytes::Bytes::from_static(b"state")).now_or_never();
            }
            ended = ended || making.as_mut().now_or_never().is_some();
            sim.yield_now().await;
        }
        // While it is being made.
        let mut maintained = Box::pin(store.maintain());
        for _ in 0..60 {
            if maintained.as_mut().now_or_never().is_some() {
                break;
            }
            sim.yield_now().await;
        }
        drop(maintained);
        drop(making);
        store.maintain().await.unwrap();
        assert_eq!(store.sections(), [2, 4]);
        store.close().await.unwrap();
        assert_eq!(store.sections(), [2, 4], "also when it is closed");
        assert_eq!(open(sim.storage()).await.unwrap().sections(), [2, 4]);
        ended
    });
}

/// A section is rewound to nothing: it is there at each moment, and afterwards, as it is after a restart.
#[test]
fn a_section_that_is_rewound_to_nothing() {
    at_every_poll(|sim, polls| async move {
        let store = open(sim.storage()).await.unwrap();
        fill(&store, 1, 0..2).await;
        store.sync(1).await.unwrap();
        fill(&store, 1, 2..3).await;
        let mut rewind = Box::pin(store.rewind_section(1, 0));
        let mut ended = false;
        for _ in 0..polls {
            ended = ended || rewind.as_mut().now_or_never().is_some();
            assert_eq!(store.sections(), [1]);
            sim.yield_now().await;
        }
        drop(rewind);
        // Carries on what the section does, not the rewind.
        let mut waiting = Box::pin(store.wait_durable(1, 2));
        let mut waits = true;
        for _ in 0..30 {
            waits = waits && waiting.as_mut().now_or_never().is_none();
            assert_eq!(store.sections(), [1]);
            sim.yield_now().await;
        }
        drop(waiting);
        store.rewind_section(1, 0).await.unwrap();
        assert_eq!((store.sections(), store.len(1).await.unwrap()), (vec![1], 0));
        ended
    });
}
