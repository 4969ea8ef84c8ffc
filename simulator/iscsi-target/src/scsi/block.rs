//! Reads, writes, verification (SBC-3 §5).

use blockstore::BlockError;
use bytes::Bytes;

use super::command::{Extent, VerifyAgainst};
use super::fault;
use super::sense::Sense;
use super::shelf::SWP;
use super::unit::{MAX_TRANSFER, Unit};

/// MAXIMUM COMPARE AND WRITE LENGTH in blocks (VPD B0h).
pub(crate) const MAX_COMPARE_BLOCKS: u32 = 128;

/// Where an extent lies in the volume, in bytes.
pub(crate) struct Span {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// The bytes of an extent that lies in the unit.
pub(crate) fn require_span(unit: &Unit<'_>, extent: Extent) -> Result<Span, Sense> {
    let past = extent.lba.checked_add(extent.blocks.into()).ok_or(Sense::OUT_OF_RANGE)?;
    if past > unit.blocks() || extent.lba > unit.blocks() {
        return Err(Sense::OUT_OF_RANGE);
    }
    let block = u64::from(unit.block());
    Ok(Span { offset: extent.lba * block, length: u64::from(extent.blocks) * block })
}

/// A transfer that can be carried out: in range, and no more than the unit says it transfers at
/// once. What runs past the end is told so even where it is too long as well.
pub(crate) fn admit(unit: &Unit<'_>, extent: Extent) -> Result<(), Sense> {
    let span = require_span(unit, extent)?;
    if span.length > MAX_TRANSFER { Err(Sense::INVALID_FIELD) } else { Ok(()) }
}

/// COMPARE AND WRITE that can be carried out.
pub(crate) fn admit_compare(unit: &Unit<'_>, extent: Extent) -> Result<(), Sense> {
    if extent.blocks > MAX_COMPARE_BLOCKS {
        return Err(Sense::INVALID_FIELD);
    }
    admit(unit, extent)?;
    require_writable(unit)
}

/// A unit that may be written.
pub(crate) fn require_writable(unit: &Unit<'_>) -> Result<(), Sense> {
    if unit.lun.read_only {
        Err(Sense::WRITE_PROTECTED)
    } else if unit.state.mode(SWP) {
        Err(Sense::SOFTWARE_PROTECTED)
    } else {
        Ok(())
    }
}

/// The sense of a refusal by the store.
pub(crate) fn sense_of(error: &BlockError) -> Sense {
    match error {
        BlockError::Damaged { .. } => Sense::UNRECOVERED_READ,
        BlockError::Miscompare { offset } => Sense::MISCOMPARE.with_information(*offset),
        BlockError::NoSpace { .. } => Sense::NO_SPACE,
        BlockError::OutOfRange { .. } => Sense::OUT_OF_RANGE,
        BlockError::Stopped { .. } => Sense::WRITE_FAULT,
    }
}

/// Bytes a read returns. A lever may make them fewer.
pub(crate) fn read_length(unit: &Unit<'_>, extent: Extent) -> Result<u64, Sense> {
    let length = require_span(unit, extent)?.length;
    match unit.state.lever.faults() {
        None => Ok(length),
        Some(faults) => Ok(fault::shorten(unit, &faults, length)),
    }
}

/// Puts what the extent holds from its byte `skip` on in place, as much as there is place.
pub(crate) fn read_into(unit: &Unit<'_>, extent: Extent, skip: u64, place: &mut [u8]) -> Result<(), Sense> {
    let span = require_span(unit, extent)?;
    let offset = span.offset.saturating_add(skip);
    unit.lun.volume.read_at(offset, place).map_err(|error| sense_of(&error))
}

pub(crate) fn read(unit: &Unit<'_>, extent: Extent) -> Result<Bytes, Sense> {
    let mut data = vec![0; read_length(unit, extent)? as usize];
    read_into(unit, extent, 0, &mut data)?;
    Ok(data.into())
}

/// Writes the whole blocks that came: an initiator that announces less than the CDB says gets that
/// much written.
pub(crate) fn write(unit: &Unit<'_>, extent: Extent, data: &[u8]) -> Result<Bytes, Sense> {
    let span = require_span(unit, extent)?;
    let length = data.len().min(span.length as usize);
    let length = length - length % unit.block() as usize;
    let data = data.get(..length).unwrap_or_default();
    unit.lun.volume.write_at(span.offset, data).map_err(|error| sense_of(&error))?;
    Ok(Bytes::new())
}

pub(crate) fn verify(
    unit: &Unit<'_>,
    extent: Extent,
    against: VerifyAgainst,
    data: &[u8],
) -> Result<Bytes, Sense> {
    let span = require_span(unit, extent)?;
    let volume = &unit.lun.volume;
    let step = u64::from(unit.block());
    let (outcome, at) = match against {
        VerifyAgainst::Medium => (Ok(()), 0),
        VerifyAgainst::Data => (volume.compare(span.offset, data), 0),
        VerifyAgainst::OneBlock => {
            let compare = |n: u64| (volume.compare(span.offset + n * step, data), n);
            let mut compared = (0..u64::from(extent.blocks)).map(compare);
            compared.find(|(outcome, _)| outcome.is_err()).unwrap_or((Ok(()), 0))
        }
    };
    match outcome {
        Ok(()) => Ok(Bytes::new()),
        // The information is the address of the block.
        Err(BlockError::Miscompare { offset }) => {
            Err(Sense::MISCOMPARE.with_information(extent.lba + at + offset / step))
        }
        Err(error) => Err(sense_of(&error)),
    }
}

/// ORWRITE: the bits of the data are set in what the blocks hold (SBC-3).
pub(crate) fn or_write(unit: &Unit<'_>, extent: Extent, data: &[u8]) -> Result<Bytes, Sense> {
    let span = require_span(unit, extent)?;
    let length = data.len().min(span.length as usize);
    let length = length - length % unit.block() as usize;
    let data = data.get(..length).unwrap_or_default();
    let volume = &unit.lun.volume;
    let mut held = vec![0; length];
    loop {
        volume.read_at(span.offset, &mut held).map_err(|error| sense_of(&error))?;
        let union: Vec<u8> = held.iter().zip(data).map(|(held, new)| held | new).collect();
        match volume.compare_and_write(span.offset, &held, &union) {
            // Another write came between: what it wrote counts.
            Err(BlockError::Miscompare { .. }) => {}
            outcome => return outcome.map(|()| Bytes::new()).map_err(|error| sense_of(&error)),
        }
    }
}

pub(crate) fn compare_and_write(unit: &Unit<'_>, extent: Extent, data: &[u8]) -> Result<Bytes, Sense> {
    let span = require_span(unit, extent)?;
    let half = span.length as usize;
    let (Some(expected), Some(new)) = (data.get(..half), data.get(half..2 * half)) else {
        return Err(Sense::INVALID_FIELD);
    };
    let outcome = unit.lun.volume.compare_and_write(span.offset, expected, new);
    outcome.map(|()| Bytes::new()).map_err(|error| sense_of(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scsi::unit::tests::Bench;

    #[test]
    fn the_last_block_is_in_range_and_the_next_is_not() {
        let bench = Bench::new();
        let unit = bench.unit();
        let last = unit.blocks() - 1;
        assert!(read(&unit, Extent { lba: last, blocks: 1 }).is_ok());
        for extent in [
            Extent { lba: last, blocks: 2 },
            Extent { lba: last + 1, blocks: 1 },
            Extent { lba: u64::MAX, blocks: 2 },
            Extent { lba: last + 2, blocks: 0 },
        ] {
            assert_eq!(read(&unit, extent), Err(Sense::OUT_OF_RANGE), "{extent:?}");
        }
        assert_eq!(admit(&unit, Extent { lba: last + 1, blocks: 0 }), Ok(()));
    }

    #[test]
    fn compare_and_write_writes_only_over_what_was_expected() {
        let bench = Bench::new();
        let unit = bench.unit();
        let extent = Extent { lba: 2, blocks: 1 };
        let data = [[0u8; 512], [7; 512]].concat();
        assert!(compare_and_write(&unit, extent, &data).is_ok());
        assert_eq!(compare_and_write(&unit, extent, &data), Err(Sense::MISCOMPARE.with_information(0)));
        assert_eq!(read(&unit, extent).unwrap(), &[7; 512][..]);
    }

    #[test]
    fn a_read_only_unit_refuses_every_kind_of_write() {
        let mut bench = Bench::new();
        bench.lun.read_only = true;
        let unit = bench.unit();
        let extent = Extent { lba: 0, blocks: 1 };
        for command in [
            crate::scsi::Command::Write { extent, fua: false },
            crate::scsi::Command::WriteAndVerify(extent),
            crate::scsi::Command::CompareAndWrite { extent, fua: false },
            crate::scsi::Command::OrWrite { extent, fua: false },
            crate::scsi::Command::Unmap { length: 24 },
            crate::scsi::Command::WriteSame { extent, unmap: false, has_data: true },
        ] {
            assert_eq!(unit.admit(&command), Err(Sense::WRITE_PROTECTED), "{command:?}");
        }
        assert_eq!(unit.admit(&crate::scsi::Command::Read { extent, fua: false }), Ok(()));
    }

    #[test]
    fn orwrite_sets_bits_and_clears_none() {
        let bench = Bench::new();
        let unit = bench.unit();
        let extent = Extent { lba: 5, blocks: 1 };
        or_write(&unit, extent, &[0xa0; 512]).unwrap();
        or_write(&unit, extent, &[0x05; 512]).unwrap();
        assert_eq!(read(&unit, extent).unwrap(), &[0xa5; 512][..]);
    }

    #[test]
    fn a_failed_verification_names_the_first_block_that_differs() {
        let bench = Bench::new();
        let unit = bench.unit();
        write(&unit, Extent { lba: 9, blocks: 1 }, &[1; 512]).unwrap();
        let extent = Extent { lba: 6, blocks: 8 };
        for (against, data) in [(VerifyAgainst::OneBlock, 512), (VerifyAgainst::Data, 8 * 512)] {
            let verdict = verify(&unit, extent, against, &vec![0; data]);
            assert_eq!(verdict, Err(Sense::MISCOMPARE.with_information(9)), "{against:?}");
        }
    }
}
