//! One logical unit as one command sees it, and the dispatch of commands to their chapters.

use std::time::{Duration, Instant};

use bytes::Bytes;
use levers::Latency;

use super::command::{Command, ReserveIn, ReserveOut, VerifyAgainst};
use super::reservation::{NexusId, Order, access, report};
use super::sense::Sense;
use super::shelf::{D_SENSE, UnitState};
use super::{alua, block, capacity, fault, inquiry, mode, opcodes, provisioning, vpd};
use crate::field::u64_at;
use crate::governor::{Direction, Transfer};
use crate::portal::PortGroup;
use crate::target::Lun;

/// Most bytes one command may read or write (VPD B0h, MAXIMUM TRANSFER LENGTH).
pub(crate) const MAX_TRANSFER: u64 = 8 * 1024 * 1024;

/// A logical unit, seen by one nexus.
#[derive(Clone, Copy)]
pub(crate) struct Unit<'a> {
    pub(crate) lun: &'a Lun,
    pub(crate) state: &'a UnitState,
    /// Who asks.
    pub(crate) nexus: &'a NexusId,
    /// The port the command came through.
    pub(crate) port: PortGroup,
    /// Every port of the target.
    pub(crate) ports: &'a [PortGroup],
}

impl Unit<'_> {
    pub(crate) fn block(&self) -> u32 {
        self.lun.block_size.logical()
    }

    /// Whole logical blocks.
    pub(crate) fn blocks(&self) -> u64 {
        self.lun.volume.size() / u64::from(self.block())
    }

    /// How long the unit's governor makes a command wait.
    pub(crate) fn govern(&self, command: &Command) -> Duration {
        let Some(governor) = &self.lun.governor else { return Duration::ZERO };
        let direction = match command {
            Command::Read { .. } => Direction::Read,
            Command::Write { .. }
            | Command::WriteAndVerify(_)
            | Command::WriteSame { .. }
            | Command::CompareAndWrite { .. }
            | Command::OrWrite { .. } => Direction::Write,
            _ => return Duration::ZERO,
        };
        let blocks = command.extent().map_or(0, |extent| extent.blocks);
        let bytes = u64::from(blocks) * u64::from(self.block());
        governor.admit(Transfer { direction, bytes }, Instant::now())
    }

    /// Sense in the format this unit's initiators asked for.
    fn formatted(&self, sense: Sense) -> Sense {
        sense.formatted(self.state.mode(D_SENSE))
    }

    /// Carries out a command that came with all its data-out. Commands about the nexus rather than
    /// the unit (REPORT LUNS, REQUEST SENSE) are answered by the nexus before they come here.
    pub(crate) fn execute(&self, command: Command, data: &[u8]) -> Result<Bytes, Sense> {
        self.carry_out(command, data).map_err(|sense| self.formatted(sense))
    }

    fn carry_out(&self, command: Command, data: &[u8]) -> Result<Bytes, Sense> {
        match command {
            Command::TestUnitReady | Command::StartStop { .. } => Ok(Bytes::new()),
            Command::Inquiry { page: None, .. } => Ok(inquiry::standard(self.lun)),
            Command::Inquiry { page: Some(page), .. } => vpd::page(self, page),
            Command::ModeSense { request, .. } => mode::sense(self, request),
            Command::ModeSelect { long, .. } => mode::select(self, long, data),
            Command::ReadCapacity10 => Ok(capacity::ten(self)),
            Command::ReadCapacity16 { .. } => Ok(capacity::sixteen(self)),
            Command::ReportTargetPortGroups { extended, .. } => alua::report(self, extended),
            Command::ReportSupportedOpcodes { question, timeouts, .. } => {
                opcodes::report(self, question, timeouts)
            }
            Command::ReportSupportedFunctions { extended, .. } => Ok(opcodes::functions(extended)),
            Command::PersistentReserveIn { action, .. } => Ok(self.reserve_in(action)),
            Command::PersistentReserveOut { action, .. } => self.reserve_out(action, data),
            Command::ReserveUnit => self.state.reservations.reserve(self.nexus).map(|()| Bytes::new()),
            Command::ReleaseUnit => self.state.reservations.release(self.nexus).map(|()| Bytes::new()),
            Command::GetLbaStatus { lba, .. } => provisioning::lba_status(self, lba),
            Command::Unmap { .. } => provisioning::unmap(self, data),
            Command::WriteSame { extent, unmap, has_data } => {
                provisioning::write_same(self, extent, unmap, has_data.then_some(data))
            }
            Command::Read { extent, .. } => block::read(self, extent),
            Command::Write { extent, .. } | Command::WriteAndVerify(extent) => {
                block::write(self, extent, data)
            }
            Command::Verify { extent, against } => block::verify(self, extent, against, data),
            Command::CompareAndWrite { extent, .. } => block::compare_and_write(self, extent, data),
            Command::OrWrite { extent, .. } => block::or_write(self, extent, data),
            // What is written is in the store, and what is in the store is as near as it gets; the
            // session sees to the medium.
            Command::Prefetch(extent) | Command::SynchronizeCache(extent) => {
                block::require_span(self, extent).map(|_| Bytes::new())
            }
            Command::RequestSense { .. } | Command::ReportLuns { .. } => Err(Sense::INVALID_OPCODE),
        }
    }

    fn reserve_in(&self, action: ReserveIn) -> Bytes {
        let reservations = &self.state.reservations;
        match action {
            ReserveIn::ReadKeys => report::keys(reservations),
            ReserveIn::ReadReservation => report::reservation(reservations),
            ReserveIn::ReportCapabilities => report::capabilities(),
            ReserveIn::ReadFullStatus => report::full_status(reservations),
        }
    }

    /// PERSISTENT RESERVE OUT with its parameter list (SPC-4 §6.17.3).
    fn reserve_out(&self, action: ReserveOut, list: &[u8]) -> Result<Bytes, Sense> {
        if list.len() < 24 {
            return Err(Sense::PARAMETER_LENGTH);
        }
        // SPEC_I_PT, ALL_TG_PT and APTPL: as REPORT CAPABILITIES says, none is supported.
        if list.get(20).is_some_and(|flags| flags & 0x0d != 0) {
            return Err(Sense::INVALID_PARAMETER.in_list(20));
        }
        let (key, other) = (u64_at(list, 0), u64_at(list, 8));
        let order = match action {
            ReserveOut::Register { ignore_existing } => Order::Register { key, new: other, ignore_existing },
            ReserveOut::Reserve(kind) => Order::Reserve { key, kind },
            ReserveOut::Release(kind) => Order::Release { key, kind },
            ReserveOut::Clear => Order::Clear { key },
            ReserveOut::Preempt { kind, abort } => Order::Preempt { key, victim: other, kind, abort },
        };
        let notices = self.state.reservations.apply(self.nexus, order)?;
        self.state.publish(notices);
        Ok(Bytes::new())
    }

    /// What ends a command before a unit attention would be reported (SAM-5 §5.3.3).
    pub(crate) fn admit_first(&self, command: &Command) -> Result<(), Sense> {
        if let Some(faults) = self.state.lever.faults() {
            fault::refuse_first(self, &faults, command)?;
        }
        self.state.reservations.permit(self.nexus, access::of(command))
    }

    /// What can be refused before any data-out is asked for: extents past the end, writes to what
    /// is read-only.
    pub(crate) fn admit(&self, command: &Command) -> Result<(), Sense> {
        self.check(command).map_err(|sense| self.formatted(sense))
    }

    fn check(&self, command: &Command) -> Result<(), Sense> {
        if let Some(faults) = self.state.lever.faults() {
            fault::refuse(self, &faults, command)?;
        }
        match command {
            Command::Read { extent, .. } | Command::Verify { extent, against: VerifyAgainst::Data } => {
                block::admit(self, *extent)
            }
            Command::Write { extent, .. }
            | Command::WriteAndVerify(extent)
            | Command::OrWrite { extent, .. } => {
                block::admit(self, *extent).and_then(|()| block::require_writable(self))
            }
            Command::CompareAndWrite { extent, .. } => block::admit_compare(self, *extent),
            Command::WriteSame { extent, unmap, .. } => provisioning::admit_write_same(self, *extent, *unmap),
            Command::Unmap { .. } => provisioning::admit_unmap(self),
            _ => Ok(()),
        }
    }

    /// How late the answer to the command is to be, if a lever says so.
    pub(crate) fn latency(&self, command: &Command) -> Option<Latency> {
        self.state.lever.faults().and_then(|faults| fault::latency(self, &faults, command))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use blockstore::Volume;
    use levers::{EventLog, Levers};
    use proptest::prelude::*;

    use super::*;
    use crate::scsi::shelf::Shelf;
    use crate::target::{BlockSize, Identity, Visibility};

    /// 8 MiB, thin, 512e, optimised through group 1000.
    pub(crate) fn ontap_lun() -> Lun {
        Lun {
            number: 0,
            volume: Volume::new(8 << 20),
            identity: Identity {
                vendor: "NETAPP".into(),
                product: "LUN C-Mode".into(),
                revision: "9151".into(),
                serial: "81DaR$Qq/1ii".into(),
                naa: *b"\x60\x0a\x09\x8081DaR$Qq/1ii",
                eui: None,
                t10: "LUN 81DaR$Qq/1ii".into(),
            },
            block_size: BlockSize::Emulated512,
            access: Visibility::Everyone,
            thin: true,
            read_only: false,
            optimized_groups: BTreeSet::from([1000]),
            governor: None,
        }
    }

    /// A unit with all it needs, asked through port 1 of a target with two ports, one a group.
    pub(crate) struct Bench {
        pub(crate) lun: Lun,
        pub(crate) events: EventLog,
        state: Arc<UnitState>,
        nexus: NexusId,
    }

    impl Bench {
        pub(crate) fn new() -> Self {
            let (lun, events) = (ontap_lun(), EventLog::new());
            let state = Shelf::new(Levers::new(), events.clone()).state_of(&lun);
            Self { lun, events, state, nexus: nexus_id(1) }
        }

        pub(crate) fn unit(&self) -> Unit<'_> {
            static PORTS: [PortGroup; 2] =
                [PortGroup { id: 1000, relative_port: 1 }, PortGroup { id: 1001, relative_port: 2 }];
            Unit { lun: &self.lun, state: &self.state, nexus: &self.nexus, port: PORTS[0], ports: &PORTS }
        }

        /// Another nexus of the unit.
        pub(crate) fn other(&self) -> NexusId {
            nexus_id(2)
        }
    }

    /// One of several nexuses of one initiator.
    pub(crate) fn nexus_id(isid: u8) -> NexusId {
        NexusId { initiator: "iqn.2026-11.example:a".into(), isid: [0x40, 0, 0, 0, 0, isid], port: 1 }
    }

    #[test]
    fn transfers_beyond_the_maximum_are_refused() {
        let mut bench = Bench::new();
        bench.lun.volume = Volume::new(1 << 30);
        let blocks = (MAX_TRANSFER / 512) as u32;
        let admit = |blocks| {
            let extent = super::super::command::Extent { lba: 0, blocks };
            bench.unit().admit(&Command::Write { extent, fua: false })
        };
        assert_eq!(admit(blocks), Ok(()));
        assert_eq!(admit(blocks + 1), Err(Sense::INVALID_FIELD));
    }

    proptest! {
        #[test]
        fn any_command_is_carried_out_without_panic(
            mut cdb in any::<[u8; 16]>(),
            near in any::<bool>(),
            list in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let bench = Bench::new();
            let unit = bench.unit();
            // Addresses and lengths that often lie in the unit.
            if near {
                cdb[2..5].fill(0);
                cdb[6..8].fill(0);
                cdb[10..12].fill(0);
            }
            for opcode in 0..=255 {
                cdb[0] = opcode;
                if let Ok(command) = Command::parse(&cdb)
                    && unit.admit(&command).is_ok()
                {
                    let _ = unit.execute(command, &list);
                }
            }
        }
    }
}
