//! Scripts out of bytes, for who lets something else choose the operations and the crashes: any bytes are a script.

use blob_runtime::sim::{Crash, Cut, Granularity};

use super::choices::Choices;
use super::{Breadth, Draw};
use crate::crash::items::RECORD_MIN_BYTES;
use crate::crash::script::{End, Life, Script};

/// Bytes of one record: the first is the run's own, each of the others is an operation or ends a life. All have the same
/// size, so that a change of one leaves the others what they are.
pub const SCRIPT_RECORD_BYTES: usize = 24;
/// Records beyond these do not count, so that a run stays short.
pub const MAX_SCRIPT_RECORDS: usize = 64;

/// From this on the first byte of a record ends a life.
const ENDS_LIFE: u8 = 232;

impl Script {
    /// The script that bytes say. Equal bytes give equal scripts.
    pub fn decode(bytes: &[u8]) -> Self {
        let mut records = bytes.chunks(SCRIPT_RECORD_BYTES).take(MAX_SCRIPT_RECORDS);
        let mut own = Choices::of(records.next().unwrap_or_default());
        let seed = own.u64(..);
        let breadth = [Breadth::Plain, Breadth::Wide, Breadth::Faulty, Breadth::Stale][own.usize(0..4)];
        let record_bytes = RECORD_MIN_BYTES + own.usize(0..60);
        let ordered = own.u8(0..6) == 0;
        let compress = own.u8(0..8) == 0;
        let granularity = match own.u8(0..6) {
            0 => Some(Granularity::Block),
            1 => Some(Granularity::Sector),
            2 => Some(Granularity::Byte),
            _ => None,
        };
        let mut lives = Vec::new();
        let mut ops = Vec::new();
        let mut draw = Draw { rng: own, breadth, compress };
        for record in records {
            match record.split_first() {
                Some((first, rest)) if *first >= ENDS_LIFE => {
                    draw.rng = Choices::of(rest);
                    lives.push(draw.decoded_life(std::mem::take(&mut ops)));
                }
                _ => {
                    draw.rng = Choices::of(record);
                    ops.push(draw.op());
                }
            }
        }
        if !ops.is_empty() || lives.is_empty() {
            draw.rng = Choices::of(&[]);
            lives.push(draw.decoded_life(ops));
        }
        Self { seed, record_bytes, ordered, stale: breadth == Breadth::Stale, granularity, lives }
    }
}

impl Draw {
    fn decoded_life(&mut self, ops: Vec<super::Op>) -> Life {
        // The crash first, so that it never depends on what the settings leave.
        let step = self.rng.u64(1..1500);
        let crash = match self.rng.u8(0..16) {
            0 => Crash::Power(Cut::LoseAll),
            1 => Crash::Power(Cut::KeepAll),
            2..5 => Crash::Kill,
            5 => Crash::Power(Cut::AllBut(self.rng.usize(0..12))),
            6 => Crash::Power(Cut::Only(self.rng.usize(0..12))),
            7 => Crash::Power(Cut::First(self.rng.usize(0..12))),
            8..11 => Crash::Power(Cut::Subset(self.rng.u64(0..1 << 16))),
            11 => Crash::Power(Cut::Torn { effect: self.rng.usize(0..12), bytes: self.rng.usize(0..600) }),
            _ => Crash::Power(Cut::Random),
        };
        Life { settings: self.settings(), ops, end: End { step, crash } }
    }
}
