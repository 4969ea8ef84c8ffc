//! CDBs parsed to what they ask (SPC-4 §6, SBC-3 §5). What is malformed becomes sense here, so that
//! execution sees only commands that can be carried out.

mod actions;
mod transfer;

use super::reservation::Kind;
use super::sense::Sense;
use crate::field::{u16_at, u32_at, u64_at};

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

/// A well-formed command. `allocation` is the ALLOCATION LENGTH: no more is returned. `fua` asks for
/// the medium, not a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    TestUnitReady,
    RequestSense { descriptor: bool, allocation: u32 },
    Inquiry { page: Option<u8>, allocation: u32 },
    ReportLuns { select: u8, allocation: u32 },
    ModeSense { request: ModeRequest, allocation: u32 },
    ModeSelect { long: bool, length: u16 },
    ReadCapacity10,
    ReadCapacity16 { allocation: u32 },
    Read { extent: Extent, fua: bool },
    Write { extent: Extent, fua: bool },
    WriteAndVerify(Extent),
    Verify { extent: Extent, against: VerifyAgainst },
    Prefetch(Extent),
    SynchronizeCache(Extent),
    WriteSame { extent: Extent, unmap: bool, has_data: bool },
    Unmap { length: u16 },
    CompareAndWrite { extent: Extent, fua: bool },
    OrWrite { extent: Extent, fua: bool },
    GetLbaStatus { lba: u64, allocation: u32 },
    StartStop { start: bool },
    ReserveUnit,
    ReleaseUnit,
    ReportTargetPortGroups { extended: bool, allocation: u32 },
    ReportSupportedOpcodes { question: OpcodeQuestion, timeouts: bool, allocation: u32 },
    ReportSupportedFunctions { extended: bool, allocation: u32 },
    PersistentReserveIn { action: ReserveIn, allocation: u32 },
    PersistentReserveOut { action: ReserveOut, length: u32 },
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

/// REPORTING OPTIONS of REPORT SUPPORTED OPERATION CODES (SPC-4 table 240).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpcodeQuestion {
    All,
    /// An operation code that has no service actions.
    Opcode(u8),
    /// One that has.
    Action(u8, u16),
    /// Either: service action 0 for a code that has none.
    Either(u8, u16),
}

/// PERSISTENT RESERVE IN service actions (SPC-4 table 188).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReserveIn {
    ReadKeys,
    ReadReservation,
    ReportCapabilities,
    ReadFullStatus,
}

/// PERSISTENT RESERVE OUT service actions (SPC-4 table 196), the type checked where it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReserveOut {
    Register { ignore_existing: bool },
    Reserve(Kind),
    Release(Kind),
    Clear,
    Preempt { kind: Kind, abort: bool },
}

impl Command {
    /// Parses a CDB.
    pub(crate) fn parse(cdb: &[u8; 16]) -> Result<Self, Sense> {
        let command = Self::recognise(cdb)?;
        // NACA in the CONTROL byte asks for ACA, which the INQUIRY data say is not there (SAM-5 §5.2).
        let (at, control) = match cdb[0] >> 5 {
            0 => (5, cdb[5]),
            1 | 2 => (9, cdb[9]),
            5 => (11, cdb[11]),
            _ => (15, cdb[15]),
        };
        if control & 0x04 != 0 { Err(Sense::INVALID_FIELD.in_cdb_bit(at, 2)) } else { Ok(command) }
    }

    fn recognise(cdb: &[u8; 16]) -> Result<Self, Sense> {
        Ok(match cdb[0] {
            0x00 => Self::TestUnitReady,
            0x03 => Self::RequestSense { descriptor: cdb[1] & 1 != 0, allocation: cdb[4].into() },
            0x12 => inquiry(cdb)?,
            0x15 => mode_select(cdb, false, cdb[4].into())?,
            0x16 => Self::ReserveUnit,
            0x17 => Self::ReleaseUnit,
            0x1a => Self::ModeSense { request: mode(cdb, false), allocation: cdb[4].into() },
            0x1b => start_stop(cdb),
            0x25 => read_capacity_10(cdb)?,
            0x42 => unmap(cdb)?,
            0x55 => mode_select(cdb, true, u16_at(cdb, 7))?,
            0x5a => Self::ModeSense { request: mode(cdb, true), allocation: u16_at(cdb, 7).into() },
            0x5e => actions::persistent_reserve_in(cdb)?,
            0x5f => actions::persistent_reserve_out(cdb)?,
            0x9e => actions::service_action_in(cdb)?,
            0xa0 => Self::ReportLuns { select: cdb[2], allocation: u32_at(cdb, 6) },
            0xa3 => actions::maintenance_in(cdb)?,
            _ => transfer::transfer(cdb)?,
        })
    }

    /// Bytes of data-out the command takes.
    pub(crate) fn data_out(&self, block: u32) -> u64 {
        let bytes = |extent: &Extent| u64::from(extent.blocks) * u64::from(block);
        match self {
            Self::Write { extent, .. } | Self::WriteAndVerify(extent) | Self::OrWrite { extent, .. } => {
                bytes(extent)
            }
            Self::Verify { extent, against: VerifyAgainst::Data } => bytes(extent),
            Self::Verify { extent, against: VerifyAgainst::OneBlock } if extent.blocks > 0 => block.into(),
            Self::CompareAndWrite { extent, .. } => 2 * bytes(extent),
            Self::WriteSame { has_data: true, .. } => block.into(),
            Self::Unmap { length } | Self::ModeSelect { length, .. } => (*length).into(),
            Self::PersistentReserveOut { length, .. } => (*length).into(),
            _ => 0,
        }
    }

    /// Whether the initiator must announce exactly [`Command::data_out`] bytes. Reads and writes
    /// are carried out as far as the data go; of these, half is not a part of the whole.
    pub(crate) fn is_exact(&self) -> bool {
        matches!(self, Self::CompareAndWrite { .. } | Self::WriteSame { .. })
    }

    /// Whether the command has not ended well before the volume's content is on its medium.
    pub(crate) fn is_durable(&self) -> bool {
        match self {
            Self::Write { fua, .. } | Self::CompareAndWrite { fua, .. } | Self::OrWrite { fua, .. } => *fua,
            Self::WriteAndVerify(_) | Self::SynchronizeCache(_) => true,
            // What is read from the medium must have been written to it.
            Self::Read { fua, .. } => *fua,
            Self::Verify { .. } => true,
            _ => false,
        }
    }

    /// The blocks it reads, writes or checks, where it names some.
    pub(crate) fn extent(&self) -> Option<Extent> {
        match *self {
            Self::Read { extent, .. }
            | Self::Write { extent, .. }
            | Self::WriteAndVerify(extent)
            | Self::Verify { extent, .. }
            | Self::Prefetch(extent)
            | Self::SynchronizeCache(extent)
            | Self::WriteSame { extent, .. }
            | Self::CompareAndWrite { extent, .. }
            | Self::OrWrite { extent, .. } => Some(extent),
            _ => None,
        }
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
            | Self::ReportSupportedOpcodes { allocation, .. }
            | Self::ReportSupportedFunctions { allocation, .. }
            | Self::PersistentReserveIn { allocation, .. } => Some(*allocation),
            _ => None,
        }
    }
}

fn inquiry(cdb: &[u8; 16]) -> Result<Command, Sense> {
    let allocation = u16_at(cdb, 3).into();
    match (cdb[1] & 3, cdb[2]) {
        (0, 0) => Ok(Command::Inquiry { page: None, allocation }),
        (1, page) => Ok(Command::Inquiry { page: Some(page), allocation }),
        // A page without EVPD, or the obsolete CMDDT.
        (0, _) => Err(Sense::INVALID_FIELD.in_cdb(2)),
        _ => Err(Sense::INVALID_FIELD.in_cdb_bit(1, 1)),
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

fn mode_select(cdb: &[u8; 16], long: bool, length: u16) -> Result<Command, Sense> {
    // PF: pages as the standard has them. SP: there is nowhere to save them.
    match cdb[1] & 0x11 {
        0x10 => Ok(Command::ModeSelect { long, length }),
        0x00 => Err(Sense::INVALID_FIELD.in_cdb_bit(1, 4)),
        _ => Err(Sense::INVALID_FIELD.in_cdb_bit(1, 0)),
    }
}

fn start_stop(cdb: &[u8; 16]) -> Command {
    // An array's unit neither spins nor ejects: the command is obeyed in word.
    Command::StartStop { start: cdb[4] & 0xf1 == 0x01 }
}

fn read_capacity_10(cdb: &[u8; 16]) -> Result<Command, Sense> {
    // SBC-3 §5.15: without PMI the address must be zero.
    if cdb[8] & 1 == 0 && u32_at(cdb, 2) != 0 {
        Err(Sense::INVALID_FIELD.in_cdb(2))
    } else {
        Ok(Command::ReadCapacity10)
    }
}

fn unmap(cdb: &[u8; 16]) -> Result<Command, Sense> {
    // ANCHOR: VPD page B2h says anchored blocks are not supported.
    if cdb[1] & 1 != 0 {
        Err(Sense::INVALID_FIELD.in_cdb_bit(1, 0))
    } else {
        Ok(Command::Unmap { length: u16_at(cdb, 7) })
    }
}

fn lba_16(cdb: &[u8; 16]) -> u64 {
    u64_at(cdb, 2)
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
        let wanted = Command::Read { extent: Extent { lba: 0x1234, blocks: 7 }, fua: false };
        for bytes in [
            &[0x08, 0, 0x12, 0x34, 7, 0][..],
            &[0x28, 0x10, 0, 0, 0x12, 0x34, 0, 0, 7, 0],
            &[0xa8, 0, 0, 0, 0x12, 0x34, 0, 0, 0, 7, 0, 0],
            &[0x88, 0, 0, 0, 0, 0, 0, 0, 0x12, 0x34, 0, 0, 0, 7, 0, 0],
        ] {
            assert_eq!(Command::parse(&cdb(bytes)), Ok(wanted));
        }
        let whole = Command::parse(&cdb(&[0x0a, 0xff, 0, 0, 0, 0]));
        let extent = Extent { lba: 0x1f_0000, blocks: 256 };
        assert_eq!(whole, Ok(Command::Write { extent, fua: false }));
    }

    #[test]
    fn what_is_not_supported_says_which_way_and_where() {
        for (bytes, sense) in [
            (&[0x04][..], Sense::INVALID_OPCODE),
            (&[0x12, 0, 0x80], Sense::INVALID_FIELD.in_cdb(2)),
            (&[0x12, 2], Sense::INVALID_FIELD.in_cdb_bit(1, 1)),
            (&[0x28, 0x20], Sense::INVALID_FIELD.in_cdb_bit(1, 7)),
            (&[0x2f, 0x04], Sense::INVALID_FIELD.in_cdb_bit(1, 2)),
            (&[0x93, 0x10], Sense::INVALID_FIELD.in_cdb_bit(1, 4)),
            (&[0x9e, 0x1f], Sense::INVALID_FIELD.in_cdb_bit(1, 4)),
            (&[0x25, 0, 0, 0, 0, 1], Sense::INVALID_FIELD.in_cdb(2)),
            (&[0x00, 0, 0, 0, 0, 4], Sense::INVALID_FIELD.in_cdb_bit(5, 2)),
            (&[0x15, 0x11], Sense::INVALID_FIELD.in_cdb_bit(1, 0)),
            (&[0x5f, 0x01, 0x12], Sense::INVALID_FIELD.in_cdb_bit(2, 7)),
            (&[0x5f, 0x01, 0x02], Sense::INVALID_FIELD.in_cdb_bit(2, 3)),
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
        assert_eq!(bytes(&[0x5f, 0, 0, 0, 0, 0, 0, 0, 24, 0]), 24);
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
