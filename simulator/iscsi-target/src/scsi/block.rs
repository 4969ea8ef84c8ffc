//! Reads, writes, verification (SBC-3 §5).

use blockstore::BlockError;
use bytes::Bytes;

use super::command::{Extent, VerifyAgainst};
use super::sense::Sense;
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
    if unit.lun.read_only { Err(Sense::WRITE_PROTECTED) } else { Ok(()) }
}

/// The sense of a refusal by the store.
pub(crate) fn sense_of(error: &BlockError) -> Sense {
    match error {
        BlockError::OutOfRange { .. } => Sense::OUT_OF_RANGE,
        BlockError::Miscompare { offset } => Sense::miscompare(*offset),
    }
}

pub(crate) fn read(unit: &Unit<'_>, extent: Extent) -> Result<Bytes, Sense> {
    let span = require_span(unit, extent)?;
    let mut data = vec![0; span.length as usize];
    unit.lun.volume.read_at(span.offset, &mut data).map_err(|error| sense_of(&error))?;
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
    let outcome = match against {
        VerifyAgainst::Medium => Ok(()),
        VerifyAgainst::Data => volume.compare(span.offset, data),
        VerifyAgainst::OneBlock => {
            let step = u64::from(unit.block());
            (0..u64::from(extent.blocks)).try_for_each(|n| volume.compare(span.offset + n * step, data))
        }
    };
    outcome.map(|()| Bytes::new()).map_err(|error| sense_of(&error))
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

pub(crate) fn synchronize(unit: &Unit<'_>, extent: Extent) -> Result<Bytes, Sense> {
    require_span(unit, extent)?;
    unit.lun.volume.flush().map(|()| Bytes::new()).map_err(|_| Sense::WRITE_FAULT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scsi::unit::tests::{ontap_lun, through};

    #[test]
    fn the_last_block_is_in_range_and_the_next_is_not() {
        let lun = ontap_lun();
        let unit = through(&lun);
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
        let lun = ontap_lun();
        let unit = through(&lun);
        let extent = Extent { lba: 2, blocks: 1 };
        let data = [[0u8; 512], [7; 512]].concat();
        assert!(compare_and_write(&unit, extent, &data).is_ok());
        assert_eq!(compare_and_write(&unit, extent, &data), Err(Sense::miscompare(0)));
        assert_eq!(read(&unit, extent).unwrap(), &[7; 512][..]);
    }

    #[test]
    fn a_read_only_unit_refuses_every_kind_of_write() {
        let mut lun = ontap_lun();
        lun.read_only = true;
        let unit = through(&lun);
        let extent = Extent { lba: 0, blocks: 1 };
        for command in [
            crate::scsi::Command::Write(extent),
            crate::scsi::Command::WriteAndVerify(extent),
            crate::scsi::Command::CompareAndWrite(extent),
            crate::scsi::Command::Unmap { length: 24 },
            crate::scsi::Command::WriteSame { extent, unmap: false, has_data: true },
        ] {
            assert_eq!(unit.admit(&command), Err(Sense::WRITE_PROTECTED), "{command:?}");
        }
        assert_eq!(unit.admit(&crate::scsi::Command::Read(extent)), Ok(()));
    }
}
