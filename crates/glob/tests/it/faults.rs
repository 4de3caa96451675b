//! Stories of single faults on the simulated disk, each with its exact outcome.

use blob_runtime::Operation;
use blob_runtime::sim::{self, Crash, Cut, Fault, Sim};
use bytes::Bytes;
use futures::TryStreamExt;
use glob::{Config, Cursor, Error, RawGlob};

const NAME: [u8; 8] = 1_u64.to_be_bytes();

fn config() -> Config {
    Config::new("values")
}

async fn open(sim: &Sim) -> RawGlob {
    RawGlob::open(sim.storage(), config()).await.unwrap()
}

async fn values(glob: &RawGlob, section: u64) -> Vec<Bytes> {
    if !glob.sections().contains(&section) {
        return Vec::new();
    }
    glob.scan(section, Cursor::START).map_ok(|frame| frame.value).try_collect().await.unwrap()
}

/// Runs as a life of the machine; then the machine goes down.
pub(crate) async fn life<Fut>(sim: &Sim, crash: Crash, work: impl FnOnce(Sim) -> Fut) -> Fut::Output
where
    Fut: Future<Output: Send + 'static> + Send + 'static,
{
    let output = sim.life(work(sim.clone())).await.unwrap();
    sim.crash(crash);
    output
}

const LOSE_ALL: Crash = Crash::Power(Cut::LoseAll);

/// A commit is one write and one sync of one file, and those that find space written ahead change no length; a seal takes
/// the space away again.
#[test]
fn a_commit_is_one_write_and_one_sync() {
    sim::run(1, async |sim| {
        let work = async |sim: Sim| {
            let glob = open(&sim).await;
            let mut lens = Vec::new();
            for n in 0..20_u8 {
                let before = sim.counts();
                glob.append(1, &[n; 256]).await.unwrap();
                glob.sync(1).await.unwrap();
                let after = sim.counts();
                let performed = |operation| after.performed(operation) - before.performed(operation);
                if n > 0 {
                    let counts = [Operation::Write, Operation::Sync, Operation::SyncDirectory, Operation::Resize];
                    assert_eq!(counts.map(performed), [1, 1, 0, 0], "commit {n}");
                }
                let file = sim.disk().files().into_iter().find(|file| *file.name == NAME).unwrap();
                lens.push(file.durable_len);
            }
            let frame = 296;
            assert_eq!(lens[..2], [4096 + frame, 4096 + 2 * frame], "the first ones are as long as their frames");
            assert!(lens[2] > 60_000 && lens[2] % 4096 == 0, "{lens:?}");
            assert!(lens[3..].iter().all(|len| *len == lens[2]), "{lens:?}");
            glob.close().await.unwrap();
            let file = sim.disk().files().into_iter().find(|file| *file.name == NAME).unwrap();
            assert_eq!(file.durable_len, 4096 + 20 * frame + 40);
        };
        life(&sim, LOSE_ALL, |sim| Box::pin(work(sim))).await;
    });
}

/// The sync fails once, the kernel drops the pages as clean, and a retry would say Ok (defects 13, 33). Every change is
/// refused until the section is reopened; it shows what was acknowledged, and what more it shows is on the disk.
#[test]
fn a_failed_sync_poisons_until_the_section_is_reopened() {
    for survivors in [Cut::LoseAll, Cut::KeepAll, Cut::Random] {
        for seed in 0..20 {
            sim::run(seed, async |sim| {
                let shown = life(&sim, LOSE_ALL, |sim| async move {
                    let glob = open(&sim).await;
                    let first = glob.append(1, b"first").await.unwrap();
                    glob.sync(1).await.unwrap();
                    glob.append(1, b"second").await.unwrap();
                    let fault = Fault::eio(Operation::Sync).blob("values", &NAME).survivors(survivors);
                    sim.faults().inject(fault);
                    for _ in 0..2 {
                        let error = glob.sync(1).await.unwrap_err();
                        assert!(matches!(error, Error::Poisoned { .. }), "{error:?}");
                        let error = glob.append(1, b"x").await.unwrap_err();
                        assert!(matches!(error, Error::Poisoned { .. }), "{error:?}");
                    }
                    assert_eq!(glob.get(1, first.location).await.unwrap(), "first", "reads go on");
                    glob.append(2, b"elsewhere").await.unwrap();
                    glob.sync(2).await.unwrap();
                    glob.reopen_section(1).await.unwrap();
                    let shown = values(&glob, 1).await;
                    assert_eq!(shown[0], "first");
                    let next = glob.append(1, b"third").await.unwrap();
                    assert_eq!(next.position, shown.len() as u64);
                    shown
                })
                .await;
                life(&sim, LOSE_ALL, |sim| async move {
                    let glob = open(&sim).await;
                    assert_eq!(values(&glob, 1).await, shown, "what was shown is durable, what came later is not");
                    assert_eq!(values(&glob, 2).await, ["elsewhere"]);
                })
                .await;
            });
        }
    }
}

/// The disk is full in the middle of a batch (defect 51): the write fails, nothing is lost, and when there is room the
/// next sync writes all of it. A crash before that leaves none of it.
#[test]
fn a_full_disk_in_the_middle_of_a_batch() {
    for crash_before_retry in [false, true] {
        sim::run(3, async |sim| {
            let want: &[&str] = life(&sim, Crash::Power(Cut::KeepAll), |sim| async move {
                let glob = RawGlob::open(sim.storage(), config().preallocate_bytes(0)).await.unwrap();
                glob.append(1, b"first").await.unwrap();
                glob.sync(1).await.unwrap();
                let used = sim.disk().used_bytes();
                sim.faults().space(Some(used + 70));
                glob.append_batch(1, &["second", "third", "fourth"]).await.unwrap();
                for _ in 0..2 {
                    let error = glob.sync(1).await.unwrap_err();
                    assert!(error.is_transient(), "{error:?}");
                    assert_eq!(error.storage().and_then(|e| e.io_kind()), Some(std::io::ErrorKind::StorageFull));
                }
                assert_eq!(values(&glob, 1).await.len(), 4, "still there, in memory");
                assert_eq!((glob.len(1).await.unwrap(), glob.durable_len(1).await.unwrap()), (4, 1));
                sim.faults().clear();
                if crash_before_retry {
                    return &["first"][..];
                }
                glob.sync(1).await.unwrap();
                assert_eq!(glob.durable_len(1).await.unwrap(), 4);
                &["first", "second", "third", "fourth"][..]
            })
            .await;
            life(&sim, LOSE_ALL, |sim| async move {
                let glob = open(&sim).await;
                assert_eq!(values(&glob, 1).await, *want);
            })
            .await;
        });
    }
}

/// A rewind, then regrowth, and a block that was cut off comes back with what it held before, as ext4 does with
/// `data=writeback` (defect 38). The dropped frame would fit to the byte: same offset, same position. It was overwritten
/// with zeros before the truncation, so what comes back is no frame.
#[test]
fn a_freed_block_that_comes_back_holds_no_frame() {
    for seed in 0..200 {
        sim::run(seed, async |sim| {
            sim.disk().set_stale(true);
            life(&sim, Crash::Power(Cut::Random), |sim| async move {
                let glob = RawGlob::open(sim.storage(), config().preallocate_bytes(0)).await.unwrap();
                glob.append(1, b"zero").await.unwrap();
                // 100 bytes with its header; then the one that must not come back.
                glob.append(1, &[1; 60]).await.unwrap();
                let doomed = glob.append(1, b"rewound").await.unwrap();
                glob.sync(1).await.unwrap();
                glob.rewind(1, 1).await.unwrap();
                // The seal has 40, this one 60: the next frame is where the doomed one was, with its number.
                glob.append(1, &[2; 20]).await.unwrap();
                glob.sync(1).await.unwrap();
                let next = glob.append(1, b"another").await.unwrap();
                assert_eq!(next, doomed);
                glob.flush(1).await.unwrap();
            })
            .await;
            life(&sim, LOSE_ALL, |sim| async move {
                let glob = open(&sim).await;
                let shown = values(&glob, 1).await;
                assert_eq!(shown[..2], [&b"zero"[..], &[2; 20]], "seed {seed}");
                assert!(shown[2..].iter().all(|value| value == "another"), "seed {seed}: {shown:?}");
            })
            .await;
        });
    }
}

/// The recovery's own sync fails: zeros over the torn tail are in the cache and not on the disk, an old frame is (defect
/// 53). The open fails; the next one cuts again, also what reads as zeros, before anything is appended there.
#[test]
fn a_recovery_whose_sync_fails_is_made_again() {
    for seed in 0..100 {
        sim::run(seed, async |sim| {
            life(&sim, Crash::Power(Cut::Random), |sim| async move {
                let glob = RawGlob::open(sim.storage(), config().preallocate_bytes(0)).await.unwrap();
                glob.append(1, b"acknowledged").await.unwrap();
                glob.sync(1).await.unwrap();
                for n in 0..5_u8 {
                    glob.append(1, &[n; 30]).await.unwrap();
                    glob.flush(1).await.unwrap();
                }
            })
            .await;
            life(&sim, Crash::Kill, |sim| async move {
                // The first sync is that of what was found.
                let fault = Fault::eio(Operation::Sync).blob("values", &NAME).nth(2).survivors(Cut::LoseAll);
                sim.faults().inject(fault);
                match RawGlob::open(sim.storage(), config()).await {
                    Err(Error::Storage { .. } | Error::Poisoned { .. }) => {}
                    other => panic!("seed {seed}: {other:?}"),
                }
            })
            .await;
            let shown = life(&sim, Crash::Power(Cut::Random), |sim| async move {
                let glob = open(&sim).await;
                let shown = values(&glob, 1).await;
                assert_eq!(shown[0], "acknowledged", "seed {seed}");
                glob.append(1, b"behind").await.unwrap();
                glob.sync(1).await.unwrap();
                shown
            })
            .await;
            life(&sim, LOSE_ALL, |sim| async move {
                let glob = open(&sim).await;
                let mut want = shown;
                want.push("behind".into());
                assert_eq!(values(&glob, 1).await, want, "seed {seed}");
            })
            .await;
        });
    }
}

/// The store was closed in order and is opened again; before its first write `dirty` is durable (defect 52). Were it not,
/// what a crash leaves of that write would be damage to a clean store.
#[test]
fn the_first_write_after_a_clean_open_is_preceded_by_dirty() {
    for crash in [Crash::Power(Cut::LoseAll), Crash::Power(Cut::KeepAll), Crash::Power(Cut::Random), Crash::Kill] {
        for step in 1.. {
            let through = sim::run(step, async |sim| {
                life(&sim, LOSE_ALL, |sim| async move {
                    let glob = open(&sim).await;
                    glob.append(1, b"before").await.unwrap();
                    glob.close().await.unwrap();
                })
                .await;
                let work = {
                    let sim = sim.clone();
                    async move {
                        let glob = open(&sim).await;
                        assert!(glob.recovery().opening.clean);
                        glob.append(1, &[7; 1000]).await.unwrap();
                        glob.flush(1).await.unwrap();
                        glob.append(2, b"new").await.unwrap();
                        glob.flush(2).await.unwrap();
                    }
                };
                sim.crash_at(step, crash);
                let through = sim.life(work).await.is_some();
                if sim.disarm() {
                    sim.crash(crash);
                }
                life(&sim, LOSE_ALL, |sim| async move {
                    let glob = open(&sim).await;
                    assert_eq!(values(&glob, 1).await[0], "before", "{crash:?}, step {step}");
                    assert_eq!(glob.append(1, b"next").await.unwrap().position, glob.len(1).await.unwrap() - 1);
                })
                .await;
                through
            });
            if through {
                break;
            }
        }
    }
}

/// One read fails while the store is opened (defect 6): the open fails with that, nothing is cut off, and the next open
/// finds everything (P12).
#[test]
fn a_failed_read_is_no_end() {
    for nth in 1..12 {
        sim::run(nth, async |sim| {
            life(&sim, LOSE_ALL, |sim| async move {
                let glob = open(&sim).await;
                for n in 0..4_u8 {
                    glob.append(1, &[n; 100]).await.unwrap();
                    glob.sync(1).await.unwrap();
                }
            })
            .await;
            life(&sim, LOSE_ALL, |sim| async move {
                sim.faults().inject(Fault::eio(Operation::Read).nth(nth));
                let opened = RawGlob::open(sim.storage(), config()).await;
                if sim.faults().armed() == 0 {
                    let error = opened.unwrap_err();
                    assert_eq!(
                        error.storage().and_then(|e| e.io_kind()),
                        std::io::Error::from_raw_os_error(5).kind().into()
                    );
                }
            })
            .await;
            life(&sim, LOSE_ALL, |sim| async move {
                sim.faults().clear();
                assert_eq!(values(&open(&sim).await, 1).await.len(), 4);
            })
            .await;
        });
    }
}

/// Destroyed, with a crash before every step: wholly there, or wholly gone with the next open (defect 25).
#[test]
fn a_destroy_is_whole() {
    for crash in [Crash::Power(Cut::LoseAll), Crash::Power(Cut::Random), Crash::Kill] {
        for step in 1.. {
            let through = sim::run(step, async |sim| {
                life(&sim, LOSE_ALL, |sim| async move {
                    let glob = open(&sim).await;
                    for section in 0..4 {
                        glob.append(section, b"value").await.unwrap();
                    }
                    glob.close().await.unwrap();
                })
                .await;
                sim.crash_at(step, crash);
                let work = {
                    let sim = sim.clone();
                    async move { open(&sim).await.destroy().await.unwrap() }
                };
                let through = sim.life(work).await.is_some();
                if sim.disarm() {
                    sim.crash(crash);
                }
                life(&sim, LOSE_ALL, move |sim| async move {
                    let glob = open(&sim).await;
                    let there = glob.sections();
                    assert!(
                        there.is_empty() || (there == [0, 1, 2, 3] && !through),
                        "{crash:?}, step {step}: {there:?}"
                    );
                    for section in there {
                        assert_eq!(values(&glob, section).await, ["value"]);
                    }
                })
                .await;
                through
            });
            if through {
                break;
            }
        }
    }
}

/// A rewind fails behind its durable decision: nothing more is changed, and the next open carries it on.
#[test]
fn a_rewind_that_fails_lets_nothing_be_changed() {
    for operation in [Operation::Resize, Operation::Remove] {
        sim::run(4, async |sim| {
            life(&sim, Crash::Kill, |sim| async move {
                let glob = open(&sim).await;
                for section in 1..4 {
                    glob.append_batch(section, &["a", "b"]).await.unwrap();
                }
                glob.sync_all().await.unwrap();
                sim.faults().inject(Fault::eio(operation).partition("values"));
                let error = glob.rewind(1, 1).await.unwrap_err();
                assert!(!matches!(error, Error::Closed), "{error:?}");
                for result in [
                    glob.append(1, b"x").await.map(|_| ()),
                    glob.append(9, b"x").await.map(|_| ()),
                    glob.rewind(1, 0).await,
                    glob.prune(2).await.map(|_| ()),
                    glob.remove_section(1).await.map(|_| ()),
                ] {
                    assert!(matches!(result, Err(Error::Unfinished { .. })), "{operation}: {result:?}");
                }
                assert!(matches!(glob.close().await, Err(Error::Unfinished { .. } | Error::Poisoned { .. })));
            })
            .await;
            life(&sim, LOSE_ALL, |sim| async move {
                let glob = open(&sim).await;
                assert!(glob.recovery().opening.resumed.is_some());
                assert_eq!((glob.sections(), values(&glob, 1).await), (vec![1], vec![Bytes::from_static(b"a")]));
            })
            .await;
        });
    }
}

/// The first sync of a section fails, the cache keeps header and frames as clean, the disk has neither, and the process is
/// killed. What the open shows then, it has written again: the header too.
#[test]
fn the_header_is_written_again_where_nothing_proves_it() {
    for seed in 0..20 {
        sim::run(seed, async |sim| {
            life(&sim, Crash::Kill, |sim| async move {
                let glob = open(&sim).await;
                glob.append(1, b"value").await.unwrap();
                let fault = Fault::eio(Operation::Sync).blob("values", &NAME).survivors(Cut::LoseAll);
                sim.faults().inject(fault);
                let error = glob.sync(1).await.unwrap_err();
                assert!(matches!(error, Error::Poisoned { .. }), "{error:?}");
            })
            .await;
            let shown = life(&sim, LOSE_ALL, |sim| async move { values(&open(&sim).await, 1).await }).await;
            assert_eq!(shown, ["value"], "it is in the cache");
            life(&sim, LOSE_ALL, |sim| async move {
                let glob = open(&sim).await;
                assert_eq!(glob.recovery().sections, [], "the header is there, and all else");
                assert_eq!(values(&glob, 1).await, ["value"]);
            })
            .await;
        });
    }
}

/// What an open shows was found, not synced; a second open, after a power cut, shows the same (P9), and finds nothing to do.
#[test]
fn what_an_open_shows_is_durable_and_a_second_open_changes_nothing() {
    for seed in 0..100 {
        sim::run(seed, async |sim| {
            life(&sim, Crash::Kill, |sim| async move {
                let glob = open(&sim).await;
                for n in 0..6_u8 {
                    glob.append(1, &[n; 50]).await.unwrap();
                    glob.flush(1).await.unwrap();
                }
            })
            .await;
            let shown = life(&sim, LOSE_ALL, |sim| async move { values(&open(&sim).await, 1).await }).await;
            assert_eq!(shown.len(), 6, "a killed process leaves its writes");
            let before = sim.disk().durable("values", &NAME);
            life(&sim, LOSE_ALL, |sim| async move {
                let glob = open(&sim).await;
                assert_eq!(values(&glob, 1).await, shown);
                assert!(glob.recovery().sections.is_empty(), "{:?}", glob.recovery());
            })
            .await;
            assert_eq!(sim.disk().durable("values", &NAME), before);
        });
    }
}

/// A sync that is asked for while its section is opened anew after a failed one is told of that: what was appended may be
/// gone, and there is nothing left to do in the new section. A sync of all, too.
#[test]
fn a_sync_beside_a_section_that_is_opened_anew_is_told() {
    for all in [false, true] {
        sim::run(1, async |sim| {
            life(&sim, LOSE_ALL, |sim| async move {
                let glob = open(&sim).await;
                for section in [1, 2] {
                    glob.append(section, b"acknowledged").await.unwrap();
                }
                glob.sync_all().await.unwrap();
                for section in [1, 2] {
                    glob.append(section, b"more").await.unwrap();
                }
                sim.faults().inject(Fault::eio(Operation::Sync).blob("values", &NAME));
                assert!(glob.sync(1).await.unwrap_err().storage().is_some_and(|error| error.is_sync_failure()));
                sim.faults().inject(Fault::hang(Operation::Sync).blob("values", &NAME));
                let reopen = {
                    let glob = glob.clone();
                    sim.spawn(async move { glob.reopen_section(1).await })
                };
                for _ in 0..50 {
                    sim.yield_now().await;
                }
                assert!(!reopen.is_finished());
                let sync = async |glob: &RawGlob| if all { glob.sync_all().await } else { glob.sync(1).await };
                let mut asked = std::pin::pin!(sync(&glob));
                let polled = futures::poll!(asked.as_mut());
                assert_eq!(polled.is_pending(), all);
                sim.faults().release();
                reopen.await.unwrap().unwrap();
                let told = match polled {
                    std::task::Poll::Ready(told) => told,
                    std::task::Poll::Pending => asked.await,
                };
                let told = told.unwrap_err();
                assert!(told.storage().is_some_and(|error| error.is_sync_failure()), "{told:?}");
                sync(&glob).await.unwrap();
            })
            .await;
        });
    }
}
