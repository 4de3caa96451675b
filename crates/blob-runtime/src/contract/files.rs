//! The raw files: what a blob looks like on the medium, and what is made of bytes that somebody else put there.

use std::sync::Arc;

use futures::FutureExt;

use super::case::{Case, Stop, Verdict, cases, format, noise, shown};
use super::harness::{Entry, Files};
use crate::error::Error;
use crate::header::{HEADER_BYTES, Header, HeaderFault, HeaderState, Probe};
use crate::name::{Salt, file_name, parse_file_name};
use crate::storage::{Blob, Storage};

cases! {
    FILE_NAME "and its content: the header, then the bytes" layout;
    OPEN_FORMAT "another magic, a newer version, another salt than the name's" foreign_header;
    OPEN_STATE "a header that does not verify is told, and written with the first change" bad_header;
    OPEN_TWINS "two files of one name, one of them without content" remnant;
    OPEN_TWINS "two files of one name, both with content" twins;
    OPEN_TWINS "the caller's probe says which one is valid" probed;
    SCAN "foreign files are not listed" foreign_scan;
    REMOVE_FOREIGN "when the partition is removed" foreign_stay;
    OPEN_UNEXPECTED "a directory in the place of a blob" directory;
}

/// The raw files of a partition, and the storage open again.
async fn look(case: &Case<'_>, storage: Arc<dyn Storage>, partition: &str) -> Result<(Arc<dyn Storage>, Files), Stop> {
    let mut found = Files::new();
    let storage = case.edit(storage, partition, |files| found = files.clone()).await?;
    Ok((storage, found))
}

/// One blob, `a`, synced: its header, and what its file is called.
async fn one(
    case: &Case<'_>,
    storage: &Arc<dyn Storage>,
    partition: &str,
    content: &[u8],
) -> Result<(Header, String), Stop> {
    let blob = case.durable(storage, partition, b"a", content).await?;
    let header = *blob.header();
    Ok((header, file_name(b"a", header.salt)))
}

fn raw(header: &Header, content: &[u8]) -> Entry {
    let mut bytes = header.encode();
    bytes.extend_from_slice(content);
    Entry::File(bytes)
}

/// Any other program that knows the format must be able to read the file.
async fn layout(case: &Case<'_>) -> Verdict {
    let content = noise(80, 5_000);
    let storage = case.fresh().await?;
    let (header, file) = one(case, &storage, "files", &content).await?;
    let (storage, files) = look(case, storage, "files").await?;
    case.same("file names", vec![&file], files.keys().collect())?;
    case.same("the name taken apart", Some((b"a".to_vec(), header.salt)), parse_file_name(&file))?;
    let Some(Entry::File(bytes)) = files.get(&file) else {
        return Err(case.wrong("looking at a blob's file", "a regular file", shown(&files.get(&file))));
    };
    let (head, rest) = bytes.split_at_checked(HEADER_BYTES).unwrap_or((bytes, &[]));
    case.bytes("the header's bytes", &header.encode(), head)?;
    case.bytes("the bytes behind the header", &content, rest)?;
    let blob = case.existing(&storage, "files", b"a").await?;
    case.content("opened again", blob.as_ref(), &content).await
}

/// A header that verifies is never bad: what it says differently is named, and the file stays as it is.
async fn foreign_header(case: &Case<'_>) -> Verdict {
    let content = noise(81, 5_000);
    let mut storage = case.fresh().await?;
    for (field, partition) in [("magic", "files-a"), ("version", "files-b"), ("salt", "files-c")] {
        let (header, file) = one(case, &storage, partition, &content).await?;
        let mut planted = Entry::Directory;
        storage = case
            .edit(storage, partition, |files| {
                let Some(Entry::File(bytes)) = files.get_mut(&file) else { return };
                match field {
                    "magic" => replace(bytes, 0, b"OVRSIZER"),
                    "version" => replace(bytes, 8, &2_u16.to_be_bytes()),
                    _ => replace(bytes, 28, &header.salt.0.wrapping_add(1).to_be_bytes()),
                }
                let crc = crc32fast::hash(bytes.get(..32).unwrap_or_default());
                replace(bytes, 32, &crc.to_be_bytes());
                planted = Entry::File(bytes.clone());
            })
            .await?;
        let doing = format!("opening a file with another {field}");
        match case.ends(&doing, storage.open(partition, b"a", &format())).await? {
            Err(Error::FormatMismatch { field: named, .. }) => case.same(&doing, field, named)?,
            other => return Err(case.wrong(&doing, "Error::FormatMismatch", shown(&other))),
        }
        let files;
        (storage, files) = look(case, storage, partition).await?;
        case.same(&format!("{doing}: the file after that"), true, files.get(&file) == Some(&planted))?;
        case.same(&format!("{doing}: files after that"), 1, files.len())?;
    }
    Ok(())
}

fn replace(bytes: &mut [u8], at: usize, new: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + new.len()) {
        place.copy_from_slice(new);
    }
}

/// A crash before the first sync leaves anything in the header. Opening tells so and changes nothing; whoever goes on
/// with the blob gets the header he asked for, with the salt of the file's name.
async fn bad_header(case: &Case<'_>) -> Verdict {
    let content = noise(82, 5_000);
    let mut storage = case.fresh().await?;
    for (damage, keep, partition) in [
        ("zeros", 9_096, "files-a"),
        ("a flipped bit", 9_096, "files-b"),
        ("a short file", 100, "files-c"),
        ("an empty file", 0, "files-d"),
    ] {
        let (header, file) = one(case, &storage, partition, &content).await?;
        let mut planted = Entry::Directory;
        storage = case
            .edit(storage, partition, |files| {
                let Some(Entry::File(bytes)) = files.get_mut(&file) else { return };
                match damage {
                    "zeros" => replace(bytes, 0, &[0; 36]),
                    "a flipped bit" => bytes.iter_mut().skip(17).take(1).for_each(|byte| *byte ^= 4),
                    _ => bytes.truncate(keep),
                }
                planted = Entry::File(bytes.clone());
            })
            .await?;
        let doing = format!("opening a file with {damage} for a header");
        let blob = case.existing(&storage, partition, b"a").await?;
        let state = blob.header_state();
        let expected = match damage {
            "zeros" => state == HeaderState::Bad(HeaderFault::Zero),
            "a flipped bit" => matches!(state, HeaderState::Bad(HeaderFault::Checksum { .. })),
            "a short file" => state == HeaderState::Bad(HeaderFault::Short { file_bytes: 100 }),
            _ => state == HeaderState::New,
        };
        case.holds(&doing, "the state that says so", &state, expected)?;
        case.same(&doing, header, *blob.header())?;
        let left = if keep > HEADER_BYTES { content.as_slice() } else { &[] };
        case.content(&doing, blob.as_ref(), left).await?;
        drop(blob);
        let files;
        (storage, files) = look(case, storage, partition).await?;
        case.same(&format!("{doing}: the file after that"), true, files.get(&file) == Some(&planted))?;

        let blob = case.existing(&storage, partition, b"a").await?;
        case.write(blob.as_ref(), 0, b"first change").await?;
        case.sync(blob.as_ref()).await?;
        drop(blob);
        let files;
        (storage, files) = look(case, storage, partition).await?;
        case.same(&format!("{doing}: files after the first change"), vec![&file], files.keys().collect())?;
        let blob = case.existing(&storage, partition, b"a").await?;
        case.same(&format!("{doing}, after the first change"), HeaderState::Sound, blob.header_state())?;
        let expected = super::order::Change::Write(0, b"first change".to_vec()).of(left);
        case.content(&format!("{doing}, after the first change"), blob.as_ref(), &expected).await?;
    }
    Ok(())
}

fn other_life(header: &Header) -> Header {
    Header { salt: Salt(header.salt.0.wrapping_add(1)), ..*header }
}

/// A creation that a crash cut short, before a later one made the name again: the remnant must not hide the blob, nor
/// be there at the next opening.
async fn remnant(case: &Case<'_>) -> Verdict {
    let content = noise(83, 5_000);
    let mut storage = case.fresh().await?;
    for (kind, partition) in
        [("an empty file", "files-a"), ("a header alone", "files-b"), ("a header and zeros", "files-c")]
    {
        let (header, file) = one(case, &storage, partition, &content).await?;
        let other = other_life(&header);
        storage = case
            .edit(storage, partition, |files| {
                let entry = match kind {
                    "an empty file" => Entry::File(Vec::new()),
                    "a header alone" => raw(&other, &[]),
                    _ => raw(&other, &[0; 4_096]),
                };
                files.insert(file_name(b"a", other.salt), entry);
            })
            .await?;
        let doing = format!("a blob beside a remnant, {kind}");
        case.same(&doing, vec![b"a".to_vec()], case.scan(&storage, partition).await?)?;
        let blob = case.existing(&storage, partition, b"a").await?;
        case.same(&doing, header, *blob.header())?;
        case.content(&doing, blob.as_ref(), &content).await?;
        case.sync(blob.as_ref()).await?;
        drop(blob);
        let files;
        (storage, files) = look(case, storage, partition).await?;
        case.same(&format!("{doing}: files after that"), vec![&file], files.keys().collect())?;
    }
    Ok(())
}

/// Neither can be told to be the right one, so neither is touched.
async fn twins(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let (header, _) = one(case, &storage, "files", b"one").await?;
    let other = other_life(&header);
    let mut planted = Files::new();
    let storage = case
        .edit(storage, "files", |files| {
            files.insert(file_name(b"a", other.salt), raw(&other, b"other"));
            planted = files.clone();
        })
        .await?;
    for format in [format(), format().existing()] {
        match case.ends("opening one of twins", storage.open("files", b"a", &format)).await? {
            Err(Error::Corrupt { blob, .. }) => case.same("the blob named", b"a".as_slice(), blob.name())?,
            other => return Err(case.wrong("opening one of twins", "Error::Corrupt", shown(&other))),
        }
    }
    case.same("names", vec![b"a".to_vec()], case.scan(&storage, "files").await?)?;
    let (_, files) = look(case, storage, "files").await?;
    case.same("the files are as they were", true, files == planted)
}

/// Bytes that are not zero may still be no page and no frame: only the caller knows.
async fn probed(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let (header, file) = one(case, &storage, "files", b"garbage that is no frame").await?;
    let other = other_life(&header);
    let storage = case
        .edit(storage, "files", |files| {
            files.insert(file_name(b"a", other.salt), raw(&other, b"valid"));
        })
        .await?;
    let probe: Probe = Arc::new(|blob: Arc<dyn Blob>| {
        async move { Ok(blob.len() >= 5 && blob.read_at(0, 5).await?[..] == *b"valid") }.boxed()
    });
    let blob = case.open_as(&storage, "files", b"a", &format().probe(probe)).await?;
    case.same("the valid one", other, *blob.header())?;
    case.content("the valid one", blob.as_ref(), b"valid").await?;
    case.sync(blob.as_ref()).await?;
    drop(blob);
    let (_, files) = look(case, storage, "files").await?;
    case.same("the other is gone", false, files.contains_key(&file))
}

/// A note, salts of 7 and 9 digits, upper-case hex, an odd number of digits, no salt, no name, the longest file name,
/// a directory.
fn foreign() -> Files {
    let long = "6".repeat(255);
    let names = ["README", "61.0000000", "61.000000000", "6A.00000000", "616.00000000", "61", ".00000000", &long];
    let file = |name: &&str| ((*name).to_owned(), Entry::File(name.as_bytes().to_vec()));
    let mut files: Files = names.iter().map(file).collect();
    files.insert("directory".into(), Entry::Directory);
    files
}

async fn foreign_scan(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let (_, file) = one(case, &storage, "files", b"content").await?;
    let storage = case.edit(storage, "files", |files| files.extend(foreign())).await?;
    case.same("names beside foreign files", vec![b"a".to_vec()], case.scan(&storage, "files").await?)?;
    let blob = case.existing(&storage, "files", b"a").await?;
    case.content("a blob beside foreign files", blob.as_ref(), b"content").await?;
    drop(blob);
    drop(case.durable(&storage, "files", b"j", b"new").await?);
    case.remove(&storage, "files", &[b"j"]).await?;
    let (_, mut files) = look(case, storage, "files").await?;
    files.remove(&file);
    case.same("the foreign files are as they were", true, files == foreign())
}

async fn foreign_stay(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    one(case, &storage, "files", b"content").await?;
    let storage = case.edit(storage, "files", |files| files.extend(foreign())).await?;
    let gone = case.ends("removing the partition", storage.remove_partition("files")).await?;
    case.ok("removing the partition", gone)?;
    case.same("names", Vec::new(), case.scan(&storage, "files").await?)?;
    let (storage, files) = look(case, storage, "files").await?;
    case.same("the foreign files are as they were", true, files == foreign())?;
    let blob = case.durable(&storage, "files", b"a", b"new").await?;
    case.content("a new blob beside them", blob.as_ref(), b"new").await
}

async fn directory(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    drop(case.durable(&storage, "files", b"a", b"content").await?);
    let in_place = file_name(b"b", Salt(7));
    let storage = case
        .edit(storage, "files", |files| {
            files.insert(in_place.clone(), Entry::Directory);
        })
        .await?;
    for format in [format(), format().existing()] {
        let opened = case.ends("opening a directory", storage.open("files", b"b", &format)).await?;
        super::case::refused!(case, "opening a directory", opened, Error::Unexpected { found: "directory", .. })?;
    }
    let blob = case.existing(&storage, "files", b"a").await?;
    case.content("the blob beside it", blob.as_ref(), b"content").await?;
    drop(blob);
    let (_, files) = look(case, storage, "files").await?;
    case.same("the directory stays", Some(&Entry::Directory), files.get(&in_place))
}
