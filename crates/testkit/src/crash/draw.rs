//! Draws scripts from seeds, or takes them out of given bytes: the workload generator.

use blob_runtime::sim::{Crash, Cut, Granularity};
use fastrand::Rng;

use super::items::RECORD_MIN_BYTES;
use super::script::{End, FaultAt, Life, Op, Script, Settings};

mod choices;
mod decode;
#[cfg(test)]
mod tests;

use choices::Choices;
pub use decode::{MAX_SCRIPT_RECORDS, SCRIPT_RECORD_BYTES};

/// How much of what there is a script may draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breadth {
    /// Appends, syncs, rewinds and crashes.
    Plain,
    /// Everything but faults of the disk.
    Wide,
    /// Everything.
    Faulty,
    /// Everything but faults, on a disk that may show blocks of a file's past.
    Stale,
}

impl Breadth {
    /// The breadth of a seed: each in its turn, the wider ones more often.
    pub fn of(seed: u64) -> Self {
        match seed % 8 {
            0 => Self::Plain,
            1..4 => Self::Wide,
            4..7 => Self::Faulty,
            _ => Self::Stale,
        }
    }
}

/// Sections that scripts use: one may be missing below, and beyond the last there is none.
const SECTIONS: [u64; 4] = [0, 1, 7, u64::MAX];

struct Draw {
    rng: Choices,
    breadth: Breadth,
    compress: bool,
}

impl Script {
    /// The script of a seed.
    pub fn draw(seed: u64, breadth: Breadth) -> Self {
        let mut rng = Rng::with_seed(seed ^ 0x6f76_6572_7369_7a65);
        let compress = rng.u8(0..24) == 0;
        let wide = breadth != Breadth::Plain;
        let record_bytes = RECORD_MIN_BYTES + rng.usize(0..60);
        let ordered = wide && rng.u8(0..6) == 0;
        let granularity = match rng.u8(0..8) {
            0 => Some(Granularity::Block),
            1 => Some(Granularity::Sector),
            _ => None,
        };
        let mut draw = Draw { rng: Choices::Seed(rng), breadth, compress };
        let lives = draw.lives();
        Self { seed, record_bytes, ordered, stale: breadth == Breadth::Stale, granularity, lives }
    }
}

impl Draw {
    fn lives(&mut self) -> Vec<Life> {
        // One life that works, then up to three that mostly crash while they recover; sometimes another that works.
        let regrows = self.breadth == Breadth::Stale && self.rng.bool();
        let mut lives = vec![if regrows { self.regrowth() } else { self.life(false) }];
        let recoveries = self.rng.usize(0..4);
        lives.extend((0..recoveries).map(|_| self.life(true)));
        if self.rng.bool() {
            lives.push(self.life(false));
        }
        lives
    }

    fn life(&mut self, recovery: bool) -> Life {
        let count = if recovery { self.rng.usize(0..4) } else { self.rng.usize(4..28) };
        let step = match self.rng.u8(0..4) {
            _ if recovery => self.rng.u64(1..90),
            0 => self.rng.u64(1..100),
            1 => self.rng.u64(1..1500),
            _ => self.rng.u64(1..500),
        };
        let crash = match self.rng.u8(0..8) {
            0 => Crash::Power(Cut::LoseAll),
            1 => Crash::Power(Cut::KeepAll),
            2 | 3 => Crash::Kill,
            4 => Crash::Power(Cut::AllBut(self.rng.usize(0..12))),
            _ => Crash::Power(Cut::Random),
        };
        Life { settings: self.settings(), ops: (0..count).map(|_| self.op()).collect(), end: End { step, crash } }
    }

    /// A life that ends where the past of a file may show: its values were cut, have grown again, and the last of them are
    /// written and not synced. Their sizes differ by that of a seal, so that something new often ends where something old
    /// did: there an old frame would fit.
    fn regrowth(&mut self) -> Life {
        let append = |draw: &mut Self| Op::Append { section: 1, len: [10, 50, 90][draw.rng.usize(0..3)] };
        let some = |draw: &mut Self, most: usize| -> Vec<Op> {
            let count = draw.rng.usize(1..most);
            (0..count).map(|_| append(draw)).collect()
        };
        let (sync, back) = (Op::Sync { section: 1 }, self.rng.usize(1..5));
        let mut ops = some(self, 9);
        ops.extend([sync.clone(), Op::Rewind { section: 1, back, all_later: false }]);
        ops.extend(some(self, 3));
        ops.push(sync);
        ops.extend(some(self, 4));
        let settings = Settings {
            index_buffer: 100_000,
            value_buffer: self.rng.usize(1..60),
            unsynced: 10_000,
            checkpoint: 1_000_000,
            preallocate: 0,
            budget: None,
            abandon: None,
            ..self.settings()
        };
        let step = if self.rng.bool() { 10_000 } else { self.rng.u64(1..300) };
        Life { settings, ops, end: End { step, crash: Crash::Power(Cut::Random) } }
    }

    fn settings(&mut self) -> Settings {
        let rng = &mut self.rng;
        Settings {
            page_bits: rng.u32(6..=8),
            page_cache: if rng.bool() { 4000 } else { 0 },
            index_buffer: if rng.bool() { rng.usize(1..200) } else { 100_000 },
            value_buffer: if rng.bool() { rng.usize(1..300) } else { rng.usize(300..4000) },
            unsynced: rng.u64(1..2000),
            checkpoint: if rng.bool() { rng.u64(1..600) } else { 1_000_000 },
            preallocate: if rng.bool() { 0 } else { rng.u64(500..6000) },
            budget: (rng.u8(0..8) == 0).then(|| rng.usize(1..2000)),
            concurrency: rng.usize(1..4),
            compress: self.compress && rng.bool(),
            open_sections: if rng.bool() { rng.usize(0..3) } else { 1024 },
            abandon: (rng.u8(0..12) == 0).then(|| rng.u32(0..60)),
        }
    }

    fn section(&mut self) -> u64 {
        // Most of the work is in two sections.
        match self.rng.u8(0..8) {
            0..4 => 1,
            4..6 => 7,
            6 => SECTIONS[0],
            _ => SECTIONS[3],
        }
    }

    fn len(&mut self) -> u32 {
        match self.rng.u8(0..24) {
            0 => 0,
            1 => self.rng.u32(1000..5000),
            2..6 => self.rng.u32(100..400),
            _ => self.rng.u32(1..80),
        }
    }

    fn back(&mut self) -> usize {
        match self.rng.u8(0..6) {
            0 => 1000,
            1 => self.rng.usize(0..8),
            _ => self.rng.usize(0..4),
        }
    }

    fn append(&mut self) -> Op {
        let section = self.section();
        match self.rng.u8(0..8) {
            0 | 1 => {
                let count = self.rng.usize(2..6);
                Op::AppendAll { section, lens: (0..count).map(|_| self.len()).collect() }
            }
            2 if self.breadth != Breadth::Plain => {
                Op::AppendAt { section, len: self.len(), off: u64::from(self.rng.u8(0..4) == 0) }
            }
            _ => Op::Append { section, len: self.len() },
        }
    }

    fn change(&mut self) -> Op {
        let section = self.section();
        match self.rng.u8(0..16) {
            0 => Op::Prune { min: [0, 1, 7][self.rng.usize(0..3)] },
            1 | 2 => Op::Remove { section },
            3 | 4 => Op::SetState,
            kind => Op::Rewind { section, back: self.back(), all_later: kind < 9 },
        }
    }

    fn ask(&mut self) -> Op {
        let (section, back) = (self.section(), self.back());
        match self.rng.u8(0..10) {
            0..3 => Op::Read { section, back },
            3 => Op::ReadMany { section, back, max_bytes: self.rng.usize(0..600) },
            4 | 5 => Op::Replay { section, back, values: self.rng.bool() },
            6 => Op::Verify,
            _ => Op::Look,
        }
    }

    /// One that others may run beside.
    fn small(&mut self) -> Op {
        let section = self.section();
        match self.rng.u8(0..20) {
            0..8 => self.append(),
            8..13 => Op::Sync { section },
            13 => Op::SyncAll,
            14 => Op::Maintain,
            15 | 16 => self.change(),
            _ => self.ask(),
        }
    }

    fn op(&mut self) -> Op {
        let section = self.section();
        if self.breadth == Breadth::Plain {
            return match self.rng.u8(0..20) {
                0..10 => self.append(),
                10..15 => Op::Sync { section },
                15..17 => Op::Rewind { section, back: self.back(), all_later: self.rng.bool() },
                17 => Op::Maintain,
                18 => Op::Reopen { close: self.rng.bool(), settings: self.settings() },
                _ => Op::Look,
            };
        }
        match self.rng.u8(0..64) {
            0..18 => self.append(),
            18..26 => Op::Sync { section },
            26 | 27 => Op::SyncAll,
            28..30 => Op::Maintain,
            30..36 => self.change(),
            36..40 => self.ask(),
            40..43 => Op::Dropped { polls: self.rng.u32(0..25), op: Box::new(self.small()) },
            43..48 => {
                let count = self.rng.usize(2..5);
                Op::Together((0..count).map(|_| self.small()).collect())
            }
            48..51 => Op::Spawn(Box::new(self.small())),
            51 => Op::Tail { section, back: self.back(), durable: self.rng.bool() },
            52 => Op::WaitDurable { section, back: self.back() },
            53..56 => Op::Reopen { close: self.rng.bool(), settings: self.settings() },
            56 => Op::ReopenSection { section },
            57 => match self.rng.u8(0..4) {
                0 => Op::Destroy { settings: self.settings() },
                1 => Op::WrongRecord { settings: self.settings() },
                _ => Op::SecondWriter,
            },
            58 => {
                let count = self.rng.usize(0..3);
                Op::Reader { settings: self.settings(), between: (0..count).map(|_| self.small()).collect() }
            }
            _ if self.breadth == Breadth::Faulty => self.fault(),
            _ => Op::Append { section, len: self.len() },
        }
    }

    fn fault(&mut self) -> Op {
        let n = self.rng.u64(1..8);
        Op::Fault(match self.rng.u8(0..20) {
            0..3 => FaultAt::Read(n),
            3..7 => FaultAt::Write(n),
            7..12 => FaultAt::Sync(n),
            12 => FaultAt::SyncDirectory(n),
            13 => FaultAt::Resize(n),
            14 => FaultAt::Remove(n),
            15 => FaultAt::Create(n),
            16 => FaultAt::Scan(n),
            17 => FaultAt::Open(n),
            18 => FaultAt::Space(self.rng.u64(0..3000)),
            _ => return Op::Heal,
        })
    }
}
