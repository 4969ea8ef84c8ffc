//! CDBs whose operation code is shared by service actions.

use super::{Command, OpcodeQuestion, ReserveIn, ReserveOut, lba_16};
use crate::field::{u16_at, u32_at};
use crate::scsi::reservation::Kind;
use crate::scsi::sense::Sense;

/// SERVICE ACTION of byte 1.
fn action(cdb: &[u8; 16]) -> u8 {
    cdb[1] & 0x1f
}

const UNKNOWN_ACTION: Sense = Sense::INVALID_FIELD.in_cdb_bit(1, 4);

pub(super) fn service_action_in(cdb: &[u8; 16]) -> Result<Command, Sense> {
    let allocation = u32_at(cdb, 10);
    match action(cdb) {
        0x10 => Ok(Command::ReadCapacity16 { allocation }),
        0x12 => Ok(Command::GetLbaStatus { lba: lba_16(cdb), allocation }),
        _ => Err(UNKNOWN_ACTION),
    }
}

pub(super) fn maintenance_in(cdb: &[u8; 16]) -> Result<Command, Sense> {
    let allocation = u32_at(cdb, 6);
    match action(cdb) {
        0x0a => match cdb[1] >> 5 {
            format @ 0..=1 => Ok(Command::ReportTargetPortGroups { extended: format == 1, allocation }),
            _ => Err(Sense::INVALID_FIELD.in_cdb_bit(1, 7)),
        },
        0x0c => {
            let question = match (cdb[2] & 7, cdb[3], u16_at(cdb, 4)) {
                (0, ..) => OpcodeQuestion::All,
                (1, opcode, _) => OpcodeQuestion::Opcode(opcode),
                (2, opcode, action) => OpcodeQuestion::Action(opcode, action),
                (3, opcode, action) => OpcodeQuestion::Either(opcode, action),
                _ => return Err(Sense::INVALID_FIELD.in_cdb_bit(2, 2)),
            };
            let timeouts = cdb[2] & 0x80 != 0;
            Ok(Command::ReportSupportedOpcodes { question, timeouts, allocation })
        }
        0x0d => Ok(Command::ReportSupportedFunctions { extended: cdb[2] & 0x80 != 0, allocation }),
        _ => Err(UNKNOWN_ACTION),
    }
}

pub(super) fn persistent_reserve_in(cdb: &[u8; 16]) -> Result<Command, Sense> {
    let action = match action(cdb) {
        0 => ReserveIn::ReadKeys,
        1 => ReserveIn::ReadReservation,
        2 => ReserveIn::ReportCapabilities,
        3 => ReserveIn::ReadFullStatus,
        _ => return Err(UNKNOWN_ACTION),
    };
    Ok(Command::PersistentReserveIn { action, allocation: u16_at(cdb, 7).into() })
}

pub(super) fn persistent_reserve_out(cdb: &[u8; 16]) -> Result<Command, Sense> {
    let kind = || {
        // SCOPE: the whole logical unit.
        if cdb[2] >> 4 != 0 {
            return Err(Sense::INVALID_FIELD.in_cdb_bit(2, 7));
        }
        Kind::of(cdb[2] & 0x0f).ok_or(Sense::INVALID_FIELD.in_cdb_bit(2, 3))
    };
    let action = match action(cdb) {
        0 => ReserveOut::Register { ignore_existing: false },
        1 => ReserveOut::Reserve(kind()?),
        2 => ReserveOut::Release(kind()?),
        3 => ReserveOut::Clear,
        4 => ReserveOut::Preempt { kind: kind()?, abort: false },
        5 => ReserveOut::Preempt { kind: kind()?, abort: true },
        6 => ReserveOut::Register { ignore_existing: true },
        _ => return Err(UNKNOWN_ACTION),
    };
    // The list is 24 bytes; more only with SPEC_I_PT, which is not supported (SPC-4 §6.17.3).
    match u32_at(cdb, 5) {
        length @ 24 => Ok(Command::PersistentReserveOut { action, length }),
        _ => Err(Sense::PARAMETER_LENGTH),
    }
}
