use super::*;
use crate::sim::crash::Cut;
use crate::sim::trace::Ways;

#[derive(Default)]
struct File {
    inode: Inode,
    numbers: u64,
}

impl File {
    /// A file with these bytes on the disk.
    fn with(bytes: &[u8]) -> Self {
        let inode = Inode { visible: bytes.to_vec(), durable: bytes.to_vec(), ..Inode::default() };
        Self { inode, numbers: 0 }
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) -> &mut Self {
        self.change(Change::Write { offset, data: data(bytes) }, false)
    }

    fn resize(&mut self, len: usize) -> &mut Self {
        self.change(Change::Resize(len), false)
    }

    fn change(&mut self, change: Change, whole_pages: bool) -> &mut Self {
        let numbers = &mut self.numbers;
        self.inode.apply(change, whole_pages, &mut || {
            *numbers += 1;
            *numbers
        });
        self
    }

    fn judged(&mut self, cut: Cut, stale: bool, how: fn(&mut Inode, &mut Judge<'_>, bool)) -> Ways {
        let (mut rng, mut ways) = (Rng::with_seed(3), Ways::default());
        let numbers = self.inode.pending.iter().map(|effect| effect.number).collect::<Vec<_>>();
        how(&mut self.inode, &mut Judge::new(cut, None, || numbers, &mut rng, &mut ways), stale);
        ways
    }

    fn cut(&mut self, cut: Cut) -> Ways {
        let ways = self.judged(cut, false, Inode::cut);
        assert_eq!(self.inode.visible, self.inode.durable);
        assert!(!self.inode.differs());
        ways
    }
}

fn data(bytes: &[u8]) -> Data {
    // In two parts and an empty one, as a vectored write comes.
    let (one, two) = bytes.split_at(bytes.len() / 2);
    Data::new(vec![Bytes::copy_from_slice(one), Bytes::new(), Bytes::copy_from_slice(two)])
}

/// A file of 4 bytes; a write makes it longer. Its effects are: the length, the bytes. Each may survive alone.
#[test]
fn length_and_bytes_of_a_write_survive_each_by_itself() {
    let want: [&[u8]; 4] = [b"abcd", b"abcd\0\0", b"abXX", b"abXXXX"];
    for (bits, want) in (0_u64..).zip(want) {
        let mut file = File::with(b"abcd");
        file.write(2, b"XXXX");
        assert_eq!(file.inode.visible, b"abXXXX");
        assert_eq!(file.inode.durable, b"abcd");
        let ways = file.cut(Cut::Subset(bits));
        assert_eq!(file.inode.durable, want, "{bits:02b}");
        assert_eq!((ways.length_only, ways.data_only), (u64::from(bits == 1), u64::from(bits == 2)));
    }
}

/// A truncation is not synced before the freed range is written again. When only the truncation is lost, the old tail
/// stands behind the new bytes: what a log must not take for its own.
#[test]
fn a_lost_resize_leaves_the_old_bytes_behind_the_new_ones() {
    let want: [&[u8]; 8] = [
        b"abcdefgh", // nothing
        b"ab",       // resize
        b"abcdefgh", // growth: the file is longer already
        b"ab\0\0",   // resize, growth
        b"abXXefgh", // bytes
        b"ab",       // resize, bytes: the bytes are beyond the end
        b"abXXefgh", // growth, bytes
        b"abXX",
    ];
    for (bits, want) in (0_u64..).zip(want) {
        let mut file = File::with(b"abcdefgh");
        file.resize(2).write(2, b"XX");
        file.cut(Cut::Subset(bits));
        assert_eq!(file.inode.durable, want, "{bits:03b}");
    }
}

/// Bytes that were cut off are zeros when the file grows over them again, whoever makes it grow.
#[test]
fn a_file_that_grows_again_reads_as_zeros() {
    let mut file = File::with(b"abcdef");
    file.resize(2).write(5, b"Z");
    assert_eq!(file.inode.visible, b"ab\0\0\0Z");
    file.inode.sync(false);
    assert_eq!(file.inode.durable, b"ab\0\0\0Z");
    file.resize(1).resize(4);
    file.cut(Cut::KeepAll);
    assert_eq!(file.inode.durable, b"a\0\0\0");
}

/// A later length covers the bytes of an earlier write whose own length was lost.
#[test]
fn bytes_beyond_a_lost_length_show_when_a_later_length_survives() {
    let mut file = File::with(b"");
    file.write(0, b"AA").write(2, b"BB");
    // Effects: 0 length 2, 1 bytes AA, 2 length 4, 3 bytes BB.
    file.cut(Cut::Subset(0b0110));
    assert_eq!(file.inode.durable, b"AA\0\0");
}

#[test]
fn a_torn_write_at_every_byte() {
    for bytes in 0..=4 {
        let mut file = File::with(b"abcdef");
        file.write(1, b"WXYZ");
        file.cut(Cut::Torn { effect: 0, bytes });
        let mut want = b"abcdef".to_vec();
        want[1..=bytes].copy_from_slice(&b"WXYZ"[..bytes]);
        assert_eq!(file.inode.durable, want);
    }
}

/// An fsync fails with EIO, the kernel marks the pages clean, and the next fsync says Ok. The process reads what it
/// wrote, and a power cut shows that it never was on the disk. Written again, with the same bytes, it is.
#[test]
fn after_a_failed_sync_the_cache_shows_what_the_disk_has_not() {
    let mut file = File::with(b"abcd");
    file.write(0, b"XX").write(4, b"YY");
    file.judged(Cut::Only(0), false, Inode::fail_sync);
    assert_eq!((&file.inode.visible[..], &file.inode.durable[..]), (&b"XXcdYY"[..], &b"XXcd"[..]));
    assert_eq!(file.inode.pending.len(), 0);

    file.inode.sync(false);
    assert_eq!((&file.inode.visible[..], &file.inode.durable[..]), (&b"XXcdYY"[..], &b"XXcd"[..]));

    // The length was lost too, and is there when bytes that need it are synced.
    file.write(5, b"Y");
    file.inode.sync(false);
    assert_eq!(file.inode.durable, b"XXcd\0Y");
    file.write(4, b"Y");
    file.inode.sync(false);
    assert_eq!(file.inode.durable, b"XXcdYY");

    file.cut(Cut::LoseAll);
    assert_eq!(file.inode.visible, b"XXcdYY");
}

/// The page cache writes pages. After a failed sync, bytes beside a rewritten one come to the disk with its page.
#[test]
fn a_page_may_take_its_clean_bytes_along() {
    let mut file = File::with(&[b'.'; 2 * BLOCK_BYTES + 3]);
    for page in 0..3 {
        file.write(page * BLOCK_BYTES, b"#");
    }
    file.judged(Cut::LoseAll, false, Inode::fail_sync);
    file.change(Change::Write { offset: BLOCK_BYTES + 7, data: data(b"x") }, true);
    file.inode.sync(false);
    let on_disk = [0, 1, 2].map(|page| file.inode.durable[page * BLOCK_BYTES]);
    assert_eq!(on_disk, [b'.', b'#', b'.']);
    assert_eq!(file.inode.durable[BLOCK_BYTES + 7], b'x');
    assert_eq!(file.inode.durable.len(), 2 * BLOCK_BYTES + 3);
}

/// ext4 with `data=writeback`: a truncation frees a block, it comes back to the file, and a crash shows what it held.
#[test]
fn a_new_block_may_show_the_files_past() {
    let regrown = |zeroed: bool, synced: bool, stale: bool| {
        let mut file = File::with(b"keepSECRET");
        if zeroed {
            file.write(4, &[0; 6]);
        }
        if synced {
            file.inode.sync(stale);
        }
        file.resize(4);
        file.inode.sync(stale);
        // Growth survives, bytes do not. Whether the past shows is a coin: toss it often.
        let mut shown = Vec::new();
        for seed in 0..64 {
            let mut copy = File::with(&file.inode.durable);
            copy.inode.past.clone_from(&file.inode.past);
            copy.write(4, b"newnew");
            let (mut rng, mut ways) = (Rng::with_seed(seed), Ways::default());
            copy.inode.cut(&mut Judge::new(Cut::Only(0), None, || vec![1, 2], &mut rng, &mut ways), stale);
            assert_eq!(ways.stale > 0, copy.inode.durable != b"keep\0\0\0\0\0\0");
            shown.push(copy.inode.durable);
        }
        shown.sort();
        shown.dedup();
        shown
    };
    let (zeros, secret) = (b"keep\0\0\0\0\0\0".to_vec(), b"keepSECRET".to_vec());
    assert_eq!(regrown(false, false, false), vec![zeros.clone()]);
    assert_eq!(regrown(false, false, true), [zeros.clone(), secret.clone()]);
    // Zeros that were not on the disk before the truncation do not help; those that were do.
    assert_eq!(regrown(true, false, true), [zeros.clone(), secret]);
    assert_eq!(regrown(true, true, true), [zeros]);
}

#[test]
fn a_write_of_nothing_does_nothing() {
    let mut file = File::with(b"ab");
    let nothing = Change::Write { offset: 9, data: data(b"") };
    assert_eq!(file.inode.effects_of(&nothing), 0);
    file.change(nothing, true);
    assert_eq!((&file.inode.visible[..], file.inode.pending.len()), (&b"ab"[..], 0));
}

#[test]
fn effects_are_foretold() {
    let mut file = File::with(b"abcd");
    for (change, want) in [
        (Change::Write { offset: 0, data: data(b"abcd") }, 1),
        (Change::Write { offset: 1, data: data(b"abcd") }, 2),
        (Change::Resize(3), 1),
    ] {
        assert_eq!(file.inode.effects_of(&change), want);
        let before = file.inode.pending.len();
        file.change(change, false);
        assert_eq!(file.inode.pending.len() - before, want);
    }
}

/// Any sequence of changes, then a sync: the disk has what the process sees.
#[test]
fn a_sync_brings_the_disk_level_with_the_cache() {
    let mut rng = Rng::with_seed(11);
    for _ in 0..500 {
        let mut file = File::default();
        let mut model: Vec<u8> = Vec::new();
        for _ in 0..rng.usize(..12) {
            let at = rng.usize(..40);
            if rng.u8(..3) == 0 {
                file.resize(at);
                model.resize(at, 0);
            } else {
                let bytes: Vec<u8> = (0..rng.usize(..12)).map(|_| rng.u8(1..)).collect();
                file.write(at, &bytes);
                if !bytes.is_empty() {
                    let end = at + bytes.len();
                    model.resize(model.len().max(end), 0);
                    model[at..end].copy_from_slice(&bytes);
                }
            }
            assert_eq!(file.inode.visible, model);
        }
        file.inode.sync(rng.bool());
        assert_eq!(file.inode.durable, model);
        assert!(!file.inode.differs());
    }
}

/// A read beside a write: each byte is the old or the new one, and both are seen.
#[test]
fn a_read_may_see_a_write_in_flight() {
    let mut inode = File::with(b"abcdefgh").inode;
    inode.in_flight = Some(Change::Write { offset: 2, data: data(b"WXYZ") });
    let mut rng = Rng::with_seed(5);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..200 {
        for (offset, len) in [(0, 8), (3, 2), (0, 3), (5, 3), (6, 2), (0, 2)] {
            let bytes = read(&inode, offset, len, &mut rng);
            for (at, byte) in (offset..).zip(&bytes) {
                assert!([b"abcdefgh"[at], b"abWXYZgh"[at]].contains(byte), "{offset} {len}: {bytes:?}");
            }
            if len == 8 {
                seen.insert(bytes);
            }
        }
    }
    let seen: Vec<_> = seen.iter().map(|bytes| String::from_utf8_lossy(bytes)).collect();
    assert_eq!(seen, ["abWXYZgh", "abWXYfgh", "abWXefgh", "abWdefgh", "abcdefgh"]);
}
