//! What is there after a crash, and what it costs.

use std::sync::Arc;

use bytes::Bytes;

use super::case::{Case, Stop, Verdict, cases, format, noise, refused};
use super::order::{Change, MOST_POLLS};
use crate::error::Error;
use crate::header::HeaderState;
use crate::storage::{Blob, Change as Part, Storage};

cases! {
    DURABLE_NEW "a new blob, name and header, with its first sync" new_blob;
    DURABLE_NEW "the first sync of a new blob syncs its directories, later ones its file" new_blob_counts;
    DURABLE "bytes and length after a power cut, and after the next one" power_cut;
    DURABLE "after a kill" kill;
    DURABLE "a sync covers what came through another handle" other_handle;
    DURABLE "a sync behind a change that was dropped on its way" dropped_change;
    DURABLE_LOSS "what was not synced, beside what was" unsynced;
    WRITE_SYNC "durable when it returns" write_sync_cut;
    WRITE_SYNC "syncs the file once" write_sync_counts;
    CHANGE_ALL "durable behind its sync" changes_cut;
    CHANGE_ALL "syncs as often as it is told" changes_counts;
    WRITE_HEADER "durable with the next sync" header_cut;
    OPEN_COST "opening a new blob syncs nothing" open_counts;
    SYNC_MANY_ORDER "an answer for each, also for a removed one and for one of other storage" sync_many_order;
    SYNC_MANY "each is durable, in several partitions, also when named twice" sync_many_each;
    SYNC_MANY "each is synced" sync_many_counts;
    REMOVE_DURABLE "removed names stay removed after a power cut" remove_cut;
    REMOVE_DURABLE "a removed name made again has its new content after a power cut" second_life_cut;
    REMOVE_DURABLE "one sync of the directory for many blobs" remove_counts;
    REMOVE_PARTITION "durable when it returns" remove_partition_cut;
}

/// What became durable last is what a power cut leaves, whatever the kind of the last change.
async fn power_cut(case: &Case<'_>) -> Verdict {
    let mut storage = case.fresh().await?;
    let mut content = Vec::new();
    drop(case.open(&storage, "cut", b"a").await?);
    for seed in 0..12 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let blob = case.open(&storage, "cut", b"a").await?;
        for _ in 0..rng.usize(1..4) {
            let change = Change::random(&mut rng);
            let changed = case.ends("a change", change.on(blob.as_ref())).await?;
            case.ok("a change", changed)?;
            content = change.of(&content);
        }
        case.sync(blob.as_ref()).await?;
        let header = *blob.header();
        drop(blob);
        for again in ["after a power cut", "after the next power cut"] {
            storage = case.power_cut(storage).await?;
            let blob = case.existing(&storage, "cut", b"a").await?;
            case.content(again, blob.as_ref(), &content).await?;
            case.same(again, header, *blob.header())?;
            case.same(again, HeaderState::Sound, blob.header_state())?;
        }
    }
    Ok(())
}

/// The process dies, its claims with it; what it had synced is there, and what it had not is old or new.
async fn kill(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let synced = noise(50, 8_000);
    let blob = case.durable(&storage, "kill", b"a", &synced).await?;
    let claim = case.ends("claiming", storage.claim("kill")).await?;
    let claim = case.ok("claiming", claim)?;
    let change = Change::Write(4_000, noise(51, 2_000));
    let changed = case.ends("a change", change.on(blob.as_ref())).await?;
    case.ok("a change", changed)?;
    drop(blob);
    let storage = case.kill(storage).await?;
    let new = case.ends("claiming after a kill", storage.claim("kill")).await?;
    let new = case.ok("claiming after a kill", new)?;
    // The killed process's claim is still an object here; its end is nobody's concern any more.
    drop(claim);
    let second = case.ends("claiming what is claimed after a kill", storage.claim("kill")).await?;
    refused!(case, "claiming what is claimed after a kill", second, Error::Locked { .. })?;
    drop(new);
    let blob = case.existing(&storage, "kill", b"a").await?;
    old_or_new(case, "after a kill", blob.as_ref(), &synced, &change.of(&synced)).await
}

/// Each byte is that of the one or of the other; where they agree it is theirs.
async fn old_or_new(case: &Case<'_>, doing: &str, blob: &dyn Blob, old: &[u8], new: &[u8]) -> Verdict {
    let seen = case.all(doing, blob).await?;
    let shortest = old.len().min(new.len());
    let longest = old.len().max(new.len());
    case.holds(
        doing,
        "the old length, the new one, or one between",
        &seen.len(),
        (shortest..=longest).contains(&seen.len()),
    )?;
    for (at, byte) in seen.iter().enumerate() {
        // Where only one has a byte, length may have come without data.
        let may = [old.get(at), new.get(at)];
        let zero = may.contains(&None) && *byte == 0;
        if !zero && !may.contains(&Some(byte)) {
            return Err(case.wrong(doing, format!("one of {may:?} at {at}"), format!("{byte}")));
        }
    }
    Ok(())
}

async fn other_handle(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let writer = case.open(&storage, "cut", b"a").await?;
    let syncer = case.open(&storage, "cut", b"a").await?;
    case.write(writer.as_ref(), 0, b"through the one").await?;
    case.sync(syncer.as_ref()).await?;
    drop((writer, syncer));
    let storage = case.power_cut(storage).await?;
    let blob = case.existing(&storage, "cut", b"a").await?;
    case.content("synced through another handle", blob.as_ref(), b"through the one").await
}

/// A timeout drops a change, then everything is synced: what is seen from then on is what is there, whether the change
/// was made or not.
async fn dropped_change(case: &Case<'_>) -> Verdict {
    let mut storage = case.fresh().await?;
    for (at, change) in Change::kinds().into_iter().enumerate() {
        for polls in 0..MOST_POLLS {
            let name = format!("{at}-{polls}");
            let old = noise(55, 8_000);
            let blob = case.durable(&storage, "cut", name.as_bytes(), &old).await?;
            let ended = case.polled("a dropped change", change.on(blob.as_ref()), polls).await?.is_some();
            case.sync(blob.as_ref()).await?;
            let doing = format!("change {at} of the kinds, dropped after {polls} polls, then a sync");
            let seen = case.all(&doing, blob.as_ref()).await?;
            drop(blob);
            storage = case.power_cut(storage).await?;
            let blob = case.existing(&storage, "cut", name.as_bytes()).await?;
            case.content(&format!("{doing} and a power cut"), blob.as_ref(), &seen).await?;
            if ended {
                break;
            }
        }
    }
    Ok(())
}

/// Some new, some old, in several partitions, one of them unchanged.
async fn many(case: &Case<'_>, storage: &Arc<dyn Storage>) -> Result<Vec<Arc<dyn Blob>>, Stop> {
    let mut blobs = Vec::new();
    for at in 0..9_u8 {
        let partition = ["many-a", "many-b", "many-c"].into_iter().nth(usize::from(at % 3)).unwrap_or_default();
        let blob = if at < 3 {
            case.durable(storage, partition, &[at], b"before").await?
        } else {
            case.open(storage, partition, &[at]).await?
        };
        if at > 0 {
            case.write(blob.as_ref(), 0, &noise(at.into(), 3_000)).await?;
        }
        blobs.push(blob);
    }
    Ok(blobs)
}

async fn many_are_there(case: &Case<'_>, storage: &Arc<dyn Storage>, blobs: &[(String, Vec<u8>)]) -> Verdict {
    for (partition, name) in blobs {
        let blob = case.existing(storage, partition, name).await?;
        let at = name.first().copied().unwrap_or_default();
        let content = if at == 0 { b"before".to_vec() } else { noise(at.into(), 3_000) };
        case.content(&format!("blob {at} of a sync of many"), blob.as_ref(), &content).await?;
    }
    Ok(())
}

fn places(blobs: &[Arc<dyn Blob>]) -> Vec<(String, Vec<u8>)> {
    blobs.iter().map(|blob| (blob.id().partition().to_string(), blob.id().name().to_vec())).collect()
}

async fn synced_together(case: &Case<'_>, storage: &Arc<dyn Storage>, blobs: &[Arc<dyn Blob>]) -> Verdict {
    let answers = case.sync_many("syncing many", storage, blobs).await?;
    for (at, answer) in answers.into_iter().enumerate() {
        case.ok(&format!("answer {at} of a sync of many"), answer)?;
    }
    Ok(())
}

async fn sync_many_each(case: &Case<'_>) -> Verdict {
    let mut storage = case.fresh().await?;
    for round in 0..2 {
        let mut blobs = many(case, &storage).await?;
        if round == 1 {
            blobs.extend(blobs.clone());
            blobs.reverse();
        }
        synced_together(case, &storage, &blobs).await?;
        synced_together(case, &storage, &[]).await?;
        let places = places(&blobs);
        drop(blobs);
        storage = case.power_cut(storage).await?;
        many_are_there(case, &storage, &places).await?;
    }
    Ok(())
}

async fn sync_many_counts(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let blobs = many(case, &storage).await?;
    for blob in &blobs {
        case.write(blob.as_ref(), 4_000, b"so that each has something to sync").await?;
    }
    case.counts(&storage)?;
    synced_together(case, &storage, &blobs).await?;
    let counts = case.counts(&storage)?;
    let files = counts.files >= blobs.len() as u64 || counts.file_systems > 0;
    case.holds("syncs for 9 blobs", "one of each file, or one of the file system", &counts, files)?;
    let names = counts.directories >= 3 || counts.file_systems > 0;
    case.holds("syncs for new blobs in 3 partitions", "one of each directory", &counts, names)
}

/// Another storage's blob goes the common way: as its own `sync` would.
async fn sync_many_order(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let elsewhere: Arc<dyn Storage> = Arc::new(crate::MemoryStorage::new());
    let foreign = case.open(&elsewhere, "many", b"foreign").await?;
    case.write(foreign.as_ref(), 0, b"foreign").await?;
    let a = case.open(&storage, "many", b"a").await?;
    case.write(a.as_ref(), 0, b"a").await?;
    let gone = case.durable(&storage, "many", b"gone", b"gone").await?;
    let b = case.open(&storage, "many-b", b"b").await?;
    case.remove(&storage, "many", &[b"gone"]).await?;
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]] {
        let all = [&a, &gone, &foreign, &b];
        let blobs: Vec<_> = order.iter().filter_map(|at| all.get(*at)).map(|blob| Arc::clone(blob)).collect();
        let answers = case.sync_many("syncing many", &storage, &blobs).await?;
        for (answer, at) in answers.into_iter().zip(order) {
            let doing = format!("answer for blob {at} of the order {order:?}");
            if at == 1 {
                refused!(case, &doing, answer, Error::Removed { blob } if &blob == gone.id())?;
            } else {
                case.ok(&doing, answer)?;
            }
        }
    }
    case.sync_many("syncing none", &storage, &[]).await.map(drop)
}

/// The name is lost with the directory's unsynced entry, the blob with it: a first sync must cover both, and the
/// entries of directories that were made for it.
async fn new_blob(case: &Case<'_>) -> Verdict {
    let mut storage = case.fresh().await?;
    for (round, partition) in ["new", "new", "newer"].into_iter().enumerate() {
        let names = [[b'a', b'0' + u8::try_from(round).unwrap_or_default()], [b'b', b'0'], [b'c', b'0']];
        let content = noise(round as u64, 5_000 * round);
        let blob = case.durable(&storage, partition, &names[0], &content).await?;
        let header = *blob.header();
        // Beside it, one that is never synced; it may be lost, and must not be in the way.
        let beside = case.open(&storage, partition, b"beside").await?;
        case.write(beside.as_ref(), 0, b"may be lost").await?;
        drop((blob, beside));
        storage = case.power_cut(storage).await?;
        let blob = case.existing(&storage, partition, &names[0]).await?;
        case.content("a new blob after its first sync", blob.as_ref(), &content).await?;
        case.same("its header", header, *blob.header())?;
        case.same("its header's state", HeaderState::Sound, blob.header_state())?;
        let listed = case.scan(&storage, partition).await?.contains(&names[0].to_vec());
        case.same("its name is listed", true, listed)?;
        let beside = case.open(&storage, partition, b"beside").await?;
        case.write(beside.as_ref(), 0, b"works").await?;
        case.sync(beside.as_ref()).await?;
        drop((blob, beside));
    }
    Ok(())
}

async fn new_blob_counts(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    for (partition, name, directories) in [("new", b"a", 2), ("new", b"b", 1), ("newer", b"a", 2)] {
        case.counts(&storage)?;
        let blob = case.durable(&storage, partition, name, b"content").await?;
        let counts = case.counts(&storage)?;
        let all = counts.file_systems > 0;
        case.holds("first sync of a new blob", "a sync of its file", &counts, all || counts.files >= 1)?;
        let doing = format!("first sync of {partition}/{}", name.escape_ascii());
        let expected = format!("syncs of {directories} directories: each that has a new entry");
        case.holds(&doing, &expected, &counts, all || counts.directories >= directories)?;
        case.write(blob.as_ref(), 3, b"more").await?;
        case.sync(blob.as_ref()).await?;
        let counts = case.counts(&storage)?;
        let once = counts.files == 1 && counts.directories == 0;
        case.holds("second sync of a blob", "one sync, of its file", &counts, all || once)?;
    }
    Ok(())
}

async fn unsynced(case: &Case<'_>) -> Verdict {
    let mut storage = case.fresh().await?;
    for (at, change) in Change::kinds().into_iter().enumerate() {
        let name = [b'0' + u8::try_from(at).unwrap_or_default()];
        let old = noise(52, 8_000);
        let blob = case.durable(&storage, "cut", &name, &old).await?;
        let changed = case.ends("a change", change.on(blob.as_ref())).await?;
        case.ok("a change", changed)?;
        drop(blob);
        storage = case.power_cut(storage).await?;
        let blob = case.existing(&storage, "cut", &name).await?;
        let doing = format!("change {at} of the kinds, not synced, after a power cut");
        old_or_new(case, &doing, blob.as_ref(), &old, &change.of(&old)).await?;
    }
    Ok(())
}

async fn write_sync_cut(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let blob = case.open(&storage, "cut", b"a").await?;
    let content = noise(53, 9_000);
    for half in [0..4_500, 4_500..9_000] {
        let data = Bytes::copy_from_slice(content.get(half.clone()).unwrap_or_default());
        let written = case.ends("write_at_sync", blob.write_at_sync(half.start as u64, vec![data])).await?;
        case.ok("write_at_sync", written)?;
    }
    drop(blob);
    let storage = case.power_cut(storage).await?;
    let blob = case.existing(&storage, "cut", b"a").await?;
    case.content("after a power cut", blob.as_ref(), &content).await
}

async fn write_sync_counts(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let blob = case.durable(&storage, "cut", b"a", b"x").await?;
    case.counts(&storage)?;
    let written = case.ends("write_at_sync", blob.write_at_sync(1, vec![Bytes::from_static(b"y")])).await?;
    case.ok("write_at_sync", written)?;
    let counts = case.counts(&storage)?;
    let once = counts.files == 1 && counts.directories == 0 || counts.file_systems > 0;
    case.holds("write_at_sync of a durable blob", "one sync, of its file", &counts, once)
}

async fn changes_cut(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let blob = case.open(&storage, "cut", b"a").await?;
    let content = Bytes::from(noise(54, 9_000));
    let write = |from: usize, to: usize| Part::Write(from as u64, vec![content.slice(from..to)]);
    let row =
        vec![write(0, 4_500), Part::Resize(20_000), Part::Sync, Part::Resize(4_500), write(4_500, 9_000), Part::Sync];
    let changed = case.ends("changes in a row", blob.change_all(row)).await?;
    case.ok("changes in a row", changed)?;
    drop(blob);
    let storage = case.power_cut(storage).await?;
    let blob = case.existing(&storage, "cut", b"a").await?;
    case.content("after a power cut", blob.as_ref(), &content).await
}

async fn changes_counts(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let blob = case.durable(&storage, "cut", b"a", b"x").await?;
    case.counts(&storage)?;
    let write = |offset| Part::Write(offset, vec![Bytes::from_static(b"y")]);
    let row = vec![write(1), Part::Sync, write(2), Part::Sync];
    let changed = case.ends("changes in a row", blob.change_all(row)).await?;
    case.ok("changes in a row", changed)?;
    let counts = case.counts(&storage)?;
    let twice = counts.files == 2 && counts.directories == 0 || counts.file_systems > 0;
    case.holds("changes of a durable blob with two syncs", "two syncs, of its file", &counts, twice)
}

async fn header_cut(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let blob = case.open(&storage, "cut", b"a").await?;
    let written = case.ends("write_header", blob.write_header()).await?;
    case.ok("write_header", written)?;
    case.sync(blob.as_ref()).await?;
    let header = *blob.header();
    drop(blob);
    let storage = case.power_cut(storage).await?;
    let blob = case.existing(&storage, "cut", b"a").await?;
    case.same("header", header, *blob.header())?;
    case.same("header state", HeaderState::Sound, blob.header_state())?;
    case.content("content", blob.as_ref(), b"").await
}

async fn open_counts(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    drop(case.durable(&storage, "cut", b"a", b"x").await?);
    case.counts(&storage)?;
    for name in [b"b", b"c", b"d"] {
        let blob = case.open(&storage, "cut", name).await?;
        case.write(blob.as_ref(), 0, b"x").await?;
    }
    drop(case.existing(&storage, "cut", b"a").await?);
    case.same("syncs of 3 new blobs that were not synced", super::Counts::default(), case.counts(&storage)?)
}

async fn remove_cut(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    for name in [b"a", b"b", b"c"] {
        drop(case.durable(&storage, "cut", name, name).await?);
    }
    case.remove(&storage, "cut", &[b"a", b"c"]).await?;
    let storage = case.power_cut(storage).await?;
    case.same("names", vec![b"b".to_vec()], case.scan(&storage, "cut").await?)?;
    let opened = case.ends("opening a removed blob", storage.open("cut", b"a", &format().existing())).await?;
    refused!(case, "opening a removed blob", opened, Error::NotFound { .. })?;
    let blob = case.existing(&storage, "cut", b"b").await?;
    case.content("the one beside", blob.as_ref(), b"b").await
}

async fn second_life_cut(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let first = case.durable(&storage, "cut", b"a", &noise(54, 9_000)).await?;
    let salt = first.header().salt;
    drop(first);
    case.remove(&storage, "cut", &[b"a"]).await?;
    let second = case.durable(&storage, "cut", b"a", b"second").await?;
    let header = *second.header();
    drop(second);
    let storage = case.power_cut(storage).await?;
    let blob = case.existing(&storage, "cut", b"a").await?;
    case.content("the second life", blob.as_ref(), b"second").await?;
    case.same("its header", header, *blob.header())?;
    case.same("the salt is still that of the first life", false, blob.header().salt == salt)
}

async fn remove_counts(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let names: [&[u8]; 5] = [b"a", b"b", b"c", b"d", b"e"];
    for name in names {
        drop(case.durable(&storage, "cut", name, name).await?);
    }
    case.counts(&storage)?;
    case.remove(&storage, "cut", &names).await?;
    let counts = case.counts(&storage)?;
    case.holds("removal of 5 blobs", "one sync of the directory", &counts, counts.directories == 1)
}

async fn remove_partition_cut(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    for (partition, name) in [("cut", b"a"), ("cut", b"b"), ("beside", b"a")] {
        drop(case.durable(&storage, partition, name, name).await?);
    }
    let gone = case.ends("removing the partition", storage.remove_partition("cut")).await?;
    case.ok("removing the partition", gone)?;
    let storage = case.power_cut(storage).await?;
    case.same("names", Vec::new(), case.scan(&storage, "cut").await?)?;
    case.same("names beside", vec![b"a".to_vec()], case.scan(&storage, "beside").await?)?;
    drop(case.durable(&storage, "cut", b"a", b"new").await?);
    let storage = case.power_cut(storage).await?;
    let blob = case.existing(&storage, "cut", b"a").await?;
    case.content("made again", blob.as_ref(), b"new").await
}
