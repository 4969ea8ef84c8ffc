//! How the journal lies in its file: a header, then frames, each with a checksum.
//!
//! ```text
//! header: "TINEBLKS" version:u32 generation:u64 checkpoint_end:u64 crc:u32
//! frame:  "FRAM" length:u32 generation:u64 number:u64 crc:u32, then `length` bytes of records
//! ```
//!
//! Frames are numbered from 0 in each generation. Those before `checkpoint_end` were durable before
//! the file got its name, so they are all there or the file is damaged. A frame after them is one
//! commit; only the last one can be torn by a crash, for a commit begins when the one before it is
//! durable. An unreadable frame with a readable one after it is therefore damage, not a crash.

use std::ops::Range;

/// Version of the format of the data directory.
pub(crate) const FORMAT: u32 = 1;
/// Bytes of the header of the file.
pub(crate) const HEADER: usize = 32;

const FILE_MAGIC: &[u8; 8] = b"TINEBLKS";
const FRAME_MAGIC: &[u8; 4] = b"FRAM";
const FRAME_HEADER: usize = 28;

/// The header of a journal file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) generation: u64,
    pub(crate) checkpoint_end: u64,
}

/// Why a file is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    Damaged { offset: u64, what: &'static str },
    Format { found: u32 },
}

/// The frames of a file that are good.
#[derive(Debug)]
pub(crate) struct Frames {
    /// Where their records lie.
    pub(crate) payloads: Vec<Range<usize>>,
    /// Where the next frame goes.
    pub(crate) end: usize,
}

impl Header {
    pub(crate) fn encode(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(FILE_MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.generation.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.checkpoint_end.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..28]);
        bytes[28..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(data: &[u8]) -> Result<Self, Defect> {
        let damaged = |what| Defect::Damaged { offset: 0, what };
        let Some((header, _)) = data.split_first_chunk::<HEADER>() else {
            return Err(damaged("the header is cut off"));
        };
        if &header[..8] != FILE_MAGIC {
            return Err(damaged("this is not a journal"));
        }
        if u32_at(header, 28) != Some(crc32c::crc32c(&header[..28])) {
            return Err(damaged("the header fails its checksum"));
        }
        match (u32_at(header, 8), u64_at(header, 12), u64_at(header, 20)) {
            (Some(FORMAT), Some(generation), Some(checkpoint_end)) => Ok(Self { generation, checkpoint_end }),
            (found, ..) => Err(Defect::Format { found: found.unwrap_or_default() }),
        }
    }
}

/// Appends a frame to `out`.
pub(crate) fn seal(out: &mut Vec<u8>, generation: u64, number: u64, records: &[u8]) {
    let start = out.len();
    out.extend_from_slice(FRAME_MAGIC);
    out.extend_from_slice(&(records.len() as u32).to_le_bytes());
    out.extend_from_slice(&generation.to_le_bytes());
    out.extend_from_slice(&number.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&out[start..]), records);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(records);
}

/// The frames of a journal file whose header was read.
pub(crate) fn walk(data: &[u8], header: Header) -> Result<Frames, Defect> {
    let checkpoint_end = usize::try_from(header.checkpoint_end).unwrap_or(usize::MAX);
    let mut frames = Frames { payloads: Vec::new(), end: HEADER };
    while let Some(payload) = frame_at(data, frames.end, header.generation, frames.payloads.len() as u64) {
        frames.end = payload.end;
        frames.payloads.push(payload);
    }
    let damaged = |what| Err(Defect::Damaged { offset: frames.end as u64, what });
    if frames.end < checkpoint_end {
        return damaged("the checkpoint fails its checksum or is cut off");
    }
    let next = frames.payloads.len() as u64;
    if follows(data, frames.end, header.generation, next) {
        return damaged("a commit fails its checksum, and there are later ones");
    }
    Ok(frames)
}

/// The payload of frame `number`, if that is what is at `at`.
fn frame_at(data: &[u8], at: usize, generation: u64, number: u64) -> Option<Range<usize>> {
    let (of, is, payload) = any_frame_at(data, at)?;
    ((of, is) == (generation, number)).then_some(payload)
}

/// Generation, number and payload of the frame at `at`.
fn any_frame_at(data: &[u8], at: usize) -> Option<(u64, u64, Range<usize>)> {
    let header = data.get(at..)?.get(..FRAME_HEADER)?;
    if &header[..4] != FRAME_MAGIC {
        return None;
    }
    let start = at + FRAME_HEADER;
    let end = start.checked_add(u32_at(header, 4)? as usize)?;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&header[..24]), data.get(start..end)?);
    (u32_at(header, 24)? == crc).then_some((u64_at(header, 8)?, u64_at(header, 16)?, start..end))
}

/// Whether a frame of `number` or later begins at `from` or behind it.
fn follows(data: &[u8], from: usize, generation: u64, number: u64) -> bool {
    (from..data.len().saturating_sub(FRAME_HEADER - 1))
        .any(|at| any_frame_at(data, at).is_some_and(|(of, is, _)| of == generation && is >= number))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}
