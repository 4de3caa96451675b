//! Bytes that are about to be cut off and may be worth something: copied first, with a note that says why.
//!
//! A cut of the blob `name` from offset `a` to `b` becomes the blob `name a b` (both offsets as 8 big-endian bytes) in the
//! partition `<partition>-quarantine`, and a JSON note of one line beside it, named the same with a byte 0 behind. The
//! names depend on nothing else, so a recovery that is interrupted and runs again overwrites its own copy.

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
    let name = [blob.id().name(), &from.to_be_bytes(), &to.to_be_bytes()].concat();
    let format = Format::new(Kind::USER, Want::Default(blob.header().store));
    let copy = storage.open(&partition, &name, &format).await?;
    let end = from + limit.min(to - from);
    let mut at = from;
    while at < end {
        let take = usize::try_from(CHUNK_BYTES.min(end - at)).unwrap_or(0);
        copy.write_at(at - from, vec![blob.read_at(at, take).await?]).await?;
        at += take as u64;
    }
    let note = storage.open(&partition, &[&name[..], &[0]].concat(), &format).await?;
    let text = format!(
        "{{\"blob\":{},\"offset\":{from},\"bytes\":{},\"copied\":{},\"reason\":{}}}\n",
        json(&blob.id().to_string()),
        to - from,
        end - from,
        json(reason),
    );
    note.resize(0).await?;
    note.write_at(0, vec![Bytes::from(text)]).await?;
    for result in storage.sync_many(&[copy, note]).await {
        result?;
    }
    Ok(end - from)
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
