//! CDBs parsed to what they ask (SPC-4 §6, SBC-3 §5). What is malformed becomes sense here, so that
//! execution sees only commands that can be carried out.

use super::sense::Sense;
use crate::field::{u16_at, u24_at, u32_at, u64_at};

/// A run of logical blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) lba: u64,
    pub(crate) blocks: u32,
}

/// VERIFY's BYTCHK (SBC-3 §5.34).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VerifyAgainst {
    /// The medium alone: nothing to do in memory.
    Medium,
    /// As many blocks of data-out.
    Data,
    /// One block of data-out, against each.
    OneBlock,
}

/// A well-formed command. `allocation` is the ALLOCATION LENGTH: no more is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    TestUnitReady,
    RequestSense { descriptor: bool, allocation: u32 },
    Inquiry { page: Option<u8>, allocation: u32 },
    ReportLuns { select: u8, allocation: u32 },
    ModeSense { request: ModeRequest, allocation: u32 },
    ReadCapacity10,
    ReadCapacity16 { allocation: u32 },
    Read(Extent),
    Write(Extent),
    WriteAndVerify(Extent),
    Verify { extent: Extent, against: VerifyAgainst },
    SynchronizeCache(Extent),
    WriteSame { extent: Extent, unmap: bool, has_data: bool },
    Unmap { length: u16 },
    CompareAndWrite(Extent),
    GetLbaStatus { lba: u64, allocation: u32 },
    StartStop,
    ReportTargetPortGroups { extended: bool, allocation: u32 },
    PersistentReserveIn { action: u8, allocation: u32 },
}

/// What MODE SENSE asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ModeRequest {
    /// The ten-byte form, with the eight-byte header.
    pub(crate) long: bool,
    /// DBD: leave out the block descriptor.
    pub(crate) no_descriptor: bool,
    /// PC: current, changeable, default, saved.
    pub(crate) control: u8,
    pub(crate) page: u8,
    pub(crate) subpage: u8,
}

impl Command {
    /// Parses a CDB.
    pub(crate) fn parse(cdb: &[u8; 16]) -> Result<Self, Sense> {
        let command = Self::recognise(cdb)?;
        // NACA in the CONTROL byte asks for ACA, which the INQUIRY data say is not there (SAM-5 §5.2).
        let control = match cdb[0] >> 5 {
            0 => cdb[5],
            1 | 2 => cdb[9],
            5 => cdb[11],
            _ => cdb[15],
        };
        if control & 0x04 != 0 { Err(Sense::INVALID_FIELD) } else { Ok(command) }
    }

    fn recognise(cdb: &[u8; 16]) -> Result<Self, Sense> {
        Ok(match cdb[0] {
            0x00 => Self::TestUnitReady,
            0x03 => Self::RequestSense { descriptor: cdb[1] & 1 != 0, allocation: cdb[4].into() },
            0x12 => inquiry(cdb)?,
            0x1a => Self::ModeSense { request: mode(cdb, false), allocation: cdb[4].into() },
            0x1b => Self::StartStop,
            0x25 => read_capacity_10(cdb)?,
            0x35 => Self::SynchronizeCache(extent_10(cdb)),
            0x42 => unmap(cdb)?,
            0x5a => Self::ModeSense { request: mode(cdb, true), allocation: u16_at(cdb, 7).into() },
            0x5e => Self::PersistentReserveIn { action: cdb[1] & 0x1f, allocation: u16_at(cdb, 7).into() },
            0x91 => Self::SynchronizeCache(extent_16(cdb)),
            0x9e => service_action_in(cdb)?,
            0xa0 => Self::ReportLuns { select: cdb[2], allocation: u32_at(cdb, 6) },
            0xa3 => maintenance_in(cdb)?,
            _ => transfer(cdb)?,
        })
    }

    /// Bytes of data-out the command takes.
    pub(crate) fn data_out(&self, block: u32) -> u64 {
        let bytes = |extent: &Extent| u64::from(extent.blocks) * u64::from(block);
        match self {
            Self::Write(extent) | Self::WriteAndVerify(extent) => bytes(extent),
            Self::Verify { extent, against: VerifyAgainst::Data } => bytes(extent),
            Self::Verify { extent, against: VerifyAgainst::OneBlock } if extent.blocks > 0 => block.into(),
            Self::CompareAndWrite(extent) => 2 * bytes(extent),
            Self::WriteSame { has_data: true, .. } => block.into(),
            Self::Unmap { length } => (*length).into(),
            _ => 0,
        }
    }

    /// Whether the initiator must announce exactly [`Command::data_out`] bytes. Reads and writes
    /// are carried out as far as the data go; of these, half is not a part of the whole.
    pub(crate) fn is_exact(&self) -> bool {
        matches!(self, Self::CompareAndWrite(_) | Self::WriteSame { .. })
    }

    /// Most bytes of data-in the command wants returned, where it has an allocation length.
    pub(crate) fn allocation(&self) -> Option<u32> {
        match self {
            Self::RequestSense { allocation, .. }
            | Self::Inquiry { allocation, .. }
            | Self::ReportLuns { allocation, .. }
            | Self::ModeSense { allocation, .. }
            | Self::ReadCapacity16 { allocation }
            | Self::GetLbaStatus { allocation, .. }
            | Self::ReportTargetPortGroups { allocation, .. }
            | Self::PersistentReserveIn { allocation, .. } => Some(*allocation),
            _ => None,
        }
    }
}

/// Reads, writes and their kin. PROTECT fields must be 0: there is no protection information.
fn transfer(cdb: &[u8; 16]) -> Result<Command, Sense> {
    let plain = |command| if cdb[1] & 0xe0 == 0 { Ok(command) } else { Err(Sense::INVALID_FIELD) };
    match cdb[0] {
        0x08 => Ok(Command::Read(extent_6(cdb))),
        0x0a => Ok(Command::Write(extent_6(cdb))),
        0x28 => plain(Command::Read(extent_10(cdb))),
        0x2a => plain(Command::Write(extent_10(cdb))),
        0x2e => plain(Command::WriteAndVerify(extent_10(cdb))),
        0x2f => plain(verify(cdb, extent_10(cdb))?),
        0x41 => plain(write_same(cdb, extent_10(cdb), true)?),
        0x88 => plain(Command::Read(extent_16(cdb))),
        0x89 => plain(Command::CompareAndWrite(Extent { lba: u64_at(cdb, 2), blocks: cdb[13].into() })),
        0x8a => plain(Command::Write(extent_16(cdb))),
        0x8e => plain(Command::WriteAndVerify(extent_16(cdb))),
        0x8f => plain(verify(cdb, extent_16(cdb))?),
        0x93 => plain(write_same(cdb, extent_16(cdb), cdb[1] & 1 == 0)?),
        0xa8 => plain(Command::Read(extent_12(cdb))),
        0xaa => plain(Command::Write(extent_12(cdb))),
        0xae => plain(Command::WriteAndVerify(extent_12(cdb))),
        0xaf => plain(verify(cdb, extent_12(cdb))?),
        _ => Err(Sense::INVALID_OPCODE),
    }
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
    Extent { lba: u64_at(cdb, 2), blocks: u32_at(cdb, 10) }
}

fn inquiry(cdb: &[u8; 16]) -> Result<Command, Sense> {
    let allocation = u16_at(cdb, 3).into();
    match (cdb[1] & 3, cdb[2]) {
        (0, 0) => Ok(Command::Inquiry { page: None, allocation }),
        (1, page) => Ok(Command::Inquiry { page: Some(page), allocation }),
        // A page without EVPD, or the obsolete CMDDT.
        _ => Err(Sense::INVALID_FIELD),
    }
}

fn mode(cdb: &[u8; 16], long: bool) -> ModeRequest {
    ModeRequest {
        long,
        no_descriptor: cdb[1] & 0x08 != 0,
        control: cdb[2] >> 6,
        page: cdb[2] & 0x3f,
        subpage: cdb[3],
    }
}

fn read_capacity_10(cdb: &[u8; 16]) -> Result<Command, Sense> {
    // SBC-3 §5.15: without PMI the address must be zero.
    if cdb[8] & 1 == 0 && u32_at(cdb, 2) != 0 {
        Err(Sense::INVALID_FIELD)
    } else {
        Ok(Command::ReadCapacity10)
    }
}

fn verify(cdb: &[u8; 16], extent: Extent) -> Result<Command, Sense> {
    let against = match cdb[1] >> 1 & 3 {
        0 => VerifyAgainst::Medium,
        1 => VerifyAgainst::Data,
        3 => VerifyAgainst::OneBlock,
        _ => return Err(Sense::INVALID_FIELD),
    };
    Ok(Command::Verify { extent, against })
}

fn write_same(cdb: &[u8; 16], extent: Extent, has_data: bool) -> Result<Command, Sense> {
    // ANCHOR: VPD page B2h says anchored blocks are not supported.
    if cdb[1] & 0x10 != 0 {
        return Err(Sense::INVALID_FIELD);
    }
    Ok(Command::WriteSame { extent, unmap: cdb[1] & 0x08 != 0, has_data })
}

fn unmap(cdb: &[u8; 16]) -> Result<Command, Sense> {
    if cdb[1] & 1 != 0 { Err(Sense::INVALID_FIELD) } else { Ok(Command::Unmap { length: u16_at(cdb, 7) }) }
}

fn service_action_in(cdb: &[u8; 16]) -> Result<Command, Sense> {
    let allocation = u32_at(cdb, 10);
    match cdb[1] & 0x1f {
        0x10 => Ok(Command::ReadCapacity16 { allocation }),
        0x12 => Ok(Command::GetLbaStatus { lba: u64_at(cdb, 2), allocation }),
        _ => Err(Sense::INVALID_FIELD),
    }
}

fn maintenance_in(cdb: &[u8; 16]) -> Result<Command, Sense> {
    let allocation = u32_at(cdb, 6);
    match (cdb[1] & 0x1f, cdb[1] >> 5) {
        (0x0a, 0) => Ok(Command::ReportTargetPortGroups { extended: false, allocation }),
        (0x0a, 1) => Ok(Command::ReportTargetPortGroups { extended: true, allocation }),
        _ => Err(Sense::INVALID_FIELD),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cdb(bytes: &[u8]) -> [u8; 16] {
        let mut cdb = [0; 16];
        cdb[..bytes.len()].copy_from_slice(bytes);
        cdb
    }

    #[test]
    fn reads_of_all_lengths_name_the_same_extent() {
        let wanted = Command::Read(Extent { lba: 0x1234, blocks: 7 });
        for bytes in [
            &[0x08, 0, 0x12, 0x34, 7, 0][..],
            &[0x28, 0x08, 0, 0, 0x12, 0x34, 0, 0, 7, 0],
            &[0xa8, 0, 0, 0, 0x12, 0x34, 0, 0, 0, 7, 0, 0],
            &[0x88, 0, 0, 0, 0, 0, 0, 0, 0x12, 0x34, 0, 0, 0, 7, 0, 0],
        ] {
            assert_eq!(Command::parse(&cdb(bytes)), Ok(wanted));
        }
        let whole = Command::parse(&cdb(&[0x0a, 0xff, 0, 0, 0, 0]));
        assert_eq!(whole, Ok(Command::Write(Extent { lba: 0x1f_0000, blocks: 256 })));
    }

    #[test]
    fn what_is_not_supported_says_which_way() {
        for (bytes, sense) in [
            (&[0x04][..], Sense::INVALID_OPCODE),
            (&[0x12, 0, 0x80], Sense::INVALID_FIELD),
            (&[0x12, 2], Sense::INVALID_FIELD),
            (&[0x28, 0x20], Sense::INVALID_FIELD),
            (&[0x2f, 0x04], Sense::INVALID_FIELD),
            (&[0x93, 0x10], Sense::INVALID_FIELD),
            (&[0x9e, 0x1f], Sense::INVALID_FIELD),
            (&[0x25, 0, 0, 0, 0, 1], Sense::INVALID_FIELD),
            (&[0x00, 0, 0, 0, 0, 4], Sense::INVALID_FIELD),
        ] {
            assert_eq!(Command::parse(&cdb(bytes)), Err(sense), "{bytes:02x?}");
        }
    }

    #[test]
    fn data_out_is_what_the_cdb_says_it_is() {
        let bytes = |cdb_bytes: &[u8]| Command::parse(&cdb(cdb_bytes)).unwrap().data_out(512);
        assert_eq!(bytes(&[0x2a, 0, 0, 0, 0, 0, 0, 0x20, 0, 0]), 4 << 20);
        assert_eq!(bytes(&[0x89, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]), 1024);
        assert_eq!(bytes(&[0x93, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0]), 0);
        assert_eq!(bytes(&[0x41, 8, 0, 0, 0, 0, 0, 0, 8, 0]), 512);
        assert_eq!(bytes(&[0x2f, 6, 0, 0, 0, 0, 0, 0, 8, 0]), 512);
    }

    proptest! {
        #[test]
        fn any_cdb_is_parsed_without_panic(cdb in any::<[u8; 16]>()) {
            if let Ok(command) = Command::parse(&cdb) {
                let _ = (command.data_out(4096), command.allocation());
            }
        }
    }
}
