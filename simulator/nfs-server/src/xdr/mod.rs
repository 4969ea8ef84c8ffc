//! XDR (RFC 4506), as far as ONC-RPC, MOUNT, NFS and the port mapper need it.
//!
//! Decoding never panics and never allocates by a length it has not checked: opaque data are slices
//! of the record they came in.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Bytes that are not the XDR expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum XdrError {
    /// The data end inside an item.
    #[error("the item needs {wanted} bytes and {left} are left")]
    Truncated { wanted: usize, left: usize },
    /// A variable-length item exceeds its bound.
    #[error("length {length} exceeds the bound of {bound}")]
    TooLong { length: usize, bound: usize },
    /// An enum or union discriminant that the protocol does not know.
    #[error("{value} is no value of {what}")]
    UnknownValue { what: &'static str, value: u32 },
}

/// A cursor over the XDR of one record.
#[derive(Debug, Clone)]
pub(crate) struct Decoder {
    rest: Bytes,
}

impl Decoder {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self { rest: bytes }
    }

    /// What is not decoded yet.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.rest
    }

    fn require(&self, wanted: usize) -> Result<(), XdrError> {
        let left = self.rest.len();
        if left < wanted { Err(XdrError::Truncated { wanted, left }) } else { Ok(()) }
    }

    /// Unsigned integer, or the discriminant of an enum or union (RFC 4506 §4.2, §4.3).
    pub(crate) fn u32(&mut self) -> Result<u32, XdrError> {
        self.require(4)?;
        Ok(self.rest.get_u32())
    }

    /// Unsigned hyper integer (§4.5).
    pub(crate) fn u64(&mut self) -> Result<u64, XdrError> {
        self.require(8)?;
        Ok(self.rest.get_u64())
    }

    /// Boolean (§4.4), which also introduces optional data (§4.19).
    pub(crate) fn bool(&mut self) -> Result<bool, XdrError> {
        match self.u32()? {
            0 => Ok(false),
            1 => Ok(true),
            value => Err(XdrError::UnknownValue { what: "bool", value }),
        }
    }

    /// Fixed-length opaque data (§4.9) of a length that needs no padding.
    pub(crate) fn fixed<const N: usize>(&mut self) -> Result<[u8; N], XdrError> {
        const { assert!(N.is_multiple_of(4)) };
        self.require(N)?;
        let mut bytes = [0; N];
        self.rest.copy_to_slice(&mut bytes);
        Ok(bytes)
    }

    /// Variable-length opaque data or string (§4.10, §4.11) of at most `bound` bytes.
    pub(crate) fn opaque(&mut self, bound: usize) -> Result<Bytes, XdrError> {
        let length = self.u32()? as usize;
        if length > bound {
            return Err(XdrError::TooLong { length, bound });
        }
        let padded = length.next_multiple_of(4);
        self.require(padded)?;
        let data = self.rest.split_to(length);
        self.rest.advance(padded - length);
        Ok(data)
    }

    /// Optional data (§4.19): a boolean, then the item if true.
    pub(crate) fn option<T>(
        &mut self,
        item: impl FnOnce(&mut Self) -> Result<T, XdrError>,
    ) -> Result<Option<T>, XdrError> {
        if self.bool()? { item(self).map(Some) } else { Ok(None) }
    }
}

/// Shared bytes shorter than this are cheaper copied than sent as a piece of their own.
const MIN_PIECE: usize = 2048;

/// XDR being written.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    /// What lies before `bytes`, some of it shared with its owner and not copied.
    pieces: Vec<Bytes>,
    bytes: BytesMut,
}

impl Encoder {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { pieces: Vec::new(), bytes: BytesMut::with_capacity(bytes) }
    }

    pub(crate) fn len(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum::<usize>() + self.bytes.len()
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes.put_u32(value);
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes.put_u64(value);
    }

    pub(crate) fn bool(&mut self, value: bool) {
        self.u32(value.into());
    }

    pub(crate) fn fixed<const N: usize>(&mut self, bytes: &[u8; N]) {
        const { assert!(N.is_multiple_of(4)) };
        self.bytes.put_slice(bytes);
    }

    /// Variable-length opaque data or string. Every caller's data fit one record (RFC 5531 §11),
    /// hence the length fits its field.
    pub(crate) fn opaque(&mut self, data: &[u8]) {
        self.opaque_with(data.len(), |room| room.copy_from_slice(data));
    }

    /// Variable-length opaque data that `fill` puts straight into the record: `length` zeroed bytes.
    pub(crate) fn opaque_with(&mut self, length: usize, fill: impl FnOnce(&mut [u8])) {
        self.u32(u32::try_from(length).unwrap_or(u32::MAX));
        let start = self.bytes.len();
        self.bytes.put_bytes(0, length.next_multiple_of(4));
        if let Some(room) = self.bytes.get_mut(start..start + length) {
            fill(room);
        }
    }

    /// Variable-length opaque data of `length` bytes that `lend` hands over piece by piece; they are
    /// sent from where they lie.
    pub(crate) fn opaque_shared(&mut self, length: usize, lend: impl FnOnce(&mut dyn FnMut(Bytes))) {
        self.u32(u32::try_from(length).unwrap_or(u32::MAX));
        lend(&mut |piece| {
            if piece.len() < MIN_PIECE {
                self.bytes.put_slice(&piece);
            } else {
                let before = self.bytes.split().freeze();
                self.pieces.extend([before, piece].into_iter().filter(|piece| !piece.is_empty()));
            }
        });
        self.bytes.put_bytes(0, length.next_multiple_of(4) - length);
    }

    /// Optional data: a boolean, then the item if there is one.
    pub(crate) fn option<T>(&mut self, value: Option<T>, item: impl FnOnce(&mut Self, T)) {
        self.bool(value.is_some());
        if let Some(value) = value {
            item(self, value);
        }
    }

    /// Bytes that are XDR already.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        self.bytes.put_slice(bytes);
    }

    /// Writes over the number at `at`, which was a place kept for it.
    pub(crate) fn set_u32(&mut self, at: usize, value: u32) {
        let mut start = 0;
        for piece in &mut self.pieces {
            if at < start + piece.len() {
                let mut changed = BytesMut::from(&**piece);
                put_at(&mut changed, at - start, value);
                *piece = changed.freeze();
                return;
            }
            start += piece.len();
        }
        put_at(&mut self.bytes, at - start, value);
    }

    /// A copy of what was written from `start` on.
    pub(crate) fn copy_since(&self, start: usize) -> Bytes {
        let mut copy = BytesMut::with_capacity(self.len().saturating_sub(start));
        let mut skip = start;
        for piece in self.pieces.iter().map(|piece| &piece[..]).chain([&self.bytes[..]]) {
            copy.put_slice(piece.get(skip..).unwrap_or_default());
            skip = skip.saturating_sub(piece.len());
        }
        copy.freeze()
    }

    /// Forgets all but the first `length` bytes.
    pub(crate) fn truncate(&mut self, length: usize) {
        let mut before: usize = self.pieces.iter().map(Bytes::len).sum();
        while before > length {
            let Some(last) = self.pieces.pop() else { break };
            before -= last.len();
            self.bytes = BytesMut::from(&*last);
        }
        self.bytes.truncate(length - before);
    }

    pub(crate) fn finish(self) -> Bytes {
        if self.pieces.is_empty() { self.bytes.freeze() } else { self.finish_pieces().concat().into() }
    }

    /// The bytes in pieces, to be sent one behind the other.
    pub(crate) fn finish_pieces(mut self) -> Vec<Bytes> {
        if !self.bytes.is_empty() {
            self.pieces.push(self.bytes.freeze());
        }
        self.pieces
    }
}

fn put_at(bytes: &mut BytesMut, at: usize, value: u32) {
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

/// The room an opaque of `length` bytes takes on the wire: its length, itself, its padding.
pub(crate) fn opaque_size(length: usize) -> usize {
    4 + length.next_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_opaque_is_padded_to_four_bytes_and_read_back() {
        let mut encoder = Encoder::default();
        encoder.opaque(b"abcde");
        encoder.u32(7);
        let bytes = encoder.finish();
        assert_eq!(&bytes[..], b"\0\0\0\x05abcde\0\0\0\0\0\0\x07");
        let mut decoder = Decoder::new(bytes);
        assert_eq!(decoder.opaque(5).unwrap(), &b"abcde"[..]);
        assert_eq!(decoder.u32(), Ok(7));
        assert_eq!(decoder.u32(), Err(XdrError::Truncated { wanted: 4, left: 0 }));
    }

    #[test]
    fn shared_bytes_are_sent_from_where_they_lie_and_can_be_taken_back() {
        let data = Bytes::from(vec![7; 5001]);
        let mut encoder = Encoder::default();
        encoder.u32(1);
        encoder.opaque_shared(5003, |put| {
            put(data.clone());
            put(Bytes::from_static(b"xy"));
        });
        encoder.u32(9);
        let flat = [&b"\0\0\0\x01\0\0\x13\x8b"[..], &data, b"xy\0\0\0\0\x09"].concat();
        assert_eq!(encoder.len(), flat.len());
        for length in [flat.len(), 5009, 5008, 20, 8, 3] {
            encoder.truncate(length);
            assert_eq!(encoder.len(), length);
        }
        encoder.opaque_shared(5001, |put| put(data.clone()));
        let pieces = encoder.finish_pieces();
        assert_eq!(pieces.concat(), [&flat[..3], b"\0\0\x13\x89", &data, b"\0\0\0"].concat());
        assert!(pieces.iter().any(|piece| piece.as_ptr() == data.as_ptr()), "copied");
    }

    #[test]
    fn a_length_beyond_its_bound_is_refused_before_anything_is_read() {
        let mut decoder = Decoder::new(Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4]));
        assert_eq!(decoder.opaque(64), Err(XdrError::TooLong { length: 0xffff_ffff, bound: 64 }));
    }

    #[test]
    fn a_boolean_is_zero_or_one() {
        let mut decoder = Decoder::new(Bytes::from_static(&[0, 0, 0, 2]));
        assert_eq!(decoder.bool(), Err(XdrError::UnknownValue { what: "bool", value: 2 }));
    }

    proptest! {
        #[test]
        fn any_opaque_comes_back(data in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut encoder = Encoder::default();
            encoder.opaque(&data);
            prop_assert_eq!(encoder.len(), opaque_size(data.len()));
            let mut decoder = Decoder::new(encoder.finish());
            prop_assert_eq!(&decoder.opaque(300).unwrap()[..], &data[..]);
            prop_assert!(decoder.rest().is_empty());
        }
    }
}
