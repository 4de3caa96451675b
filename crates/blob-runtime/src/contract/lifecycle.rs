//! Opening, removing, and what stays the same over an opening.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::case::{Case, Verdict, cases, format, noise, refused, shown};
use crate::error::Error;
use crate::header::{Format, HeaderState, Kind, Want};
use crate::name::{BlobId, Salt, StoreId};

cases! {
    OPEN_CREATE "a missing blob is made, empty; a found one is opened" create;
    OPEN_MISSING "a missing blob is not made by a format of existing ones" missing;
    OPEN_HEADER "a new blob says what its format says" header;
    OPEN_FORMAT "each field that differs is named, and nothing changes" mismatch;
    OPEN_FORMAT "what is of no concern is taken as found" lenient;
    OPEN_STATE "new before the first change, sound after it" state;
    OPEN_CREATE "what was synced is there when the storage is opened again" reopen;
    OPEN_HEADER "store id and salt stay when the storage is opened again" reopen_header;
    RANDOM "numbers that differ" random;
    REMOVE "removed names are gone, all others stay; removed again, nothing happens" remove;
    REMOVE_HANDLES "every operation of every handle" remove_handles;
    REMOVE_HANDLES "of a removed partition, too" remove_partition_handles;
    REMOVE_PARTITION "all of it, nothing beside it" remove_partition;
    OPEN_LIFE "a removed name made again is another blob" second_life;
    READ_ONLY "every change is refused, every read goes on" read_only;
}

async fn create(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let blob = case.open(&storage, "life", b"new").await?;
    case.content("a new blob", blob.as_ref(), b"").await?;
    let content = noise(30, 5_000);
    case.write(blob.as_ref(), 0, &content).await?;
    drop(blob);
    let blob = case.open(&storage, "life", b"new").await?;
    case.content("opened again", blob.as_ref(), &content).await?;
    drop(blob);
    let blob = case.existing(&storage, "life", b"new").await?;
    case.content("opened as an existing one", blob.as_ref(), &content).await?;
    let other = case.open(&storage, "other", b"new").await?;
    case.content("the same name in another partition", other.as_ref(), b"").await
}

async fn missing(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    for partition in ["never", "some"] {
        let opened = case.ends("opening a missing blob", storage.open(partition, b"a", &format().existing())).await?;
        let named = |blob: &BlobId| blob.name() == b"a" && **blob.partition() == *partition;
        refused!(case, "opening a missing blob", opened, Error::NotFound { blob } if named(&blob))?;
        case.same("names after that", Vec::new(), case.scan(&storage, partition).await?)?;
        drop(case.open(&storage, "some", b"b").await?);
        case.remove(&storage, "some", &[b"b"]).await?;
    }
    Ok(())
}

/// Every number of the header is the caller's, but for the salt.
fn full() -> Format {
    Format::new(Kind(0x8765), Want::Exactly(StoreId(0x1234_5678_9abc_def0)))
        .unit(Want::Exactly(4_096))
        .item(Want::Exactly(40))
}

async fn header(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let blob = case.open_as(&storage, "life", b"full", &full()).await?;
    let salt = blob.header().salt;
    case.same("header of a new blob", full().header(salt), *blob.header())?;
    // An index takes its values' salt.
    let given = full().salt(Salt(salt.0.wrapping_add(1)));
    let blob = case.open_as(&storage, "life", b"given", &given).await?;
    // A salt is not shown, so it is compared as a number.
    case.same("salt that was asked for", salt.0.wrapping_add(1), blob.header().salt.0)?;
    let defaults = Format::new(Kind::USER, Want::Default(StoreId(7))).unit(Want::Default(1)).item(Want::Default(2));
    let blob = case.open_as(&storage, "life", b"defaults", &defaults).await?;
    case.same("header made of defaults", defaults.header(blob.header().salt), *blob.header())
}

/// A caller with the wrong settings must learn what is there, and must not touch it.
async fn mismatch(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let content = noise(31, 5_000);
    let blob = case.open_as(&storage, "life", b"blob", &full()).await?;
    case.write(blob.as_ref(), 0, &content).await?;
    case.sync(blob.as_ref()).await?;
    let header = *blob.header();
    let wrong = [
        ("kind", Format { kind: Kind(0x8766), ..full() }),
        ("store id", Format { store: Want::Exactly(StoreId(1)), ..full() }),
        ("salt", full().salt(Salt(header.salt.0.wrapping_add(1)))),
        ("unit", full().unit(Want::Exactly(8_192))),
        ("item", full().item(Want::Exactly(0))),
    ];
    // With a handle open, and without one: a backend may answer from what it holds in memory.
    let mut held = Some(blob);
    for _ in 0..2 {
        for (field, format) in &wrong {
            for format in [format.clone(), format.clone().existing()] {
                let doing = format!("opening with another {field}");
                match case.ends(&doing, storage.open("life", b"blob", &format)).await? {
                    Err(Error::FormatMismatch { field: named, .. }) => case.same(&doing, *field, named)?,
                    other => return Err(case.wrong(&doing, "Error::FormatMismatch", shown(&other))),
                }
                case.same("names after that", vec![b"blob".to_vec()], case.scan(&storage, "life").await?)?;
            }
        }
        if let Some(blob) = held.take() {
            case.content("the open handle after mismatches", blob.as_ref(), &content).await?;
        }
    }
    let blob = case.open_as(&storage, "life", b"blob", &full()).await?;
    case.same("header after mismatches", header, *blob.header())?;
    case.content("after mismatches", blob.as_ref(), &content).await?;
    case.write(blob.as_ref(), 5_000, b"still writable").await?;
    case.sync(blob.as_ref()).await
}

/// An operator's tool opens a store without knowing its sizes.
async fn lenient(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let blob = case.open_as(&storage, "life", b"blob", &full()).await?;
    case.write(blob.as_ref(), 0, b"x").await?;
    let any = Format::new(Kind(0x8765), Want::Default(StoreId(9))).unit(Want::Default(9)).item(Want::Default(9));
    let found = case.open_as(&storage, "life", b"blob", &any).await?;
    case.same("header taken as found", *blob.header(), *found.header())
}

async fn state(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let blob = case.open(&storage, "life", b"state").await?;
    case.same("a new blob", HeaderState::New, blob.header_state())?;
    case.write(blob.as_ref(), 0, b"x").await?;
    case.sync(blob.as_ref()).await?;
    drop(blob);
    let blob = case.open(&storage, "life", b"state").await?;
    case.same("a blob that was written", HeaderState::Sound, blob.header_state())?;
    case.remove(&storage, "life", &[b"state"]).await?;
    let blob = case.open(&storage, "life", b"state").await?;
    case.same("a blob made again", HeaderState::New, blob.header_state())
}

async fn reopen(case: &Case<'_>) -> Verdict {
    let mut storage = case.fresh().await?;
    let content = noise(32, 9_000);
    drop(case.durable(&storage, "life", b"a", &content).await?);
    let blob = case.open(&storage, "life", b"empty").await?;
    case.sync(blob.as_ref()).await?;
    drop(blob);
    drop(case.durable(&storage, "other", b"removed", b"x").await?);
    case.remove(&storage, "other", &[b"removed"]).await?;
    for _ in 0..2 {
        storage = case.reopen(storage).await?;
        case.same("names", vec![b"a".to_vec(), b"empty".to_vec()], case.scan(&storage, "life").await?)?;
        case.same("names beside them", Vec::new(), case.scan(&storage, "other").await?)?;
        for (name, content) in [(b"a".as_slice(), content.as_slice()), (b"empty", b"")] {
            let blob = case.existing(&storage, "life", name).await?;
            case.content("opened again", blob.as_ref(), content).await?;
            case.same("header state", HeaderState::Sound, blob.header_state())?;
        }
        // Claims are of a process and end with it.
        let claim = case.ends("claiming", storage.claim("life")).await?;
        drop(case.ok("claiming", claim)?);
    }
    Ok(())
}

async fn reopen_header(case: &Case<'_>) -> Verdict {
    let mut storage = case.fresh().await?;
    let mut headers = Vec::new();
    for at in 0..4_u8 {
        let blob = case.open_as(&storage, "life", &[at], &full()).await?;
        case.write(blob.as_ref(), 0, &[at]).await?;
        case.sync(blob.as_ref()).await?;
        headers.push(*blob.header());
    }
    for _ in 0..2 {
        storage = case.reopen(storage).await?;
        for (at, header) in (0..4_u8).zip(&headers) {
            let blob = case.open_as(&storage, "life", &[at], &full().salt(header.salt)).await?;
            case.same("header", header, blob.header())?;
            case.same("salt", header.salt.0, blob.header().salt.0)?;
            case.content("content", blob.as_ref(), &[at]).await?;
        }
    }
    let wrong = full().unit(Want::Exactly(1));
    let opened = case.ends("opening with another unit", storage.open("life", &[0], &wrong)).await?;
    refused!(case, "opening with another unit", opened, Error::FormatMismatch { field: "unit", .. })
}

async fn random(case: &Case<'_>) -> Verdict {
    const DRAWS: usize = 64;
    let storage = case.fresh().await?;
    let mut drawn = BTreeSet::new();
    for _ in 0..DRAWS {
        drawn.insert(case.ok("drawing a number", storage.random())?);
    }
    case.same("different numbers", DRAWS, drawn.len())
}

async fn remove(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    for name in [b"a", b"b", b"c"] {
        drop(case.durable(&storage, "life", name, name).await?);
    }
    drop(case.durable(&storage, "other", b"a", b"a").await?);
    for _ in 0..2 {
        case.remove(&storage, "life", &[b"a", b"missing", b"c", b"a"]).await?;
        case.same("names", vec![b"b".to_vec()], case.scan(&storage, "life").await?)?;
        let opened = case.ends("opening a removed blob", storage.open("life", b"a", &format().existing())).await?;
        refused!(case, "opening a removed blob", opened, Error::NotFound { .. })?;
    }
    case.remove(&storage, "life", &[]).await?;
    case.remove(&storage, "never", &[b"a"]).await?;
    for (partition, name) in [("life", b"b"), ("other", b"a")] {
        let blob = case.existing(&storage, partition, name).await?;
        case.content("a blob beside the removed ones", blob.as_ref(), name).await?;
    }
    Ok(())
}

async fn remove_handles(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let synced = case.durable(&storage, "life", b"a", &noise(33, 5_000)).await?;
    let new = case.open(&storage, "life", b"b").await?;
    let second = case.open(&storage, "life", b"a").await?;
    case.remove(&storage, "life", &[b"a", b"b"]).await?;
    for blob in [&synced, &new, &second] {
        removed(case, blob.as_ref()).await?;
    }
    for answer in case.sync_many("syncing removed blobs", &storage, &[synced, new]).await? {
        refused!(case, "syncing removed blobs", answer, Error::Removed { .. })?;
    }
    case.same("names after that", Vec::new(), case.scan(&storage, "life").await?)
}

/// Every operation of the handle says that its blob was removed.
async fn removed(case: &Case<'_>, blob: &dyn crate::Blob) -> Verdict {
    let is = |error: &Error| matches!(error, Error::Removed { blob: of } if of == blob.id());
    let say = |doing: &str, found: Result<(), Error>| match found {
        Err(error) if is(&error) => Ok(()),
        other => Err(case.wrong(&format!("{doing} of a removed blob"), "Error::Removed", shown(&other))),
    };
    let data = || vec![Bytes::from_static(b"late")];
    say("read_at", case.ends("read_at", blob.read_at(0, 0)).await?.map(drop))?;
    if let Some(read) = blob.try_read_at(0, 0) {
        say("try_read_at", read.map(drop))?;
    }
    say("write_at", case.ends("write_at", blob.write_at(0, data())).await?)?;
    say("resize", case.ends("resize", blob.resize(9)).await?)?;
    say("sync", case.ends("sync", blob.sync()).await?)?;
    say("write_at_sync", case.ends("write_at_sync", blob.write_at_sync(0, data())).await?)?;
    say("write_header", case.ends("write_header", blob.write_header()).await?)
}

async fn remove_partition_handles(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let old = case.durable(&storage, "life", b"a", b"old").await?;
    let beside = case.durable(&storage, "beside", b"a", b"beside").await?;
    let gone = case.ends("removing a partition", storage.remove_partition("life")).await?;
    case.ok("removing a partition", gone)?;
    removed(case, old.as_ref()).await?;
    let new = case.durable(&storage, "life", b"a", b"new").await?;
    removed(case, old.as_ref()).await?;
    case.content("the new blob of that name", new.as_ref(), b"new").await?;
    case.content("the blob beside it", beside.as_ref(), b"beside").await
}

async fn remove_partition(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    for partition in ["life", "life-", "lif"] {
        for name in [b"a", b"b"] {
            drop(case.durable(&storage, partition, name, name).await?);
        }
    }
    for _ in 0..2 {
        let gone = case.ends("removing a partition", storage.remove_partition("life")).await?;
        case.ok("removing a partition", gone)?;
        case.same("names", Vec::new(), case.scan(&storage, "life").await?)?;
    }
    let gone = case.ends("removing a partition that never was", storage.remove_partition("never")).await?;
    case.ok("removing a partition that never was", gone)?;
    for partition in ["life-", "lif"] {
        case.same("names beside it", vec![b"a".to_vec(), b"b".to_vec()], case.scan(&storage, partition).await?)?;
    }
    drop(case.durable(&storage, "life", b"c", b"c").await?);
    case.same("names of the partition made again", vec![b"c".to_vec()], case.scan(&storage, "life").await?)
}

/// Bytes of the first life must neither be there nor verify: the blob is empty, and its salt is another.
async fn second_life(case: &Case<'_>) -> Verdict {
    const LIVES: usize = 6;
    let storage = case.fresh().await?;
    let mut salts = BTreeSet::new();
    for life in 0..LIVES {
        let blob = case.open(&storage, "life", b"phoenix").await?;
        case.content(&format!("life {life}"), blob.as_ref(), b"").await?;
        salts.insert(blob.header().salt);
        case.write(blob.as_ref(), 0, &noise(life as u64, 5_000 - 500 * life)).await?;
        if life % 2 == 0 {
            case.sync(blob.as_ref()).await?;
        }
        case.remove(&storage, "life", &[b"phoenix"]).await?;
    }
    // Two of six random 32-bit numbers are the same once in some 300 million runs; all of them never.
    case.holds("salts of the lives", "salts drawn anew", &salts.len(), salts.len() >= LIVES - 1)
}

async fn read_only(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let content = noise(34, 5_000);
    drop(case.durable(&storage, "life", b"a", &content).await?);
    let storage = case.read_only(storage).await?;
    let claim = case.ends("claiming", storage.claim("life")).await?;
    refused!(case, "claiming", claim, Error::ReadOnly { .. })?;
    let made = case.ends("creating", storage.open("life", b"b", &format())).await?;
    refused!(case, "creating", made, Error::ReadOnly { .. })?;
    let missing = case.ends("opening a missing blob", storage.open("life", b"b", &format().existing())).await?;
    refused!(case, "opening a missing blob", missing, Error::NotFound { .. })?;
    let gone = case.ends("removing", storage.remove("life", &[b"a".to_vec()])).await?;
    refused!(case, "removing", gone, Error::ReadOnly { .. })?;
    let gone = case.ends("removing the partition", storage.remove_partition("life")).await?;
    refused!(case, "removing the partition", gone, Error::ReadOnly { .. })?;
    // Also with a format that would create it: it is there.
    for format in [format(), format().existing()] {
        let blob = case.open_as(&storage, "life", b"a", &format).await?;
        let data = || vec![Bytes::from_static(b"late")];
        let changes = [
            ("write_at", case.ends("write_at", blob.write_at(0, data())).await?),
            ("resize", case.ends("resize", blob.resize(1)).await?),
            ("sync", case.ends("sync", blob.sync()).await?),
            ("write_at_sync", case.ends("write_at_sync", blob.write_at_sync(0, data())).await?),
            ("write_header", case.ends("write_header", blob.write_header()).await?),
        ];
        for (doing, change) in changes {
            refused!(case, doing, change, Error::ReadOnly { .. })?;
        }
        case.content("after refused changes", blob.as_ref(), &content).await?;
    }
    case.same("names after refused changes", vec![b"a".to_vec()], case.scan(&storage, "life").await?)
}
