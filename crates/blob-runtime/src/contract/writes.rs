//! Writes and resizes, one at a time.

use std::sync::Arc;

use bytes::Bytes;

use super::case::{Case, Verdict, cases, noise, refused};
use crate::error::Error;
use crate::storage::{Change, MAX_BLOB_BYTES};

cases! {
    WRITE_PARTS "parts, empty ones among them, and the bytes beside them" parts;
    WRITE_PARTS "more parts than one system call takes" many_parts;
    WRITE_GAP "a write past the end" gap;
    WRITE_NOTHING "no parts, or only empty ones, anywhere" nothing;
    WRITE_LIMIT "offsets and lengths that no file can have" limit;
    RESIZE "shrinking and growing again shows zeros, not the old bytes" regrowth;
    RESIZE "a write past a cut shows zeros before it, not the old bytes" write_past_a_cut;
    RESIZE "to the length it has, and to nothing" resize_edges;
    LEN "after each change, through each handle" length;
    WRITE_SYNC "write_at_sync is write_at, then sync" write_sync;
    WRITE_HEADER "the header written again changes nothing else" header_again;
    CHANGE_ALL "each in its turn, and none behind one that fails" changes_in_a_row;
    OPEN_HEADER "handles of one blob show one header" one_header;
}

/// A backend that stops at an empty part, or joins the parts at the wrong place.
async fn parts(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let blob = case.open(&storage, "writes", b"parts").await?;
    let mut content = noise(10, 6_000);
    case.write(blob.as_ref(), 0, &content).await?;
    let new = Bytes::from(noise(11, 3_000));
    for (round, cuts) in [[0, 0, 0], [0, 1, 1], [1, 1, 4_096], [500, 1_000, 2_999], [3_000; 3]].into_iter().enumerate()
    {
        let [a, b, c] = cuts.map(|cut: usize| cut.min(new.len()));
        let parts = vec![Bytes::new(), new.slice(..a), new.slice(a..b), Bytes::new(), new.slice(b..c), new.slice(c..)];
        let offset = 1_000 + round * 7;
        let doing = format!("writing parts cut at {a}, {b}, {c}");
        let written = case.ends(&doing, blob.write_at(offset as u64, parts)).await?;
        case.ok(&doing, written)?;
        overlay(&mut content, offset, &new);
        case.content(&doing, blob.as_ref(), &content).await?;
    }
    Ok(())
}

/// `pwritev(2)` takes at most `IOV_MAX` parts, 1,024 on Linux, and writes the rest not at all.
async fn many_parts(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let blob = case.open(&storage, "writes", b"many-parts").await?;
    let content = Bytes::from(noise(12, 3 * 2_500));
    let parts: Vec<_> = (0..2_500).map(|at| content.slice(3 * at..3 * at + 3)).collect();
    let written = case.ends("writing 2,500 parts", blob.write_at(0, parts)).await?;
    case.ok("writing 2,500 parts", written)?;
    case.content("after writing 2,500 parts", blob.as_ref(), &content).await
}

async fn gap(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let blob = case.open(&storage, "writes", b"gap").await?;
    let mut content = Vec::new();
    for offset in [100, 101 + 4_096, 20_000, 20_003] {
        case.write(blob.as_ref(), offset, b"x").await?;
        overlay(&mut content, usize::try_from(offset).unwrap_or_default(), b"x");
        case.content(&format!("a byte written at {offset}"), blob.as_ref(), &content).await?;
    }
    Ok(())
}

/// `pwrite(2)` of nothing leaves a file as it is; a backend that keeps the length itself must not move it.
async fn nothing(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let blob = case.open(&storage, "writes", b"nothing").await?;
    let content = noise(13, 5_000);
    for known in [Vec::new(), content] {
        case.write(blob.as_ref(), 0, &known).await?;
        for offset in [0, 1, 4_999, 5_000, 5_001, 1 << 20] {
            for parts in [vec![], vec![Bytes::new(), Bytes::new()]] {
                let doing = format!("writing no bytes in {} parts at {offset}", parts.len());
                let written = case.ends(&doing, blob.write_at(offset, parts)).await?;
                case.ok(&doing, written)?;
                case.content(&doing, blob.as_ref(), &known).await?;
            }
        }
    }
    Ok(())
}

/// The sum of offset and length must not wrap around, nor the header's bytes be forgotten in it.
async fn limit(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let blob = case.open(&storage, "writes", b"limit").await?;
    let content = noise(14, 300);
    case.write(blob.as_ref(), 0, &content).await?;
    for offset in [MAX_BLOB_BYTES, MAX_BLOB_BYTES + 1, i64::MAX as u64, u64::MAX - 1, u64::MAX] {
        let parts = || vec![Bytes::from_static(b"x"), Bytes::from_static(b"y")];
        let doing = format!("writing 2 bytes at {offset}");
        let written = case.ends(&doing, blob.write_at(offset, parts())).await?;
        refused!(case, &doing, written, Error::TooLarge { .. })?;
        let doing = format!("writing and syncing 2 bytes at {offset}");
        let written = case.ends(&doing, blob.write_at_sync(offset, parts())).await?;
        refused!(case, &doing, written, Error::TooLarge { .. })?;
    }
    for len in [MAX_BLOB_BYTES + 1, i64::MAX as u64, u64::MAX] {
        let doing = format!("resizing to {len}");
        let resized = case.ends(&doing, blob.resize(len)).await?;
        refused!(case, &doing, resized, Error::TooLarge { .. })?;
    }
    case.content("after changes that no file can have", blob.as_ref(), &content).await?;
    case.write(blob.as_ref(), 300, b"more").await?;
    case.sync(blob.as_ref()).await
}

async fn regrowth(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    for (at, cut) in [0_u16, 1, 511, 4_095, 4_096, 4_097, 8_999].into_iter().enumerate() {
        let blob = case.open(&storage, "writes", format!("regrowth-{at}").as_bytes()).await?;
        let mut content = noise(15, 9_000);
        case.write(blob.as_ref(), 0, &content).await?;
        case.resize(blob.as_ref(), cut.into()).await?;
        content.truncate(cut.into());
        case.content(&format!("cut to {cut}"), blob.as_ref(), &content).await?;
        case.resize(blob.as_ref(), 12_000).await?;
        content.resize(12_000, 0);
        case.content(&format!("cut to {cut} and regrown"), blob.as_ref(), &content).await?;
        case.write(blob.as_ref(), 11_990, b"over the end").await?;
        overlay(&mut content, 11_990, b"over the end");
        case.content(&format!("cut to {cut}, regrown and written"), blob.as_ref(), &content).await?;
    }
    Ok(())
}

async fn write_past_a_cut(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let blob = case.open(&storage, "writes", b"cut").await?;
    let mut content = noise(16, 9_000);
    case.write(blob.as_ref(), 0, &content).await?;
    case.resize(blob.as_ref(), 1_000).await?;
    case.write(blob.as_ref(), 5_000, b"x").await?;
    content.truncate(1_000);
    overlay(&mut content, 5_000, b"x");
    case.content("cut to 1000, then written at 5000", blob.as_ref(), &content).await
}

async fn resize_edges(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let blob = case.open(&storage, "writes", b"resize").await?;
    case.resize(blob.as_ref(), 0).await?;
    case.content("a new blob cut to nothing", blob.as_ref(), b"").await?;
    case.resize(blob.as_ref(), 4_100).await?;
    case.content("a new blob grown", blob.as_ref(), &[0; 4_100]).await?;
    let content = noise(17, 4_100);
    case.write(blob.as_ref(), 0, &content).await?;
    case.resize(blob.as_ref(), 4_100).await?;
    case.content("resized to its length", blob.as_ref(), &content).await?;
    case.resize(blob.as_ref(), 0).await?;
    case.content("cut to nothing", blob.as_ref(), b"").await
}

/// A handle that remembers the length it saw when it was opened.
async fn length(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let first = case.open(&storage, "writes", b"len").await?;
    let second = case.open(&storage, "writes", b"len").await?;
    let both = |doing: &str, len: u64| {
        case.same(&format!("{doing}, this handle"), len, first.len())?;
        case.same(&format!("{doing}, the other handle"), len, second.len())?;
        case.same(&format!("{doing}, is_empty"), len == 0, second.is_empty())
    };
    both("when new", 0)?;
    case.write(first.as_ref(), 10, b"abc").await?;
    both("after a write past the end", 13)?;
    case.write(second.as_ref(), 0, b"abc").await?;
    both("after a write inside", 13)?;
    case.resize(second.as_ref(), 5_000).await?;
    both("after growing", 5_000)?;
    case.sync(first.as_ref()).await?;
    both("after a sync", 5_000)?;
    case.resize(first.as_ref(), 7).await?;
    both("after shrinking", 7)?;
    let third = case.existing(&storage, "writes", b"len").await?;
    case.same("a handle opened later", 7, third.len())
}

async fn write_sync(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let blob = case.open(&storage, "writes", b"write-sync").await?;
    let mut content = Vec::new();
    for (offset, len) in [(0, 100), (50, 10), (100, 5_000), (9_000, 1), (0, 0)] {
        let data = Bytes::from(noise(offset, len));
        let parts = vec![data.slice(..len / 2), Bytes::new(), data.slice(len / 2..)];
        let doing = format!("writing and syncing {len} bytes at {offset}");
        let written = case.ends(&doing, blob.write_at_sync(offset, parts)).await?;
        case.ok(&doing, written)?;
        overlay(&mut content, usize::try_from(offset).unwrap_or_default(), &data);
        case.content(&doing, blob.as_ref(), &content).await?;
    }
    Ok(())
}

async fn changes_in_a_row(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let blob = case.open(&storage, "writes", b"row").await?;
    let mut content = noise(19, 5_000);
    let write = |offset: u64, data: &[u8]| Change::Write(offset, vec![Bytes::copy_from_slice(data), Bytes::new()]);
    let row = vec![write(0, &content), Change::Resize(1_000), Change::Header, write(3_000, b"x"), Change::Sync];
    content.truncate(1_000);
    overlay(&mut content, 3_000, b"x");
    let changed = case.ends("changes in a row", blob.change_all(row)).await?;
    case.ok("changes in a row", changed)?;
    case.content("after changes in a row", blob.as_ref(), &content).await?;
    let changed = case.ends("no changes", blob.change_all(Vec::new())).await?;
    case.ok("no changes", changed)?;
    for wrong in [Change::Resize(MAX_BLOB_BYTES + 1), write(MAX_BLOB_BYTES, b"yz")] {
        let doing = "changes in a row of which the third cannot be made";
        let row = vec![write(10, b"ab"), Change::Resize(2_000), wrong, write(20, b"cd"), Change::Resize(0)];
        let changed = case.ends(doing, blob.change_all(row)).await?;
        refused!(case, doing, changed, Error::TooLarge { .. })?;
        overlay(&mut content, 10, b"ab");
        content.truncate(2_000);
        case.content(doing, blob.as_ref(), &content).await?;
    }
    case.sync(blob.as_ref()).await
}

async fn header_again(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    for content in [Vec::new(), noise(18, 5_000)] {
        let blob = case.open(&storage, "writes", b"header").await?;
        case.write(blob.as_ref(), 0, &content).await?;
        let header = *blob.header();
        for _ in 0..2 {
            let written = case.ends("writing the header", blob.write_header()).await?;
            case.ok("writing the header", written)?;
            case.content("after writing the header", blob.as_ref(), &content).await?;
            case.same("after writing the header", header, *blob.header())?;
            case.sync(blob.as_ref()).await?;
        }
    }
    Ok(())
}

async fn one_header(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let first = case.open(&storage, "writes", b"one-header").await?;
    let second = case.open(&storage, "writes", b"one-header").await?;
    case.same("header before anything is written", first.header(), second.header())?;
    case.write(first.as_ref(), 0, b"x").await?;
    let third = case.open(&storage, "writes", b"one-header").await?;
    case.same("header after a write", first.header(), third.header())?;
    for handle in [&first, &second, &third] {
        case.content("each handle", handle.as_ref(), b"x").await?;
        case.same("partition of the id", "writes", handle.id().partition())?;
        case.same("name of the id", b"one-header".as_slice(), handle.id().name())?;
    }
    drop((first, second));
    case.content("the last handle", Arc::clone(&third).as_ref(), b"x").await
}

/// What a write does to the bytes of a blob.
pub(super) fn overlay(content: &mut Vec<u8>, offset: usize, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    if content.len() < offset + data.len() {
        content.resize(offset + data.len(), 0);
    }
    if let Some(place) = content.get_mut(offset..offset + data.len()) {
        place.copy_from_slice(data);
    }
}
