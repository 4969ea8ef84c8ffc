//! SCSI commands (RFC 7143 §11.3): taken in, and carried out at once wherever that is possible.

use std::sync::Arc;

use blockstore::Volume;
use bytes::Bytes;
use levers::EventLog;
use serde_json::json;

use super::late::{Wait, Work};
use super::wire::Ending;
use super::write::WriteTask;
use super::{IMMEDIATE_LIMIT, ScsiSide, Session, TASK_IN_PROGRESS, TOO_MANY_IMMEDIATE};
use crate::directory::Registry;
use crate::pdu::Pdu;
use crate::scsi::nexus::Admission;
use crate::scsi::{Command, Sense, block, luns};
use crate::transport::Closed;

/// Flags of a SCSI command.
const READ: u8 = 0x40;
const WRITE: u8 = 0x20;

/// A command past the nexus.
enum Admitted {
    Answer(Bytes),
    Execute(Command),
}

/// A command that has all its data, and where it goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    pub(super) number: Option<u16>,
    pub(super) command: Command,
    pub(super) ending: Ending,
    /// It came with a CmdSN.
    pub(super) numbered: bool,
}

impl Session {
    /// A SCSI command: answered at once, made to wait, or turned into a task that waits for data.
    pub(super) async fn command(&mut self, pdu: &Pdu<&[u8]>) -> Result<(), Closed> {
        if self.has_task(pdu.task_tag()) {
            return self.reject(pdu, TASK_IN_PROGRESS).await;
        }
        if pdu.is_immediate() && self.immediate_tasks() >= IMMEDIATE_LIMIT {
            return self.reject(pdu, TOO_MANY_IMMEDIATE).await;
        }
        // One followed by unsolicited data stops at the gate when they are here.
        if self.levers.gate().is_stepping() && pdu.is_final() {
            let wait = Wait { gate: true, ..Wait::default() };
            self.put_off(wait, !pdu.is_immediate(), Work::Begin(pdu.keep()));
            return Ok(());
        }
        self.begin(pdu).await
    }

    /// The same, past the gate.
    pub(super) async fn begin(&mut self, pdu: &Pdu<&[u8]>) -> Result<(), Closed> {
        self.refresh();
        let Some(scsi) = &mut self.scsi else { return Ok(()) };
        let number = luns::decode(pdu.lun());
        let length = pdu.u32(20);
        let writes = pdu.flags() & WRITE != 0;
        let mut ending = Ending {
            tag: pdu.task_tag(),
            expected_in: if pdu.flags() & READ != 0 && !writes { length } else { 0 },
            expected_out: if writes { length } else { 0 },
            wanted_out: 0,
            r2t_count: 0,
        };
        scsi.guard.meter.count(ending.expected_in.into(), ending.expected_out.into());
        let mut cdb = [0; 16];
        cdb.copy_from_slice(&pdu.header[32..48]);
        if self.events.traces() {
            scsi.trace(&self.events, number, &cdb);
        }
        let admitted = scsi.admit(number, &cdb, &mut ending);
        let numbered = !pdu.is_immediate();
        let unsolicited = writes && !pdu.is_final();
        match admitted {
            Ok(Admitted::Answer(data)) if !unsolicited => self.wire.finish(ending, Ok(data)).await,
            Err(sense) if !unsolicited => self.wire.finish(ending, Err(sense)).await,
            Ok(Admitted::Execute(command)) if !unsolicited && self.is_whole(pdu, writes, &ending) => {
                self.carry_out(Ready { number, command, ending, numbered }, pdu.data, false).await
            }
            admitted => {
                let verdict = match admitted {
                    Ok(Admitted::Execute(command)) => Ok(command),
                    // A command without data-out that is followed by some.
                    Ok(Admitted::Answer(_)) => Err(Sense::UNEXPECTED_DATA),
                    Err(sense) => Err(sense),
                };
                if numbered {
                    self.wire.window.hold();
                }
                let task = WriteTask::new(number, verdict, ending, unsolicited, numbered);
                self.begin_write(task, pdu).await
            }
        }
    }

    /// Whether the command PDU brought all the data the command wants, and as it may.
    fn is_whole(&self, pdu: &Pdu<&[u8]>, writes: bool, ending: &Ending) -> bool {
        let agreed = &self.wire.parameters;
        let length = pdu.data.len();
        !writes
            || ending.wanted_out == 0
            || (agreed.immediate_data
                && length as u64 == ending.wanted_out
                && ending.wanted_out == u64::from(ending.expected_out)
                && length <= agreed.first_burst as usize)
    }

    /// Carries a command out with its data, now or when the levers let it. `gate`: it has not passed
    /// the gate yet.
    pub(super) async fn carry_out(&mut self, ready: Ready, data: &[u8], gate: bool) -> Result<(), Closed> {
        match self.wait_for(&ready, gate) {
            Some(wait) => {
                self.put_off(wait, ready.numbered, Work::Execute(ready, data.to_vec()));
                Ok(())
            }
            None => self.execute(ready, data).await,
        }
    }

    /// Carries a command out, against the target as it is now.
    pub(super) async fn execute(&mut self, ready: Ready, data: &[u8]) -> Result<(), Closed> {
        let Ready { number, command, ending, .. } = ready;
        let Some(scsi) = &self.scsi else { return Ok(()) };
        let ports = scsi.ports(&self.registry, &command);
        let unit = number.and_then(|number| scsi.nexus.find_unit(&scsi.view, number, &ports));
        let Some(unit) = unit else {
            return self.wire.finish(ending, Err(Sense::UNIT_NOT_SUPPORTED)).await;
        };
        if let Command::Read { extent, .. } = command {
            return match block::read_length(&unit, extent) {
                Ok(length) => {
                    let read = |skip, place: &mut [u8]| block::read_into(&unit, extent, skip, place);
                    self.wire.data_in(ending, length, read).await
                }
                Err(sense) => self.wire.finish(ending, Err(sense)).await,
            };
        }
        let outcome = unit.execute(command, data).map(|data| allotted(&command, data));
        match outcome {
            Ok(data) if command.is_durable() => {
                let volume = unit.lun.volume.clone();
                self.finish_durable(ready, volume, data).await
            }
            outcome => self.wire.finish(ending, outcome).await,
        }
    }

    /// Ends a command when what it wrote is on its medium.
    async fn finish_durable(&mut self, ready: Ready, volume: Volume, data: Bytes) -> Result<(), Closed> {
        if volume.waits_for_disk() {
            let wait = Wait { flush: Some(volume), ..Wait::default() };
            self.put_off(wait, ready.numbered, Work::Finish(ready, data));
            return Ok(());
        }
        let outcome = volume.flush().map(|()| data).map_err(|error| block::sense_of(&error));
        self.wire.finish(ready.ending, outcome).await
    }
}

impl ScsiSide {
    /// Decides what becomes of a command before any data-out: the first half of its execution.
    fn admit(&mut self, number: Option<u16>, cdb: &[u8; 16], ending: &mut Ending) -> Result<Admitted, Sense> {
        let command = match Command::parse(cdb) {
            Ok(command) => command,
            Err(_) if !self.nexus.sees(number) => return Err(Sense::UNIT_NOT_SUPPORTED),
            Err(sense) => return Err(self.nexus.formatted(number, sense)),
        };
        match self.nexus.admit(&self.view, number, &command) {
            Admission::Answered(answer) => Ok(Admitted::Answer(allotted(&command, answer?))),
            Admission::Unit(unit) => {
                ending.wanted_out = command.data_out(unit.block());
                unit.admit(&command)?;
                if command.is_exact() && ending.wanted_out != u64::from(ending.expected_out) {
                    return Err(Sense::INVALID_FIELD);
                }
                Ok(Admitted::Execute(command))
            }
        }
    }

    /// The target's ports, for the command that asks for them.
    fn ports(&self, registry: &Arc<Registry>, command: &Command) -> Vec<crate::portal::PortGroup> {
        match command {
            Command::ReportTargetPortGroups { .. } => registry.ports_of(&self.view.target),
            _ => Vec::new(),
        }
    }

    /// Records a command, for tests of what an initiator did and in which order.
    fn trace(&self, events: &EventLog, number: Option<u16>, cdb: &[u8; 16]) {
        let unit = number.and_then(|number| self.nexus.find_unit(&self.view, number, &[]));
        let extent = Command::parse(cdb).ok().and_then(|command| command.extent());
        events.trace("scsi.command", || {
            json!({
                "initiator": self.initiator, "target": self.view.target.iqn, "lun": number,
                "serial": unit.map(|unit| unit.lun.identity.serial.as_str()), "opcode": cdb[0],
                "lba": extent.map(|extent| extent.lba), "blocks": extent.map(|extent| extent.blocks),
            })
        });
    }
}

/// No more than the ALLOCATION LENGTH.
fn allotted(command: &Command, data: Bytes) -> Bytes {
    match command.allocation() {
        Some(allocation) => data.slice(..data.len().min(allocation as usize)),
        None => data,
    }
}
