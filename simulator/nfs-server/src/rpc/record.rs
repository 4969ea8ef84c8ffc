//! Record marking: how calls and replies are told apart in a TCP stream (RFC 5531 §11).

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::tree::StoreError;

/// The largest record accepted: a WRITE of 1 MiB with its headers, and room to spare.
pub(crate) const MAX_RECORD: usize = 2 << 20;
/// A record in more fragments than this is no client's doing.
const MAX_FRAGMENTS: usize = 64;
const LAST_FRAGMENT: u32 = 1 << 31;
/// Pieces up to this size are copied together: cheaper than a slice of a vectored write each.
const MAX_COPIED: usize = 4096;

/// A stream that is no ONC-RPC, or no more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("a record exceeds {MAX_RECORD} bytes or {MAX_FRAGMENTS} fragments")]
    TooLarge,
    #[error("the connection failed")]
    Io(#[from] io::Error),
    #[error("a change cannot be made durable, hence not be answered")]
    Store(#[from] StoreError),
}

/// Reads one record; `None` when the peer closed between two records.
pub(crate) async fn read_record(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<Bytes>, RecordError> {
    let mut record = BytesMut::new();
    for fragment in 0..MAX_FRAGMENTS {
        let mut mark = [0; 4];
        if fragment == 0 {
            if stream.read(&mut mark[..1]).await? == 0 {
                return Ok(None);
            }
            stream.read_exact(&mut mark[1..]).await?;
        } else {
            stream.read_exact(&mut mark).await?;
        }
        let mark = u32::from_be_bytes(mark);
        let length = (mark & !LAST_FRAGMENT) as usize;
        let end = record.len() + length;
        if end > MAX_RECORD {
            return Err(RecordError::TooLarge);
        }
        record.reserve(length);
        let mut fragment = (&mut *stream).take(length as u64);
        while record.len() < end {
            if fragment.read_buf(&mut record).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
        if mark & LAST_FRAGMENT != 0 {
            return Ok(Some(record.freeze()));
        }
    }
    Err(RecordError::TooLarge)
}

/// Records ready to be sent, each as one fragment. Short ones lie side by side in one buffer; the
/// pieces of long ones are sent from where they lie.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pieces: VecDeque<Bytes>,
    /// What follows the pieces.
    tail: BytesMut,
    length: usize,
}

impl Outbox {
    pub(crate) fn push(&mut self, record: &[Bytes]) {
        let length: usize = record.iter().map(Bytes::len).sum();
        // A reply is shorter than a record may be.
        let mark = u32::try_from(length).unwrap_or(u32::MAX) | LAST_FRAGMENT;
        self.length += 4 + length;
        self.tail.put_u32(mark);
        for piece in record {
            if piece.len() <= MAX_COPIED {
                self.tail.put_slice(piece);
            } else {
                self.seal();
                self.pieces.push_back(piece.clone());
            }
        }
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push_back(self.tail.split().freeze());
        }
    }

    /// Bytes not sent yet.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Sends everything.
    pub(crate) async fn send(&mut self, stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        self.seal();
        stream.write_all_buf(self).await
    }
}

impl Buf for Outbox {
    fn remaining(&self) -> usize {
        self.length
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| piece)
    }

    fn chunks_vectored<'piece>(&'piece self, slices: &mut [IoSlice<'piece>]) -> usize {
        let filled = slices.iter_mut().zip(&self.pieces);
        filled.map(|(slice, piece)| *slice = IoSlice::new(piece)).count()
    }

    fn advance(&mut self, mut count: usize) {
        self.length = self.length.saturating_sub(count);
        while let Some(first) = self.pieces.front_mut() {
            if count < first.len() {
                first.advance(count);
                return;
            }
            count -= first.len();
            self.pieces.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn fragments_are_joined_and_records_told_apart() {
        let mut stream = &b"\0\0\0\x02ab\x80\0\0\x01c\x80\0\0\x01d"[..];
        assert_eq!(read_record(&mut stream).await.unwrap().unwrap(), &b"abc"[..]);
        assert_eq!(read_record(&mut stream).await.unwrap().unwrap(), &b"d"[..]);
        assert!(read_record(&mut stream).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn an_oversized_record_is_refused_by_its_mark_alone() {
        let mut stream = &b"\xff\xff\xff\xff"[..];
        assert!(matches!(read_record(&mut stream).await, Err(RecordError::TooLarge)));
    }

    #[tokio::test]
    async fn empty_fragments_without_end_are_refused() {
        let endless = vec![0; 4 * (MAX_FRAGMENTS + 1)];
        assert!(matches!(read_record(&mut &endless[..]).await, Err(RecordError::TooLarge)));
    }

    #[tokio::test]
    async fn a_record_cut_short_is_an_error_and_not_an_end() {
        let mut stream = &b"\x80\0\0\x05abc"[..];
        assert!(matches!(read_record(&mut stream).await, Err(RecordError::Io(_))));
    }

    #[tokio::test]
    async fn records_are_sent_with_their_marks_whether_copied_or_not() {
        let long = Bytes::from(vec![7; 10_000]);
        let mut outbox = Outbox::default();
        outbox.push(&[Bytes::from_static(b"abc")]);
        outbox.push(&[Bytes::from_static(b"d"), long.clone(), Bytes::from_static(b"e")]);
        outbox.push(&[Bytes::from_static(b"fg")]);
        let expected = [&b"\x80\0\0\x03abc\x80\0\x27\x12d"[..], &long, b"e\x80\0\0\x02fg"].concat();
        assert_eq!(outbox.len(), expected.len());
        let (mut to, mut from) = tokio::io::duplex(64);
        let (sent, mut received) = (outbox.send(&mut to), vec![0; expected.len()]);
        let (sent, _) = tokio::join!(sent, from.read_exact(&mut received));
        sent.unwrap();
        assert_eq!((received, outbox.len()), (expected, 0));
    }
}
