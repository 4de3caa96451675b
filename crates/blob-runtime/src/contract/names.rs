//! Names of partitions and blobs, and listing them.

use super::case::{Case, Verdict, cases, format, noise, refused, shown};
use crate::error::Error;
use crate::name::{MAX_NAME_BYTES, MAX_PARTITION_BYTES};

cases! {
    PARTITION_NAME "names that are no partition, asked of every operation" bad_partitions;
    PARTITION_NAME "the shortest, the longest and every character" good_partitions;
    BLOB_NAME "empty and too long names" bad_names;
    BLOB_NAME "the longest name, and names of every byte" good_names;
    SCAN "sorted, each once, of this partition alone" scan;
    SCAN "a partition that does not exist is empty" missing_partition;
}

/// A partition is a directory: whatever could lead out of the root, or mean another one, must not get that far.
async fn bad_partitions(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let long = "x".repeat(MAX_PARTITION_BYTES + 1);
    let names = ["", ".", "..", "../up", "a/b", "/root", "a\\b", "a b", "a.b", "a\0b", "\u{e4}", "a\n", "*", &long];
    for name in names {
        let doing = |what: &str| format!("{what} in partition {name:?}");
        let is = |error: &Error| matches!(error, Error::InvalidPartition { partition, .. } if partition == name);
        let answers = [
            ("claim", case.ends(&doing("claim"), storage.claim(name)).await?.map(drop)),
            ("open", case.ends(&doing("open"), storage.open(name, b"a", &format())).await?.map(drop)),
            ("remove", case.ends(&doing("remove"), storage.remove(name, &[b"a".to_vec()])).await?),
            ("remove_partition", case.ends(&doing("remove_partition"), storage.remove_partition(name)).await?),
            ("scan", case.ends(&doing("scan"), storage.scan(name)).await?.map(drop)),
        ];
        for (what, answer) in answers {
            match answer {
                Err(error) if is(&error) => {}
                other => return Err(case.wrong(&doing(what), "Error::InvalidPartition", shown(&other))),
            }
        }
    }
    Ok(())
}

async fn good_partitions(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let long = "x".repeat(MAX_PARTITION_BYTES);
    let names = ["a", "-", "_", "0", &long, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-0123456789_abcdefghijklmnopqrstuvwxyz"];
    for (at, name) in names.into_iter().enumerate() {
        let claim = case.ends("claiming a partition", storage.claim(name)).await?;
        case.same("the partition of a claim", name, case.ok("claiming a partition", claim)?.partition())?;
        let blob = case.open(&storage, name, b"a").await?;
        case.write(blob.as_ref(), 0, &noise(20 + at as u64, 100)).await?;
        case.same("the partition of an id", name, blob.id().partition())?;
    }
    for (at, name) in names.into_iter().enumerate() {
        let blob = case.existing(&storage, name, b"a").await?;
        case.content(&format!("partition {name}"), blob.as_ref(), &noise(20 + at as u64, 100)).await?;
    }
    Ok(())
}

/// One bad name among good ones spoils the call, and nothing of it is done.
async fn bad_names(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let blob = case.open(&storage, "names", b"good").await?;
    for len in [0, MAX_NAME_BYTES + 1, 255, 256, 70_000] {
        let name = vec![b'x'; len];
        let doing = format!("opening a name of {len} bytes");
        let opened = case.ends(&doing, storage.open("names", &name, &format())).await?;
        refused!(case, &doing, opened, Error::InvalidName { len: found } if found == len)?;
        let doing = format!("removing a name of {len} bytes");
        let removed = case.ends(&doing, storage.remove("names", &[b"good".to_vec(), name])).await?;
        refused!(case, &doing, removed, Error::InvalidName { len: found } if found == len)?;
        case.same("names after that", vec![b"good".to_vec()], case.scan(&storage, "names").await?)?;
        case.content("the good one after that", blob.as_ref(), b"").await?;
    }
    Ok(())
}

/// A name is any bytes: also zero, a slash, a dot, and what is no UTF-8.
async fn good_names(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let mut names: Vec<Vec<u8>> = (0..=u8::MAX).map(|byte| vec![byte]).collect();
    names.push((0..=u8::MAX).rev().take(MAX_NAME_BYTES).collect());
    names.push(vec![0; MAX_NAME_BYTES]);
    names.push(vec![0xff; MAX_NAME_BYTES]);
    names.push(b"../up".to_vec());
    for name in &names {
        let blob = case.open(&storage, "names", name).await?;
        case.same("the name of an id", name.as_slice(), blob.id().name())?;
        case.write(blob.as_ref(), 0, name).await?;
    }
    names.sort();
    case.same("names of every byte", names.clone(), case.scan(&storage, "names").await?)?;
    for name in &names {
        let blob = case.existing(&storage, "names", name).await?;
        case.content("a blob that holds its name", blob.as_ref(), name).await?;
    }
    let all: Vec<_> = names.iter().map(Vec::as_slice).collect();
    case.remove(&storage, "names", &all).await?;
    case.same("names after all were removed", Vec::new(), case.scan(&storage, "names").await?)
}

/// Sorted as bytes (a prefix first), whatever order they were made in; opened twice, listed once.
async fn scan(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let made: [&[u8]; 8] = [b"b", b"a\xff", b"a", b"\xff", b"a\x00", b"ab", b"A", b"\x00\x00"];
    for partition in ["scan", "scan-", "scan0", "sca"] {
        for name in made {
            let blob = case.open(&storage, partition, name).await?;
            case.write(blob.as_ref(), 0, b"x").await?;
            drop(case.open(&storage, partition, name).await?);
        }
        drop(case.open(&storage, partition, partition.as_bytes()).await?);
    }
    for partition in ["scan", "scan-", "scan0", "sca"] {
        let mut expected: Vec<_> = made.iter().map(|name| name.to_vec()).collect();
        expected.push(partition.as_bytes().to_vec());
        expected.sort();
        case.same(&format!("names of {partition}"), expected, case.scan(&storage, partition).await?)?;
    }
    case.remove(&storage, "scan", &[b"a", b"b", b"scan"]).await?;
    let left: [&[u8]; 6] = [b"\x00\x00", b"A", b"a\x00", b"ab", b"a\xff", b"\xff"];
    let left: Vec<_> = left.iter().map(|name| name.to_vec()).collect();
    case.same("names after a removal", left, case.scan(&storage, "scan").await?)?;
    case.same("names beside it", made.len() + 1, case.scan(&storage, "scan-").await?.len())
}

async fn missing_partition(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    case.same("names of a partition that never was", Vec::new(), case.scan(&storage, "never").await?)?;
    drop(case.open(&storage, "once", b"a").await?);
    let removed = case.ends("removing a partition", storage.remove_partition("once")).await?;
    case.ok("removing a partition", removed)?;
    case.same("names of a partition that was removed", Vec::new(), case.scan(&storage, "once").await?)
}
