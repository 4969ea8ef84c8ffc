//! Commands that wait for data-out: immediate, unsolicited and solicited by R2T, one R2T at a time
//! (RFC 7143 §4.2.5.2, §11.7, §11.8).

use super::command::Ending;
use super::{Session, StatSn};
use crate::pdu::{NO_TAG, Pdu, opcode};
use crate::scsi::{Command, Sense};
use crate::transport::Closed;

/// A command that waits for data.
#[derive(Debug)]
pub(super) struct WriteTask {
    pub(super) number: Option<u16>,
    /// It came with a CmdSN and holds a place in the window.
    pub(super) numbered: bool,
    /// What to do with the data; sense when it only waits for the end of unsolicited data.
    verdict: Result<Command, Sense>,
    ending: Ending,
    /// Bytes the command will be carried out with.
    wanted: usize,
    buffer: Vec<u8>,
    /// Bytes that came, those not wanted included.
    received: u32,
    phase: Phase,
}

/// Which sequence of Data-Out is under way (RFC 7143 §4.2.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Unsolicited { next_data_sn: u32 },
    Solicited { tag: u32, end: u32, next_data_sn: u32 },
    Idle,
}

impl WriteTask {
    pub(super) fn new(
        number: Option<u16>,
        verdict: Result<Command, Sense>,
        ending: Ending,
        unsolicited: bool,
        numbered: bool,
    ) -> Self {
        let wanted = match verdict {
            // Bounded by the unit's maximum transfer length, which admission has checked.
            Ok(_) => ending.wanted_out.min(ending.expected_out.into()) as usize,
            Err(_) => 0,
        };
        let phase = if unsolicited { Phase::Unsolicited { next_data_sn: 0 } } else { Phase::Idle };
        let buffer = Vec::with_capacity(wanted);
        Self { number, numbered, verdict, ending, wanted, buffer, received: 0, phase }
    }

    /// Takes data that is in order; what exceeds the command's want is dropped.
    fn take(&mut self, data: &[u8]) {
        let room = self.wanted - self.buffer.len();
        self.buffer.extend_from_slice(data.get(..room).unwrap_or(data));
        self.received = self.received.saturating_add(data.len() as u32);
    }

    /// Takes the immediate data of the command PDU.
    fn take_immediate(&mut self, data: &[u8], allowed: bool, first_burst: u32) {
        let limit = first_burst.min(self.ending.expected_out) as usize;
        if !data.is_empty() && !allowed || data.len() > limit {
            self.verdict = Err(Sense::UNEXPECTED_DATA);
        } else {
            self.take(data);
        }
    }

    /// Takes a Data-Out PDU. Sense when it does not continue the sequence under way.
    fn take_data_out(&mut self, pdu: &Pdu, first_burst: u32) -> Result<(), Sense> {
        let (tag, data_sn, limit) = match &mut self.phase {
            Phase::Unsolicited { next_data_sn } => {
                (NO_TAG, next_data_sn, first_burst.min(self.ending.expected_out))
            }
            Phase::Solicited { tag, end, next_data_sn } => (*tag, next_data_sn, *end),
            Phase::Idle => return Err(Sense::UNEXPECTED_DATA),
        };
        let end = self.received.saturating_add(pdu.data.len() as u32);
        if pdu.transfer_tag() != tag || end > limit {
            return Err(Sense::UNEXPECTED_DATA);
        }
        if pdu.u32(36) != *data_sn || pdu.u32(40) != self.received {
            return Err(Sense::DATA_PHASE_ERROR);
        }
        *data_sn += 1;
        if pdu.is_final() {
            // A solicited sequence brings all that was asked for.
            if tag != NO_TAG && end != limit {
                return Err(Sense::DATA_PHASE_ERROR);
            }
            self.phase = Phase::Idle;
        }
        self.take(&pdu.data);
        Ok(())
    }
}

/// What a task needs next.
enum Next {
    MoreData,
    Solicit,
    Carry,
}

impl Session {
    /// Starts a task with the PDU of its command.
    pub(super) async fn begin_write(
        &mut self,
        tag: u32,
        mut task: WriteTask,
        pdu: &Pdu,
    ) -> Result<(), Closed> {
        let parameters = &self.parameters;
        task.take_immediate(&pdu.data, parameters.immediate_data, parameters.first_burst);
        if parameters.initial_r2t && task.phase != Phase::Idle {
            // No unsolicited Data-Out was agreed to, so none is waited for.
            task.verdict = Err(Sense::UNEXPECTED_DATA);
            task.phase = Phase::Idle;
        }
        self.tasks.insert(tag, task);
        self.advance(tag).await
    }

    /// A Data-Out PDU. One of no known task belongs to one that was aborted or refused.
    pub(super) async fn data_out(&mut self, pdu: &Pdu) -> Result<(), Closed> {
        let tag = pdu.task_tag();
        let Some(task) = self.tasks.get_mut(&tag) else { return Ok(()) };
        if let Err(sense) = task.take_data_out(pdu, self.parameters.first_burst) {
            task.verdict = Err(sense);
            task.phase = Phase::Idle;
        }
        self.advance(tag).await
    }

    async fn advance(&mut self, tag: u32) -> Result<(), Closed> {
        let Some(task) = self.tasks.get(&tag) else { return Ok(()) };
        let next = match (task.phase, &task.verdict) {
            (Phase::Unsolicited { .. } | Phase::Solicited { .. }, _) => Next::MoreData,
            (Phase::Idle, Ok(_)) if task.buffer.len() < task.wanted => Next::Solicit,
            (Phase::Idle, _) => Next::Carry,
        };
        match next {
            Next::MoreData => Ok(()),
            Next::Solicit => self.solicit(tag).await,
            Next::Carry => self.carry(tag).await,
        }
    }

    /// Asks for the next burst.
    async fn solicit(&mut self, tag: u32) -> Result<(), Closed> {
        let transfer_tag = self.next_transfer_tag();
        let max_burst = self.parameters.max_burst;
        let Some(task) = self.tasks.get_mut(&tag) else { return Ok(()) };
        let offset = task.received;
        let length = (task.wanted as u32).saturating_sub(offset).min(max_burst);
        let r2t = Pdu::new(opcode::READY_TO_TRANSFER, 0x80)
            .with_task_tag(tag)
            .with_u32(20, transfer_tag)
            .with_u32(36, task.ending.r2t_count)
            .with_u32(40, offset)
            .with_u32(44, length);
        task.phase = Phase::Solicited { tag: transfer_tag, end: offset + length, next_data_sn: 0 };
        task.ending.r2t_count += 1;
        self.respond(r2t, StatSn::Shows).await
    }

    /// All data is here: carries the command out, if its unit is still there.
    async fn carry(&mut self, tag: u32) -> Result<(), Closed> {
        let Some(view) = self.refresh() else { return Ok(()) };
        // A unit reset or unmapped meanwhile took the task with it.
        let Some(task) = self.take_task(tag) else { return Ok(()) };
        let outcome = match task.verdict {
            Ok(command) => self.execute(&view, task.number, command, &task.buffer),
            Err(sense) => Err(sense),
        };
        self.finish(task.ending, outcome).await
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::scsi::command::Extent;

    fn task(expected_out: u32, unsolicited: bool) -> WriteTask {
        let command = Command::Write(Extent { lba: 0, blocks: 8 });
        let ending = Ending { tag: 1, expected_in: 0, expected_out, wanted_out: 4096, r2t_count: 0 };
        WriteTask::new(Some(0), Ok(command), ending, unsolicited, true)
    }

    fn data_out(data_sn: u32, offset: u32, length: usize, last: bool) -> Pdu {
        Pdu::new(opcode::DATA_OUT, if last { 0x80 } else { 0 })
            .with_u32(20, NO_TAG)
            .with_u32(36, data_sn)
            .with_u32(40, offset)
            .with_data(Bytes::from(vec![1; length]))
    }

    #[test]
    fn unsolicited_data_continues_immediate_data() {
        let mut task = task(4096, true);
        task.take_immediate(&[1; 1024], true, 2048);
        assert_eq!(task.take_data_out(&data_out(0, 1024, 512, false), 2048), Ok(()));
        assert_eq!(task.take_data_out(&data_out(1, 1536, 512, true), 2048), Ok(()));
        assert_eq!((task.phase, task.buffer.len()), (Phase::Idle, 2048));
    }

    #[test]
    fn data_out_of_order_or_beyond_the_first_burst_is_an_error() {
        for (pdu, sense) in [
            (data_out(1, 0, 512, true), Sense::DATA_PHASE_ERROR),
            (data_out(0, 512, 512, true), Sense::DATA_PHASE_ERROR),
            (data_out(0, 0, 4096, true), Sense::UNEXPECTED_DATA),
            (data_out(0, 0, 512, true).with_u32(20, 7), Sense::UNEXPECTED_DATA),
        ] {
            assert_eq!(task(4096, true).take_data_out(&pdu, 2048), Err(sense));
        }
    }

    #[test]
    fn more_data_than_the_command_wants_is_taken_and_dropped() {
        let mut task = task(8192, true);
        assert_eq!(task.take_data_out(&data_out(0, 0, 8192, true), 65_536), Ok(()));
        assert_eq!((task.buffer.len(), task.received), (4096, 8192));
    }

    #[test]
    fn a_solicited_burst_must_be_whole() {
        let mut task = task(4096, false);
        task.phase = Phase::Solicited { tag: 9, end: 4096, next_data_sn: 0 };
        let short = data_out(0, 0, 512, true).with_u32(20, 9);
        assert_eq!(task.take_data_out(&short, 0), Err(Sense::DATA_PHASE_ERROR));
    }
}
