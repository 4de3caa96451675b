//! Inputs to begin with, made of sound stores.

use std::fs;
use std::io;
use std::path::Path;

use blob_runtime::HEADER_BYTES;
use fastrand::Rng;
use testkit::crash::SCRIPT_RECORD_BYTES;

use crate::input::compact;
use crate::targets::store::edit::{FORGES, KINDS};
use crate::targets::store::{RECORD_BYTES, templates};
use crate::targets::{Target, frame};

/// Writes them into a folder and answers how many.
///
/// # Errors
/// What the file system answers.
pub fn write_seeds(target: Target, folder: &Path) -> io::Result<usize> {
    fs::create_dir_all(folder)?;
    let inputs = inputs(target);
    for (number, input) in inputs.iter().enumerate() {
        fs::write(folder.join(format!("seed-{number:03}")), input)?;
    }
    Ok(inputs.len())
}

fn inputs(target: Target) -> Vec<Vec<u8>> {
    // `wanted`: files of these partitions' kinds, as a header says it.
    let files = |kind: u16| {
        let all = templates().iter().flat_map(|template| &template.files);
        let of_kind = all.filter(move |file| file.bytes.get(10..12) == Some(&kind.to_be_bytes()));
        of_kind.map(|file| &file.bytes)
    };
    let behind = |bytes: &[u8]| compact(bytes.get(HEADER_BYTES..).unwrap_or_default());
    match target {
        Target::Header => {
            let starts = (1..=3).flat_map(files).filter_map(|bytes| bytes.get(..36));
            let with_flags = |(number, start): (usize, &[u8])| {
                let flags = [0x01, 0x43, 0x83, 0xc3, 0x00, 0x07][number % 6];
                [&[flags, 0, 0][..], start].concat()
            };
            starts.take(12).enumerate().map(with_flags).collect()
        }
        // Bit 0: the checksums of another blob are made anew. Of the sizes of pages and tags those that the file has.
        Target::Page => {
            files(1).map(|bytes| [&[page_bits(bytes) << 4 | 1, 0, 40][..], &behind(bytes)].concat()).collect()
        }
        Target::Frame => {
            files(2).map(|bytes| [&[tag_size(bytes) << 6 | 3, 0, 60][..], &behind(bytes)].concat()).collect()
        }
        Target::Manifest => files(3).map(|bytes| [&[0x01][..], &behind(bytes)].concat()).collect(),
        Target::Store => stores(),
        Target::Operations => {
            let mut rng = Rng::with_seed(1);
            let script = |records: usize| (0..records * SCRIPT_RECORD_BYTES).map(|_| rng.u8(..)).collect();
            [2, 5, 9, 14, 20, 28, 40].into_iter().cycle().take(28).map(script).collect()
        }
    }
}

/// The field of a header that says the size of pages or tags.
fn unit(file: &[u8]) -> u32 {
    file.get(12..16).map_or(0, |field| field.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
}

fn page_bits(file: &[u8]) -> u8 {
    u8::try_from(unit(file).trailing_zeros().saturating_sub(6)).unwrap_or(0)
}

fn tag_size(file: &[u8]) -> u8 {
    let number = frame::TAG_BYTES.iter().position(|size| u32::from(*size) == unit(file));
    number.and_then(|number| u8::try_from(number).ok()).unwrap_or(0)
}

fn stores() -> Vec<Vec<u8>> {
    let mut inputs = Vec::new();
    let mut rng = Rng::with_seed(2);
    for which in 0..u8::try_from(templates().len()).unwrap_or(0) {
        for way in 0..3 {
            let mut input = vec![which, way, way << 1, 0, 0, 0, 0, 0];
            inputs.push(input.clone());
            for kind in 0..KINDS {
                input.truncate(RECORD_BYTES);
                let forges = if rng.bool() { FORGES } else { 0 };
                input.push(kind | forges);
                input.extend(std::iter::repeat_with(|| rng.u8(..)).take(RECORD_BYTES - 1));
                inputs.push(input.clone());
            }
        }
    }
    // The same stores as nothing but bytes. Sections and salts are others, so the checksums are made anew.
    for (number, template) in templates().iter().enumerate() {
        let kind = u8::try_from(template.kind as usize).unwrap_or(0);
        let which = (200..=u8::MAX).find(|which| which % 3 == kind).unwrap_or(u8::MAX);
        let mut input = vec![which, u8::try_from(number % 3).unwrap_or(0), 3, 0, 0, 0, 0, 0];
        for file in &template.files {
            let partition = u8::from(file.partition == "blocks-values");
            let name = match &file.name[..] {
                b"meta" => 0,
                name if name == u64::MAX.to_be_bytes() => 2,
                _ => 1,
            };
            input.push(name << 1 | partition);
            input.extend(compact(&file.bytes));
        }
        inputs.push(input);
    }
    inputs
}
