//! What a command does to a unit, as far as reservations care (SPC-4 table 67, SBC-3 table 14).

use crate::scsi::command::Command;

/// Kinds of access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Allowed whatever is reserved: INQUIRY, REPORT LUNS and such.
    Always,
    /// Allowed beside a persistent reservation, not beside one by RESERVE(6).
    Look,
    /// Reads the medium: write exclusive reservations let it through.
    Read,
    /// Changes the medium.
    Write,
    /// Changes or tells how the unit works: only those with access may.
    Manage,
    /// PERSISTENT RESERVE OUT.
    Reserve,
}

/// The access a command is.
pub(crate) fn of(command: &Command) -> Access {
    match command {
        Command::Inquiry { .. }
        | Command::ReportLuns { .. }
        | Command::RequestSense { .. }
        // They look at reservations themselves.
        | Command::ReserveUnit
        | Command::ReleaseUnit => Access::Always,
        Command::TestUnitReady
        | Command::ReadCapacity10
        | Command::ReadCapacity16 { .. }
        | Command::PersistentReserveIn { .. }
        | Command::ReportTargetPortGroups { .. }
        | Command::StartStop { start: true, .. } => Access::Look,
        Command::Read { .. }
        | Command::Verify { .. }
        | Command::Prefetch(_)
        | Command::GetLbaStatus { .. } => Access::Read,
        Command::Write { .. }
        | Command::WriteAndVerify(_)
        | Command::CompareAndWrite { .. }
        | Command::OrWrite { .. }
        | Command::SynchronizeCache(_)
        | Command::WriteSame { .. }
        | Command::Unmap { .. } => Access::Write,
        Command::ModeSense { .. }
        | Command::ModeSelect { .. }
        | Command::StartStop { .. }
        | Command::ReportSupportedOpcodes { .. }
        | Command::ReportSupportedFunctions { .. } => Access::Manage,
        Command::PersistentReserveOut { .. } => Access::Reserve,
    }
}
