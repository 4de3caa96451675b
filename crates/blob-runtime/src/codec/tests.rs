use super::*;
use proptest::prelude::*;
use std::fmt::Debug;

fn round_trip<T: FixedSize + Encode + Decode + PartialEq + Debug>(item: &T) {
    let mut bytes = Vec::new();
    item.encode(&mut bytes);
    assert_eq!(bytes.len(), T::SIZE);
    let mut whole = &bytes[..];
    assert_eq!(&T::decode(&mut whole).unwrap(), item);
    assert!(whole.is_empty());
    for short in 0..bytes.len() {
        let error = T::decode(&mut &bytes[..short]).unwrap_err();
        assert!(matches!(error, CodecError::TooShort { .. }), "{short}: {error:?}");
    }
}

proptest! {
    #[test]
    fn fixed_items_come_back(a: u8, b: i16, c: u32, d: i64, e: u128, f: [u8; 5], g: bool) {
        round_trip(&a);
        round_trip(&(a, b));
        round_trip(&(a, b, c));
        round_trip(&(a, b, c, d));
        round_trip(&(a, b, c, d, e));
        round_trip(&(a, b, c, d, (e, g), f));
    }

    #[test]
    fn values_come_back(bytes: Vec<u8>, text: String, array: [u8; 9]) {
        fn back<V: Value<Cfg = ()> + PartialEq + Debug>(value: &V) {
            let mut out = Vec::new();
            value.encode(&mut out);
            assert_eq!(out.len(), value.encoded_len());
            if let Some(shared) = value.as_bytes() {
                assert_eq!(shared, out);
            }
            assert_eq!(&V::decode(out.into(), &()).unwrap(), value);
        }
        back(&Bytes::from(bytes.clone()));
        back(&bytes);
        back(&text);
        back(&array);
    }
}

#[test]
fn integers_are_big_endian() {
    let mut bytes = Vec::new();
    (1_u8, 2_u16, -1_i32, 3_u64).encode(&mut bytes);
    assert_eq!(bytes, [1, 0, 2, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 3]);
}

#[test]
fn nonsense_is_named() {
    assert_eq!(<[u8; 3]>::decode_value(&[1, 2]), Err(CodecError::WrongLength { expected: 3, found: 2 }));
    assert!(matches!(bool::decode(&mut &[2_u8][..]), Err(CodecError::Invalid(_))));
    assert!(matches!(<String as Value>::decode(Bytes::from_static(&[0xff]), &()), Err(CodecError::Invalid(_))));
}

trait DecodeValue: Sized {
    fn decode_value(bytes: &'static [u8]) -> Result<Self, CodecError>;
}

impl<V: Value<Cfg = ()>> DecodeValue for V {
    fn decode_value(bytes: &'static [u8]) -> Result<Self, CodecError> {
        <V as Value>::decode(Bytes::from_static(bytes), &())
    }
}

#[test]
fn shared_bytes_are_not_copied() {
    let bytes = Bytes::from(vec![1, 2, 3]);
    assert_eq!(<Bytes as Value>::decode(bytes.clone(), &()).unwrap().as_ptr(), bytes.as_ptr());
    assert_eq!(Value::as_bytes(&bytes).unwrap().as_ptr(), bytes.as_ptr());
}
