//! Record marking: how calls and replies are told apart in a TCP stream (RFC 5531 §11).

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The largest record accepted: a WRITE of 1 MiB with its headers, and room to spare.
pub(crate) const MAX_RECORD: usize = 2 << 20;
/// A record in more fragments than this is no client's doing.
const MAX_FRAGMENTS: usize = 64;
const LAST_FRAGMENT: u32 = 1 << 31;

/// A stream that is no ONC-RPC, or no more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("a record exceeds {MAX_RECORD} bytes or {MAX_FRAGMENTS} fragments")]
    TooLarge,
    #[error("the connection failed")]
    Io(#[from] io::Error),
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

/// Writes one record as one fragment.
pub(crate) async fn write_record(stream: &mut (impl AsyncWrite + Unpin), record: Bytes) -> io::Result<()> {
    let length = u32::try_from(record.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mark = (length | LAST_FRAGMENT).to_be_bytes();
    stream.write_all_buf(&mut Buf::chain(&mark[..], record)).await
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
    async fn a_record_is_written_with_its_mark() {
        let mut out = Vec::new();
        write_record(&mut out, Bytes::from_static(b"abc")).await.unwrap();
        assert_eq!(out, b"\x80\0\0\x03abc");
    }
}
