//! Faults of a unit, as its lever sets them (crate `levers`): what they do to a command. Each one
//! that bites is recorded as `scsi.fault`.

use levers::{Access as Transfer, Latency, LunFaults};

use super::command::{Command, Extent};
use super::reservation::access::{self, Access};
use super::sense::Sense;
use super::unit::Unit;

/// Faults that come before any unit attention: the statuses BUSY, RESERVATION CONFLICT and TASK SET
/// FULL (SAM-5 §5.3.3).
pub(super) fn refuse_first(unit: &Unit<'_>, faults: &LunFaults, command: &Command) -> Result<(), Sense> {
    if faults.task_set_full {
        unit.state.record_fault("task_set_full", None);
        return Err(Sense::TASK_SET_FULL);
    }
    let harmless = matches!(access::of(command), Access::Always | Access::Look);
    if faults.reservation_conflict && !harmless {
        unit.state.record_fault("reservation_conflict", None);
        return Err(Sense::RESERVATION_CONFLICT);
    }
    Ok(())
}

/// Faults of the medium.
pub(super) fn refuse(unit: &Unit<'_>, faults: &LunFaults, command: &Command) -> Result<(), Sense> {
    if faults.offline && needs_medium(command) {
        unit.state.record_fault("offline", None);
        return Err(Sense::MANUAL_INTERVENTION);
    }
    let Some((transfer, extent)) = transfer_of(command) else { return Ok(()) };
    let Some(lba) = faults.bad_block(transfer, extent.lba, extent.blocks.into()) else { return Ok(()) };
    unit.state.record_fault("medium_error", Some(lba));
    Err(match transfer {
        Transfer::Write => Sense::WRITE_ERROR.with_information(lba),
        _ => Sense::UNRECOVERED_READ.with_information(lba),
    })
}

/// How much of `length` bytes a short read returns.
pub(super) fn shorten(unit: &Unit<'_>, faults: &LunFaults, length: u64) -> u64 {
    if faults.short_reads == 0 {
        return length;
    }
    unit.state.record_fault("short_read", None);
    length.saturating_sub(faults.short_reads.into())
}

/// How late the answer to this command is.
pub(super) fn latency(unit: &Unit<'_>, faults: &LunFaults, command: &Command) -> Option<Latency> {
    let latency = faults.latency?;
    transfer_of(command)?;
    unit.state.record_fault("late", None);
    Some(latency)
}

fn needs_medium(command: &Command) -> bool {
    transfer_of(command).is_some()
        || matches!(
            command,
            Command::TestUnitReady
                | Command::ReadCapacity10
                | Command::ReadCapacity16 { .. }
                | Command::SynchronizeCache(_)
                | Command::Unmap { .. }
                | Command::GetLbaStatus { .. }
                | Command::StartStop { .. }
        )
}

/// Which blocks a command reads or writes.
fn transfer_of(command: &Command) -> Option<(Transfer, Extent)> {
    match *command {
        Command::Read { extent, .. } | Command::Verify { extent, .. } | Command::Prefetch(extent) => {
            Some((Transfer::Read, extent))
        }
        Command::Write { extent, .. }
        | Command::WriteAndVerify(extent)
        | Command::WriteSame { extent, .. }
        | Command::CompareAndWrite { extent, .. }
        | Command::OrWrite { extent, .. } => Some((Transfer::Write, extent)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use levers::BadBlocks;

    use super::*;
    use crate::scsi::unit::tests::Bench;

    fn read(lba: u64, blocks: u32) -> Command {
        Command::Read { extent: Extent { lba, blocks }, fua: false }
    }

    #[test]
    fn a_bad_block_fails_what_touches_it_and_is_named() {
        let bench = Bench::new();
        let unit = bench.unit();
        let bad = BadBlocks { first: 10, last: 12, access: Transfer::Both };
        unit.state.lever.set(LunFaults { medium_errors: vec![bad], ..LunFaults::default() });
        let write = Command::Write { extent: Extent { lba: 12, blocks: 2 }, fua: false };
        assert_eq!(unit.admit(&read(8, 8)), Err(Sense::UNRECOVERED_READ.with_information(10)));
        assert_eq!(unit.admit(&write), Err(Sense::WRITE_ERROR.with_information(12)));
        assert_eq!(unit.admit(&read(0, 10)), Ok(()));
        let events: Vec<_> = bench.events.snapshot().into_iter().map(|event| event.fields).collect();
        assert_eq!(events.len(), 2);
        assert_eq!((&events[0]["fault"], &events[0]["lba"]), (&"medium_error".into(), &10.into()));
    }

    #[test]
    fn an_offline_unit_tells_who_it_is_and_gives_no_data() {
        let bench = Bench::new();
        let unit = bench.unit();
        unit.state.lever.set(LunFaults { offline: true, ..LunFaults::default() });
        for command in [read(0, 1), Command::TestUnitReady, Command::ReadCapacity10] {
            assert_eq!(unit.admit(&command), Err(Sense::MANUAL_INTERVENTION), "{command:?}");
        }
        assert_eq!(unit.admit(&Command::Inquiry { page: None, allocation: 96 }), Ok(()));
        unit.state.lever.set(LunFaults::default());
        assert_eq!(unit.admit(&read(0, 1)), Ok(()));
    }

    #[test]
    fn a_foreign_reservation_and_a_full_task_set_are_feigned() {
        let bench = Bench::new();
        let unit = bench.unit();
        let lever = &unit.state.lever;
        lever.set(LunFaults { reservation_conflict: true, ..LunFaults::default() });
        assert_eq!(unit.admit_first(&read(0, 1)), Err(Sense::RESERVATION_CONFLICT));
        assert_eq!(unit.admit_first(&Command::TestUnitReady), Ok(()));
        lever.set(LunFaults { task_set_full: true, ..LunFaults::default() });
        assert_eq!(unit.admit_first(&Command::TestUnitReady), Err(Sense::TASK_SET_FULL));
    }

    #[test]
    fn a_short_read_lacks_its_last_bytes() {
        let bench = Bench::new();
        let unit = bench.unit();
        unit.state.lever.set(LunFaults { short_reads: 100, ..LunFaults::default() });
        assert_eq!(unit.execute(read(0, 1), &[]).unwrap().len(), 412);
    }
}
