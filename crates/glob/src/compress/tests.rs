use super::*;

const ZSTD: Compression = Compression::Zstd { level: 3 };

fn unpack(packer: &Packer, packed: &Packed<'_>) -> Result<Bytes, Option<Error>> {
    packer.unpack(&packed.header(0, 0, 0, false), Bytes::copy_from_slice(packed.payload()))
}

/// Compressed only where it shrinks, and what comes out is what went in, whoever opens it.
#[test]
fn each_payload_chooses_for_itself() {
    let mut rng = fastrand::Rng::with_seed(1);
    let noise: Vec<u8> = (0..10_000).map(|_| rng.u8(..)).collect();
    let text = b"block ".repeat(1000);
    let none = Packer::new(Compression::None, 1 << 20);
    let zstd = Packer::new(ZSTD, 1 << 20);
    for (raw, shrinks) in [(&text[..], true), (&noise[..], false), (&b""[..], false), (&b"a"[..], false)] {
        let plain = none.pack(raw).unwrap();
        assert_eq!((plain.payload(), plain.zstd), (raw, false));
        let packed = zstd.pack(raw).unwrap();
        assert_eq!(packed.zstd, shrinks);
        assert_eq!(packed.payload().len() < raw.len(), shrinks);
        assert_eq!(packed.crc, crc32fast::hash(packed.payload()));
        for packer in [&none, &zstd] {
            assert_eq!(unpack(packer, &packed).unwrap(), raw);
            assert_eq!(unpack(packer, &plain).unwrap(), raw);
        }
    }
    assert_eq!(lock(&zstd.compressors).len(), 1, "one context for all");
}

/// A bomb: a few bytes that say they become gigabytes. Nothing of that size is made.
#[test]
fn a_bomb_is_refused_before_it_is_allocated() {
    let small = Packer::new(ZSTD, 1000);
    let big = Packer::new(ZSTD, 100_000_000);
    let zeros = vec![0; 50_000_000];
    let bomb = big.pack(&zeros).unwrap();
    assert!(bomb.payload().len() < 10_000);
    let header = bomb.header(0, 0, 0, false);
    let payload = Bytes::copy_from_slice(bomb.payload());
    let refused = small.unpack(&header, payload.clone());
    assert!(matches!(refused, Err(Some(Error::ValueTooLarge { len: 50_000_000, max: 1000 }))), "{refused:?}");
    // One that lies about its size does not get more than it says, nor less.
    for raw_bytes in [1000, 0, 49_999_999] {
        let lies = FrameHeader { raw_bytes, ..header };
        assert!(matches!(big.unpack(&lies, payload.clone()), Err(None)), "{raw_bytes}");
    }
    let more = FrameHeader { raw_bytes: 50_000_001, ..header };
    assert!(matches!(big.unpack(&more, payload), Err(None)));
    let garbage = FrameHeader { raw_bytes: 1000, ..header };
    assert!(matches!(big.unpack(&garbage, Bytes::from_static(b"no zstd at all")), Err(None)));
}

struct Liar(usize);

impl Value for Liar {
    type Cfg = ();

    fn encoded_len(&self) -> usize {
        self.0
    }

    fn encode(&self, buf: &mut impl bytes::BufMut) {
        buf.put_slice(b"four");
    }

    fn decode(_: Bytes, (): &()) -> Result<Self, blob_runtime::codec::CodecError> {
        Ok(Self(4))
    }
}

#[test]
fn a_value_over_the_limit_or_of_another_length_than_it_says_is_refused() {
    let packer = Packer::new(Compression::None, 10);
    assert_eq!(packer.pack(&[7; 10]).unwrap().stored_bytes(), 10);
    let refused = packer.pack(&[7; 11]).unwrap_err();
    assert!(matches!(refused, Error::ValueTooLarge { len: 11, max: 10 }), "{refused:?}");
    assert_eq!(packer.pack_value(&Liar(4)).unwrap().payload(), b"four");
    for len in [0, 3, 5] {
        let refused = packer.pack_value(&Liar(len)).unwrap_err();
        let Error::Encode { reason } = refused else { panic!("{refused:?}") };
        assert_eq!(reason, format!("it says {len} bytes and encodes to 4"));
    }
    let refused = packer.pack_value(&Liar(11)).unwrap_err();
    assert!(matches!(refused, Error::ValueTooLarge { len: 11, max: 10 }), "before it is encoded: {refused:?}");
    assert_eq!(lock(&packer.buffers).len(), 1, "the buffer came back each time");
    let shared = Bytes::from_static(b"shared");
    for packed in [packer.pack_value(&shared), packer.pack_borrowed(&shared)] {
        assert_eq!(packed.unwrap().payload().as_ptr(), shared.as_ptr(), "no copy");
    }
    let (bytes, text, array) = (b"bytes".to_vec(), String::from("text"), *b"array");
    assert_eq!(packer.pack_borrowed(&bytes).unwrap().payload().as_ptr(), bytes.as_ptr());
    assert_eq!(packer.pack_borrowed(&text).unwrap().payload().as_ptr(), text.as_ptr());
    assert_eq!(packer.pack_borrowed(&array).unwrap().payload().as_ptr(), array.as_ptr());
    assert_eq!(packer.pack_value(&bytes).unwrap().payload(), b"bytes");
    assert_eq!(packer.pack_borrowed(&Liar(4)).unwrap().payload(), b"four", "it has nothing at hand");
    let refused = packer.pack_borrowed(&vec![7; 11]).unwrap_err();
    assert!(matches!(refused, Error::ValueTooLarge { len: 11, max: 10 }), "{refused:?}");
}
