//! CDBs of reads, writes and their kin (SBC-3 §5).

use super::{Command, Extent, VerifyAgainst, lba_16};
use crate::field::{u16_at, u24_at, u32_at};
use crate::scsi::sense::Sense;

/// FUA in byte 1 of the longer forms.
const FUA: u8 = 0x08;

/// Reads, writes and their kin. PROTECT fields must be 0: there is no protection information.
pub(super) fn transfer(cdb: &[u8; 16]) -> Result<Command, Sense> {
    match cdb[0] {
        0x08 => return Ok(Command::Read { extent: extent_6(cdb), fua: false }),
        0x0a => return Ok(Command::Write { extent: extent_6(cdb), fua: false }),
        0x34 => return Ok(Command::Prefetch(extent_10(cdb))),
        0x35 => return Ok(Command::SynchronizeCache(extent_10(cdb))),
        0x90 => return Ok(Command::Prefetch(extent_16(cdb))),
        0x91 => return Ok(Command::SynchronizeCache(extent_16(cdb))),
        _ => {}
    }
    let fua = cdb[1] & FUA != 0;
    let command = match cdb[0] {
        0x28 => Command::Read { extent: extent_10(cdb), fua },
        0x2a => Command::Write { extent: extent_10(cdb), fua },
        0x2e => write_and_verify(cdb, extent_10(cdb))?,
        0x2f => verify(cdb, extent_10(cdb))?,
        0x41 => write_same(cdb, extent_10(cdb), true)?,
        0x88 => Command::Read { extent: extent_16(cdb), fua },
        0x89 => Command::CompareAndWrite { extent: Extent { lba: lba_16(cdb), blocks: cdb[13].into() }, fua },
        0x8a => Command::Write { extent: extent_16(cdb), fua },
        0x8b => Command::OrWrite { extent: extent_16(cdb), fua },
        0x8e => write_and_verify(cdb, extent_16(cdb))?,
        0x8f => verify(cdb, extent_16(cdb))?,
        0x93 => write_same(cdb, extent_16(cdb), cdb[1] & 1 == 0)?,
        0xa8 => Command::Read { extent: extent_12(cdb), fua },
        0xaa => Command::Write { extent: extent_12(cdb), fua },
        0xae => write_and_verify(cdb, extent_12(cdb))?,
        0xaf => verify(cdb, extent_12(cdb))?,
        _ => return Err(Sense::INVALID_OPCODE),
    };
    if cdb[1] & 0xe0 == 0 { Ok(command) } else { Err(Sense::INVALID_FIELD.in_cdb_bit(1, 7)) }
}

fn extent_6(cdb: &[u8; 16]) -> Extent {
    let blocks = if cdb[4] == 0 { 256 } else { u32::from(cdb[4]) };
    Extent { lba: (u24_at(cdb, 1) & 0x1f_ffff).into(), blocks }
}

fn extent_10(cdb: &[u8; 16]) -> Extent {
    Extent { lba: u32_at(cdb, 2).into(), blocks: u16_at(cdb, 7).into() }
}

fn extent_12(cdb: &[u8; 16]) -> Extent {
    Extent { lba: u32_at(cdb, 2).into(), blocks: u32_at(cdb, 6) }
}

fn extent_16(cdb: &[u8; 16]) -> Extent {
    Extent { lba: lba_16(cdb), blocks: u32_at(cdb, 10) }
}

/// BYTCHK of a write only says how the drive verifies what it wrote: 10b and 11b are reserved.
fn write_and_verify(cdb: &[u8; 16], extent: Extent) -> Result<Command, Sense> {
    if cdb[1] & 0x04 != 0 {
        return Err(Sense::INVALID_FIELD.in_cdb_bit(1, 2));
    }
    Ok(Command::WriteAndVerify(extent))
}

fn verify(cdb: &[u8; 16], extent: Extent) -> Result<Command, Sense> {
    let against = match cdb[1] >> 1 & 3 {
        0 => VerifyAgainst::Medium,
        1 => VerifyAgainst::Data,
        3 => VerifyAgainst::OneBlock,
        _ => return Err(Sense::INVALID_FIELD.in_cdb_bit(1, 2)),
    };
    Ok(Command::Verify { extent, against })
}

fn write_same(cdb: &[u8; 16], extent: Extent, has_data: bool) -> Result<Command, Sense> {
    // ANCHOR: VPD page B2h says anchored blocks are not supported.
    if cdb[1] & 0x10 != 0 {
        return Err(Sense::INVALID_FIELD.in_cdb_bit(1, 4));
    }
    Ok(Command::WriteSame { extent, unmap: cdb[1] & 0x08 != 0, has_data })
}
