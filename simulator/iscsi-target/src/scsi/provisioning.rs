//! Thin provisioning: UNMAP, WRITE SAME, GET LBA STATUS (SBC-3 §4.7, §5.9, §5.28, §5.43).

use blockstore::BlockError;
use bytes::{BufMut, Bytes, BytesMut};

use super::block::{require_span, require_writable, sense_of};
use super::command::Extent;
use super::sense::Sense;
use super::unit::{MAX_TRANSFER, Unit};
use crate::field::{u16_at, u32_at, u64_at};

/// MAXIMUM UNMAP BLOCK DESCRIPTOR COUNT.
pub(crate) const MAX_UNMAP_DESCRIPTORS: u32 = 256;
/// Pattern repeated into one write of this many bytes at most.
const FILL: usize = 64 * 1024;

/// MAXIMUM UNMAP LBA COUNT: 512 MiB.
pub(crate) fn max_unmap_blocks(block: u32) -> u32 {
    (512 << 20) / block
}

/// MAXIMUM WRITE SAME LENGTH, in blocks: as much as a write, because a command runs to its end
/// before the next one.
pub(crate) fn max_write_same_blocks(block: u32) -> u64 {
    MAX_TRANSFER / u64::from(block)
}

/// UNMAP that can be carried out.
pub(crate) fn admit_unmap(unit: &Unit<'_>) -> Result<(), Sense> {
    if unit.lun.thin { require_writable(unit) } else { Err(Sense::INVALID_OPCODE) }
}

/// UNMAP with its parameter list.
pub(crate) fn unmap(unit: &Unit<'_>, list: &[u8]) -> Result<Bytes, Sense> {
    if list.is_empty() {
        return Ok(Bytes::new());
    }
    if list.len() < 8 {
        return Err(Sense::PARAMETER_LENGTH);
    }
    let length = usize::from(u16_at(list, 2));
    let descriptors = list.get(8..).unwrap_or_default();
    let descriptors = descriptors.get(..length).unwrap_or(descriptors);
    if descriptors.len() / 16 > MAX_UNMAP_DESCRIPTORS as usize {
        return Err(Sense::INVALID_PARAMETER.in_list(2));
    }
    let mut spans = Vec::new();
    for descriptor in descriptors.chunks_exact(16) {
        let extent = Extent { lba: u64_at(descriptor, 0), blocks: u32_at(descriptor, 8) };
        if extent.blocks > max_unmap_blocks(unit.block()) {
            return Err(Sense::INVALID_PARAMETER);
        }
        spans.push(require_span(unit, extent)?);
    }
    for span in spans {
        unit.lun.volume.deallocate(span.offset, span.length).map_err(|error| sense_of(&error))?;
    }
    Ok(Bytes::new())
}

/// WRITE SAME that can be carried out.
pub(crate) fn admit_write_same(unit: &Unit<'_>, extent: Extent, unmap: bool) -> Result<(), Sense> {
    let too_long = u64::from(extent.blocks) > max_write_same_blocks(unit.block());
    // WSNZ: zero blocks would mean "to the end".
    if extent.blocks == 0 || unmap && !unit.lun.thin {
        return Err(Sense::INVALID_FIELD);
    }
    require_span(unit, extent)?;
    if too_long { Err(Sense::INVALID_FIELD) } else { require_writable(unit) }
}

/// WRITE SAME of one block of data, or of zeroes without any (NDOB).
pub(crate) fn write_same(
    unit: &Unit<'_>,
    extent: Extent,
    unmap: bool,
    data: Option<&[u8]>,
) -> Result<Bytes, Sense> {
    let span = require_span(unit, extent)?;
    // An initiator that announced less than a block has not said what to write.
    if data.is_some_and(|block| block.len() < unit.block() as usize) {
        return Err(Sense::INVALID_FIELD);
    }
    let pattern = data.filter(|block| block.iter().any(|byte| *byte != 0));
    let outcome = match pattern {
        // Unmapped blocks read as zero (LBPRZ), so zeroes are unmapped; another pattern is written
        // even where UNMAP allows otherwise, because reads must return it.
        None if unmap || unit.lun.thin => unit.lun.volume.deallocate(span.offset, span.length),
        None => fill(unit, span.offset, span.length, &[0]),
        Some(block) => fill(unit, span.offset, span.length, block),
    };
    outcome.map(|()| Bytes::new()).map_err(|error| sense_of(&error))
}

fn fill(unit: &Unit<'_>, offset: u64, length: u64, pattern: &[u8]) -> Result<(), BlockError> {
    let chunk = pattern.repeat(FILL / pattern.len().max(1));
    let mut done = 0;
    while done < length {
        let take = (length - done).min(chunk.len() as u64);
        unit.lun.volume.write_at(offset + done, chunk.get(..take as usize).unwrap_or(&chunk))?;
        done += take;
    }
    Ok(())
}

/// GET LBA STATUS: one descriptor, the run that starts at `lba`.
pub(crate) fn lba_status(unit: &Unit<'_>, lba: u64) -> Result<Bytes, Sense> {
    let block = u64::from(unit.block());
    if lba >= unit.blocks() {
        return Err(Sense::OUT_OF_RANGE);
    }
    let limit = u64::from(max_unmap_blocks(unit.block())) * block;
    let run = unit.lun.volume.run_at(lba * block, limit);
    let (mapped, length) = run.map_err(|error| sense_of(&error))?;
    let mut data = BytesMut::with_capacity(24);
    data.put_u32(20);
    data.put_u32(0);
    data.put_u64(lba);
    data.put_u32((length / block).max(1) as u32);
    // PROVISIONING STATUS: mapped or deallocated. A fully provisioned unit is mapped throughout.
    data.put_slice(&[u8::from(!mapped && unit.lun.thin), 0, 0, 0]);
    Ok(data.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scsi::unit::tests::Bench;

    fn list(extents: &[(u64, u32)]) -> Vec<u8> {
        let length = (extents.len() * 16) as u16;
        let mut list = Vec::new();
        list.put_u16(length + 6);
        list.put_u16(length);
        list.put_u32(0);
        for (lba, blocks) in extents {
            list.put_u64(*lba);
            list.put_u32(*blocks);
            list.put_u32(0);
        }
        list
    }

    #[test]
    fn unmapped_blocks_are_freed_and_read_zero() {
        let bench = Bench::new();
        let unit = bench.unit();
        bench.lun.volume.write_at(0, &[1; 16_384]).unwrap();
        unmap(&unit, &list(&[(8, 8), (24, 8)])).unwrap();
        assert_eq!(bench.lun.volume.allocated(), 8192);
        let mut byte = [9];
        bench.lun.volume.read_at(8 * 512, &mut byte).unwrap();
        assert_eq!(byte, [0]);
        assert_eq!(lba_status(&unit, 8).unwrap()[8..], [0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 8, 1, 0, 0, 0]);
    }

    #[test]
    fn an_unmap_list_with_one_bad_extent_unmaps_nothing() {
        let bench = Bench::new();
        bench.lun.volume.write_at(0, &[1; 8192]).unwrap();
        assert_eq!(unmap(&bench.unit(), &list(&[(0, 16), (1 << 40, 1)])), Err(Sense::OUT_OF_RANGE));
        assert_eq!(bench.lun.volume.allocated(), 8192);
        assert_eq!(unmap(&bench.unit(), &[0; 7]), Err(Sense::PARAMETER_LENGTH));
    }

    #[test]
    fn write_same_repeats_the_block() {
        let bench = Bench::new();
        let unit = bench.unit();
        let block: Vec<u8> = (0..512).map(|n| n as u8 | 1).collect();
        let extent = Extent { lba: 3, blocks: 400 };
        write_same(&unit, extent, true, Some(&block)).unwrap();
        let mut seen = vec![0; 512];
        bench.lun.volume.read_at((3 + 399) * 512, &mut seen).unwrap();
        assert_eq!(seen, block);
        write_same(&unit, extent, true, None).unwrap();
        bench.lun.volume.read_at((3 + 399) * 512, &mut seen).unwrap();
        assert_eq!(seen, [0; 512]);
    }

    #[test]
    fn a_thick_unit_does_not_unmap() {
        let mut bench = Bench::new();
        bench.lun.thin = false;
        let unit = bench.unit();
        assert_eq!(admit_unmap(&unit), Err(Sense::INVALID_OPCODE));
        let extent = Extent { lba: 0, blocks: 1 };
        assert_eq!(admit_write_same(&unit, extent, true), Err(Sense::INVALID_FIELD));
        assert_eq!(admit_write_same(&unit, extent, false), Ok(()));
    }
}
