//! From the stream: header, additional header segments, digests, data, padding (RFC 7143 §11.1,
//! §13.1). PDUs are lent from one buffer that is used again and again.

use thiserror::Error;

use super::Pdu;
use crate::field::u24_at;

/// Bytes of a basic header segment.
pub(crate) const HEADER: usize = 48;
/// Bytes of a digest.
pub(super) const DIGEST: usize = 4;
/// What one read takes at least beyond the PDU under way, so that small PDUs come in batches.
const AHEAD: usize = 64 * 1024;
/// The same when the PDU under way is long: what was read beyond it has to be moved.
const AHEAD_OF_LONG: usize = 8 * 1024;
/// Size of the buffer before the first byte and after a silence, in bytes.
const SMALL: usize = 8 * 1024;

/// Which digests are in force. None during login.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Digests {
    pub(crate) header: bool,
    pub(crate) data: bool,
}

/// Why the byte stream is no longer a stream of PDUs: the connection must end (ERL 0).
#[derive(Debug, Error)]
pub(crate) enum DecodeError {
    #[error("a data segment of {length} bytes, {limit} are allowed")]
    TooLong { length: usize, limit: usize },
    #[error("the header digest is wrong")]
    HeaderDigest,
}

/// A PDU as it came.
#[derive(Debug)]
pub(crate) enum Received<'a> {
    Whole(Pdu<&'a [u8]>),
    /// The data do not match their digest; the header is good (RFC 7143 §7.8).
    BadData(Pdu<&'a [u8]>),
}

/// The bytes received and not yet taken. Additional header segments (long CDBs, bidirectional
/// lengths) are skipped: no command served here has one.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) digests: Digests,
    /// Longest data segment taken, in bytes.
    pub(crate) limit: usize,
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

/// Where the parts of a PDU lie, from its first byte.
struct Frame {
    headers: usize,
    data: usize,
    length: usize,
    total: usize,
}

impl Input {
    pub(crate) fn new(limit: usize) -> Self {
        Self { digests: Digests::default(), limit, bytes: Vec::new(), start: 0, end: 0 }
    }

    /// The next PDU, if all of it is here.
    pub(crate) fn next(&mut self) -> Result<Option<Received<'_>>, DecodeError> {
        let Some(frame) = self.frame()? else { return Ok(None) };
        if self.end - self.start < frame.total {
            return Ok(None);
        }
        let from = self.start;
        self.start += frame.total;
        let whole = self.bytes.get(from..from + frame.total).unwrap_or_default();
        let Some(header) = whole.first_chunk::<HEADER>() else { return Ok(None) };
        if self.digests.header && !is_digest_of(whole, 0..frame.headers, frame.headers) {
            return Err(DecodeError::HeaderDigest);
        }
        let data = whole.get(frame.data..frame.data + frame.length).unwrap_or_default();
        let pdu = Pdu { header: *header, data };
        let padded = frame.data..frame.data + frame.length.next_multiple_of(4);
        let at = padded.end;
        let good = !self.digests.data || frame.length == 0 || is_digest_of(whole, padded, at);
        Ok(Some(if good { Received::Whole(pdu) } else { Received::BadData(pdu) }))
    }

    /// The frame of the PDU under way, once its header is here.
    fn frame(&self) -> Result<Option<Frame>, DecodeError> {
        let here = self.bytes.get(self.start..self.end).unwrap_or_default();
        let Some(header) = here.first_chunk::<HEADER>() else { return Ok(None) };
        let headers = HEADER + usize::from(header[4]) * 4;
        let length = u24_at(header, 5) as usize;
        if length > self.limit {
            return Err(DecodeError::TooLong { length, limit: self.limit });
        }
        let data = headers + if self.digests.header { DIGEST } else { 0 };
        let data_digest = if self.digests.data && length > 0 { DIGEST } else { 0 };
        Ok(Some(Frame { headers, data, length, total: data + length.next_multiple_of(4) + data_digest }))
    }

    /// Where the next bytes go: room for what is missing of the PDU under way, and for some of what
    /// follows. Never empty.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        // A header that cannot be framed has been refused by `next` before.
        let total = self.frame().ok().flatten().map_or(HEADER, |frame| frame.total);
        let ahead = match (total > AHEAD, self.bytes.is_empty()) {
            (_, true) => SMALL,
            (true, _) => total + AHEAD_OF_LONG,
            (false, _) => AHEAD,
        };
        // Whole PDUs not taken yet make it no smaller.
        let ahead = ahead.max(self.end - self.start + HEADER);
        if self.start + ahead > self.bytes.len() {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if ahead > self.bytes.len() {
                self.bytes.resize(ahead, 0);
            }
        }
        let until = (self.start + ahead).min(self.bytes.len());
        self.bytes.get_mut(self.end..until).unwrap_or_default()
    }

    /// So many bytes of the room were filled.
    pub(crate) fn filled(&mut self, count: usize) {
        self.end = self.bytes.len().min(self.end + count);
    }

    /// Whether part of a PDU is here.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Gives memory back after a silence.
    pub(crate) fn shrink(&mut self) {
        if self.is_empty() {
            (self.bytes, self.start, self.end) = (Vec::new(), 0, 0);
        }
    }
}

/// Whether the digest at `at` is that of `range` (RFC 7143 §13.1: CRC32C, sent as little-endian).
fn is_digest_of(whole: &[u8], range: std::ops::Range<usize>, at: usize) -> bool {
    let sent = whole.get(at..).and_then(|rest| rest.first_chunk::<DIGEST>());
    let covered = whole.get(range).unwrap_or_default();
    sent.is_some_and(|sent| u32::from_le_bytes(*sent) == crc32c::crc32c(covered))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::pdu::Output;

    fn digests() -> impl Strategy<Value = Digests> {
        (any::<bool>(), any::<bool>()).prop_map(|(header, data)| Digests { header, data })
    }

    fn feed(input: &mut Input, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = input.room();
            let count = room.len().min(bytes.len());
            room[..count].copy_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            input.filled(count);
        }
    }

    fn encoded(pdu: &Pdu, digests: Digests) -> Vec<u8> {
        let mut output = Output::default();
        output.digests = digests;
        output.push(pdu);
        output.pending().to_vec()
    }

    proptest! {
        #[test]
        fn any_bytes_decode_to_something_without_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
            digests in digests(),
        ) {
            let mut input = Input { digests, ..Input::new(128) };
            feed(&mut input, &bytes);
            while let Ok(Some(received)) = input.next() {
                let (Received::Whole(pdu) | Received::BadData(pdu)) = received;
                prop_assert!(pdu.data.len() <= 128);
            }
        }

        #[test]
        fn what_was_sent_is_received_however_the_stream_is_cut(
            data in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300_000), 1..4),
            digests in digests(),
            cut in 1usize..70_000,
        ) {
            let pdus: Vec<Pdu> =
                data.into_iter().map(|data| Pdu::new(0x05, 0x80).with_data(Bytes::from(data))).collect();
            let stream: Vec<u8> = pdus.iter().flat_map(|pdu| encoded(pdu, digests)).collect();
            let mut input = Input { digests, ..Input::new(300_000) };
            let mut seen = 0;
            for piece in stream.chunks(cut) {
                feed(&mut input, piece);
                while let Some(received) = input.next().unwrap() {
                    let Received::Whole(pdu) = received else { panic!("{received:?}") };
                    prop_assert_eq!(&pdu.header[8..], &pdus[seen].header[8..]);
                    prop_assert!(pdu.data == pdus[seen].data);
                    seen += 1;
                }
            }
            prop_assert!(seen == pdus.len() && input.is_empty());
        }
    }

    #[test]
    fn a_flipped_bit_under_a_digest_is_noticed() {
        let digests = Digests { header: true, data: true };
        let good = encoded(&Pdu::new(0, 0x80).with_data(Bytes::from_static(b"ping")), digests);
        let flipped = |at: usize| {
            let mut input = Input { digests, ..Input::new(64) };
            let mut bad = good.clone();
            bad[at] ^= 1;
            feed(&mut input, &bad);
            input
        };
        assert!(matches!(flipped(20).next(), Err(DecodeError::HeaderDigest)));
        assert!(matches!(flipped(53).next(), Ok(Some(Received::BadData(_)))));
    }

    #[test]
    fn a_data_segment_beyond_the_limit_is_refused_before_it_is_read() {
        let mut input = Input::new(65_535);
        let mut header = [0; HEADER];
        header[5] = 1;
        feed(&mut input, &header);
        assert!(matches!(input.next(), Err(DecodeError::TooLong { length: 65_536, .. })));
    }
}
