//! Commands that wait for data-out: immediate, unsolicited and solicited by R2T (RFC 7143 §4.2.5.2,
//! §11.7, §11.8).

use std::collections::VecDeque;

use super::Session;
use super::command::Ready;
use super::wire::{Ending, StatSn};
use crate::pdu::{NO_TAG, Pdu, opcode};
use crate::scsi::{Command, Sense};
use crate::transport::Closed;

/// Memory that the commands of one session may hold by having asked for their data, in bytes. One
/// command may always ask; the others wait with their first R2T until there is room.
const MAX_SOLICITED: usize = 16 * 1024 * 1024;

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
    /// Data-Out followed the command without being asked for.
    unsolicited: bool,
    /// Counted against [`MAX_SOLICITED`].
    solicited: bool,
}

/// Which sequences of Data-Out are under way (RFC 7143 §4.2.5.2).
#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Unsolicited {
        next_data_sn: u32,
    },
    /// Asked for, in the order in which they come (DataSequenceInOrder is Yes here).
    Solicited(VecDeque<Burst>),
    /// Nothing was asked for yet, or nothing more is to come.
    Idle,
}

/// One sequence asked for by an R2T.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Burst {
    tag: u32,
    end: u32,
    next_data_sn: u32,
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
        Self {
            number,
            numbered,
            verdict,
            ending,
            wanted,
            buffer: Vec::new(),
            received: 0,
            phase,
            unsolicited,
            solicited: false,
        }
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
    fn take_data_out(&mut self, pdu: &Pdu<&[u8]>, first_burst: u32) -> Result<(), Sense> {
        let (tag, data_sn, limit) = match &mut self.phase {
            Phase::Unsolicited { next_data_sn } => {
                (NO_TAG, next_data_sn, first_burst.min(self.ending.expected_out))
            }
            Phase::Solicited(bursts) => match bursts.front_mut() {
                Some(burst) => (burst.tag, &mut burst.next_data_sn, burst.end),
                None => return Err(Sense::UNEXPECTED_DATA),
            },
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
            self.end_sequence();
        }
        self.take(pdu.data);
        Ok(())
    }

    fn end_sequence(&mut self) {
        match &mut self.phase {
            Phase::Solicited(bursts) if bursts.len() > 1 => {
                bursts.pop_front();
            }
            phase => *phase = Phase::Idle,
        }
    }

    /// The command has failed: what is still to come is not waited for.
    fn fail(&mut self, sense: Sense) {
        self.verdict = Err(sense);
        self.phase = Phase::Idle;
    }

    /// Where the data asked for so far end.
    fn asked(&self) -> u32 {
        match &self.phase {
            Phase::Solicited(bursts) => bursts.back().map_or(self.received, |burst| burst.end),
            _ => self.received,
        }
    }
}

impl Session {
    /// Starts a task with the PDU of its command.
    pub(super) async fn begin_write(&mut self, mut task: WriteTask, pdu: &Pdu<&[u8]>) -> Result<(), Closed> {
        let parameters = &self.wire.parameters;
        task.take_immediate(pdu.data, parameters.immediate_data, parameters.first_burst);
        if parameters.initial_r2t && task.phase != Phase::Idle {
            // No unsolicited Data-Out was agreed to, so none is waited for.
            task.fail(Sense::UNEXPECTED_DATA);
        }
        self.tasks.insert(pdu.task_tag(), task);
        self.advance(pdu.task_tag()).await
    }

    /// A Data-Out PDU. One of no known task belongs to one that was aborted or refused.
    pub(super) async fn data_out(&mut self, pdu: &Pdu<&[u8]>) -> Result<(), Closed> {
        let tag = pdu.task_tag();
        let Some(task) = self.tasks.get_mut(&tag) else { return Ok(()) };
        if let Err(sense) = task.take_data_out(pdu, self.wire.parameters.first_burst) {
            task.fail(sense);
        }
        self.advance(tag).await
    }

    /// A Data-Out PDU whose data came damaged: without recovery within a connection the command
    /// fails once the sequence is over (RFC 7143 §7.8).
    pub(super) async fn damaged_data_out(&mut self, pdu: &Pdu<&[u8]>) -> Result<(), Closed> {
        let Some(task) = self.tasks.get_mut(&pdu.task_tag()) else { return Ok(()) };
        task.fail(Sense::CRC_ERROR);
        self.advance(pdu.task_tag()).await
    }

    async fn advance(&mut self, tag: u32) -> Result<(), Closed> {
        let Some(task) = self.tasks.get(&tag) else { return Ok(()) };
        match (&task.phase, &task.verdict) {
            (Phase::Unsolicited { .. }, _) => Ok(()),
            (_, Ok(_)) if task.buffer.len() < task.wanted => self.solicit(tag).await,
            (Phase::Solicited(_), Ok(_)) => Ok(()),
            _ => self.carry(tag).await,
        }
    }

    /// Asks for the next bursts, as many at once as were agreed on.
    async fn solicit(&mut self, tag: u32) -> Result<(), Closed> {
        let Some(task) = self.tasks.get_mut(&tag) else { return Ok(()) };
        if !task.solicited {
            if self.solicited > 0 && self.solicited + task.wanted > MAX_SOLICITED {
                self.unasked.push_back(tag);
                return Ok(());
            }
            task.solicited = true;
            task.buffer.reserve_exact(task.wanted.saturating_sub(task.buffer.len()));
            self.solicited += task.wanted;
        }
        let (max_burst, at_once) = (self.wire.parameters.max_burst, self.wire.parameters.max_r2t);
        loop {
            let transfer_tag = self.next_transfer_tag();
            let Some(task) = self.tasks.get_mut(&tag) else { return Ok(()) };
            let offset = task.asked();
            let length = (task.wanted as u32).saturating_sub(offset).min(max_burst);
            let mut bursts = match std::mem::replace(&mut task.phase, Phase::Idle) {
                Phase::Solicited(bursts) => bursts,
                _ => VecDeque::new(),
            };
            let enough = length == 0 || bursts.len() >= usize::from(at_once);
            if !enough {
                bursts.push_back(Burst { tag: transfer_tag, end: offset + length, next_data_sn: 0 });
            }
            task.phase = Phase::Solicited(bursts);
            if enough {
                return Ok(());
            }
            let r2t = Pdu::new(opcode::READY_TO_TRANSFER, 0x80)
                .with_task_tag(tag)
                .with_u32(20, transfer_tag)
                .with_u32(36, task.ending.r2t_count)
                .with_u32(40, offset)
                .with_u32(44, length);
            task.ending.r2t_count += 1;
            self.wire.respond(r2t, StatSn::Shows).await?;
        }
    }

    /// All data is here: carries the command out, if its unit is still there.
    async fn carry(&mut self, tag: u32) -> Result<(), Closed> {
        self.refresh();
        // A unit reset or unmapped meanwhile took the task with it.
        let Some(task) = self.take_task(tag) else { return Ok(()) };
        match task.verdict {
            Ok(command) => {
                let (number, ending, numbered) = (task.number, task.ending, task.numbered);
                let ready = Ready { number, command, ending, numbered };
                self.carry_out(ready, &task.buffer, task.unsolicited).await?;
            }
            Err(sense) => self.wire.finish(task.ending, Err(sense)).await?,
        }
        self.ask_on().await
    }

    /// Lets commands ask for their data that had no room to.
    pub(super) async fn ask_on(&mut self) -> Result<(), Closed> {
        while let Some(tag) = self.unasked.pop_front() {
            // Boxed: it does not come back here, but the compiler cannot know.
            self.solicit(tag).await?;
            if self.unasked.back() == Some(&tag) {
                // Still no room: back to its place at the head.
                self.unasked.rotate_right(1);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Removes a task and gives its places free.
    pub(super) fn take_task(&mut self, tag: u32) -> Option<WriteTask> {
        let task = self.tasks.remove(&tag)?;
        if task.numbered {
            self.wire.window.finish();
        }
        if task.solicited {
            self.solicited = self.solicited.saturating_sub(task.wanted);
        }
        Some(task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scsi::command::Extent;

    fn task(expected_out: u32, unsolicited: bool) -> WriteTask {
        let command = Command::Write { extent: Extent { lba: 0, blocks: 8 }, fua: false };
        let ending = Ending { tag: 1, expected_in: 0, expected_out, wanted_out: 4096, r2t_count: 0 };
        WriteTask::new(Some(0), Ok(command), ending, unsolicited, true)
    }

    fn data_out(data_sn: u32, offset: u32, length: usize, last: bool) -> Pdu<&'static [u8]> {
        let header = Pdu::new(opcode::DATA_OUT, if last { 0x80 } else { 0 })
            .with_u32(20, NO_TAG)
            .with_u32(36, data_sn)
            .with_u32(40, offset)
            .header;
        Pdu { header, data: &[1; 8192][..length] }
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
        task.phase = Phase::Solicited([Burst { tag: 9, end: 4096, next_data_sn: 0 }].into());
        let short = data_out(0, 0, 512, true).with_u32(20, 9);
        assert_eq!(task.take_data_out(&short, 0), Err(Sense::DATA_PHASE_ERROR));
    }

    #[test]
    fn bursts_come_in_the_order_they_were_asked_for() {
        let mut task = task(4096, false);
        let bursts = [(9, 2048), (10, 4096)].map(|(tag, end)| Burst { tag, end, next_data_sn: 0 });
        task.phase = Phase::Solicited(bursts.into());
        let second = data_out(0, 2048, 2048, true).with_u32(20, 10);
        assert_eq!(task.take_data_out(&second, 0), Err(Sense::UNEXPECTED_DATA));
        assert_eq!(task.take_data_out(&data_out(0, 0, 2048, true).with_u32(20, 9), 0), Ok(()));
        assert_eq!(task.take_data_out(&second, 0), Ok(()));
        assert_eq!((task.phase, task.buffer.len()), (Phase::Idle, 4096));
    }
}
