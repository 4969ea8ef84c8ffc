//! SCSI commands (RFC 7143 §11.3) and how they end: Data-In, status, residuals, sense.

use bytes::{BufMut, Bytes, BytesMut};

use super::write::WriteTask;
use super::{IMMEDIATE_LIMIT, Session, StatSn, TASK_IN_PROGRESS, TOO_MANY_IMMEDIATE};
use crate::directory::TargetView;
use crate::pdu::{FINAL, NO_TAG, Pdu, opcode};
use crate::scsi::nexus::Admission;
use crate::scsi::{Command, Sense, Unit, luns};
use crate::transport::Closed;

/// Flags of a SCSI command.
const READ: u8 = 0x40;
const WRITE: u8 = 0x20;
/// Flags of a response and of the last Data-In.
const OVERFLOW: u8 = 0x04;
const UNDERFLOW: u8 = 0x02;
const STATUS: u8 = 0x01;

/// SCSI status (SAM-5 §5.3).
const GOOD: u8 = 0x00;
const CHECK_CONDITION: u8 = 0x02;

/// What a command's end needs to know of its beginning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    pub(super) tag: u32,
    /// Expected data transfer length, in bytes, towards the initiator and away from it.
    pub(super) expected_in: u32,
    pub(super) expected_out: u32,
    /// Bytes the command itself wanted from the initiator.
    pub(super) wanted_out: u64,
    /// R2Ts sent, which the response counts.
    pub(super) r2t_count: u32,
}

/// Residual count with the flag that gives its sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Residual {
    flag: u8,
    count: u32,
}

impl Residual {
    /// Compares what a command has to transfer with what the initiator expected.
    fn of(has: u64, expected: u32) -> Self {
        let expected = u64::from(expected);
        let (flag, count) = match has.cmp(&expected) {
            std::cmp::Ordering::Greater => (OVERFLOW, has - expected),
            std::cmp::Ordering::Less => (UNDERFLOW, expected - has),
            std::cmp::Ordering::Equal => (0, 0),
        };
        Self { flag, count: u32::try_from(count).unwrap_or(u32::MAX) }
    }
}

impl Session {
    /// A SCSI command: answered at once, or turned into a task that waits for its data.
    pub(super) async fn command(&mut self, pdu: &Pdu) -> Result<(), Closed> {
        let tag = pdu.task_tag();
        if self.tasks.contains_key(&tag) {
            return self.reject(pdu, TASK_IN_PROGRESS).await;
        }
        let immediate = || self.tasks.values().filter(|task| !task.numbered).count();
        if pdu.is_immediate() && immediate() >= IMMEDIATE_LIMIT {
            return self.reject(pdu, TOO_MANY_IMMEDIATE).await;
        }
        let Some(view) = self.refresh() else { return Ok(()) };
        let number = luns::decode(pdu.lun());
        let mut cdb = [0; 16];
        cdb.copy_from_slice(&pdu.header[32..48]);
        let length = pdu.u32(20);
        let writes = pdu.flags() & WRITE != 0;
        let mut ending = Ending {
            tag,
            expected_in: if pdu.flags() & READ != 0 && !writes { length } else { 0 },
            expected_out: if writes { length } else { 0 },
            wanted_out: 0,
            r2t_count: 0,
        };
        let admitted = self.admit(&view, number, &cdb, &mut ending);
        let unsolicited = writes && !pdu.is_final();
        match admitted {
            Ok(Admitted::Answer(data)) if !unsolicited => self.finish(ending, Ok(data)).await,
            Err(sense) if !unsolicited => self.finish(ending, Err(sense)).await,
            Ok(Admitted::Execute(command)) if !unsolicited && (!writes || ending.wanted_out == 0) => {
                let outcome = self.execute(&view, number, command, &[]);
                self.finish(ending, outcome).await
            }
            admitted => {
                let verdict = match admitted {
                    Ok(Admitted::Execute(command)) => Ok(command),
                    // A command without data-out that is followed by some.
                    Ok(Admitted::Answer(_)) => Err(Sense::UNEXPECTED_DATA),
                    Err(sense) => Err(sense),
                };
                let numbered = !pdu.is_immediate();
                if numbered {
                    self.window.hold();
                }
                let task = WriteTask::new(number, verdict, ending, unsolicited, numbered);
                self.begin_write(tag, task, pdu).await
            }
        }
    }

    /// Decides what becomes of a command before any data-out: the first half of its execution.
    fn admit(
        &mut self,
        view: &TargetView,
        number: Option<u16>,
        cdb: &[u8; 16],
        ending: &mut Ending,
    ) -> Result<Admitted, Sense> {
        let Some(scsi) = &mut self.scsi else { return Err(Sense::UNIT_NOT_SUPPORTED) };
        let command = match Command::parse(cdb) {
            Ok(command) => command,
            Err(_) if !scsi.nexus.sees(number) => return Err(Sense::UNIT_NOT_SUPPORTED),
            Err(sense) => return Err(sense),
        };
        match scsi.nexus.admit(view, number, &command) {
            Admission::Answered(answer) => Ok(Admitted::Answer(allotted(&command, answer?))),
            Admission::Unit(lun) => {
                let unit = Unit { lun, port: self.place.port, ports: &[] };
                ending.wanted_out = command.data_out(unit.block());
                unit.admit(&command)?;
                if command.is_exact() && ending.wanted_out != u64::from(ending.expected_out) {
                    return Err(Sense::INVALID_FIELD);
                }
                Ok(Admitted::Execute(command))
            }
        }
    }

    /// Carries a command out, against the target as it is now.
    pub(super) fn execute(
        &mut self,
        view: &TargetView,
        number: Option<u16>,
        command: Command,
        data: &[u8],
    ) -> Result<Bytes, Sense> {
        let scsi = self.scsi.as_ref();
        let lun = scsi.zip(number).and_then(|(scsi, number)| scsi.nexus.find_unit(view, number));
        let lun = lun.ok_or(Sense::UNIT_NOT_SUPPORTED)?;
        let ports = match command {
            Command::ReportTargetPortGroups { .. } => self.registry.ports_of(&view.target),
            _ => Vec::new(),
        };
        let unit = Unit { lun, port: self.place.port, ports: &ports };
        unit.execute(command, data).map(|data| allotted(&command, data))
    }

    /// Ends a command: data if any, then status, the last Data-In carrying both where it can.
    pub(super) async fn finish(
        &mut self,
        ending: Ending,
        outcome: Result<Bytes, Sense>,
    ) -> Result<(), Closed> {
        match outcome {
            Err(sense) => {
                let residual = Residual::of(0, ending.expected_in.max(ending.expected_out));
                let mut data = BytesMut::with_capacity(20);
                let sense = sense.fixed();
                data.put_u16(sense.len() as u16);
                data.put_slice(&sense);
                self.status(ending, CHECK_CONDITION, residual, ending.r2t_count, data.freeze()).await
            }
            Ok(data) if data.is_empty() || ending.expected_in == 0 => {
                let has = if ending.wanted_out > 0 { ending.wanted_out } else { data.len() as u64 };
                let residual = Residual::of(has, ending.expected_in.max(ending.expected_out));
                self.status(ending, GOOD, residual, ending.r2t_count, Bytes::new()).await
            }
            Ok(data) => self.data_in(ending, data).await,
        }
    }

    async fn status(
        &mut self,
        ending: Ending,
        status: u8,
        residual: Residual,
        exp_data_sn: u32,
        sense: Bytes,
    ) -> Result<(), Closed> {
        let response = Pdu::new(opcode::SCSI_RESPONSE, FINAL | residual.flag)
            .with(3, &[status])
            .with_task_tag(ending.tag)
            .with_u32(36, exp_data_sn)
            .with_u32(44, residual.count)
            .with_data(sense);
        self.respond(response, StatSn::Takes).await
    }

    /// Data-In PDUs of at most the initiator's length, F at the end of each burst, GOOD status in
    /// the last (RFC 7143 §11.7).
    async fn data_in(&mut self, ending: Ending, data: Bytes) -> Result<(), Closed> {
        let residual = Residual::of(data.len() as u64, ending.expected_in);
        let data = data.slice(..data.len().min(ending.expected_in as usize));
        let burst = self.parameters.max_burst as usize;
        let (mut at, mut data_sn) = (0, 0u32);
        while at < data.len() {
            let burst_end = (at / burst + 1) * burst;
            let end = data.len().min(burst_end).min(at + self.parameters.max_send as usize);
            let last = end == data.len();
            let mut flags = if last || end == burst_end { FINAL } else { 0 };
            let mut pdu = Pdu::new(opcode::DATA_IN, 0)
                .with_task_tag(ending.tag)
                .with_u32(20, NO_TAG)
                .with_u32(36, data_sn)
                .with_u32(40, at as u32)
                .with_data(data.slice(at..end));
            if last {
                flags |= STATUS | residual.flag;
                pdu = pdu.with(3, &[GOOD]).with_u32(44, residual.count);
            }
            let pdu = pdu.with(1, &[flags]);
            self.respond(pdu, if last { StatSn::Takes } else { StatSn::Absent }).await?;
            at = end;
            data_sn += 1;
        }
        Ok(())
    }
}

/// A command past the nexus.
enum Admitted {
    Answer(Bytes),
    Execute(Command),
}

/// No more than the ALLOCATION LENGTH.
fn allotted(command: &Command, data: Bytes) -> Bytes {
    match command.allocation() {
        Some(allocation) => data.slice(..data.len().min(allocation as usize)),
        None => data,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn residuals_have_the_sign_of_the_difference() {
        assert_eq!(Residual::of(512, 512), Residual { flag: 0, count: 0 });
        assert_eq!(Residual::of(512, 1024), Residual { flag: UNDERFLOW, count: 512 });
        assert_eq!(Residual::of(1024, 0), Residual { flag: OVERFLOW, count: 1024 });
    }
}
