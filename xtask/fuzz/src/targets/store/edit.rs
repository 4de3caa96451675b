//! What is done to the files of a store: one record of an input says one change.

use blob_runtime::{HEADER_BYTES, Salt};
use fastrand::Rng;

use super::template::{File, Files};
use crate::input::Input;
use crate::reseal;

/// Bytes of a header that are not always zero.
const HEADER_USED: usize = 36;
/// Files do not grow beyond this.
const MAX_FILE_BYTES: usize = 64 << 10;

/// Kinds of changes, as the low bits of a record's first byte say them.
pub(crate) const KINDS: u8 = 12;
/// The bit of it that says that the file's checksums are made anew behind the change.
pub(crate) const FORGES: u8 = 0x80;

/// `kind u8 │ which file u8 │ where u16 │ argument u32`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Edit {
    kind: u8,
    forges: bool,
    file: usize,
    at: usize,
    argument: u32,
}

impl Edit {
    pub(crate) fn of(record: &[u8]) -> Self {
        let mut input = Input(record);
        let kind = input.u8();
        Self {
            kind: (kind & !FORGES) % KINDS,
            forges: kind & FORGES != 0,
            file: input.u8().into(),
            at: input.u16().into(),
            argument: input.u32(),
        }
    }

    /// Makes it. Whether the file has right checksums now that no store has made.
    pub(crate) fn apply(self, files: &mut Files) -> bool {
        if files.is_empty() {
            return false;
        }
        let at = self.file % files.len();
        let argument = self.argument as usize;
        match self.kind {
            9 => return whole(files, at, argument),
            10 => {
                let mut twin = files[at].clone();
                twin.salt = Salt(twin.salt.0.wrapping_add(1));
                if self.forges {
                    reseal::file(&mut twin.bytes, &twin.name, twin.salt);
                }
                files.push(twin);
                return self.forges;
            }
            _ => {}
        }
        let file = &mut files[at];
        self.change(&mut file.bytes);
        if self.forges {
            let File { name, salt, bytes, .. } = file;
            reseal::file(bytes, name, *salt);
        }
        self.forges
    }

    /// Where in the file: the part of the header that is not always zero, and all behind it.
    fn spot(self, bytes: &[u8]) -> usize {
        let content = bytes.len().saturating_sub(HEADER_BYTES);
        let spot = self.at % (HEADER_USED + content);
        if spot < HEADER_USED { spot } else { spot - HEADER_USED + HEADER_BYTES }
    }

    fn change(self, bytes: &mut Vec<u8>) {
        let at = self.spot(bytes);
        let argument = self.argument as usize;
        let number = self.argument.to_be_bytes();
        // Numbers around 0 and around the largest alike.
        let wide = i64::from(self.argument.cast_signed()).to_be_bytes();
        let range = |len: usize| at.min(bytes.len())..(at + len).min(bytes.len());
        match self.kind {
            0 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= number[3] | 1;
                }
            }
            1 => overwrite(bytes, at, &number[3..]),
            2 => overwrite(bytes, at, &number[2..]),
            3 => overwrite(bytes, at, &number),
            4 => overwrite(bytes, at, &wide),
            5 => {
                let range = range(argument % 300);
                bytes[range].fill(0);
            }
            6 => {
                let range = range(argument % 300);
                Rng::with_seed(self.argument.into()).fill(&mut bytes[range]);
            }
            7 => {
                let piece = bytes[range(argument % 512)].to_vec();
                let to = Self { at: argument >> 16, ..self }.spot(bytes);
                overwrite(bytes, to, &piece);
            }
            8 if argument.is_multiple_of(2) => bytes.truncate(at),
            8 => bytes.resize((bytes.len() + argument % 9000).min(MAX_FILE_BYTES), 0),
            _ if argument.is_multiple_of(2) => drop(bytes.drain(range(argument % 100))),
            _ if bytes.len() < MAX_FILE_BYTES => {
                let piece = bytes[range(argument % 100)].to_vec();
                let at = at.min(bytes.len());
                bytes.splice(at..at, piece);
            }
            _ => {}
        }
    }
}

fn overwrite(bytes: &mut [u8], at: usize, with: &[u8]) {
    for (byte, new) in bytes.iter_mut().skip(at).zip(with) {
        *byte = *new;
    }
}

/// A file goes, gets the bytes of another, or changes places with it.
fn whole(files: &mut Files, at: usize, argument: usize) -> bool {
    let other = (argument / 3) % files.len();
    match argument % 3 {
        0 => drop(files.remove(at)),
        1 => files[at].bytes = files[other].bytes.clone(),
        _ => {
            let bytes = files[at].bytes.clone();
            files[at].bytes = std::mem::replace(&mut files[other].bytes, bytes);
        }
    }
    false
}
