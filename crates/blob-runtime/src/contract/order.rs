//! One change after the other, also when the caller goes away.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::case::{Case, Stop, Verdict, cases, noise};
use super::writes::overlay;
use crate::error::Error;
use crate::storage::{Blob, Storage};

/// More polls than any future of a backend takes; the cases stop when it ends earlier.
pub(super) const MOST_POLLS: usize = 32;

cases! {
    DROP_BEFORE "every operation, made and never polled" never_polled;
    ORDER "a change is seen through every handle as soon as it returns" visible;
    ORDER "changes through several handles, polled first in one order and then in the other" first_polls;
    ORDER "changes of different blobs do not wait for each other's callers" other_blobs;
    OVERLAP "reads beside a write, after every number of its polls" overlap;
    DROP_AFTER "every change, after every number of polls, then a change through every kind of handle" dropped_change;
    DROP_AFTER "one that waits behind another is given up" dropped_waiter;
    DROP_OPEN "after every number of polls" dropped_open;
    DROP_STORAGE "a removal, after every number of polls" dropped_removal;
    DROP_STORAGE "a sync of many, after every number of polls" dropped_sync_many;
}

/// A change of one blob.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Write(u64, Vec<u8>),
    WriteSync(u64, Vec<u8>),
    Resize(u64),
    Sync,
    Header,
}

impl Change {
    /// One of each kind, for a blob of 8,000 bytes.
    pub(super) fn kinds() -> [Self; 6] {
        [
            Self::Write(2_000, noise(90, 5_000)),
            Self::WriteSync(6_000, noise(91, 4_000)),
            Self::Resize(3_000),
            Self::Resize(12_000),
            Self::Sync,
            Self::Header,
        ]
    }

    /// A change of a blob of some thousand bytes.
    pub(super) fn random(rng: &mut fastrand::Rng) -> Self {
        const MOST: usize = 10_000;
        let mut data = || (rng.u64(..MOST as u64), noise(rng.u64(..), rng.usize(..MOST / 2)));
        let (offset, data) = data();
        match rng.u8(..8) {
            0..4 => Self::Write(offset, data),
            4 => Self::WriteSync(offset, data),
            5 => Self::Sync,
            6 => Self::Header,
            _ => Self::Resize(offset),
        }
    }

    /// The change as a future that was not polled.
    pub(super) fn on<'a>(&self, blob: &'a dyn Blob) -> BoxFuture<'a, Result<(), Error>> {
        let parts = |data: &[u8]| {
            let (a, b) = data.split_at(data.len() / 3);
            vec![Bytes::copy_from_slice(a), Bytes::copy_from_slice(b)]
        };
        match self {
            Self::Write(offset, data) => blob.write_at(*offset, parts(data)),
            Self::WriteSync(offset, data) => blob.write_at_sync(*offset, parts(data)),
            Self::Resize(len) => blob.resize(*len),
            Self::Sync => blob.sync(),
            Self::Header => blob.write_header(),
        }
    }

    /// What the change makes of these bytes.
    pub(super) fn of(&self, content: &[u8]) -> Vec<u8> {
        let index = |at: u64| usize::try_from(at).unwrap_or_default();
        let mut content = content.to_vec();
        match self {
            Self::Write(offset, data) | Self::WriteSync(offset, data) => overlay(&mut content, index(*offset), data),
            Self::Resize(len) => content.resize(index(*len), 0),
            Self::Sync | Self::Header => {}
        }
        content
    }
}

async fn visible(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let one = case.open(&storage, "order", b"visible").await?;
    let two = case.open(&storage, "order", b"visible").await?;
    let mut rng = fastrand::Rng::with_seed(40);
    let mut content = Vec::new();
    for round in 0..40 {
        let change = Change::random(&mut rng);
        let (by, other) = if rng.bool() { (&one, &two) } else { (&two, &one) };
        let doing = format!("change {round}");
        let changed = case.ends(&doing, change.on(by.as_ref())).await?;
        case.ok(&doing, changed)?;
        content = change.of(&content);
        case.content(&format!("{doing}, this handle"), by.as_ref(), &content).await?;
        case.content(&format!("{doing}, the other handle"), other.as_ref(), &content).await?;
    }
    Ok(())
}

/// Group commit and write-behind lean on this: what was asked for first lands first, however the executor goes on.
async fn first_polls(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let mut handles = Vec::new();
    for _ in 0..3 {
        handles.push(case.open(&storage, "order", b"several").await?);
    }
    let mut content = Vec::new();
    for seed in 0..48 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let changes: Vec<_> = (0..rng.usize(2..7)).map(|_| Change::random(&mut rng)).collect();
        let mut futures = Vec::new();
        for change in &changes {
            if let Some(handle) = handles.get(rng.usize(..handles.len())) {
                futures.push(change.on(handle.as_ref()));
            }
            content = change.of(&content);
        }
        let doing = format!("changes at once, seed {seed}");
        for answer in case.together(&doing, futures).await? {
            case.ok(&doing, answer)?;
        }
        for handle in &handles {
            case.content(&doing, handle.as_ref(), &content).await?;
        }
    }
    Ok(())
}

/// The future of one blob's change is kept and not polled; another blob must go on meanwhile.
async fn other_blobs(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let slow = case.open(&storage, "order", b"slow").await?;
    let other = case.open(&storage, "order", b"other").await?;
    let mut held = slow.write_at(0, vec![Bytes::from(noise(41, 9_000))]);
    let early = futures::poll!(&mut held);
    case.write(other.as_ref(), 0, b"goes on").await?;
    case.sync(other.as_ref()).await?;
    case.content("a blob beside one with a change under way", other.as_ref(), b"goes on").await?;
    let written = match early {
        std::task::Poll::Ready(written) => written,
        std::task::Poll::Pending => case.ends("going on with the first", held).await?,
    };
    case.ok("going on with the first", written)?;
    case.content("the first", slow.as_ref(), &noise(41, 9_000)).await
}

async fn overlap(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let (old, new) = (noise(42, 20_000), noise(43, 12_000));
    for polls in 0..MOST_POLLS {
        let name = format!("overlap-{polls}");
        let writer = case.open(&storage, "order", name.as_bytes()).await?;
        let reader = case.open(&storage, "order", name.as_bytes()).await?;
        case.write(writer.as_ref(), 0, &old).await?;
        let mut write = writer.write_at(4_000, vec![Bytes::from(new.clone())]);
        let ended = case.polled("a write beside reads", &mut write, polls).await?;
        let doing = format!("reading beside a write that was polled {polls} times");
        let seen = case.read(&doing, reader.as_ref(), 0, old.len()).await?;
        let mixed = seen.iter().zip(&old).enumerate().all(|(at, (seen, old))| {
            let new = at.checked_sub(4_000).and_then(|at| new.get(at));
            seen == old || Some(seen) == new
        });
        case.holds(&doing, "old and new bytes in the overlap, old ones beside it", &"other bytes", mixed)?;
        let done = ended.is_some();
        let written = match ended {
            Some(written) => written,
            None => case.ends("the write", write).await?,
        };
        case.ok("the write", written)?;
        case.content("after the write", reader.as_ref(), &Change::Write(4_000, new.clone()).of(&old)).await?;
        if done {
            break;
        }
    }
    Ok(())
}

/// A `select!` makes futures it never polls.
async fn never_polled(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let content = noise(44, 8_000);
    let blob = case.durable(&storage, "order", b"blob", &content).await?;
    let (partition, name, new) = ("order", b"blob".to_vec(), super::case::format());
    drop(blob.read_at(0, 1));
    for change in Change::kinds() {
        drop(change.on(blob.as_ref()));
    }
    drop(storage.remove(partition, &[name]));
    drop(storage.remove_partition(partition));
    drop(storage.open(partition, b"never", &new));
    drop(storage.scan(partition));
    drop(storage.claim(partition));
    drop(storage.sync_many(&[Arc::clone(&blob)]));
    case.content("after futures that were never polled", blob.as_ref(), &content).await?;
    case.same("names", vec![b"blob".to_vec()], case.scan(&storage, partition).await?)?;
    let claim = case.ends("claiming", storage.claim(partition)).await?;
    drop(case.ok("claiming", claim)?);
    case.write(blob.as_ref(), 0, b"x").await?;
    case.sync(blob.as_ref()).await?;
    case.content("after the next change", blob.as_ref(), &Change::Write(0, b"x".to_vec()).of(&content)).await
}

/// The handle through which the change after a dropped one comes.
#[derive(Debug, Clone, Copy)]
enum Next {
    Same,
    Other,
    Later,
}

/// A timeout drops a write that is on its way to the disk. The retry writes the same place; the first write must not
/// land on top of it, neither at once nor with the next sync nor after the blob was opened again.
async fn dropped_change(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    for (at, change) in Change::kinds().into_iter().enumerate() {
        for next in [Next::Same, Next::Other, Next::Later] {
            for polls in 0..MOST_POLLS {
                let name = format!("{at}-{next:?}-{polls}");
                if dropped_once(case, &storage, name.as_bytes(), &change, next, polls).await? {
                    break;
                }
            }
        }
    }
    Ok(())
}

/// Whether the change had ended before it was dropped.
async fn dropped_once(
    case: &Case<'_>,
    storage: &Arc<dyn Storage>,
    name: &[u8],
    change: &Change,
    next: Next,
    polls: usize,
) -> Result<bool, Stop> {
    let old = noise(polls as u64, 8_000);
    let blob = case.open(storage, "order", name).await?;
    let other = case.open(storage, "order", name).await?;
    case.write(blob.as_ref(), 0, &old).await?;
    let ended = case.polled("a dropped change", change.on(blob.as_ref()), polls).await?;
    let done = ended.is_some();
    if let Some(ended) = ended {
        case.ok("a change that ended in time", ended)?;
    }
    let by = match next {
        Next::Same => Arc::clone(&blob),
        Next::Other => other,
        Next::Later => case.existing(storage, "order", name).await?,
    };
    let after = Change::Write(5_500, noise(45, 4_000));
    let doing = format!("{} dropped after {polls} polls, then a write through {next:?}", name_of(change));
    let changed = case.ends(&doing, after.on(by.as_ref())).await?;
    case.ok(&doing, changed)?;

    let seen = case.all(&doing, by.as_ref()).await?;
    let (without, with) = (after.of(&old), after.of(&change.of(&old)));
    let allowed = (seen == without && !done) || (seen == with && polls > 0);
    let expected = if done { "the change, then the write" } else { "the write, after the whole change or none of it" };
    case.holds(&doing, expected, &Differs::of(&seen, &with, &without), allowed)?;
    case.sync(by.as_ref()).await?;
    case.content(&format!("{doing}, after a sync"), blob.as_ref(), &seen).await?;
    let last = case.existing(storage, "order", name).await?;
    case.content(&format!("{doing}, opened again"), last.as_ref(), &seen).await?;
    Ok(done)
}

fn name_of(change: &Change) -> &'static str {
    match change {
        Change::Write(..) => "write_at",
        Change::WriteSync(..) => "write_at_sync",
        Change::Resize(_) => "resize",
        Change::Sync => "sync",
        Change::Header => "write_header",
    }
}

/// Where bytes first differ from each of the two allowed outcomes.
#[derive(Debug)]
#[expect(dead_code, reason = "shown in a violation by its Debug")]
struct Differs {
    len: usize,
    from_with_change: Option<usize>,
    from_without_change: Option<usize>,
}

impl Differs {
    fn of(seen: &[u8], with: &[u8], without: &[u8]) -> Self {
        let first = |other: &[u8]| seen.iter().zip(other).position(|(seen, other)| seen != other);
        Self { len: seen.len(), from_with_change: first(with), from_without_change: first(without) }
    }
}

/// Three changes in a row; the one in the middle is given up while it waits. It must not take the last one with it.
async fn dropped_waiter(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    for (at, middle) in Change::kinds().into_iter().enumerate() {
        let name = [b'w', u8::try_from(at).unwrap_or_default()];
        let blob = case.open(&storage, "order", &name).await?;
        let old = noise(46, 8_000);
        case.write(blob.as_ref(), 0, &old).await?;
        let (first, last) = (Change::Write(100, noise(47, 4_000)), Change::Write(3_000, noise(48, 4_000)));
        let doing = format!("{} given up between two writes", name_of(&middle));
        // All three are polled once in order, then the one in the middle is dropped.
        let mut waiter = Some(middle.on(blob.as_ref()));
        let waits = std::future::poll_fn(|cx| {
            if let Some(mut waiter) = waiter.take() {
                drop(waiter.poll_unpin(cx));
            }
            std::task::Poll::Ready(Ok(()))
        })
        .boxed();
        for answer in case.together(&doing, vec![first.on(blob.as_ref()), waits, last.on(blob.as_ref())]).await? {
            case.ok(&doing, answer)?;
        }
        let seen = case.all(&doing, blob.as_ref()).await?;
        let (without, with) = (last.of(&first.of(&old)), last.of(&middle.of(&first.of(&old))));
        let expected = "both writes in order, the one between them whole or not at all";
        case.holds(&doing, expected, &Differs::of(&seen, &with, &without), seen == with || seen == without)?;
        case.sync(blob.as_ref()).await?;
        case.content(&format!("{doing}, after a sync"), blob.as_ref(), &seen).await?;
    }
    Ok(())
}

async fn dropped_open(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let format = super::case::format();
    for polls in 0..MOST_POLLS {
        let name = format!("open-{polls}");
        let opened = case.polled("a dropped open", storage.open("opens", name.as_bytes(), &format), polls).await?;
        let ended = opened.is_some();
        drop(opened);
        let doing = format!("opening after an open was dropped after {polls} polls");
        let blob = case.open(&storage, "opens", name.as_bytes()).await?;
        case.content(&doing, blob.as_ref(), b"").await?;
        case.write(blob.as_ref(), 0, b"content").await?;
        case.sync(blob.as_ref()).await?;
        let again = case.existing(&storage, "opens", name.as_bytes()).await?;
        case.content(&doing, again.as_ref(), b"content").await?;
        case.same(&format!("{doing}: salts of the two handles"), blob.header().salt.0, again.header().salt.0)?;
        let names = case.scan(&storage, "opens").await?;
        let times = names.iter().filter(|found| *found == name.as_bytes()).count();
        case.same(&format!("{doing}: times the name is listed"), 1, times)?;
        if ended {
            break;
        }
    }
    Ok(())
}

/// An unlink that lands after the name was made again would take the new blob away.
async fn dropped_removal(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    for (whole, partition) in [(false, "order"), (true, "order-whole")] {
        for polls in 0..MOST_POLLS {
            let name = format!("remove-{polls}");
            let names = [name.clone().into_bytes()];
            let old = case.durable(&storage, partition, name.as_bytes(), b"old").await?;
            let removal = if whole { storage.remove_partition(partition) } else { storage.remove(partition, &names) };
            let ended = case.polled("a dropped removal", removal, polls).await?;
            let done = ended.is_some();
            if let Some(ended) = ended {
                case.ok("a removal that ended in time", ended)?;
            }
            let doing = format!("a removal dropped after {polls} polls, then an open");
            let new = case.open(&storage, partition, name.as_bytes()).await?;
            let seen = case.all(&doing, new.as_ref()).await?;
            let allowed = (seen == b"old"[..] && !done) || (seen.is_empty() && polls > 0);
            case.holds(&doing, "the old blob or a new one", &seen, allowed)?;
            case.write(new.as_ref(), 0, b"new").await?;
            case.sync(new.as_ref()).await?;
            case.content(&doing, new.as_ref(), b"new").await?;
            let listed = case.scan(&storage, partition).await?.contains(&name.clone().into_bytes());
            case.same(&format!("{doing}: the name is listed"), true, listed)?;
            let again = case.existing(&storage, partition, name.as_bytes()).await?;
            case.content(&doing, again.as_ref(), b"new").await?;
            if seen.is_empty() {
                let read = case.ends(&doing, old.read_at(0, 3)).await?;
                super::case::refused!(case, "reading the removed blob", read, Error::Removed { .. })?;
            } else {
                case.content(&format!("{doing}, the first handle"), old.as_ref(), b"new").await?;
            }
            if done {
                break;
            }
        }
    }
    Ok(())
}

async fn dropped_sync_many(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    for polls in 0..MOST_POLLS {
        let mut blobs = Vec::new();
        for at in 0..3_u8 {
            let blob = case.open(&storage, "order", &[b'm', at, u8::try_from(polls).unwrap_or_default()]).await?;
            case.write(blob.as_ref(), 0, b"old").await?;
            blobs.push(blob);
        }
        let ended = case.polled("a dropped sync of many", storage.sync_many(&blobs), polls).await?;
        for blob in &blobs {
            case.write(blob.as_ref(), 1, b"ew!").await?;
            case.content("a blob of a dropped sync of many", blob.as_ref(), b"oew!").await?;
        }
        for answer in case.sync_many("syncing many after a dropped one", &storage, &blobs).await? {
            case.ok("syncing many after a dropped one", answer)?;
        }
        if ended.is_some() {
            break;
        }
    }
    Ok(())
}
