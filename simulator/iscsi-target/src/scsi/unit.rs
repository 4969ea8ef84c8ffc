//! One logical unit as one command sees it, and the dispatch of commands to their chapters.

use bytes::Bytes;

use super::command::{Command, VerifyAgainst};
use super::sense::Sense;
use super::{alua, block, capacity, inquiry, mode, provisioning, vpd};
use crate::portal::PortGroup;
use crate::target::Lun;

/// Most bytes one command may read or write (VPD B0h, MAXIMUM TRANSFER LENGTH).
pub(crate) const MAX_TRANSFER: u64 = 8 * 1024 * 1024;

/// A logical unit, seen through one target port.
#[derive(Clone, Copy)]
pub(crate) struct Unit<'a> {
    pub(crate) lun: &'a Lun,
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

    /// Carries out a command that came with all its data-out. Commands about the nexus rather than
    /// the unit (REPORT LUNS, REQUEST SENSE) are answered by the nexus before they come here.
    pub(crate) fn execute(&self, command: Command, data: &[u8]) -> Result<Bytes, Sense> {
        match command {
            Command::TestUnitReady | Command::StartStop => Ok(Bytes::new()),
            Command::Inquiry { page: None, .. } => Ok(inquiry::standard(self.lun)),
            Command::Inquiry { page: Some(page), .. } => vpd::page(self, page),
            Command::ModeSense { request, .. } => mode::sense(self, request),
            Command::ReadCapacity10 => Ok(capacity::ten(self)),
            Command::ReadCapacity16 { .. } => Ok(capacity::sixteen(self)),
            Command::ReportTargetPortGroups { extended, .. } => alua::report(self, extended),
            Command::PersistentReserveIn { action, .. } => reservations(action),
            Command::GetLbaStatus { lba, .. } => provisioning::lba_status(self, lba),
            Command::Unmap { .. } => provisioning::unmap(self, data),
            Command::WriteSame { extent, unmap, has_data } => {
                provisioning::write_same(self, extent, unmap, has_data.then_some(data))
            }
            Command::Read(extent) => block::read(self, extent),
            Command::Write(extent) | Command::WriteAndVerify(extent) => block::write(self, extent, data),
            Command::Verify { extent, against } => block::verify(self, extent, against, data),
            Command::CompareAndWrite(extent) => block::compare_and_write(self, extent, data),
            Command::SynchronizeCache(extent) => block::synchronize(self, extent),
            Command::RequestSense { .. } | Command::ReportLuns { .. } => Err(Sense::INVALID_OPCODE),
        }
    }

    /// What can be refused before any data-out is asked for: extents past the end, writes to what
    /// is read-only.
    pub(crate) fn admit(&self, command: &Command) -> Result<(), Sense> {
        match command {
            Command::Read(extent) | Command::Verify { extent, against: VerifyAgainst::Data } => {
                block::admit(self, *extent)
            }
            Command::Write(extent) | Command::WriteAndVerify(extent) => {
                block::admit(self, *extent).and_then(|()| block::require_writable(self))
            }
            Command::CompareAndWrite(extent) => block::admit_compare(self, *extent),
            Command::WriteSame { extent, unmap, .. } => provisioning::admit_write_same(self, *extent, *unmap),
            Command::Unmap { .. } => provisioning::admit_unmap(self),
            _ => Ok(()),
        }
    }
}

/// PERSISTENT RESERVE IN (SPC-4 §6.16): there are no reservations, and one cannot make any.
fn reservations(action: u8) -> Result<Bytes, Sense> {
    match action {
        // READ KEYS, READ RESERVATION, READ FULL STATUS: generation 0, nothing listed.
        0 | 1 | 3 => Ok(Bytes::from_static(&[0; 8])),
        // REPORT CAPABILITIES: length 8, no type valid.
        2 => Ok(Bytes::from_static(&[0, 8, 0, 0, 0, 0, 0, 0])),
        _ => Err(Sense::INVALID_FIELD),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;

    use blockstore::Volume;

    use super::*;
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
        }
    }

    /// The unit through port 1 of a target with two ports, one a group.
    pub(crate) fn through(lun: &Lun) -> Unit<'_> {
        static PORTS: [PortGroup; 2] =
            [PortGroup { id: 1000, relative_port: 1 }, PortGroup { id: 1001, relative_port: 2 }];
        Unit { lun, port: PORTS[0], ports: &PORTS }
    }

    #[test]
    fn transfers_beyond_the_maximum_are_refused() {
        let mut lun = ontap_lun();
        lun.volume = Volume::new(1 << 30);
        let blocks = (MAX_TRANSFER / 512) as u32;
        let admit = |blocks| {
            let extent = super::super::command::Extent { lba: 0, blocks };
            through(&lun).admit(&Command::Write(extent))
        };
        assert_eq!(admit(blocks), Ok(()));
        assert_eq!(admit(blocks + 1), Err(Sense::INVALID_FIELD));
    }
}
