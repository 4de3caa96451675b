//! How fixed-size items and large values become bytes.
//!
//! Integers are big-endian. Nothing here panics on any input: a decoder that finds too little says so.

use bytes::{Buf, BufMut, Bytes};

#[cfg(test)]
#[cfg(not(shuttle))]
mod tests;

/// Bytes that are not what a decoder expects.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The bytes end too early.
    #[error("{needed} bytes are needed, {left} are left")]
    TooShort {
        /// Bytes needed.
        needed: usize,
        /// Bytes left.
        left: usize,
    },
    /// Bytes are left over, or there are more than a limit allows.
    #[error("{found} bytes, expected {expected}")]
    WrongLength {
        /// Length expected, in bytes.
        expected: usize,
        /// Length found, in bytes.
        found: usize,
    },
    /// The bytes have the right length and make no sense.
    #[error("{0}")]
    Invalid(String),
}

/// A type whose encoding always has the same length.
pub trait FixedSize {
    /// Length of the encoding in bytes.
    const SIZE: usize;
}

/// Writes itself into a buffer.
pub trait Encode {
    /// Appends the encoding to `buf`. A [`FixedSize`] type writes exactly [`SIZE`](FixedSize::SIZE) bytes.
    fn encode(&self, buf: &mut impl BufMut);
}

/// Reads itself from a buffer.
pub trait Decode: Sized {
    /// Takes the encoding from the front of `buf`.
    ///
    /// # Errors
    /// [`CodecError`] when the bytes are too few or make no sense; never panics.
    fn decode(buf: &mut impl Buf) -> Result<Self, CodecError>;
}

/// A large value.
pub trait Value: Sized + Send + Sync + 'static {
    /// Limits for decoding; `()` for the ready-made implementations.
    type Cfg: Clone + Send + Sync + 'static;

    /// Length of the encoding in bytes.
    fn encoded_len(&self) -> usize;

    /// Appends the encoding, exactly [`encoded_len`](Self::encoded_len) bytes, to `buf`.
    fn encode(&self, buf: &mut impl BufMut);

    /// The encoding, when it is at hand: then it is taken from where it is, and [`encode`](Self::encode) is not asked.
    fn as_slice(&self) -> Option<&[u8]> {
        None
    }

    /// The encoding, when it is at hand and can be shared: then no buffer is needed in between, also where it has to outlive
    /// the value.
    fn as_bytes(&self) -> Option<Bytes> {
        None
    }

    /// Makes the value of its encoding, without a copy where the type allows.
    ///
    /// # Errors
    /// [`CodecError`] when the bytes make no sense or are over a limit of `cfg`; never panics.
    fn decode(bytes: Bytes, cfg: &Self::Cfg) -> Result<Self, CodecError>;
}

fn need(buf: &impl Buf, needed: usize) -> Result<(), CodecError> {
    let left = buf.remaining();
    if left < needed {
        return Err(CodecError::TooShort { needed, left });
    }
    Ok(())
}

macro_rules! integers {
    ($($ty:ty: $put:ident $get:ident),* $(,)?) => {$(
        impl FixedSize for $ty {
            const SIZE: usize = size_of::<$ty>();
        }

        impl Encode for $ty {
            fn encode(&self, buf: &mut impl BufMut) {
                buf.$put(*self);
            }
        }

        impl Decode for $ty {
            fn decode(buf: &mut impl Buf) -> Result<Self, CodecError> {
                need(buf, Self::SIZE)?;
                Ok(buf.$get())
            }
        }
    )*};
}

integers! {
    u8: put_u8 get_u8, u16: put_u16 get_u16, u32: put_u32 get_u32, u64: put_u64 get_u64, u128: put_u128 get_u128,
    i8: put_i8 get_i8, i16: put_i16 get_i16, i32: put_i32 get_i32, i64: put_i64 get_i64, i128: put_i128 get_i128,
}

impl<const N: usize> FixedSize for [u8; N] {
    const SIZE: usize = N;
}

impl<const N: usize> Encode for [u8; N] {
    fn encode(&self, buf: &mut impl BufMut) {
        buf.put_slice(self);
    }
}

impl<const N: usize> Decode for [u8; N] {
    fn decode(buf: &mut impl Buf) -> Result<Self, CodecError> {
        need(buf, N)?;
        let mut bytes = [0; N];
        buf.copy_to_slice(&mut bytes);
        Ok(bytes)
    }
}

impl FixedSize for bool {
    const SIZE: usize = 1;
}

impl Encode for bool {
    fn encode(&self, buf: &mut impl BufMut) {
        buf.put_u8(u8::from(*self));
    }
}

impl Decode for bool {
    fn decode(buf: &mut impl Buf) -> Result<Self, CodecError> {
        match u8::decode(buf)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(CodecError::Invalid(format!("{other} is neither false (0) nor true (1)"))),
        }
    }
}

macro_rules! tuples {
    ($(($($name:ident $at:tt),*)),* $(,)?) => {$(
        impl<$($name: FixedSize),*> FixedSize for ($($name,)*) {
            const SIZE: usize = 0 $(+ $name::SIZE)*;
        }

        impl<$($name: Encode),*> Encode for ($($name,)*) {
            fn encode(&self, buf: &mut impl BufMut) {
                $(self.$at.encode(buf);)*
            }
        }

        impl<$($name: Decode),*> Decode for ($($name,)*) {
            fn decode(buf: &mut impl Buf) -> Result<Self, CodecError> {
                Ok(($($name::decode(buf)?,)*))
            }
        }
    )*};
}

tuples! {
    (A 0), (A 0, B 1), (A 0, B 1, C 2), (A 0, B 1, C 2, D 3), (A 0, B 1, C 2, D 3, E 4), (A 0, B 1, C 2, D 3, E 4, F 5),
}

impl Value for Bytes {
    type Cfg = ();

    fn encoded_len(&self) -> usize {
        self.len()
    }

    fn encode(&self, buf: &mut impl BufMut) {
        buf.put_slice(self);
    }

    fn as_slice(&self) -> Option<&[u8]> {
        Some(self)
    }

    fn as_bytes(&self) -> Option<Bytes> {
        Some(self.clone())
    }

    fn decode(bytes: Bytes, (): &()) -> Result<Self, CodecError> {
        Ok(bytes)
    }
}

impl Value for Vec<u8> {
    type Cfg = ();

    fn encoded_len(&self) -> usize {
        self.len()
    }

    fn encode(&self, buf: &mut impl BufMut) {
        buf.put_slice(self);
    }

    fn as_slice(&self) -> Option<&[u8]> {
        Some(self)
    }

    fn decode(bytes: Bytes, (): &()) -> Result<Self, CodecError> {
        Ok(bytes.into())
    }
}

impl Value for String {
    type Cfg = ();

    fn encoded_len(&self) -> usize {
        self.len()
    }

    fn encode(&self, buf: &mut impl BufMut) {
        buf.put_slice(self.as_bytes());
    }

    fn as_slice(&self) -> Option<&[u8]> {
        Some(self.as_bytes())
    }

    fn decode(bytes: Bytes, (): &()) -> Result<Self, CodecError> {
        Self::from_utf8(bytes.into()).map_err(|error| CodecError::Invalid(error.utf8_error().to_string()))
    }
}

impl<const N: usize> Value for [u8; N] {
    type Cfg = ();

    fn encoded_len(&self) -> usize {
        N
    }

    fn encode(&self, buf: &mut impl BufMut) {
        buf.put_slice(self);
    }

    fn as_slice(&self) -> Option<&[u8]> {
        Some(self)
    }

    fn decode(bytes: Bytes, (): &()) -> Result<Self, CodecError> {
        Self::try_from(&bytes[..]).map_err(|_| CodecError::WrongLength { expected: N, found: bytes.len() })
    }
}
