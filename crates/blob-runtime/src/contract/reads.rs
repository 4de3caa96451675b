//! Reads: whole or an error, at every edge.

use super::case::{Case, Verdict, cases, noise, refused};
use crate::error::Error;
use crate::storage::Blob;

cases! {
    READ_WHOLE "every range between the edges of blocks and of the blob" edges;
    READ_WHOLE "an empty blob has one range, the empty one" empty;
    READ_WHOLE "several MiB, whole and in parts" large;
    READ_NOW "what is answered without blocking is what a read answers" now;
    READ_BOUNDS "one byte too far, far past the end, over the end of all numbers" bounds;
}

/// Not a multiple of anything a file system counts in.
const LEN: usize = 10_007;
const EDGES: [usize; 12] = [0, 1, 2, 511, 512, 4_095, 4_096, 4_097, 8_191, 8_192, LEN - 1, LEN];

/// A read that ends early, or comes from one block off, shows at an edge.
async fn edges(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let blob = case.open(&storage, "reads", b"edges").await?;
    let content = noise(1, LEN);
    case.write(blob.as_ref(), 0, &content).await?;
    for (from, to) in ranges() {
        let read = case.read("a range", blob.as_ref(), from as u64, to - from).await?;
        case.bytes(&format!("reading {from}..{to}"), content.get(from..to).unwrap_or_default(), &read)?;
    }
    Ok(())
}

fn ranges() -> impl Iterator<Item = (usize, usize)> {
    EDGES.into_iter().flat_map(|from| EDGES.into_iter().filter(move |to| from <= *to).map(move |to| (from, to)))
}

async fn empty(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let blob = case.open(&storage, "reads", b"empty").await?;
    case.same("is_empty", true, blob.is_empty())?;
    case.content("a new blob", blob.as_ref(), b"").await?;
    let read = case.ends("reading 1 byte of an empty blob", blob.read_at(0, 1)).await?;
    refused!(case, "reading 1 byte of an empty blob", read, Error::OutOfBounds { offset: 0, len: 1, blob_len: 0, .. })
}

/// Larger than what one system call, one buffer or one page of a backend holds.
async fn large(case: &Case<'_>) -> Verdict {
    const LARGE: usize = 5 * 1024 * 1024 + 11;
    const CHUNK: usize = 700_001;
    let storage = case.fresh().await?;
    let blob = case.open(&storage, "reads", b"large").await?;
    let content = noise(2, LARGE);
    case.write(blob.as_ref(), 0, &content).await?;
    case.content("a large blob", blob.as_ref(), &content).await?;
    case.sync(blob.as_ref()).await?;
    for (at, chunk) in content.chunks(CHUNK).enumerate() {
        let offset = (at * CHUNK) as u64;
        let read = case.read("a part of a large blob", blob.as_ref(), offset, chunk.len()).await?;
        case.bytes(&format!("part {at} of a large blob"), chunk, &read)?;
    }
    Ok(())
}

/// The fast path has its own code in most backends, so its own short reads and its own end of file.
async fn now(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let blob = case.open(&storage, "reads", b"now").await?;
    let content = noise(3, LEN);
    case.write(blob.as_ref(), 0, &content).await?;
    for (from, to) in ranges() {
        if let Some(read) = blob.try_read_at(from as u64, to - from) {
            let doing = format!("reading {from}..{to} without blocking");
            case.bytes(&doing, content.get(from..to).unwrap_or_default(), &case.ok(&doing, read)?)?;
        }
    }
    for (offset, len) in PAST {
        if let Some(read) = blob.try_read_at(offset, len) {
            let doing = format!("reading {len} bytes at {offset} without blocking");
            refused!(case, &doing, read, Error::OutOfBounds { .. })?;
        }
    }
    Ok(())
}

const END: u64 = LEN as u64;
const PAST: [(u64, usize); 10] = [
    (END - 1, 2),
    (END, 1),
    (END + 1, 0),
    (0, LEN + 1),
    (0, usize::MAX),
    (1, usize::MAX),
    (u64::MAX, 0),
    (u64::MAX, 1),
    (u64::MAX, usize::MAX),
    (i64::MAX as u64, 1),
];

/// Offsets come from bytes on disk, so any number may come. The length asked for must not be allocated first.
async fn bounds(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let blob = case.open(&storage, "reads", b"bounds").await?;
    let content = noise(4, LEN);
    case.write(blob.as_ref(), 0, &content).await?;
    for (offset, len) in PAST {
        past(case, blob.as_ref(), offset, len).await?;
    }
    case.content("after reads past the end", blob.as_ref(), &content).await
}

async fn past(case: &Case<'_>, blob: &dyn Blob, offset: u64, len: usize) -> Verdict {
    let doing = format!("reading {len} bytes at {offset} of {END}");
    match case.ends(&doing, blob.read_at(offset, len)).await? {
        Err(Error::OutOfBounds { blob: of, offset: at, len: asked, blob_len }) => {
            case.same(&format!("{doing}: the blob named"), blob.id(), &of)?;
            case.same(&format!("{doing}: the numbers named"), (offset, len as u64, END), (at, asked, blob_len))
        }
        other => Err(case.wrong(&doing, "Error::OutOfBounds", super::case::shown(&other))),
    }
}
