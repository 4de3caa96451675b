//! Calls that were left in the middle, and what a crash leaves of them.

use blob_runtime::Operation;
use blob_runtime::sim::{self, Crash, Cut, Fault, Sim};
use fixed_journal::{Config, Error, Journal, RawJournal};
use futures::{FutureExt, TryStreamExt};

type Items = Journal<u64>;

fn config() -> Config {
    Config::new("items").page_bytes(64)
}

/// Lets everything run that can.
async fn settle(sim: &Sim) {
    for _ in 0..1000 {
        sim.yield_now().await;
    }
}

/// An append waits for a full buffer while a rewind takes hold of its section, and is dropped. The append goes on: it waited
/// for the end of the hold, and nobody carried the rewind there.
#[test]
fn an_append_beside_a_rewind_that_is_dropped() {
    sim::run(1, async |sim| {
        let journal = Items::open(sim.storage(), config().buffer_bytes(64)).await.unwrap();
        journal.append(1, &0).await.unwrap();
        journal.sync(1).await.unwrap();
        sim.faults().inject(Fault::hang(Operation::Write).partition("items"));
        let appends = sim.spawn({
            let journal = journal.clone();
            async move {
                for number in 1..100 {
                    journal.append(1, &number).await?;
                }
                Ok::<(), Error>(())
            }
        });
        settle(&sim).await;
        assert!(!appends.is_finished(), "it waits for room");
        {
            let mut rewind = Box::pin(journal.rewind_section(1, 1));
            for _ in 0..20 {
                assert!(rewind.as_mut().now_or_never().is_none());
                sim.yield_now().await;
            }
        }
        sim.faults().release();
        settle(&sim).await;
        assert!(appends.is_finished(), "it hangs");
        appends.await.unwrap().unwrap();
    });
}

/// A rewind is cut off by a crash, and then a page of what it has kept rots. That was synced before the rewind was decided, so
/// it is damage: it passed for a torn tail, and was cut off.
#[test]
fn what_an_unfinished_rewind_has_kept_rots() {
    let (mut refused, mut resumed) = (0, 0);
    for polls in 0..120 {
        sim::run(polls, async |sim| {
            let work = sim.clone();
            let left = sim.life(async move {
                let sim = work;
                let journal = Items::open(sim.storage(), config()).await.unwrap();
                for number in 0..40 {
                    journal.append(1, &number).await.unwrap();
                }
                journal.sync(1).await.unwrap();
                let mut rewind = Box::pin(journal.rewind_section(1, 20));
                for _ in 0..polls {
                    if rewind.as_mut().now_or_never().is_some() {
                        break;
                    }
                    sim.yield_now().await;
                }
            });
            left.await.unwrap();
            sim.crash(Crash::Kill);
            // The page before the last of those that are kept.
            assert!(sim.disk().edit("items", &1_u64.to_be_bytes(), |bytes| bytes[4096 + 64 + 9] ^= 1));
            let work = sim.clone();
            let opened = sim.life(async move {
                let sim = work;
                match Items::open(sim.storage(), config()).await {
                    Ok(journal) if journal.recovery().opening.resumed.is_some() => Some(journal.len(1).await.unwrap()),
                    Ok(_) => None,
                    Err(error) if error.to_string().contains("which a rewind that was not finished has kept") => {
                        Some(0)
                    }
                    Err(error) => panic!("{error:?}"),
                }
            });
            match opened.await.unwrap() {
                Some(0) => refused += 1,
                Some(len) => {
                    resumed += 1;
                    assert_eq!(len, 20, "what was kept is cut off");
                }
                None => {}
            }
            sim.crash(Crash::Power(Cut::LoseAll));
        });
    }
    assert!(refused >= 5, "{refused} refused, {resumed} resumed");
}

/// A section has failed, and its removal is dropped half-way: who reads it carries that on, and is told that it is gone.
#[test]
fn a_poisoned_section_whose_removal_is_dropped() {
    sim::run(1, async |sim| {
        let journal = Items::open(sim.storage(), config()).await.unwrap();
        for number in 0..12 {
            journal.append(1, &number).await.unwrap();
        }
        sim.faults().inject(Fault::eio(Operation::Sync).partition("items"));
        let failed = journal.sync(1).await;
        assert!(matches!(failed, Err(Error::Pages(_))), "{failed:?}");
        sim.faults().inject(Fault::hang(Operation::Remove).partition("items"));
        {
            let mut removal = Box::pin(journal.remove_section(1));
            for _ in 0..100 {
                assert!(removal.as_mut().now_or_never().is_none());
                sim.yield_now().await;
            }
        }
        sim.faults().release();
        for _ in 0..2 {
            let gone = journal.len(1).await;
            assert!(matches!(gone, Err(Error::SectionOutOfRange { section: 1 })), "{gone:?}");
        }
    });
}

/// The name of a section has survived, and nothing else. Whoever opens the journal without a size of items takes it for none.
#[test]
fn a_name_without_a_file_and_no_size_of_items() {
    sim::run(1, async |sim| {
        let work = sim.clone();
        let made = sim.life(async move {
            let sim = work;
            let journal = Items::open(sim.storage(), config()).await.unwrap();
            journal.append(7, &1).await.unwrap();
            journal.append(3, &2).await.unwrap();
            journal.sync(3).await.unwrap();
        });
        made.await.unwrap();
        sim.crash(Crash::Power(Cut::LoseAll));
        // What a crash may leave of the section that was not synced.
        let disk = sim.disk();
        while disk.remove("items", &7_u64.to_be_bytes()) {}
        assert!(disk.put("items", &7_u64.to_be_bytes(), blob_runtime::Salt(77), Vec::new()));
        let reader = RawJournal::open(sim.storage(), config().read_only(true), None).await.unwrap();
        let replayed: Vec<_> = reader.replay(0, 0).try_collect().await.unwrap();
        assert_eq!(replayed.len(), 1);
        let len = reader.len(7).await;
        assert!(matches!(len, Err(Error::SectionOutOfRange { section: 7 })), "{len:?}");
        let journal = RawJournal::open(sim.storage(), config(), None).await.unwrap();
        assert_eq!(journal.sections(), [3]);
        journal.close().await.unwrap();
    });
}
