//! Framing: header, additional header segments, digests, data, padding (RFC 7143 §11.1, §13.1).

use bytes::{Buf, BufMut, BytesMut};
use thiserror::Error;
use tokio_util::codec::Decoder;

use super::Pdu;
use crate::field::u24_at;

const HEADER: usize = 48;
const DIGEST: usize = 4;

/// Which digests are in force. None during login.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Digests {
    pub(crate) header: bool,
    pub(crate) data: bool,
}

/// Why the byte stream is no longer a stream of PDUs: the connection must end (ERL 0).
#[derive(Debug, Error)]
pub(crate) enum DecodeError {
    #[error("the connection failed")]
    Io(#[from] std::io::Error),
    #[error("a data segment of {length} bytes, {limit} are allowed")]
    TooLong { length: usize, limit: usize },
    #[error("the header digest is wrong")]
    HeaderDigest,
    #[error("the data digest is wrong")]
    DataDigest,
}

/// Cuts PDUs from the stream. Additional header segments (long CDBs, bidirectional lengths) are
/// skipped: no command served here has one.
#[derive(Debug)]
pub(crate) struct PduDecoder {
    pub(crate) digests: Digests,
    /// Longest data segment taken, in bytes.
    pub(crate) limit: usize,
}

impl Decoder for PduDecoder {
    type Item = Pdu;
    type Error = DecodeError;

    fn decode(&mut self, source: &mut BytesMut) -> Result<Option<Pdu>, DecodeError> {
        let Some(start) = source.first_chunk::<HEADER>() else {
            source.reserve(HEADER - source.len());
            return Ok(None);
        };
        let header = *start;
        let headers = HEADER + usize::from(header[4]) * 4;
        let length = u24_at(&header, 5) as usize;
        if length > self.limit {
            return Err(DecodeError::TooLong { length, limit: self.limit });
        }
        let header_digest = if self.digests.header { DIGEST } else { 0 };
        let data_digest = if self.digests.data && length > 0 { DIGEST } else { 0 };
        let padded = length.next_multiple_of(4);
        let total = headers + header_digest + padded + data_digest;
        if source.len() < total {
            source.reserve(total - source.len());
            return Ok(None);
        }
        let mut frame = source.split_to(total);
        let head = frame.split_to(headers);
        if header_digest > 0 && frame.get_u32_le() != crc32c::crc32c(&head) {
            return Err(DecodeError::HeaderDigest);
        }
        let mut data = frame.split_to(padded);
        if data_digest > 0 && frame.get_u32_le() != crc32c::crc32c(&data) {
            return Err(DecodeError::DataDigest);
        }
        data.truncate(length);
        Ok(Some(Pdu { header, data: data.freeze() }))
    }
}

/// Appends the PDU to `out`, with lengths, padding and digests filled in.
pub(crate) fn encode(pdu: &Pdu, digests: Digests, out: &mut BytesMut) {
    let [_, a, b, c] = (pdu.data.len() as u32).to_be_bytes();
    let mut header = pdu.header;
    header[4] = 0;
    header[5..8].copy_from_slice(&[a, b, c]);
    out.reserve(HEADER + 2 * DIGEST + pdu.data.len() + 3);
    out.put_slice(&header);
    if digests.header {
        out.put_u32_le(crc32c::crc32c(&header));
    }
    if pdu.data.is_empty() {
        return;
    }
    let start = out.len();
    out.put_slice(&pdu.data);
    out.put_bytes(0, pdu.data.len().next_multiple_of(4) - pdu.data.len());
    if digests.data {
        let digest = crc32c::crc32c(out.get(start..).unwrap_or_default());
        out.put_u32_le(digest);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn digests() -> impl Strategy<Value = Digests> {
        (any::<bool>(), any::<bool>()).prop_map(|(header, data)| Digests { header, data })
    }

    proptest! {
        #[test]
        fn any_bytes_decode_to_something_without_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
            digests in digests(),
        ) {
            let mut source = BytesMut::from(&bytes[..]);
            let mut decoder = PduDecoder { digests, limit: 128 };
            while let Ok(Some(pdu)) = decoder.decode(&mut source) {
                prop_assert!(pdu.data.len() <= 128);
            }
        }

        #[test]
        fn what_was_encoded_is_decoded_however_the_stream_is_cut(
            header in any::<[u8; 32]>(),
            data in proptest::collection::vec(any::<u8>(), 0..100),
            digests in digests(),
            cut in 0usize..200,
        ) {
            let mut pdu = Pdu::new(0x05, 0x80).with_data(Bytes::from(data));
            pdu.header[16..].copy_from_slice(&header);
            let mut whole = BytesMut::new();
            encode(&pdu, digests, &mut whole);
            let mut decoder = PduDecoder { digests, limit: 128 };
            let rest = whole.split_off(cut.min(whole.len().saturating_sub(1)));
            prop_assert!(decoder.decode(&mut whole).unwrap().is_none());
            whole.extend_from_slice(&rest);
            let seen = decoder.decode(&mut whole).unwrap().unwrap();
            prop_assert_eq!(&seen.header[8..], &pdu.header[8..]);
            prop_assert_eq!(seen.data, pdu.data);
            prop_assert!(whole.is_empty());
        }
    }

    #[test]
    fn a_flipped_bit_under_a_digest_ends_the_stream() {
        let digests = Digests { header: true, data: true };
        let mut good = BytesMut::new();
        encode(&Pdu::new(0, 0x80).with_data(Bytes::from_static(b"ping")), digests, &mut good);
        for (at, header) in [(20, true), (53, false)] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            let error = PduDecoder { digests, limit: 64 }.decode(&mut bad).unwrap_err();
            assert_eq!(matches!(error, DecodeError::HeaderDigest), header);
            assert_eq!(matches!(error, DecodeError::DataDigest), !header);
        }
    }

    #[test]
    fn a_data_segment_beyond_the_limit_is_refused_before_it_is_read() {
        let mut source = BytesMut::zeroed(48);
        source[5] = 1;
        let error =
            PduDecoder { digests: Digests::default(), limit: 65_535 }.decode(&mut source).unwrap_err();
        assert!(matches!(error, DecodeError::TooLong { length: 65_536, .. }));
    }
}
