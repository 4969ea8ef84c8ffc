//! Towards the stream: PDUs with lengths, padding and digests filled in, one after the other in a
//! buffer that is used again and again. Data-in is read from the store straight into it.

use super::input::DIGEST;
use super::{Digests, HEADER, Pdu};

/// Memory kept after a silence, in bytes.
const SMALL: usize = 4096;

/// The PDUs queued and not yet sent.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) digests: Digests,
    /// Initialised beyond `end`, so that it need not be cleared again.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Output {
    /// Appends a PDU.
    pub(crate) fn push<Data: AsRef<[u8]>>(&mut self, pdu: &Pdu<Data>) {
        let data = pdu.data.as_ref();
        let copied: Result<(), std::convert::Infallible> = self.push_with(pdu.header, data.len(), |place| {
            place.copy_from_slice(data);
            Ok(())
        });
        let Ok(()) = copied;
    }

    /// Appends a PDU of `length` bytes of data that `fill` puts in place. When it fails, nothing is
    /// appended.
    pub(crate) fn push_with<E>(
        &mut self,
        mut header: [u8; HEADER],
        length: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let [_, high, middle, low] = (length as u32).to_be_bytes();
        header[4] = 0;
        header[5..8].copy_from_slice(&[high, middle, low]);
        let padded = length.next_multiple_of(4);
        let digests = self.digests;
        let (after_header, after_data) =
            (if digests.header { DIGEST } else { 0 }, if digests.data && length > 0 { DIGEST } else { 0 });
        let total = HEADER + after_header + padded + after_data;
        let place = self.place(total);
        let (head, rest) = place.split_at_mut(HEADER + after_header);
        let (data, digest) = rest.split_at_mut(padded);
        let (filled, padding) = data.split_at_mut(length);
        fill(filled)?;
        padding.fill(0);
        if !digest.is_empty() {
            digest.copy_from_slice(&crc32c::crc32c(data).to_le_bytes());
        }
        let (head, digest) = head.split_at_mut(HEADER);
        head.copy_from_slice(&header);
        if !digest.is_empty() {
            digest.copy_from_slice(&crc32c::crc32c(head).to_le_bytes());
        }
        self.end += total;
        Ok(())
    }

    /// `total` bytes behind the last PDU.
    fn place(&mut self, total: usize) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        let until = self.end + total;
        if until > self.bytes.len() {
            // By halves at least: what was sent is given back when everything was.
            self.bytes.resize(until.max(self.bytes.len() * 3 / 2), 0);
        }
        self.bytes.get_mut(self.end..until).unwrap_or_default()
    }

    /// What is to be sent.
    pub(crate) fn pending(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// So many bytes were sent.
    pub(crate) fn sent(&mut self, count: usize) {
        self.start = self.end.min(self.start + count);
    }

    /// Gives memory back after a silence.
    pub(crate) fn shrink(&mut self) {
        if self.start == self.end && self.bytes.len() > SMALL {
            (self.bytes, self.start, self.end) = (Vec::new(), 0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_that_cannot_be_had_leave_no_trace() {
        let mut output = Output::default();
        output.push(&Pdu::new(0x20, 0x80));
        let before = output.pending().to_vec();
        assert_eq!(output.push_with([0xff; HEADER], 4096, |_| Err("a bad block")), Err("a bad block"));
        assert_eq!(output.pending(), before);
    }

    #[test]
    fn padding_is_zero_in_a_buffer_used_before() {
        let mut output = Output::default();
        output.push(&Pdu::new(0x20, 0x80).with_data(vec![0xff; 64].into()));
        output.sent(usize::MAX);
        output.push(&Pdu::new(0x20, 0x80).with_data(vec![1].into()));
        assert_eq!(output.pending().len(), HEADER + 4);
        assert_eq!(&output.pending()[HEADER..], [1, 0, 0, 0]);
    }
}
