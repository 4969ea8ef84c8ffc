//! Frames: what is written to a file as one, and read back whole or not at all.
//!
//! ```text
//! length u32 · CRC32C of the payload u32 · CRC32C of these two u32 · payload: records
//! ```

use std::io::{self, Read};

use crate::tree::store::record::Record;

/// Bytes before the payload.
pub(super) const HEADER: usize = 12;
/// No frame has a longer payload: the largest is the removal of a qtree, ten bytes an inode.
const MAX_PAYLOAD: u32 = 1 << 30;

/// Records that become durable together.
#[derive(Debug, Default)]
pub(in crate::tree) struct Frame(Vec<u8>);

impl Frame {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn push(&mut self, record: &Record<'_>) {
        if self.0.is_empty() {
            self.0.resize(HEADER, 0);
        }
        record.encode(&mut self.0);
    }

    /// The bytes to write.
    pub(super) fn seal(mut self) -> Vec<u8> {
        if let Some((header, payload)) = self.0.split_first_chunk_mut::<HEADER>() {
            let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
            let (length_field, crcs) = header.split_at_mut(4);
            let (crc_field, header_crc_field) = crcs.split_at_mut(4);
            length_field.copy_from_slice(&length.to_le_bytes());
            crc_field.copy_from_slice(&crc32c::crc32c(payload).to_le_bytes());
            let header_crc = crc32c::crc32c_append(crc32c::crc32c(length_field), crc_field);
            header_crc_field.copy_from_slice(&header_crc.to_le_bytes());
        }
        self.0
    }
}

/// What stands at a place of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A payload is in the buffer.
    Frame,
    /// The end of the file.
    End,
    /// A frame whose writing was cut short: nothing follows it.
    Torn,
    /// Bytes that were never written so.
    Damaged(&'static str),
}

/// Reads the frame at the reader's place into `payload`; `left` bytes are left in the file.
pub(super) fn read_frame(from: &mut impl Read, left: u64, payload: &mut Vec<u8>) -> io::Result<Found> {
    if left == 0 {
        return Ok(Found::End);
    }
    if left < HEADER as u64 {
        return Ok(Found::Torn);
    }
    let mut header = [0; HEADER];
    from.read_exact(&mut header)?;
    let [a, b, c, d, e, f, g, h, header_crc @ ..] = header;
    let (length, crc) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
    if crc32c::crc32c(&[a, b, c, d, e, f, g, h]) != u32::from_le_bytes(header_crc) {
        // A host that died may leave zeros where it had not written yet.
        let zeros = header == [0; HEADER] && rest_is_zero(from)?;
        return Ok(if zeros { Found::Torn } else { Found::Damaged("the header of the record is not whole") });
    }
    if length > MAX_PAYLOAD {
        return Ok(Found::Damaged("the record is longer than any"));
    }
    let left = left - HEADER as u64;
    if left < u64::from(length) {
        return Ok(Found::Torn);
    }
    payload.clear();
    from.take(length.into()).read_to_end(payload)?;
    if payload.len() == length as usize && crc32c::crc32c(payload) == crc {
        return Ok(Found::Frame);
    }
    let is_last = left == u64::from(length);
    Ok(if is_last { Found::Torn } else { Found::Damaged("the checksum of the record is another") })
}

fn rest_is_zero(from: &mut impl Read) -> io::Result<bool> {
    let mut buffer = [0; 4096];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(true),
            length if buffer.iter().take(length).all(|byte| *byte == 0) => {}
            _ => return Ok(false),
        }
    }
}
