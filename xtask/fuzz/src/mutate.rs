//! Changes of inputs that are rows of records of one size: whole records are doubled, dropped, moved and mixed, so that
//! those behind them keep their meaning. All other inputs are changed as libFuzzer does.

use fastrand::Rng;

use crate::targets::Target;

/// Changes `data[..size]` in place and answers the new size, at most `max_size`. `usual` is libFuzzer's own way.
pub fn mutate(
    target: Target,
    data: &mut [u8],
    size: usize,
    max_size: usize,
    seed: u32,
    mut usual: impl FnMut(&mut [u8], usize, usize) -> usize,
) -> usize {
    let mut rng = Rng::with_seed(seed.into());
    let Some(record) = target.record_bytes() else { return usual(data, size, max_size) };
    let count = size / record;
    if count == 0 || rng.u8(0..8) == 0 {
        return usual(data, size, max_size);
    }
    let mut bytes = data.get(..size).unwrap_or_default().to_vec();
    // The first one is the run's own.
    let (at, other) = (rng.usize(0..count), rng.usize(0..count));
    let copy = |bytes: &[u8], of: usize| bytes.get(of * record..(of + 1) * record).unwrap_or_default().to_vec();
    match rng.u8(0..8) {
        // One record changes and keeps its size.
        0..4 => {
            let mut one = copy(&bytes, at);
            usual(&mut one, record, record);
            bytes.splice(at * record..(at + 1) * record, one);
        }
        4 if count > 1 => drop(bytes.drain(at * record..(at + 1) * record)),
        5 => {
            let one = copy(&bytes, other);
            bytes.splice(at * record..at * record, one);
        }
        6 => {
            let one: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(record).collect();
            let at = at.max(1) * record;
            bytes.splice(at.min(bytes.len())..at.min(bytes.len()), one);
        }
        _ => {
            let (one, two) = (copy(&bytes, at), copy(&bytes, other));
            bytes.splice(at * record..(at + 1) * record, two);
            bytes.splice(other * record..(other + 1) * record, one);
        }
    }
    bytes.truncate(max_size.min(data.len()));
    if let Some(place) = data.get_mut(..bytes.len()) {
        place.copy_from_slice(&bytes);
    }
    bytes.len()
}
