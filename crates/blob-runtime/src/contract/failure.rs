//! What the disk refuses.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;

use super::case::{Case, Stop, Verdict, cases, format, noise, refused, shown};
use super::order::Change;
use crate::error::{Error, Operation, Target};
use crate::storage::{Blob, Storage};

cases! {
    FAILED_CHANGE "a failed write: its own bytes old or new, nothing else, and once more" write;
    FAILED_CHANGE "a failed write of a new blob" first_write;
    FAILED_CHANGE "a failed resize, and once more" resize;
    FAILED_READ "a failed read, and once more" read;
    SCAN_ERROR "a list that cannot be had is not an empty one" scan;
    OPEN_IO "a blob that cannot be opened is neither missing nor new" open;
    OPEN_IO "a blob that cannot be created, and once more" create;
    OPEN_IO "a blob that cannot be removed, and once more" remove;
    FAILED_SYNC "every change through every handle is refused, reads go on" sync;
    FAILED_SYNC "a sync that waits behind a failing one does not succeed" follower;
    FAILED_SYNC "other blobs are not concerned" beside;
    FAILED_SYNC "in a sync of many, the ones that failed" sync_many;
    FAILED_KIND "the write of write_at_sync fails" kind_write;
    FAILED_KIND "the sync of write_at_sync fails" kind_sync;
    FAILED_REOPEN "opened anew it works, and what was synced is there" anew;
    FAILED_REOPEN "what it syncs from then on is durable" anew_cut;
    FAILED_DIRECTORY "of a new blob's first sync" directory_sync;
    FAILED_DIRECTORY "of a removal" directory_remove;
}

/// Whether the error is the operating system's, about this kind of operation.
fn is_io(error: &Error, of: Operation) -> bool {
    matches!(error, Error::Io { operation, .. } if *operation == of)
}

async fn write(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    // Inside, over the end, past the end.
    for (at, (offset, len)) in [(2_000, 3_000), (7_000, 3_000), (9_000, 100)].into_iter().enumerate() {
        let old = noise(60, 8_000);
        let blob = case.durable(&storage, "fail", &[at.to_le_bytes()[0]], &old).await?;
        let change = Change::Write(offset, noise(61, len));
        let doing = format!("a failed write of {len} bytes at {offset} of 8000");
        failed_change(case, &storage, &doing, &blob, &old, &change, Operation::Write).await?;
    }
    Ok(())
}

async fn failed_change(
    case: &Case<'_>,
    storage: &Arc<dyn Storage>,
    doing: &str,
    blob: &Arc<dyn Blob>,
    old: &[u8],
    change: &Change,
    fault: Operation,
) -> Verdict {
    case.fail_next(storage, fault)?;
    let failed = case.ends(doing, change.on(blob.as_ref())).await?;
    refused!(case, doing, failed, error if is_io(&error, fault) && !error.is_sync_failure())?;
    let new = change.of(old);
    let seen = case.all(doing, blob.as_ref()).await?;
    let lengths = old.len().min(new.len())..=old.len().max(new.len());
    case.holds(doing, "a length between the old and the new", &seen.len(), lengths.contains(&seen.len()))?;
    for (at, byte) in seen.iter().enumerate() {
        let may = [old.get(at).unwrap_or(&0), new.get(at).unwrap_or(&0)];
        if !may.contains(&byte) {
            return Err(case.wrong(doing, format!("one of {may:?} at {at}"), byte.to_string()));
        }
    }
    let doing = format!("{doing}, and once more");
    let again = case.ends(&doing, change.on(blob.as_ref())).await?;
    case.ok(&doing, again)?;
    case.content(&doing, blob.as_ref(), &new).await?;
    case.sync(blob.as_ref()).await
}

/// The header goes with the first data, and must go with the retry.
async fn first_write(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let blob = case.open(&storage, "fail", b"new").await?;
    let change = Change::Write(0, noise(62, 5_000));
    failed_change(case, &storage, "a failed first write", &blob, &[], &change, Operation::Write).await?;
    let header = *blob.header();
    drop(blob);
    let blob = case.existing(&storage, "fail", b"new").await?;
    case.same("header", header, *blob.header())?;
    case.same("header state", crate::HeaderState::Sound, blob.header_state())
}

async fn resize(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    for (at, len) in [0, 3_000, 12_000].into_iter().enumerate() {
        let old = noise(63, 8_000);
        let blob = case.durable(&storage, "fail", &[at.to_le_bytes()[0]], &old).await?;
        let doing = format!("a failed resize to {len} of 8000");
        failed_change(case, &storage, &doing, &blob, &old, &Change::Resize(len), Operation::Resize).await?;
    }
    Ok(())
}

/// A transient EIO while reading, taken for the end of the data, has cut off acknowledged records elsewhere.
async fn read(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let content = noise(64, 8_000);
    let blob = case.durable(&storage, "fail", b"a", &content).await?;
    case.fail_next(&storage, Operation::Read)?;
    let failed = case.ends("a failed read", blob.read_at(1_000, 5_000)).await?;
    refused!(case, "a failed read", failed, error if is_io(&error, Operation::Read))?;
    case.content("after a failed read", blob.as_ref(), &content).await?;
    case.write(blob.as_ref(), 0, b"x").await?;
    case.sync(blob.as_ref()).await
}

async fn scan(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    drop(case.durable(&storage, "fail", b"a", b"x").await?);
    case.fail_next(&storage, Operation::List)?;
    match case.ends("a failed scan", storage.scan("fail")).await? {
        Err(error) => case.holds("a failed scan", "Error::Io of the list", &error, is_io(&error, Operation::List))?,
        // A backend that keeps the names in memory does not ask the disk.
        Ok(names) => case.same("a scan over a failing disk", vec![b"a".to_vec()], names)?,
    }
    case.same("the next scan", vec![b"a".to_vec()], case.scan(&storage, "fail").await?)
}

/// EMFILE or EACCES at an open, taken for "not there", makes a new blob over the old one.
async fn open(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let content = noise(65, 8_000);
    drop(case.durable(&storage, "fail", b"a", &content).await?);
    // What another opening has left in memory is gone then.
    let storage = case.reopen(storage).await?;
    case.fail_next(&storage, Operation::Open)?;
    match case.ends("an open that fails", storage.open("fail", b"a", &format())).await? {
        Err(error) => {
            case.holds("an open that fails", "Error::Io of the open", &error, is_io(&error, Operation::Open))?;
        }
        Ok(blob) => case.content("an open that met no fault", blob.as_ref(), &content).await?,
    }
    let blob = case.existing(&storage, "fail", b"a").await?;
    case.content("the next open", blob.as_ref(), &content).await?;
    case.same("names", vec![b"a".to_vec()], case.scan(&storage, "fail").await?)
}

async fn create(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    drop(case.durable(&storage, "fail", b"a", b"x").await?);
    case.fail_next(&storage, Operation::Create)?;
    let made = case.ends("a creation that fails", storage.open("fail", b"b", &format())).await?;
    refused!(case, "a creation that fails", made, error if is_io(&error, Operation::Create))?;
    case.same("names after that", vec![b"a".to_vec()], case.scan(&storage, "fail").await?)?;
    let missing = case.ends("opening what was not made", storage.open("fail", b"b", &format().existing())).await?;
    refused!(case, "opening what was not made", missing, Error::NotFound { .. })?;
    let blob = case.durable(&storage, "fail", b"b", b"once more").await?;
    case.content("once more", blob.as_ref(), b"once more").await
}

async fn remove(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    for name in [b"a", b"b", b"c"] {
        drop(case.durable(&storage, "fail", name, name).await?);
    }
    case.fail_next(&storage, Operation::Remove)?;
    let names = [b"a".to_vec(), b"b".to_vec()];
    let failed = case.ends("a removal that fails", storage.remove("fail", &names)).await?;
    refused!(case, "a removal that fails", failed, error if is_io(&error, Operation::Remove))?;
    // What is still listed is still whole.
    for name in case.scan(&storage, "fail").await? {
        let blob = case.existing(&storage, "fail", &name).await?;
        case.content("a blob that was not removed", blob.as_ref(), &name).await?;
    }
    case.remove(&storage, "fail", &[b"a", b"b"]).await?;
    case.same("names in the end", vec![b"c".to_vec()], case.scan(&storage, "fail").await?)
}

async fn kind_write(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let old = noise(66, 8_000);
    let blob = case.durable(&storage, "fail", b"a", &old).await?;
    let change = Change::WriteSync(7_000, noise(67, 3_000));
    failed_change(case, &storage, "the write of a failed write_at_sync", &blob, &old, &change, Operation::Write).await
}

async fn kind_sync(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let blob = case.durable(&storage, "fail", b"a", b"old").await?;
    case.fail_next(&storage, Operation::Sync)?;
    let doing = "the sync of a failed write_at_sync";
    let failed = case.ends(doing, blob.write_at_sync(0, vec![Bytes::from_static(b"new")])).await?;
    refused!(case, doing, failed, error if is_io(&error, Operation::Sync) && error.is_sync_failure())?;
    poisoned(case, blob.as_ref()).await
}

/// A blob with 8,000 durable bytes whose last sync, of 100 bytes more, has failed.
async fn failed_sync(case: &Case<'_>, storage: &Arc<dyn Storage>) -> Result<(Arc<dyn Blob>, Vec<u8>), Stop> {
    let content = noise(68, 8_000);
    let blob = case.durable(storage, "fail", b"a", &content).await?;
    case.write(blob.as_ref(), 8_000, &noise(69, 100)).await?;
    case.fail_next(storage, Operation::Sync)?;
    let failed = case.ends("a failed sync", blob.sync()).await?;
    refused!(case, "a failed sync", failed, error if is_io(&error, Operation::Sync) && error.is_sync_failure())?;
    Ok((blob, content))
}

/// Every change is refused, twice, with an error that names the blob and the first failure.
async fn poisoned(case: &Case<'_>, blob: &dyn Blob) -> Verdict {
    let is = |error: &Error| {
        let named = matches!(error, Error::Poisoned { target: Target::Blob(of), .. } if of == blob.id());
        named && error.is_sync_failure() && error.io_kind().is_some()
    };
    let data = || vec![Bytes::from_static(b"late")];
    for _ in 0..2 {
        for (doing, change) in [
            ("sync", blob.sync()),
            ("write_at", blob.write_at(0, data())),
            ("resize", blob.resize(1)),
            ("write_at_sync", blob.write_at_sync(0, data())),
            ("write_header", blob.write_header()),
        ] {
            let doing = format!("{doing} after a failed sync");
            match case.ends(&doing, change).await? {
                Err(error) if is(&error) => {}
                other => return Err(case.wrong(&doing, "Error::Poisoned of the blob", shown(&other))),
            }
        }
    }
    Ok(())
}

/// The kernel marks the pages clean after a failed fsync; the next one says Ok without writing them. So nobody may
/// ask for it.
async fn sync(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let early = case.open(&storage, "fail", b"a").await?;
    let (blob, content) = failed_sync(case, &storage).await?;
    for handle in [&blob, &early] {
        poisoned(case, handle.as_ref()).await?;
        let read = case.read("after a failed sync", handle.as_ref(), 0, content.len()).await?;
        case.bytes("reading what was durable after a failed sync", &content, &read)?;
    }
    for answer in case.sync_many("syncing many after a failed sync", &storage, &[blob]).await? {
        refused!(case, "syncing many after a failed sync", answer, Error::Poisoned { .. })?;
    }
    Ok(())
}

/// The follower's own bytes may be among those that were lost.
async fn follower(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let blob = case.durable(&storage, "fail", b"a", b"old").await?;
    let other = case.open(&storage, "fail", b"a").await?;
    case.write(blob.as_ref(), 0, b"new").await?;
    case.fail_next(&storage, Operation::Sync)?;
    let futures = vec![blob.sync().boxed(), other.sync().boxed(), other.write_at_sync(3, vec!["x".into()]).boxed()];
    for (at, answer) in case.together("syncs side by side", futures).await?.into_iter().enumerate() {
        let doing = format!("sync {at} of those beside a failing one");
        refused!(case, &doing, answer, error if error.is_sync_failure())?;
    }
    poisoned(case, other.as_ref()).await
}

async fn beside(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let beside = case.open(&storage, "fail", b"beside").await?;
    case.write(beside.as_ref(), 0, b"beside").await?;
    let _failed = failed_sync(case, &storage).await?;
    case.sync(beside.as_ref()).await?;
    drop(case.durable(&storage, "fail", b"new", b"new").await?);
    case.remove(&storage, "fail", &[b"new"]).await
}

async fn sync_many(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let mut blobs = Vec::new();
    for name in [b"a", b"b", b"c", b"d"] {
        let blob = case.durable(&storage, "fail", name, b"old").await?;
        case.write(blob.as_ref(), 0, b"new").await?;
        blobs.push(blob);
    }
    case.fail_next(&storage, Operation::Sync)?;
    let answers = case.sync_many("syncing many", &storage, &blobs).await?;
    let failures = answers.iter().filter(|answer| answer.is_err()).count();
    case.holds("a sync of many over a failing disk", "at least one failure", &answers, failures > 0)?;
    for (blob, answer) in blobs.iter().zip(answers) {
        match answer {
            Ok(()) => case.sync(blob.as_ref()).await?,
            Err(error) => {
                case.holds("a failure in a sync of many", "a failed sync", &error, error.is_sync_failure())?;
                poisoned(case, blob.as_ref()).await?;
            }
        }
    }
    Ok(())
}

async fn anew(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let (blob, content) = failed_sync(case, &storage).await?;
    drop(blob);
    let blob = case.existing(&storage, "fail", b"a").await?;
    let read = case.read("opened anew", blob.as_ref(), 0, content.len()).await?;
    case.bytes("opened anew, what was durable", &content, &read)?;
    for change in Change::kinds() {
        let changed = case.ends("a change after opening anew", change.on(blob.as_ref())).await?;
        case.ok("a change after opening anew", changed)?;
    }
    Ok(())
}

async fn anew_cut(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let (blob, content) = failed_sync(case, &storage).await?;
    drop(blob);
    let blob = case.existing(&storage, "fail", b"a").await?;
    // What the file shows may not be on the disk, so all of it is written again.
    let whole = Change::Write(4_000, noise(70, 6_000)).of(&content);
    case.resize(blob.as_ref(), 0).await?;
    case.write(blob.as_ref(), 0, &whole).await?;
    case.sync(blob.as_ref()).await?;
    drop(blob);
    let storage = case.power_cut(storage).await?;
    let blob = case.existing(&storage, "fail", b"a").await?;
    case.content("what was synced after opening anew", blob.as_ref(), &whole).await
}

/// Creation and removal in the partition are refused; what is durable there works on; other partitions, too.
async fn directory_is_poisoned(case: &Case<'_>, storage: Arc<dyn Storage>) -> Verdict {
    let made = case.ends("creating", storage.open("fail", b"more", &format())).await?;
    refused!(case, "creating after a failed sync of the directory", made, Error::Poisoned { .. })?;
    let gone = case.ends("removing", storage.remove("fail", &[b"old".to_vec()])).await?;
    refused!(case, "removing after a failed sync of the directory", gone, Error::Poisoned { .. })?;
    let gone = case.ends("removing the partition", storage.remove_partition("fail")).await?;
    refused!(case, "removing the partition after a failed sync of the directory", gone, Error::Poisoned { .. })?;
    let old = case.existing(&storage, "fail", b"old").await?;
    case.content("a durable blob in that partition", old.as_ref(), b"old").await?;
    case.write(old.as_ref(), 0, b"now").await?;
    case.sync(old.as_ref()).await?;
    drop(old);
    drop(case.durable(&storage, "beside", b"new", b"new").await?);

    let storage = case.reopen(storage).await?;
    let old = case.existing(&storage, "fail", b"old").await?;
    case.content("after opening the storage anew", old.as_ref(), b"now").await?;
    drop(case.durable(&storage, "fail", b"more", b"more").await?);
    case.remove(&storage, "fail", &[b"more"]).await
}

async fn directory_sync(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    // The directory itself is durable by this one.
    drop(case.durable(&storage, "fail", b"old", b"old").await?);
    let blob = case.open(&storage, "fail", b"new").await?;
    case.write(blob.as_ref(), 0, b"new").await?;
    case.fail_next(&storage, Operation::SyncDirectory)?;
    let doing = "a first sync whose directory fails";
    let failed = case.ends(doing, blob.sync()).await?;
    refused!(case, doing, failed, error if error.is_sync_failure())?;
    let again = case.ends("syncing once more", blob.sync()).await?;
    refused!(case, "syncing once more", again, Error::Poisoned { .. })?;
    drop(blob);
    directory_is_poisoned(case, storage).await
}

async fn directory_remove(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    drop(case.durable(&storage, "fail", b"old", b"old").await?);
    drop(case.durable(&storage, "fail", b"gone", b"gone").await?);
    case.fail_next(&storage, Operation::SyncDirectory)?;
    let doing = "a removal whose directory fails";
    let failed = case.ends(doing, storage.remove("fail", &[b"gone".to_vec()])).await?;
    refused!(case, doing, failed, error if is_io(&error, Operation::SyncDirectory) && error.is_sync_failure())?;
    directory_is_poisoned(case, storage).await
}
