//! Makes the checksums of a blob anew, wherever one belongs: the bytes become what some program might have written.

use blob_runtime::manifest::SLOT_BYTES;
use blob_runtime::{Binding, HEADER_BYTES, Header, Kind, Salt, StoreId};
use glob::frame::{FIXED_BYTES, MAGIC, OVERHEAD_BYTES, Place};

/// Bytes of a header that its checksum covers.
const COVERED_BYTES: usize = 32;
/// Bytes of one slot of a page, and of its checksum.
const PAGE_SLOT_BYTES: usize = 12;
const CRC_BYTES: usize = 4;

fn put_crc(bytes: &mut [u8], at: usize, crc: u32) {
    if let Some(place) = bytes.get_mut(at..at.saturating_add(CRC_BYTES)) {
        place.copy_from_slice(&crc.to_be_bytes());
    }
}

fn number(bytes: &[u8], at: usize, len: usize) -> usize {
    let field = bytes.get(at..at + len).unwrap_or_default();
    field.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

/// The checksum of a file's header.
pub(crate) fn header(file: &mut [u8]) {
    if let Some(covered) = file.get(..COVERED_BYTES) {
        let crc = crc32fast::hash(covered);
        put_crc(file, COVERED_BYTES, crc);
    }
}

/// All checksums of a file of this name, by what its header says.
pub(crate) fn file(file: &mut [u8], name: &[u8], salt: Salt) {
    header(file);
    let wide = |at: usize, len: usize| number(file, at, len) as u64;
    let found = Header {
        kind: Kind(u16::try_from(wide(10, 2)).unwrap_or(0)),
        unit: u32::try_from(wide(12, 4)).unwrap_or(0),
        item: u32::try_from(wide(16, 4)).unwrap_or(0),
        store: StoreId(wide(20, 8)),
        salt,
    };
    let binding = found.binding(name);
    let Some(content) = file.get_mut(HEADER_BYTES..) else { return };
    match found.kind {
        Kind::PAGED => pages(content, usize::try_from(found.unit).unwrap_or(0), binding),
        Kind::VALUES => frames(content, binding, true),
        Kind::MANIFEST => slots(content, binding),
        _ => {}
    }
}

/// The slots of pages, where they claim any bytes.
pub(crate) fn pages(content: &mut [u8], page_bytes: usize, binding: Binding) {
    if !page_bytes.is_power_of_two() || !(64..=65_536).contains(&page_bytes) {
        return;
    }
    for (page, bytes) in content.chunks_exact_mut(page_bytes).enumerate() {
        let data_bytes = page_bytes - 2 * PAGE_SLOT_BYTES;
        for at in [data_bytes, data_bytes + PAGE_SLOT_BYTES] {
            let len = number(bytes, at, 2);
            if len == 0 {
                continue;
            }
            let mut crc = binding.hasher();
            crc.update(&(page as u64).to_be_bytes());
            crc.update(bytes.get(..len.min(data_bytes)).unwrap_or_default());
            crc.update(bytes.get(at..at + PAGE_SLOT_BYTES - CRC_BYTES).unwrap_or_default());
            put_crc(bytes, at + PAGE_SLOT_BYTES - CRC_BYTES, crc.finalize());
        }
    }
}

/// The headers of frames, wherever one seems to begin, and with `payloads` the checksum of what it says is its payload.
pub(crate) fn frames(content: &mut [u8], binding: Binding, payloads: bool) {
    let mut at = 0;
    while at + OVERHEAD_BYTES <= content.len() {
        if content.get(at..at + MAGIC.len()) != Some(&MAGIC) {
            at += 1;
            continue;
        }
        let (tag, stored) = (number(content, at + 6, 2), number(content, at + 8, 4));
        let head = at + OVERHEAD_BYTES + tag;
        let payload = content.get(head..head.saturating_add(stored));
        let whole = payload.is_some();
        if payloads && let Some(payload) = payload {
            let crc = if payload.is_empty() { 0 } else { crc32fast::hash(payload) };
            put_crc(content, at + FIXED_BYTES - CRC_BYTES, crc);
        }
        let place = Place { binding, offset: at as u64 };
        if let Some(covered) = content.get(at..head - CRC_BYTES) {
            let crc = place.checksum(covered);
            put_crc(content, head - CRC_BYTES, crc);
        }
        // What is inside a whole frame is its own affair.
        at = if whole { head + stored } else { at + 1 };
    }
}

/// The two slots of a manifest.
pub(crate) fn slots(content: &mut [u8], binding: Binding) {
    for (slot, bytes) in content.chunks_exact_mut(SLOT_BYTES).take(2).enumerate() {
        // One that was never written.
        if bytes.iter().all(|byte| *byte == 0) {
            continue;
        }
        let mut crc = binding.hasher();
        crc.update(&(slot as u64).to_be_bytes());
        crc.update(bytes.get(..SLOT_BYTES - CRC_BYTES).unwrap_or_default());
        put_crc(bytes, SLOT_BYTES - CRC_BYTES, crc.finalize());
    }
}
