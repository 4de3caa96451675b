//! Takes an input apart. What is missing at its end is zeros, so that every input is one.

/// The bytes of an input, from front to back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn u8(&mut self) -> u8 {
        self.number(1).try_into().unwrap_or(u8::MAX)
    }

    pub(crate) fn u16(&mut self) -> u16 {
        self.number(2).try_into().unwrap_or(u16::MAX)
    }

    pub(crate) fn u32(&mut self) -> u32 {
        self.number(4).try_into().unwrap_or(u32::MAX)
    }

    /// The next so many, or as many as there are.
    pub(crate) fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, left) = self.0.split_at(count.min(self.0.len()));
        self.0 = left;
        taken
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn number(&mut self, count: usize) -> u64 {
        let bytes = self.bytes(count);
        let number = bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        number << (8 * (count - bytes.len()))
    }
}

/// Bytes with their zeros left out: a row of a number of zeros, a number of bytes, and these.
pub(crate) fn expand(input: &mut Input<'_>, max: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !input.is_empty() && bytes.len() < max {
        let (zeros, count) = (usize::from(input.u16()), usize::from(input.u16()));
        if (zeros, count) == (0, 0) {
            break;
        }
        bytes.resize(bytes.len() + zeros, 0);
        bytes.extend_from_slice(input.bytes(count));
    }
    bytes.truncate(max);
    bytes
}

/// The other way round.
pub(crate) fn compact(bytes: &[u8]) -> Vec<u8> {
    /// Fewer zeros in a row than this cost less as they are.
    const WORTH: usize = 8;
    let mut compact = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let is_zero = |byte: &&u8| **byte == 0;
        let zeros = bytes[at..].iter().take_while(is_zero).count().min(usize::from(u16::MAX));
        let from = at + zeros;
        let mut to = from;
        while to < bytes.len() && to - from < usize::from(u16::MAX) {
            let run = bytes[to..].iter().take_while(is_zero).take(WORTH).count();
            if run == WORTH || to + run == bytes.len() && run > 0 {
                break;
            }
            to += run.max(1);
        }
        let to = to.min(from + usize::from(u16::MAX));
        for count in [zeros, to - from] {
            compact.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
        }
        compact.extend_from_slice(&bytes[from..to]);
        at = to;
    }
    compact.extend_from_slice(&[0; 4]);
    compact
}
