//! Bytes that are about to be cut off and may be worth something: copied first, with a note that says why.
//!
//! A cut of the blob `name` from offset `a` to `b` becomes the blob `name a b` (both offsets as 8 big-endian bytes) in the
//! partition `<partition>-quarantine`, and a JSON note of one line beside it, named the same with a byte 0 behind. The
//! note comes when the bytes are durable, so a copy without one is an attempt that was cut short, and is made again. A
//! recovery that is interrupted behind the note may already have written zeros over what it cuts off: when it runs again
//! it finds its own copy and leaves it alone. Another cut of the same range, later in the blob's life, gets a number
//! (4 bytes) behind the name.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::Error;
use crate::header::{Format, Kind, Want};
use crate::storage::{Blob, Storage};

#[cfg(test)]
mod tests;

/// How much is copied at a time.
const CHUNK_BYTES: u64 = 1 << 20;

/// The partition that takes what is cut off in `partition`.
pub fn partition_of(partition: &str) -> String {
    format!("{partition}-quarantine")
}

/// Copies bytes `from..to` of `blob` to quarantine, durably, at most `limit` of them. Answers how many were copied.
///
/// Cancel safety: dropped, it leaves a part of the copy; the next call makes it whole.
///
/// # Errors
/// Whatever reading, writing and syncing answer. Nothing may be cut off then.
pub async fn copy(
    storage: &Arc<dyn Storage>,
    blob: &Arc<dyn Blob>,
    from: u64,
    to: u64,
    limit: u64,
    reason: &str,
) -> Result<u64, Error> {
    let to = to.min(blob.len());
    if from >= to {
        return Ok(0);
    }
    let partition = partition_of(blob.id().partition());
    let format = Format::new(Kind::USER, Want::Default(blob.header().store));
    let plain = [blob.id().name(), &from.to_be_bytes(), &to.to_be_bytes()].concat();
    let mut name = plain.clone();
    for number in 1_u32.. {
        let note = [&name[..], &[0]].concat();
        match storage.open(&partition, &note, &format.clone().existing()).await {
            Ok(found) if !found.is_empty() => {}
            Ok(_) | Err(Error::NotFound { .. }) => break,
            Err(error) => return Err(error),
        }
        let kept = storage.open(&partition, &name, &format.clone().existing()).await?;
        if is_copy(kept.as_ref(), blob.as_ref(), from).await? {
            return Ok(kept.len());
        }
        name = [&plain[..], &number.to_be_bytes()].concat();
    }
    let copy = storage.open(&partition, &name, &format).await?;
    let len = limit.min(to - from);
    copy.resize(0).await?;
    let mut at = 0;
    while at < len {
        let take = usize::try_from(CHUNK_BYTES.min(len - at)).unwrap_or(0);
        copy.write_at(at, vec![blob.read_at(from + at, take).await?]).await?;
        at += take as u64;
    }
    copy.sync().await?;
    let note = storage.open(&partition, &[&name[..], &[0]].concat(), &format).await?;
    let text = format!(
        "{{\"blob\":{},\"offset\":{from},\"bytes\":{},\"copied\":{len},\"reason\":{}}}\n",
        json(&blob.id().to_string()),
        to - from,
        json(reason),
    );
    note.resize(0).await?;
    note.write_at(0, vec![Bytes::from(text)]).await?;
    note.sync().await?;
    Ok(len)
}

/// Whether `kept` is what `blob` has from `from` on, or had before a cut began to write zeros over it.
async fn is_copy(kept: &dyn Blob, blob: &dyn Blob, from: u64) -> Result<bool, Error> {
    let mut at = 0;
    while at < kept.len() {
        let take = usize::try_from(CHUNK_BYTES.min(kept.len() - at)).unwrap_or(0);
        let was = kept.read_at(at, take).await?;
        let is = blob.read_at(from + at, take).await?;
        if was.iter().zip(&is).any(|(was, is)| was != is && *is != 0) {
            return Ok(false);
        }
        at += take as u64;
    }
    Ok(true)
}

/// A JSON string (RFC 8259, section 7).
fn json(text: &str) -> String {
    let mut out = String::from('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => out.extend(['\\', char]),
            char if u32::from(char) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(char))),
            char => out.push(char),
        }
    }
    out.push('"');
    out
}
